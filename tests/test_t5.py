"""What is special of T5: two stacks, buckets of distances, tied outputs, names and spellings."""

from __future__ import annotations

import functools
import json
import logging
import math

import numpy as np
import pytest

from kerasbert import ConfigError, build_transformer_model, save_weights_as_checkpoint
from kerasbert.backend import keras, tf
from kerasbert.checkpoints.google import GoogleCheckpoint
from kerasbert.checkpoints.report import CheckpointMismatchError
from kerasbert.checkpoints.safetensors_file import SafetensorsCheckpoint
from kerasbert.layers import MultiHeadCrossAttention, RelativePositionBias
from kerasbert.layers.relative_bias import distance_buckets
from kerasbert.models.t5 import T5, T5Decoder, T5Encoder
from kerasbert.models.t5_config import T5Config
from kerasbert.models.weights import describe
from tests.families import t5 as family
from tests.golden_cases import HERE

FOLDER, HUGGING_FACE = HERE / "bert4keras", HERE / "huggingface" / "hf" / "t5"
CASES = {case.folder.name: case for case in family.golden_cases() if HERE in case.folder.parents}
OLD, NEW, MULTI = "t5_seq2seq", "t5.1.1_seq2seq_linear", "mt5.1.1_keep_tokens"


def config(case: str) -> dict:
    return json.loads((FOLDER / case / "bert_config.json").read_text())


@functools.cache
def _read(case: str) -> dict[str, np.ndarray]:
    checkpoint = GoogleCheckpoint(FOLDER / case / "model.ckpt")
    return {name: value.numpy() for name, value in checkpoint.read().items()}


def tensors(case: str) -> dict[str, np.ndarray]:
    return dict(_read(case))


def hf_tensors() -> dict[str, np.ndarray]:
    checkpoint = SafetensorsCheckpoint(HUGGING_FACE / "model.safetensors")
    return {name: np.array(value) for name, value in checkpoint.read(checkpoint.shapes).items()}


def hf_config() -> dict:
    return json.loads((HUGGING_FACE / "config.json").read_text())


@functools.cache
def build(case: str, **options):
    """The transformer of a case as it was published, for reading only; logits unless asked."""
    options = {"with_lm": "linear", **options}
    if "encoder" in options.get("model", ""):
        del options["with_lm"]
    return build_transformer_model(config(case), tensors(case), return_keras_model=False, **options)


def ids(*rows) -> np.ndarray:
    return np.array(rows, "int32")


SOURCE, TARGET = ids([5, 6, 7, 8, 1]), ids([0, 9, 10])


# ---- the graph ----------------------------------------------------------------------------------


def test_cases_of_all_parts_are_committed():
    assert set(CASES) == {OLD, NEW, MULTI, "t5.1.0_hidden", "t5.1.1_encoder", "mt5.1.1_decoder",
                          "t5"}  # fmt: skip


@pytest.mark.parametrize("name", [OLD, NEW, "t5.1.1_encoder", "mt5.1.1_decoder"])
def test_layers_have_the_recorded_names(name):
    record = json.loads(CASES[name].record.read_text())
    options = dict(record["build_kwargs"])
    if "encoder" not in options["model"]:
        options = {**family.bert4keras_options(options), **options}
    model = build_transformer_model(FOLDER / name, **options)
    ours = {layer.name for layer in model.layers}
    assert set(record["layers"]) <= ours
    assert ours - set(record["layers"]) <= {"Attention-Mask", "Decoder-Output-LM-Activation"}
    assert [tensor.name.split(":")[0] for tensor in model.inputs] == [
        name.split(":")[0] for name in record["inputs"]
    ]


@pytest.mark.parametrize("name", [OLD, NEW])
def test_parts_of_the_whole_model_equal_the_recorded_ones(name):
    arrays = np.load(CASES[name].arrays)
    record = json.loads(CASES[name].record.read_text())
    options = {**family.bert4keras_options(record["build_kwargs"]), **record["build_kwargs"]}
    t5 = build_transformer_model(FOLDER / name, return_keras_model=False, **options)
    context = t5.encoder(arrays["in_0"])
    np.testing.assert_allclose(context, arrays["context"], atol=2e-5)
    alone = t5.decoder([arrays["context"][:1], arrays["in_1"][:1]])
    np.testing.assert_allclose(alone, arrays["alone"], atol=2e-5)


