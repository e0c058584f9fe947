"""Files to chunks: nothing is lost, chunks are bounded, and damage is reported."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pretraining import reading
from pretraining.reading import Group, Source, choose_chunk_bytes, find_inputs, make_groups
from tests.pretraining.corpus_cases import as_text, make_documents


def read(files, chunk_bytes):
    """Chunks of files in memory, and the messages."""
    problems: list[str] = []
    sources = tuple(Source(name, len(content)) for name, content in files.items())

    def open_file(path):
        return io.BytesIO(files[path])

    group = Group(3, sources)
    return list(reading.read_chunks(group, chunk_bytes, problems, open_file)), problems


@pytest.fixture
def small(monkeypatch):
    """Chunks may go on for 40 bytes only."""
    monkeypatch.setattr(reading, "_FURTHER", 40)


def contents(chunks):
    return [content for chunk in chunks for _, content in chunk.pieces]


def test_chunks_end_with_a_document():
    text = as_text(make_documents(50)).encode()
    chunks, problems = read({"a.txt": text}, 1000)
    assert b"".join(contents(chunks)) == text and not problems
    assert len(chunks) > 5
    assert all(content.endswith(b"\n\n") for content in contents(chunks)[:-1])
    assert all(1000 <= len(content) < 3500 for content in contents(chunks)[:-1])
    assert [(chunk.group, chunk.number) for chunk in chunks] == [(3, n) for n in range(len(chunks))]
    assert sum(chunk.read for chunk in chunks) == len(text)
    assert not any(chunk.cuts for chunk in chunks)


@given(st.lists(st.sampled_from("ab天\n\n\n \r"), max_size=200), st.integers(1, 60))
def test_blocks_of_any_size_make_the_same_chunks(characters, chunk_bytes):
    text = "".join(characters).encode()
    found = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "_FURTHER", 20)
        for size in (1, 7, 1 << 18):
            patch.setattr(reading, "_BLOCK", size)
            chunks, _ = read({"a.txt": text}, chunk_bytes)
            assert b"".join(contents(chunks)) == text
            assert all(len(content) <= chunk_bytes + 20 for content in contents(chunks)[:-1])
            found.append([(chunk.pieces, chunk.cuts) for chunk in chunks if chunk.pieces])
    assert found[0] == found[1] == found[2]


def test_a_line_without_end_is_cut_between_characters(small):
    text = ("天" * 100).encode()
    chunks, _ = read({"a.txt": text}, 30)
    assert b"".join(contents(chunks)) == text
    for content in contents(chunks):
        content.decode()  # raises inside a character
    assert all(len(content) <= 70 for content in contents(chunks))
    assert [chunk.cuts for chunk in chunks] == [1] * (len(chunks) - 1) + [0]


def test_a_long_document_is_cut_between_lines(small):
    text = b"0123456789\n" * 30
    chunks, _ = read({"a.txt": text}, 30)
    assert b"".join(contents(chunks)) == text
    assert all(content.endswith(b"\n") for content in contents(chunks))
    assert chunks[0].cuts == 1


def test_json_lines_end_chunks():
    text = b'{"text": "a"}\n' * 20
    chunks, _ = read({"a.jsonl": text}, 50)
    assert {content.count(b"\n") for content in contents(chunks)[:-1]} == {4}
    assert {kind for chunk in chunks for kind, _ in chunk.pieces} == {"json"}


def test_small_files_share_a_chunk_and_keep_their_kind():
    files = {"a.txt": b"a\n", "b.json": b"{}\n", "c": b"c"}
    chunks, _ = read(files, 100)
    assert [chunk.pieces for chunk in chunks] == [
        (("text", b"a\n"), ("json", b"{}\n"), ("text", b"c"))
    ]


def test_an_empty_file_is_reported():
    chunks, problems = read({"a.txt": b"", "b.txt": b"b"}, 100)
    assert contents(chunks) == [b"b"] and problems == ["a.txt: empty"]


PACK = {
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
}


def pack(suffix, content):
    if suffix == ".zst":
        zstandard = pytest.importorskip("zstandard")
        return zstandard.ZstdCompressor(write_checksum=True).compress(content)
    return PACK[suffix](content)


@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".xz", ".zst"])
def test_compressed_files_are_unpacked(suffix):
    text = as_text(make_documents(300)).encode()
    packed = pack(suffix, text[:5000]) + pack(suffix, text[5000:])  # of two parts, as cat makes
    chunks, problems = read({f"a.txt{suffix}": packed}, 10_000)
    assert b"".join(contents(chunks)) == text and not problems
    plain, _ = read({"a.txt": text}, 10_000)
    assert contents(chunks) == contents(plain)
    assert sum(chunk.read for chunk in chunks) == len(packed)


@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".xz", ".zst"])
@pytest.mark.parametrize("damage", ["cut", "changed", "no such format"])
def test_a_damaged_file_is_used_up_to_the_damage_and_reported(suffix, damage):
    text = bytes(os.urandom(200_000).hex(), "ascii")
    packed = bytearray(pack(suffix, text))
    if damage == "cut":
        del packed[len(packed) * 9 // 10 :]
    elif damage == "changed":
        packed[len(packed) * 9 // 10] ^= 0xFF
        packed[-9] ^= 0xFF
    else:
        packed[:] = b"plain text"
    chunks, problems = read({f"a.txt{suffix}": bytes(packed), "b.txt": b"\nnext"}, 50_000)
    (problem,) = [problem for problem in problems if "empty" not in problem] or [""]
    assert problem.startswith(f"a.txt{suffix}: damaged")
    found = b"".join(contents(chunks))
    assert found.endswith(b"\nnext")
    if damage == "cut" and suffix != ".bz2":  # whose blocks are 900 KB
        assert len(found) > 200_000 and text.startswith(found[:200_000])


def test_errors_of_the_system_are_not_taken_for_damage():
    class Broken(io.BytesIO):
        def read(self, size=-1):
            raise OSError(5, "Input/output error")

    with pytest.raises(OSError, match="Input/output"):
        list(reading.read_chunks(Group(0, (Source("a", 9),)), 9, [], lambda path: Broken()))


def test_inputs_are_found_once_and_in_order(tmp_path):
    for name in ("b.txt", "a.txt", "x[1].txt", "sub/c.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x" * 3)
    names = [os.path.relpath(source.path, tmp_path) for source in find_inputs(tmp_path)]
    assert names == ["a.txt", "b.txt", "sub/c.txt", "x[1].txt"]
    found = find_inputs([tmp_path / "b.txt", f"{tmp_path}/*.txt"])
    assert [os.path.basename(source.path) for source in found] == ["b.txt", "a.txt", "x[1].txt"]
    assert {source.bytes for source in found} == {3}
    (source,) = find_inputs(tmp_path / "x[1].txt")
    assert source.path.endswith("x[1].txt")


def test_a_pattern_without_files_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no file for the input .*\*\.txt"):
        find_inputs([f"{tmp_path}/*.txt"])


def test_kinds_and_sizes_come_of_names():
    kinds = {name: Source(name, 10).kind for name in ("a", "a.txt.gz", "a.jsonl.xz", "b.ndjson")}
    assert kinds == {"a": "text", "a.txt.gz": "text", "a.jsonl.xz": "json", "b.ndjson": "json"}
    assert Source("a.zst", 10).text_bytes == 40 and Source("a.txt", 10).text_bytes == 10


def test_groups_hold_small_files_together():
    sources = [Source(f"{at}.txt", size) for at, size in enumerate([10, 20, 500, 5, 5])]
    groups = make_groups(sources, 100)
    assert [[source.path for source in group.sources] for group in groups] == [
        ["0.txt", "1.txt"],
        ["2.txt"],
        ["3.txt", "4.txt"],
    ]
    assert [group.number for group in groups] == [0, 1, 2]


def test_chunks_grow_with_the_input_within_bounds():
    sizes = [choose_chunk_bytes([Source("a.txt", size)]) for size in (1, 1 << 28, 1 << 40)]
    assert sizes == [1 << 18, 1 << 20, 1 << 22]
