"""What stands for the names in pickles of PyTorch's tensors.

``torch.save`` pickles of a tensor the function that would build it, its place in a storage (offset,
shape and strides, in numbers), and an id of that storage, whose bytes are elsewhere in the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from kerasbert.backend import tf
from kerasbert.checkpoints.pickled_arrays import plain_name
from kerasbert.checkpoints.stored_arrays import Numbers, StoredArray, are_sizes, numbers
from kerasbert.checkpoints.unpickling import Named, Span

_BFLOAT16 = tf.bfloat16.as_numpy_dtype
# Name of the storage class without "Storage", torch's dtype, and NumPy's.
_READ = (
    ("Double", "float64", np.float64),
    ("Float", "float32", np.float32),
    ("Half", "float16", np.float16),
    ("BFloat16", "bfloat16", _BFLOAT16),
    ("Long", "int64", np.int64),
    ("Int", "int32", np.int32),
    ("Short", "int16", np.int16),
    ("Char", "int8", np.int8),
    ("Byte", "uint8", np.uint8),
    ("Bool", "bool", np.bool_),
    ("", "uint16", np.uint16),
    ("", "uint32", np.uint32),
    ("", "uint64", np.uint64),
)
# Of quantised models, and complex ones: the bytes of a number, and both kinds of names.
_NOT_READ = (
    (1, "QInt8 QUInt8 QUInt4x2 QUInt2x4", "qint8 quint8 quint4x2 quint2x4"),
    (1, "", "float8_e4m3fn float8_e5m2 float8_e4m3fnuz float8_e5m2fnuz float8_e8m0fnu"),
    (1, "", "float4_e2m1fn_x2 int1 int2 int3 int4 int5 int6 int7"),
    (1, "", "uint1 uint2 uint3 uint4 uint5 uint6 uint7"),
    (4, "QInt32", "qint32 complex32"),
    (8, "ComplexFloat", "complex64"),
    (16, "ComplexDouble", "complex128"),
)
_RECORDED = (
    *("torch.device", "torch.strided", "torch.contiguous_format"),
    *("torch.serialization._get_layout", "torch.per_tensor_affine", "torch.per_channel_affine"),
    *("torch.per_tensor_symmetric", "torch.per_channel_symmetric", "torch.preserve_format"),
    "torch.per_channel_affine_float_qparams",
)


@dataclass(frozen=True, eq=False)
class Storage:
    """Numbers in a file, of which tensors are views.

    Attributes:
        key: what the file calls it.
        numbers: their type.
        size: how many the file says there are.
        offset: how many before the first, in a storage that is a view of another.
    """

    key: str
    numbers: Numbers
    size: int
    offset: int = 0


@dataclass(frozen=True, eq=False)
class Tensor:
    """A view of a storage: offset, shape and strides in numbers, as the file says."""

    storage: Storage
    offset: Any
    shape: Any
    strides: Any
    numbers: Numbers

    def stored(self, span: Span) -> StoredArray:
        """Where its numbers are.

        Args:
            span: of the storage.

        Raises:
            ValueError: it reaches beyond its storage.
        """
        offset = self.offset
        if not are_sizes((offset,)):
            raise ValueError("its offset is none")
        before = self.storage.offset * self.storage.numbers.size
        if before % self.numbers.size:
            raise ValueError("its storage begins within a number")
        pieces = ((span, span.size),)
        offset += before // self.numbers.size
        return StoredArray(pieces, self.numbers, self.shape, self.strides, offset)


def storage_of(saved: Any) -> Storage:
    """What a persistent id stands for: ``("storage", type, key, location, size[, view])``.

    Raises:
        ValueError: anything else, such as a module's class with its source.
    """
    if not isinstance(saved, tuple) or len(saved) not in (5, 6) or saved[0] != "storage":
        raise ValueError("it holds something else than tensors, such as a whole module")
    _, kind, key, _, size = saved[:5]
    if not isinstance(kind, Numbers) or not isinstance(key, str) or not are_sizes((size,)):
        raise ValueError("a storage is not described as PyTorch does")
    view = saved[5] if len(saved) == 6 else None
    if view is None:
        return Storage(key, kind, size)
    _, offset, view_size = view
    if not are_sizes((offset, view_size)) or offset + view_size > size:
        raise ValueError("a storage is a view of more than there is")
    return Storage(key, kind, size, offset)


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any, *rest: Any) -> Tensor:
    """``_rebuild_tensor``, and its second version with requires_grad, hooks and flags."""
    if not isinstance(storage, Storage):
        raise ValueError("a tensor has no storage")
    if len(rest) > 2 and isinstance(rest[2], dict) and any(rest[2].values()):
        raise ValueError("a tensor is marked as negated or conjugated, which is not read")
    return Tensor(storage, offset, shape, strides, storage.numbers)


def _tensor_of_dtype(storage: Any, offset: Any, shape: Any, strides: Any, *rest: Any) -> Tensor:
    """``_rebuild_tensor_v3``, for types of numbers that have no class of storages."""
    _requires_grad, _hooks, dtype = rest[:3]
    if not isinstance(dtype, Numbers):
        raise ValueError("a tensor has no dtype")
    return replace(_tensor(storage, offset, shape, strides), numbers=dtype)


def _quantised(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> Tensor:
    found = _tensor(storage, offset, shape, strides)
    return replace(found, numbers=replace(found.numbers, dtype=None))


def _parameter(data: Any, *_: Any) -> Any:
    return data


def _of_type(build: Any, kind: Any, args: Any, *_: Any) -> Any:
    """A tensor of a subclass or with attributes: the function that builds it, and its arguments."""
    if not isinstance(build, Named) or build.make not in _BUILDERS or not isinstance(args, tuple):
        raise ValueError("a tensor is built by something else than PyTorch's functions")
    return build.make(*args)


def _size(values: Any = ()) -> tuple:
    if not isinstance(values, tuple):
        raise ValueError("a torch.Size is made of something else")
    return values


def _sparse(*_: Any) -> None:
    raise ValueError("a tensor is sparse, which is not read")


_BUILDERS = (_tensor, _tensor_of_dtype, _quantised, _parameter)
_MADE = {
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _tensor_of_dtype,
    "torch._utils._rebuild_qtensor": _quantised,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
    "torch.nn.parameter.Parameter": _parameter,
    "torch._utils._rebuild_sparse_tensor": _sparse,
    "torch._tensor._rebuild_from_type": _of_type,
    "torch._tensor._rebuild_from_type_v2": _of_type,
    "torch.tensor._rebuild_from_type": _of_type,
    "torch.Size": _size,
}


def _types() -> dict[str, Numbers]:
    found = {f"torch.{module}UntypedStorage": numbers(np.uint8) for module in ("", "storage.")}
    found["torch.storage._UntypedStorage"] = numbers(np.uint8)
    for storage, torch_dtype, dtype in _READ:
        found[f"torch.{torch_dtype}"] = numbers(dtype)
        if storage:
            found[f"torch.{storage}Storage"] = numbers(dtype)
    for size, storages, dtypes in _NOT_READ:
        for name in [f"{storage}Storage" for storage in storages.split()] + dtypes.split():
            found[f"torch.{name}"] = Numbers(name, size, None)
    return found


_NAMES: Mapping[str, Any] = {
    **_types(),
    **{path: Named(*path.rsplit(".", 1), make) for path, make in _MADE.items()},
    **{path: Named(*path.rsplit(".", 1)) for path in _RECORDED},
}


def torch_name(module: str, name: str) -> Any:
    """The stand-in of a name that files of ``torch.save`` hold.

    Raises:
        LookupError: files of weights do not.
    """
    if module.split(".")[0] != "torch" or not name.isidentifier():
        return plain_name(module, name)
    if module == "torch.cuda":
        module = "torch"
    if module == "torch" and name.endswith("Tensor"):  # torch.FloatTensor, a class
        return Named(module, name)
    return _NAMES[f"{module}.{name}"]