@pytest.mark.smoke
@pytest.mark.parametrize("name", [OLD, NEW])
def test_encoder_and_decoder_make_the_whole(name):
    t5 = build(name)
    expected = np.asarray(t5.model([SOURCE, TARGET]))
    context = np.asarray(t5.encoder(SOURCE))
    np.testing.assert_allclose(t5.decoder([context, TARGET]), expected, atol=1e-6)
    assert t5.decoder is t5.decoder
    parts = [build(name, model=f"t5_{part}").model for part in ("encoder", "decoder")]
    np.testing.assert_array_equal(parts[0](SOURCE), context)
    np.testing.assert_allclose(parts[1]([context, TARGET]), expected, atol=1e-6)


@pytest.mark.parametrize("name", [OLD, NEW])
def test_probabilities_by_default(name):
    logits = tf.nn.softmax(build(name).model([SOURCE, TARGET]))
    np.testing.assert_allclose(build(name, with_lm=True).model([SOURCE, TARGET]), logits, atol=1e-6)


def test_only_the_tied_output_is_scaled():
    assert "Decoder-Output-Scale" in build(OLD).layers
    assert "Decoder-Output-Scale" not in build(NEW).layers
    assert "Decoder-Output-LM" not in build(OLD).layers
    assert "Decoder-Output-LM" in build(NEW).layers
    hidden = [build(OLD, with_lm=False, scale_decoder_outputs=scaled).model([SOURCE, TARGET])
              for scaled in (True, False)]  # fmt: skip
    np.testing.assert_allclose(hidden[0], hidden[1] * 16**-0.5, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "option"),
    [(OLD, "cross_position_bias"), ("mt5.1.1_decoder", "cross_position_bias"),
     (NEW, "scale_decoder_outputs"), ("mt5.1.1_decoder", "scale_decoder_outputs")],
)  # fmt: skip
def test_where_bert4keras_differs_would_be_seen(name, option):
    assert family.compare(CASES[name], **{option: False}) > 10 * CASES[name].atol


def test_gelu_is_the_tanh_form():
    t5 = build(NEW)
    assert t5.layers["Encoder-Transformer-0-FeedForward"].activation == ["gelu_tanh", "linear"]
    exact = build(NEW, hidden_act=("gelu_erf", "linear")).model([SOURCE, TARGET])
    assert np.abs(t5.model([SOURCE, TARGET]) - exact).max() > 1e-4


def test_the_target_is_read_from_left_to_right():
    model = build(NEW).model
    first, second = (np.asarray(model([SOURCE, ids([0, 9, x, 11])])) for x in (10, 12))
    np.testing.assert_array_equal(first[:, :2], second[:, :2])
    assert (np.abs(first - second)[:, 2:].max(-1) > 1e-3).all()


def test_all_of_the_source_is_seen():
    model = build(NEW).model
    first, second = (np.asarray(model([ids([5, 6, 7, x]), TARGET])) for x in (8, 9))
    assert (np.abs(first - second).max(-1) > 1e-3).all()


@pytest.mark.parametrize("name", [OLD, NEW])
def test_padding_of_either_side_changes_nothing(name):
    model = build(name).model
    expected = np.asarray(model([SOURCE, TARGET]))
    padded = model([np.pad(SOURCE, ((0, 0), (0, 4))), np.pad(TARGET, ((0, 0), (0, 2)))])
    np.testing.assert_allclose(np.asarray(padded)[:, :3], expected, rtol=1e-6, atol=5e-6)


def test_the_start_of_the_target_is_seen_though_it_is_the_padding_id():
    model = build(NEW).model
    first, second = (np.asarray(model([SOURCE, ids([x, 9, 10])])) for x in (0, 11))
    assert (np.abs(first - second).max(-1) > 1e-3).all()
    assert np.isfinite(model([SOURCE * 0, TARGET * 0])).all()


def test_the_keras_mask_reaches_the_output():
    model = build(NEW).model
    tower = keras.layers.GlobalAveragePooling1D()(model.output)
    pooled = keras.Model(model.inputs, tower)([SOURCE, np.pad(TARGET, ((0, 0), (0, 2)))])
    expected = np.asarray(model([SOURCE, TARGET])).mean(1)
    np.testing.assert_allclose(pooled, expected, atol=1e-5)


