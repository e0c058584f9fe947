"""The safetensors format: one file, or shards with an index, as Hugging Face publishes models.

A file is a JSON header (name, dtype, shape and place of every tensor) and the bytes. The
safetensors library checks the header and maps the file into memory; nothing in it is executed.
"""

from __future__ import annotations

import contextlib
import json
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from kerasbert.backend import tf
from kerasbert.checkpoints.companions import is_config
from kerasbert.checkpoints.errors import (
    CheckpointFormatError,
    CheckpointNotFoundError,
    refuse_lfs_pointer,
)
from kerasbert.checkpoints.google import local_cpu

SUFFIX = ".safetensors"
INDEX_SUFFIX = ".safetensors.index.json"
_SHARD = re.compile(r"(.+)-(\d{5})-of-(\d{5})\.safetensors", re.DOTALL)
_MAX_INDEX_BYTES = 50_000_000
_LARGE = 4_000_000  # numbers; what is read at once
_ALIGNMENT = 64  # bytes
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
        files, listed = _shards(self.path)
        for file in files:
            self._add(file)
        absent = [name for name in listed if name not in self.shapes]
        if absent:
            raise CheckpointFormatError(
                f"{self.path} lists {len(absent)} tensors that are not in its shards, such as "
                f"{absent[0]!r}: the files belong to different models. Download them again."
            )

    def _add(self, file: Path) -> None:
        refuse_lfs_pointer(file)
        with _opened(file) as tensors:
            names = tensors.keys()
            shapes = {name: tuple(tensors.get_slice(name).get_shape()) for name in names}
            metadata = tensors.metadata() or {}
        twice = shapes.keys() & self.shapes.keys()
        if twice:
            raise CheckpointFormatError(
                f"the tensor {min(twice)!r} is in {file.name} and in another shard: the files "
                "belong to different models. Download them again."
            )
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
    """Reads a tensor in parts into the memory that becomes the tensor's own.

    ``tf.convert_to_tensor`` would copy an array twice, which for the token table of a multilingual
    model is more than all other weights.
    """
    rows = max(1, _LARGE // math.prod(shape[1:]))
    values = None
    for start in range(0, shape[0], rows):
        with _opened(file) as tensors:
            part = tensors.get_slice(name)[start : min(start + rows, shape[0])]
        if values is None:
            values = _aligned(shape, part.dtype)
        values[start : start + rows] = part
    bits = values.view(f"u{values.itemsize}")  # of a dtype that DLPack knows
    tensor = tf.experimental.dlpack.from_dlpack(bits.__dlpack__())
    return tf.bitcast(tensor, values.dtype)


def _aligned(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """An array that is not filled, at an address as TensorFlow wants it: else it makes a copy."""
    size = math.prod(shape) * dtype.itemsize
    memory = np.empty(size + _ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % _ALIGNMENT
    return memory[start : start + size].view(dtype).reshape(shape)


def is_safetensors(path: Path) -> bool:
    """Whether a file's name is that of weights in this format, or of their index."""
    return path.name.endswith((SUFFIX, INDEX_SUFFIX))


def find_files(files: Sequence[Path]) -> list[Path]:
    """The files in this format; of those that belong together, the index or the first shard."""
    found: dict[Path, Path] = {}
    for path in sorted(filter(is_safetensors, files), key=lambda path: path.suffix):
        stem = _SHARD.sub(r"\1", path.name).replace(INDEX_SUFFIX, "")  # .json comes first
        found.setdefault(path.with_name(stem), path)
    return list(found.values())


def choose_file(candidates: Sequence[Path], files: Sequence[Path], name: str) -> Path:
    """The only one of the upper folder; among several, ``model.safetensors`` or its index.

    Args:
        candidates: what :func:`find_files` found, not nothing.
        files: all files, among which a configuration may speak for one folder.
        name: of the folder, for messages.

    Raises:
        CheckpointNotFoundError: several that are equally good.
    """
    depth = min(len(path.parts) for path in candidates)
    upper = [path for path in candidates if len(path.parts) == depth]
    folders = {path.parent for path in upper}
    if len(folders) > 1:  # sentence-transformers keeps a projection in a folder of its own
        with_config = {path.parent for path in files if is_config(path)}
        upper = [path for path in upper if path.parent in with_config] or upper
    for choice in ([path for path in upper if path.name.startswith("model.safetensors")], upper):
        if len(choice) == 1:
            return choice[0]
    listed = "\n  ".join(str(path) for path in upper)
    raise CheckpointNotFoundError(
        f"{name} holds {len(upper)} safetensors files. Pass the one you want:\n  {listed}"
    )


def _shards(path: Path) -> tuple[list[Path], Iterable[str]]:
    """The files of a model, and the names of tensors that must be in them."""
    refuse_lfs_pointer(path)
    match = _SHARD.fullmatch(path.name)
    if path.name.endswith(INDEX_SUFFIX):
        listed = _read_index(path)
        names: Iterable[str] = sorted(set(listed.values()))
    elif match:
        stem, _, count = match.groups()
        listed = {}
        names = [f"{stem}-{i:05d}-of-{count}{SUFFIX}" for i in range(1, int(count) + 1)]
    else:
        return [path], ()
    files = [path.with_name(name) for name in names]
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        raise CheckpointNotFoundError(
            f"{len(missing)} of the {len(files)} shards of {path.name} are not in {path.parent}, "
            f"such as {missing[0]}. All are needed."
        )
    return files, listed


def _read_index(path: Path) -> dict[str, str]:
    """The file name of every tensor; names alone, no way out of the folder."""
    try:
        if path.stat().st_size > _MAX_INDEX_BYTES:
            raise ValueError(f"{path.stat().st_size:,} bytes are too many")
        listed = json.loads(path.read_text(encoding="utf-8-sig"))["weight_map"]
        if not isinstance(listed, dict) or not listed:
            raise ValueError("its weight_map is empty")
        for file in listed.values():
            if not isinstance(file, str) or Path(file).name != file or not file.endswith(SUFFIX):
                raise ValueError(f"{file!r} is no file name of a shard")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise CheckpointFormatError(
            f"{path} is not the index of a model in safetensors, a JSON object with a weight_map "
            f"of tensor names to file names: {error}."
        ) from error
    return listed


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
