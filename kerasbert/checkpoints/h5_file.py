"""HDF5 files, as Keras and Hugging Face's TensorFlow models are saved: opened safely, and walked.

Of the format only what these programs write is accepted: groups, numbers and short texts in one
file. What else it can do (links to other files, data that lies elsewhere, filters that are loaded
as plugins) no published weights need; a file that asks for it is refused.
"""

from __future__ import annotations

import contextlib
import math
import re
import threading
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from kerasbert.backend import tf
from kerasbert.checkpoints import shards
from kerasbert.checkpoints.buffers import aligned, as_tensor
from kerasbert.checkpoints.errors import (
    CheckpointFormatError,
    CheckpointNotFoundError,
    refuse_lfs_pointer,
)
from kerasbert.checkpoints.google import local_cpu

SIGNATURE = b"\x89HDF\r\n\x1a\n"
SUFFIX = ".h5"  # of shards

_MAX_OBJECTS = 100_000  # the largest published models have some thousand tensors
_MAX_DEPTH = 64
_MAX_TEXTS = 20_000  # of an attribute; more do not fit the 64 kB that it may have
# What Keras says about layers and weights in attributes; long lists are cut into numbered parts.
_TEXTS = re.compile(r"(layer_names|weight_names)(\d{0,4})|(name|model_config|keras_version)()")
_SHUFFLE, _DEFLATE, _CHECKSUM = h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_DEFLATE, 3
_FILTERS = frozenset((_SHUFFLE, _DEFLATE, _CHECKSUM))
_MAX_RATIO = 200  # of unpacked to stored bytes; trained weights hardly reach 2
_FREE_BYTES = 2**26  # what may be unpacked of anything
_ERRORS = (
    *(OSError, RuntimeError, ValueError, KeyError, TypeError, IndexError, AttributeError),
    *(OverflowError, MemoryError, NotImplementedError, SystemError),
)
_LOCK = threading.Lock()  # the library is not made for threads


class H5Tensors:
    """The datasets of an HDF5 file, or of shards: listed at once, read when asked for.

    Args:
        path: the file, one shard of several, or a ``.h5.index.json``.

    Attributes:
        path: the same.
        shapes: shape of every dataset of numbers by its path, without a slash in front.
        texts: by the path of a group ("" is the root) what Keras wrote about it: ``layer_names``,
            ``weight_names``, ``name``, ``model_config``, ``keras_version``, each a tuple of texts.

    Raises:
        CheckpointNotFoundError: there is no such file, or a shard is missing.
        CheckpointFormatError: damaged, truncated, of another format, a Git LFS pointer, or with
            contents that weights never have.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.texts: dict[str, dict[str, tuple[str, ...]]] = {}
        self._files: dict[str, Path] = {}  # the one that a dataset is in
        if not self.path.is_file():
            raise CheckpointNotFoundError(f"there is no file {self.path}.")
        files, listed = shards.files_of(self.path, SUFFIX)
        for file in files:
            self._add(file)
        # The index of Hugging Face's shards has scopes in its names, the shards have none.
        whole = self.shapes.keys() | {
            f"{name}" for name in listed if _unscoped(name) in self.shapes
        }
        shards.check_complete(listed, dict.fromkeys(whole), self.path)

    def _add(self, file: Path) -> None:
        refuse_lfs_pointer(file)
        _check_signature(file)
        shapes: dict[str, tuple[int, ...]] = {}
        with _opened(file) as opened:
            size = file.stat().st_size
            for name, item in _walk(opened.id):
                if isinstance(item, h5py.h5g.GroupID):
                    texts = _texts(h5py.Group(item))
                    if texts:
                        self.texts.setdefault(name, {}).update(texts)
                elif item.shape is not None:
                    _check_dataset(item, name, size)
                    shapes[name] = tuple(map(int, item.shape))
        shards.check_new(shapes, self.shapes, file)
        self.shapes.update(shapes)
        self._files.update(dict.fromkeys(shapes, file))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.path)!r}, {len(self.shapes)} tensors)"

    def read(self, names: Iterable[str]) -> dict[str, tf.Tensor]:
        """Reads datasets in the dtypes that they are stored in; threads wait for each other.

        Args:
            names: their paths.

        Raises:
            CheckpointFormatError: texts or objects instead of numbers, or a file that is damaged
                or was changed.
        """
        wanted: dict[Path, list[str]] = {}
        for name in names:
            wanted.setdefault(self._files[name], []).append(name)
        found = {}
        for file, members in wanted.items():
            with tf.init_scope(), local_cpu(), _opened(file) as opened:
                size = file.stat().st_size
                for name in members:
                    item = h5py.h5o.open(opened.id, name.encode("utf-8", "surrogateescape"))
                    if tuple(item.shape) != self.shapes[name]:
                        raise ValueError(f"{name!r} has changed")
                    found[name] = as_tensor(_read_dataset(h5py.Dataset(item), name, size))
        return found


def _unscoped(name: str) -> str:
    return name.partition("/")[2]


def is_h5(path: Path) -> bool:
    """Whether a file is HDF5, by its signature: at 0, or after a user's block of 512, 1024, ..."""
    try:
        size, offset = path.stat().st_size, 0
        with path.open("rb") as file:
            while offset + len(SIGNATURE) <= size:
                file.seek(offset)
                if file.read(len(SIGNATURE)) == SIGNATURE:
                    return True
                offset = max(512, 2 * offset)
    except OSError:
        pass
    return False


