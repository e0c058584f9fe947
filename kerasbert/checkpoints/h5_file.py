"""HDF5 files, as Keras and Hugging Face's TensorFlow models are saved.

What a file holds is listed by ``h5_listing`` in a process of its own; the numbers are then read
from where they lie, into the memory that becomes a tensor's.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import json
import math
import subprocess
import sys
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from kerasbert.backend import tf
from kerasbert.checkpoints import h5_listing, shards
from kerasbert.checkpoints.buffers import aligned, as_tensor
from kerasbert.checkpoints.errors import (
    CheckpointFormatError,
    CheckpointNotFoundError,
    refuse_lfs_pointer,
)
from kerasbert.checkpoints.google import local_cpu

SIGNATURE = b"\x89HDF\r\n\x1a\n"
SUFFIX = ".h5"  # of shards

_DEFLATE, _SHUFFLE, _CHECKSUM = 1, 2, 3  # HDF5's numbers of filters
_MAX_RATIO = 200  # of unpacked to stored bytes; trained weights hardly reach 2
_FREE_BYTES = 2**26  # what may be unpacked of anything
_SECONDS = 20  # of computation for a listing, which takes a small part of one
_WAITING = 6  # times as many seconds until it is given up, as other processes compute as well
# Runs the listing with this process' modules, and with nothing of the package in their way.
_COMMAND = (
    "import json, runpy, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "runpy.run_path(sys.argv[2], run_name='__main__')"
)
_ERRORS = (OSError, ValueError, KeyError, TypeError, IndexError, OverflowError, RuntimeError)


class H5Tensors:
    """The datasets of an HDF5 file, or of shards: listed at once, read when asked for.

    Args:
        path: the file, one shard of several, or a ``.h5.index.json``.

    Attributes:
        path: the same.
        shapes: shape of every dataset by its path, without a slash in front.
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
        self._stored: dict[str, tuple[Path, Mapping[str, Any]]] = {}
        if not self.path.is_file():
            raise CheckpointNotFoundError(f"there is no file {self.path}.")
        files, listed = shards.files_of(self.path, SUFFIX)
        for file in files:
            self._add(file)
        # The index of Hugging Face's shards has scopes in its names, the shards have none.
        known = {name for name in listed if {name, name.partition("/")[2]} & self.shapes.keys()}
        shards.check_complete(listed, dict.fromkeys(known), self.path)

    def _add(self, file: Path) -> None:
        refuse_lfs_pointer(file)
        _check_signature(file)
        with _clear_errors(file):
            found = _listing(file)
            size = file.stat().st_size
            for name, stored in found["datasets"].items():
                _check_size(name, stored, size)
        shapes = {name: tuple(stored["shape"]) for name, stored in found["datasets"].items()}
        shards.check_new(shapes, self.shapes, file)
        self.shapes.update(shapes)
        self._stored.update((n, (file, stored)) for n, stored in found["datasets"].items())
        for group, texts in found["texts"].items():
            self.texts.setdefault(group, {}).update((key, tuple(v)) for key, v in texts.items())

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.path)!r}, {len(self.shapes)} tensors)"

    def read(self, names: Iterable[str]) -> dict[str, tf.Tensor]:
        """Reads datasets in the dtypes that they are stored in; several threads may do so at once.

        Args:
            names: their paths.

        Raises:
            CheckpointFormatError: texts or objects instead of numbers, or a file that is damaged
                or was changed.
        """
        wanted: dict[Path, list[str]] = {}
        for name in names:
            wanted.setdefault(self._stored[name][0], []).append(name)
        found = {}
        with tf.init_scope(), local_cpu():
            for path, members in wanted.items():
                with _clear_errors(path), path.open("rb") as file:
                    for name in members:
                        found[name] = as_tensor(_read(file, name, self._stored[name][1]))
        return found


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
def _clear_errors(path: Path) -> Iterator[None]:
    """Turns what is found wrong with a file into one sentence about it."""
    try:
        yield
    except (CheckpointFormatError, FileNotFoundError, PermissionError):
        raise
    except _ERRORS as error:
        text = str(error).encode("ascii", "backslashreplace").decode()[:300]
        raise CheckpointFormatError(
            f"{path} ({path.stat().st_size:,} bytes) is damaged, truncated or not an HDF5 file of "
            f"weights. Download it again. What was found: {text}"
        ) from error


def _listing(path: Path) -> dict[str, Any]:
    """What the file holds."""
    status = path.stat()
    return _listed(str(path.absolute()), status.st_size, status.st_mtime_ns)


