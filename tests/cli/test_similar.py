"""``kerasbert similar``: pairs, and queries against candidates."""

from __future__ import annotations

import json

import numpy as np
import pytest

CORPUS = ["怎么退换货", "我爱北京", "hello world", "今天天气", "科学技术"]


@pytest.fixture
def command(checkpoint):
    return ["similar", checkpoint, "--model", "unilm"]


@pytest.fixture
def corpus(tmp_path):
    path = tmp_path / "corpus.txt"
    path.write_text("\n".join([*CORPUS[:2], "", *CORPUS[2:]]), encoding="utf-8")
    return path


def test_pairs(succeed, command, encoder):
    pairs = [("我爱北京", "我爱天安门"), ("我爱北京", "我爱北京")]
    content = "{}\t{}\n\n{}\t{}\n".format(*pairs[0], *pairs[1]).encode()
    lines = succeed(*command, stdin=content)
    expected = [float(encoder.similarity(a, b)[0, 0]) for a, b in pairs]
    assert [line.split("\t")[1:] for line in lines] == [[*pairs[0]], [], [*pairs[1]]]
    scores = [float(line.split("\t")[0]) for line in lines if line]
    np.testing.assert_allclose(scores, expected, atol=2e-6)
    assert scores[1] == 1

    lines = succeed(*command, "--format", "jsonl", stdin=content)
    records = list(map(json.loads, lines))
    assert records[1] == {"score": None} and records[0]["pair"] == pairs[0][1]
    np.testing.assert_allclose(records[0]["score"], expected[0], atol=2e-6)


def test_search(succeed, command, encoder, corpus):
    queries = "退换货\n\n我爱天安门\n".encode()
    lines = succeed(*command, "-c", corpus, "-k", 2, stdin=queries)
    scores, places = encoder.search(["退换货", "我爱天安门"], CORPUS, 2)
    expected = [CORPUS[at] for at in places.ravel()]
    cells = [line.split("\t") for line in lines]
    assert [row[3] for row in cells if len(row) > 1] == expected
    assert [row[:2] for row in cells] == [
        ["退换货", "1"], ["退换货", "2"], [""], ["我爱天安门", "1"], ["我爱天安门", "2"]
    ]  # fmt: skip
    found = [float(row[2]) for row in cells if len(row) > 1]
    np.testing.assert_allclose(found, scores.ravel(), atol=2e-6)


def test_an_index_is_kept(succeed, command, corpus, tmp_path):
    index = tmp_path / "corpus.safetensors"
    options = ["-k", 3, "--format", "jsonl"]
    queries = "科学\n\n".encode()
    first = succeed(*command, "-c", corpus, "--save-index", index, *options, stdin=queries)
    again = succeed(*command, "-c", index, *options, stdin=queries)
    assert first == again
    record, empty = map(json.loads, first)
    assert [set(row) for row in record["results"]] == [{"index", "text", "score"}] * 3
    assert record["results"][0]["text"] == CORPUS[record["results"][0]["index"]]
    assert empty == {"text": "", "results": []}


def test_what_is_refused(fail, command, corpus, tmp_path, checkpoint):
    from kerasbert.embedding import VectorIndex

    (tmp_path / "empty.txt").write_text("\n")
    (tmp_path / "broken.safetensors").write_bytes(b"abc")
    vectors = np.ones((2, 3), np.float32)
    VectorIndex(vectors, ["a", "b"]).save(tmp_path / "other.safetensors")
    VectorIndex(vectors).save(tmp_path / "textless.safetensors")
    for options, message in (
        (["-c", tmp_path / "nothing.txt"], "nothing.txt"),
        (["-c", tmp_path / "empty.txt"], "has no texts"),
        (["-c", tmp_path / "broken.safetensors"], "no index of vectors"),
        (["-c", tmp_path / "other.safetensors"], "made with another model"),
        (["-c", tmp_path / "textless.safetensors"], "without their texts"),
        (["--save-index", "x"], "--candidates"),
        ([], "line 1 must be two texts"),
    ):
        assert message in fail(*command, *options, stdin=b"a\n")