def _check_signature(path: Path) -> None:
    if is_h5(path):
        return
    with path.open("rb") as file:
        head = file.read(64)
    what = "is empty" if not head else f"begins with {head[:16]!r}"
    if head.lstrip().lower().startswith((b"<!doctype", b"<html")):
        what = "is a web page, as a download that failed leaves it"
    raise CheckpointFormatError(
        f"{path} ({path.stat().st_size:,} bytes) is not an HDF5 file: it {what}. Download it again."
    )


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[h5py.File]:
    """The library's handle of a file, with its errors turned into one sentence about the file."""
    try:
        with _LOCK, h5py.File(path, "r", locking="best-effort") as file:
            yield file
    except (CheckpointFormatError, FileNotFoundError, PermissionError):
        raise
    except _ERRORS as error:
        raise CheckpointFormatError(
            f"{path} ({path.stat().st_size:,} bytes) is damaged, truncated or not an HDF5 file of "
            f"weights. Download it again. What was found: {_printable(error)}"
        ) from error


def _printable(error: Exception) -> str:
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return text.encode("ascii", "backslashreplace").decode()[:300]


def _walk(root: h5py.h5g.GroupID) -> Iterator[tuple[str, h5py.h5g.GroupID | h5py.h5d.DatasetID]]:
    """Every group and dataset with its path; a group that is reached twice counts once.

    Nothing recurses, and no link but the plain one is followed.
    """
    seen, count = {h5py.h5o.get_info(root).addr}, 0
    pending = [("", root, 0)]
    while pending:
        path, group, depth = pending.pop()
        yield path, group
        if depth == _MAX_DEPTH:
            raise ValueError(f"groups in groups, {_MAX_DEPTH} deep")
        inner = []
        for raw in group:
            count += 1
            if count > _MAX_OBJECTS:
                raise ValueError(f"more than {_MAX_OBJECTS:,} objects")
            name = raw.decode("utf-8", "surrogateescape")
            if group.links.get_info(raw).type != h5py.h5l.TYPE_HARD:
                raise ValueError(
                    f"{name!r} is a link to another place, which files of weights do not have"
                )
            item = h5py.h5o.open(group, raw)
            inner_path = f"{path}/{name}" if path else name
            if isinstance(item, h5py.h5d.DatasetID):
                yield inner_path, item
            elif isinstance(item, h5py.h5g.GroupID):
                address = h5py.h5o.get_info(item).addr
                if address not in seen:
                    seen.add(address)
                    inner.append((inner_path, item, depth + 1))
        pending.extend(reversed(inner))


def _texts(group: h5py.Group) -> dict[str, tuple[str, ...]]:
    """The attributes that Keras wrote, with those that were cut put together."""
    parts: dict[str, list[tuple[int, list[str]]]] = {}
    for name in group.attrs:
        match = _TEXTS.fullmatch(name)
        if not match:
            continue
        shape = group.attrs.get_id(name).shape
        if shape is None:  # an empty list, as h5py writes it
            continue
        if math.prod(shape) > _MAX_TEXTS:
            raise ValueError(f"the attribute {name} has {math.prod(shape):,} parts")
        values = [_text(value) for value in np.ravel(group.attrs[name])]
        parts.setdefault(match[1] or match[3], []).append((int(match[2] or 0), values))
    return {
        name: tuple(value for _, values in sorted(found) for value in values)
        for name, found in parts.items()
    }


def _text(value) -> str:
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else str(value)


@dataclass(frozen=True)
class _Storage:
    """How a chunk of a dataset is stored."""

    filters: tuple[int, ...]
    chunk: tuple[int, ...]


