"""Google's checkpoint format (TensorFlow's TensorBundle): read and written by TensorFlow itself.

``bert_model.ckpt`` names no file: it is the common prefix of ``bert_model.ckpt.index``, a sorted
table of tensor names, shapes and checksums, and of ``bert_model.ckpt.data-00000-of-00001`` (or of
several such shards) with the bytes.
"""

from __future__ import annotations

import contextlib
import difflib
import math
import os
import re
import tempfile
import uuid
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf

from kerasbert.checkpoints.errors import (
    CheckpointFormatError,
    CheckpointNotFoundError,
    refuse_lfs_pointer,
)

_OBJECT_GRAPH_KEY = "_CHECKPOINTABLE_OBJECT_GRAPH"
_OBJECT_SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"
_TABLE_MAGIC = bytes.fromhex("57fb808b247547db")  # the last eight bytes of every LevelDB table
_LINK_NAME = "checkpoint"
_SHARD = re.compile(r"\.data-(\d{5})-of-(\d{5})$")

OBJECT_GRAPH_HINT = (
    "This is a TensorFlow 2 object checkpoint, as `model.save_weights('x.ckpt')`, "
    "`model.save(folder)`, the `ModelCheckpoint` callback and `tf.train.Checkpoint` write it: its "
    "tensors are named by their place in the Python program that wrote them ({example!r}), not by "
    "the names of the published checkpoints ('bert/embeddings/word_embeddings'). Load it in that "
    "program, into the model that wrote it, and save that model's weights again under the "
    "published names."
)


class GoogleCheckpoint:
    """An open checkpoint: what it holds is known at once, tensors are read when asked for.

    Args:
        prefix: path up to and without ``.index`` and ``.data-*``.

    Attributes:
        prefix: the absolute path, as text.
        shapes: shape of every tensor by name, in the order of the file (lexical).
        dtypes: ``tf.DType`` of every tensor by name, as stored.

    Raises:
        CheckpointNotFoundError: the index, or a data file that it needs, is missing.
        CheckpointFormatError: a file is no checkpoint, truncated, or a Git LFS pointer.
    """

    def __init__(self, prefix: str | os.PathLike):
        self.prefix = os.path.abspath(os.path.expanduser(prefix))
        index = Path(self.prefix + ".index")
        _check_index(index)
        shards = _data_files(self.prefix)
        self._links = _links_without_wildcards(self.prefix, [index, *shards])
        self._readable_prefix = self.prefix
        if self._links:
            self._readable_prefix = os.path.join(self._links.name, _LINK_NAME)
        with _translated_errors(index):
            reader = tf.compat.v1.train.NewCheckpointReader(self._readable_prefix)
            shapes = reader.get_variable_to_shape_map()
            dtypes = reader.get_variable_to_dtype_map()
        self.shapes = {name: tuple(shapes[name]) for name in sorted(shapes)}
        self.dtypes = {name: tf.as_dtype(dtypes[name]) for name in self.shapes}
        _check_size(shards, self.num_bytes)

    def __contains__(self, name: str) -> bool:
        return name in self.shapes

    def __iter__(self) -> Iterator[str]:
        return iter(self.shapes)

    def __len__(self) -> int:
        return len(self.shapes)

    def __repr__(self) -> str:
        return f"GoogleCheckpoint({self.prefix!r}, {len(self)} tensors, {self.num_bytes:,} bytes)"

    @property
    def num_bytes(self) -> int:
        """Bytes that all tensors take, text excepted (its length is not in the index)."""
        return sum(
            math.prod(shape) * self.dtypes[name].size
            for name, shape in self.shapes.items()
            if self.dtypes[name] != tf.string
        )

    @property
    def is_object_graph(self) -> bool:
        """Whether tensors are named by Python attributes (TF2) instead of by variable names."""
        return _OBJECT_GRAPH_KEY in self.shapes or any(
            name.endswith(_OBJECT_SUFFIX) for name in self.shapes
        )

    def hint(self) -> str | None:
        """Why the published names are not in here, when the cause is known; None otherwise."""
        if not self.is_object_graph:
            return None
        objects = [name for name in self.shapes if name.endswith(_OBJECT_SUFFIX)]
        return OBJECT_GRAPH_HINT.format(example=(objects or [_OBJECT_GRAPH_KEY])[0])

    def read(self, names: Iterable[str] | None = None) -> dict[str, tf.Tensor]:
        """Reads tensors as they are stored, on the CPU, in one operation.

        One ``RestoreV2`` allocates each tensor once and fills it from the file: no NumPy copy
        (``reader.get_tensor`` followed by ``tf.constant`` takes twice the time and memory).
        Works under ``strategy.scope()`` and inside ``tf.function`` tracing.

        Args:
            names: which tensors; None means all.

        Returns:
            The tensors by name, in their stored dtype; checksums have been verified.

        Raises:
            KeyError: a name is not in the checkpoint.
            CheckpointFormatError: the data file is truncated or damaged.
        """
        wanted = list(self.shapes if names is None else dict.fromkeys(names))
        for name in wanted:
            if name not in self.shapes:
                near = difflib.get_close_matches(name, self.shapes, n=3)
                raise KeyError(
                    f"{name!r} is not in the checkpoint {self.prefix}"
                    + (f"; near names: {', '.join(near)}" if near else "")
                )
        if not wanted:
            return {}
        with _translated_errors(Path(self.prefix + ".data-*")), tf.init_scope(), local_cpu():
            tensors = tf.raw_ops.RestoreV2(
                prefix=self._readable_prefix,
                tensor_names=wanted,
                shape_and_slices=[""] * len(wanted),
                dtypes=[self.dtypes[name] for name in wanted],
            )
        return dict(zip(wanted, tensors))