def test_a_mask_may_be_given_for_the_source():
    plain, masked = build(NEW), build(NEW, with_attention_mask=True)
    padded, mask = np.pad(SOURCE, ((0, 0), (0, 3))), ids([1, 1, 1, 1, 1, 0, 0, 0])
    expected = np.asarray(plain.model([SOURCE, TARGET]))
    filled = np.where(mask > 0, padded, 13)  # tokens that only the mask hides
    names = [tensor.name.split(":")[0] for tensor in masked.model.inputs]
    assert names == ["Encoder-Input-Token", "Decoder-Input-Token", "Encoder-Input-Mask"]
    np.testing.assert_allclose(masked.model([filled, TARGET, mask]), expected, atol=2e-6)
    context = np.asarray(masked.encoder([filled, mask]))
    np.testing.assert_allclose(masked.decoder([context, TARGET, mask]), expected, atol=2e-6)
    assert np.abs(plain.decoder([context, TARGET]) - expected).max() > 1e-3


def test_lengths_may_be_fixed():
    t5 = build(NEW, sequence_length=5)
    assert t5.model.output_shape == (None, 5, 40)
    assert [tuple(x.shape) for x in t5.decoder.inputs] == [(None, 5, 16), (None, 5)]


def test_recomputed_gradients_are_the_same():
    gradients = []
    for recompute in (False, True):
        model = build_transformer_model(
            config(NEW), tensors(NEW), hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0, recompute=recompute,
        )  # fmt: skip
        cross = model.get_layer("Decoder-Transformer-0-MultiHeadCrossAttention")
        assert cross.recompute is recompute
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(model([SOURCE, TARGET], training=True)[:, :, 7])
        variables = model.trainable_variables
        variables = [v if isinstance(v, tf.Variable) else v.value for v in variables]
        gradients.append(tape.gradient(loss, variables))
    for plain, again in zip(*gradients):
        plain, again = tf.convert_to_tensor(plain), tf.convert_to_tensor(again)
        np.testing.assert_allclose(again, plain, atol=1e-5)
        assert np.abs(plain).max() > 0


# ---- distances ----------------------------------------------------------------------------------


def bucket(distance: int, num_buckets: int, max_distance: int, bidirectional: bool) -> int:
    """One distance's bucket, as the paper's code computes it, number by number."""
    found = 0
    steps = -distance
    if bidirectional:
        num_buckets //= 2
        if steps < 0:
            found, steps = num_buckets, -steps
    steps = max(steps, 0)
    exact = num_buckets // 2
    if steps < exact:
        return found + steps
    share = math.log(steps / exact) / math.log(max_distance / exact)
    return found + min(exact + int(share * (num_buckets - exact)), num_buckets - 1)


@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize(("num_buckets", "max_distance"), [(32, 128), (8, 16), (32, 20), (64, 99)])
def test_buckets_of_all_distances(num_buckets, max_distance, bidirectional):
    settings = (num_buckets, max_distance, bidirectional)
    table = distance_buckets(*settings)
    expected = [bucket(d, *settings) for d in range(-max_distance, max_distance + 1)]
    assert table.tolist() == expected
    assert bucket(-10 * max_distance, *settings) == table[0]  # the ends hold all that is farther
    assert bucket(10 * max_distance, *settings) == table[-1]
    assert set(table) <= set(range(num_buckets))


@pytest.mark.parametrize("settings", [(2, 128, True), (32, 8, True), (9, 20, True), (1, 9, False)])
def test_buckets_that_cannot_be(settings):
    with pytest.raises(ValueError, match=r"Received: num_buckets="):
        distance_buckets(*settings)


def test_positions_beyond_the_reach_share_a_bias():
    layer = RelativePositionBias(2, num_buckets=8, max_distance=16, stddev=1.0)
    bias = np.asarray(layer(tf.zeros((1, 40, 3)), tf.zeros((1, 40, 3))))[0]
    assert bias.shape == (2, 40, 40)
    np.testing.assert_array_equal(bias[:, 0, 16], bias[:, 0, 39])
    assert (bias[:, 0, 5] != bias[:, 5, 0]).all()


def test_a_step_has_the_bias_of_its_row():
    layer = RelativePositionBias(2, num_buckets=8, max_distance=16, bidirectional=False, stddev=1.0)
    whole = np.asarray(layer(tf.zeros((1, 30, 1)), tf.zeros((1, 30, 1))))[0]
    step = layer.between(tf.constant([21]), tf.range(30))
    np.testing.assert_array_equal(step, whole[:, 21:22])


