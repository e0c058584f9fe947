"""Models train: every variable moves, in every precision, with `fit`."""

from __future__ import annotations

import numpy as np
import pytest

from kerasbert import build_transformer_model
from kerasbert.backend import keras, tf, variable_path
from kerasbert.optimizers import AdamW
from tests.tiny import CONFIG, bert_tensors, inputs


def classifier(**options):
    body = build_transformer_model(CONFIG, bert_tensors(), with_pool=True, **options)
    logits = keras.layers.Dense(2, dtype="float32", name="Label")(body.output)
    return keras.Model(body.inputs, logits)


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16", "mixed_float16", "bfloat16"])
@pytest.mark.parametrize("jit_compile", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.slow
def test_one_step_changes_every_variable(dtype, jit_compile):
    model = classifier(dtype=dtype)
    # Adam's second decay, 0.999, is 1 in bfloat16: weights kept in it are trained by other means.
    optimizer = keras.optimizers.SGD(1.0) if dtype == "bfloat16" else keras.optimizers.Adam(1e-2)
    optimizer.build(model.trainable_variables)  # or the step is traced twice
    model.compile(
        optimizer,
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=jit_compile,
    )
    before = [np.asarray(tf.cast(w, tf.float32)) for w in model.trainable_weights]
    history = model.fit(inputs(batch=8), np.arange(8) % 2, batch_size=8, verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    for weight, old in zip(model.trainable_weights, before):
        path = variable_path(weight)
        if path.endswith("key/bias") or "key/bias" in path:
            continue  # softmax does not see it: its gradient is zero up to rounding
        assert np.abs(np.asarray(tf.cast(weight, tf.float32)) - old).max() > 0, path


def test_mixed_precision_keeps_float32_where_it_matters():
    model = build_transformer_model(
        CONFIG, bert_tensors(), with_nsp=True, with_mlm=True, dtype="mixed_bfloat16"
    )
    nsp, mlm = model(inputs())
    assert (nsp.dtype, mlm.dtype) == (tf.float32, tf.float32)
    assert model.get_layer("Transformer-0-FeedForward").compute_dtype == "bfloat16"
    assert all(tf.as_dtype(w.dtype) == tf.float32 for w in model.trainable_weights)


def test_float32_statistics_of_normalisation():
    """A large common offset: bfloat16 statistics would lose the differences altogether."""
    layer = build_transformer_model(CONFIG, dtype="mixed_bfloat16").get_layer("Embedding-Norm")
    x = tf.constant([[1000.0, 1004.0] * 8])
    np.testing.assert_allclose(np.asarray(tf.cast(layer(x), tf.float32))[0, :2], [-1, 1], atol=1e-2)


def test_global_policy_is_honoured():
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        assert build_transformer_model(CONFIG).output.dtype == "bfloat16"
    finally:
        keras.mixed_precision.set_global_policy("float32")


def test_dropout_is_active_in_training_only():
    model = build_transformer_model(CONFIG, bert_tensors())
    a, b = (np.asarray(model(inputs(), training=True)) for _ in range(2))
    assert np.abs(a - b).max() > 1e-3
    c, d = (np.asarray(model(inputs())) for _ in range(2))
    np.testing.assert_array_equal(c, d)


@pytest.mark.slow
def test_a_model_learns():
    """Whether token 7 is in the text."""
    rng = np.random.default_rng(0)
    token_ids = rng.integers(8, 50, (256, 6))
    labels = rng.integers(0, 2, 256)
    token_ids[labels == 1, 3] = 7
    body = build_transformer_model(CONFIG, with_pool=True)
    model = keras.Model(body.inputs, keras.layers.Dense(2, dtype="float32")(body.output))
    model.compile(
        AdamW(1e-2),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    model.fit([token_ids, token_ids * 0], labels, epochs=12, batch_size=32, verbose=0)
    assert model.evaluate([token_ids, token_ids * 0], labels, verbose=0)[1] > 0.95


@pytest.mark.slow
def test_unilm_trains_with_the_tied_table():
    model = build_transformer_model(CONFIG, bert_tensors(), model="unilm", with_mlm="linear")
    model.compile(AdamW(1e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    x = inputs(batch=4)
    losses = model.fit(x, x[0], epochs=5, verbose=0).history["loss"]
    assert losses[-1] < losses[0]


@pytest.mark.slow
def test_frozen_body_stays():
    body = build_transformer_model(CONFIG, bert_tensors(), with_pool=True)
    body.trainable = False
    model = keras.Model(body.inputs, keras.layers.Dense(2)(body.output))
    model.compile("adam", "mse")
    before = body.get_weights()
    model.fit(inputs(), np.ones((2, 2)), verbose=0)
    for new, old in zip(body.get_weights(), before):
        np.testing.assert_array_equal(new, old)
