"""The layers on their own: shapes, numbers, configs."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest

from kerasbert import layers
from kerasbert.backend import keras, tf
from kerasbert.layers import activations, skip_initialization

VECTORS = np.random.default_rng(0).standard_normal((2, 5, 8)).astype("f")
IDS = np.array([[3, 4, 5, 0, 0], [6, 7, 8, 9, 1]])

LAYERS = [
    (layers.Dense, {"units": 6, "activation": "gelu_erf"}, VECTORS),
    (layers.Dense, {"units": 6, "use_bias": False}, VECTORS[:, 0]),
    (layers.Embedding, {"input_dim": 11, "output_dim": 8, "mask_value": 0}, IDS),
    (layers.PositionEmbedding, {"input_dim": 7, "output_dim": 8}, VECTORS),
    (layers.PositionEmbedding, {"input_dim": 3, "output_dim": 8, "hierarchical": 0.3}, VECTORS),
    (layers.LayerNormalization, {"epsilon": 1e-5}, VECTORS),
    (layers.MultiHeadSelfAttention, {"num_heads": 2, "head_size": 4, "output_size": 8}, VECTORS),
    (
        layers.MultiHeadSelfAttention,
        {"num_heads": 2, "head_size": 3, "key_size": 5, "output_size": 6, "residual_scores": True},
        VECTORS,
    ),
    (layers.FeedForward, {"intermediate_size": 9, "output_size": 6, "activation": "relu"}, VECTORS),
    (layers.FirstToken, {}, VECTORS),
    (layers.Bias, {}, VECTORS),
    (layers.Activation, {"activation": "softmax"}, VECTORS),
    (layers.AttentionMask, {"pattern": "lm", "pad_token_id": 1}, IDS),
]


@pytest.mark.parametrize(("layer_class", "settings", "x"), LAYERS)
@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_symbolic_and_real_outputs_agree(layer_class, settings, x, dtype):
    layer = layer_class(**settings, dtype=dtype)
    symbol = keras.Input(x.shape[1:], dtype="int32" if x is IDS else "float32")
    symbolic, real = layer(symbol), layer(x)
    pairs = zip(symbolic, real) if isinstance(real, (tuple, list)) else [(symbolic, real)]
    for expected, value in pairs:
        assert tuple(expected.shape)[1:] == tuple(value.shape)[1:]
        assert tf.as_dtype(expected.dtype) == value.dtype


@pytest.mark.parametrize(("layer_class", "settings", "x"), LAYERS)
def test_configs_round_trip(layer_class, settings, x):
    layer = layer_class(**settings, name="Some-Layer")
    again = layer_class.from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    for name, value in settings.items():
        kept = getattr(again, name, None)
        assert kept == value or name == "activation"
    again(x)
    layer(x)
    again.set_weights(layer.get_weights())
    for a, b in zip(tf.nest.flatten(layer(x)), tf.nest.flatten(again(x))):
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


def test_gelu_forms_by_definition():
    from math import erf, pi, sqrt, tanh

    x = np.linspace(-4, 4, 41).astype("f")
    exact = [v * 0.5 * (1 + erf(v / sqrt(2))) for v in x]
    approximate = [v * 0.5 * (1 + tanh(sqrt(2 / pi) * (v + 0.044715 * v**3))) for v in x]
    np.testing.assert_allclose(activations.gelu_erf(x), exact, atol=1e-6)
    np.testing.assert_allclose(activations.gelu_tanh(x), approximate, atol=1e-6)


def test_attention_by_definition():
    layer = layers.MultiHeadSelfAttention(num_heads=2, head_size=4, output_size=8)
    bias = np.where(np.arange(5) < 3, 0.0, -1e9).astype("f")[None, None, None]
    result = np.asarray(layer(VECTORS, attention_bias=tf.constant(bias)))

    def project(dense, x):
        return x @ np.asarray(dense.kernel) + np.asarray(dense.bias)

    heads = []
    for head in range(2):
        part = slice(head * 4, head * 4 + 4)
        q, k, v = (project(d, VECTORS)[..., part] for d in (layer.query, layer.key, layer.value))
        scores = q @ k.transpose(0, 2, 1) / 2.0 + bias[:, 0]
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        heads.append(weights / weights.sum(-1, keepdims=True) @ v)
    expected = project(layer.output_dense, np.concatenate(heads, -1))
    np.testing.assert_allclose(result, expected, atol=1e-5)


def test_layer_normalization_by_definition():
    layer = layers.LayerNormalization(epsilon=0.5)
    mean, variance = VECTORS.mean(-1, keepdims=True), VECTORS.var(-1, keepdims=True)
    np.testing.assert_allclose(
        np.asarray(layer(VECTORS)), (VECTORS - mean) / np.sqrt(variance + 0.5), atol=1e-6
    )


def test_hierarchical_positions_by_definition():
    layer = layers.PositionEmbedding(input_dim=3, output_dim=8, hierarchical=True)
    zeros = np.zeros((1, 7, 8), "f")
    result = np.asarray(layer(zeros))[0]
    table = np.asarray(layer.embeddings)
    base = (table - 0.4 * table[:1]) / 0.6
    expected = [0.4 * base[p // 3] + 0.6 * base[p % 3] for p in range(7)]
    np.testing.assert_allclose(result, expected, atol=1e-6)
    np.testing.assert_allclose(result[:3], table, atol=1e-6)


def test_embedding_in_reverse_scores_every_row():
    layer = layers.Embedding(11, 8)
    layer(IDS)
    scores = np.asarray(layer(VECTORS, reverse=True))
    np.testing.assert_allclose(scores, VECTORS @ np.asarray(layer.embeddings).T, atol=1e-5)


def test_padding_mask_keeps_position_0():
    layer = layers.Embedding(11, 8, mask_value=0)
    mask = np.asarray(layer.compute_mask(tf.constant([[0, 0, 3], [4, 0, 5]])))
    assert mask.tolist() == [[True, False, True], [True, False, True]]


def test_unknown_activation():
    with pytest.raises(ValueError, match=r"Unknown activation 'gelo'.*gelu"):
        layers.FeedForward(4, 4, "gelo")


def test_kernels_differ_and_follow_the_seed():
    def kernels():
        keras.utils.set_random_seed(3)
        layer = layers.MultiHeadSelfAttention(num_heads=2, head_size=4, output_size=8)
        layer(VECTORS)
        return [np.asarray(d.kernel) for d in (layer.query, layer.key, layer.value)]

    first, second = kernels(), kernels()
    for a, b in zip(first, second):
        np.testing.assert_array_equal(a, b)
    assert np.abs(first[0] - first[1]).max() > 1e-3


def test_initialization_is_skipped_only_inside():
    with skip_initialization(), skip_initialization():
        pass
    assert np.asarray(layers.TruncatedNormal()((100, 100))).std() > 0.01
    with skip_initialization():
        assert layers.TruncatedNormal()((3, 4)).shape == (3, 4)


@pytest.mark.skipif(not hasattr(keras.layers.Dense, "enable_lora"), reason="LoRA came with Keras 3")
def test_lora_of_keras_works_on_our_projections():
    layer = layers.Dense(6)
    before = np.asarray(layer(VECTORS))
    layer.enable_lora(2)
    np.testing.assert_allclose(np.asarray(layer(VECTORS)), before, atol=1e-6)
    layer.lora_kernel_b.assign(np.ones((2, 6)))
    assert np.abs(np.asarray(layer(VECTORS)) - before).max() > 1e-4


def test_layers_have_no_statement_that_autograph_does_not_know():
    """tf-keras converts every call: it would warn, and leave a function with `:=` as it is."""
    for path in Path(layers.__file__).parent.glob("*.py"):
        nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        assert not any(isinstance(node, ast.NamedExpr) for node in nodes), path
