"""Special and added tokens that stay whole in texts: found first, the text between them after."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

import numpy as np

from kerasbert.tokenizers.ragged import Ragged
from kerasbert.tokenizers.words import number_words

# Unicode's White_Space; Python's own notion has four control characters more (U+001C to U+001F).
_WHITE_SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(
    map(chr, range(0x2000, 0x200B))
)


class Part(NamedTuple):
    """A part of a text: from start to end; ``token_id`` is None where it is ordinary text."""

    start: int
    end: int
    token_id: int | None


class KeptTokens:
    """Tokens to keep whole wherever they stand in a text, the longest where several fit.

    Args:
        ids: the tokens, and the id that each gives.
        with_space_before: those that take in the white space before them, which then belongs to no
            token (``<mask>`` of RoBERTa and its relatives).

    Attributes:
        names: the tokens, the longest first.
    """

    def __init__(self, ids: Mapping[str, int], with_space_before: Collection[str] = ()):
        self._ids = dict(ids)
        self.names = sorted(self._ids, key=lambda token: (-len(token), token))
        self._with_space_before = frozenset(with_space_before)
        self._find = re.compile("|".join(map(re.escape, self.names)))

    def are_in(self, text: str) -> bool:
        """Whether one of the tokens stands in the text."""
        return self._find.search(text) is not None

    def are_in_any(self, texts: list[str]) -> bool:
        """Whether one of the tokens stands in one of the texts; rarely, True where none does."""
        return self._find.search("\n".join(texts)) is not None

    def split(self, text: str) -> list[Part]:
        """The parts of a text in order, empty ones and white space taken in left out."""
        parts, at = [], 0
        for match in self._find.finditer(text):
            token, end = match[0], match.start()
            if token in self._with_space_before:
                end = at + len(text[at:end].rstrip(_WHITE_SPACE))
            if end > at:
                parts.append(Part(at, end, None))
            at = match.end()
            parts.append(Part(match.start(), at, self._ids[token]))
        if len(text) > at:
            parts.append(Part(at, len(text), None))
        return parts

    def encode(self, text: str, encode: Callable[[str], list[int]]) -> list[int]:
        """The ids of a text; ``encode`` gives those of what stands between the tokens."""
        if not self.are_in(text):
            return encode(text)
        ids: list[int] = []
        for start, end, token_id in self.split(text):
            if token_id is None:
                ids += encode(text[start:end])
            else:
                ids.append(token_id)
        return ids

    def encode_batch(self, texts: list[str], encode: Callable[[list[str]], Ragged]) -> Ragged:
        """The rows of many texts; ``encode`` gives those of what stands between the tokens.

        It is called once, with all parts of all texts.
        """
        parts_of = [self.split(text) for text in texts]
        parts = [part for parts in parts_of for part in parts]
        owners = np.repeat(np.arange(len(texts)), [len(parts) for parts in parts_of])
        is_text = np.fromiter((part.token_id is None for part in parts), np.bool_, len(parts))
        begins = np.fromiter((part.start for part in parts), np.int32, len(parts))
        ordinary = encode(
            [
                texts[owner][part.start : part.end]
                for owner, part in zip(owners.tolist(), parts)
                if part.token_id is None
            ]
        )
        special = [part for part in parts if part.token_id is not None]
        whole = Ragged.from_rows(
            [[part.token_id] for part in special],
            None if ordinary.starts is None else [[0]] * len(special),
            None if ordinary.starts is None else [[p.end - p.start] for p in special],
            None if ordinary.words is None else [[0]] * len(special),
        )
        # All rows of the parts in the order of the texts, then as one row per text.
        order = np.where(is_text, np.cumsum(is_text), np.cumsum(~is_text) + is_text.sum()) - 1
        rows = Ragged.concatenate([ordinary, whole]).take(order)
        ends_of_parts = np.searchsorted(owners, np.arange(1, len(texts) + 1))
        splits = rows.splits[np.concatenate([[0], ends_of_parts])]
        starts, ends, words = rows.starts, rows.ends, rows.words
        if starts is not None:
            moved = np.repeat(begins, rows.lengths)
            starts, ends = starts + moved, ends + moved
        if words is not None:
            is_new = np.ones(len(words), np.bool_)
            np.not_equal(words[1:], words[:-1], out=is_new[1:])
            is_new[rows.splits[:-1][rows.lengths > 0]] = True
            words = number_words(is_new, splits)
        return Ragged(rows.ids, splits, starts, ends, words)
