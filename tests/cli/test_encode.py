"""``kerasbert encode``: the vectors are those of Python, in every format."""

from __future__ import annotations

import json

import numpy as np
import pytest

TEXTS = ["我爱北京", "", "hello world", "怎么退换货" * 20]
LINES = "".join(f"{text}\n" for text in TEXTS).encode()


@pytest.fixture(scope="module")
def expected(encoder):
    return encoder.encode(TEXTS)


def test_text(succeed, checkpoint, expected):
    lines = succeed("encode", checkpoint, "--model", "unilm", stdin=LINES)
    found = np.array([line.split() for line in lines], np.float32)
    np.testing.assert_allclose(found, expected, atol=2e-6)


def test_json_lines_and_npy(succeed, checkpoint, expected, tmp_path):
    texts, vectors, array = tmp_path / "t.txt", tmp_path / "v.jsonl", tmp_path / "v.npy"
    texts.write_bytes(LINES)
    common = ("encode", checkpoint, "--model", "unilm", "--batch-size", 2)
    assert succeed(*common, "-o", vectors, texts) == []
    records = [json.loads(line) for line in vectors.read_text(encoding="utf-8").splitlines()]
    assert [record["text"] for record in records] == TEXTS
    found = np.float32([record["vector"] for record in records])
    np.testing.assert_allclose(found, expected, atol=2e-6)

    assert succeed(*common, texts, "-o", array, texts) == []
    found = np.load(array)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, np.concatenate([expected, expected]), atol=2e-6)


def test_fields_stay(succeed, checkpoint, expected):
    content = "".join(json.dumps({"n": n, "q": text}) + "\n" for n, text in enumerate(TEXTS))
    lines = succeed(
        *("encode", checkpoint, "--model", "unilm", "--field", "q", "--format", "jsonl"),
        stdin=content.encode(),
    )
    records = [json.loads(line) for line in lines]
    assert [list(record) for record in records] == [["n", "q", "vector"]] * 4
    np.testing.assert_allclose([r["vector"] for r in records], expected, atol=2e-6)


def test_the_default_is_the_pooler_of_the_family(succeed, checkpoint):
    """BERT's has tanh."""
    from kerasbert import TextEncoder, Tokenizer, build_transformer_model

    model = build_transformer_model(checkpoint, with_pool=True)
    encoder = TextEncoder(model, Tokenizer.from_pretrained(checkpoint), normalize=False)
    lines = succeed("encode", checkpoint, "--no-normalize", stdin=LINES)
    found = np.array([line.split() for line in lines], np.float32)
    np.testing.assert_allclose(found, encoder.encode(TEXTS), atol=2e-6)


def test_pooling_and_length(succeed, checkpoint):
    from kerasbert import TextEncoder, Tokenizer, build_transformer_model

    model = build_transformer_model(checkpoint, num_hidden_layers=1)
    encoder = TextEncoder(model, Tokenizer.from_pretrained(checkpoint), "mean", max_length=8)
    lines = succeed(
        *("encode", checkpoint, "--pooling", "mean", "--max-length", 8, "--layers", 1),
        stdin=LINES,
    )
    found = np.array([line.split() for line in lines], np.float32)
    np.testing.assert_allclose(found, encoder.encode(TEXTS), atol=2e-6)


def test_nothing_is_nothing(succeed, checkpoint, tmp_path):
    path = tmp_path / "v.npy"
    assert succeed("encode", checkpoint, "-o", path) == []
    assert np.load(path).shape == (0, 16)


def test_failures_leave_nothing(fail, checkpoint, tmp_path):
    for name in ("v.npy", "v.jsonl"):
        said = fail("encode", checkpoint, "-o", tmp_path / name, stdin=b"a\nb\xff\n")
        assert "standard input, line 2 is not UTF-8" in said
    assert list(tmp_path.iterdir()) == []


def test_what_is_wrong_is_said_in_one_line(fail, checkpoint, tmp_path):
    for arguments, message in (
        (["encode", tmp_path / "nothing.zip"], "nothing.zip"),
        (["encode", checkpoint, "--pooling", "best"], "best"),
        (["encode", checkpoint, "--model", "bart"], "Unknown model 'bart'"),
        (["encode", checkpoint, "--max-length", "1"], "at least 3"),
    ):
        said = fail(*arguments, stdin=b"a\n")
        assert message in said and said.count("\n") == 1, said
