"""Relative and rotary positions: NEZHA, RoFormer, RoFormer v2, and the layers they are made of."""

from __future__ import annotations

import json

import numpy as np
import pytest

from kerasbert import build_transformer_model, layers, save_weights_as_checkpoint
from kerasbert.backend import keras, tf
from kerasbert.checkpoints.report import CheckpointMismatchError
from kerasbert.config import ConfigError
from kerasbert.layers.rotary import rotate
from kerasbert.layers.sinusoidal import sinusoids
from kerasbert.models.nezha import NEZHAConfig
from kerasbert.models.registry import recognize
from kerasbert.models.roformer import RoFormerConfig, RoFormerV2Config
from tests.families import nezha, roformer
from tests.tiny import CONFIG, bert_tensors, inputs

VECTORS = np.random.default_rng(0).standard_normal((2, 7, 8)).astype("f")
IDS = np.tile(np.arange(7), (2, 1))


def angles(positions, size: int) -> np.ndarray:
    """The angle of each pair of numbers, in float64."""
    return np.asarray(positions)[..., None] * 10000.0 ** (-2 * np.arange(size // 2) / size)


def table(positions, size: int) -> np.ndarray:
    """Sine and cosine in turn, in float64."""
    turned = angles(positions, size)
    return np.stack([np.sin(turned), np.cos(turned)], -1).reshape(*turned.shape[:-1], size)


def without(tensors: dict, *parts: str) -> dict:
    return {name: x for name, x in tensors.items() if not any(part in name for part in parts)}


NEZHA_TENSORS = without(bert_tensors(), "position_embeddings")
ROFORMER_TENSORS = without(NEZHA_TENSORS, "cls/seq_relationship")
V2_TENSORS = without(ROFORMER_TENSORS, "/bias", "LayerNorm", "cls/", "pooler")
RELATIVE = {**CONFIG, "use_relative_position": True}


# ---- layers -------------------------------------------------------------------------------------


def test_sinusoids_by_definition():
    positions = np.array([[0, 1, 511], [3, 70000, 12]])
    np.testing.assert_allclose(np.asarray(sinusoids(positions, 6)), table(positions, 6), atol=5e-3)
    near = np.arange(512)
    np.testing.assert_allclose(np.asarray(sinusoids(near, 64)), table(near, 64), atol=5e-5)


@pytest.mark.parametrize("size", [0, 1, 7])
@pytest.mark.parametrize(
    "layer_class", [layers.SinusoidalPositionEmbedding, layers.RelativePositionEmbedding]
)
def test_odd_sizes_are_refused(layer_class, size):
    with pytest.raises(ValueError, match=f"even and at least 2. Received: {size}"):
        layer_class(size)


@pytest.mark.parametrize("mode", ["add", "mul", "concat", "zero"])
@pytest.mark.parametrize("custom", [False, True])
def test_sinusoidal_embedding_by_definition(mode, custom):
    positions = IDS + [[2], [5]] if custom else IDS[:1]
    layer = layers.SinusoidalPositionEmbedding(8, mode, custom_position_ids=custom)
    vectors = table(positions, 8)
    expected = {
        "add": VECTORS + vectors,
        "mul": VECTORS * (1 + vectors),
        "concat": np.concatenate([VECTORS, np.broadcast_to(vectors, VECTORS.shape)], -1),
        "zero": vectors,
    }[mode]
    given = [VECTORS, positions] if custom else VECTORS
    np.testing.assert_allclose(np.asarray(layer(given)), expected, atol=1e-5)
    symbols = [keras.Input((7, 8)), keras.Input((7,), dtype="int32")]
    symbolic = layer(symbols if custom else symbols[0])
    assert tuple(symbolic.shape)[1:] == expected.shape[1:]
    again = type(layer).from_config(layer.get_config())
    assert again.get_config() == layer.get_config()


def test_sinusoidal_modes_are_checked():
    with pytest.raises(ValueError, match="merge_mode must be one of add, mul, concat, zero"):
        layers.SinusoidalPositionEmbedding(8, "sum")


def test_relative_table_by_definition():
    result = np.asarray(layers.RelativePositionEmbedding(6, max_distance=3)(VECTORS))
    distance = np.clip(np.arange(7)[None] - np.arange(7)[:, None], -3, 3)
    np.testing.assert_allclose(result, table(distance + 3, 6), atol=1e-6)
    np.testing.assert_array_equal(result[0, 3], result[0, 6])
    assert np.abs(result[0, 3] - result[3, 0]).max() > 0.1


def projected(dense, x, heads: int) -> np.ndarray:
    x = x @ np.asarray(dense.kernel) + np.asarray(dense.bias)
    return x.reshape(*x.shape[:2], heads, -1).transpose(0, 2, 1, 3)


def attended(layer, scores, values) -> np.ndarray:
    """The layer's output for scores and values of every pair, (batch, heads, i, j, size)."""
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    context = (weights[..., None] * values).sum(-2).transpose(0, 2, 1, 3)
    flat = context.reshape(*context.shape[:2], -1)
    return flat @ np.asarray(layer.output_dense.kernel) + np.asarray(layer.output_dense.bias)


def test_relative_attention_by_definition():
    """Vectors of distances are added to each pair's key and value."""
    layer = layers.RelativeSelfAttention(num_heads=2, head_size=4, output_size=8, stddev=0.5)
    positions = layers.RelativePositionEmbedding(4, max_distance=2)(VECTORS)
    result = np.asarray(layer(VECTORS, positions=positions))
    query, key, value = (projected(x, VECTORS, 2) for x in (layer.query, layer.key, layer.value))
    vectors = np.asarray(positions)[None, None]
    keys, values = key[:, :, None] + vectors, value[:, :, None] + vectors
    scores = (query[:, :, :, None] * keys).sum(-1) / np.sqrt(4)
    np.testing.assert_allclose(result, attended(layer, scores, values), atol=1e-5)


def test_relative_attention_says_what_it_needs():
    layer = layers.RelativeSelfAttention(num_heads=2, head_size=4, output_size=8)
    with pytest.raises(ValueError, match=r"needs positions=.*RelativePositionEmbedding"):
        layer(VECTORS)
    with pytest.raises(ValueError, match=r"must be equal.* 6 and 4$"):
        layers.RelativeSelfAttention(num_heads=2, head_size=4, key_size=6, output_size=8)


def turned(x, positions) -> np.ndarray:
    """Each pair of neighbours as a complex number, times the unit vector of its angle."""
    pairs = (x[..., 0::2] + 1j * x[..., 1::2]) * np.exp(1j * angles(positions, x.shape[-1]))
    return np.stack([pairs.real, pairs.imag], -1).reshape(x.shape)


@pytest.mark.parametrize("rotate_values", [False, True])
def test_rotary_attention_by_definition(rotate_values):
    layer = layers.RotarySelfAttention(
        num_heads=2, head_size=4, output_size=8, stddev=0.5, rotate_values=rotate_values
    )
    result = np.asarray(layer(VECTORS))
    query, key, value = (projected(x, VECTORS, 2) for x in (layer.query, layer.key, layer.value))
    value = turned(value, np.arange(7)) if rotate_values else value
    query, key = turned(query, np.arange(7)), turned(key, np.arange(7))
    scores = np.einsum("bhid,bhjd->bhij", query, key) / np.sqrt(4)
    np.testing.assert_allclose(result, attended(layer, scores, value[:, :, None]), atol=1e-5)
    positions = sinusoids(np.arange(7)[None], 4)
    np.testing.assert_array_equal(np.asarray(layer(VECTORS, positions=positions)), result)


def test_rotation_keeps_lengths_and_is_rounded_once_in_half_precision():
    x = np.random.default_rng(1).standard_normal((2, 3, 7, 8)).astype("f")
    positions = sinusoids(np.arange(1000, 1007)[None], 8)
    result = np.asarray(rotate(tf.constant(x), positions))
    np.testing.assert_allclose((result**2).sum(-1), (x**2).sum(-1), rtol=1e-5)
    half = tf.cast(x, tf.bfloat16)
    exact = rotate(tf.cast(half, tf.float32), positions)
    result = rotate(half, positions)
    np.testing.assert_array_equal(
        np.asarray(tf.cast(result, "float32")),
        np.asarray(tf.cast(tf.cast(exact, tf.bfloat16), "float32")),
    )


@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "mixed_float16"])
def test_sine_and_cosine_stay_in_single_precision(dtype):
    seen = []

    class Recorder(layers.RotarySelfAttention):
        def project(self, inputs, positions=None):
            seen.append(positions.dtype)
            return super().project(inputs, positions)

    positions = layers.SinusoidalPositionEmbedding(4, "zero", dtype="float32")(VECTORS)
    result = Recorder(2, 4, 8, dtype=dtype)(VECTORS, positions=positions)
    assert seen == [tf.float32] and result.dtype == tf.as_dtype(dtype[len("mixed_") :])


