"""What goes wrong between a name and its files."""

from __future__ import annotations

from kerasbert.checkpoints.errors import CheckpointNotFoundError


class UnknownModelError(ValueError):
    """A name that the registry does not hold."""


class DownloadError(OSError):
    """An address gave no file, or not the right one."""


class HashMismatchError(DownloadError):
    """The file that came is not the one that was wanted; it is deleted."""


class PageInsteadOfFileError(DownloadError):
    """A page of text came where a file was asked for: a login, a quota, a lost address.

    Attributes:
        page: the beginning of the page.
    """

    def __init__(self, message: str, page: str = ""):
        super().__init__(message)
        self.page = page


class ModelNotAvailableError(CheckpointNotFoundError):
    """A known model is not on this machine, and none of its addresses gave it."""
