"""The format of ``torch.save``: ``pytorch_model.bin``, ``.pt``, ``.pth``, ``.ckpt``.

Since PyTorch 1.6 a file is a zip archive: ``archive/data.pkl`` describes the tensors, and
``archive/data/0``, ``archive/data/1``, ... are the bytes of their storages, not compressed. They
are read in place. The older format is in :mod:`~kerasbert.checkpoints.torch_legacy`.
"""

from __future__ import annotations

import functools
import os
import re
import struct
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

from kerasbert.checkpoints.array_files import ArrayFiles
from kerasbert.checkpoints.errors import CheckpointFormatError
from kerasbert.checkpoints.pickled_arrays import NumpyArray
from kerasbert.checkpoints.pickled_tensors import storage_of, torch_name
from kerasbert.checkpoints.state_dict import Described, find_state_dict, without_tensors
from kerasbert.checkpoints.stored_arrays import StoredArray
from kerasbert.checkpoints.torch_legacy import is_ancient, is_legacy, read_legacy
from kerasbert.checkpoints.unpickling import Span, unpickle

_HEAD = 512
_LOCAL_HEADER = struct.Struct("<4s22xHH")
_MOST_OF_DIRECTORY = 2**23  # bytes; about 100 are needed for a tensor
_ENCRYPTED = 0x1
_ZIP_ERRORS = (
    *(zipfile.BadZipFile, struct.error, EOFError, ValueError, OverflowError, LookupError),
    *(NotImplementedError, RuntimeError),
)


class TorchCheckpoint(ArrayFiles):
    """An open file of PyTorch: what it holds is known at once, tensors are read when asked for.

    Nothing of the file's is executed: see :mod:`~kerasbert.checkpoints.unpickling`.

    Args:
        path: a file of ``torch.save``, one shard of several, or a ``.bin.index.json``.

    Attributes:
        path: that file.
        shapes: shape of every tensor by name, in the order of the file.
        extras: what lies beside the weights and holds no tensors, such as the settings of a
            training; objects are :class:`~kerasbert.checkpoints.unpickling.Record`.

    Raises:
        CheckpointNotFoundError: a shard is missing.
        CheckpointFormatError: a file is damaged, truncated, of another format, a program
            (TorchScript), without weights, or asks for code to be run; or a Git LFS pointer.
    """

    def __init__(self, path: str | Path):
        self.extras: dict[str, Any] = {}
        super().__init__(path, ".bin", functools.partial(_describe, extras=self.extras))