def test_rotary_sizes_are_checked():
    with pytest.raises(ValueError, match=r"must be equal.* 6 and 4$"):
        layers.RotarySelfAttention(2, 4, 8, key_size=6, rotate_values=True)


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("name", ["rotary", "relative"])
def test_attention_layers_agree_symbolically_and_round_trip(name, dtype):
    if name == "rotary":
        layer = layers.RotarySelfAttention(2, 4, 6, rotate_values=True, dtype=dtype)
        positions = layers.SinusoidalPositionEmbedding(4, "zero", dtype="float32")
    else:
        layer = layers.RelativeSelfAttention(2, 4, 6, dtype=dtype)
        positions = layers.RelativePositionEmbedding(4, dtype=dtype)
    symbol = keras.Input((None, 8))
    symbolic = layer(symbol, positions=positions(symbol))
    real = layer(VECTORS, positions=positions(VECTORS))
    assert symbolic.shape[-1] == real.shape[-1] == 6
    assert tf.as_dtype(symbolic.dtype) == real.dtype
    for part in (layer, positions):
        again = type(part).from_config(part.get_config())
        assert again.get_config() == part.get_config()


# ---- models -------------------------------------------------------------------------------------

LAYER_NAMES = [
    case for case in [*nezha.golden_cases(), *roformer.golden_cases()]
    if case.kind in ("b4k", "bert4keras")
]  # fmt: skip


