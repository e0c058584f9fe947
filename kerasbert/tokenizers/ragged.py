"""Rows of tokens of different lengths, and the padded arrays made of them, without Python loops."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np


class Ragged(NamedTuple):
    """Rows of token ids one after the other, and where in its text each token starts and ends.

    Attributes:
        ids: int32, (number of tokens,).
        splits: int64, (number of rows + 1,): row i is ``ids[splits[i]:splits[i + 1]]``.
        starts: int32 like ``ids``, in characters of the original text; None when not asked for.
        ends: the same, one past the last character.
        words: int32 like ``ids``: which word of its row's text a token belongs to, counted from 0;
            None when not asked for.
    """

    ids: np.ndarray
    splits: np.ndarray
    starts: np.ndarray | None = None
    ends: np.ndarray | None = None
    words: np.ndarray | None = None

    @property
    def lengths(self) -> np.ndarray:
        """Tokens per row: int64, (number of rows,)."""
        return np.diff(self.splits)

    @classmethod
    def from_rows(
        cls,
        ids: Sequence[Sequence[int]],
        starts: Sequence[Sequence[int]] | None = None,
        ends: Sequence[Sequence[int]] | None = None,
        words: Sequence[Sequence[int]] | None = None,
    ) -> Ragged:
        """From lists of ids, and, if given, lists of starts, ends and words of the same lengths."""
        splits = np.zeros(len(ids) + 1, np.int64)
        np.cumsum(np.fromiter(map(len, ids), np.int64, len(ids)), out=splits[1:])

        def flat(rows):
            if rows is None:
                return None
            return np.fromiter(chain.from_iterable(rows), np.int32, splits[-1])

        return cls(flat(ids), splits, flat(starts), flat(ends), flat(words))

    @classmethod
    def concatenate(cls, parts: Iterable[Ragged]) -> Ragged:
        """The rows of all parts in order."""
        parts = list(parts)
        if len(parts) == 1:
            return parts[0]
        splits = np.zeros(1 + sum(len(part.splits) - 1 for part in parts), np.int64)
        np.cumsum(np.concatenate([part.lengths for part in parts]), out=splits[1:])

        def joined(columns):
            return None if columns[0] is None else np.concatenate(columns)

        return cls(
            joined([part.ids for part in parts]),
            splits,
            joined([part.starts for part in parts]),
            joined([part.ends for part in parts]),
            joined([part.words for part in parts]),
        )

    def to_lists(self) -> list[list[int]]:
        """The ids of each row."""
        ids, splits = self.ids.tolist(), self.splits.tolist()
        return [ids[start:end] for start, end in zip(splits, splits[1:])]

    def take(
        self,
        rows: np.ndarray,
        begin: np.ndarray | None = None,
        count: np.ndarray | None = None,
    ) -> Ragged:
        """Some rows, in any order and as often as asked, whole or a part of each.

        Args:
            rows: numbers of the rows to take.
            begin: for each, how many tokens to leave out before the part; None for none.
            count: for each, how many tokens to take; None for all from there on.
        """
        begin = np.zeros(len(rows), np.int64) if begin is None else begin
        count = self.lengths[rows] - begin if count is None else count
        splits = np.zeros(len(rows) + 1, np.int64)
        np.cumsum(count, out=splits[1:])
        taken = np.arange(splits[-1]) + np.repeat(self.splits[rows] + begin - splits[:-1], count)

        def part(column):
            return None if column is None else column[taken]

        return Ragged(self.ids[taken], splits, part(self.starts), part(self.ends), part(self.words))
