"""What stands for the names in pickles of NumPy arrays, and of settings beside weights.

Nothing of what is named is imported. A stand-in describes what the file says of an array, or
records that there was something, and checks what it is given: the file chooses it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from kerasbert.checkpoints.stored_arrays import (
    Numbers,
    Source,
    StoredArray,
    are_sizes,
    contiguous,
    numbers,
)
from kerasbert.checkpoints.unpickling import Named, Span

# Objects of these packages lie beside the weights in files of a training run. They are recorded,
# whatever class they are of.
_PACKAGES = ("deepspeed", "fairseq", "lightning", "omegaconf", "pytorch_lightning", "transformers")
_RECORDED = {
    "argparse": ("Namespace",),
    "builtins": (
        *("bool", "bytearray", "complex", "float", "frozenset", "int", "list"),
        *("object", "range", "set", "slice", "str"),
    ),
    "collections": ("deque",),
    "datetime": ("date", "datetime", "timedelta"),
    "numpy": ("bool_", "float32", "float64", "int64", "ndarray"),
    "pathlib": ("Path", "PosixPath", "PurePosixPath", "PureWindowsPath", "WindowsPath"),
    "types": ("SimpleNamespace",),
    "typing": ("Any", "Dict", "List", "Optional", "Tuple", "Union"),
}
_PYTHON_2 = {"long": "int", "unicode": "str", "xrange": "range"}
_NUMPY_TYPES = ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1")


class NumpyType:
    """A NumPy dtype as a file describes it."""

    def __init__(self, code: Any, *flags: Any):
        if not isinstance(code, str) or len(code) > 16:
            raise ValueError("a NumPy dtype is none")
        if code.startswith("O"):
            raise ValueError("a NumPy array holds Python objects")
        self.numbers: Numbers | None = numbers(code) if code in _NUMPY_TYPES else None

    def set_state(self, state: Any) -> None:
        if state[1] == ">" and self.numbers is not None and self.numbers.size > 1:
            raise ValueError("its numbers are in big-endian order, which is not read")


class NumpyArray:
    """A NumPy array as a file describes it."""

    def __init__(self) -> None:
        self._described: tuple | None = None

    def set_state(self, state: Any) -> None:
        _version, shape, dtype, is_fortran, data = state
        self.describe(shape, dtype, bool(is_fortran), data)

    def describe(self, shape: Any, dtype: Any, is_fortran: bool, data: Any) -> None:
        if not isinstance(dtype, NumpyType) or not isinstance(data, (Span, bytes, str)):
            raise ValueError("a NumPy array is not described as NumPy does")
        self._described = shape, dtype, is_fortran, data

    @property
    def is_numeric(self) -> bool:
        return self._described is not None and self._described[1].numbers is not None

    def stored(self) -> StoredArray:
        """Where its numbers are.

        Raises:
            ValueError: it has no numbers, or not as many as its shape says.
        """
        if not self.is_numeric:
            raise ValueError("it holds no numbers")
        shape, dtype, is_fortran, data = self._described
        kind: Numbers = dtype.numbers
        if not are_sizes(shape):
            raise ValueError("its shape is none")
        strides = contiguous(shape[::-1])[::-1] if is_fortran else contiguous(shape)
        if 0 in shape:
            return StoredArray((), kind, shape, strides)
        size, needed = _size_of(data), math.prod(shape) * kind.size
        # A text in UTF-8 takes one or two bytes for each that it stands for.
        fewest = (size + 1) // 2 if isinstance(data, Span) and data.text else size
        if not fewest <= needed <= size:
            raise ValueError(f"{size:,} bytes are stored, its shape {shape} says {needed:,}")
        return StoredArray(((data, needed),), kind, shape, strides)


def _size_of(data: Source) -> int:
    return data.size if isinstance(data, Span) else len(data)


def _reconstruct(kind: Any, shape: Any, code: Any) -> NumpyArray:
    if not isinstance(kind, Named) or str(kind) != "numpy.ndarray":
        raise ValueError("a NumPy array is of another class")
    return NumpyArray()


def _from_buffer(data: Any, dtype: Any, shape: Any, order: Any, axes: Any = None) -> NumpyArray:
    """How protocol 5 makes an array."""
    if order not in ("C", "F") or axes is not None:
        raise ValueError("the axes of a NumPy array are in an order that is not read")
    array = NumpyArray()
    array.describe(shape, dtype, order == "F", data)
    return array


def _encode(text: Any, encoding: Any) -> Any:
    """How protocol 2 makes bytes: of a text with a character for each. It stays a text here."""
    if encoding not in ("latin1", "latin-1") or not isinstance(text, (str, Span)):
        raise ValueError("a text is encoded that stands for no bytes")
    return text


def _dict(*args: Any) -> dict[str, Any]:
    """An ``OrderedDict``, ``defaultdict``, ``Counter`` or dict, filled as Python 2 did or later."""
    if args and isinstance(args[0], dict):
        return args[0]
    found = {}
    if args and isinstance(args[0], list):
        for pair in args[0]:
            key, value = pair
            if isinstance(key, str):
                found[key] = value
        args[0].clear()  # so that a file cannot fill a thousand dicts with one list
    return found


def _bytes(*args: Any) -> bytes:
    """How protocol 2 makes bytes where there are none."""
    if args:
        raise ValueError("bytes are made of something else")
    return b""


def _tuple(values: Any = ()) -> tuple:
    if not isinstance(values, tuple):
        raise ValueError("a tuple is made of something else")
    return values


def _lod_tensor(expression: Any, values: Any) -> Any:
    """Paddle stores a static graph's tensor as a call of ``eval`` that returns its argument."""
    if expression != "data" or not isinstance(values, dict) or list(values) != ["data"]:
        raise ValueError("it asks Python to evaluate a text, which is not done")
    return values["data"]


_MADE = {
    "_codecs": {"encode": _encode},
    "builtins": {"bytes": _bytes, "dict": _dict, "tuple": _tuple, "eval": _lod_tensor},
    "collections": {"Counter": _dict, "OrderedDict": _dict, "defaultdict": _dict},
    "numpy": {"dtype": NumpyType},
}
for _module in ("numpy.core", "numpy._core"):  # NumPy 1 and 2
    _MADE[f"{_module}.multiarray"] = {"_reconstruct": _reconstruct, "scalar": None}
    _MADE[f"{_module}.numeric"] = {"_frombuffer": _from_buffer}

NAMES: Mapping[tuple[str, str], Named] = {
    **{
        (module, name): Named(module, name) for module, names in _RECORDED.items() for name in names
    },
    **{
        (module, name): Named(module, name, make)
        for module, made in _MADE.items()
        for name, make in made.items()
    },
}


def plain_name(module: str, name: str) -> Named:
    """The stand-in of a name that pickles of arrays and settings hold.

    Raises:
        LookupError: they do not.
    """
    if module == "__builtin__":  # Python 2's names, which Python 3 writes in protocol 2
        module, name = "builtins", _PYTHON_2.get(name, name)
    if module.split(".")[0] in _PACKAGES and name.isidentifier():
        return Named(module, name)
    return NAMES[module, name]
