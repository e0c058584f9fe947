"""Models in several files: shards such as ``model-00001-of-00003.bin``, and their index.

The index, ``model.bin.index.json``, lists the shard of every tensor. All formats that Hugging Face
and PaddleNLP shard are named in this way.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from kerasbert.checkpoints.companions import is_config
from kerasbert.checkpoints.errors import (
    CheckpointFormatError,
    CheckpointNotFoundError,
    refuse_lfs_pointer,
)

_INDEX_SUFFIX = ".index.json"
_SHARD = re.compile(r"(.+)-(\d{5})-of-(\d{5})(\.\w+)", re.DOTALL)
_MAX_INDEX_BYTES = 50_000_000
_MAX_SHARDS = 10_000


def is_index(path: Path, suffix: str) -> bool:
    """Whether a file is by its name the index of shards with that suffix."""
    return path.name.endswith(suffix + _INDEX_SUFFIX)


def files_of(path: Path, suffix: str) -> tuple[list[Path], Iterable[str]]:
    """The files of a model, and the names of tensors that must be in them.

    Args:
        path: a model's only file, one shard of several, or their index.
        suffix: of shards, with its dot.

    Raises:
        CheckpointNotFoundError: a shard is missing.
        CheckpointFormatError: the index is none, or a Git LFS pointer.
    """
    refuse_lfs_pointer(path)
    match = _SHARD.fullmatch(path.name)
    listed: dict[str, str] = {}
    if is_index(path, suffix):
        listed = _read_index(path, suffix)
        names: Iterable[str] = sorted(set(listed.values()))
    elif match and match[4] == suffix and int(match[3]) <= _MAX_SHARDS:
        stem, _, count, _ = match.groups()
        names = [f"{stem}-{i:05d}-of-{count}{suffix}" for i in range(1, int(count) + 1)]
    else:
        return [path], ()
    files = [path.with_name(name) for name in names]
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        raise CheckpointNotFoundError(
            f"{len(missing)} of the {len(files)} shards of {path.name} are not in {path.parent}, "
            f"such as {missing[0]}. All are needed."
        )
    return files, listed


def check_new(names: Iterable[str], known: Mapping[str, object], file: Path) -> None:
    """Raises CheckpointFormatError when a shard holds a tensor that an earlier one holds."""
    twice = known.keys() & set(names)
    if twice:
        raise CheckpointFormatError(
            f"the tensor {min(twice)!r} is in {file.name} and in another shard: the files "
            "belong to different models. Download them again."
        )


def check_complete(listed: Iterable[str], known: Mapping[str, object], path: Path) -> None:
    """Raises CheckpointFormatError when an index lists tensors that no shard holds."""
    absent = [name for name in listed if name not in known]
    if absent:
        raise CheckpointFormatError(
            f"{path} lists {len(absent)} tensors that are not in its shards, such as "
            f"{absent[0]!r}: the files belong to different models. Download them again."
        )


def first_of_each(files: Iterable[Path], suffix: str) -> list[Path]:
    """Of files that belong together, the index or else the first shard; all other files as well."""
    found: dict[Path, Path] = {}
    for path in sorted(files, key=lambda path: not is_index(path, suffix)):
        stem = path.name
        if is_index(path, suffix):
            stem = stem[: -len(_INDEX_SUFFIX)]
        elif (match := _SHARD.fullmatch(stem)) and match[4] == suffix:
            stem = match[1] + suffix
        found.setdefault(path.with_name(stem), path)
    return list(found.values())


def choose_file(
    candidates: Sequence[Path], files: Sequence[Path], name: str, usual: str, title: str
) -> Path:
    """The only one of the upper folder; among several, the one with the usual name or its index.

    Args:
        candidates: what :func:`first_of_each` found, not nothing.
        files: all files, among which a configuration may speak for one folder.
        name: of the folder, for messages.
        usual: name of a model's only file.
        title: of the format, for messages.

    Raises:
        CheckpointNotFoundError: several that are equally good.
    """
    depth = min(len(path.parts) for path in candidates)
    upper = [path for path in candidates if len(path.parts) == depth]
    folders = {path.parent for path in upper}
    if len(folders) > 1:  # sentence-transformers keeps a projection in a folder of its own
        with_config = {path.parent for path in files if is_config(path)}
        upper = [path for path in upper if path.parent in with_config] or upper
    for choice in ([path for path in upper if path.name.startswith(usual)], upper):
        if len(choice) == 1:
            return choice[0]
    listed = "\n  ".join(str(path) for path in upper)
    raise CheckpointNotFoundError(
        f"{name} holds {len(upper)} {title} files. Pass the one you want:\n  {listed}"
    )


def _read_index(path: Path, suffix: str) -> dict[str, str]:
    """The file name of every tensor; names alone, no way out of the folder."""
    try:
        if path.stat().st_size > _MAX_INDEX_BYTES:
            raise ValueError(f"{path.stat().st_size:,} bytes are too many")
        listed = json.loads(path.read_text(encoding="utf-8-sig"))["weight_map"]
        if not isinstance(listed, dict) or not listed:
            raise ValueError("its weight_map is empty")
        for file in listed.values():
            if not isinstance(file, str) or Path(file).name != file or not file.endswith(suffix):
                raise ValueError(f"{file!r} is no file name of a shard")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise CheckpointFormatError(
            f"{path} is not the index of a model in several {suffix} files, a JSON object with a "
            f"weight_map of tensor names to file names: {error}."
        ) from error
    return listed