@pytest.mark.parametrize("case", LAYER_NAMES, ids=str)
def test_layers_have_bert4keras_names(case):
    record = json.loads(case.record.read_text())
    named = set(record.get("layers") or record["keras_layer_names"])
    options = dict(record["build_kwargs"])
    options.setdefault("model", record.get("model"))
    options["num_hidden_layers"] = sum(name.endswith("-FeedForward") for name in named)
    names = {layer.name for layer in build_transformer_model(CONFIG, **options).layers}
    assert not named - names
    # Masks are a layer here; with dropout rates of 0 bert4keras has no dropout layers.
    others = {name for name in names - named if not name.endswith("-Dropout")}
    assert all(name == "Attention-Mask" or name.startswith("padding_mask") for name in others)


@pytest.mark.parametrize(
    ("model", "layer"),
    [
        ("nezha", "Embedding-Relative-Position"),
        ("roformer", "Embedding-Rotary-Position"),
        ("roformer_v2", "Embedding-Rotary-Position"),
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_positions_are_computed_once_and_have_no_weights(model, layer, dtype):
    built = build_transformer_model(CONFIG, model=model, dtype=dtype)
    positions = built.get_layer(layer)
    assert not positions.weights
    assert len(positions._inbound_nodes) == 1
    assert "Embedding-Position" not in [x.name for x in built.layers]
    if model != "nezha":
        assert tf.as_dtype(positions.output.dtype) == tf.float32


@pytest.mark.smoke
@pytest.mark.parametrize("model", ["nezha", "roformer", "roformer_v2"])
def test_no_text_is_too_long(model):
    built = build_transformer_model(CONFIG, model=model)
    ids = np.random.default_rng(0).integers(1, 50, (1, 5 * CONFIG["max_position_embeddings"]))
    assert np.isfinite(np.asarray(built([ids, 0 * ids]))).all()


@pytest.mark.parametrize("model", ["nezha", "roformer", "roformer_v2"])
def test_the_order_of_tokens_matters(model):
    built = build_transformer_model({**CONFIG, "initializer_range": 0.5}, model=model)
    ids = np.array([[5, 6, 7, 8, 9]])
    first, second = (np.asarray(built([x, 0 * x])) for x in (ids, ids[:, [0, 2, 1, 3, 4]]))
    assert np.abs(first[:, [0, 2, 1, 3, 4]] - second).max() > 1e-3


@pytest.mark.parametrize(("dtype", "atol"), [("float32", 2e-4), ("mixed_bfloat16", 0.06)])
@pytest.mark.parametrize("model", ["roformer", "roformer_v2"])
def test_own_positions_count_by_their_distances(model, dtype, atol):
    """Far from 0 as well, where half precision knows no single steps."""
    config = {**CONFIG, "initializer_range": 0.3}
    built = build_transformer_model(config, model=model, custom_position_ids=True, dtype=dtype)
    tokens, segments = inputs()
    outputs = [
        np.asarray(tf.cast(built([tokens, segments, positions]), "float32"))
        for positions in (IDS, IDS + 4096, IDS * 3)
    ]
    np.testing.assert_allclose(outputs[1], outputs[0], atol=atol)
    assert np.abs(outputs[2] - outputs[0]).max() > 3 * atol


@pytest.mark.parametrize("model", ["nezha", "roformer", "roformer_v2"])
@pytest.mark.parametrize("application", ["lm", "unilm"])
def test_applications_hide_what_comes_later(model, application):
    config = {**CONFIG, "initializer_range": 0.3}
    built = build_transformer_model(config, model=model, application=application, with_mlm="linear")
    tokens, segments = np.array([[4, 5, 6, 7, 8, 9]]), np.array([[0, 0, 0, 1, 1, 1]])
    expected = np.asarray(built([tokens, segments]))
    changed = tokens.copy()
    changed[0, 4] = 20
    difference = np.abs(np.asarray(built([changed, segments])) - expected).max(-1)[0]
    assert difference[:4].max() < 1e-5 and difference[4:].min() > 1e-3


# ---- NEZHA --------------------------------------------------------------------------------------


def test_nezha_is_told_by_its_json_and_its_names(tmp_path):
    assert build_transformer_model(RELATIVE, NEZHA_TENSORS).name == "nezha"
    transformer = build_transformer_model(
        {**CONFIG, "num_hidden_layers": 2}, NEZHA_TENSORS, with_nsp=True, with_mlm=True,
        return_keras_model=False,
    )  # fmt: skip
    assert transformer.family == "nezha" and transformer.config.use_relative_position
    # 16 of each block, 4 embeddings, 2 pooler, 5 MLM, 2 NSP: 205 with 12 blocks.
    assert len(transformer.model.weights) == 16 * 2 + 13


def test_nezha_with_a_position_table_is_berts_graph():
    tensors = bert_tensors()
    built = build_transformer_model(CONFIG, tensors, model="nezha")
    assert type(built.get_layer("Transformer-0-MultiHeadSelfAttention")).__name__ == (
        "MultiHeadSelfAttention"
    )
    as_bert = build_transformer_model(CONFIG, tensors, model="bert", hidden_act="gelu_tanh")
    given, expected = np.asarray(built(inputs())), np.asarray(as_bert(inputs()))
    np.testing.assert_array_equal(given, expected)


@pytest.mark.parametrize(
    ("config", "tensors", "says"),
    [
        (RELATIVE, bert_tensors(), "has a position table.*pass use_relative_position=False"),
        (
            {**CONFIG, "use_relative_position": False},
            NEZHA_TENSORS,
            "has no position table.*pass use_relative_position=True",
        ),
    ],
)
def test_a_json_that_lies_about_positions_is_doubted(config, tensors, says):
    with pytest.raises(CheckpointMismatchError, match=says):
        build_transformer_model(config, tensors, model="nezha")
    truth = not config["use_relative_position"]
    build_transformer_model(config, tensors, model="nezha", use_relative_position=truth)


def test_nezha_saves_what_tells_it_from_others(tmp_path):
    built = build_transformer_model(RELATIVE, NEZHA_TENSORS, max_relative_position=2)
    path = save_weights_as_checkpoint(built, tmp_path / "model.ckpt")
    written = json.loads((tmp_path / "bert_config.json").read_text())
    assert written["use_relative_position"] is True and written["max_relative_position"] == 2
    assert written["hidden_act"] == "gelu"
    again = build_transformer_model(checkpoint=path)
    assert again.name == "nezha"
    np.testing.assert_array_equal(np.asarray(again(inputs())), np.asarray(built(inputs())))


@pytest.mark.parametrize("option", ["custom_position_ids", "hierarchical_position"])
def test_nezha_refuses_options_of_position_tables(option):
    with pytest.raises(ValueError, match=f"{option} is for models with a position table"):
        build_transformer_model(RELATIVE, model="nezha", **{option: True})
    build_transformer_model(RELATIVE, model="nezha", use_relative_position=False, **{option: True})


def test_nezha_configurations_are_checked():
    with pytest.raises(ConfigError, match="use_relative_position must be true or false"):
        NEZHAConfig.from_dict({**CONFIG, "use_relative_position": "yes"})
    with pytest.raises(ConfigError, match="max_relative_position must be an integer"):
        NEZHAConfig.from_dict({**CONFIG, "max_relative_position": 0})
    config = NEZHAConfig.from_dict({**RELATIVE, "max_relative_position": 9})
    assert NEZHAConfig.from_dict(config.to_dict()) == config


@pytest.mark.parametrize(
    ("values", "form"),
    [
        ({}, "gelu_tanh"),
        ({"model_type": "nezha"}, "gelu_erf"),
        ({"model_type": "nezha", "hidden_act": "gelu_new"}, "gelu_tanh"),
    ],
)
def test_what_gelu_means_depends_on_who_wrote_the_json(values, form):
    built = build_transformer_model({**RELATIVE, **values}, model="nezha")
    assert built.get_layer("Transformer-0-FeedForward").activation == form


# ---- RoFormer -----------------------------------------------------------------------------------


def test_roformer_is_told_by_its_names():
    built = build_transformer_model(CONFIG, ROFORMER_TENSORS, with_pool="linear", with_mlm=True)
    assert built.name == "roformer"
    assert built.get_layer("Transformer-0-FeedForward").activation == "gelu_erf"


def test_roformer_refuses_hierarchical_positions():
    with pytest.raises(ValueError, match="hierarchical_position extends a table"):
        build_transformer_model(CONFIG, model="roformer", hierarchical_position=True)


def test_rotated_values_are_saved(tmp_path):
    built = build_transformer_model(CONFIG, model="roformer", rotary_value=True)
    save_weights_as_checkpoint(built, tmp_path / "model.ckpt")
    assert json.loads((tmp_path / "bert_config.json").read_text())["rotary_value"] is True
    assert RoFormerConfig.from_dict({**CONFIG, "rotary_value": True}).rotary_value


def test_roformer_v2_is_told_by_the_biases_that_it_lacks(tmp_path):
    config = without(CONFIG, "max_position_embeddings", "initializer_range")
    built = build_transformer_model(config, V2_TENSORS, with_mlm="linear")
    assert built.name == "roformer_v2"
    assert len(built.weights) == len(V2_TENSORS) == 2 + 6 * 2
    assert built.get_layer("Embedding-Norm").epsilon == RoFormerV2Config.layer_norm_eps == 1e-7
    path = save_weights_as_checkpoint(built, tmp_path / "model.ckpt")
    again = build_transformer_model(checkpoint=path, with_mlm="linear")
    np.testing.assert_array_equal(np.asarray(again(inputs())), np.asarray(built(inputs())))


def test_roformer_v2_scores_by_the_token_table_alone():
    transformer = build_transformer_model(
        CONFIG, V2_TENSORS, with_mlm="linear", return_keras_model=False
    )
    last = transformer.layers[f"Transformer-{CONFIG['num_hidden_layers'] - 1}-FeedForward-Norm"]
    hidden = np.asarray(keras.Model(transformer.model.inputs, last.output)(inputs()))
    np.testing.assert_allclose((hidden**2).mean(-1), np.ones(hidden.shape[:2]), atol=1e-3)
    scores = hidden @ V2_TENSORS["bert/embeddings/word_embeddings"].T
    np.testing.assert_allclose(np.asarray(transformer.model(inputs())), scores, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"with_pool": True}, "without a pooler"),
        ({"with_nsp": True}, "without a next sentence head"),
        ({"layer_norm_cond": keras.Input((3,))}, "has neither"),
    ],
)
def test_roformer_v2_refuses_what_it_has_no_weights_for(options, says):
    with pytest.raises(ValueError, match=says):
        build_transformer_model(CONFIG, model="roformer_v2", **options)


