"""The errors that every checkpoint format raises, and the causes that are known by their bytes."""

from __future__ import annotations

from pathlib import Path

LFS_SIGNATURE = b"version https://git-lfs"
_LFS_MAX_BYTES = 1024  # the Git LFS specification: a pointer is shorter than 1024 bytes


class CheckpointNotFoundError(FileNotFoundError):
    """No checkpoint, or not exactly one, lies where it was looked for."""


class CheckpointFormatError(ValueError):
    """A file is there but is broken, truncated, or of another format."""


class UnsafeArchiveError(CheckpointFormatError):
    """An archive asks for something that no published checkpoint needs, such as writing outside."""


def is_lfs_pointer(path: Path) -> bool:
    """Whether ``path`` is the small text that Git leaves in place of a file it did not download."""
    try:
        if path.stat().st_size >= _LFS_MAX_BYTES:
            return False
        with path.open("rb") as file:
            return file.read(len(LFS_SIGNATURE)) == LFS_SIGNATURE
    except OSError:
        return False


def refuse_lfs_pointer(path: Path) -> None:
    """Raises CheckpointFormatError, with the way out, when ``path`` is a Git LFS pointer."""
    if is_lfs_pointer(path):
        raise CheckpointFormatError(
            f"{path} is not the file itself but a Git LFS pointer ({path.stat().st_size} bytes of "
            "text): the repository was cloned without its large files. Run `git lfs install` and "
            f"`git lfs pull` in that folder, or download {path.name} from the repository's page."
        )
