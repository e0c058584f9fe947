"""Chunks' files and shards: TFRecord files that TensorFlow reads, equal counts, whole or not."""

from __future__ import annotations

import gzip
import hashlib
import os
import random
from collections import Counter
from itertools import chain

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerasbert.backend import tf
from pretraining import shards
from pretraining.shards import crc32c, frame, read_chunk, whole_file, write_chunk, write_shard

NONE = np.zeros(0, np.uint64)


def test_checksum_of_the_standard():
    assert crc32c(b"123456789") == 0xE3069283  # RFC 3720's check value of CRC-32C
    assert crc32c(b"") == 0


@given(st.binary(max_size=40), st.integers(0, 40), st.integers(0, 5000))
def test_checksum_byte_by_byte(content, repeat, zeros):
    content = content * repeat + bytes(zeros)
    expected = 0xFFFFFFFF
    table = shards._crc_table()[0][:256].tolist()
    for byte in content:
        expected = table[(expected ^ byte) & 255] ^ expected >> 8
    assert crc32c(content) == expected ^ 0xFFFFFFFF


def read_shard(path):
    dataset = tf.data.TFRecordDataset(str(path), compression_type="GZIP")
    return [record.numpy() for record in dataset]


@pytest.fixture
def chunks(tmp_path):
    """Files of chunks for three shards, and the records of each."""
    files, records, offset = [], [], 0
    for at, count in enumerate([5, 0, 1, 11, 7]):
        own = [f"{at} {number} ".encode() * (number + 1) for number in range(count)]
        path = tmp_path / f"chunk-{at}"
        write_chunk(path, own, 3, {"examples": count}, np.arange(at, dtype=np.uint64))
        files.append((path, offset))
        records.append(own)
        offset += count
    return files, records


def test_what_a_chunk_says_before_its_records(chunks):
    for at, (path, _) in enumerate(chunks[0]):
        found = read_chunk(path)
        assert found.records == len(chunks[1][at]) == found.counts["examples"]
        assert found.digests.tolist() == list(range(at))


def test_shards_hold_every_record_once_and_differ_by_one(chunks, tmp_path):
    files, records = chunks
    found = []
    for number in range(3):
        path = tmp_path / f"shard-{number}"
        shard = write_shard(path, number, 3, files, seed=1)
        content = path.read_bytes()
        assert shard == (len(content), hashlib.sha256(content).hexdigest())
        found.append(read_shard(path))
    assert list(map(len, found)) == [8, 8, 8]
    assert Counter(chain(*found)) == Counter(chain(*records))
    assert found[0] != sorted(found[0])  # shuffled


def test_record_i_goes_to_shard_offset_plus_i(chunks, tmp_path):
    files, records = chunks
    for number in range(3):
        expected, offset = [], 0
        for own in records:
            expected += [record for i, record in enumerate(own) if (offset + i) % 3 == number]
            offset += len(own)
        write_shard(tmp_path / "shard", number, 3, files, seed=number)
        assert sorted(read_shard(tmp_path / "shard")) == sorted(expected)
        (tmp_path / "shard").unlink()


def test_a_small_block_changes_the_order_and_nothing_else(chunks, tmp_path, monkeypatch):
    whole = write_shard(tmp_path / "a", 0, 3, chunks[0], seed=1)
    monkeypatch.setattr(shards, "_BLOCK", 50)
    blocks = write_shard(tmp_path / "b", 0, 3, chunks[0], seed=1)
    assert whole != blocks
    assert sorted(read_shard(tmp_path / "a")) == sorted(read_shard(tmp_path / "b"))


def test_seeds_make_other_orders(chunks, tmp_path):
    found = set()
    for seed in range(4):
        found.add(write_shard(tmp_path / f"{seed}", 0, 3, chunks[0], seed).sha256)
    assert len(found) == 4


def test_a_shard_that_is_there_is_read_and_not_written(chunks, tmp_path):
    path = tmp_path / "shard"
    path.write_bytes(b"is there")
    shard = write_shard(path, 0, 3, chunks[0], seed=1)
    assert shard.bytes == 8 and path.read_bytes() == b"is there"


def test_no_date_in_the_file(chunks, tmp_path):
    path = tmp_path / "shard"
    write_shard(path, 0, 3, chunks[0], seed=1)
    assert path.read_bytes()[4:8] == bytes(4)
    assert gzip.decompress(path.read_bytes())


def test_frames_are_what_tensorflow_writes(tmp_path):
    records = [os.urandom(random.Random(at).randint(0, 9000)) for at in range(20)]
    with tf.io.TFRecordWriter(str(tmp_path / "a")) as writer:
        for record in records:
            writer.write(record)
    assert b"".join(map(frame, records)) == (tmp_path / "a").read_bytes()


def test_a_strange_or_short_chunk_is_refused(chunks, tmp_path):
    path = chunks[0][3][0]
    content = path.read_bytes()
    path.write_bytes(content[:-4])
    with pytest.raises(ValueError, match="cut short"):
        for number in range(3):
            write_shard(tmp_path / f"shard-{number}", number, 3, chunks[0], seed=1)
    path.write_bytes(b"x" * 100)
    with pytest.raises(ValueError, match="not the file of a chunk"):
        read_chunk(path)


def test_a_file_is_whole_or_not_there(tmp_path):
    with pytest.raises(ArithmeticError), whole_file(tmp_path / "a") as file:
        file.write(b"half")
        raise ArithmeticError
    assert not list(tmp_path.iterdir())
    with whole_file(tmp_path / "a") as file:
        file.write(b"whole")
        assert not (tmp_path / "a").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
