"""Files of ``torch.save`` and hostile pickles, written without PyTorch: a few instructions each."""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

STORAGES = {
    "float32": "FloatStorage",
    "float16": "HalfStorage",
    "float64": "DoubleStorage",
    "bfloat16": "BFloat16Storage",
    "int64": "LongStorage",
    "int32": "IntStorage",
    "int16": "ShortStorage",
    "int8": "CharStorage",
    "uint8": "ByteStorage",
    "bool": "BoolStorage",
}
MAGIC, VERSION = 0x1950A86A20F9469CFC6C, 1001
SYSTEM = {"protocol_version": VERSION, "little_endian": True, "type_sizes": {"int": 4}}


class Global(NamedTuple):
    module: str
    name: str


class Call(NamedTuple):
    function: Any
    args: Any


class Built(NamedTuple):
    target: Any
    state: Any


class Persistent(NamedTuple):
    id: Any


def code(value: Any) -> bytes:
    """The instructions, of protocol 2 and 3, that put a value on the stack."""
    if isinstance(value, Global):
        return f"c{value.module}\n{value.name}\n".encode()
    if isinstance(value, Call):
        return code(value.function) + code(value.args) + b"R"
    if isinstance(value, Built):
        return code(value.target) + code(value.state) + b"b"
    if isinstance(value, Persistent):
        return code(value.id) + b"Q"
    if value is None or isinstance(value, bool):
        return {None: b"N", True: b"\x88", False: b"\x89"}[value]
    if isinstance(value, int):
        size = value.bit_length() // 8 + 1
        return b"\x8a" + bytes([size]) + value.to_bytes(size, "little", signed=True)
    if isinstance(value, float):
        return b"G" + struct.pack(">d", value)
    if isinstance(value, str):
        return b"X" + struct.pack("<I", len(value.encode())) + value.encode()
    if isinstance(value, bytes):
        return b"B" + struct.pack("<I", len(value)) + value
    if isinstance(value, tuple):
        return b"(" + b"".join(map(code, value)) + b"t"
    if isinstance(value, list):
        return b"](" + b"".join(map(code, value)) + b"e"
    if isinstance(value, dict):
        return b"}(" + b"".join(code(part) for item in value.items() for part in item) + b"u"
    raise TypeError(value)


def pickled(value: Any) -> bytes:
    return b"\x80\x02" + code(value) + b"."


def storage(key: str, dtype: Any, size: Any, *view: Any) -> Persistent:
    kind = dtype if isinstance(dtype, Global) else Global("torch", STORAGES[str(dtype)])
    return Persistent(("storage", kind, key, "cpu", size, *view))


def view(stored: Any, offset: Any, shape: Any, strides: Any, version: str = "_v2") -> Call:
    """A tensor as ``torch.save`` describes it."""
    more = (False, Call(Global("collections", "OrderedDict"), ())) if version == "_v2" else ()
    function = Global("torch._utils", f"_rebuild_tensor{version}")
    return Call(function, (stored, offset, shape, strides, *more))


def strides(array: np.ndarray) -> tuple[int, ...]:
    return tuple(stride // array.itemsize for stride in array.strides)


def described(arrays: Mapping[str, np.ndarray]) -> tuple[dict[str, Call], dict[str, bytes]]:
    """A state dict, and the bytes of a storage for each array in it."""
    tensors, storages = {}, {}
    for key, (name, array) in enumerate(arrays.items()):
        array = np.asarray(array, order="C")
        stored = storage(str(key), array.dtype, array.size)
        tensors[name] = view(stored, 0, array.shape, strides(array))
        storages[str(key)] = array.tobytes()
    return tensors, storages


def write_zip(path: Path, value: Any, storages: Mapping[str, bytes], **members: bytes) -> Path:
    """The format since PyTorch 1.6; more members by their names in the archive's folder."""
    members = {"byteorder": b"little", "version": b"3\n", **members}
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", value if isinstance(value, bytes) else pickled(value))
        for name, data in {**members, **{f"data/{k}": v for k, v in storages.items()}}.items():
            archive.writestr(f"archive/{name}", data)
    return path


def write_legacy(
    path: Path,
    value: Any,
    storages: Mapping[str, tuple[int, bytes]],
    version: int = VERSION,
    system: Any = SYSTEM,
) -> Path:
    """The format before PyTorch 1.6; of each storage the numbers in it, and its bytes."""
    head = [MAGIC, version, system, value, list(storages)]
    body = [struct.pack("<q", size) + data for size, data in storages.values()]
    path.write_bytes(b"".join(map(pickled, head)) + b"".join(body))
    return path


def save(path: Path, arrays: Mapping[str, np.ndarray], wrap=lambda tensors: tensors) -> Path:
    """Arrays as ``torch.save`` would write them as tensors."""
    tensors, storages = described(arrays)
    return write_zip(path, wrap(tensors), storages)


def save_legacy(path: Path, arrays: Mapping[str, np.ndarray]) -> Path:
    tensors, storages = described(arrays)
    sizes = [np.size(array) for array in arrays.values()]
    counted = {key: (size, data) for size, (key, data) in zip(sizes, storages.items())}
    return write_legacy(path, tensors, counted)
