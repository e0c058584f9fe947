"""An ordinary Keras model: every way that Keras has to keep one works, without custom_objects."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from kerasbert import build_transformer_model
from kerasbert.backend import IS_KERAS3, keras, tf
from tests.tiny import CONFIG, bert_tensors, inputs

VARIANTS = {
    "encoder": {},
    "all heads": {"with_nsp": True, "with_mlm": True},
    "simbert": {"application": "unilm", "with_pool": "linear"},
    "mask and positions": {"with_attention_mask": True, "custom_position_ids": True},
    "hierarchical": {"hierarchical_position": 0.3},
    "residual scores": {"residual_attention_scores": True},
    "bfloat16": {"dtype": "mixed_bfloat16", "with_mlm": True},
    "no segments": {"segment_vocab_size": 0, "application": "lm"},
}


@pytest.fixture(params=VARIANTS.values(), ids=VARIANTS)
def case(request):
    """(build function, model, inputs, outputs as a list of arrays)."""

    def build():
        return build_transformer_model(CONFIG, bert_tensors(), **request.param)

    model, x = build(), inputs()
    if "with_attention_mask" in request.param:
        x += [np.tile(np.arange(7, dtype="int32"), (2, 1)), (x[0] != 0).astype("int32")]
    if request.param.get("segment_vocab_size") == 0:
        x = x[0]
    return build, model, x, arrays(model(x))


def arrays(outputs):
    outputs = outputs if isinstance(outputs, (list, tuple)) else [outputs]
    return [np.asarray(tf.cast(x, tf.float32)) for x in outputs]


def assert_equal(outputs, expected, atol=0.0):
    for ours, theirs in zip(arrays(outputs), expected):
        np.testing.assert_allclose(ours, theirs, atol=atol, rtol=0)


def test_keras_file(case, tmp_path):
    _, model, x, expected = case
    model.save(tmp_path / "model.keras")
    assert_equal(keras.models.load_model(tmp_path / "model.keras")(x), expected)


def test_weights_file(case, tmp_path):
    build, model, x, expected = case
    model.save_weights(tmp_path / "model.weights.h5")
    other = build()
    other.set_weights([np.zeros_like(w) for w in other.get_weights()])
    other.load_weights(tmp_path / "model.weights.h5")
    assert_equal(other(x), expected)


def test_clone(case):
    _, model, x, expected = case
    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    assert_equal(clone(x), expected)


@pytest.mark.slow
def test_predict(case):
    _, model, x, expected = case
    # 0.02: bfloat16 rounds differently where the graph is fused.
    assert_equal(model.predict(x, verbose=0), expected, 2e-5 if _float32(model) else 0.1)


@pytest.mark.slow
def test_xla(case):
    _, model, x, expected = case
    x = [tf.constant(value) for value in x] if isinstance(x, list) else tf.constant(x)
    compiled = tf.function(lambda x: model(x), jit_compile=True)
    assert_equal(compiled(x), expected, 2e-5 if _float32(model) else 0.1)


@pytest.mark.slow
def test_saved_model(case, tmp_path):
    _, model, x, expected = case
    x = [tf.constant(value) for value in x] if isinstance(x, list) else tf.constant(x)
    if IS_KERAS3:
        model.export(tmp_path / "saved", verbose=False)
    else:
        model.save(tmp_path / "saved", save_format="tf")
    loaded = tf.saved_model.load(tmp_path / "saved")
    assert_equal(
        (loaded.serve if IS_KERAS3 else loaded)(x), expected, 2e-5 if _float32(model) else 0.1
    )


def _float32(model):
    return model.get_layer("Embedding-Norm").compute_dtype == "float32"


def test_summary_and_plot(tmp_path):
    model = build_transformer_model(CONFIG)
    lines = []
    model.summary(line_length=160, print_fn=lambda line, **_: lines.append(line))
    assert "Transformer-1-FeedForward-Norm" in "\n".join(lines)
    pytest.importorskip("pydot", reason="plot_model needs pydot")
    keras.utils.plot_model(model, tmp_path / "model.png")


@pytest.mark.slow
def test_keras_file_in_a_new_process(tmp_path):
    """Importing the package is all that loading needs."""
    model = build_transformer_model(CONFIG, bert_tensors(), with_mlm=True)
    model.save(tmp_path / "model.keras")
    np.save(tmp_path / "expected.npy", np.asarray(model(inputs())))
    script = (
        "import sys, numpy as np, kerasbert\n"
        "from kerasbert.backend import keras\n"
        "from tests.tiny import inputs\n"
        "model = keras.models.load_model(sys.argv[1] + '/model.keras')\n"
        "expected = np.load(sys.argv[1] + '/expected.npy')\n"
        "np.testing.assert_array_equal(np.asarray(model(inputs())), expected)\n"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True)


def test_keras_mask_reaches_the_layers_after_the_model():
    """Pooling, recurrent and CRF layers behind the encoder skip padding."""
    model = build_transformer_model(CONFIG, bert_tensors())
    pooled = keras.Model(model.inputs, keras.layers.GlobalAveragePooling1D()(model.output))
    token_ids, segment_ids = inputs()
    hidden = np.asarray(model([token_ids, segment_ids]))
    real = (token_ids != 0)[..., None]
    np.testing.assert_allclose(
        np.asarray(pooled([token_ids, segment_ids])),
        (hidden * real).sum(1) / real.sum(1),
        atol=1e-5,
    )
