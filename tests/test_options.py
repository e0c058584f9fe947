"""bert4keras' structural options: conditional normalisation, gates, shared segments, its layers."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from kerasbert import build_transformer_model, layers, save_weights_as_checkpoint
from kerasbert.backend import keras, tf
from kerasbert.checkpoints.report import CheckpointMismatchError
from kerasbert.config import TransformerConfig
from kerasbert.layers import activations
from tests.tiny import CONFIG, bert_tensors, inputs, write_checkpoint

RECORDED = sorted((Path(__file__).parent / "golden" / "bert4keras_options").glob("*.npz"))
VECTORS = np.random.default_rng(0).standard_normal((2, 5, 8)).astype("f")
CONDITION = np.random.default_rng(1).standard_normal((2, 3)).astype("f")


def conditional(size: int = 3, **options) -> dict:
    """Options of a model that a vector conditions, and of nothing else."""
    condition = keras.Input((size,), name="Input-Condition")
    return {
        "layer_norm_cond": condition,
        "additional_input_layers": condition,
        "layer_norm_cond_hidden_size": 6,
        "layer_norm_cond_hidden_act": "swish",
        **options,
    }


def test_recordings_are_there():
    assert len(RECORDED) == 5


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_outputs_equal_bert4keras(path):
    """Weights are given layer by layer, in bert4keras' order, which is ours as well."""
    arrays = np.load(path)
    about = json.loads(str(arrays["about"]))
    values = [arrays[name] for name in sorted(arrays.files) if name.startswith("in.")]
    options = dict(about["build_kwargs"])
    if about["condition"]:
        condition = keras.Input((values[-1].shape[1],))
        options |= {"layer_norm_cond": condition, "additional_input_layers": [condition]}
    names = about["config"]["hidden_act"]
    erf = ["gelu_erf" if name == "gelu" else name for name in np.atleast_1d(names).tolist()]
    config = {**about["config"], "hidden_act": erf}
    transformer = build_transformer_model(config, return_keras_model=False, **options)
    given = 0
    for name, layer in transformer.layers.items():
        count = len(layer.get_weights())
        if count:
            layer.set_weights([arrays[f"weight.{name}.{i}"] for i in range(count)])
        given += count
    assert given == sum(name.startswith("weight.") for name in arrays.files)
    output = transformer.model(values)
    np.testing.assert_allclose(np.asarray(output), arrays["out.0"], atol=1e-5)


# ---- conditional layer normalisation ------------------------------------------------------------


@pytest.mark.parametrize("model", ["bert", "nezha", "roformer"])
def test_an_untrained_condition_changes_nothing(model):
    config = {**CONFIG, "hidden_dropout_prob": 0, "attention_probs_dropout_prob": 0}
    plain = build_transformer_model(config, model=model, return_keras_model=False)
    other = build_transformer_model(config, model=model, return_keras_model=False, **conditional())
    for name, layer in plain.layers.items():
        own = other.layers[name].get_weights()
        other.layers[name].set_weights([*layer.get_weights(), *own[len(layer.get_weights()) :]])
    expected = np.asarray(plain.model(inputs()))
    given = np.asarray(other.model([*inputs(), CONDITION]))
    np.testing.assert_allclose(given, expected, atol=1e-6)


def test_a_checkpoint_need_not_hold_the_projections(tmp_path):
    prefix = write_checkpoint(tmp_path)
    options = conditional(with_mlm="linear")
    transformer = build_transformer_model(checkpoint=prefix, return_keras_model=False, **options)
    norm = transformer.layers["Transformer-1-FeedForward-Norm"]
    loaded = bert_tensors()["bert/encoder/layer_1/output/LayerNorm/gamma"]
    np.testing.assert_array_equal(np.asarray(norm.gamma), loaded)
    # Filled, although a checkpoint's model skips the filling of all that the checkpoint brings.
    hidden = np.asarray(norm.condition.hidden.kernel)
    assert 0.005 < hidden.std() < 0.04 and np.abs(hidden).max() < 0.05
    assert not np.asarray(norm.condition.scale.kernel).any()
    assert not np.asarray(norm.condition.offset.kernel).any()
    plain = build_transformer_model(checkpoint=prefix, with_mlm="linear")
    given = np.asarray(transformer.model([*inputs(), CONDITION]))
    np.testing.assert_allclose(given, np.asarray(plain(inputs())), atol=1e-5)


