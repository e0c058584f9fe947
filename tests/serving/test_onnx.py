"""ONNX files: what ONNX Runtime computes of them is what the model computes."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from kerasbert import build_transformer_model
from kerasbert.backend import keras
from kerasbert.embedding import TextEncoder
from kerasbert.layers import FirstToken
from kerasbert.serving import export_onnx
from tests.families import albert, electra, nezha, roformer
from tests.serving.conftest import TEXTS
from tests.tiny import inputs

pytestmark = pytest.mark.slow  # each export traces and converts for seconds

LENGTH = 24


@pytest.fixture(scope="module")
def runtime():
    pytest.importorskip("tf2onnx", exc_type=ImportError)
    return pytest.importorskip("onnxruntime", exc_type=ImportError)


def run(runtime, path, token_ids, segment_ids):
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    given = {"token_ids": token_ids, "segment_ids": segment_ids}
    return session.run(None, {x.name: given[x.name] for x in session.get_inputs()})


def test_vectors(runtime, model, tokenizer, tmp_path):
    path = export_onnx(model, tmp_path / "model.onnx", "embedding")
    found = tokenizer(TEXTS, max_length=LENGTH)
    (vectors,) = run(runtime, path, found["token_ids"], found["segment_ids"])
    expected = TextEncoder(model, tokenizer, max_length=LENGTH).encode(TEXTS)
    np.testing.assert_allclose(vectors, expected, atol=1e-5)
    assert [p.name for p in tmp_path.iterdir()] == ["model.onnx"]


@pytest.mark.parametrize("application", ["encoder", "unilm"])
def test_the_models_own_outputs(runtime, tensors, tmp_path, application):
    model = build_transformer_model(
        *tensors, with_pool=True, with_mlm=True, application=application
    )
    path = export_onnx(model, tmp_path / "model.onnx")
    for batch, length in ((1, 3), (5, 9)):  # sizes are free
        x = inputs(batch, length)
        for found, expected in zip(run(runtime, path, *x), model(x)):
            np.testing.assert_allclose(found, np.asarray(expected), atol=1e-5)


@pytest.mark.parametrize("family", [albert, electra, roformer], ids=lambda f: f.__name__)
def test_families(runtime, tmp_path, family):
    model = build_transformer_model(**family.TINY[0])
    path = export_onnx(model, tmp_path / "model.onnx")
    x = inputs(3, 8)
    x[0] %= model.get_layer("Embedding-Token").input_dim
    expected = model(x if len(model.inputs) > 1 else x[0])
    expected = expected if isinstance(expected, (list, tuple)) else [expected]
    for ours, theirs in zip(run(runtime, path, *x), expected):
        np.testing.assert_allclose(ours, np.asarray(theirs), atol=1e-4)


def test_what_cannot_be_converted_is_refused(runtime, tmp_path):
    """tf2onnx 1.17 writes an invalid graph for NEZHA's relative positions."""
    model = build_transformer_model(**nezha.TINY[0])
    with pytest.raises(ValueError, match="tf2onnx cannot convert the model"):
        export_onnx(model, tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_a_classifier(runtime, tensors, tmp_path):
    body = build_transformer_model(*tensors, hidden_act="gelu_tanh", with_pool=False)
    x = keras.layers.Dense(3, "softmax")(FirstToken()(body.output))
    classifier = keras.Model(body.inputs, x)
    (found,) = run(runtime, export_onnx(classifier, tmp_path / "c.onnx"), *inputs())
    np.testing.assert_allclose(found, np.asarray(classifier(inputs())), atol=1e-5)


def test_other_weights_are_refused(runtime, tensors, tmp_path):
    model = build_transformer_model(*tensors, dtype="bfloat16")
    with pytest.raises(ValueError, match="weights in float32, and they are bfloat16"):
        export_onnx(model, tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_wrong_output(model, tmp_path):
    with pytest.raises(ValueError, match='None or "embedding"'):
        export_onnx(model, tmp_path / "model.onnx", "text")


def test_the_extra_is_named(model, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tf2onnx", None)
    with pytest.raises(ImportError, match=r"pip install 'kerasbert\[onnx\]'"):
        export_onnx(model, tmp_path / "model.onnx")