def _check_dataset(item: h5py.h5d.DatasetID, name: str, file_size: int) -> _Storage | None:
    """Refuses what no weights are, and sizes that the file does not have, before any is read.

    Returns:
        How its chunks are stored; None when it is not cut into chunks.
    """
    properties = item.get_create_plist()
    layout, stored = properties.get_layout(), item.get_storage_size()
    if properties.get_external_count():
        raise ValueError(f"the numbers of {name!r} lie in another file")
    itemsize = item.get_type().get_size()
    claimed = math.prod(item.shape) * itemsize
    if stored > file_size:
        raise ValueError(f"{name!r} of {stored:,} bytes is larger than the file")
    if layout in (h5py.h5d.CONTIGUOUS, h5py.h5d.COMPACT):
        if stored < claimed:
            raise ValueError(f"{name!r} claims {claimed:,} bytes and has {stored:,}")
        return None
    if layout != h5py.h5d.CHUNKED:
        raise ValueError(f"the numbers of {name!r} lie in other datasets")
    filters = tuple(properties.get_filter(i)[0] for i in range(properties.get_nfilters()))
    if not _FILTERS.issuperset(filters):
        raise ValueError(
            f"{name!r} is compressed by {sorted(set(filters) - _FILTERS)}, which is none of gzip, "
            "shuffle and fletcher32: write the file again with gzip or without compression"
        )
    chunk = tuple(map(int, properties.get_chunk()))
    unpacked = math.prod(chunk) * itemsize
    if max(claimed, unpacked) > max(_FREE_BYTES, _MAX_RATIO * stored):
        raise ValueError(f"{name!r} claims {claimed:,} bytes, unpacked from {stored:,}")
    if unpacked > max(_FREE_BYTES, 2 * claimed):
        raise ValueError(f"{name!r} of {claimed:,} bytes has chunks of {unpacked:,}")
    return _Storage(filters, chunk)


def _read_dataset(dataset: h5py.Dataset, name: str, file_size: int) -> np.ndarray:
    """The numbers, in memory that TensorFlow can take over."""
    dtype = dataset.dtype
    if dtype == np.dtype("V2"):  # Keras writes bfloat16 as two bytes that mean nothing to HDF5
        dtype = np.dtype(tf.bfloat16.as_numpy_dtype)
    elif dtype.kind not in "fiub" or dtype.itemsize > 8 or dtype.hasobject:
        raise ValueError(f"{name!r} holds {dataset.dtype}, not plain numbers")
    stored = dataset.dtype
    storage = _check_dataset(dataset.id, name, file_size)
    values = aligned(dataset.shape, stored)
    if storage is not None:
        _read_chunks(dataset, name, storage, values)
    elif values.size:
        dataset.read_direct(values)
    if not dtype.isnative:
        values = values.byteswap(inplace=True)
        dtype = dtype.newbyteorder("=")
    return values.view(dtype)


def _read_chunks(dataset: h5py.Dataset, name: str, storage: _Storage, values: np.ndarray) -> None:
    """Fills an array from chunks, none of which may unpack to more than it has room for."""
    count = dataset.id.get_num_chunks()
    wanted = math.prod(-(-size // step) for size, step in zip(values.shape, storage.chunk))
    if count != wanted:
        raise ValueError(f"{name!r} has {count} of {wanted} chunks")
    room, itemsize = math.prod(storage.chunk) * values.itemsize, values.itemsize
    for i in range(count):
        offset = dataset.id.get_chunk_info(i).chunk_offset
        skipped, raw = dataset.id.read_direct_chunk(offset)
        if skipped:
            raise ValueError(f"{name!r} has a chunk that a filter was left out for")
        for code in reversed(storage.filters):
            if code == _CHECKSUM:
                raw = raw[:-4]
            elif code == _DEFLATE:
                unpack = zlib.decompressobj()
                try:
                    raw = unpack.decompress(raw, room + 4)  # a checksum may be inside
                except zlib.error as error:
                    raise ValueError(f"a chunk of {name!r} is damaged: {error}") from error
            else:
                raw = np.frombuffer(raw, np.uint8).reshape(itemsize, -1).T.tobytes()
        if len(raw) != room:
            raise ValueError(f"a chunk of {name!r} has {len(raw):,} bytes instead of {room:,}")
        chunk = np.frombuffer(raw, values.dtype).reshape(storage.chunk)
        place = tuple(slice(at, at + step) for at, step in zip(offset, storage.chunk))
        inside = tuple(
            slice(0, min(step, size - at))
            for at, step, size in zip(offset, storage.chunk, values.shape)
        )
        values[place] = chunk[inside]
