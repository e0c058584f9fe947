"""``kerasbert convert``: the weights are the same, and nothing is written over unasked."""

from __future__ import annotations

import json

import numpy as np
import pytest

from kerasbert import build_transformer_model


def weights(checkpoint, **options):
    model = build_transformer_model(checkpoint, with_pool=True, with_mlm=True, **options)
    return {weight.path if hasattr(weight, "path") else weight.name: weight.numpy()
            for weight in model.weights}  # fmt: skip


@pytest.fixture(scope="module")
def expected(checkpoint):
    return weights(checkpoint)


TARGETS = [("huggingface", "hf"), ("google", "g"), ("google", "g.zip")]


@pytest.mark.parametrize(("to", "name"), TARGETS)
def test_round_trip(succeed, checkpoint, expected, tmp_path, to, name):
    lines = succeed("convert", checkpoint, tmp_path / name, "--to", to)
    assert "heads: pooler, masked language model" in "\n".join(lines)
    found = weights(tmp_path / name)
    assert found.keys() == expected.keys()
    for path, value in found.items():
        np.testing.assert_array_equal(value, expected[path], path)


def test_report_as_json(succeed, checkpoint, tmp_path):
    (line,) = succeed(
        *("convert", checkpoint, tmp_path / "h", "--to", "huggingface", "--json"),
        *("--dtype", "bfloat16"),
    )
    report = json.loads(line)
    assert report["to"] == "huggingface" and report["family"] == "bert"
    assert "config.json" in report["files"] and report["left_out"] == {}


def test_nothing_is_written_over(succeed, fail, checkpoint, tmp_path):
    (tmp_path / "full").mkdir()
    mine = tmp_path / "full" / "vocab.txt"
    mine.write_text("mine")
    (tmp_path / "x.zip").write_text("mine")
    (tmp_path / "x.weights.h5").write_text("mine")
    for name, to in (
        ("full", "google"),
        ("full", "huggingface"),
        ("full/bert_model.ckpt", "google"),
        ("x.zip", "google"),
        ("x.zip/x.ckpt", "google"),
        ("x.weights.h5", "keras"),
    ):
        said = fail("convert", checkpoint, tmp_path / name, "--to", to)
        assert "--force" in said or "is a file" in said
    assert mine.read_text() == "mine" and len(list(tmp_path.rglob("*"))) == 4
    succeed("convert", checkpoint, tmp_path / "full", "--to", "google", "--force")
    assert mine.read_text() != "mine"


def test_what_is_wrong(fail, checkpoint, tmp_path):
    assert "nothing" in fail("convert", tmp_path / "nothing", tmp_path / "o", "--to", "google")
    assert ".weights.h5" in fail("convert", checkpoint, tmp_path / "o", "--to", "keras")
    assert "invalid choice" in fail("convert", "a", "b", "--to", "onnx", status=2)
    assert "--to" in fail("convert", "a", "b", status=2)
    assert list(tmp_path.iterdir()) == []
