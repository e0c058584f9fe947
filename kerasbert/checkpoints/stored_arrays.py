"""Arrays that lie in a file: checked when they are described, read when they are asked for."""

from __future__ import annotations

import codecs
import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, Union

import numpy as np

from kerasbert.backend import tf
from kerasbert.checkpoints.buffers import aligned, as_tensor
from kerasbert.checkpoints.unpickling import Span

_CHUNK = 4_000_000  # bytes
_MAX_AXES = 32
_LONGEST_AXIS = 2**48
# An array that repeats numbers (a stride of zero) may be this large; others are not larger than
# what is stored.
_FREE_BYTES = 2**24


@dataclass(frozen=True)
class Numbers:
    """A type of numbers.

    Attributes:
        name: for messages.
        size: bytes of a number.
        dtype: NumPy's; None for numbers that mean nothing by themselves, as those of quantised
            models.
    """

    name: str
    size: int
    dtype: np.dtype | None


def numbers(dtype: Any, name: str = "") -> Numbers:
    """A type of numbers that are read."""
    dtype = np.dtype(dtype)
    return Numbers(name or dtype.name, dtype.itemsize, dtype)


# In the file, or so short that it was read already; a text is Latin-1 and stands for bytes.
Source = Union[Span, bytes, str]


@dataclass(frozen=True)
class StoredArray:
    """Where the numbers of an array are.

    Attributes:
        pieces: what is stored, in order, each with the number of bytes that it stands for.
        numbers: their type.
        shape: of the array.
        strides: for each axis, how many numbers the next one is away.
        offset: how many numbers come before the first.

    Raises:
        ValueError: this is no array, or it reaches beyond what is stored.
    """

    pieces: tuple[tuple[Source, int], ...]
    numbers: Numbers
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int = 0

    def __post_init__(self) -> None:
        if not (are_sizes(self.shape) and are_sizes(self.strides) and are_sizes((self.offset,))):
            raise ValueError("its shape is none")
        if len(self.strides) != len(self.shape):
            raise ValueError(f"it has {len(self.shape)} axes but {len(self.strides)} strides")
        stored = sum(size for _, size in self.pieces)
        if self.reach * self.numbers.size > stored:
            raise ValueError(
                f"of shape {self.shape}, it reaches to byte {self.reach * self.numbers.size:,} of "
                f"{stored:,} that are stored"
            )
        if self.num_bytes > max(stored, _FREE_BYTES):
            raise ValueError(f"it repeats {stored:,} bytes so often that they become too many")

    @property
    def reach(self) -> int:
        """How many of the stored numbers lie before the end of the last one that is used."""
        if 0 in self.shape:
            return 0
        steps = zip(self.shape, self.strides)
        return self.offset + sum((length - 1) * stride for length, stride in steps) + 1

    @property
    def num_bytes(self) -> int:
        return math.prod(self.shape) * self.numbers.size

    @property
    def is_contiguous(self) -> bool:
        """Whether the numbers lie in the order of the array, with nothing between them."""
        plain = contiguous(self.shape)
        axes = zip(self.shape, self.strides, plain)
        return 0 in self.shape or all(n == 1 or ours == expected for n, ours, expected in axes)


def are_sizes(values: Any) -> bool:
    """Whether something that a file holds can be a shape."""
    return (
        isinstance(values, tuple)
        and len(values) <= _MAX_AXES
        and all(type(value) is int and 0 <= value <= _LONGEST_AXIS for value in values)
    )


def contiguous(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The strides, in numbers, of an array with its last axis innermost."""
    strides, step = [], 1
    for length in reversed(shape):
        strides.append(step)
        step *= length
    return tuple(strides[::-1])


def read_array(file: BinaryIO, array: StoredArray) -> tf.Tensor:
    """Reads an array into memory that becomes the tensor's own.

    Args:
        file: where its spans are.
        array: with numbers of a type that is read.

    Raises:
        ValueError: the bytes are damaged, or not as many as there should be.
    """
    values = aligned(array.shape, array.numbers.dtype)
    if not values.size:
        return as_tensor(values)
    size = array.numbers.size
    if array.is_contiguous:
        _fill(file, array, array.offset * size, _bytes_of(values))
    else:  # a transposed matrix, or a part of a larger one
        window = np.empty(array.reach - array.offset, values.dtype)
        _fill(file, array, array.offset * size, _bytes_of(window))
        strides = [stride * size for stride in array.strides]
        values[...] = np.lib.stride_tricks.as_strided(window, array.shape, strides)
    return as_tensor(values)


def _bytes_of(values: np.ndarray) -> memoryview:
    return memoryview(values.reshape(-1).view(np.uint8))


def _fill(file: BinaryIO, array: StoredArray, start: int, target: memoryview) -> None:
    """Fills ``target`` with what is stored from byte ``start`` on."""
    source, size = array.pieces[0]
    if isinstance(source, Span) and not source.text and len(array.pieces) == 1:
        _read_into(file, source, start, target)
        return
    done = 0
    for source, size in array.pieces:  # of NumPy: always all of it
        part = target[done : done + size]
        if isinstance(source, Span) and not source.text:
            _read_into(file, source, 0, part)
        else:
            _copy_into(_decoded(file, source), part)
        done += size
    if done != len(target):
        raise ValueError(f"{done:,} bytes are stored for {len(target):,}")


def _read_into(file: BinaryIO, span: Span, start: int, target: memoryview) -> None:
    file.seek(span.start + start)
    is_whole = start == 0 and len(target) == span.size
    crc = 0
    for position in range(0, len(target), _CHUNK):
        part = target[position : position + _CHUNK]
        if file.readinto(part) != len(part):
            raise ValueError("the file became shorter while it was read")
        if is_whole and span.crc:  # as long as the part is in the processor's cache
            crc = zlib.crc32(part, crc)
    if is_whole and span.crc and crc != span.crc:
        raise ValueError("its checksum is another than it was when the file was written")


def _copy_into(chunks: Iterator[bytes], target: memoryview) -> None:
    done = 0
    for chunk in chunks:
        if done + len(chunk) > len(target):
            raise ValueError("more bytes are stored than its shape says")
        target[done : done + len(chunk)] = chunk
        done += len(chunk)
    if done != len(target):
        raise ValueError(f"{done:,} bytes are stored, its shape says {len(target):,}")


def _decoded(file: BinaryIO, source: Source) -> Iterator[bytes]:
    """The bytes that a text stands for, as protocol 2 spells them: one for each character."""
    if isinstance(source, bytes):
        yield source
    elif isinstance(source, str):
        yield source.encode("latin-1")
    else:
        decoder = codecs.getincrementaldecoder("utf-8")()
        file.seek(source.start)
        for position in range(0, source.size, _CHUNK):
            data = file.read(min(_CHUNK, source.size - position))
            is_last = position + _CHUNK >= source.size
            yield decoder.decode(data, final=is_last).encode("latin-1")
