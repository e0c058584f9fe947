"""From a name to a path: the cache, then the addresses that need no login, else what to do."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

from kerasbert.checkpoints import archives
from kerasbert.checkpoints.errors import CheckpointFormatError
from kerasbert.hub import cache, huggingface, registry
from kerasbert.hub.addresses import beyond_drive_page, urls_of
from kerasbert.hub.errors import DownloadError, ModelNotAvailableError
from kerasbert.hub.partial import digest
from kerasbert.hub.registry import Address, Archive, PublishedModel

logger = logging.getLogger(__name__)

_said: set[str] = set()


def fetch(name: str, *, force: bool = False, progress: bool | None = None) -> Path:
    """The files of a published model, from this machine or downloaded.

    Args:
        name: one that :func:`kerasbert.hub.find` knows, or ``hf://user/name[@revision][/file]``.
        force: download again what is there.
        progress: whether to show bars; None shows them on a terminal.

    Returns:
        A folder or an archive, which ``build_transformer_model(checkpoint=...)`` takes.

    Raises:
        UnknownModelError: an unknown name.
        ModelNotAvailableError: not on this machine, and no address gave it. The message says what
            was tried, where to get the file by hand, and where to put it.
    """
    if name.startswith(huggingface.PREFIX):
        return huggingface.fetch(name)
    model = registry.find(name)
    found = None if force else cache.locate(model)
    if found is not None:
        return found
    if cache.is_offline():
        found = _from_huggingface_cache(model)
        if found is not None:
            return found
        raise ModelNotAvailableError(_missing(model, ["KERASBERT_OFFLINE forbids the network"]))
    _say_licence(model)
    problems = []
    for archive, address in _automatic(model):
        try:
            return _get(model, archive, address, force, progress)
        except (DownloadError, CheckpointFormatError, ImportError, ValueError) as error:
            problems.append(str(error))
            logger.warning("%s: %s", model.name, error)
    raise ModelNotAvailableError(_missing(model, problems))


def resolve(text: str) -> Path | None:
    """The files of ``text`` when it names a published model, downloaded if need be.

    Args:
        text: whatever a user gave as a checkpoint and that is no path on disk.

    Returns:
        None when it is the name of none.

    Raises:
        ModelNotAvailableError: as :func:`fetch`.
        ValueError: ``hf://`` and no address behind it.
        ImportError: ``hf://`` without ``huggingface_hub``.
        DownloadError: ``hf://`` and no such repository, no access or no connection.
    """
    if text.startswith(huggingface.PREFIX) or registry.get(text) is not None:
        return fetch(text)
    return None


def _automatic(model: PublishedModel) -> list[tuple[Archive, Address]]:
    """What a program can try, in the order in which it does.

    Google Drive comes last: it has quotas, and asks before it gives a large file.
    """
    found = [(archive, address) for archive in model.archives for address in archive.addresses]
    found = [(archive, address) for archive, address in found if not address.by_hand]
    return sorted(found, key=lambda pair: pair[1].kind == "drive")


def _get(
    model: PublishedModel, archive: Archive, address: Address, force: bool, progress: bool | None
) -> Path:
    if address.kind == "huggingface":
        return huggingface.fetch(address.url, update=force)
    from kerasbert.hub.transfer import download  # requests is slow to import

    target = cache.target_of(model, archive)
    if force:
        target.unlink(missing_ok=True)
    problem: Exception | None = None
    for url in urls_of(address):
        logger.info("%s: downloading %s", model.name, url)
        try:
            download(
                url,
                target,
                size=archive.size,
                sha256=archive.sha256,
                progress=progress,
                beyond_page=beyond_drive_page if address.kind == "drive" else None,
            )
            _check(target, archive)
            return target
        except DownloadError as error:
            logger.warning("%s", error)
            problem = error
    raise problem or DownloadError(f"{address.url}: no address to try")


def _check(path: Path, archive: Archive) -> None:
    """Unpacks what came, which reads every checksum in it, and compares what is recorded.

    Raises:
        DownloadError: it is damaged; it is deleted.
    """
    try:
        folder = archives.extract(path)
    except CheckpointFormatError as error:
        path.unlink(missing_ok=True)
        raise DownloadError(f"what came was no whole archive and is deleted: {error}") from error
    for file in sorted(folder.rglob("*")):
        known = archive.files.get(file.name)
        if known is None or known.sha256 is None or not file.is_file():
            continue
        if file.stat().st_size != known.size or digest(file, "sha256") != known.sha256:
            logger.warning(
                "%s in %s is another file than the one that is recorded (%s bytes, sha256 %s). The "
                "archive is whole, so the publisher may have replaced it.",
                *(file.name, path.name, f"{known.size:,}", known.sha256),
            )


def _say_licence(model: PublishedModel) -> None:
    """Says once what a model may be used for, before it is downloaded."""
    if model.name in _said:
        return
    _said.add(model.name)
    if model.non_commercial:
        warnings.warn(
            f"{model.title} is under {model.licence}: it may not be used commercially.",
            UserWarning,
            stacklevel=3,
        )
    elif model.licence == registry.NOT_STATED:
        logger.warning("%s: its publisher states no licence (%s)", model.name, model.licence_note)
    else:
        logger.info("%s: licence %s", model.name, model.licence)


def _from_huggingface_cache(model: PublishedModel) -> Path | None:
    """What ``huggingface_hub`` has already, without the network."""
    for archive in model.archives:
        for address in archive.addresses:
            if address.kind == "huggingface" and huggingface.is_installed():
                try:
                    return huggingface.fetch(address.url)
                except ModelNotAvailableError:
                    continue
    return None


def _missing(model: PublishedModel, problems: list[str]) -> str:
    """What was tried, and what a person can do."""
    lines = [f"{model.name} ({model.title}) is not on this machine, and was not downloaded."]
    lines += [f"  - {problem}" for problem in problems]
    addresses = [(archive, address) for archive in model.archives for address in archive.addresses]
    files = [archive for archive in model.archives if archive.format != "repository"]
    if addresses:
        lines.append("It is to be had at:")
        lines += [f"  - {address}" for _, address in addresses]
    else:
        lines.append("No address of it is known.")
    archive = files[0] if files else None
    name = archive.name if archive and archive.name else "the archive or its files"
    lines.append(f"Put {name} (as it is, or unpacked) into {cache.folder_of(model, archive)}")
    return "\n".join(lines)
