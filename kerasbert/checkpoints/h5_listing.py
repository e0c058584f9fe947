"""What an HDF5 file holds and where, as JSON: a program of its own, run by ``h5_file``.

The HDF5 library does not come to an end on some damaged files and crashes on others. So it looks at
a file in another process, which may take so much time and memory and no more; numbers are read
without it. This module imports nothing of the package, and is run by its path.

Of the format only what Keras and Hugging Face write is accepted: groups, numbers and short texts in
one file. What else it can do (links to other files, numbers that lie elsewhere, filters that are
loaded as plugins) no published weights need; a file that asks for it is refused.
"""

from __future__ import annotations

import base64
import json
import math
import re
import sys
from collections.abc import Iterator
from typing import Any

import h5py
import numpy as np

_MEMORY = 2**32  # bytes of addresses
_MAX_OBJECTS = 100_000  # the largest published models have some thousand tensors
_MAX_CHUNKS = 1_000_000
_MAX_DEPTH = 64
_MAX_TEXTS = 20_000  # of an attribute; more do not fit the 64 kB that it may have
# What Keras says about layers and weights in attributes; long lists are cut into numbered parts.
_TEXTS = re.compile(r"(layer_names|weight_names)(\d{0,4})|(name|model_config|keras_version)()")


def listing(path: str) -> dict[str, Any]:
    """The contents of a file.

    Args:
        path: the file.

    Returns:
        ``datasets``: by path a dict with ``shape``, ``dtype`` (NumPy's; None for what is no plain
        number), and of its bytes either ``offset``, or ``bytes`` in base64, or ``chunks``, a list
        of (place in the array, offset, stored bytes), with ``chunk_shape`` and the ``filters`` that
        unpack them. ``texts``: by group what Keras says about it, lists of texts.

    Raises:
        ValueError: what weights never have, with the reason.
        Exception: whatever the library says of a damaged file.
    """
    datasets: dict[str, Any] = {}
    texts: dict[str, Any] = {}
    with h5py.File(path, "r", locking="best-effort") as file:
        for name, item in _walk(file.id):
            if isinstance(item, h5py.h5g.GroupID):
                found = _texts(h5py.Group(item))
                if found:
                    texts[name] = found
            elif item.shape is not None:
                datasets[name] = _dataset(item, name, file.userblock_size)
    return {"datasets": datasets, "texts": texts}


def _walk(root: h5py.h5g.GroupID) -> Iterator[tuple[str, Any]]:
    """Every group and dataset with its path; a group that is reached twice counts once.

    Nothing recurses, and no link but the plain one is followed.
    """
    seen, count = {h5py.h5o.get_info(root).addr}, 0
    pending = [("", root, 0)]
    while pending:
        path, group, depth = pending.pop()
        yield path, group
        if depth == _MAX_DEPTH:
            raise ValueError(f"groups in groups, {_MAX_DEPTH} deep")
        inner = []
        for raw in group:
            count += 1
            if count > _MAX_OBJECTS:
                raise ValueError(f"more than {_MAX_OBJECTS:,} objects")
            name = raw.decode("utf-8", "surrogateescape")
            if group.links.get_info(raw).type != h5py.h5l.TYPE_HARD:
                raise ValueError(
                    f"{name!r} is a link to another place, which files of weights do not have"
                )
            item = h5py.h5o.open(group, raw)
            inner_path = f"{path}/{name}" if path else name
            if isinstance(item, h5py.h5d.DatasetID):
                yield inner_path, item
            elif isinstance(item, h5py.h5g.GroupID):
                address = h5py.h5o.get_info(item).addr
                if address not in seen:
                    seen.add(address)
                    inner.append((inner_path, item, depth + 1))
        pending.extend(reversed(inner))


