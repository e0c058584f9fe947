"""Which word each token belongs to, as whole word masking wants to know."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np

from kerasbert.tokenizers.characters import is_cjk, is_dropped, is_punctuation, is_whitespace
from kerasbert.tokenizers.ragged import Ragged

_UNSEEN, _LETTER, _APART, _SPACE, _DROPPED = range(5)


def number_words(begins: np.ndarray, splits: np.ndarray) -> np.ndarray:
    """The number of the word that each token belongs to, counted from 0 in every row.

    Args:
        begins: bool, (tokens,): whether a token is the first of its word. The first of a row is.
        splits: where the rows begin, (rows + 1,).

    Returns:
        int32, (tokens,).
    """
    if not len(begins):
        return np.zeros(0, np.int32)
    begins = begins.copy()
    lengths = np.diff(splits)
    firsts = splits[:-1][lengths > 0]
    begins[firsts] = True
    numbers = np.cumsum(begins)
    return (numbers - np.repeat(numbers[firsts], lengths[lengths > 0])).astype(np.int32)


def words_by_offsets(rows: Ragged, texts: Sequence[str]) -> np.ndarray:
    """Whether each token is the first of its word, judged by where it stands in its text.

    White space ends a word; punctuation and Chinese characters are words of their own. A token of
    several of those is one word, and one of white space alone is the beginning of the next word.

    Args:
        rows: the tokens, with ``starts`` and ``ends``.
        texts: the text of each row.

    Returns:
        bool, (tokens,).
    """
    joined = "\n" + "\n".join(texts) + "\n"
    kinds = _kinds_of(joined)
    places = np.arange(len(kinds))
    # The next character that is no space, and the last one before that counts.
    next_visible = np.where(kinds == _SPACE, len(kinds), places)
    next_visible = np.minimum.accumulate(next_visible[::-1])[::-1]
    last_counted = np.maximum.accumulate(np.where(kinds == _DROPPED, -1, places))

    row_starts = 1 + np.cumsum([0] + [len(text) + 1 for text in texts])[:-1]
    moved = np.repeat(row_starts, rows.lengths)
    starts, ends = rows.starts + moved, rows.ends + moved
    at = next_visible[starts]
    is_space = at >= ends
    kind, before = kinds[np.minimum(at, len(kinds) - 1)], kinds[last_counted[at - 1]]
    begins = (kind == _APART) | (before == _APART) | (before == _SPACE) | is_space
    # Tokens of one and the same character, and those after a lone space, go on with the word.
    begins[1:] &= ((at[1:] > at[:-1]) | is_space[1:]) & ~is_space[:-1]
    return begins


@functools.lru_cache(maxsize=1)
def _kind_of_code() -> np.ndarray:
    return np.zeros(0x110000, np.uint8)


def _kinds_of(text: str) -> np.ndarray:
    """The kind of each character: uint8, (characters,)."""
    table = _kind_of_code()
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    for code in np.unique(codes[table[codes] == _UNSEEN]).tolist():
        table[code] = _kind(chr(code))
    return table[codes]


def _kind(char: str) -> int:
    if is_whitespace(char) or char == "▁":  # SentencePiece writes spaces so
        return _SPACE
    if is_dropped(char):
        return _DROPPED
    return _APART if is_cjk(char) or is_punctuation(char) else _LETTER
