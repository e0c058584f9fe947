"""Documents to one stream of tokens, with marks where words, sentences, lines and documents end."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
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
_BATCH = 1 << 18  # characters, about
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
    parts = [_tokenize_lines(batch, tokenizer, segment) for batch in _batches(lines)]
    ids, word_starts, sentence_ends, lengths = (np.concatenate(part) for part in zip(*parts))
    return Tokens(
        ids,
        word_starts,
        sentence_ends,
        [0, *np.cumsum(lengths).tolist()],
        list(accumulate(map(len, documents), initial=0)),
    )


def _batches(lines: list[str]) -> Iterator[list[str]]:
    """Lines that are tokenized together: what is done for every character takes memory."""
    begin, size = 0, 0
    for end, line in enumerate(lines):
        if size > _BATCH:
            yield lines[begin:end]
            begin, size = end, 0
        size += len(line)
    yield lines[begin:]


def _tokenize_lines(
    lines: list[str], tokenizer: BaseTokenizer, segment: Segment | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Ids, word starts, sentence ends, and the number of tokens of each line."""
    rows = tokenizer._rows(lines, with_offsets=True, with_words=True)
    is_first = np.zeros(len(rows.ids) + 1, bool)
    is_first[rows.splits] = True
    is_first = is_first[:-1]
    kinds = _kinds_of(lines)
    lengths = np.fromiter(map(len, lines), np.int64, len(lines))
    moved = np.repeat(np.cumsum(lengths) - lengths, rows.lengths)
    begins = np.minimum(rows.starts + moved, len(kinds) - 1)
    # SentencePiece has spaces at the beginning of a token.
    begins = np.maximum(begins, np.minimum(_next_visible(kinds)[begins], rows.ends + moved - 1))

    def differs(numbers: np.ndarray) -> np.ndarray:
        """Whether each token has another number than the one before in its line."""
        found = is_first.copy()
        found[1:] |= numbers[1:] != numbers[:-1]
        return found

    word_starts = differs(rows.words)
    if segment is not None:
        word_starts &= differs(number_words(lines, segment)[begins])
    sentence_starts = differs(_number_sentences(kinds)[begins])
    sentence_ends = np.append(sentence_starts[1:], True)[: len(rows.ids)]
    return rows.ids, word_starts, sentence_ends, rows.lengths


def _kinds_of(lines: Sequence[str]) -> np.ndarray:
    """The kind of every character: uint8 (characters,)."""
    codes = np.frombuffer("".join(lines).encode("utf-32-le", "surrogatepass"), np.uint32)
    return _table()[np.minimum(codes, len(_table()) - 1)]


def _next_visible(kinds: np.ndarray) -> np.ndarray:
    """The place of each character, of a space that of the next other character."""
    places = np.where(kinds == _SPACE, len(kinds), np.arange(len(kinds)))
    return np.minimum.accumulate(places[::-1])[::-1]


def _number_sentences(kinds: np.ndarray) -> np.ndarray:
    """Which sentence each character belongs to: int32 (characters,), growing."""
    after = np.append(kinds[1:], np.uint8(_SPACE))[: len(kinds)]
    ends = kinds == _ENDS
    ends |= (kinds == _FULL_STOP) & ((after == _SPACE) | (after == _CLOSES))
    closes = kinds == _CLOSES
    for _ in range(_MANY_CLOSE):
        ends[1:] |= closes[1:] & ends[:-1]
    begins = np.zeros(len(kinds), np.int32)
    begins[1:] = ends[:-1] & ~ends[1:]
    return np.cumsum(begins, dtype=np.int32)


@functools.lru_cache(maxsize=1)
def _table(size: int = 0x10000) -> np.ndarray:
    """Kind of each character of the basic plane; the last stands for all others."""
    kinds = np.zeros(size, np.uint8)
    for kind, characters in _KINDS.items():
        kinds[[ord(character) for character in characters]] = kind
    return kinds
