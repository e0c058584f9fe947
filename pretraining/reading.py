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
from collections.abc import Callable, Iterable, Iterator
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


class Source(NamedTuple):
    """A file of the input: its path and its size in bytes, compressed as it is."""

    path: str
    bytes: int

    @property
    def suffix(self) -> str:
        """The end of the name that tells how the file is compressed, or ""."""
        suffix = os.path.splitext(self.path)[1]
        return suffix if suffix in _COMPRESSED else ""

    @property
    def kind(self) -> str:
        """What is in the file: "json" or "text"."""
        name = self.path[: len(self.path) - len(self.suffix)]
        return "json" if name.endswith(_JSON) else "text"

    @property
    def text_bytes(self) -> int:
        """About how long the file is when it is unpacked."""
        return self.bytes * (_RATIO if self.suffix else 1)


class Group(NamedTuple):
    """Files that are read one after the other.

    Attributes:
        number: of the group.
        sources: the files.
    """

    number: int
    sources: tuple[Source, ...]


def _open(path: str) -> BinaryIO:
    return open(path, "rb")


def find_inputs(patterns: str | os.PathLike | Iterable[str | os.PathLike]) -> list[Source]:
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
    found: dict[str, None] = {}
    for pattern in map(os.path.expanduser, map(os.fspath, patterns)):
        if os.path.isdir(pattern):
            names = glob.glob(os.path.join(glob.escape(pattern), "**"), recursive=True)
        elif os.path.isfile(pattern):  # a name may hold brackets
            names = [pattern]
        else:
            names = glob.glob(pattern, recursive=True)
        files = sorted(name for name in names if os.path.isfile(name))
        if not files:
            raise FileNotFoundError(f"there is no file for the input {pattern!r}.")
        found.update(dict.fromkeys(files))
    sources = [Source(path, os.path.getsize(path)) for path in found]
    if any(source.suffix == ".zst" for source in sources):
        _zstandard()
    return sources


def choose_chunk_bytes(sources: Iterable[Source]) -> int:
    """A size of chunks for these files: a 256th of the text, from 256 KB to 4 MB."""
    size = sum(source.text_bytes for source in sources)
    return min(max(size // _MANY_CHUNKS, _SMALLEST), _LARGEST)


def make_groups(sources: Iterable[Source], chunk_bytes: int) -> list[Group]:
    """Puts small neighbouring files together; others are groups of their own."""
    groups: list[list[Source]] = []
    size = 0
    for source in sources:
        if not groups or size + source.text_bytes > chunk_bytes:
            groups.append([])
            size = 0
        groups[-1].append(source)
        size += source.text_bytes
    return [Group(number, tuple(members)) for number, members in enumerate(groups)]


def read_chunks(
    group: Group,
    chunk_bytes: int,
    problems: list[str],
    open_file: Callable[[str], BinaryIO] = _open,
) -> Iterator[Chunk]:
    """Reads the chunks of a group.

    Args:
        group: the files.
        chunk_bytes: size of a chunk; it ends with the first document that ends beyond.
        problems: receives a message for each file that is empty or cannot be unpacked to its end;
            what comes before the damage is used.
        open_file: opens a path for reading bytes.

    Raises:
        OSError: a file cannot be read.
    """
    number, pieces, size, read = 0, [], 0, 0
    for source in group.sources:
        pending, is_empty = bytearray(), True
        for block, block_read in _blocks(source, problems, open_file):
            read += block_read
            pending += block
            is_empty = is_empty and not block
            while True:
                end, is_cut = _end_of_chunk(pending, source.kind, chunk_bytes - size)
                if not end:
                    break
                pieces.append((source.kind, bytes(pending[:end])))
                del pending[:end]
                yield Chunk(group.number, number, tuple(pieces), read, int(is_cut))
                number, pieces, size, read = number + 1, [], 0, 0
        if is_empty:
            problems.append(f"{source.path}: empty")
        if pending:
            pieces.append((source.kind, bytes(pending)))
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


def _blocks(
    source: Source, problems: list[str], open_file: Callable[[str], BinaryIO]
) -> Iterator[tuple[bytes, int]]:
    """The content of a file, unpacked, and how many bytes of the file each block took."""
    with open_file(source.path) as raw:
        read = _reader(raw, source.suffix)
        before = 0
        while True:
            try:
                block = read(_BLOCK)
            except (EOFError, OSError, zlib.error, lzma.LZMAError, _zstandard_error()) as error:
                if getattr(error, "errno", None) is not None:  # of the system: not in the data
                    raise
                problems.append(f"{source.path}: damaged, used up to there ({error})")
                block = b""
            at = raw.tell() if block else source.bytes
            yield block, at - before
            before = at
            if not block:
                return


def _reader(raw: BinaryIO, suffix: str) -> Callable[[int], bytes]:
    """A function that reads some bytes; of a damaged file all that come before the damage."""
    if suffix == ".gz":
        return gzip.GzipFile(fileobj=raw).read1
    if suffix == ".bz2":
        return bz2.BZ2File(raw).read1
    if suffix == ".xz":
        return lzma.LZMAFile(raw).read1
    if suffix == ".zst":
        return _ZstandardFile(raw).read
    return raw.read


class _ZstandardFile:
    """Reads frame after frame; unlike zstandard's own reader it misses the end of a cut file."""

    def __init__(self, raw: BinaryIO):
        self._raw, self._rest = raw, b""
        self._frame = None  # the one that we are in

    def read(self, size: int) -> bytes:
        """Some bytes, for each call those of a sixteenth of the size in the file."""
        while True:
            packed = self._rest or self._raw.read(max(size // 16, 1))
            if not packed:
                if self._frame is not None:
                    raise EOFError("the file ends inside a frame")
                return b""
            if self._frame is None:
                self._frame = _zstandard().ZstdDecompressor().decompressobj()
            content = self._frame.decompress(packed)
            self._rest = self._frame.unused_data
            if self._frame.eof:
                self._frame = None
            if content:
                return content


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
