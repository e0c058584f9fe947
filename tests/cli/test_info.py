"""``kerasbert info``: what is said is what loading would do, and no weight is read."""

from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from kerasbert import build_transformer_model
from kerasbert.checkpoints import google, safetensors_file
from tests.cli.conftest import VOCABULARY
from tests.tiny import CONFIG, bert_tensors, write_checkpoint


@pytest.fixture
def unread(monkeypatch):
    """Reading is an error."""

    def read(self, names=None):
        raise AssertionError(f"{type(self).__name__}.read was called")

    monkeypatch.setattr(google.GoogleCheckpoint, "read", read)
    monkeypatch.setattr(safetensors_file.SafetensorsCheckpoint, "read", read)


@pytest.fixture
def info(succeed, unread):
    return lambda *arguments: json.loads("\n".join(succeed("info", *arguments, "--json")))


def test_an_archive(info, checkpoint):
    found = info(checkpoint)
    model = build_transformer_model(json_config(found), **found["options"])
    assert found["family"] == "bert"
    assert found["heads"] == ["pooler", "masked language model"]
    assert found["parameters"] == model.count_params() == found["numbers"]
    assert found["variables"] == len(model.weights) == found["tensors"]
    assert found["loads"] and not (found["missing"] or found["unexpected"] or found["ignored"])
    assert found["dtypes"] == {"float32": found["tensors"]}
    assert found["format"] == "TensorFlow checkpoint"
    assert [one["path"].rpartition(".ckpt")[2] for one in found["files"]] == [
        ".data-00000-of-00001", ".index"
    ]  # fmt: skip
    vocabulary = found["vocabulary"]
    assert (vocabulary["kind"], vocabulary["size"]) == ("WordPiece", len(VOCABULARY))
    assert vocabulary["do_lower_case"] is True


def json_config(found) -> dict:
    return found["config"]


def test_what_would_not_fit(info, succeed, tmp_path):
    tensors = bert_tensors()
    del tensors["bert/encoder/layer_1/output/dense/bias"]
    tensors["bert/encoder/layer_0/output/dense/bias"] = np.zeros(3, np.float32)
    tensors["bert/encoder/layer_2/output/dense/bias"] = np.zeros(16, np.float32)
    tensors["bert/pooler/dense/kernel/adam_m"] = np.zeros((16, 16), np.float32)
    tensors["global_step"] = np.int64(5)
    prefix = write_checkpoint(tmp_path / "broken", tensors=tensors)
    found = info(prefix)
    assert found["loads"] is False
    assert [one["tensor"] for one in found["missing"]] == ["bert/encoder/layer_1/output/dense/bias"]
    assert found["mismatched"][0]["checkpoint"] == [3]
    assert found["unexpected"] == [
        {"tensor": "bert/encoder/layer_2/output/dense/bias", "shape": [16]}
    ]
    assert set(found["ignored"]) == {"bert/pooler/dense/kernel/adam_m", "global_step"}
    assert (found["optimizer_tensors"], found["optimizer_numbers"]) == (2, 257)
    assert found["dtypes"]["int64"] == 1 and found["vocabulary"] is None
    assert any("3 blocks" in hint for hint in found["hints"])
    said = "\n".join(succeed("info", prefix))
    for word in ("MISSING", "MISMATCHED", "UNEXPECTED", "ignored", "no: see below", "3 blocks"):
        assert word in said


def test_safetensors(info, tmp_path):
    """Hugging Face's names, in half precision."""
    sizes = {**CONFIG, "model_type": "bert"}
    (tmp_path / "config.json").write_text(json.dumps(sizes))
    model = build_transformer_model(sizes, with_pool=True, with_mlm=True)
    from kerasbert.models.extraction import extract
    from kerasbert.models.huggingface_tensors import huggingface_table

    extracted = extract(model)
    table = huggingface_table(extracted.family, extracted.config)
    rows = extracted.family.rows(table, extracted.config, extracted.layers)
    arrays = {
        row.tensor: np.zeros(np.shape(extracted.variables[row.variable])[::-1], np.float16)
        if row.op.value == "transpose"
        else np.zeros(np.shape(extracted.variables[row.variable]), np.float16)
        for row in rows
        if row.variable in extracted.variables
    }
    arrays["classifier.weight"] = np.zeros((2, 16), np.float32)
    save_file(arrays, tmp_path / "model.safetensors")
    found = info(tmp_path)
    assert found["loads"] and found["format"] == "safetensors"
    assert found["dtypes"] == {"float16": len(arrays) - 1, "float32": 1}
    assert "classifier.weight" in found["ignored"]
    assert found["heads"] == ["pooler", "masked language model"]


def test_text(succeed, checkpoint):
    lines = succeed("info", checkpoint)
    text = "\n".join(lines)
    assert lines[0] == "tiny.zip"
    for said in (
        "family      bert",
        "heads       pooler, masked language model (with_pool=True, with_mlm=True)",
        "hidden_size = 16",
        f"WordPiece, {len(VOCABULARY)} tokens, lower-cases",
        "loads       exactly",
    ):
        assert said in text, text


def test_an_architecture_that_is_not_built(info, tmp_path):
    arrays = {"distilbert.transformer.layer.0.attention.q_lin.weight": np.zeros((2, 2), "f")}
    save_file(arrays, tmp_path / "model.safetensors")
    found = info(tmp_path)
    assert found["family"] is None and "DistilBERT" in found["problem"]
    assert found["tensors"] == 1


def test_a_name_is_not_downloaded(fail, monkeypatch, tmp_path):
    monkeypatch.setenv("KERASBERT_HOME", str(tmp_path))
    said = fail("info", "RBT3")
    assert "not on this machine" in said and "kerasbert hub download rbt3" in said


def test_what_is_no_checkpoint(fail, tmp_path):
    (tmp_path / "page.zip").write_text("<!DOCTYPE html><html>quota</html>")
    (tmp_path / "model.safetensors").write_bytes(b"\xff" * 100)
    assert "nothing.zip" in fail("info", tmp_path / "nothing.zip")
    assert "web page" in fail("info", tmp_path / "page.zip")
    assert "safetensors" in fail("info", tmp_path / "model.safetensors")
