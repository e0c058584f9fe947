"""Where words begin: from a segmenter's words to characters to tokens."""

from __future__ import annotations

import importlib
import importlib.util
import logging
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from kerasbert.tokenizers.segmentation import NAMES, segmenter

Segment = Callable[[str], Iterable[str]]


class NamedSegmenter:
    """A segmenter that processes know by its name: a pickle holds no more.

    Args:
        name: "jieba", "rjieba" or "package.module:function".
        hmm: whether jieba guesses words that its dictionary lacks.
    """

    def __init__(self, name: str, hmm: bool | None = None):
        self.name, self.hmm = name, hmm
        self._function: Segment | None = None

    def __call__(self, text: str) -> Iterable[str]:
        """The words of a text in order."""
        if self._function is None:
            self._function = self._load()
        return self._function(text)

    def __reduce__(self):
        return NamedSegmenter, (self.name, self.hmm)

    def _load(self) -> Segment:
        module, _, function = self.name.partition(":")
        if not function:
            logging.getLogger("jieba").setLevel(logging.WARNING)  # it reports on its dictionary
            return segmenter(self.name, hmm=bool(self.hmm))
        found = getattr(importlib.import_module(module), function)
        if not callable(found):
            raise TypeError(f"it is no function but {type(found).__name__}")
        return found


def make_segmenter(name: str, hmm: bool = True) -> tuple[NamedSegmenter | None, str]:
    """The segmenter of a name, and the name without "auto" in it.

    Args:
        name: "rjieba"; "jieba"; "auto", the first of these that is installed; "none", for words as
            the tokenizer has them, where Chinese characters are words of their own; or
            "package.module:function", any function of a text that gives its words in order.
        hmm: whether jieba guesses words that its dictionary lacks, as it does unless told not to.

    Raises:
        ValueError: there is no such function, or another name.
        ImportError: the segmenter is not installed.
    """
    if name == "none":
        return None, name
    if name == "auto":
        name = "rjieba" if importlib.util.find_spec("rjieba") else "jieba"
    if name not in NAMES and ":" not in name:
        raise ValueError(
            f"a segmenter is one of {(*NAMES, 'none')} or 'package.module:function', got {name!r}."
        )
    found = NamedSegmenter(name, hmm if name in NAMES else None)
    try:
        list(found("词"))  # says now if it is not there
    except (ImportError, AttributeError, TypeError) as error:
        if name in NAMES:
            raise
        raise ValueError(f"the segmenter {name!r} cannot be used: {error}.") from error
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
