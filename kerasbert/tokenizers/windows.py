"""Sliding windows over texts that are too long, as machine reading comprehension uses them."""

from __future__ import annotations

import numpy as np

from kerasbert.tokenizers.padding import Shape
from kerasbert.tokenizers.ragged import Ragged


def split_into_windows(
    first: Ragged, second: Ragged | None, special: int, shape: Shape, stride: int
) -> tuple[Ragged, Ragged | None, np.ndarray]:
    """Cuts every text that is too long into windows that overlap.

    Args:
        first: the first texts.
        second: the second texts, or None.
        special: number of special tokens in a row.
        shape: how long the rows may be, and by ``truncation`` which text of a pair is cut; the
            other one stands whole in every window.
        stride: tokens that a window shares with the one before it (Hugging Face's meaning).

    Returns:
        First and second texts of all windows, those of one text one after the other (from its
        start, or from its end when ``truncate_from`` is "left"), and the number of the text that
        each window is of: int32, (windows,).

    Raises:
        ValueError: no length to cut to, no text to cut, or no room for a window.
    """
    if shape.max_length is None or not shape.truncation:
        raise ValueError("return_overflowing=True cuts long texts: it needs max_length=...")
    if second is None and shape.truncation == "only_second":
        raise ValueError('truncation="only_second" needs pairs of texts.')
    if second is not None and shape.truncation not in ("only_first", "only_second"):
        raise ValueError(
            "return_overflowing=True with pairs needs to know which text is cut into windows: give "
            'truncation="only_second" (question first, document second) or "only_first".'
        )
    cut, whole = (second, first) if shape.truncation == "only_second" else (first, second)
    room = np.full(len(cut.lengths), shape.max_length - special)
    if whole is not None:
        room -= whole.lengths
    is_long = cut.lengths > room
    if (is_long & (room <= stride)).any():
        row = int(np.flatnonzero(is_long & (room <= stride))[0])
        raise ValueError(
            f"text {row} leaves room for {room[row]} tokens in a window, which must be more than "
            f"the {stride} of stride: give a larger max_length or a smaller stride."
        )
    step = np.where(is_long, room - stride, 1)
    count = np.where(is_long, 1 - (room - cut.lengths) // step, 1)
    rows = np.repeat(np.arange(len(count)), count)
    moved = (np.arange(len(rows)) - np.repeat(np.cumsum(count) - count, count)) * step[rows]
    lengths, size = cut.lengths[rows], np.minimum(room, cut.lengths)[rows]
    if shape.truncate_from == "left":
        end = lengths - moved
        begin = np.maximum(end - size, 0)
    else:
        begin = moved
        end = np.minimum(begin + size, lengths)
    cut = cut.take(rows, begin, end - begin)
    whole = None if whole is None else whole.take(rows)
    first, second = (whole, cut) if shape.truncation == "only_second" else (cut, whole)
    return first, second, rows.astype(np.int32)