def test_keys_of_the_context_are_computed_once():
    layer = MultiHeadCrossAttention(2, 4, 8, use_bias=False, scale=1.0, context_size=6, stddev=0.5)
    rng = np.random.default_rng(0)
    x, context = (tf.constant(rng.standard_normal((2, n, w)), tf.float32)
                  for n, w in ((3, 8), (5, 6)))  # fmt: skip
    expected = np.asarray(layer(x, context))
    key, value = layer.project_context(context)
    for i in range(3):
        query = layer.split_heads(layer.query(x[:, i : i + 1]))
        found = layer.combine(tf.nn.softmax(layer.score(query, key)), value)
        found = tf.reshape(tf.transpose(found, [0, 2, 1, 3]), [2, 1, 8])
        np.testing.assert_allclose(layer.output_dense(found), expected[:, i : i + 1], atol=1e-6)


def test_cross_attention_does_not_hand_on_scores():
    with pytest.raises(ValueError, match="residual_scores must be False"):
        MultiHeadCrossAttention(2, 4, 8, residual_scores=True)


def test_untrained_scores_are_of_usual_size():
    """Unscaled scores of vectors of 64 numbers would make every softmax a choice of one."""
    options = {**family.SIZES, "hidden_size": 128, "attention_head_size": 64}
    t5 = build_transformer_model(model="t5.1.1_encoder", return_keras_model=False, **options)
    attention = t5.layers["Encoder-Transformer-0-MultiHeadSelfAttention"]
    x = tf.constant(np.random.default_rng(0).standard_normal((1, 50, 128)), tf.float32)
    scores = attention.score(*attention.project(x)[:2])
    assert 0.3 < np.std(scores) < 1.5


# ---- options that are refused -------------------------------------------------------------------


@pytest.mark.parametrize("application", ["lm", "unilm"])
def test_applications_of_encoders_are_refused(application):
    with pytest.raises(ValueError, match=rf"'t5' must be one of encoder. Received: '{application}"):
        build_transformer_model(model="t5", application=application, **family.SIZES)


@pytest.mark.parametrize(
    ("model", "option"),
    [("t5", "with_mlm"), ("t5", "custom_position_ids"), ("t5_encoder", "with_lm")],
)
def test_options_without_meaning_are_refused(model, option):
    with pytest.raises(TypeError, match=rf"unknown keyword argument '{option}'"):
        build_transformer_model(model=model, **family.SIZES, **{option: True})


def test_the_version_of_the_name_is_not_contradicted():
    with pytest.raises(ValueError, match=r"model='t5.1.1' means version='t5.1.1'"):
        build_transformer_model(model="t5.1.1", version="t5.1.0", **family.SIZES)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"version": "t5.2"}, r"version must be one of t5.1.0, .* Received: 't5.2'"),
        ({"embedding_size": 8}, r"as wide as its hidden states.*embedding_size 8, hidden_size 16"),
        ({"num_decoder_layers": 0}, r"num_decoder_layers must be an integer of at least 1"),
        ({"relative_attention_num_buckets": 2}, r"relative_attention_num_buckets must be"),
    ],
)
def test_impossible_settings_are_refused(values, message):
    with pytest.raises(ConfigError, match=message):
        T5Config(**{**family.SIZES, **values})


# ---- configuration ------------------------------------------------------------------------------


def test_json_spellings_of_hugging_face():
    found = T5Config.from_dict(hf_config())
    assert (found.hidden_size, found.head_size, found.intermediate_size) == (32, 10, 64)
    assert (found.num_hidden_layers, found.num_decoder_layers) == (2, 2)
    assert (found.num_attention_heads, found.layer_norm_eps) == (4, 1e-6)
    assert (found.hidden_act, found.gated, found.tie_word_embeddings) == ("relu", False, True)
    assert found.relative_attention_num_buckets == 8
    assert found.relative_attention_max_distance == 16


@pytest.mark.parametrize("spelling", ["gated-gelu", ["gelu", "linear"], ("gelu", "linear")])
def test_spellings_of_a_gate(spelling):
    found = T5Config(**family.SIZES, hidden_act=spelling)
    assert found.hidden_act == ("gelu", "linear")
    assert found.gated
    assert not found.tie_word_embeddings