def trained(model: keras.Model) -> keras.Model:
    """The model with random projections."""
    rng = np.random.default_rng(3)
    for layer in model.layers:
        if hasattr(layer, "condition"):
            for projection in (layer.condition.scale, layer.condition.offset):
                projection.set_weights([rng.standard_normal(projection.kernel.shape) * 0.2])
    return model


def test_projections_are_saved_and_loaded_with_the_rest(tmp_path):
    model = trained(build_transformer_model(CONFIG, **conditional()))
    path = save_weights_as_checkpoint(model, tmp_path / "bert_model.ckpt")
    again = build_transformer_model(checkpoint=path, **conditional())
    expected = np.asarray(model([*inputs(), CONDITION]))
    np.testing.assert_array_equal(np.asarray(again([*inputs(), CONDITION])), expected)
    with pytest.raises(CheckpointMismatchError, match=r"UNEXPECTED.*gamma/condition/offset/kernel"):
        build_transformer_model(checkpoint=path)


def test_a_part_of_the_projections_is_an_error(tmp_path):
    name = "bert/embeddings/LayerNorm/gamma/condition/scale/kernel"
    tensors = {**bert_tensors(), name: np.zeros((6, CONFIG["hidden_size"]), "f")}
    with pytest.raises(CheckpointMismatchError, match=r"MISSING.*condition/offset/kernel"):
        build_transformer_model(CONFIG, tensors, **conditional())


def test_conditional_models_are_saved_whole(tmp_path):
    model = trained(build_transformer_model(CONFIG, **conditional()))
    expected = np.asarray(model([*inputs(), CONDITION]))
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(np.asarray(again([*inputs(), CONDITION])), expected)


def test_a_condition_may_be_computed_from_an_input_and_be_trained(tmp_path):
    """bert4keras' conditional language model: a class is embedded, and conditions the model."""
    label = keras.Input((), dtype="int32", name="Input-Label")
    embedded = keras.layers.Embedding(2, 4)(label)
    model = build_transformer_model(
        CONFIG, layer_norm_cond=embedded, additional_input_layers=label, application="lm"
    )
    model.compile(keras.optimizers.SGD(1.0), "sparse_categorical_crossentropy")
    values = [*inputs(), np.array([0, 1])]
    target = inputs()[0]
    before = [np.array(weight) for weight in model.trainable_weights]
    # A tuple: Keras 3 reads a list of inputs as one of them.
    losses = model.fit(tuple(values), target, epochs=2, verbose=0).history["loss"]
    assert losses[1] < losses[0]
    names = [w.path if hasattr(w, "path") else w.name for w in model.trainable_weights]
    changed = [not np.array_equal(np.array(w), x) for w, x in zip(model.trainable_weights, before)]
    projections = [done for name, done in zip(names, changed) if "condition" in name]
    # Two in each of: embeddings, 2 blocks of 2, MLM head.
    assert projections == [True] * 12


def test_conditions_by_definition():
    layer = layers.ConditionalLayerNormalization(1e-5, hidden_units=4, hidden_activation="tanh")
    layer([VECTORS, CONDITION])
    rng = np.random.default_rng(2)
    values = [rng.standard_normal(weight.shape).astype("f") for weight in layer.weights]
    layer.set_weights(values)
    beta, gamma, hidden, offset, scale = values
    condition = np.tanh(CONDITION @ hidden)[:, None]
    mean, variance = VECTORS.mean(-1, keepdims=True), VECTORS.var(-1, keepdims=True)
    expected = (VECTORS - mean) / np.sqrt(variance + 1e-5) * (gamma + condition @ scale)
    expected += beta + condition @ offset
    np.testing.assert_allclose(np.asarray(layer([VECTORS, CONDITION])), expected, atol=2e-5)


# ---- gates, segments ----------------------------------------------------------------------------


