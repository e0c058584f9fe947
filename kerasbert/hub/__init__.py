"""Published models by name: what they are, and their files.

:func:`find` and :func:`models` read a registry; :func:`fetch` gives the files of a name, from the
cache or downloaded; :func:`download` is the download of one file. See docs/hub.md.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from kerasbert.hub.cache import folder_of, locate, models_folder
from kerasbert.hub.errors import (
    DownloadError,
    HashMismatchError,
    ModelNotAvailableError,
    PageInsteadOfFileError,
    UnknownModelError,
)
from kerasbert.hub.fetching import fetch, resolve
from kerasbert.hub.registry import (
    Address,
    Archive,
    Citation,
    PublishedModel,
    Vocabulary,
    find,
    get,
    models,
    suggestions,
)

__all__ = [
    "Address",
    "Archive",
    "Citation",
    "DownloadError",
    "HashMismatchError",
    "ModelNotAvailableError",
    "PageInsteadOfFileError",
    "PublishedModel",
    "UnknownModelError",
    "Vocabulary",
    "download",
    "fetch",
    "find",
    "folder_of",
    "get",
    "locate",
    "models",
    "models_folder",
    "resolve",
    "suggestions",
]


def download(url: str, path: str | os.PathLike[str], **options: Any) -> Path:
    """Downloads one file: :func:`kerasbert.hub.transfer.download`, with its options."""
    from kerasbert.hub import transfer  # requests is slow to import

    return transfer.download(url, path, **options)
