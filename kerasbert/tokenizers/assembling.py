"""From rows of tokens to model inputs: special tokens, truncation and padding of whole batches."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kerasbert.tokenizers.padding import Shape, Template
from kerasbert.tokenizers.ragged import Ragged

_NO_PADDING_TOKEN = (
    "the vocabulary has no padding token, and rows are to be padded: give the tokenizer its name "
    "(token_pad=...), or call with padding=False."
)


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
    if shape.max_length is not None:
        first, second = shape.cut(first, second, template.count(is_pair))
    own, other = template.segments
    ids = [*template.start, *first]
    if not is_pair:
        segments = [own] * len(ids)
    else:
        ids += template.between
        segments = [own] * len(ids) + [other] * len(second)
        ids += second
    ids += template.end
    segments += template.segments_of_end(is_pair)
    length = len(ids)
    pads = shape.width(length) - length
    if pads and pad_id is None:
        raise ValueError(_NO_PADDING_TOKEN)
    rows = {"token_ids": ids, "segment_ids": segments, "attention_mask": [1] * length}
    if not pads:
        return rows
    fills = (pad_id, template.pad_segment, 0)
    if template.padding_side == "left":
        return {name: [fill] * pads + row for (name, row), fill in zip(rows.items(), fills)}
    return {name: row + [fill] * pads for (name, row), fill in zip(rows.items(), fills)}


def assemble_lists(
    rows: list[list[int]], template: Template, shape: Shape
) -> dict[str, list[list[int]]]:
    """:func:`assemble` for many texts without second ones and without padding, as lists.

    Args:
        rows: ids of each text; the lists are changed.
        template: the special tokens to put around them.
        shape: how long the rows shall be; its padding does not count.

    Returns:
        A list for each text: ``token_ids``, ``segment_ids`` and ``attention_mask``.
    """
    rows = assemble_ids(rows, template, shape)
    own, last = template.segments[0], template.segments_of_end(False)
    if set(last) <= {own}:
        segments = [[own] * len(ids) for ids in rows]
    else:
        segments = [[own] * (len(ids) - len(last)) + [*last] for ids in rows]
    return {
        "token_ids": rows,
        "segment_ids": segments,
        "attention_mask": [[1] * len(ids) for ids in rows],
    }


def assemble_ids(rows: list[list[int]], template: Template, shape: Shape) -> list[list[int]]:
    """The ``token_ids`` of :func:`assemble_lists` alone."""
    rows, start, end = shape.cut_all(rows, template.count(False)), template.start, template.end
    for ids in rows:  # in place, as new lists would be work for the garbage collector
        ids[:0] = start
        ids += end
    return rows


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
