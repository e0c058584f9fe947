"""The format of ``paddle.save``: ``model_state.pdparams``, a pickle of NumPy arrays by name.

The arrays' bytes are within the pickle. They are left there, and read when asked for.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from kerasbert.backend import tf
from kerasbert.checkpoints.array_files import ArrayFiles
from kerasbert.checkpoints.errors import CheckpointFormatError
from kerasbert.checkpoints.pickled_arrays import NumpyArray, plain_name
from kerasbert.checkpoints.state_dict import find_state_dict
from kerasbert.checkpoints.stored_arrays import StoredArray, contiguous, numbers
from kerasbert.checkpoints.torch_legacy import is_legacy
from kerasbert.checkpoints.unpickling import unpickle

SUFFIX = ".pdparams"
_HEAD = 2048
# In protocol 2 an array of more than 2**30 bytes is stored in parts, and this lists them.
_PARTS = "UnpackBigParamInfor@@"
# Paddle has NumPy write bfloat16 as what has as many bits, and reads it so.
_BFLOAT16 = numbers(tf.bfloat16.as_numpy_dtype)


class PaddleCheckpoint(ArrayFiles):
    """An open file of Paddle: what it holds is known at once, tensors are read when asked for.

    Nothing of the file's is executed: see :mod:`~kerasbert.checkpoints.unpickling`. Names and
    layout are the file's: matrices of linear layers are (inputs, outputs).

    Args:
        path: a ``.pdparams`` file, one shard of several, or a ``.pdparams.index.json``.

    Attributes:
        path: that file.
        shapes: shape of every tensor by name, in the order of the file.

    Raises:
        CheckpointNotFoundError: a shard is missing.
        CheckpointFormatError: a file is damaged, truncated, of another format, without arrays, or
            asks for code to be run; or a Git LFS pointer.
    """

    def __init__(self, path: str | Path):
        super().__init__(path, SUFFIX, _describe)


def is_paddle(path: Path) -> bool:
    """Whether a file is a pickle with Paddle's suffix, or one that begins with a NumPy array."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError:
        return False
    if len(head) < 2 or head[0] != 0x80 or not 2 <= head[1] <= 5 or is_legacy(head):
        return False
    has_array = b"numpy" in head and (b"_reconstruct" in head or b"_frombuffer" in head)
    return path.suffix == SUFFIX or has_array


def _describe(path: Path) -> dict[str, StoredArray]:
    """Where the arrays of a file are, by name."""
    with path.open("rb", buffering=2**16) as file:
        end = os.fstat(file.fileno()).st_size
        if file.read(1) != b"\x80":
            raise CheckpointFormatError(
                f"{path} ({end:,} bytes) is no file of `paddle.save`, which is a pickle. Download "
                "it again, or load it in Paddle and save its `state_dict()`."
            )
        file.seek(0)
        loaded = unpickle(file, end, path, plain_name)
    arrays = find_state_dict(loaded, path)
    found, name = {}, ""
    try:
        for name, value in arrays.items():
            assert isinstance(value, NumpyArray)  # no other stand-in is in use
            array = value.stored()
            if array.numbers.dtype == np.uint16:
                array = replace(array, numbers=_BFLOAT16)
            found[name] = array
        parts = loaded.get(_PARTS, {})
        for name in parts:
            found[name] = _joined(found, parts[name])
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise CheckpointFormatError(
            f"{path} is damaged at {name!r}: {error}. Download it again."
        ) from error
    return found


def _joined(found: dict[str, StoredArray], listed: Any) -> StoredArray:
    """The array that was stored in parts, which are taken out of ``found``."""
    arrays = [found.pop(part) for part in listed["slices"]]
    shape, kind = tuple(listed["OriginShape"]), arrays[0].numbers
    if any(array.numbers != kind or len(array.shape) != 1 for array in arrays):
        raise ValueError("its parts do not belong together")
    pieces = tuple(piece for array in arrays for piece in array.pieces)
    return StoredArray(pieces, kind, shape, contiguous(shape))