def write(prefix: str | os.PathLike, tensors: Mapping[str, Any]) -> str:
    """Writes a checkpoint in Google's format, which TensorFlow 1.15 reads as well.

    Both files are written under temporary names and then renamed, data first: a failure or an
    interruption leaves an older checkpoint of the same name as it was.

    Args:
        prefix: path without ``.index``; missing folders are made.
        tensors: values by name: tensors, variables or arrays of any shape and dtype.

    Returns:
        The prefix, as text.

    Raises:
        ValueError: no tensors, or a prefix that is a folder.
        OSError: the files could not be written (disk full, no permission).
    """
    target = Path(prefix).expanduser()
    if not tensors:
        raise ValueError(f"there is nothing to write to {target}: no tensors were given.")
    if target.is_dir() or os.fspath(prefix).endswith(("/", os.sep)):
        raise ValueError(
            f"{target} is a folder. Give the prefix of the files to write, such as "
            f"{target / 'bert_model.ckpt'}"
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    # The leading dot keeps what a killed process leaves behind from being taken for a checkpoint.
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    names = list(tensors)
    try:
        with tf.init_scope(), local_cpu():
            tf.raw_ops.SaveV2(
                prefix=str(temporary),
                tensor_names=names,
                shape_and_slices=[""] * len(names),
                tensors=[tf.convert_to_tensor(tensors[name]) for name in names],
            )
        shard = ".data-00000-of-00001"
        os.replace(f"{temporary}{shard}", f"{target}{shard}")
        os.replace(f"{temporary}.index", f"{target}.index")
    except tf.errors.OpError as error:
        raise OSError(f"could not write the checkpoint {target}: {error.message}") from error
    finally:
        for leftover in _starting_with(temporary):
            with contextlib.suppress(OSError):
                leftover.unlink()
    for stale in _starting_with(target):  # shards of an older checkpoint that had several
        if _SHARD.fullmatch(stale.name[len(target.name) :]) and not stale.name.endswith(shard):
            stale.unlink()
    return str(target)


def local_cpu():
    """This process's CPU, also when a TPU or another worker is the default device."""
    for device in tf.config.list_logical_devices("CPU"):
        if "/job:localhost/" in device.name:
            return tf.device(device.name)
    return tf.device("CPU:0")


def _starting_with(prefix: Path) -> list[Path]:
    # not Path.glob: a prefix may hold [ or *
    return sorted(path for path in prefix.parent.iterdir() if path.name.startswith(prefix.name))


def _links_without_wildcards(prefix: str, files: list[Path]):
    """A temporary folder of links to ``files``, or None when ``prefix`` needs none.

    TensorFlow takes a prefix for a glob pattern when it looks for it and for a literal path when it
    opens it, so that a folder named ``models [old]`` can be neither escaped nor read.
    """
    if not re.search(r"[*?\[\]\\]", prefix) or os.sep == "\\":
        return None
    folder = tempfile.TemporaryDirectory(prefix="kerasbert-")
    for file in files:
        link = Path(folder.name, _LINK_NAME + file.name[len(Path(prefix).name) :])
        link.symlink_to(file.resolve())
    return folder


def _check_index(index: Path) -> None:
    if not index.is_file():
        raise CheckpointNotFoundError(
            f"there is no {index}: a checkpoint prefix is the path of the `.index` file without "
            "that ending."
        )
    refuse_lfs_pointer(index)
    size = index.stat().st_size
    with index.open("rb") as file:
        file.seek(max(0, size - len(_TABLE_MAGIC)))
        if file.read() != _TABLE_MAGIC:
            raise CheckpointFormatError(
                f"{index} ({size:,} bytes) is not the index of a TensorFlow checkpoint, or its end "
                "is missing. Download it again and compare its size with that at the source."
            )


def _data_files(prefix: str) -> list[Path]:
    """The data files of a checkpoint, all shards present and none a Git LFS pointer."""
    base = Path(prefix)
    counts: dict[int, list[Path]] = {}
    for path in _starting_with(base):
        match = _SHARD.fullmatch(path.name[len(base.name) :])
        if match:
            counts.setdefault(int(match[2]), []).append(path)
    whole = [paths for count, paths in counts.items() if len(paths) == count]
    if not whole:
        found = ", ".join(path.name for paths in counts.values() for path in paths) or "none"
        raise CheckpointNotFoundError(
            f"{base.name}.index lies in {base.parent}, but its data files "
            f"({base.name}.data-00000-of-00001, or all of several) do not; found: {found}. "
            "Both are needed, in the same folder and under the same name."
        )
    for paths in whole:
        for path in paths:
            refuse_lfs_pointer(path)
    # Two complete sets under one name cannot be told apart here; the larger one is the safe bound.
    return max(whole, key=lambda paths: sum(path.stat().st_size for path in paths))


def _check_size(shards: list[Path], needed: int) -> None:
    sizes = [path.stat().st_size for path in shards]
    if sum(sizes) < needed:
        files = ", ".join(f"{path} ({size:,} bytes)" for path, size in zip(shards, sizes))
        raise CheckpointFormatError(
            f"the data of the checkpoint is truncated: its index lists {needed:,} bytes of "
            f"tensors, but there are {sum(sizes):,} in {files}. Download it again."
        )


@contextlib.contextmanager
def _translated_errors(path: Path):
    """Turns what TensorFlow says about broken bytes into one sentence about the file."""
    try:
        yield
    except (tf.errors.ResourceExhaustedError, tf.errors.PermissionDeniedError):
        raise
    except (tf.errors.OpError, RuntimeError, ValueError, LookupError, TypeError) as error:
        message = getattr(error, "message", None) or str(error)
        raise CheckpointFormatError(
            f"{path} is damaged or not a TensorFlow checkpoint. Download it again. "
            f"TensorFlow says: {message}"
        ) from error