def _texts(group: h5py.Group) -> dict[str, list[str]]:
    """The attributes that Keras wrote, with those that were cut put together."""
    parts: dict[str, list[tuple[int, list[str]]]] = {}
    for name in group.attrs:
        match = _TEXTS.fullmatch(name)
        if not match:
            continue
        shape = group.attrs.get_id(name).shape
        if shape is None:  # an empty list, as h5py may write it
            continue
        if math.prod(shape) > _MAX_TEXTS:
            raise ValueError(f"the attribute {name} has {math.prod(shape):,} parts")
        values = [_text(value) for value in np.ravel(group.attrs[name])]
        parts.setdefault(match[1] or match[3], []).append((int(match[2] or 0), values))
    return {
        name: [value for _, values in sorted(found) for value in values]
        for name, found in parts.items()
    }


def _text(value: Any) -> str:
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else str(value)


def _dataset(item: h5py.h5d.DatasetID, name: str, userblock: int) -> dict[str, Any]:
    """Shape, dtype and place of a dataset."""
    properties = item.get_create_plist()
    layout = properties.get_layout()
    found: dict[str, Any] = {"shape": list(map(int, item.shape)), "dtype": _dtype(item)}
    if properties.get_external_count():
        raise ValueError(f"the numbers of {name!r} lie in another file")
    if layout == h5py.h5d.VIRTUAL:
        raise ValueError(f"the numbers of {name!r} lie in other datasets")
    if found["dtype"] is None or math.prod(item.shape) == 0:
        found["bytes"] = ""
    elif layout == h5py.h5d.CONTIGUOUS:
        found["offset"] = item.get_offset()  # None for numbers that were never written
    elif layout == h5py.h5d.COMPACT:
        values = np.empty(item.shape, item.dtype)  # at most 64 kB
        if item.get_storage_size() != values.nbytes:
            raise ValueError(f"{name!r} has {item.get_storage_size():,} bytes")
        item.read(h5py.h5s.ALL, h5py.h5s.ALL, values)
        found["bytes"] = base64.b64encode(values.tobytes()).decode()
    else:
        if userblock:
            raise ValueError(f"{name!r} is cut into chunks, in a file with a block in front")
        found["filters"] = [properties.get_filter(i)[0] for i in range(properties.get_nfilters())]
        found["chunk_shape"] = list(map(int, properties.get_chunk()))
        found["chunks"] = _chunks(item, name)
    return found


def _chunks(item: h5py.h5d.DatasetID, name: str) -> list[tuple[list[int], int, int]]:
    count = item.get_num_chunks()
    if count > _MAX_CHUNKS:
        raise ValueError(f"{name!r} is cut into {count:,} chunks")
    chunks = []
    for i in range(count):
        info = item.get_chunk_info(i)
        if info.filter_mask:
            raise ValueError(f"{name!r} has a chunk that a filter was left out for")
        chunks.append((list(map(int, info.chunk_offset)), int(info.byte_offset), int(info.size)))
    return chunks


def _dtype(item: h5py.h5d.DatasetID) -> str | None:
    """NumPy's name of plain numbers; None for anything else, such as texts."""
    dtype, stored = item.dtype, item.get_type()
    if dtype == np.dtype("V2"):  # Keras writes bfloat16 as two bytes that mean nothing to HDF5
        return "bfloat16"
    if dtype.kind not in "fiub" or dtype.itemsize > 8:
        return None
    return dtype.str if stored.equal(h5py.h5t.py_create(dtype, logical=True)) else None


def _limit(seconds: int) -> None:
    """Sees to it that the process ends; where the system has no limits, who started it does."""
    try:
        import resource
    except ImportError:  # Windows
        return
    for kind, limit in ((resource.RLIMIT_CPU, seconds), (resource.RLIMIT_AS, _MEMORY)):
        hard = resource.getrlimit(kind)[1]
        allowed = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(kind, (allowed, hard))


def main(seconds: int, path: str) -> None:
    """Prints the listing of a file, or what is wrong with it.

    Args:
        seconds: of computation that it may take.
        path: the file.
    """
    _limit(seconds)
    try:
        found = listing(path)
    except Exception as error:  # whatever it is, it is reported by who started this
        found = {"error": f"{type(error).__name__}: {error}"}
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main(int(sys.argv[-2]), sys.argv[-1])
