"""Unpacking of archives that are trusted with nothing.

A checkpoint archive comes from anywhere, so it decides neither where its files go nor how much
they take: every name is checked, only plain files are written, and bytes are counted as they are
written instead of believing the headers. What a loader never needs is left out.
"""

from __future__ import annotations

import bz2
import contextlib
import errno
import gzip
import lzma
import os
import re
import shutil
import stat
import struct
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Callable, NamedTuple

from tqdm.auto import tqdm

from kerasbert.checkpoints.errors import CheckpointFormatError, UnsafeArchiveError

# The largest published archive (XLM-R XXL) unpacks to 43 GB. Weights hardly compress (1.1 to 1),
# graphs and vocabularies at most about 15 to 1: a hundred to one is no checkpoint. Small archives
# are given 256 MB, because a tiny model of zeros is compressed a thousand times.
MAX_BYTES = 64 * 2**30
MAX_RATIO = 100
FREE_BYTES = 256 * 2**20
MAX_MEMBERS = 10_000

_CHUNK = 2**20
_LARGEST_HEADER = 2**24  # tarfile reads a header in one piece, of the size that the header claims
_PROGRESS_FROM = 100_000_000  # bytes of the archive
_MAGIC = {
    b"PK\x03\x04": "zip",
    b"PK\x05\x06": "zip",
    b"\x1f\x8b": "gz",
    b"\xfd7zXZ": "xz",
    b"BZh": "bz2",
}
_FOREIGN_MAGIC = {b"7z\xbc\xaf": "7z", b"Rar!": "rar", b"\x28\xb5\x2f\xfd": "zstandard"}
_DECOMPRESSORS = {"gz": gzip.open, "xz": lzma.open, "bz2": bz2.open}
_UNPACKING_ERRORS = (
    *(zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, struct.error, EOFError),
    *(ValueError, OverflowError, IndexError, RuntimeError),
)


class _Member(NamedTuple):
    name: str
    size: int
    is_folder: bool
    open: Callable[[], Any]


def archive_kind(path: Path) -> str | None:
    """zip, gz, xz, bz2 or tar, by the first bytes; None for anything else."""
    with path.open("rb") as file:
        head = file.read(512)
    for magic, kind in _MAGIC.items():
        if head.startswith(magic):
            return kind
    return "tar" if head[257:262] == b"ustar" else None


def unpack(raw: BinaryIO, path: Path, folder: Path) -> dict[str, int]:
    """Unpacks what a loader needs of an archive.

    Args:
        raw: the archive, opened for binary reading.
        path: its path, for messages.
        folder: an existing, empty folder.

    Returns:
        The size in bytes of every file written, by its path below ``folder``.

    Raises:
        CheckpointFormatError: no archive that is known, damaged, truncated or encrypted.
        UnsafeArchiveError: a name, a link or a size that no checkpoint needs.
        OSError: the files cannot be written.
    """
    kind = archive_kind(path)
    if kind is None:
        _refuse_unknown(path)
    with _clear_errors(path):
        return _write_members(raw, path, kind, folder)


def _write_members(raw: BinaryIO, path: Path, kind: str, folder: Path) -> dict[str, int]:
    size = os.fstat(raw.fileno()).st_size
    allowed = min(MAX_BYTES, max(FREE_BYTES, MAX_RATIO * size))
    raw.seek(0)
    members = _zip_members(raw, allowed) if kind == "zip" else _tar_members(raw, kind, allowed)
    names = _Names()
    sizes: dict[str, int] = {}
    written = 0
    bar = tqdm(
        total=size,
        desc=f"unpacking {path.name}",
        unit="B",
        unit_scale=True,
        disable=size < _PROGRESS_FROM,
    )
    with bar:
        for count, member in enumerate(members, start=1):
            if count > MAX_MEMBERS:
                raise UnsafeArchiveError(f"it holds more than {MAX_MEMBERS:,} members")
            parts = _safe_parts(member.name)
            if member.is_folder or not parts or _is_unneeded(parts):
                continue
            names.add(parts)
            free = shutil.disk_usage(folder).free
            if member.size > free:
                raise OSError(
                    errno.ENOSPC,
                    f"{member.name} needs {member.size:,} bytes, but only {free:,} are free",
                )
            file_path = folder.joinpath(*parts)
            file_path.parent.mkdir(parents=True, exist_ok=True)
            before = written
            with member.open() as source, file_path.open("xb") as file:
                for chunk in iter(lambda: source.read(_CHUNK), b""):
                    written += len(chunk)
                    if written > allowed:
                        raise _bomb(allowed)
                    file.write(chunk)
                    bar.update(max(0, raw.tell() - bar.n))
            if written - before != member.size:
                raise EOFError(f"{member.name} ends after {written - before:,} bytes")
            sizes["/".join(parts)] = member.size
    return sizes


def _zip_members(raw: BinaryIO, allowed: int) -> Iterator[_Member]:
    with zipfile.ZipFile(raw) as archive:
        infos = archive.infolist()
        if sum(info.file_size for info in infos) > allowed:
            raise _bomb(allowed)
        for info in infos:
            mode = stat.S_IFMT(info.external_attr >> 16)
            if mode not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise UnsafeArchiveError(f"{info.filename!r} is a link or a device")
            if info.flag_bits & 0x1:
                raise CheckpointFormatError("it is encrypted; unpack it with its password")

            def open_member(info: zipfile.ZipInfo = info):
                return archive.open(info)  # verifies the CRC as it reads

            yield _Member(info.filename, info.file_size, info.is_dir(), open_member)


