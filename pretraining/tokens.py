"""Documents to one stream of tokens, with marks where words, sentences, lines and documents end."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, chain
from typing import NamedTuple

import numpy as np

from kerasbert.tokenizers import BaseTokenizer
from pretraining.segmentation import Segment, number_words

_ENDS, _FULL_STOP, _CLOSES, _SPACE = 1, 2, 3, 4
_KINDS = {
    _ENDS: "。！？!?",
    _FULL_STOP: ".",  # ends a sentence before white space only
    _CLOSES: "”’」』）》〉】\"')]",
    _SPACE: " \t\u3000\u00a0",
}
_MANY_CLOSE = 3  # so many quotation marks and the like may follow the end of a sentence


class Tokens(NamedTuple):
    """The tokens of documents, without special ones.

    Attributes:
        ids: int32 (tokens,).
        word_starts: bool (tokens,).
        sentence_ends: bool (tokens,), True for the last token of a sentence and of a line.
        lines: where the lines begin, a list of lines + 1 numbers.
        documents: line at which each document begins, a list of documents + 1 numbers.
    """

    ids: np.ndarray
    word_starts: np.ndarray
    sentence_ends: np.ndarray
    lines: list[int]
    documents: list[int]


def tokenize(
    documents: Sequence[Sequence[str]], tokenizer: BaseTokenizer, segment: Segment | None
) -> Tokens:
    """Tokenizes documents.

    A token begins a word if its first character is of another word than the first character of the
    token before it, and if the tokenizer agrees: a ``##`` piece always goes on with the word.
    Sentences end after 。！？!? and closing quotation marks, and after a full stop before a space.

    Args:
        documents: their lines.
        tokenizer: any.
        segment: cuts a text into words; None leaves words to the tokenizer.
    """
    lines = list(chain.from_iterable(documents))
    rows = tokenizer._rows(lines, with_offsets=True, with_words=True)
    splits = rows.splits
    is_first = np.zeros(len(rows.ids) + 1, bool)
    is_first[splits] = True
    is_first = is_first[:-1]
    lengths = np.fromiter(map(len, lines), np.int64, len(lines))
    begins = rows.starts + np.repeat(np.cumsum(lengths) - lengths, rows.lengths)

    def differs(numbers: np.ndarray) -> np.ndarray:
        """Whether each token has another number than the one before in its line."""
        found = is_first.copy()
        found[1:] |= numbers[1:] != numbers[:-1]
        return found

    word_starts = differs(rows.words)
    if segment is not None:
        word_starts &= differs(number_words(lines, segment)[begins])
    sentence_starts = differs(_number_sentences(lines)[begins])
    sentence_ends = np.append(sentence_starts[1:], True)[: len(rows.ids)]
    starts_of_documents = list(accumulate(map(len, documents), initial=0))
    return Tokens(rows.ids, word_starts, sentence_ends, splits.tolist(), starts_of_documents)


def _number_sentences(lines: Sequence[str]) -> np.ndarray:
    """Which sentence each character belongs to: int32 (characters,), growing."""
    codes = np.frombuffer("".join(lines).encode("utf-32-le", "surrogatepass"), np.uint32)
    kinds = _table()[np.minimum(codes, len(_table()) - 1)]
    after = np.append(kinds[1:], np.uint8(_SPACE))[: len(kinds)]
    ends = kinds == _ENDS
    ends |= (kinds == _FULL_STOP) & ((after == _SPACE) | (after == _CLOSES))
    closes = kinds == _CLOSES
    for _ in range(_MANY_CLOSE):
        ends[1:] |= closes[1:] & ends[:-1]
    begins = np.zeros(len(kinds), np.int32)
    begins[1:] = ends[:-1] & ~ends[1:]
    return np.cumsum(begins, dtype=np.int32)


def _table(size: int = 0x10000) -> np.ndarray:
    """Kind of each character of the basic plane; the last stands for all others."""
    global _kinds
    if _kinds is None:
        _kinds = np.zeros(size, np.uint8)
        for kind, characters in _KINDS.items():
            _kinds[[ord(character) for character in characters]] = kind
    return _kinds


_kinds: np.ndarray | None = None