@pytest.mark.parametrize(
    ("version", "gated", "tied"),
    [(None, False, True), ("t5.1.0", False, True), ("t5.1.1", True, False),
     ("mt5.1.1", True, False)],
)  # fmt: skip
def test_what_a_version_stands_for(version, gated, tied):
    found = T5Config(**family.SIZES, version=version)
    assert (found.gated, found.tie_word_embeddings, found.scale_decoder_outputs) == (
        gated, tied, tied,
    )  # fmt: skip
    said = T5Config(**family.SIZES, version=version, hidden_act="relu", tie_word_embeddings=True)
    assert (said.gated, said.tie_word_embeddings) == (False, True)


def test_one_dropout_rate_is_meant_for_all():
    found = T5Config.from_dict({**family.SIZES, "hidden_dropout_prob": None, "dropout_rate": 0.2})
    assert found.hidden_dropout_prob == found.attention_probs_dropout_prob == 0.2
    assert T5Config(**family.SIZES, attention_probs_dropout_prob=0.3).hidden_dropout_prob == 0.0


@pytest.mark.parametrize("name", [OLD, NEW, MULTI])
def test_no_json_is_needed(name, caplog):
    with caplog.at_level(logging.INFO, "kerasbert"):
        t5 = build_transformer_model(
            None, tensors(name), with_lm="linear", return_keras_model=False
        )
    assert type(t5) is T5
    assert "model='t5' inferred" in caplog.text
    np.testing.assert_array_equal(t5.model([SOURCE, TARGET]), build(name).model([SOURCE, TARGET]))


def test_no_json_is_needed_of_hugging_face_but_for_the_reach():
    options = {"relative_attention_max_distance": 16, "with_lm": "linear"}
    expected = build_transformer_model(HUGGING_FACE, with_lm="linear")
    ours = build_transformer_model(None, hf_tensors(), **options)
    np.testing.assert_array_equal(ours([SOURCE, TARGET]), expected([SOURCE, TARGET]))


@pytest.mark.parametrize("side", ["encoder", "decoder"])
def test_stacks_of_different_depth(side, tmp_path):
    arrays = {k: v for k, v in tensors(NEW).items() if not k.startswith(f"{side}/block_001")}
    values = {k: v for k, v in config(NEW).items() if k != "num_hidden_layers"}
    t5 = build_transformer_model(values, arrays, return_keras_model=False)
    depths = (1, 2) if side == "encoder" else (2, 1)
    assert (t5.config.num_hidden_layers, t5.config.num_decoder_layers) == depths
    save_weights_as_checkpoint(t5, tmp_path / "model.ckpt")
    again = build_transformer_model(tmp_path, return_keras_model=False)
    assert again.config == t5.config
    assert set(GoogleCheckpoint(tmp_path / "model.ckpt").shapes) == set(arrays)


# ---- files --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [OLD, NEW, "t5.1.1_encoder"])
def test_saved_files_have_the_same_names_and_bits(name, tmp_path):
    save_weights_as_checkpoint(build_transformer_model(FOLDER / name), tmp_path / "model.ckpt")
    saved, expected = GoogleCheckpoint(tmp_path / "model.ckpt").read(), tensors(name)
    assert saved.keys() == expected.keys()
    for tensor, value in expected.items():
        np.testing.assert_array_equal(saved[tensor].numpy(), value)


def test_mt5_is_saved_under_the_names_of_t5(tmp_path):
    arrays = tensors(MULTI)
    assert any("rms_norm" in name for name in arrays)
    t5 = build(MULTI)
    save_weights_as_checkpoint(t5, tmp_path / "model.ckpt")
    assert "encoder/final_layer_norm/scale" in GoogleCheckpoint(tmp_path / "model.ckpt").shapes
    again = build_transformer_model(tmp_path, with_lm="linear")
    np.testing.assert_array_equal(again([SOURCE, TARGET]), t5.model([SOURCE, TARGET]))


def test_hugging_faces_file_is_saved_under_meshs_names(tmp_path):
    model = build_transformer_model(HUGGING_FACE, with_lm="linear")
    save_weights_as_checkpoint(model, tmp_path / "model.ckpt")
    again = build_transformer_model(tmp_path, with_lm="linear")
    np.testing.assert_array_equal(again([SOURCE, TARGET]), model([SOURCE, TARGET]))


@pytest.mark.parametrize("name", [OLD, NEW, "t5.1.1_encoder", "mt5.1.1_decoder"])
def test_saved_settings_are_those_of_the_layers(name, tmp_path):
    options = {"layer_norm_eps": 1e-5, "hidden_dropout_prob": 0.3}
    t5 = build_transformer_model(FOLDER / name, return_keras_model=False, **options)
    assert describe(t5) == t5.config
    save_weights_as_checkpoint(t5.model, tmp_path / "model.ckpt")
    again = build_transformer_model(tmp_path, return_keras_model=False)
    assert type(again) is type(t5)
    assert again.config == t5.config