def _tar_members(raw: BinaryIO, kind: str, allowed: int) -> Iterator[_Member]:
    stream = _BoundedStream(_DECOMPRESSORS[kind](raw) if kind in _DECOMPRESSORS else raw, allowed)
    with tarfile.open(fileobj=stream, mode="r:") as archive:
        for info in archive:
            if not (info.isreg() or info.isdir()) or info.issparse():
                raise UnsafeArchiveError(f"{info.name!r} is a link, a device or a sparse file")

            def open_member(info: tarfile.TarInfo = info):
                return archive.extractfile(info)

            yield _Member(info.name, info.size, info.isdir(), open_member)
    while stream.read(_CHUNK):  # to the end: only there does a compressor's checksum stand
        pass


class _BoundedStream:
    """What ``tarfile`` reads from: forwards only, in pieces, and no more than ``allowed`` bytes.

    ``tarfile`` believes the sizes that headers claim; these three rules end every attack that
    rests on it, whether it would fill the memory or loop for ever.
    """

    def __init__(self, stream: Any, allowed: int):
        self._stream = stream
        self._position = 0
        # Members that are not unpacked count as well: skipping them takes the same time.
        self._allowed = allowed + MAX_MEMBERS * 1024

    def tell(self) -> int:
        return self._position

    def read(self, size: int) -> bytes:
        if not 0 <= size <= _LARGEST_HEADER:
            raise UnsafeArchiveError(f"a header claims {size:,} bytes")
        data = self._stream.read(size)
        self._position += len(data)
        if self._position > self._allowed:
            raise _bomb(self._allowed)
        return data

    def seek(self, position: int) -> None:
        if position < self._position:
            raise tarfile.ReadError("a member points backwards")
        while self._position < position:
            if not self.read(min(_CHUNK, position - self._position)):
                break


def _bomb(allowed: int) -> UnsafeArchiveError:
    return UnsafeArchiveError(
        f"it would take more than {allowed:,} bytes, far more than a checkpoint of its size"
    )


def _safe_parts(name: str) -> tuple[str, ...]:
    """The parts of a member's path, proven to stay below the folder that it is joined to.

    Raises:
        UnsafeArchiveError: absolute, with a drive, climbing by ``..``, or no portable file name.
    """
    # Windows tools write backslashes; undecodable bytes come as lone surrogates.
    text = re.sub("[\ud800-\udfff]", "_", name.replace("\\", "/"))
    parts = tuple(part for part in text.split("/") if part not in ("", "."))
    if text.startswith("/") or ".." in parts:
        raise UnsafeArchiveError(f"the name {name!r} leads out of the folder")
    for part in parts:
        if re.search(r"[\x00-\x1f\x7f:]", part) or len(part.encode()) > 255:
            raise UnsafeArchiveError(f"{name!r} is no portable file name")
        if part.rstrip(" .") != part and os.name == "nt":
            raise UnsafeArchiveError(f"{name!r} is no portable file name")
    return parts


class _Names:
    """The paths seen so far; two that some file system would take for one are refused."""

    def __init__(self):
        self._files: set[tuple[str, ...]] = set()
        self._folders: set[tuple[str, ...]] = set()

    def add(self, parts: tuple[str, ...]) -> None:
        key = tuple(unicodedata.normalize("NFC", part).casefold() for part in parts)
        folders = {key[:depth] for depth in range(1, len(key))}
        if key in self._files or key in self._folders or folders & self._files:
            raise UnsafeArchiveError(f"the name {'/'.join(parts)!r} occurs twice")
        self._files.add(key)
        self._folders |= folders


def _is_unneeded(parts: Iterable[str]) -> bool:
    """What macOS adds, and the original program's graph: large, and no loader reads it."""
    *folders, name = parts
    return (
        "__MACOSX" in folders
        or name.startswith("._")
        or name == ".DS_Store"
        or name.endswith(".meta")
    )


def _refuse_unknown(path: Path) -> None:
    with path.open("rb") as file:
        head = file.read(512)
    size = path.stat().st_size
    foreign = [name for magic, name in _FOREIGN_MAGIC.items() if head.startswith(magic)]
    if not head:
        what = "is empty"
    elif foreign:
        what = f"is a {foreign[0]} archive, which is not read here; unpack it and give the folder"
    elif head.lstrip()[:1] == b"<":
        what = f"({size:,} bytes) is a web page, saved in place of the archive; download it again"
    else:
        what = f"({size:,} bytes) is neither a zip nor a tar archive; download it again"
    raise CheckpointFormatError(f"{path} {what}.")


@contextlib.contextmanager
def _clear_errors(path: Path) -> Iterator[None]:
    """Says of every failure which archive it is about, and what to do."""
    try:
        yield
    except UnsafeArchiveError as error:
        raise UnsafeArchiveError(
            f"{path} was refused, and nothing of it was kept: {error}. If you trust it, unpack it "
            "yourself and give the folder."
        ) from error
    except CheckpointFormatError as error:
        raise CheckpointFormatError(f"{path}: {error}, and give the folder.") from error
    except NotImplementedError as error:
        raise CheckpointFormatError(
            f"{path}: {error}. Unpack it yourself, and give the folder."
        ) from error
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise OSError(
                errno.ENOSPC,
                f"no space to unpack {path.name}: {error.strerror}. Make room, or "
                "set KERASBERT_HOME to a folder on another disk.",
            ) from error
        if error.errno is not None:
            raise
        _raise_damaged(path, error)  # gzip and bz2 report bad data as an OSError without a number
    except _UNPACKING_ERRORS as error:
        _raise_damaged(path, error)


def _raise_damaged(path: Path, error: Exception) -> None:
    raise CheckpointFormatError(
        f"{path} ({path.stat().st_size:,} bytes) is damaged or truncated. Download it again and "
        f"compare its size with that at the source. ({type(error).__name__}: {error})"
    ) from error
