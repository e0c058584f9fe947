"""Pickles read as data: nothing of a file's is imported, called or built.

A pickle is a program for a small machine, and one of its instructions calls any function of any
module. Python's own machine can be told which names to resolve, but it also believes every length
that the file claims, and it holds a file of weights in memory as a whole. This one knows a list of
names, each with a stand-in of ours that only describes; it refuses all others, charges for every
instruction, and leaves long strings of bytes in the file, where readers find them when they want.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Callable

from kerasbert.checkpoints.errors import CheckpointFormatError

# About 40 are needed for a tensor; the rest is for vocabularies and settings beside the weights.
_MAX_INSTRUCTIONS = 2_000_000
_LONG = 1024  # bytes; what is longer stays in the file
_LONGEST_NAME = 512
_LONGEST_INTEGER = 255  # bytes
# What a damaged file brings about here, or in a stand-in that is given other things than it knows.
_ERRORS = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, struct.error)


@dataclass(frozen=True)
class Span:
    """Bytes that stay in the file.

    Attributes:
        start: place of the first.
        size: how many.
        text: whether they are UTF-8, as a text is stored.
        crc: their CRC-32, where it is known.
    """

    start: int
    size: int
    text: bool = False
    crc: int | None = None


@dataclass(frozen=True, eq=False)
class Named:
    """A class or function that a file refers to by name.

    Attributes:
        module: where it is in the program that wrote the file.
        name: what it is called there.
        make: a function of ours that describes what a call of it would give; None records the call.
    """

    module: str
    name: str
    make: Callable[..., Any] | None = None

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


class Record:
    """An object that is of no use here: what it is called, and what it was made of."""

    def __init__(self, named: Named, args: tuple):
        self.named = named
        self.args = args
        self.state: Any = None

    def set_state(self, state: Any) -> None:
        self.state = state


Names = Callable[[str, str], Any]


def unpickle(
    file: BinaryIO,
    end: int,
    path: Path,
    names: Names,
    persistent: Callable[[Any], Any] | None = None,
) -> Any:
    """Reads one pickle, of protocol 2 to 5, and leaves the file behind its last byte.

    What comes out is made of dicts (entries under anything but text are left out), lists, tuples,
    text, numbers, :class:`Span`, :class:`Record`, and what the stand-ins give.

    Args:
        file: at the pickle's first byte; buffered, because it is read byte by byte.
        end: where the pickle, or the part of the file that it is in, ends at the latest.
        path: of the file, for messages.
        names: the stand-in of a module and a name in it; it raises LookupError for all that no
            file of weights needs.
        persistent: the stand-in of what a file names by an id of its own; None when it may not.

    Raises:
        CheckpointFormatError: damaged, truncated, too long, or it asks for anything else.
    """
    machine = _Machine(file, end, path, names, persistent)
    try:
        return machine.run()
    except CheckpointFormatError:
        raise
    except _ERRORS as error:
        raise CheckpointFormatError(
            f"{path} cannot be read as a file of weights: {error} (at byte {machine.position:,}). "
            "It is damaged, truncated, or of another kind. Download it again, or save the "
            "model's `state_dict()` in PyTorch and give that."
        ) from error


class _Machine:
    def __init__(self, file, end, path, names, persistent):
        self._file = file
        self.position = file.tell()
        self._end = end
        self._path = path
        self._names = names
        self._persistent = persistent
        self._known: dict[tuple[str, str], Any] = {}
        self._stack: list[Any] = []
        self._marks: list[int] = []  # how high the stack was
        self._memo: dict[int, Any] = {}

    def run(self) -> Any:
        for _ in range(_MAX_INSTRUCTIONS):
            code = self._take(1)[0]
            if code == _STOP:
                return self._pop()
            instruction = _INSTRUCTIONS.get(code)
            if instruction is None:
                raise ValueError(f"the instruction {bytes([code])!r} is in no file of weights")
            instruction(self)
        raise ValueError(f"it has more than {_MAX_INSTRUCTIONS:,} instructions")

    # What instructions are made of.

    def _take(self, size: int) -> bytes:
        if size > self._end - self.position:
            raise ValueError(f"it ends within {size:,} bytes that should be there")
        data = self._file.read(size)
        if len(data) != size:
            raise ValueError("it became shorter while it was read")
        self.position += size
        return data

    def _number(self, form: str) -> Any:
        return struct.unpack(form, self._take(struct.calcsize(form)))[0]

    def _line(self) -> str:
        line = self._file.readline(min(_LONGEST_NAME, self._end - self.position))
        self.position += len(line)
        if not line.endswith(b"\n"):
            raise ValueError("a name has no end")
        return line[:-1].decode("utf-8")

    def _pop(self) -> Any:
        if len(self._stack) <= (self._marks[-1] if self._marks else 0):
            raise ValueError("an instruction has nothing to work on")
        return self._stack.pop()

    def _top(self) -> Any:
        value = self._pop()
        self._stack.append(value)
        return value

    def _pop_to_mark(self) -> list[Any]:
        if not self._marks:
            raise ValueError("an instruction has nothing to work on")
        height = self._marks.pop()
        items = self._stack[height:]
        del self._stack[height:]
        return items

    # Instructions that do more than to put something on the stack.

    def _bytes(self, form: str) -> None:
        size = self._number(form)
        self._push(Span(self._skip(size), size) if size > _LONG else self._take(size))

    def _text(self, form: str) -> None:
        size = self._number(form)
        if size > _LONG:
            self._push(Span(self._skip(size), size, text=True))
        else:
            self._push(self._take(size).decode("utf-8", "surrogatepass"))

    def _old_text(self, form: str) -> None:
        """What Python 2 called a string: text or bytes, which nobody can tell."""
        size = self._number(form)
        self._push(
            Span(self._skip(size), size) if size > _LONG else self._take(size).decode("latin-1")
        )

    def _skip(self, size: int) -> int:
        if not 0 <= size <= self._end - self.position:
            raise ValueError(f"it ends within {size:,} bytes that should be there")
        start = self.position
        self._file.seek(size, 1)
        self.position += size
        return start

    def _push(self, value: Any) -> None:
        self._stack.append(value)

    def _integer(self, form: str) -> None:
        size = self._number(form)
        if not 0 <= size <= _LONGEST_INTEGER:
            raise ValueError(f"a number takes {size:,} bytes")
        self._push(int.from_bytes(self._take(size), "little", signed=True))

    def _tuple(self, size: int) -> None:
        self._push(tuple([self._pop() for _ in range(size)][::-1]))

    def _resolve(self, module: Any, name: Any) -> None:
        if not isinstance(module, str) or not isinstance(name, str):
            raise ValueError("a name is no text")
        if (module, name) not in self._known:
            try:
                self._known[module, name] = self._names(module, name)
            except LookupError:
                asked = repr(f"{module}.{name}")
                raise CheckpointFormatError(
                    f"{self._path} asks for {asked}, which no file of weights needs: read by "
                    "pickle, it would run code of its own choice. Nothing of it was run. If you "
                    "trust where it comes from, load it in the program that wrote it, and save "
                    "the model's `state_dict()` alone."
                ) from None
        self._push(self._known[module, name])

    def _name_on_stack(self) -> None:
        name, module = self._pop(), self._pop()
        self._resolve(module, name)

    def _call(self, with_keywords: bool = False) -> None:
        if with_keywords:
            self._pop()
        args, named = self._pop(), self._pop()
        if not isinstance(named, Named) or not isinstance(args, tuple):
            raise ValueError("something is called that is no function")
        self._push(named.make(*args) if named.make else Record(named, args))

    def _build(self) -> None:
        state, target = self._pop(), self._top()
        if hasattr(target, "set_state"):
            target.set_state(state)
        elif not isinstance(target, dict):  # an OrderedDict has attributes, which mean nothing
            raise ValueError("something is given attributes that has none")

    def _append(self, items: list[Any]) -> None:
        target = self._top()
        if isinstance(target, list):
            target.extend(items)
        elif not isinstance(target, Record):
            raise ValueError("something is appended to that is no list")

    def _set_items(self, items: list[Any]) -> None:
        target = self._top()
        if len(items) % 2:
            raise ValueError("a dict has a key without a value")
        if isinstance(target, dict):
            # Other keys are no names of tensors, and hashing them is what an attacker may choose.
            pairs = zip(items[::2], items[1::2])
            target.update((key, value) for key, value in pairs if isinstance(key, str))
        elif not isinstance(target, Record):
            raise ValueError("entries are set of something that is no dict")

    def _remember(self, index: int) -> None:
        self._memo[index] = self._top()

    def _recall(self, index: int) -> None:
        if index not in self._memo:
            raise ValueError("something is recalled that was not there before")
        self._push(self._memo[index])

    def _pop_one(self) -> None:
        if self._marks and self._marks[-1] == len(self._stack):
            self._marks.pop()
        else:
            self._pop()

    def _protocol(self) -> None:
        if self._take(1)[0] > 5:
            raise ValueError("its pickle protocol is newer than 5")

    def _identify(self) -> None:
        if self._persistent is None:
            raise ValueError("it refers to objects outside of it")
        self._push(self._persistent(self._pop()))


_SET = Named("builtins", "set")
_STOP = ord(".")
# Missing: what was for text only (protocol 0), extension codes, and buffers outside of the file.
_INSTRUCTIONS: Mapping[int, Callable[[_Machine], None]] = {
    ord(code): instruction
    for code, instruction in {
        "\x80": _Machine._protocol,
        "\x95": lambda m: m._take(8),  # a frame: only a hint of how much to read at once
        "(": lambda m: m._marks.append(len(m._stack)),
        "0": _Machine._pop_one,
        "1": _Machine._pop_to_mark,
        "2": lambda m: m._push(m._top()),
        "N": lambda m: m._push(None),
        "\x88": lambda m: m._push(True),
        "\x89": lambda m: m._push(False),
        "J": lambda m: m._push(m._number("<i")),
        "K": lambda m: m._push(m._number("<B")),
        "M": lambda m: m._push(m._number("<H")),
        "G": lambda m: m._push(m._number(">d")),
        "\x8a": lambda m: m._integer("<B"),
        "\x8b": lambda m: m._integer("<i"),
        "C": lambda m: m._bytes("<B"),
        "B": lambda m: m._bytes("<I"),
        "\x8e": lambda m: m._bytes("<Q"),
        "\x96": lambda m: m._bytes("<Q"),
        "\x8c": lambda m: m._text("<B"),
        "X": lambda m: m._text("<I"),
        "\x8d": lambda m: m._text("<Q"),
        "U": lambda m: m._old_text("<B"),
        "T": lambda m: m._old_text("<i"),
        ")": lambda m: m._push(()),
        "\x85": lambda m: m._tuple(1),
        "\x86": lambda m: m._tuple(2),
        "\x87": lambda m: m._tuple(3),
        "t": lambda m: m._push(tuple(m._pop_to_mark())),
        "]": lambda m: m._push([]),
        "a": lambda m: m._append([m._pop()]),
        "e": lambda m: m._append(m._pop_to_mark()),
        "}": lambda m: m._push({}),
        "s": lambda m: m._set_items([m._pop(), m._pop()][::-1]),
        "u": lambda m: m._set_items(m._pop_to_mark()),
        "\x8f": lambda m: m._push(Record(_SET, ())),
        "\x90": lambda m: m._append(m._pop_to_mark()),
        "\x91": lambda m: m._push(Record(_SET, tuple(m._pop_to_mark()))),
        "c": lambda m: m._resolve(m._line(), m._line()),
        "\x93": _Machine._name_on_stack,
        "R": _Machine._call,
        "\x81": _Machine._call,
        "\x92": lambda m: m._call(with_keywords=True),
        "b": _Machine._build,
        "Q": _Machine._identify,
        "q": lambda m: m._remember(m._number("<B")),
        "r": lambda m: m._remember(m._number("<I")),
        "\x94": lambda m: m._remember(len(m._memo)),
        "h": lambda m: m._recall(m._number("<B")),
        "j": lambda m: m._recall(m._number("<I")),
    }.items()
}
