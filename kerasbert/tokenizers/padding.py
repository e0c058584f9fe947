"""What stands around texts, how long rows shall be, and which text of a pair gives way."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

TRUNCATION = ("longest_first", "only_first", "only_second")


@dataclass(frozen=True)
class Template:
    """What stands around one text (``start A end``) or two (``start A between B end``).

    Attributes:
        start: ids of the special tokens before the first text; they have its segment id.
        between: ids of those after the first of two texts; they have the first text's segment id.
        end: ids of those after the last text.
        segments: the segment ids of the first and of the second text.
        end_segments: the segment id of each token of ``end``; None is that of the text before it.
            Empty stands for None throughout.
        pad_segment: the segment id of padding.
        padding_side: "right" or "left".
    """

    start: tuple[int, ...] = ()
    between: tuple[int, ...] = ()
    end: tuple[int, ...] = ()
    segments: tuple[int, int] = (0, 1)
    end_segments: tuple[int | None, ...] = ()
    pad_segment: int = 0
    padding_side: str = "right"

    def __post_init__(self):
        if self.padding_side not in ("right", "left"):
            raise ValueError(f'padding_side must be "right" or "left", got {self.padding_side!r}.')
        if self.end_segments and len(self.end_segments) != len(self.end):
            raise ValueError(
                f"end_segments must name a segment id (or None) for each of the {len(self.end)} "
                f"tokens of end, got {self.end_segments!r}."
            )

    def count(self, is_pair: bool) -> int:
        """How many tokens the template adds."""
        return len(self.start) + len(self.end) + (len(self.between) if is_pair else 0)

    def segments_of_end(self, is_pair: bool) -> tuple[int, ...]:
        """The segment id of each token of ``end``."""
        return self._segments_of_ends[is_pair]

    @functools.cached_property
    def _segments_of_ends(self) -> tuple[tuple[int, ...], ...]:
        named = self.end_segments or (None,) * len(self.end)
        return tuple(
            tuple(own if segment is None else segment for segment in named) for own in self.segments
        )


@dataclass(frozen=True)
class Shape:
    """How long the rows of a batch shall be.

    Attributes:
        max_length: most tokens in a row, special tokens counted; None: any number.
        truncation: "longest_first", "only_first", "only_second", or False to leave long rows long.
        padding: True or "longest": to the longest row; "max_length"; False: none.
        multiple_of: round the padded length up to a multiple of this.
        truncate_from: "right" or "left": the side that loses tokens.
    """

    max_length: int | None = None
    truncation: str | bool = True
    padding: str | bool = True
    multiple_of: int | None = None
    truncate_from: str = "right"

    def __post_init__(self):
        def check(name, value, allowed):
            if value not in allowed:
                raise ValueError(f"{name} must be one of {allowed}, got {value!r}.")

        check("truncation", self.truncation, (True, False, *TRUNCATION))
        check("padding", self.padding, (True, False, "longest", "max_length"))
        check("truncate_from", self.truncate_from, ("right", "left"))
        for name in ("max_length", "multiple_of"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, (int, np.integer)) or value < 1):
                raise ValueError(f"{name} must be a positive whole number, got {value!r}.")
        if self.padding == "max_length" and self.max_length is None:
            raise ValueError('padding="max_length" needs max_length.')

    def keep(self, first, second, special: int, minimum=np.minimum, maximum=np.maximum):
        """How many tokens of each text stay.

        Args:
            first: number of tokens of the first texts, an array or, with ``min`` and ``max`` for
                the last two arguments, one number.
            second: the same of the second texts; None without them.
            special: number of special tokens in a row.
            minimum: function of two values.
            maximum: function of two values.

        Returns:
            The lengths kept, of the first and the second texts.

        Raises:
            ValueError: ``max_length`` leaves no room.
        """
        if self.max_length is None or not self.truncation:
            return first, second
        room = self.max_length - special
        if room < 0:
            raise ValueError(
                f"max_length={self.max_length} is less than the {special} special tokens of a row."
            )
        if second is None:
            if self.truncation == "only_second":
                raise ValueError('truncation="only_second" needs pairs of texts.')
            return minimum(first, room), None
        if self.truncation == "only_first":
            first = minimum(first, maximum(room - second, 0))
        elif self.truncation == "only_second":
            second = minimum(second, maximum(room - first, 0))
        else:
            first, second = longest_first(first, second, room, minimum, maximum)
        excess = np.max(first + second, initial=0) - room
        if excess > 0:
            raise ValueError(
                f"with truncation={self.truncation!r} a pair stays {excess} tokens longer than "
                f'max_length={self.max_length}: use truncation="longest_first" (or True), or a '
                "larger max_length."
            )
        return first, second

    def cut(
        self, first: list[int], second: list[int] | None, special: int
    ) -> tuple[list[int], list[int] | None]:
        """What stays of one text or pair if there is a ``max_length``: :meth:`keep` for lists."""
        if not self.truncation:
            return first, second
        size = len(first) + special + (0 if second is None else len(second))
        if size <= self.max_length and self.truncation is True:
            return first, second
        count, count_second = self.keep(
            len(first), None if second is None else len(second), special, min, max
        )
        return self._part(first, count), second and self._part(second, count_second)

    def cut_all(self, rows: list[list[int]], special: int) -> list[list[int]]:
        """What stays of many texts without second ones: :meth:`cut` of each."""
        if self.max_length is None or not self.truncation:
            return rows
        room, _ = self.keep(self.max_length, None, special, min, max)
        return [ids if len(ids) <= room else self._part(ids, room) for ids in rows]

    def _part(self, ids: list[int], count: int) -> list[int]:
        return ids[:count] if self.truncate_from == "right" else ids[len(ids) - count :]

    def width(self, longest: int) -> int:
        """The padded length of rows of which the longest has ``longest`` tokens."""
        if not self.padding:
            return longest
        width = max(longest, self.max_length) if self.padding == "max_length" else longest
        return -(-width // self.multiple_of) * self.multiple_of if self.multiple_of else width


def longest_first(first, second, room: int, minimum=np.minimum, maximum=np.maximum):
    """How many tokens of a pair stay if the longer text loses tokens, one by one, until all fit.

    Of two equally long texts the first one loses (the rule of bert4keras). In closed form, so that
    it serves numbers (with ``min`` and ``max``), arrays and tensors.

    Args:
        first: number of tokens of the first text or texts.
        second: the same of the second.
        room: how many tokens of both together may stay.
        minimum: function of two values.
        maximum: function of two values.

    Returns:
        The lengths kept, of the first and the second texts.
    """
    first = minimum(first, maximum(room - second, room // 2))
    return first, minimum(second, room - first)
