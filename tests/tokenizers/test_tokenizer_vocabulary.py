"""Reading and writing vocabularies, also bad ones."""

from __future__ import annotations

import os
import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerasbert.tokenizers import load_vocab, save_vocab
from kerasbert.tokenizers.vocabulary import read_tokens, token_ids


@pytest.fixture()
def write(tmp_path):
    def write(content: str | bytes):
        path = tmp_path / "vocab.txt"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


@pytest.mark.parametrize(
    ("content", "tokens"),
    [
        ("[PAD]\n[UNK]\na\n", ["[PAD]", "[UNK]", "a"]),
        ("[PAD]\n[UNK]\na", ["[PAD]", "[UNK]", "a"]),
        ("[PAD]\r\n[UNK]\r\na\r\n", ["[PAD]", "[UNK]", "a"]),
        ("\ufeff[PAD]\n[UNK]\n", ["[PAD]", "[UNK]"]),
        ("[PAD]\n\na\n", ["[PAD]", "", "a"]),
        ("[PAD]\n  \na\n", ["[PAD]", "", "a"]),
        ("[PAD]\nb extra\nc\tx\n", ["[PAD]", "b", "c"]),
        ("[PAD]\t0\n[UNK]\t1\na\t2\n", ["[PAD]", "[UNK]", "a"]),
        ("[UNK]\t1\n[PAD]\t0\na\t3\n", ["[PAD]", "[UNK]", None, "a"]),
        ("[PAD]\n\u2028\n##\u2028\na\u0085b\n", ["[PAD]", "", "##", "a"]),
    ],
)
def test_reading_files(write, content, tokens):
    assert read_tokens(write(content)) == tokens


def test_ids_are_line_numbers_and_the_last_of_equal_lines_counts(write):
    path = write("[PAD]\n!\n!\na\n\n\nb\n")
    with pytest.warns(UserWarning, match=r"repeats 2 of its tokens.*'!'"):
        assert load_vocab(path) == {"[PAD]": 0, "!": 2, "a": 3, "": 5, "b": 6}


def test_empty_lines_alone_need_no_warning(write, recwarn):
    assert load_vocab(write("[PAD]\n\n\nb\n")) == {"[PAD]": 0, "": 2, "b": 3}
    assert not recwarn.list


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\n\n", "is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 9\n", "git lfs pull"),
        (b"\n\x0e\n\x05<unk>\x15\0\0\0\0\x18\x02", "SentencePiece"),
        ("<unk>\t0\n▁the\t-3.2\n".encode(), "score"),
        (b"[PAD]\n\xff\xfe\n", "encoding"),
        (b"a\t0\nb\t0\n", "an id of its own"),
        (b"a\t0\nb\t123456789\n", "ids count from 0"),
    ],
)
def test_what_is_not_a_vocabulary(write, content, message):
    with pytest.raises(ValueError, match=message):
        load_vocab(write(content))


def test_a_folder_and_a_missing_file(tmp_path):
    with pytest.raises(ValueError, match=r"vocab\.txt in it"):
        load_vocab(tmp_path)
    with pytest.raises(FileNotFoundError):
        load_vocab(tmp_path / "none.txt")


def test_other_encodings(write):
    assert load_vocab(write("[PAD]\n中\n".encode("gb18030")), encoding="gb18030")["中"] == 1


def test_lists_and_dicts():
    assert load_vocab(["a", "b"]) == {"a": 0, "b": 1}
    assert load_vocab({"b": 1, "a": 0}) == {"a": 0, "b": 1}
    assert read_tokens({"b": 2, "a": 0}) == ["a", None, "b"]
    with pytest.raises(ValueError, match="holds strings"):
        load_vocab(["a", 1])
    with pytest.raises(ValueError, match="ids from -1"):
        load_vocab({"a": -1})


def test_simplified():
    tokens = [
        "[PAD]",
        "[UNK]",
        "[MASK]",
        "a",
        "##b",
        "中",
        "##中",
        "北京",
        "，",
        "##，",
        "...",
        "ab",
    ]
    vocabulary, keep = load_vocab(tokens, simplified=True, startswith=["[UNK]", "[PAD]"])
    assert list(vocabulary) == ["[UNK]", "[PAD]", "a", "##b", "中", "，", "ab"]
    assert list(vocabulary.values()) == list(range(7))
    assert keep == [tokens.index(token) for token in vocabulary]
    with pytest.raises(ValueError, match=r"\['\[CLS\]'\]"):
        load_vocab(tokens, simplified=True, startswith=["[CLS]"])


LINE = st.text(st.characters(exclude_categories=["Cs"]), max_size=5).map(
    lambda text: (text.split() or [""])[0].replace("\ufeff", "")
)


@given(st.lists(LINE, min_size=1).filter(any))
def test_round_trip(tmp_path_factory, tokens):
    numbers = all(len(token.split()) == 2 for token in tokens)
    path = tmp_path_factory.mktemp("vocab") / "vocab.txt"
    save_vocab(path, tokens)
    if not numbers and b"\0" not in path.read_bytes():
        assert read_tokens(path) == tokens


def test_save_takes_a_dict_with_holes_and_leaves_nothing_half_done(tmp_path):
    path = tmp_path / "vocab.txt"
    save_vocab(path, {"b": 2, "a": 0})
    assert path.read_bytes() == b"a\n\nb\n"
    with pytest.raises(UnicodeEncodeError):
        save_vocab(path, ["\ud800"])
    with pytest.raises(LookupError):
        save_vocab(path, ["a"], encoding="no such encoding")
    assert path.read_bytes() == b"a\n\nb\n"
    assert os.listdir(tmp_path) == ["vocab.txt"]


@pytest.mark.skipif(os.name != "posix", reason="file modes are a POSIX matter")
def test_saved_files_can_be_read_by_others(tmp_path):
    save_vocab(tmp_path / "vocab.txt", ["a"])
    assert stat.S_IMODE((tmp_path / "vocab.txt").stat().st_mode) == 0o644


def test_token_ids_leaves_holes_out():
    assert token_ids(["a", None, "b"]) == {"a": 0, "b": 2}