def test_saved_json_is_one_that_bert4keras_reads():
    assert T5Config.from_dict(config(NEW)).to_dict().items() >= {
        "hidden_act": ["gelu", "linear"], "attention_head_size": 6, "hidden_size": 16,
        "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 20,
        "vocab_size": 40, "hidden_dropout_prob": 0.1,
    }.items()  # fmt: skip


@pytest.mark.parametrize(("part", "kind"), [("encoder", T5Encoder), ("decoder", T5Decoder)])
@pytest.mark.parametrize("files", [OLD, NEW, "huggingface"])
def test_a_part_of_a_whole_file(part, kind, files):
    arrays, values = (hf_tensors(), hf_config()) if files == "huggingface" else (
        tensors(files), config(files))  # fmt: skip
    t5 = build_transformer_model(values, arrays, model=f"t5_{part}", return_keras_model=False)
    assert type(t5) is kind
    assert t5.model is getattr(t5, part)
    assert part == "decoder" or t5.decoder is None
    others = {"encoder": "Decoder-", "decoder": "Encoder-"}[part]
    assert not [name for name in t5.layers if name.startswith(others)]


@pytest.mark.parametrize("kind", [T5Encoder, T5Decoder])
def test_a_part_that_was_saved_alone_is_recognised(kind, tmp_path):
    t5 = build(NEW, model=kind.family)
    save_weights_as_checkpoint(t5, tmp_path / "model.ckpt")
    again = build_transformer_model(tmp_path, return_keras_model=False)
    assert type(again) is kind
    with pytest.raises(CheckpointMismatchError, match=rf"those of the family '{kind.family}'"):
        build_transformer_model(tmp_path, model="t5")


def test_a_json_alone_names_the_family():
    t5 = build_transformer_model(hf_config(), return_keras_model=False)
    assert type(t5) is T5
    values = {**hf_config(), "model_type": "mt5", "architectures": ["MT5EncoderModel"]}
    assert type(build_transformer_model(values, return_keras_model=False)) is T5Encoder


@pytest.mark.parametrize("name", [OLD, NEW])
def test_first_blocks_alone(name):
    t5 = build(name, num_hidden_layers=1)
    assert (t5.config.num_hidden_layers, t5.config.num_decoder_layers) == (1, 1)
    assert "Decoder-Transformer-1-FeedForward" not in t5.layers
    t5 = build(name, num_decoder_layers=1)
    assert "Encoder-Transformer-1-FeedForward" in t5.layers
    assert "Decoder-Transformer-1-FeedForward" not in t5.layers


@pytest.mark.parametrize("name", [OLD, NEW])
def test_a_json_with_too_few_blocks_is_told(name):
    with pytest.raises(CheckpointMismatchError, match=r"the file has 2 blocks, the config says 1"):
        build_transformer_model({**config(name), "num_hidden_layers": 1}, tensors(name))


@pytest.mark.parametrize("name", [OLD, NEW, "huggingface"])
def test_kept_and_compound_tokens_select_inputs_and_outputs(name):
    keep = [0, 7, 3, 20, 1]
    arrays, values = (hf_tensors(), hf_config()) if name == "huggingface" else (
        tensors(name), config(name))  # fmt: skip
    if name == "huggingface":  # as 1.1 has it
        values["tie_word_embeddings"] = False
        arrays["lm_head.weight"] = arrays["shared.weight"][::-1].copy()
    whole = build_transformer_model(values, arrays, with_lm="linear")
    small = build_transformer_model(values, arrays, with_lm="linear", keep_tokens=keep,
                                    compound_tokens=[[1, 3]])  # fmt: skip
    source, target = ids([1, 2, 3, 4]), ids([0, 2, 3])
    expected = np.asarray(whole([np.array(keep)[source], np.array(keep)[target]]))[..., keep]
    ours = np.asarray(small([source, target]))
    np.testing.assert_allclose(ours[..., :5], expected, atol=2e-6)
    np.testing.assert_allclose(ours[..., 5], expected[..., [1, 3]].mean(-1), atol=2e-6)


