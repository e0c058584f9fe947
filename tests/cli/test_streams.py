"""Lines in and results out: places, encodings, formats, files that appear when they are whole."""

from __future__ import annotations

import io
import json
import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerasbert.cli import reading, writing


class Pipe(io.RawIOBase):
    """Gives what was written at each time, as a pipe does."""

    def __init__(self, *blocks: bytes):
        self.blocks = list(blocks)

    def read1(self, size):
        return self.blocks.pop(0) if self.blocks else b""


def texts_of(*blocks: bytes) -> list[list[str]]:
    return [[text for _, text in lines] for lines in reading.read_lines(Pipe(*blocks), "x")]


def test_lines_come_as_they_are_written():
    assert texts_of(b"a\nb", b"c\n", b"\nd") == [["a"], ["bc"], ["", "d"]][:2] + [[""], ["d"]]


def test_ends_of_lines():
    assert texts_of("\ufeffa\r\nb\u2028c\n".encode()) == [["a", "b\u2028c"]]
    assert texts_of(b"") == []
    assert texts_of(b"\n\n") == [["", ""]]
    assert texts_of("\ufeff".encode()) == [[""]]


@given(st.lists(st.text(st.characters(exclude_characters="\n\r\ufeff", codec="utf-8"))), st.data())
def test_any_blocks_give_the_lines_of_the_whole(lines, data):
    content = "".join(f"{line}\n" for line in lines).encode()
    cuts = sorted(data.draw(st.lists(st.integers(1, max(len(content), 1)), max_size=5)))
    blocks = [content[a:b] for a, b in zip([0, *cuts], [*cuts, len(content)])]
    found = texts_of(*filter(None, blocks))
    assert [text for part in found for text in part] == lines


@given(st.binary(max_size=200))
def test_any_bytes_are_lines_or_a_clear_error(content):
    try:
        found = [text for part in texts_of(content) for text in part]
    except ValueError as error:
        assert "line " in str(error) and "UTF-8" in str(error)
    else:
        assert len(found) == content.count(b"\n") + bool(content and content[-1:] != b"\n")


def test_what_is_wrong_with_a_line():
    with pytest.raises(ValueError, match=r"x, line 3 is not UTF-8 \(its byte 2 is 0xce\)"):
        texts_of(b"a\nb\n", b"c" + "我".encode("gbk") + b"\n")


def test_a_line_without_end_is_refused(monkeypatch):
    monkeypatch.setattr(reading, "_LONGEST", 100)
    with pytest.raises(ValueError, match="line 2 has more than 100 bytes"):
        texts_of(b"a\n", *[b"b" * 60] * 10)


def entries(path, content: bytes, **options):
    path.write_bytes(content)
    return [one for some in reading.read_entries([str(path)], **options) for one in some]


def test_pairs_and_fields(tmp_path):
    path = tmp_path / "x"
    one, empty = entries(path, b"a b\tc\n\n", pairs=True)
    assert (one.text, one.pair, empty.is_empty) == ("a b", "c", True)
    (one,) = entries(path, b'{"q": "a", "id": 7}', fields=["q"])
    assert (one.text, one.pair, one.fields["id"]) == ("a", None, 7)
    (one,) = entries(path, b'{"q": "a", "p": "b"}', fields=["q", "p"], pairs=True)
    assert (one.text, one.pair) == ("a", "b")


@pytest.mark.parametrize(
    ("line", "options", "message"),
    [
        (b"a\n", {"pairs": True}, "line 1 must be two texts with a TAB between them, but it has 0"),
        (b"a\tb\tc\n", {"pairs": True}, "2 TABs"),
        (b"{", {"fields": ["q"]}, "line 1 is not JSON"),
        (b"[" * 100_000, {"fields": ["q"]}, "line 1 is not JSON"),
        (b"[1]", {"fields": ["q"]}, "must be a JSON object in {}, not a list"),
        (b'{"a": "b"}', {"fields": ["q"]}, "'q', but it is not there. Fields: a"),
        (b'{"q": 7}', {"fields": ["q"]}, "'q', but it is 7"),
        (b'{"q": "\\udc00"}', {"fields": ["q"]}, "half a surrogate pair"),
        (b"{}", {"fields": ["q"], "pairs": True}, "given twice"),
        (b"{}", {"fields": ["q", "r"]}, "given once"),
    ],
)
def test_entries_that_are_wrong(tmp_path, line, options, message):
    with pytest.raises(ValueError) as error:
        entries(tmp_path / "x", line, **options)
    assert message in str(error.value)


def test_lines_are_counted_where_they_can_be(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"a\n\nb")
    assert reading.count_lines([str(path), str(path)]) == 6
    assert reading.count_lines([]) is reading.count_lines(["-"]) is None


# Output


def test_a_file_appears_when_it_is_whole(tmp_path):
    path = tmp_path / "out.txt"
    path.write_text("old")
    with pytest.raises(KeyError), writing.open_output(path) as file:
        file.write("half")
        raise KeyError
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["out.txt"]
    with writing.open_output(path) as file:
        file.write("我\n")
    assert path.read_bytes() == "我\n".encode() and os.listdir(tmp_path) == ["out.txt"]


def test_devices_are_written_to():
    with writing.open_output(writing.Path(os.devnull)) as file:
        file.write("x")
    assert not os.path.isfile(os.devnull)


def test_numbers_are_exact():
    values = np.float32([0.1, 1 / 3, 1e-30, -2.5e30, 0, 123456.79])
    texts = writing.short_numbers(values)
    np.testing.assert_array_equal(np.array(texts, np.float32), values)
    assert np.float32(json.loads(f"[{', '.join(texts)}]")).tolist() == values.tolist()


def test_json_lines_are_utf8():
    assert writing.json_line({"a": "我"}) == '{"a": "我"}'
    writing.json_line({"a": "\udc00"}).encode("utf-8")
    assert writing.one_line("a\nb\r") == "a\\nb\\r"


def test_formats(fail, tmp_path, vocabulary):
    for arguments, message in (
        (["-o", tmp_path / "no" / "x.txt"], "no folder"),
        (["-o", tmp_path], "is a folder"),
        (["--format", "npy"], "needs a file"),
        (["-o", tmp_path / "x.npy"], "--max-length"),
    ):
        assert message in fail("tokenize", vocabulary, *arguments)
    assert "does not write" in fail("similar", vocabulary, "-o", tmp_path / "x.npy")
    assert os.listdir(tmp_path) == []