def is_torch(path: Path) -> bool:
    """Whether a file is one of ``torch.save``, or was one before it was cut off, by its bytes."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
            if is_legacy(head) or is_ancient(head):
                return True
            if not head.startswith(b"PK\x03\x04"):
                return False
            _, length, _ = _LOCAL_HEADER.unpack(head[: _LOCAL_HEADER.size])
            if re.fullmatch(rb"[^/]+/data\.pkl", head[30 : 30 + length]):
                return True
            return _root(_members(file)) is not None
    except (OSError, *_ZIP_ERRORS):
        return False


def _describe(path: Path, extras: dict[str, Any]) -> dict[str, StoredArray]:
    """Where the tensors of a file are, by name; what else is there is put into ``extras``."""
    with path.open("rb", buffering=2**16) as file:
        end = os.fstat(file.fileno()).st_size
        head = file.read(_HEAD)
        file.seek(0)
        if head.startswith(b"PK"):
            loaded, spans = _read_zip(file, end, path)
        elif is_legacy(head):
            loaded, spans = read_legacy(file, end, path)
        else:
            _refuse(path, head, end)
    found = {}
    extras.update(without_tensors(loaded))
    for name, value in find_state_dict(loaded, path).items():
        try:
            found[name] = _locate(value, spans)
        except ValueError as error:
            raise CheckpointFormatError(
                f"{path} is damaged at {name!r}: {error}. Download it again."
            ) from error
    return found


def _locate(value: Described, spans: dict[str, Span]) -> StoredArray:
    if isinstance(value, NumpyArray):
        return value.stored()
    storage = value.storage
    span, size = spans.get(storage.key), storage.size * storage.numbers.size
    if span is None:
        raise ValueError("its storage is missing")
    if size > span.size:
        raise ValueError(f"its storage takes {size:,} bytes, of which {span.size:,} are there")
    return value.stored(span if size == span.size else Span(span.start, size))


def _read_zip(file: BinaryIO, end: int, path: Path) -> tuple[Any, dict[str, Span]]:
    """What was saved, and where the storages are by their keys."""
    try:
        members = _members(file)
        root = _root(members)
        if root is None:
            raise CheckpointFormatError(
                f"{path} is a zip archive without data.pkl, so no file of PyTorch. Give it as an "
                "archive, with a name that ends in .zip, or unpack it."
            )
        if f"{root}/constants.pkl" in members:
            raise CheckpointFormatError(
                f"{path} is a program in TorchScript, not a file of weights. Load it with "
                "`torch.jit.load`, and save its `state_dict()`."
            )
        order = members.get(f"{root}/byteorder")
        if order is not None:
            place = _place(file, order, end)
            file.seek(place.start)
            if file.read(min(place.size, 16)) != b"little":
                raise CheckpointFormatError(
                    f"{path} was written on a machine with big-endian numbers, which are not "
                    "read. Load it in PyTorch there, and save it in safetensors."
                )
        description = _place(file, members[f"{root}/data.pkl"], end)
        folder = f"{root}/data/"
        spans = {
            name[len(folder) :]: _place(file, info, end)
            for name, info in members.items()
            if name.startswith(folder)
        }
    except CheckpointFormatError:
        raise
    except _ZIP_ERRORS as error:
        raise CheckpointFormatError(
            f"{path} ({end:,} bytes) is damaged or truncated. Download it again and compare its "
            f"size with that at the source. ({type(error).__name__}: {error})"
        ) from error
    file.seek(description.start)
    stop = description.start + description.size
    return unpickle(file, stop, path, torch_name, storage_of), spans


class _Bounded:
    """A file for ``zipfile``, which reads the directory in one piece as long as the file claims."""

    def __init__(self, file: BinaryIO):
        self._file = file
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int = -1) -> bytes:
        if size > _MOST_OF_DIRECTORY:
            raise zipfile.BadZipFile(f"its directory takes {size:,} bytes")
        return self._file.read(size if size >= 0 else _MOST_OF_DIRECTORY)


def _members(file: BinaryIO) -> dict[str, zipfile.ZipInfo]:
    with zipfile.ZipFile(_Bounded(file)) as archive:
        return {info.filename: info for info in archive.infolist()}


def _root(members: dict[str, zipfile.ZipInfo]) -> str | None:
    """The folder that everything is in, named after the file that was first saved."""
    for name in members:
        root, slash, rest = name.partition("/")
        if slash and rest == "data.pkl":
            return root
    return None


def _place(file: BinaryIO, info: zipfile.ZipInfo, end: int) -> Span:
    """Where a member's bytes are."""
    if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
        raise ValueError(
            f"{info.filename!r} is compressed, which PyTorch never does (the file was unpacked and "
            "packed again)"
        )
    if info.flag_bits & _ENCRYPTED:
        raise ValueError(f"{info.filename!r} is encrypted")
    if not 0 <= info.header_offset < end:
        raise ValueError(f"{info.filename!r} is not in it")
    file.seek(info.header_offset)
    signature, name_length, extra_length = _LOCAL_HEADER.unpack(file.read(_LOCAL_HEADER.size))
    start = info.header_offset + _LOCAL_HEADER.size + name_length + extra_length
    if signature != b"PK\x03\x04" or start + info.file_size > end:
        raise ValueError(f"{info.filename!r} is not where the directory says")
    return Span(start, info.file_size, crc=info.CRC or None)


def _refuse(path: Path, head: bytes, size: int) -> None:
    if not head:
        what = "is empty"
    elif is_ancient(head):
        what = "is of a PyTorch of before 2017. Load it in PyTorch and save it again"
    elif head.lstrip()[:1] == b"<":
        what = f"({size:,} bytes) is a web page, saved in place of the file; download it again"
    else:
        what = (
            f"({size:,} bytes) is no file of `torch.save`: neither a zip archive with data.pkl nor "
            "in the format of before PyTorch 1.6. Download it again, or give it its right name"
        )
    raise CheckpointFormatError(f"{path} {what}.")
