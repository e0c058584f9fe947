"""Files whose tensors lie in them as plain arrays: the part that PyTorch's and Paddle's share."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path
from typing import Callable

from kerasbert.backend import tf
from kerasbert.checkpoints import shards
from kerasbert.checkpoints.errors import CheckpointFormatError, refuse_lfs_pointer
from kerasbert.checkpoints.google import local_cpu
from kerasbert.checkpoints.stored_arrays import StoredArray, read_array


class ArrayFiles:
    """One file, or several shards: what they hold is known, tensors are read when asked for.

    Args:
        path: a file, one shard of several, or their index.
        suffix: of shards, with its dot.
        describe: where the arrays of a file are, by name.

    Attributes:
        path: that file.
        shapes: shape of every tensor by name, in the order of the files.

    Raises:
        CheckpointNotFoundError: a shard is missing.
        CheckpointFormatError: a Git LFS pointer, shards that do not belong together, and what
            ``describe`` raises.
    """

    def __init__(
        self, path: str | Path, suffix: str, describe: Callable[[Path], dict[str, StoredArray]]
    ):
        self.path = Path(path)
        self.shapes: dict[str, tuple[int, ...]] = {}
        self._stored: dict[str, tuple[Path, StoredArray]] = {}
        files, listed = shards.files_of(self.path, suffix)
        for file in files:
            refuse_lfs_pointer(file)
            arrays = describe(file)
            shards.check_new(arrays, self.shapes, file)
            self.shapes.update((name, array.shape) for name, array in arrays.items())
            self._stored.update((name, (file, array)) for name, array in arrays.items())
        shards.check_complete(listed, self.shapes, self.path)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.path)!r}, {len(self.shapes)} tensors)"

    def read(self, names: Iterable[str]) -> dict[str, tf.Tensor]:
        """Reads tensors in the dtypes that they are stored in; several threads may do so at once.

        What has two names, as tied weights have, is read once.

        Args:
            names: which tensors.

        Raises:
            CheckpointFormatError: the dtype of a quantised model, or damaged bytes.
        """
        found: dict[str, tf.Tensor] = {}
        read: dict[tuple[Path, StoredArray], tf.Tensor] = {}
        with contextlib.ExitStack() as stack, tf.init_scope(), local_cpu():
            opened = {}
            for name in names:
                file, array = self._stored[name]
                if file not in opened:
                    opened[file] = stack.enter_context(file.open("rb"))
                if array.numbers.dtype is None:
                    raise CheckpointFormatError(
                        f"{file} holds {name!r} as {array.numbers.name}, as quantised or complex "
                        "models do. Take the release in float32, float16 or bfloat16."
                    )
                if (file, array) not in read:
                    try:
                        read[file, array] = read_array(opened[file], array)
                    except ValueError as error:
                        raise CheckpointFormatError(
                            f"{file} is damaged at {name!r}: {error}. Download it again."
                        ) from error
                found[name] = read[file, array]
        return found
