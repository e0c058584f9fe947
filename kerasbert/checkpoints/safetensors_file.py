"""The safetensors format: one file, or shards with an index, as Hugging Face publishes models.

A file is a JSON header (name, dtype, shape and place of every tensor) and the bytes. The
safetensors library checks the header and maps the file into memory; nothing in it is executed.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from safetensors import SafetensorError, safe_open

from kerasbert.backend import tf
from kerasbert.checkpoints import shards
from kerasbert.checkpoints.buffers import aligned, as_tensor
from kerasbert.checkpoints.errors import CheckpointFormatError, refuse_lfs_pointer
from kerasbert.checkpoints.google import local_cpu

SUFFIX = ".safetensors"
_LARGE = 4_000_000  # numbers; what is read at once
# BF16 is ml_dtypes' for NumPy, which comes with TensorFlow. Other formats are those of quantised
# models: their numbers mean nothing without scales.
_DTYPES = frozenset(
    ("F64", "F32", "F16", "BF16", "I64", "I32", "I16", "I8", "U64", "U32", "U16", "U8", "BOOL")
)


class SafetensorsCheckpoint:
    """Open safetensors: what they hold is known at once, tensors are read when asked for.

    Args:
        path: a ``.safetensors`` file, one shard of several, or a ``.safetensors.index.json``.

    Attributes:
        path: that file.
        shapes: shape of every tensor by name.

    Raises:
        CheckpointNotFoundError: a shard is missing.
        CheckpointFormatError: a file is damaged, truncated, of another format, or a Git LFS
            pointer.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.shapes: dict[str, tuple[int, ...]] = {}
        self._stored: dict[str, tuple[Path, str]] = {}  # a tensor's file, and its name there
        files, listed = shards.files_of(self.path, SUFFIX)
        for file in files:
            self._add(file)
        shards.check_complete(listed, self.shapes, self.path)

    def _add(self, file: Path) -> None:
        refuse_lfs_pointer(file)
        with _opened(file) as tensors:
            names = tensors.keys()
            shapes = {name: tuple(tensors.get_slice(name).get_shape()) for name in names}
            metadata = tensors.metadata() or {}
        shards.check_new(shapes, self.shapes, file)
        # `safetensors.torch.save_model` leaves tied copies out and notes which tensor each equals.
        tied = {copy: name for copy, name in metadata.items() if name in shapes}
        for name, stored in {**tied, **dict(zip(shapes, shapes))}.items():
            self.shapes[name] = shapes[stored]
            self._stored[name] = (file, stored)

    def __repr__(self) -> str:
        return f"SafetensorsCheckpoint({str(self.path)!r}, {len(self.shapes)} tensors)"

    def read(self, names: Iterable[str]) -> dict[str, tf.Tensor]:
        """Reads tensors in the dtypes that they are stored in; several threads may do so at once.

        Files are mapped for a short time only: pages that stay mapped count as memory of the
        process, and in the end the whole model would be there twice.

        Args:
            names: which tensors.

        Raises:
            CheckpointFormatError: the dtype of a quantised model, or a file that changed.
        """
        wanted: dict[Path, list[str]] = {}
        for name in names:
            wanted.setdefault(self._stored[name][0], []).append(name)
        found = {}
        with tf.init_scope(), local_cpu():
            for file, members in wanted.items():
                large = {name for name in members if math.prod(self.shapes[name]) > _LARGE}
                with _opened(file) as tensors:
                    for name in members:
                        stored = self._stored[name][1]
                        _check_dtype(tensors.get_slice(stored).get_dtype(), file, stored)
                        if name not in large:
                            found[name] = tf.convert_to_tensor(tensors.get_tensor(stored))
                for name in large:
                    found[name] = _read_large(file, self._stored[name][1], self.shapes[name])
        return found


def _check_dtype(dtype: str, file: Path, name: str) -> None:
    if dtype not in _DTYPES:
        raise CheckpointFormatError(
            f"{file} holds {name!r} as {dtype}, as quantised models do. Take the release in "
            "float32, float16 or bfloat16."
        )


def _read_large(file: Path, name: str, shape: tuple[int, ...]) -> tf.Tensor:
    """Reads a tensor in parts into the memory that becomes the tensor's own."""
    rows = max(1, _LARGE // math.prod(shape[1:]))
    values = None
    for start in range(0, shape[0], rows):
        with _opened(file) as tensors:
            part = tensors.get_slice(name)[start : min(start + rows, shape[0])]
        if values is None:
            values = aligned(shape, part.dtype)
        values[start : start + rows] = part
    return as_tensor(values)


def is_safetensors(path: Path) -> bool:
    """Whether a file's name is that of weights in this format, or of their index."""
    return path.name.endswith(SUFFIX) or shards.is_index(path, SUFFIX)


def find_files(files: Sequence[Path]) -> list[Path]:
    """The files in this format; of those that belong together, the index or the first shard."""
    return shards.first_of_each(filter(is_safetensors, files), SUFFIX)


def choose_file(candidates: Sequence[Path], files: Sequence[Path], name: str) -> Path:
    """The one file that :func:`shards.choose_file` takes, ``model.safetensors`` if in doubt."""
    return shards.choose_file(candidates, files, name, "model.safetensors", "safetensors")


@contextlib.contextmanager
def _opened(file: Path) -> Iterator:
    """The library's handle of a file, with its errors turned into one sentence about the file."""
    try:
        with safe_open(file, framework="numpy") as tensors:
            yield tensors
    except SafetensorError as error:
        raise CheckpointFormatError(
            f"{file} ({file.stat().st_size:,} bytes) is damaged, truncated or not in the "
            f"safetensors format. Download it again. The safetensors library says: {error}"
        ) from error