def test_gated_feed_forward_by_definition():
    layer = layers.FeedForward(6, 8, ["tanh", "linear"], use_bias=False, stddev=0.5)
    result = np.asarray(layer(VECTORS))
    first, gate, last = (np.asarray(weight) for weight in layer.weights)
    expected = (np.tanh(VECTORS @ first) * (VECTORS @ gate)) @ last
    np.testing.assert_allclose(result, expected, atol=1e-5)


@pytest.mark.parametrize("names", [[], ["relu", "linear", "tanh"], ["relu", "geluu"]])
def test_wrong_gates_are_refused(names):
    with pytest.raises(ValueError, match=re.escape("geluu" if "geluu" in names else repr(names))):
        layers.FeedForward(6, 8, names)
    with pytest.raises(ValueError):
        TransformerConfig.from_dict({**CONFIG, "hidden_act": names})


def test_gated_configurations_round_trip():
    config = TransformerConfig.from_dict({**CONFIG, "hidden_act": ["gelu", "linear"]})
    assert config.hidden_act == ("gelu", "linear")
    assert json.loads(json.dumps(config.to_dict()))["hidden_act"] == ["gelu", "linear"]
    assert TransformerConfig.from_dict(config.to_dict()) == config
    assert TransformerConfig.from_dict({**CONFIG, "hidden_act": ["relu"]}).hidden_act == "relu"


def test_gelu_alone_means_what_the_family_says():
    assert activations.canonical_names(["gelu", "relu"], gelu="gelu_tanh") == ["gelu_tanh", "relu"]
    assert activations.canonical_names("gelu", gelu="gelu_erf") == "gelu_erf"
    with pytest.raises(ValueError):
        activations.canonical_names("gelu")


def test_gated_models_need_gates_in_the_checkpoint(tmp_path):
    prefix = write_checkpoint(tmp_path)
    with pytest.raises(CheckpointMismatchError, match=r"MISSING.*intermediate/gate"):
        build_transformer_model(checkpoint=prefix, hidden_act=["gelu", "linear"])


def test_the_mlm_head_of_a_gated_model_has_the_first_activation():
    model = build_transformer_model(CONFIG, hidden_act=["relu", "linear"], with_mlm=True)
    assert model.get_layer("MLM-Dense").activation_name == "relu"


def test_shared_segments_leave_the_table_of_the_file_unused(tmp_path):
    prefix = write_checkpoint(tmp_path)
    model = build_transformer_model(checkpoint=prefix, shared_segment_embeddings=True)
    assert "Embedding-Segment" not in [layer.name for layer in model.layers]
    tokens, segments = inputs()
    path = save_weights_as_checkpoint(model, tmp_path / "shared" / "bert_model.ckpt")
    again = build_transformer_model(checkpoint=path, shared_segment_embeddings=True)
    assert len(again.inputs) == 2
    expected = np.asarray(model([tokens, segments]))
    np.testing.assert_array_equal(np.asarray(again([tokens, segments])), expected)
    assert np.abs(np.asarray(model([tokens, 1 - segments])) - expected).max() > 0.01


# ---- layers -------------------------------------------------------------------------------------


def test_scale_and_offset_by_definition():
    layer = layers.ScaleOffset()
    layer(VECTORS)
    beta, gamma = np.arange(8.0, dtype="f"), np.arange(8.0, 16, dtype="f")
    layer.set_weights([beta, gamma])
    np.testing.assert_allclose(np.asarray(layer(VECTORS)), VECTORS * gamma + beta, rtol=1e-6)


@pytest.mark.parametrize(
    ("scale", "offset", "factor", "shift", "count"),
    [(2.0, None, 2, 0, 0), (False, 3, 1, 3, 0), (True, 0.5, 1, 0.5, 1), (None, False, 1, 0, 0)],
)
def test_scale_and_offset_may_be_fixed_or_absent(scale, offset, factor, shift, count):
    layer = layers.ScaleOffset(scale=scale, offset=offset)
    np.testing.assert_allclose(np.asarray(layer(VECTORS)), VECTORS * factor + shift, rtol=1e-6)
    assert len(layer.weights) == count