def test_copies_of_the_token_table_in_older_files_are_left_out():
    arrays = hf_tensors()
    for name in ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight", "lm_head.weight"):
        arrays[name] = arrays["shared.weight"]
    arrays["decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight"] = np.ones(
        (8, 4), "f"
    )
    expected = build_transformer_model(HUGGING_FACE, with_lm="linear")([SOURCE, TARGET])
    for values in (hf_config(), {"relative_attention_max_distance": 16, "num_heads": 4}):
        model = build_transformer_model(values, arrays, with_lm="linear")
        np.testing.assert_array_equal(model([SOURCE, TARGET]), expected)


@pytest.mark.parametrize("scaled", [True, False])
def test_a_file_tells_that_its_output_is_not_tied(scaled, caplog):
    """transformers 5 writes that it is, whatever the model."""
    values, arrays = hf_config(), hf_tensors()
    assert values["tie_word_embeddings"] is True
    values["scale_decoder_outputs"] = scaled
    arrays["lm_head.weight"] = arrays["shared.weight"] * 2
    with caplog.at_level(logging.INFO, "kerasbert"):
        t5 = build_transformer_model(values, arrays, with_lm="linear", return_keras_model=False)
    assert "lm_head.weight is not shared.weight" in caplog.text
    assert t5.config.tie_word_embeddings is False
    assert t5.config.scale_decoder_outputs is scaled
    tied = build_transformer_model(HUGGING_FACE, with_lm="linear")([SOURCE, TARGET])
    factor = 2 if scaled else 2 * 32**0.5
    np.testing.assert_allclose(t5.model([SOURCE, TARGET]), factor * tied, atol=1e-4)


def test_a_file_without_its_output_layer_is_told():
    arrays = tensors(NEW)
    del arrays["decoder/logits/kernel"]
    with pytest.raises(CheckpointMismatchError, match=r"no output layer: .*with_lm=False"):
        build_transformer_model(config(NEW), arrays)
    build_transformer_model(config(NEW), arrays, with_lm=False)


def test_tensors_of_a_wrong_rank_are_told():
    arrays = tensors(NEW)
    name = "encoder/block_000/layer_000/SelfAttention/relative_attention_bias"
    with pytest.raises(CheckpointMismatchError, match=rf"MISMATCHED\s+{name}\s+checkpoint 3, "):
        build_transformer_model(config(NEW), {**arrays, name: np.ones(3, "f")})


@pytest.mark.parametrize(
    ("name", "message"),
    [(OLD, r'not gated: pass hidden_act="relu"'),
     (NEW, r'are gated: pass hidden_act=\["gelu", "linear"\]')],
)  # fmt: skip
def test_the_wrong_kind_of_feed_forward_is_told(name, message):
    other = {OLD: ["gelu", "linear"], NEW: "relu"}[name]
    with pytest.raises(CheckpointMismatchError, match=message):
        build_transformer_model({**config(name), "hidden_act": other}, tensors(name))


def test_another_family_is_told():
    with pytest.raises(CheckpointMismatchError, match=r"those of the family 't5': try model='t5'"):
        build_transformer_model(config(NEW), tensors(NEW), model="bert", hidden_act="gelu")


def test_an_unknown_tensor_is_an_error():
    arrays = {**tensors(NEW), "encoder/block_000/layer_000/SelfAttention/extra": np.ones(3, "f")}
    with pytest.raises(CheckpointMismatchError, match=r"UNEXPECTED\s+encoder/block_000"):
        build_transformer_model(config(NEW), arrays)


def test_layers_are_found_behind_a_prefix(tmp_path):
    t5 = build(NEW, prefix="Student-")
    assert t5.model.get_layer("Student-Encoder-Transformer-0-FeedForward") is not None
    save_weights_as_checkpoint(t5.model, tmp_path / "model.ckpt", prefix="Student-")
    again = build_transformer_model(tmp_path, with_lm="linear")
    np.testing.assert_array_equal(again([SOURCE, TARGET]), t5.model([SOURCE, TARGET]))


def test_names_of_all_versions_and_parts_are_registered():
    kinds = {"": T5, "_encoder": T5Encoder, "_decoder": T5Decoder}
    for name in family.NAMES:
        part = next(part for part in ("_encoder", "_decoder", "") if name.endswith(part))
        t5 = build_transformer_model(model=name, return_keras_model=False, **family.ONE_BLOCK)
        assert type(t5) is kinds[part]
        assert t5.config.gated == ("1.1" in name)