# ---- which family -------------------------------------------------------------------------------

HF_BLOCK = "encoder.layer.0.attention.self.query.weight"


@pytest.mark.parametrize(
    ("names", "config", "family"),
    [
        (bert_tensors(), {}, "bert"),
        (bert_tensors(), {"use_relative_position": False}, "bert"),
        (NEZHA_TENSORS, {}, "nezha"),
        (ROFORMER_TENSORS, {"use_relative_position": True}, "nezha"),
        (ROFORMER_TENSORS, {}, "roformer"),
        (V2_TENSORS, {}, "roformer_v2"),
        ([f"nezha.{HF_BLOCK}"], {}, "nezha"),
        ([HF_BLOCK, "embeddings.word_embeddings.weight"], {"model_type": "nezha"}, "nezha"),
        ([f"roformer.{HF_BLOCK}"], {}, "roformer"),
        ([HF_BLOCK, "encoder.embed_positions.weight"], {}, "roformer"),
        ([], {"use_relative_position": True}, "nezha"),
        ([], {"model_type": "roformer"}, "roformer"),
        ([], {"model_type": "roformer_v2"}, "roformer_v2"),
    ],
)
def test_families_are_recognized(names, config, family):
    assert recognize(names, config) == family


@pytest.mark.parametrize(
    ("tensors", "model", "right"),
    [
        (NEZHA_TENSORS, "bert", "nezha"),
        (ROFORMER_TENSORS, "bert", "roformer"),
        (V2_TENSORS, "roformer", "roformer_v2"),
        (ROFORMER_TENSORS, "roformer_v2", "roformer"),
        (bert_tensors(), "roformer", "bert"),
    ],
)
def test_another_family_is_named_in_the_error(tensors, model, right):
    with pytest.raises(CheckpointMismatchError, match=f"try model='{right}'"):
        build_transformer_model(CONFIG, tensors, model=model)
