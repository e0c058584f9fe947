"""Archives of checkpoints, unpacked once into a cache folder that is keyed by their content."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from kerasbert.checkpoints.errors import refuse_lfs_pointer
from kerasbert.checkpoints.unpacking import archive_kind, unpack

try:
    import fcntl
except ImportError:  # Windows: leftovers of killed processes are then known by their age only
    fcntl = None

_CHUNK = 2**20
_MANIFEST = ".manifest.json"
_TEMPORARY = ".tmp-"
_SUFFIXES = (".zip", ".tar", ".tgz", ".txz", ".tbz2", ".tar.gz", ".tar.xz", ".tar.bz2")


def cache_dir() -> Path:
    """The folder for downloaded and unpacked files.

    ``$KERASBERT_HOME``, else ``$XDG_CACHE_HOME/kerasbert``, else ``~/.cache/kerasbert``.
    """
    home = os.environ.get("KERASBERT_HOME")
    if not home:
        home = os.path.join(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "kerasbert")
    return Path(home).expanduser()


def is_archive(path: Path) -> bool:
    """Whether a file is an archive by its name or by its first bytes."""
    return path.name.lower().endswith(_SUFFIXES) or archive_kind(path) is not None


def extract(path: str | os.PathLike) -> Path:
    """Unpacks an archive into the cache, once, and returns the folder.

    The folder is keyed by the archive's content (SHA-256, remembered for a path, size and times),
    and appears under its name only when it is whole. Several processes may do so at once.

    Args:
        path: a zip, tar, tar.gz, tar.xz or tar.bz2 file.

    Raises:
        CheckpointFormatError: damaged, truncated, encrypted, or a Git LFS pointer.
        UnsafeArchiveError: a name, a link or a size that no checkpoint needs.
        OSError: the cache cannot be written, or the disk is full.
    """
    path = Path(path).expanduser().resolve()
    refuse_lfs_pointer(path)
    root = cache_dir() / "archives"
    with path.open("rb") as raw:
        target = root / _content_key(path, raw, root)
        if _is_whole(target):
            return target
        _remove_leftovers(root)
        with _temporary_folder(root) as folder:
            sizes = unpack(raw, path, folder)
            (folder / _MANIFEST).write_text(json.dumps(sizes), "utf-8")
            _publish(folder, target)
    return target


def _content_key(path: Path, raw: BinaryIO, root: Path) -> str:
    """SHA-256 of the file; remembered, because hashing a large file takes a second."""
    status = os.fstat(raw.fileno())
    state = [str(path), status.st_size, status.st_mtime_ns, status.st_ctime_ns]
    memo = root / ".keys" / hashlib.sha256(str(path).encode("utf-8", "replace")).hexdigest()
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        known = json.loads(memo.read_text("utf-8"))
        if known["state"] == state and re.fullmatch("[0-9a-f]{64}", known["sha256"]):
            return known["sha256"]
    digest = hashlib.sha256()
    for chunk in iter(lambda: raw.read(_CHUNK), b""):
        digest.update(chunk)
    with contextlib.suppress(OSError):  # a cache that is only read, filled by somebody else
        memo.parent.mkdir(parents=True, exist_ok=True)
        temporary = memo.with_name(f"{memo.name}.{uuid.uuid4().hex}")
        temporary.write_text(json.dumps({"state": state, "sha256": digest.hexdigest()}), "utf-8")
        os.replace(temporary, memo)
    return digest.hexdigest()


def _is_whole(folder: Path) -> bool:
    """Whether a cached folder still holds what was unpacked (cleaners delete old files)."""
    try:
        sizes = json.loads((folder / _MANIFEST).read_text("utf-8"))
        return all((folder / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError, AttributeError):
        return False


@contextlib.contextmanager
def _temporary_folder(root: Path) -> Iterator[Path]:
    """A new folder beside the cached ones; locked while in use, removed at the end."""
    folder = root / f"{_TEMPORARY}{uuid.uuid4().hex}"
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise OSError(
            error.errno,
            f"archives cannot be unpacked to {root} ({error.strerror}). Set KERASBERT_HOME to a "
            "folder that can be written",
        ) from error
    lock = os.open(folder, os.O_RDONLY) if fcntl else None
    try:
        if fcntl:
            with contextlib.suppress(OSError):  # a file system without locks
                fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def _remove_leftovers(root: Path) -> None:
    """Removes the temporary folders of processes that were killed: nobody holds their lock."""
    for folder in root.glob(f"{_TEMPORARY}*"):
        try:
            age = time.time() - folder.stat().st_mtime
            if age < 60:  # its owner may not have locked it yet
                continue
            if fcntl:
                descriptor = os.open(folder, os.O_RDONLY)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                finally:
                    os.close(descriptor)
            elif age < 24 * 3600:
                continue
        except OSError:  # locked, so alive; or just gone
            continue
        shutil.rmtree(folder, ignore_errors=True)


def _publish(folder: Path, target: Path) -> None:
    """Renames a finished folder to its final name, unless another process was faster."""
    for _ in range(3):
        try:
            os.replace(folder, target)
            return
        except OSError as error:
            if _is_whole(target):
                return
            if not target.exists():
                raise
            # Incomplete because somebody deleted files: out of the way, by one atomic rename.
            broken = target.with_name(f"{_TEMPORARY}{uuid.uuid4().hex}")
            with contextlib.suppress(OSError):
                os.replace(target, broken)
            shutil.rmtree(broken, ignore_errors=True)
            failure = error
    raise failure
