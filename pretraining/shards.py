"""Files between chunks and shards, and the shards themselves.

A chunk's records wait in a file of their own, sorted by the shard they go to: record i of the
chunk's random order goes to shard (offset + i) mod shards, where offset is the number of records of
all chunks before. So shards differ by one record at most, each holds a random part of every chunk,
and the offset need not be known when the file is written.

Everything is written to a temporary file, which is renamed when it is whole.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import random
import struct
import tempfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

_HEAD = struct.Struct("<4sIIII")  # mark, records, shards, bytes of counts, digests
_MARK = b"kbc1"
_BLOCK = 1 << 25  # bytes of records that are shuffled together
_BUFFER = 1 << 20
_LEVEL = 4  # of compression: twice as fast as the usual 6, for 2 % more bytes


class ChunkFile(NamedTuple):
    """What a chunk's file says before its records.

    Attributes:
        records: number of records.
        counts: of the chunk.
        digests: uint64, hashes of the documents that were kept; empty if nobody asked.
    """

    records: int
    counts: dict[str, int]
    digests: np.ndarray


def write_chunk(
    path: Path, records: Sequence[bytes], shards: int, counts: dict, digests: np.ndarray
) -> None:
    """Writes a chunk's records, framed as in a TFRecord file."""
    groups = [[frame(record) for record in records[at::shards]] for at in range(shards)]
    parts = [b"".join(group) for group in groups]
    about = json.dumps(counts).encode()
    offsets = np.zeros(shards + 1, "<u8")
    np.cumsum([len(part) for part in parts], out=offsets[1:])
    head = _HEAD.pack(_MARK, len(records), shards, len(about), len(digests))
    offsets += len(head) + offsets.nbytes + len(about) + 8 * len(digests)
    with whole_file(path) as file:
        file.write(b"".join([head, offsets.tobytes(), about, digests.astype("<u8").tobytes()]))
        file.write(b"".join(parts))


def read_chunk(path: Path) -> ChunkFile:
    """Reads what stands before the records."""
    with open(path, "rb") as file:
        mark, records, shards, about, digests = _HEAD.unpack(file.read(_HEAD.size))
        if mark != _MARK:
            raise ValueError(f"{path} is not the file of a chunk: delete it and run again.")
        file.seek(8 * (shards + 1), os.SEEK_CUR)
        counts = json.loads(file.read(about))
        return ChunkFile(records, counts, np.frombuffer(file.read(8 * digests), "<u8"))


class Shard(NamedTuple):
    """A finished shard: number of bytes and SHA-256 of the file."""

    bytes: int
    sha256: str


def write_shard(
    path: Path, number: int, shards: int, chunks: Sequence[tuple[Path, int]], seed: int
) -> Shard:
    """Writes a shard, or, if it is there, only reads it.

    Args:
        path: the file to write.
        number: of the shard.
        shards: how many there are.
        chunks: file of each, and number of records of all before it.
        seed: of the order.
    """
    if not path.exists():
        parts = (
            list(_records(chunks[at][0], (number - chunks[at][1]) % shards))
            for at in order_of_chunks(len(chunks), seed)
        )
        with whole_file(path) as file:
            for content in pack_shard(parts, number, seed):
                file.write(content)
    digest, size = hashlib.sha256(), 0
    with open(path, "rb") as file:
        while content := file.read(_BUFFER):
            digest.update(content)
            size += len(content)
    return Shard(size, digest.hexdigest())


def order_of_chunks(count: int, seed: int) -> list[int]:
    """The order in which chunks come into every shard."""
    order = list(range(count))
    random.Random(f"{seed} chunks").shuffle(order)
    return order


def pack_shard(parts: Iterable[list[bytes]], number: int, seed: int) -> Iterator[bytes]:
    """The bytes of a shard's file.

    Records of some hundred chunks are shuffled together, as many as 32 MB hold.

    Args:
        parts: framed records of each chunk, in the order of the chunks.
        number: of the shard.
        seed: of the order.
    """
    rng = random.Random(f"{seed} shard {number}")
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, 31)  # gzip, without a date
    block: list[bytes] = []
    size = 0
    for part in chain(parts, [None]):
        if part is None or size >= _BLOCK:
            rng.shuffle(block)
            for at in range(0, len(block), 256):
                yield packer.compress(b"".join(block[at : at + 256]))
            block, size = [], 0
        block += part or ()
        size += sum(map(len, part or ()))
    yield packer.flush()


def _records(path: Path, place: int) -> Iterator[bytes]:
    """The framed records that a chunk's file holds at a place of its sorting."""
    with open(path, "rb", buffering=0) as file:
        file.seek(_HEAD.size + 8 * place)
        begin, end = struct.unpack("<QQ", file.read(16))
        file.seek(begin)
        content = file.read(end - begin)
    if len(content) != end - begin:
        raise ValueError(f"{path} was cut short: delete it and run again.")
    at = 0
    while at < len(content):
        size = struct.unpack_from("<Q", content, at)[0] + 16
        yield content[at : at + size]
        at += size


def frame(record: bytes) -> bytes:
    """A record as it stands in a TFRecord file: length and content, each with a checksum."""
    length = struct.pack("<Q", len(record))
    return b"".join([length, _checksum(length), record, _checksum(record)])


def _checksum(content: bytes) -> bytes:
    crc = crc32c(content)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def crc32c(content: bytes) -> int:
    """CRC-32C (Castagnoli) of some bytes, by a table of what each byte does at its place."""
    (table, rows), crc = _crc_table(), 0xFFFFFFFF
    for at in range(0, len(content), len(rows)):
        part = np.frombuffer(content, np.uint8, min(len(rows), len(content) - at), at).copy()
        used = min(4, len(part))
        part[:used] ^= np.frombuffer(struct.pack("<I", crc), np.uint8)[:used]
        states = table[rows[-len(part) :] + part]
        crc = int(np.bitwise_xor.reduce(states)) ^ (crc >> 8 * used)
    return crc ^ 0xFFFFFFFF


@functools.lru_cache(maxsize=1)
def _crc_table(size: int = 4096) -> tuple[np.ndarray, np.ndarray]:
    """The state after each byte and k zero bytes, uint32; and where k = size - 1, ..., 0 begin."""
    row = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        row = row >> 1 ^ (row & 1) * np.uint32(0x82F63B78)
    table = np.empty((size, 256), np.uint32)
    table[0] = row
    for at in range(1, size):
        table[at] = table[at - 1] >> 8 ^ row[table[at - 1] & 255]
    return table.ravel(), np.arange(size - 1, -1, -1) * 256


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A file to write, which gets its name when it is whole."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
        os.chmod(temporary, 0o644)  # mkstemp makes files that only the owner may read
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
