"""Input files to chunks of bytes, each of whole documents, at a bounded size.

Where chunks begin and end depends on the files and ``chunk_bytes`` alone. Small files share a
chunk, large files are cut where a document ends: at an empty line of a text, at a line end of JSON
lines. What has no such place within ``chunk_bytes`` and another megabyte is cut there, between two
lines or, in a line without end, between two characters; such cuts are counted.
"""

from __future__ import annotations

import bz2
import glob
import gzip
import lzma
import os
import re
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

_BLOCK = 1 << 18
_FURTHER = 1 << 20  # bytes beyond chunk_bytes in which the end of a document is looked for
_MANY_CHUNKS, _SMALLEST, _LARGEST = 256, 1 << 18, 1 << 22
_RATIO = 4  # compressed text is taken to be so many times as long
_COMPRESSED = (".gz", ".bz2", ".xz", ".zst")
_JSON = (".jsonl", ".ndjson", ".json")
_EMPTY_LINE = re.compile(rb"\n[ \t\r\f\v]*\n")


class Chunk(NamedTuple):
    """Some documents as they are in the files.

    Attributes:
        group: number of the group of files.
        number: of the chunk in its group.
        pieces: kind ("text" or "json") and content of parts of files.
        read: bytes of files, compressed as they are, read since the chunk before.
        cuts: 1 where the chunk ends inside a document, else 0.
    """

    group: int
    number: int
    pieces: tuple[tuple[str, bytes], ...]
    read: int
    cuts: int


class Group(NamedTuple):
    """Files that are read one after the other.

    Attributes:
        number: of the group.
        paths: the files.
    """

    number: int
    paths: tuple[Path, ...]


def find_inputs(patterns: str | os.PathLike | Iterable[str | os.PathLike]) -> list[Path]:
    """The files that patterns stand for, every file once, those of a pattern in order of names.

    Args:
        patterns: paths, or patterns with ``*``, ``?``, ``[...]`` or ``**``; a folder stands for all
            files in it.

    Raises:
        FileNotFoundError: nothing is there for a pattern.
        ImportError: a file is compressed with Zstandard, which cannot be read here.
    """
    if isinstance(patterns, (str, os.PathLike)):
        patterns = [patterns]
    found: dict[Path, None] = {}
    for pattern in map(os.path.expanduser, map(os.fspath, patterns)):
        if os.path.isdir(pattern):
            names = glob.glob(os.path.join(glob.escape(pattern), "**"), recursive=True)
        elif os.path.isfile(pattern):  # a name may hold brackets
            names = [pattern]
        else:
            names = glob.glob(pattern, recursive=True)
        files = sorted(Path(name) for name in names if os.path.isfile(name))
        if not files:
            raise FileNotFoundError(f"there is no file for the input {pattern!r}.")
        found.update(dict.fromkeys(files))
    if any(path.suffix == ".zst" for path in found):
        _zstandard()
    return list(found)