def test_scale_and_offset_may_be_conditioned():
    layer = layers.ScaleOffset(offset=False, conditional=True)
    np.testing.assert_array_equal(np.asarray(layer([VECTORS, CONDITION])), VECTORS)
    gamma, kernel = np.full(8, 2, "f"), np.ones((3, 8), "f")
    layer.set_weights([gamma, kernel])
    expected = VECTORS * (2 + CONDITION.sum(-1))[:, None, None]
    np.testing.assert_allclose(np.asarray(layer([VECTORS, CONDITION])), expected, rtol=1e-4)


def test_conditions_may_differ_from_token_to_token():
    layer = layers.ScaleOffset(conditional=True)
    each = np.repeat(CONDITION[:, None], 5, axis=1)
    once = layer([VECTORS, CONDITION])
    layer.set_weights([np.random.default_rng(0).standard_normal(w.shape) for w in layer.weights])
    once = np.asarray(layer([VECTORS, CONDITION]))
    np.testing.assert_allclose(np.asarray(layer([VECTORS, each])), once, atol=1e-6)


def test_concatenated_sequences_keep_their_masks():
    ids = np.array([[3, 4, 0], [5, 0, 0]])
    vectors = layers.Embedding(9, 8, mask_value=0)
    token_ids, others = keras.Input((None,), dtype="int32"), keras.Input((None, 8))
    joined = layers.Concatenate1D()([others, vectors(token_ids)])
    pooled = keras.layers.GlobalAveragePooling1D()(joined)
    model = keras.Model([token_ids, others], [joined, pooled])
    both, mean = (np.asarray(x) for x in model([ids, VECTORS]))
    np.testing.assert_array_equal(both[:, :5], VECTORS)
    real = [np.concatenate([VECTORS[0], both[0, 5:7]]), np.concatenate([VECTORS[1], both[1, 5:6]])]
    np.testing.assert_allclose(mean, [x.mean(0) for x in real], atol=1e-6)


def test_concatenated_sequences_without_masks_have_none():
    joined = layers.Concatenate1D()([keras.Input((2, 8)), keras.Input((3, 8))])
    assert tuple(joined.shape) == (None, 5, 8)
    assert getattr(joined, "_keras_mask", None) is None


def test_root_mean_square_by_definition():
    layer = layers.RMSNormalization(epsilon=0.1, scale=False)
    expected = VECTORS / np.sqrt((VECTORS**2).mean(-1, keepdims=True) + 0.1)
    np.testing.assert_allclose(np.asarray(layer(VECTORS)), expected, atol=1e-6)
    assert not layer.weights


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize(
    ("layer_class", "settings", "values"),
    [
        (layers.ConditionalLayerNormalization, {"hidden_units": 4}, [VECTORS, CONDITION]),
        (layers.ScaleOffset, {"conditional": True, "scale": 2.0}, [VECTORS, CONDITION]),
        (layers.ScaleOffset, {"offset": None}, VECTORS),
        (layers.Concatenate1D, {}, [VECTORS, VECTORS]),
        (layers.RMSNormalization, {"scale": False}, VECTORS),
        (layers.FeedForward, {"intermediate_size": 3, "output_size": 6,
                              "activation": ["relu", "tanh"], "use_bias": False}, VECTORS),
    ],
)  # fmt: skip
def test_layers_agree_symbolically_and_round_trip(layer_class, settings, values, dtype):
    several = isinstance(values, list)
    layer = layer_class(**settings, dtype=dtype, name="Some-Layer")
    symbols = [keras.Input(x.shape[1:]) for x in (values if several else [values])]
    symbolic, real = layer(symbols if several else symbols[0]), layer(values)
    assert tuple(symbolic.shape)[1:] == tuple(real.shape)[1:]
    assert tf.as_dtype(symbolic.dtype) == real.dtype
    assert tf.as_dtype(real.dtype) == (tf.bfloat16 if "bf" in dtype else tf.float32)
    again = layer_class.from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    again(values)
    again.set_weights(layer.get_weights())
    np.testing.assert_array_equal(
        np.asarray(tf.cast(again(values), "float32")), np.asarray(tf.cast(real, "float32"))
    )
