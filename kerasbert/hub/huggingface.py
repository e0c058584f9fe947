"""Repositories of Hugging Face, ``hf://user/name[@revision][/file]``, by ``huggingface_hub``."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from kerasbert.hub import cache
from kerasbert.hub.errors import DownloadError, ModelNotAvailableError

logger = logging.getLogger(__name__)

PREFIX = "hf://"
_ADDRESS = re.compile(r"hf://([\w.-]+(?:/[\w.-]+)?)(?:@([^/]+))?(?:/(.+))?")
# Files beside the weights that we read.
_COMPANIONS = re.compile(
    r".*config\.json|vocab\.(?:txt|json)|merges\.txt|added_tokens\.json|special_tokens_map\.json"
    r"|tokenizer\.json|dict\.txt|.+\.model|.+\.vocab|checkpoint"
)
# Weights, the preferred first; of each kind the index and its shards come together.
_WEIGHTS = (
    re.compile(r"model(?:-\d{5}-of-\d{5})?\.safetensors(?:\.index\.json)?"),
    re.compile(r"pytorch_model(?:-\d{5}-of-\d{5})?\.bin(?:\.index\.json)?"),
    re.compile(r"tf_model(?:-\d{5}-of-\d{5})?\.h5(?:\.index\.json)?"),
    re.compile(r".+\.(?:index|meta|data-\d{5}-of-\d{5})"),
    re.compile(r"model_state\.pdparams"),
    re.compile(r".+\.safetensors"),
)
_KNOWN = ("config.json", "model.safetensors", "pytorch_model.bin", "tf_model.h5", "vocab.txt")
_OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")


@dataclass(frozen=True)
class Repository:
    """A parsed address.

    Attributes:
        name: ``user/name``.
        revision: a branch, tag or commit; None means the main branch.
        file: a path in it; None means what belongs to the model.
    """

    name: str
    revision: str | None = None
    file: str | None = None


def parse(address: str) -> Repository:
    """Reads ``hf://user/name[@revision][/file]``.

    Raises:
        ValueError: it is not of that form. A ``/`` in a revision is written ``%2F``.
    """
    match = _ADDRESS.fullmatch(address.strip().rstrip("/"))
    parts = match[3].split("/") if match and match[3] else []
    if match is None or ".." in parts or "" in parts or ("/" not in match[1] and parts):
        raise ValueError(
            f"an address of Hugging Face is hf://user/name, hf://user/name@revision or "
            f"hf://user/name@revision/file. Received: {address!r}"
        )
    return Repository(match[1], unquote(match[2]) if match[2] else None, match[3])


def fetch(address: str, update: bool = True) -> Path:
    """The files of a repository that we read, from Hugging Face's own cache or downloaded.

    ``HF_HOME``, ``HF_ENDPOINT`` and ``HF_HUB_OFFLINE`` mean what they mean to ``huggingface_hub``,
    and so does the token of a login. ``KERASBERT_OFFLINE`` is heeded as well.

    Args:
        address: ``hf://user/name[@revision][/file]``.
        update: whether to ask for a newer state of what the cache holds.

    Returns:
        The folder with the snapshot, or the path of ``file`` in it.

    Raises:
        ValueError: no such form of an address.
        ImportError: ``huggingface_hub`` is not installed.
        ModelNotAvailableError: offline, and not in the cache.
        DownloadError: no such repository, revision or file, no access, or no connection.
    """
    repository = parse(address)
    hub = _import()
    if cache.is_offline() or any(os.environ.get(name, "") in ("1", "true") for name in _OFFLINE):
        return _cached(hub, repository, address)
    found = None if update else _in_cache(hub, repository)
    if found is not None:
        return found
    try:
        return _downloaded(hub, repository)
    except DownloadError:
        raise
    except Exception as error:  # of whichever HTTP library huggingface_hub uses
        found = _in_cache(hub, repository)
        if found is not None and not _is_refusal(hub, error):
            logger.warning("%s: %s; what the cache holds is used", address, error)
            return found
        raise DownloadError(f"{address}: {_explain(hub, error)}") from error


def choose_files(names: Sequence[str], file: str | None = None) -> list[str]:
    """Which files of a repository to download: one kind of weights, and what we read beside them.

    Args:
        names: all paths in the repository.
        file: the one that was asked for; then those that belong to it.

    Raises:
        DownloadError: there are no weights that are read here, or no such file.
    """
    if file is not None and file not in names:
        raise DownloadError(f"it holds no file {file!r}. It holds: {', '.join(sorted(names)[:20])}")
    folder = PurePosixPath(file).parent if file else PurePosixPath(".")
    near = [name for name in names if PurePosixPath(name).parent == folder]
    companions = [name for name in near if _COMPANIONS.fullmatch(PurePosixPath(name).name)]
    kinds = [[n for n in near if kind.fullmatch(PurePosixPath(n).name)] for kind in _WEIGHTS]
    if file is not None:
        weights = next((kind for kind in kinds if file in kind), [file])
        # A whole file beside shards of the same model is not among what was asked for.
        weights = weights if re.search(r"-of-\d{5}|\.index", file) else [file]
    else:
        weights = next(filter(None, kinds), None)
    if weights is None:
        raise DownloadError(
            "it holds no weights that are read here (model.safetensors, pytorch_model.bin, "
            f"tf_model.h5, a TensorFlow checkpoint). It holds: {', '.join(sorted(names)[:20])}"
        )
    return sorted({*companions, *weights})


def is_installed() -> bool:
    """Whether ``huggingface_hub`` can be imported."""
    try:
        _import()
    except ImportError:
        return False
    return True


def _import():
    try:
        import huggingface_hub.constants
        import huggingface_hub.utils
    except ImportError as error:
        raise ImportError(
            "repositories of Hugging Face need huggingface_hub: pip install 'kerasbert[hub]'"
        ) from error
    return huggingface_hub


def _downloaded(hub, repository: Repository) -> Path:
    endpoint = os.environ.get("HF_ENDPOINT") or None
    api = hub.HfApi(endpoint=endpoint)
    names = api.list_repo_files(repository.name, revision=repository.revision)
    chosen = choose_files(names, repository.file)
    folder = hub.snapshot_download(
        repository.name,
        revision=repository.revision,
        allow_patterns=[re.sub(r"([\[*?])", r"[\1]", name) for name in chosen],
        endpoint=endpoint,
    )
    return Path(folder, repository.file) if repository.file else Path(folder)


def _cached(hub, repository: Repository, address: str) -> Path:
    found = _in_cache(hub, repository)
    if found is None:
        raise ModelNotAvailableError(
            f"{address} is not in the cache of Hugging Face ({hub.constants.HF_HUB_CACHE}), and "
            "KERASBERT_OFFLINE or HF_HUB_OFFLINE forbids the network. Unset it once, or copy the "
            "cache from another machine."
        )
    return found


def _in_cache(hub, repository: Repository) -> Path | None:
    """The snapshot in the cache, if it holds weights (or the file that was asked for)."""
    for name in (repository.file,) if repository.file else _KNOWN:
        found = hub.try_to_load_from_cache(repository.name, name, revision=repository.revision)
        if not isinstance(found, str):
            continue
        path = Path(found)
        if repository.file:
            return path
        names = [entry.name for entry in path.parent.iterdir()]
        if any(kind.fullmatch(entry) for kind in _WEIGHTS for entry in names):
            return path.parent
    return None


def _is_refusal(hub, error: Exception) -> bool:
    """Whether Hugging Face answered that there is none, rather than not at all."""
    kinds = ("RepositoryNotFoundError", "RevisionNotFoundError", "EntryNotFoundError")
    return any(isinstance(error, getattr(hub.utils, kind, ())) for kind in kinds)


def _explain(hub, error: Exception) -> str:
    utils = hub.utils
    if isinstance(error, utils.GatedRepoError):
        return "its licence must be accepted on its page, and you logged in (`hf auth login`)"
    if isinstance(error, utils.RepositoryNotFoundError):
        return "there is no such repository, or it is private: check the name, or `hf auth login`"
    if isinstance(error, utils.RevisionNotFoundError):
        return "the repository has no such revision"
    return " ".join(str(error).split()) or type(error).__name__
