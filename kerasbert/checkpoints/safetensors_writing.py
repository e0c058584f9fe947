"""Writing safetensors: one file, or shards with an index, as the Transformers library does."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Protocol

import numpy as np
from safetensors.numpy import save_file
from tqdm.auto import tqdm

NAME = "model.safetensors"
INDEX_NAME = f"{NAME}.index.json"
MAX_SHARD_SIZE = 5_000_000_000  # bytes, as there
_SHARD = re.compile(r"model-\d{5}-of-\d{5}\.safetensors")
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "KI": 2**10, "MI": 2**20, "GI": 2**30}


class Writable(Protocol):
    """A tensor that is made when it is written."""

    shape: tuple[int, ...]
    nbytes: int

    def array(self) -> np.ndarray:
        """The value, contiguous."""
        ...


def write(
    folder: Path, tensors: Mapping[str, Writable], max_shard_size: int | str | None = None
) -> list[str]:
    """Writes tensors into a folder, one file's worth of them in memory at a time.

    Args:
        folder: is there already.
        tensors: by name.
        max_shard_size: bytes in one file, or a text such as "2GB"; None is 5 GB.

    Returns:
        The names of the files written; an index is the last one.

    Raises:
        ValueError: no such size.
        OSError: the files could not be written.
    """
    shards = list(_shards(tensors, parse_size(max_shard_size)))
    if len(shards) == 1:
        _write_file(folder / NAME, tensors, shards[0])
        return [NAME]
    names, places = [], {}
    for number, members in enumerate(tqdm(shards, desc="safetensors", unit="file"), 1):
        name = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        _write_file(folder / name, tensors, members)
        names.append(name)
        places.update(dict.fromkeys(members, name))
    total = sum(tensor.nbytes for tensor in tensors.values())
    index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(places.items()))}
    (folder / INDEX_NAME).write_text(json.dumps(index, indent=2) + "\n")
    return [*names, INDEX_NAME]


def is_weights_file(name: str) -> bool:
    """Whether a file is one that :func:`write` may have written."""
    return name in (NAME, INDEX_NAME) or _SHARD.fullmatch(name) is not None


def parse_size(size: int | str | None) -> int:
    """A number of bytes: as given, of a text such as "500MB", or 5 GB for None.

    Raises:
        ValueError: it is none, or not above 0.
    """
    if size is None:
        return MAX_SHARD_SIZE
    found = re.fullmatch(r"\s*(\d+)\s*([KMG]I?|)B?\s*", str(size).upper())
    if isinstance(size, bool) or not found or not int(found[1]):
        raise ValueError(
            f'max_shard_size must be a number of bytes, or a text such as "2GB". Received: {size!r}'
        )
    return int(found[1]) * _UNITS[found[2]]


def _shards(tensors: Mapping[str, Writable], limit: int) -> Iterable[list[str]]:
    """The names of each file's tensors, in their order; one tensor is never cut."""
    members, size = [], 0
    for name, tensor in tensors.items():
        if members and size + tensor.nbytes > limit:
            yield members
            members, size = [], 0
        members.append(name)
        size += tensor.nbytes
    yield members


def _write_file(path: Path, tensors: Mapping[str, Writable], names: Iterable[str]) -> None:
    # "pt" says that kernels are laid out as PyTorch has them; without it, it refuses the file.
    save_file({name: tensors[name].array() for name in names}, path, metadata={"format": "pt"})