@functools.lru_cache(maxsize=8)
def _listed(path: str, size: int, time: int) -> dict[str, Any]:
    """The listing of a file of that size and time."""
    program = Path(h5_listing.__file__)
    if not sys.executable or not program.is_file():  # Python inside another program
        return h5_listing.listing(path)
    try:
        process = subprocess.run(
            [
                sys.executable,
                "-I",
                "-c",
                _COMMAND,
                json.dumps(sys.path),
                str(program),
                str(_SECONDS),
                path,
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_WAITING * _SECONDS,
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
    except subprocess.TimeoutExpired as error:
        raise ValueError(f"the HDF5 library came to no end in {_WAITING * _SECONDS} s") from error
    if process.returncode:
        raise ValueError(
            f"the HDF5 library came to no end, or crashed (exit code {process.returncode})"
        )
    found = json.loads(process.stdout)
    if "error" in found:
        raise ValueError(found["error"])
    return found


def _check_size(name: str, stored: Mapping[str, Any], file_size: int) -> None:
    """Refuses sizes that the file does not have, before any memory is taken for them."""
    if stored["dtype"] is None:
        return
    itemsize = _dtype(stored).itemsize
    claimed = math.prod(stored["shape"]) * itemsize
    if "offset" in stored:
        offset = stored["offset"]
        if offset is None or not 0 <= offset <= file_size - claimed:
            raise ValueError(f"{name!r} claims {claimed:,} bytes, which the file does not have")
    elif "chunks" in stored:
        _check_chunks(name, stored, claimed, itemsize, file_size)
    elif len(base64.b64decode(stored["bytes"])) != claimed:
        raise ValueError(f"{name!r} claims {claimed:,} bytes, which the file does not have")


def _check_chunks(
    name: str, stored: Mapping[str, Any], claimed: int, itemsize: int, file_size: int
) -> None:
    unknown = set(stored["filters"]) - {_DEFLATE, _SHUFFLE, _CHECKSUM}
    if unknown:
        raise ValueError(
            f"{name!r} is packed by filter {min(unknown)} of HDF5, which is none of gzip, shuffle "
            "and fletcher32: write the file again with gzip or without compression"
        )
    packed = sum(size for _, _, size in stored["chunks"])
    chunk, shape = stored["chunk_shape"], stored["shape"]
    unpacked = math.prod(chunk) * itemsize
    wanted = math.prod(-(-size // step) for size, step in zip(shape, chunk))
    places = {tuple(place) for place, _, _ in stored["chunks"]}
    if len(places) != len(stored["chunks"]) or len(places) != wanted:
        raise ValueError(f"{name!r} has {len(places)} of {wanted} chunks")
    if any(not 0 <= offset <= file_size - size for _, offset, size in stored["chunks"]):
        raise ValueError(f"{name!r} has chunks beyond the end of the file")
    if any(
        at % step or at >= size for place in places for at, step, size in zip(place, chunk, shape)
    ):
        raise ValueError(f"{name!r} has chunks at places that are none")
    if max(claimed, unpacked) > max(_FREE_BYTES, _MAX_RATIO * packed):
        raise ValueError(f"{name!r} claims {claimed:,} bytes, unpacked from {packed:,}")


def _dtype(stored: Mapping[str, Any]) -> np.dtype:
    name = stored["dtype"]
    return np.dtype(tf.bfloat16.as_numpy_dtype if name == "bfloat16" else name)


def _read(file: BinaryIO, name: str, stored: Mapping[str, Any]) -> np.ndarray:
    """The numbers of a dataset."""
    if stored["dtype"] is None:
        raise ValueError(f"{name!r} holds texts or objects, not plain numbers")
    dtype = _dtype(stored)
    values = aligned(tuple(stored["shape"]), dtype)
    if "chunks" in stored:
        for chunk in stored["chunks"]:
            _read_chunk(file, name, stored, chunk, values)
    elif "offset" in stored:
        file.seek(stored["offset"])
        memory = memoryview(values.reshape(-1).view(np.uint8))
        if file.readinto(memory) != len(memory):
            raise ValueError(f"the end of {name!r} is missing")
    else:
        raw = base64.b64decode(stored["bytes"])
        values[...] = np.frombuffer(raw, dtype).reshape(values.shape)
    if dtype.isnative:
        return values
    return values.byteswap(inplace=True).view(dtype.newbyteorder("="))


def _read_chunk(
    file: BinaryIO,
    name: str,
    stored: Mapping[str, Any],
    chunk: tuple[list[int], int, int],
    values: np.ndarray,
) -> None:
    """Fills a part of an array from a chunk, which may not unpack to more than it has room for."""
    place, offset, size = chunk
    shape = stored["chunk_shape"]
    room = math.prod(shape) * values.itemsize
    file.seek(offset)
    raw = file.read(size)
    for code in reversed(stored["filters"]):
        if code == _CHECKSUM:
            raw = raw[:-4]
        elif code == _DEFLATE:
            try:
                raw = zlib.decompressobj().decompress(raw, room + 4)  # a checksum may be inside
            except zlib.error as error:
                raise ValueError(f"a chunk of {name!r} is damaged: {error}") from error
        elif len(raw) == room:
            raw = np.frombuffer(raw, np.uint8).reshape(values.itemsize, -1).T.tobytes()
    if len(raw) != room:
        raise ValueError(f"a chunk of {name!r} has {len(raw):,} bytes instead of {room:,}")
    inside = tuple(slice(0, size - at) for at, size in zip(place, values.shape))
    part = np.frombuffer(raw, values.dtype).reshape(shape)[inside]
    values[tuple(slice(at, at + step) for at, step in zip(place, part.shape))] = part
