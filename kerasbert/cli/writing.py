"""Results out: lines to the standard output or to a file, which appears when it is whole."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

_SURROGATE = re.compile("[\ud800-\udfff]")
_ENDINGS = {".jsonl": "jsonl", ".json": "jsonl", ".ndjson": "jsonl", ".npy": "npy"}


def add_arguments(
    parser: argparse.ArgumentParser, text: str, formats: Sequence[str] = ("text", "jsonl")
) -> None:
    """Adds what says where results go, and how.

    Args:
        parser: of a subcommand.
        text: what a line of the format "text" is.
        formats: those that there are.
    """
    add = parser.add_argument
    add(
        "--output",
        "-o",
        type=Path,
        metavar="FILE",
        help="instead of the standard output; it appears when it is whole",
    )
    add(
        "--format",
        choices=formats,
        help=f"text ({text}); jsonl (a JSON object a line)"
        + ("; npy (NumPy, needs --output)" if "npy" in formats else "")
        + ". By the ending of FILE, or else text",
    )
    parser.set_defaults(formats=tuple(formats))


def format_of(arguments: argparse.Namespace) -> str:
    """The format that the arguments ask for.

    Raises:
        ValueError: one that there is not, or that a terminal cannot take.
        FileNotFoundError: the folder of the file does not exist.
    """
    path = arguments.output
    chosen = arguments.format
    if chosen is None:
        chosen = _ENDINGS.get(path.suffix.lower(), "text") if path else "text"
        if chosen not in arguments.formats:
            raise ValueError(
                f"{path} would be of the format {chosen}, which this command does not write: "
                f"--format {' or '.join(arguments.formats)}."
            )
    if chosen == "npy" and path is None:
        raise ValueError("--format npy needs a file: --output FILE.")
    if path is not None and not path.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {path.parent} to write {path} to.")
    if path is not None and path.is_dir():
        raise IsADirectoryError(f"{path} is a folder: --output must name a file.")
    return chosen


@contextlib.contextmanager
def open_output(path: Path | None) -> Iterator[TextIO]:
    """What lines are written to: a file, in UTF-8, or the standard output.

    A file gets its name when the block ends well, and not at all when it does not.

    Args:
        path: None is the standard output.
    """
    if path is None:
        if hasattr(sys.stdout, "reconfigure"):
            sys.stdout.reconfigure(encoding="utf-8")
        yield sys.stdout
        sys.stdout.flush()
        return
    if path.exists() and not path.is_file():  # a device or a named pipe
        with path.open("w", encoding="utf-8", newline="\n") as file:
            yield file
        return
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)  # mkstemp makes files that only the owner may read
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def json_line(value: Any) -> str:
    """JSON in one line, with characters as they are."""
    line = json.dumps(value, ensure_ascii=False)
    return json.dumps(value) if _SURROGATE.search(line) else line  # UTF-8 has no half of a pair


def one_line(text: str) -> str:
    r"""A text without line breaks: they become ``\n`` and ``\r``."""
    return text.replace("\r", "\\r").replace("\n", "\\n")


def short_numbers(vector) -> list[str]:
    """The shortest decimals that give the same float32 numbers again; JSON's as well.

    Args:
        vector: float32 (dimension,).
    """
    import numpy as np

    return np.asarray(vector, np.float32).astype(str).tolist()


def make_progress(total: int | None, unit: str = "line"):
    """A progress bar on stderr, where that is a terminal."""
    from tqdm.auto import tqdm

    return tqdm(total=total, disable=None, unit=unit, unit_scale=True, file=sys.stderr)
