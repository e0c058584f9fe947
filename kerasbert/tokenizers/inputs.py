"""What a tokenizer is called with, made into lists of str, with errors that say what is wrong."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np


def as_text(text, where: str = "text") -> str:
    """A text, from str (or numpy str) or UTF-8 bytes; invalid bytes are left out as Google does."""
    if isinstance(text, str):
        return text
    if isinstance(text, bytes):
        return text.decode("utf-8", "ignore")
    raise TypeError(f"{where} must be str or bytes, got {text!r} ({type(text).__name__}).")


def as_texts(texts: list, name: str) -> list[str]:
    """A list of texts, checked one by one only if they are not all str."""
    if set(map(type, texts)) <= {str}:
        return texts
    return [as_text(text, f"{name}[{at}]") for at, text in enumerate(texts)]


def as_list(texts: Iterable, name: str) -> list:
    """A list of what numpy arrays, pandas Series, tensors and other iterables hold."""
    given = f"{name} must be a text or a list of texts, got {type(texts).__name__}"
    if hasattr(texts, "columns"):  # a table, whose items are the names of its columns
        raise TypeError(f'{given}: give a column of it (table["text"]), or two as texts and pairs.')
    if isinstance(texts, (str, bytes, bytearray, memoryview, Mapping)):
        raise TypeError(f"{given}.")
    if hasattr(texts, "numpy"):  # a TensorFlow tensor
        texts = texts.numpy()
    if hasattr(texts, "tolist"):  # a numpy array or pandas Series
        texts = texts.tolist()
    if isinstance(texts, (str, bytes)):
        raise TypeError(f"{given} of no axis: take the text out of it, or give it an axis.")
    if not isinstance(texts, Iterable):
        raise TypeError(f"{given}.")
    return texts if isinstance(texts, list) else list(texts)


def unzip_pairs(pairs: list) -> tuple[list, list]:
    """The first and the second texts of a list of pairs."""
    for at, pair in enumerate(pairs):
        if not isinstance(pair, (list, tuple, np.ndarray)) or len(pair) != 2:
            raise TypeError(
                f"texts[{at}] must be a text, or every element a pair of two texts, "
                f"got {pair!r} ({type(pair).__name__})."
            )
    return [first for first, _ in pairs], [second for _, second in pairs]
