"""Where words begin: from a segmenter's words to characters to tokens."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from kerasbert.tokenizers.segmentation import NAMES, segmenter

Segment = Callable[[str], Iterable[str]]


def make_segmenter(name: str, hmm: bool = True) -> tuple[Segment | None, str]:
    """The segmenter of a name, and the name without "auto" in it.

    Args:
        name: "rjieba"; "jieba"; "auto", the first of these that is installed; "none", for words as
            the tokenizer has them, where Chinese characters are words of their own; or
            "package.module:function", any function of a text that gives its words in order.
        hmm: whether jieba guesses words that its dictionary lacks, as it does by default.

    Raises:
        ValueError: there is no such function, or another name.
        ImportError: the segmenter is not installed.
    """
    if name == "none":
        return None, name
    if name in NAMES:
        if name == "auto":
            name = "rjieba" if importlib.util.find_spec("rjieba") else "jieba"
        found = segmenter(name, hmm=hmm)
        list(found("词"))  # says now if it is not installed
        return found, name
    module, _, function = name.partition(":")
    if not function:
        raise ValueError(
            f"a segmenter is one of {(*NAMES, 'none')} or 'package.module:function', got {name!r}."
        )
    try:
        found = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"the segmenter {name!r} cannot be imported: {error}.") from error
    if not callable(found):
        raise ValueError(f"the segmenter {name!r} is no function but {type(found).__name__}.")
    return found, name


def number_words(texts: Sequence[str], segment: Segment) -> np.ndarray:
    """Which word each character belongs to.

    Args:
        texts: any texts.
        segment: cuts a text into words. Words need not cover the text: what lies between two words
            belongs to the first.

    Returns:
        int32 (characters of all texts together,), numbers that grow from word to word.
    """
    begins = np.zeros(sum(map(len, texts)), bool)
    lengths: list[int] = []
    for text in texts:
        words = segment(text)
        words = words if isinstance(words, list) else list(words)
        found = list(map(len, words))
        if sum(found) != len(text):
            found = _placed(text, words)
        lengths += found
    sizes = np.array(lengths, np.int64)
    begins[(np.cumsum(sizes) - sizes)[sizes > 0]] = True
    return np.cumsum(begins, dtype=np.int32)


def _placed(text: str, words: Sequence[str]) -> list[int]:
    """Lengths that add up to the text, for words that do not: each word from where it is found."""
    starts, cursor = [0], 0
    for word in words:
        at = text.find(word, cursor) if word else -1
        if at >= 0:
            starts.append(at)
            cursor = at + len(word)
    return [end - start for start, end in zip(starts, [*starts[1:], len(text)])]
