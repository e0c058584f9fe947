"""``kerasbert tokenize``."""

from __future__ import annotations

import json

import numpy as np
import pytest

from kerasbert import Tokenizer

TEXTS = "我爱 Hello\n\nworlds!\n"


@pytest.fixture
def tokenizer(vocabulary):
    return Tokenizer(vocabulary, do_lower_case=True)


def test_tokens(succeed, vocabulary, checkpoint):
    expected = ["[CLS] 我 爱 hello [SEP]", "[CLS] [SEP]", "[CLS] world ##s ! [SEP]"]
    for model in (vocabulary, checkpoint):
        assert succeed("tokenize", model, stdin=TEXTS.encode()) == expected
    found = succeed("tokenize", vocabulary, "--max-length", 4, stdin=TEXTS.encode())
    assert found[0] == "[CLS] 我 爱 [SEP]"


def test_ids_and_back(succeed, vocabulary, tokenizer, tmp_path):
    path = tmp_path / "texts.txt"
    path.write_text(TEXTS, encoding="utf-8")
    ids = succeed("tokenize", vocabulary, "--ids", path)
    assert [list(map(int, line.split())) for line in ids] == tokenizer.encode_ids(
        TEXTS.split("\n")[:-1]
    )
    text = succeed("tokenize", vocabulary, "--decode", stdin="\n".join(ids).encode())
    assert text == ["我爱hello", "", "worlds!"]
    (line,) = succeed("tokenize", vocabulary, "--decode", "--format", "jsonl", stdin=b"2 41 3")
    assert json.loads(line) == {"token_ids": [2, 41, 3], "text": "我"}


def test_without_special_tokens(succeed, vocabulary):
    found = succeed("tokenize", vocabulary, "--no-special-tokens", stdin=TEXTS.encode())
    assert found == ["我 爱 hello", "", "world ##s !"]


def test_pairs_as_json_lines(succeed, vocabulary, tokenizer):
    lines = succeed(
        "tokenize", vocabulary, "--pairs", "--format", "jsonl", stdin="我爱\thello\n\n".encode()
    )
    first, empty = map(json.loads, lines)
    expected = tokenizer("我爱", "hello", return_offsets=True, return_tensors=None)
    assert (first["text"], first["pair"]) == ("我爱", "hello")
    for name in ("token_ids", "segment_ids", "offsets"):
        assert first[name] == [list(x) if name == "offsets" else x for x in expected[name]]
    assert empty["tokens"] == ["[CLS]", "[SEP]", "[SEP]"]


def test_fields_stay(succeed, vocabulary):
    (line,) = succeed(
        *("tokenize", vocabulary, "--field", "q", "--format", "jsonl"),
        stdin='{"id": 7, "q": "我"}'.encode(),
    )
    found = json.loads(line)
    assert list(found)[:2] == ["id", "q"] and found["tokens"] == ["[CLS]", "我", "[SEP]"]


def test_a_table_of_ids(succeed, vocabulary, tokenizer, tmp_path):
    path = tmp_path / "ids.npy"
    succeed("tokenize", vocabulary, "-o", path, "--max-length", 6, stdin=TEXTS.encode())
    expected = tokenizer(TEXTS.split("\n")[:-1], max_length=6, padding="max_length")["token_ids"]
    found = np.load(path)
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found, expected)


def test_case(succeed, vocabulary):
    text = b"Hello"
    assert succeed("tokenize", vocabulary, stdin=text) == ["[CLS] hello [SEP]"]
    assert succeed("tokenize", vocabulary, "--cased", stdin=text) == ["[CLS] [UNK] [SEP]"]


@pytest.mark.parametrize(
    ("arguments", "stdin", "message"),
    [
        (["--decode"], b"2 x 3", "standard input, line 1 must be ids"),
        (["--decode"], b"999", "line 1 must be ids of tokens, with spaces: id 999"),
        (["--decode", "--ids"], b"", "leave out"),
        (["--no-special-tokens", "--pairs"], b"", "single texts"),
        (["nothing.txt"], b"", "nothing.txt"),
        ([], b"a\n\xff\n", "line 2 is not UTF-8"),
    ],
)
def test_what_is_refused(fail, vocabulary, arguments, stdin, message):
    assert message in fail("tokenize", vocabulary, *arguments, stdin=stdin)


def test_no_vocabulary(fail, tmp_path):
    assert "no_such_model" in fail("tokenize", tmp_path / "no_such_model")


def test_output_before_a_bad_line_stands(run, vocabulary, tmp_path):
    """Of a file nothing appears; what was printed was right."""
    path = tmp_path / "out.txt"
    done = run("tokenize", vocabulary, "-o", path, stdin=b"a\n\xff")
    assert done.status == 1 and not path.exists() and list(tmp_path.iterdir()) == []
