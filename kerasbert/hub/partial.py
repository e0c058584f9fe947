"""A file that is on its way: ``name.part``, and beside it whose bytes they are."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import filelock

from kerasbert.hub.errors import DownloadError

logger = logging.getLogger(__name__)

_CHUNK = 2**20


class PartialFile:
    """The beginning of a download, kept so that a later run can go on.

    Attributes:
        path: the file ``<target>.part``.
        state_path: ``<target>.part.json``, with the address and the server's mark of the content.
    """

    def __init__(self, target: Path):
        self._target = target
        self.path = target.with_name(f"{target.name}.part")
        self.state_path = target.with_name(f"{target.name}.part.json")

    @property
    def size(self) -> int:
        """Bytes that are there."""
        try:
            return self.path.stat().st_size
        except OSError:
            return 0

    def validator(self, url: str) -> str | None:
        """The mark (ETag or date) by which the server can tell that its file is still the same."""
        state = self._state()
        return state.get("validator") if state.get("url") == url else None

    def write_state(self, url: str, validator: str | None) -> None:
        """Notes whose bytes these are; done before the first of them is written."""
        temporary = self.state_path.with_name(f"{self.state_path.name}.tmp")
        temporary.write_text(json.dumps({"url": url, "validator": validator}), encoding="utf-8")
        os.replace(temporary, self.state_path)

    def discard(self) -> None:
        """Forgets what is there."""
        for path in (self.path, self.state_path):
            with contextlib.suppress(FileNotFoundError):
                path.unlink()

    def finish(self) -> None:
        """Gives the file its name, in one step."""
        with self.path.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(self.path, self._target)
        self.discard()

    def _state(self) -> dict[str, Any]:
        try:
            state = json.loads(self.state_path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return state if isinstance(state, dict) else {}


def digest(path: Path, algorithm: str) -> str:
    """The hash of a file, in hexadecimal."""
    found = hashlib.new(algorithm)
    with path.open("rb") as file:
        for chunk in iter(lambda: file.read(_CHUNK), b""):
            found.update(chunk)
    return found.hexdigest()


def difference(
    path: Path, size: int | None, sha256: str | None, md5: str | None = None
) -> str | None:
    """Why a file is not the expected one; None when it is, as far as is known."""
    found = path.stat().st_size
    if size is not None and found != size:
        return f"it has {found:,} bytes instead of {size:,}"
    for algorithm, expected in (("sha256", sha256), ("md5", md5)):
        if expected is not None:
            value = digest(path, algorithm)
            if value != expected.lower():
                return f"its {algorithm} is {value} instead of {expected.lower()}"
    return None


@contextlib.contextmanager
def writing(target: Path) -> Iterator[None]:
    """Says what to do when the file system refuses."""
    try:
        yield
    except DownloadError:
        raise
    except OSError as error:
        raise DownloadError(
            error.errno,
            f"{target} cannot be written ({error.strerror}). Make room or give the rights, or set "
            "KERASBERT_HOME to another folder; what has come is kept",
        ) from error


@contextlib.contextmanager
def locked(target: Path) -> Iterator[None]:
    """Keeps other processes from the same file; the system ends it with the process."""
    lock: Any = filelock.FileLock(target.with_name(f".{target.name}.lock"))
    try:
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            logger.warning("waiting for another process that downloads %s", target.name)
            lock.acquire(poll_interval=0.1)
    except NotImplementedError:  # a file system without locks
        lock = None
    except OSError as error:
        with writing(target):
            raise error
    try:
        yield
    finally:
        if lock is not None:
            lock.release()


def write_all(file, chunk: bytes) -> None:
    view = memoryview(chunk)
    while view:  # an unbuffered write may write less
        view = view[file.write(view) :]
