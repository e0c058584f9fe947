"""From rows of tokens to model inputs: special tokens, truncation and padding of whole batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kerasbert.tokenizers.ragged import Ragged

TRUNCATION = ("longest_first", "only_first", "only_second")
_NO_PADDING_TOKEN = (
    "the vocabulary has no padding token, and rows are to be padded: give the tokenizer its name "
    "(token_pad=...), or call with padding=False."
)


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
        own = self.segments[is_pair]
        if not self.end_segments:
            return (own,) * len(self.end)
        return tuple(own if segment is None else segment for segment in self.end_segments)


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

    def width(self, longest: int) -> int:
        """The padded length of rows of which the longest has ``longest`` tokens."""
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


def assemble(
    first: Ragged, second: Ragged | None, template: Template, shape: Shape, pad_id: int | None
) -> dict[str, np.ndarray | list[np.ndarray]]:
    """Joins one or two batches of texts to model inputs.

    Args:
        first: the first texts.
        second: the second texts, as many; or None.
        template: the special tokens to put around them.
        shape: how long the rows shall be.
        pad_id: id of the padding token; may be None when nothing is to be padded.

    Returns:
        ``token_ids``, ``segment_ids`` (as the template says) and ``attention_mask`` (1 for tokens,
        0 for padding), int32 (rows, length); and, when ``first`` has them, ``offsets``, int32
        (rows, length, 2), and ``word_ids``, int32 (rows, length), -1 where there is no text. Lists
        of one array per row instead of arrays when ``shape.padding`` is False.
    """
    is_pair = second is not None
    special = template.count(is_pair)
    kept, kept_second = shape.keep(
        first.lengths, None if second is None else second.lengths, special
    )
    head = len(template.start) + kept + (len(template.between) if is_pair else 0)
    tail = kept_second if is_pair else np.zeros_like(kept)
    lengths = head + tail + len(template.end)
    width = shape.width(int(lengths.max(initial=0)))
    widths = np.full_like(lengths, width) if shape.padding else lengths
    pads = widths - lengths
    if pad_id is None and pads.any():
        raise ValueError(_NO_PADDING_TOKEN)

    segments = [(head, template.segments[0]), (tail, template.segments[1])]
    segments += [(np.ones_like(head), segment) for segment in template.segments_of_end(is_pair)]
    on_left = template.padding_side == "left"

    def with_padding(runs, fill):
        return _runs([(pads, fill), *runs] if on_left else [*runs, (pads, fill)])

    row_at = np.cumsum(widths) - widths + (pads if on_left else 0)
    size = int(widths.sum())
    out = {
        "token_ids": np.full(size, pad_id or 0, np.int32),
        "segment_ids": with_padding(segments, template.pad_segment),
        "attention_mask": with_padding([(lengths, 1)], 0),
    }
    if first.starts is not None:
        out["offsets"] = np.zeros((size, 2), np.int32)
    if first.words is not None:
        out["word_ids"] = np.full(size, -1, np.int32)

    at = row_at
    for source, count, ids in (
        (None, 0, template.start),
        (first, kept, ()),
        (None, 0, template.between if is_pair else ()),
        (second, kept_second, ()),
        (None, 0, template.end),
    ):
        for token_id in ids:
            out["token_ids"][at] = token_id
            at = at + 1
        if source is not None:
            _copy(source, count, at, out, shape.truncate_from == "left")
            at = at + count
    if shape.padding:
        return {
            name: flat.reshape(len(lengths), width, *flat.shape[1:]) for name, flat in out.items()
        }
    ends = np.cumsum(lengths)
    spans = list(zip((ends - lengths).tolist(), ends.tolist()))
    return {name: [flat[start:end] for start, end in spans] for name, flat in out.items()}


def assemble_one(
    first: list[int],
    second: list[int] | None,
    template: Template,
    shape: Shape,
    pad_id: int | None,
) -> dict[str, list[int]]:
    """:func:`assemble` for one text or pair, in plain Python, which is faster than arrays there.

    Args:
        first: ids of the first text.
        second: ids of the second text, or None.
        template: the special tokens to put around them.
        shape: how long the row shall be.
        pad_id: id of the padding token; may be None when nothing is to be padded.

    Returns:
        Lists: ``token_ids``, ``segment_ids`` and ``attention_mask``.
    """
    is_pair = second is not None
    count, count_second = shape.keep(
        len(first), len(second) if is_pair else None, template.count(is_pair), min, max
    )

    def kept(ids, count):
        return ids[:count] if shape.truncate_from == "right" else ids[len(ids) - count :]

    ids = [*template.start, *kept(first, count)]
    segments = [template.segments[0]] * len(ids)
    if is_pair:
        ids += template.between
        segments += [template.segments[0]] * len(template.between)
        ids += kept(second, count_second)
        segments += [template.segments[1]] * count_second
    ids += template.end
    segments += template.segments_of_end(is_pair)
    length = len(ids)
    pads = shape.width(length) - length if shape.padding else 0
    if pads and pad_id is None:
        raise ValueError(_NO_PADDING_TOKEN)
    rows = {"token_ids": ids, "segment_ids": segments, "attention_mask": [1] * length}
    if not pads:
        return rows
    fills = (pad_id, template.pad_segment, 0)
    if template.padding_side == "left":
        return {name: [fill] * pads + row for (name, row), fill in zip(rows.items(), fills)}
    return {name: row + [fill] * pads for (name, row), fill in zip(rows.items(), fills)}


def _runs(parts: Sequence[tuple[np.ndarray, int]]) -> np.ndarray:
    """Row by row, each value as often as its part says: int32, the sum of all counts long."""
    counts = np.stack([count for count, _ in parts], axis=1).ravel()
    values = np.tile(np.array([value for _, value in parts], np.int32), len(counts) // len(parts))
    return np.repeat(values, counts)


def _copy(source: Ragged, count: np.ndarray, at: np.ndarray, out: dict, from_end: bool) -> None:
    """Copies ``count`` tokens of each row of ``source`` to place ``at`` in the outputs."""
    begin = source.splits[:-1] + (source.lengths - count if from_end else 0)
    within = np.arange(int(count.sum()))
    before = np.cumsum(count) - count
    taken = within + np.repeat(begin - before, count)
    place = within + np.repeat(at - before, count)
    out["token_ids"][place] = source.ids[taken]
    if "offsets" in out:
        out["offsets"][place, 0] = source.starts[taken]
        out["offsets"][place, 1] = source.ends[taken]
    if "word_ids" in out:
        out["word_ids"][place] = source.words[taken]
