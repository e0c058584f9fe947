"""Arrays whose memory becomes a tensor's own.

``tf.convert_to_tensor`` would copy an array twice, which for the token table of a multilingual
model is more than all other weights.
"""

from __future__ import annotations

import math

import numpy as np

from kerasbert.backend import tf

_ALIGNMENT = 64  # bytes; at other addresses TensorFlow makes a copy


def aligned(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """An array that is not filled, at an address as TensorFlow wants it."""
    size = math.prod(shape) * dtype.itemsize
    memory = np.empty(size + _ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % _ALIGNMENT
    return memory[start : start + size].view(dtype).reshape(shape)


def as_tensor(values: np.ndarray) -> tf.Tensor:
    """The tensor of an array from :func:`aligned`, which must not be written to afterwards."""
    if values.dtype == bool:  # any other byte than 0 and 1 is not for TensorFlow to meet
        return tf.cast(as_tensor(values.view(np.uint8)), tf.bool)
    if not values.size:
        return tf.convert_to_tensor(values)
    bits = values.view(f"u{values.itemsize}")  # of a dtype that DLPack knows
    tensor = tf.experimental.dlpack.from_dlpack(bits.__dlpack__())
    return tf.bitcast(tensor, values.dtype)
