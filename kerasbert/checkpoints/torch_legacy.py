"""The format of ``torch.save`` before PyTorch 1.6: pickles in a row, then the storages' bytes.

In order: a magic number, a version, facts about the machine, the object, the keys of its storages;
then of each storage its size and its numbers. All but the last are pickles.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, BinaryIO

from kerasbert.checkpoints.errors import CheckpointFormatError
from kerasbert.checkpoints.pickled_tensors import Storage, storage_of, torch_name
from kerasbert.checkpoints.unpickling import Span, unpickle

_MAGIC = b"\x8a\x0a" + (0x1950A86A20F9469CFC6C).to_bytes(10, "little") + b"."
_VERSION = 1001
# The first member of the archives that PyTorch wrote before 2017, in a tar header.
_TAR_MEMBERS = (b"sys_info", b"pickle", b"storages", b"tensors")


def is_legacy(head: bytes) -> bool:
    """Whether a file that begins with these bytes (at least 32) is in this format."""
    return head[:1] == b"\x80" and _MAGIC in head[2:32]


def is_ancient(head: bytes) -> bool:
    """Whether a file that begins with these bytes (at least 262) is a tar of before 2017."""
    return head[257:262] == b"ustar" and head[:100].rstrip(b"\0") in _TAR_MEMBERS


def read_legacy(file: BinaryIO, end: int, path: Path) -> tuple[Any, dict[str, Span]]:
    """What was saved, and where the storages are by their keys.

    Args:
        file: at its first byte.
        end: its size in bytes.
        path: of the file, for messages.

    Raises:
        CheckpointFormatError: damaged, truncated, of a big-endian machine, or it asks for code.
    """
    storages: dict[str, Storage] = {}

    def persistent(saved: Any) -> Storage:
        storage = storage_of(saved)
        return storages.setdefault(storage.key, storage) if not storage.offset else storage

    unpickle(file, end, path, torch_name)  # the magic number
    version = unpickle(file, end, path, torch_name)
    system = unpickle(file, end, path, torch_name)
    if version != _VERSION:
        raise CheckpointFormatError(
            f"{path} is of version {str(version)[:20]} of PyTorch's old format; {_VERSION} is read."
        )
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise CheckpointFormatError(
            f"{path} was written on a machine with big-endian numbers, which are not read. Load "
            "it in PyTorch there, and save it in safetensors."
        )
    loaded = unpickle(file, end, path, torch_name, persistent)
    keys = unpickle(file, end, path, torch_name)
    return loaded, _locate(file, end, path, keys, storages)


def _locate(
    file: BinaryIO, end: int, path: Path, keys: Any, storages: dict[str, Storage]
) -> dict[str, Span]:
    spans: dict[str, Span] = {}
    if not isinstance(keys, list):
        raise CheckpointFormatError(f"{path} is damaged: it does not list its storages.")
    position = file.tell()
    for key in keys:
        storage = storages.get(key) if isinstance(key, str) else None
        if storage is None:
            raise CheckpointFormatError(
                f"{path} is damaged: it lists a storage that nothing is in. Download it again."
            )
        file.seek(position)
        count = int.from_bytes(file.read(8), "little", signed=True)
        start, size = position + 8, storage.size * storage.numbers.size
        position = start + size
        if position > end:
            raise CheckpointFormatError(
                f"{path} ({end:,} bytes) is truncated: at least {position:,} are needed. Download "
                "it again."
            )
        if count != storage.size:
            raise CheckpointFormatError(
                f"{path} is damaged: a storage of {storage.size:,} numbers holds {count:,}. "
                "Download it again."
            )
        spans[key] = Span(start, size)
    return spans
