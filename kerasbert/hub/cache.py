"""Where models lie on this machine: ``$KERASBERT_HOME/models/<name>/``, filled by us or by hand."""

from __future__ import annotations

import functools
import os
import re
from pathlib import Path

from kerasbert.checkpoints import archives, folders
from kerasbert.hub import registry
from kerasbert.hub.names import normalise
from kerasbert.hub.registry import Archive, PublishedModel

_MAX_DEPTH = 5
_ARCHIVES = (".zip", ".tar.gz", ".tgz", ".tar", ".tar.xz", ".tar.bz2")
_WEIGHTS = re.compile(
    r".+\.(?:index|safetensors|bin|h5|hdf5|weights|pt|pth|pdparams)|saved_model\.pb"
)
_COPY = re.compile(r" ?\(\d+\)$")  # "name (1).zip", as browsers call a second download
_OFF = ("", "0", "false", "no", "off")
BUNDLED = Path(__file__).parent  # of archives that come with the package


def models_folder() -> Path:
    """The folder of all models: ``models`` in ``$KERASBERT_HOME`` or the user's cache folder."""
    return archives.cache_dir() / "models"


def folder_of(model: PublishedModel, archive: Archive | None = None) -> Path:
    """The folder of a model (of an archive that two models share, the folder of the first)."""
    return models_folder() / (archive.folder if archive and archive.folder else model.name)


def is_offline() -> bool:
    """Whether ``KERASBERT_OFFLINE`` forbids the network."""
    return os.environ.get("KERASBERT_OFFLINE", "").strip().casefold() not in _OFF


def locate(model: PublishedModel) -> Path | None:
    """Finds a model that was downloaded or placed by hand.

    In this order: an archive of a known name in the model's folder, files that lie unpacked there,
    any other archive if it is the only one, the archive that comes with this package, and one of a
    known name in the folder above. A folder counts as the model's whichever of its names it has.

    Returns:
        An archive or a folder; None when there is nothing.
    """
    names = {key for archive in model.archives for key in _keys(archive)}
    for folder in _folders(model):
        files = [path for path in _files(folder) if path.parent == folder]
        packed = [path for path in files if path.name.lower().endswith(_ARCHIVES)]
        known = [path for path in packed if _key(path.name) in names]
        if known:
            return known[0]
        if any(_WEIGHTS.fullmatch(path.name) for path in _files(folder)):
            return folder
        if len(packed) == 1:
            return packed[0]
    for archive in model.archives:
        if (BUNDLED / archive.name).is_file():
            return BUNDLED / archive.name
    above = models_folder()
    unique = {key for key in names if _owners().get(key) == 1}
    found = [path for path in _files(above, depth=0) if _key(path.name) in unique]
    return found[0] if found else None


def target_of(model: PublishedModel, archive: Archive) -> Path:
    """The path at which a download of an archive is kept."""
    return folder_of(model, archive) / (archive.name or f"{model.name}.{archive.format}")


def _folders(model: PublishedModel) -> list[Path]:
    """The folders that may hold a model, its own first."""
    own = [folder_of(model), *(folder_of(model, archive) for archive in model.archives)]
    names = {normalise(name) for name in (model.name, *model.aliases)}
    try:
        others = sorted(path for path in models_folder().iterdir() if path.is_dir())
    except OSError:
        others = []
    own += [path for path in others if normalise(path.name) in names]
    return [folder for folder in dict.fromkeys(own) if folder.is_dir()]


def _files(folder: Path, depth: int = _MAX_DEPTH) -> list[Path]:
    return folders.files_below(folder, depth) if folder.is_dir() else []


def _key(name: str) -> str:
    """One spelling of an archive's name: without what a browser adds, and case."""
    stem, dot, suffix = name.partition(".zip") if ".zip" in name else name.partition(".tar")
    return normalise(_COPY.sub("", stem) + dot + suffix)


def _keys(archive: Archive) -> list[str]:
    return [_key(archive.name)] if archive.format in ("zip", "tar.gz") and archive.name else []


@functools.lru_cache(maxsize=1)
def _owners() -> dict[str, int]:
    """How many models have an archive of a name: XLNet's and BERT's are called alike."""
    count: dict[str, int] = {}
    for model in registry.models():
        for archive in model.archives:
            for key in _keys(archive) if archive.folder is None else ():
                count[key] = count.get(key, 0) + 1
    return count