def choose_chunk_bytes(paths: Sequence[Path]) -> int:
    """A size of chunks for these files: a 256th of the text, from 256 KB to 4 MB."""
    return min(max(text_bytes(paths) // _MANY_CHUNKS, _SMALLEST), _LARGEST)


def text_bytes(paths: Sequence[Path]) -> int:
    """About how long the files are when they are unpacked."""
    return sum(map(_text_bytes, paths))


def make_groups(paths: Sequence[Path], chunk_bytes: int) -> list[Group]:
    """Puts small neighbouring files together; others are groups of their own."""
    groups: list[list[Path]] = []
    size = 0
    for path in paths:
        more = _text_bytes(path)
        if not groups or size + more > chunk_bytes:
            groups.append([])
            size = 0
        groups[-1].append(path)
        size += more
    return [Group(number, tuple(files)) for number, files in enumerate(groups)]


def read_chunks(group: Group, chunk_bytes: int, problems: list[str]) -> Iterator[Chunk]:
    """Reads the chunks of a group.

    Args:
        group: the files.
        chunk_bytes: size of a chunk; it ends with the first document that ends beyond.
        problems: receives a message for each file that is empty or cannot be unpacked to its end;
            what comes before the damage is used.

    Raises:
        OSError: a file cannot be read.
    """
    number, pieces, size, read = 0, [], 0, 0
    for path in group.paths:
        kind = _kind(path)
        pending, is_empty = bytearray(), True
        for block, block_read in _blocks(path, problems):
            read += block_read
            pending += block
            is_empty = is_empty and not block
            while True:
                end, is_cut = _end_of_chunk(pending, kind, chunk_bytes - size)
                if not end:
                    break
                pieces.append((kind, bytes(pending[:end])))
                del pending[:end]
                yield Chunk(group.number, number, tuple(pieces), read, int(is_cut))
                number, pieces, size, read = number + 1, [], 0, 0
        if is_empty:
            problems.append(f"{path}: empty")
        if pending:
            pieces.append((kind, bytes(pending)))
            size += len(pending)
    if pieces or read:
        yield Chunk(group.number, number, tuple(pieces), read, 0)


def _end_of_chunk(content: bytearray, kind: str, wanted: int) -> tuple[int, bool]:
    """Where a chunk ends, 0 if more is needed to know; and whether that is within a document."""
    wanted = max(wanted, 1)
    limit = wanted + _FURTHER
    if len(content) < wanted:
        return 0, False
    if kind == "json":
        end = content.find(b"\n", wanted - 1, limit) + 1
    else:
        found = _EMPTY_LINE.search(content, wanted - 1, limit)
        end = found.end() if found else 0
    if end or len(content) <= limit:
        return end, False
    end = content.rfind(b"\n", wanted - 1, limit) + 1
    if not end:
        end = limit
        while limit - end < 3 and 0x80 <= content[end] < 0xC0:  # inside a character
            end -= 1
    return end, True


def _kind(path: Path) -> str:
    name = path.with_suffix("") if path.suffix in _COMPRESSED else path
    return "json" if name.suffix in _JSON else "text"


def _text_bytes(path: Path) -> int:
    return path.stat().st_size * (_RATIO if path.suffix in _COMPRESSED else 1)


def _blocks(path: Path, problems: list[str]) -> Iterator[tuple[bytes, int]]:
    """The content of a file, unpacked, and how many bytes of the file each block took."""
    with open(path, "rb") as raw:
        with _unpacked(raw, path.suffix) as file:
            before = 0
            while True:
                try:
                    block = file.read1(_BLOCK)
                except OSError as error:
                    if not isinstance(error, gzip.BadGzipFile) and error.errno is not None:
                        raise
                    problems.append(f"{path}: damaged, read up to there ({error})")
                    block = b""
                except (EOFError, zlib.error, lzma.LZMAError, _zstandard_error()) as error:
                    problems.append(f"{path}: damaged, read up to there ({error})")
                    block = b""
                at = raw.tell() if block else os.fstat(raw.fileno()).st_size
                yield block, at - before
                before = at
                if not block:
                    return


def _unpacked(raw: BinaryIO, suffix: str):
    if suffix == ".gz":
        return gzip.GzipFile(fileobj=raw)
    if suffix == ".bz2":
        return bz2.BZ2File(raw)
    if suffix == ".xz":
        return lzma.LZMAFile(raw)
    if suffix == ".zst":
        return _zstandard().ZstdDecompressor().stream_reader(raw, read_across_frames=True)
    return raw


def _zstandard():
    try:
        import zstandard
    except ImportError as error:
        raise ImportError(
            "reading .zst files needs zstandard: run `pip install zstandard`, or unpack them."
        ) from error
    return zstandard


def _zstandard_error() -> type[Exception]:
    try:
        import zstandard
    except ImportError:
        return EOFError
    return zstandard.ZstdError
