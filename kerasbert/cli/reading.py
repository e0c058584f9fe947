"""Texts in: lines of files or of the standard input, as they come."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

_BLOCK = 2**18  # bytes that are read at once at most: some thousand texts
_LONGEST = 2**24  # bytes of a line


class Entry(NamedTuple):
    """What one line says.

    Attributes:
        place: file and number of the line, for messages.
        text: the text, or the first one of a pair; "" of an empty line.
        pair: the second text of a pair; None where there is none.
        fields: the JSON object that the line is; None of a plain line.
    """

    place: str
    text: str
    pair: str | None = None
    fields: dict[str, Any] | None = None

    @property
    def is_empty(self) -> bool:
        """Whether the line is empty."""
        return not self.text and self.pair is None and self.fields is None


def add_arguments(parser: argparse.ArgumentParser, pairs: str | None = None) -> None:
    """Adds what says where texts come from.

    Args:
        parser: of a subcommand.
        pairs: help for ``--pairs``; None leaves that option out.
    """
    add = parser.add_argument
    add("files", nargs="*", metavar="FILE", help="UTF-8, one text a line; - or none is stdin")
    add(
        "--field",
        action="append",
        default=[],
        metavar="NAME",
        help="lines are JSON objects, and this one's value is the text; of pairs given twice",
    )
    if pairs:
        add("--pairs", action="store_true", help=pairs)


def read_entries(
    files: Sequence[str], fields: Sequence[str] = (), pairs: bool = False
) -> Iterator[list[Entry]]:
    """The entries of all lines, in lists of those that are there at once.

    Of a file these are some thousand; of a pipe as many as have been written to it, so that an
    answer need not wait for further questions.

    Args:
        files: paths; "-" is the standard input, and so is no path at all.
        fields: names of a text's field, or of both of a pair, in lines that are JSON objects.
        pairs: whether a line is two texts with a TAB between.

    Raises:
        OSError: a file cannot be read.
        ValueError: a line is not what it must be; says which and why.
    """
    wanted = 2 if pairs else 1
    if fields and len(fields) != wanted:
        raise ValueError(f"--field must be given {'twice, for both texts' if pairs else 'once'}.")
    for name in files or ["-"]:
        with _opened(name) as (file, title):
            for lines in read_lines(file, title):
                yield [_entry(place, line, fields, pairs) for place, line in lines]


def check_files(files: Sequence[str]) -> None:
    """Raises OSError where a file cannot be opened: before a model is loaded."""
    for name in files:
        if name != "-":
            with open(name, "rb"):
                pass


def count_lines(files: Sequence[str]) -> int | None:
    """The number of lines in files, for a progress bar; None where it cannot be known before."""
    if not files or not all(name != "-" and Path(name).is_file() for name in files):
        return None
    count = 0
    for name in files:
        last = b"\n"
        with open(name, "rb") as file:
            while block := file.read(2**22):
                count, last = count + block.count(b"\n"), block[-1:]
        count += last != b"\n"
    return count


def read_lines(file: BinaryIO, name: str) -> Iterator[list[tuple[str, str]]]:
    r"""The lines of a file as (place, text), in lists of those that are there at once.

    A line ends with ``\n`` or ``\r\n`` and with no other character: U+2028 may be in a text.

    Args:
        file: with ``read1``.
        name: for places.

    Raises:
        ValueError: a line is not UTF-8, or endless.
    """
    rest, number = b"", 0
    while True:
        block = file.read1(_BLOCK)
        lines = (rest + block).split(b"\n")
        rest = lines.pop()
        if not block and rest:
            lines, rest = [rest], b""
        if len(rest) > _LONGEST:
            raise ValueError(
                f"{name}, line {number + len(lines) + 1} has more than {_LONGEST:,} bytes: is this "
                "a text with one entry a line?"
            )
        if lines:
            yield [
                (f"{name}, line {at}", _decoded(line, name, at))
                for at, line in enumerate(lines, number + 1)
            ]
            number += len(lines)
        if not block:
            return


def _decoded(line: bytes, name: str, number: int) -> str:
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{name}, line {number} is not UTF-8 (its byte {error.start + 1} is "
            f"0x{line[error.start]:02x}). Convert the file, with `iconv -f GB18030 -t UTF-8` for "
            "example."
        ) from None
    if number == 1:
        text = text.lstrip("\ufeff")
    return text[:-1] if text.endswith("\r") else text


def _entry(place: str, line: str, fields: Sequence[str], pairs: bool) -> Entry:
    if not line.strip():
        return Entry(place, line if not fields and not pairs else "")
    if fields:
        record = _object(place, line)
        texts = [_field(place, record, name) for name in fields]
        return Entry(place, *texts, *[None] * (2 - len(texts)), record)
    if not pairs:
        return Entry(place, line)
    texts = line.split("\t")
    if len(texts) != 2:
        raise ValueError(
            f"{place} must be two texts with a TAB between them, but it has {len(texts) - 1} TABs."
        )
    return Entry(place, *texts)


def _object(place: str, line: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{place} is not JSON: {error}") from None
    if not isinstance(record, dict):
        raise ValueError(f"{place} must be a JSON object in {{}}, not a {type(record).__name__}.")
    return record


def _field(place: str, record: dict[str, Any], name: str) -> str:
    if not isinstance(record.get(name), str):
        what = f"it is {json.dumps(record[name])[:40]}" if name in record else "it is not there"
        raise ValueError(
            f"{place} must have a text as its {name!r}, but {what}. Fields: {', '.join(record)}."
        )
    text = record[name]
    if any("\ud800" <= char <= "\udfff" for char in text):
        raise ValueError(f"{place} has half a surrogate pair in its {name!r}.")
    return text


@contextlib.contextmanager
def _opened(name: str) -> Iterator[tuple[BinaryIO, str]]:
    if name != "-":
        with open(name, "rb") as file:
            yield file, name
        return
    if sys.stdin is None or sys.stdin.closed:
        raise ValueError("there is no standard input: name a file.")
    if sys.stdin.isatty():
        print("Texts, one a line; Ctrl-D ends:", file=sys.stderr)
    yield sys.stdin.buffer, "standard input"
