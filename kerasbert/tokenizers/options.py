"""What a call of a tokenizer asks for, checked once for all calls that ask for the same."""

from __future__ import annotations

import functools
from dataclasses import dataclass

from kerasbert.tokenizers.padding import Shape


@dataclass(frozen=True)
class Options:
    """The options of a call.

    Attributes:
        shape: how long the rows shall be.
        stride: tokens that a window shares with the one before it; None where texts are not cut
            into windows.
        with_offsets: whether to give the place of each token.
        with_words: whether to give the word of each token.
        tensors: "np", "tf" or None.
        is_plain: whether nothing but ids, segment ids and a mask is asked for, of each text as one
            row.
    """

    shape: Shape
    stride: int | None
    with_offsets: bool
    with_words: bool
    tensors: str | None
    is_plain: bool


def check_options(
    max_length,
    truncation,
    padding,
    pad_to_multiple_of,
    truncate_from,
    stride,
    return_overflowing,
    return_offsets,
    return_word_ids,
    return_tensors,
) -> Options:
    """The options that the arguments of a call name.

    Raises:
        ValueError: they are wrong, or do not fit each other.
    """
    shape = Shape(max_length, truncation, padding, pad_to_multiple_of, truncate_from)
    if return_tensors not in ("np", "tf", None):
        raise ValueError(f'return_tensors must be "np", "tf" or None, got {return_tensors!r}.')
    if isinstance(stride, bool) or not isinstance(stride, int) or stride < 0:
        raise ValueError(f"stride must be a whole number from 0 on, got {stride!r}.")
    if stride and not return_overflowing:
        raise ValueError("stride is of windows: give return_overflowing=True as well.")
    return Options(
        shape,
        stride if return_overflowing else None,
        bool(return_offsets),
        bool(return_word_ids),
        return_tensors,
        not (return_overflowing or return_offsets or return_word_ids),
    )


# The same options for the same arguments, since checking them takes longer than a short text. An
# argument that cannot be looked up is wrong, and a TypeError: the checks themselves say it better.
known_options = functools.lru_cache(maxsize=64, typed=True)(check_options)
