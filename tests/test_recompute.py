"""Gradient checkpointing: the same numbers for less memory."""

from __future__ import annotations

import numpy as np
import pytest

from kerasbert import build_transformer_model
from kerasbert.backend import IS_KERAS3, keras, tf
from kerasbert.layers import FeedForward, MultiHeadSelfAttention, recompute

TINY = {
    "vocab_size": 30, "hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2,
    "intermediate_size": 24, "max_position_embeddings": 16, "with_pool": True,
}  # fmt: skip


def plain(layer, inputs, seed):
    """The layer's result without checkpointing, with the dropout masks that a seed gives."""
    with recompute.seeded(seed):
        if isinstance(layer, FeedForward):
            return layer._transform(inputs, training=True)
        return layer._attend(inputs, None, None, None, training=True)


@pytest.mark.parametrize("jit_compile", [None, False, True], ids=["eager", "graph", "xla"])
@pytest.mark.parametrize(
    "layer",
    [
        lambda: MultiHeadSelfAttention(2, 4, 8, dropout=0.5, recompute=True),
        lambda: FeedForward(12, 8, "gelu_erf", recompute=True),
    ],
    ids=["attention", "feed_forward"],
)
def test_gradients_are_those_of_the_plain_layer_with_the_same_dropout(
    layer, jit_compile, monkeypatch
):
    layer = layer()
    inputs = tf.random.stateless_normal([2, 5, 8], [1, 2])
    layer(inputs)
    seed = tf.constant([5, 6])
    monkeypatch.setattr(recompute, "draw_seed", lambda: seed)  # what checkpointed draws
    sources = [inputs, *(v.value if IS_KERAS3 else v for v in layer.trainable_variables)]

    def gradients():
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(inputs)
            expected = tf.reduce_sum(plain(layer, inputs, seed) ** 2)
            found = tf.reduce_sum(layer(inputs, training=True) ** 2)
        return expected, found, tape.gradient(expected, sources), tape.gradient(found, sources)

    if jit_compile is not None:
        gradients = tf.function(gradients, jit_compile=jit_compile)
    expected, found, theirs, ours = gradients()
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    for a, b in zip(ours, theirs):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def fitted(dtype="float32", **options):
    keras.utils.set_random_seed(3)
    model = build_transformer_model(
        **TINY, dtype=dtype, dropout_rate=0.0, attention_dropout_rate=0.0, **options
    )
    rng = np.random.default_rng(0)
    ids = rng.integers(1, 30, (4, 9))
    model.compile(keras.optimizers.SGD(0.1), "mse")
    model.fit([ids, ids * 0], rng.standard_normal((4, 16)).astype("f"), epochs=3, verbose=0)
    return model.get_weights()


@pytest.mark.slow
def test_training_gives_the_same_weights():
    for ours, theirs in zip(fitted(recompute=True), fitted()):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


@pytest.mark.slow
def test_attention_scores_that_are_handed_on_keep_their_gradients():
    options = {"residual_attention_scores": True}
    for ours, theirs in zip(fitted(recompute=True, **options), fitted(**options)):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_it_runs_in_bfloat16():
    assert all(np.isfinite(w).all() for w in fitted("mixed_bfloat16", recompute=True))


def test_the_choice_is_saved(tmp_path):
    model = build_transformer_model(**TINY, recompute=True)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    for name in ("Transformer-0-MultiHeadSelfAttention", "Transformer-2-FeedForward"):
        assert again.get_layer(name).recompute is True
