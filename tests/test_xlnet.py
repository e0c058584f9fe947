"""XLNet: masks and streams, memories, padding on the left, both namings, what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasbert import ConfigError, build_transformer_model, save_weights_as_checkpoint
from kerasbert.backend import keras, tf
from kerasbert.checkpoints import google
from kerasbert.checkpoints.report import CheckpointMismatchError
from kerasbert.layers.permutation import PermutationMask
from kerasbert.layers.relative_xl import RelativePositionEncoding, relative_shift
from kerasbert.models.registry import recognize
from kerasbert.models.weights import describe
from kerasbert.models.xlnet import MEANINGLESS, XLNet
from kerasbert.models.xlnet_names import XLNetConfig
from tests import tiny

CONFIG = {
    "d_head": 5,
    "d_inner": 24,
    "d_model": 16,
    "ff_activation": "gelu",
    "n_head": 3,
    "n_layer": 2,
    "n_token": 50,
    "untie_r": True,
}
PAD, VOCAB, WIDTH, BLOCKS, HEADS = 5, 50, 16, 2, (3, 5)


def google_tensors(seed: int = 0) -> dict[str, np.ndarray]:
    """Random values under the published names, written out here once more."""
    root, inner = "model/transformer", CONFIG["d_inner"]
    shapes = {
        f"{root}/word_embedding/lookup_table": (VOCAB, WIDTH),
        f"{root}/mask_emb/mask_emb": (1, 1, WIDTH),
        f"{root}/r_w_bias": (BLOCKS, *HEADS),
        f"{root}/r_r_bias": (BLOCKS, *HEADS),
        f"{root}/r_s_bias": (BLOCKS, *HEADS),
        f"{root}/seg_embed": (BLOCKS, 2, *HEADS),
        "model/lm_loss/bias": (VOCAB,),
    }
    for i in range(BLOCKS):
        block = f"{root}/layer_{i}"
        shapes |= {f"{block}/rel_attn/{name}/kernel": (WIDTH, *HEADS) for name in "qkvor"}
        shapes |= {
            f"{block}/ff/layer_1/kernel": (WIDTH, inner),
            f"{block}/ff/layer_1/bias": (inner,),
            f"{block}/ff/layer_2/kernel": (inner, WIDTH),
            f"{block}/ff/layer_2/bias": (WIDTH,),
        }
        for part in ("rel_attn", "ff"):
            shapes |= {f"{block}/{part}/LayerNorm/{name}": (WIDTH,) for name in ("beta", "gamma")}
    rng = np.random.default_rng(seed)
    return {
        name: (rng.standard_normal(shape) * 0.3 + name.endswith("gamma")).astype("f")
        for name, shape in shapes.items()
    }


def huggingface_tensors(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The same values as Hugging Face names them."""
    stacked = ("r_w_bias", "r_r_bias", "r_s_bias", "seg_embed")
    renamed = {"lm_loss.bias": tensors["model/lm_loss/bias"]}
    for name, value in tensors.items():
        parts = name.replace("layer_", "layer.", 1).split("/")[1:]
        if parts[-1] in stacked:
            for i, part in enumerate(value):
                renamed[f"transformer.layer.{i}.rel_attn.{parts[-1]}"] = part
        elif "rel_attn" in parts and parts[-1] == "kernel":
            renamed[".".join(parts[:-1])] = value
        elif parts[-1] in ("mask_emb", "lookup_table"):
            renamed[".".join(parts[:-1]) + (".weight" if "lookup" in name else "")] = value
        elif name != "model/lm_loss/bias":
            parts[-1] = "bias" if parts[-1] in ("bias", "beta") else "weight"
            usual = ".".join(parts).replace("LayerNorm", "layer_norm")
            renamed[usual] = value.T if name.endswith("/kernel") else value
    return renamed


TENSORS = google_tensors()


def build(**options):
    options = {"config": CONFIG, "checkpoint": TENSORS, "model": "xlnet", **options}
    return build_transformer_model(**options)


def numbers(outputs) -> np.ndarray:
    return np.asarray(outputs, "float64")


def text(length: int = 7, pads: int = 2, seed: int = 0) -> list[np.ndarray]:
    """Two texts; the second has padding on the left, and both end with [CLS]."""
    ids = np.random.default_rng(seed).integers(7, VOCAB, (2, length)).astype("int32")
    segments = np.zeros_like(ids)
    segments[:, length // 2 :] = 1
    ids[:, -1], segments[:, -1] = 3, 2
    ids[1, :pads], segments[1, :pads] = PAD, 4
    return [ids, segments]


# ---- positions ----------------------------------------------------------------------------------


@settings(max_examples=30)
@given(st.integers(1, 5), st.integers(0, 4), st.integers(0, 1))
def test_shifted_scores_are_those_of_the_distance(queries, memory, offset):
    keys = queries + memory
    distances = np.arange(keys, -queries, -1.0)
    # A score that tells its query and its distance.
    scores = np.arange(queries)[:, None] * 100 + distances
    shifted = numbers(relative_shift(tf.constant(scores[None, None]), keys, offset))[0, 0]
    i, j = np.arange(queries)[:, None], np.arange(keys)
    np.testing.assert_array_equal(shifted, i * 100 + memory + i + offset - j)


@pytest.mark.parametrize("clamp", [-1, 3])
def test_encodings_are_sines_then_cosines_of_the_distance(clamp):
    layer = RelativePositionEncoding(clamp_length=clamp)
    encoding = numbers(layer(tf.zeros([2, 4, 6]), memory=tf.zeros([2, 1, 5, 6])))
    distances = np.arange(9, -4, -1.0)
    if clamp > 0:
        distances = distances.clip(-clamp, clamp)
    angles = distances[:, None] / 10000 ** (np.array([0, 2, 4]) / 6)
    expected = np.concatenate([np.sin(angles), np.cos(angles)], axis=1)
    np.testing.assert_allclose(encoding, expected[None], atol=1e-6)


# ---- padding ------------------------------------------------------------------------------------


def test_left_padding_leaves_real_tokens_unchanged():
    model = build()
    ids, segments = text(pads=0)
    short = numbers(model([ids, segments]))
    padding = ((0, 0), (3, 0))
    padded = [np.pad(ids, padding, constant_values=PAD), np.pad(segments, padding)]
    np.testing.assert_allclose(numbers(model(padded))[:, 3:], short, atol=1e-5)


def test_a_mask_does_what_the_padding_id_does():
    ids, segments = text()
    expected = numbers(build()([ids, segments]))
    real = (ids != PAD).astype("int32")
    other = np.where(ids == PAD, PAD + 4, ids)  # only the mask can tell
    masked = build(with_attention_mask=True)
    got = numbers(masked([other, segments, real]))
    np.testing.assert_allclose(got[:, 2:], expected[:, 2:], atol=1e-6)
    assert np.abs(numbers(build()([other, segments])) - expected)[1, 2:].max() > 1e-3


def test_a_row_of_padding_gives_numbers():
    ids = np.full((1, 4), PAD, "int32")
    assert np.isfinite(numbers(build()([ids, ids]))).all()


def test_layers_after_the_encoder_do_not_count_padding():
    ids, segments = text()
    model = build()
    pooled = keras.layers.GlobalAveragePooling1D()(model.output)
    got = numbers(keras.Model(model.inputs, pooled)([ids, segments]))
    hidden = numbers(model([ids, segments]))
    expected = [row[real].mean(axis=0) for row, real in zip(hidden, ids != PAD)]
    np.testing.assert_allclose(got, expected, atol=1e-6)


def test_only_equal_or_different_segments_count():
    ids, segments = text()
    model = build()
    relabelled = np.array([7, 3, 9, 0, 5], "int32")[segments]
    np.testing.assert_array_equal(model([ids, relabelled]), model([ids, segments]))
    assert np.abs(numbers(model([ids, segments * 0]) - model([ids, segments]))).max() > 1e-3


def test_the_pooled_token_is_the_last():
    summary = {
        "model/sequnece_summary/summary/kernel": np.eye(WIDTH, dtype="f"),
        "model/sequnece_summary/summary/bias": np.full(WIDTH, 0.5, "f"),
        "model/classification_mnli/logit/kernel": np.zeros((WIDTH, 3), "f"),
    }
    pooled = build(checkpoint={**TENSORS, **summary}, with_pool=True)(text())
    np.testing.assert_allclose(
        numbers(pooled), np.tanh(numbers(build()(text()))[:, -1] + 0.5), atol=1e-6
    )


# ---- the permutation language model -------------------------------------------------------------


def left_to_right(length: int, targets: range) -> list[np.ndarray]:
    """The inputs that say: in this order, these targets."""
    order = np.arange(length)
    hidden = (order[None, :] >= order[:, None]).astype("int32")
    mapping = np.eye(length, dtype="int32")[list(targets)]
    return [np.stack([hidden] * 2), np.stack([mapping] * 2)]


def test_lm_is_the_permutation_from_left_to_right():
    ids, _ = text()
    segments = np.zeros_like(ids)
    lm = numbers(build(application="lm", with_mlm="linear")([ids, segments]))
    model = build(application="permutation", with_mlm="linear")
    permuted = numbers(model([ids, segments, *left_to_right(7, range(1, 7))]))
    np.testing.assert_allclose(lm[0, :-1], permuted[0], atol=1e-5)
    np.testing.assert_allclose(lm[1, 2:-1], permuted[1, 2:], atol=1e-5)  # behind the padding
    # What comes after the text: a further token stands there, whatever it is.
    longer = [
        np.pad(x, ((0, 0), (0, 1)), constant_values=9) * (x.max() > 0) for x in (ids, segments)
    ]
    after = numbers(model([*longer, *left_to_right(8, range(7, 8))]))
    np.testing.assert_allclose(lm[:, -1:], after, atol=1e-5)


def test_lm_does_not_see_what_follows():
    model = build(application="lm", with_mlm="linear")
    ids, segments = text()
    changed = ids.copy()
    changed[:, 4] += 1
    difference = np.abs(numbers(model([changed, segments]) - model([ids, segments]))).max(axis=-1)
    assert difference[:, :4].max() == 0
    assert difference[:, 4:].min() > 1e-4


def test_a_query_does_not_see_its_own_token():
    model = build(application="permutation", with_mlm="linear")
    ids, segments = text()
    order = np.zeros((2, 7, 7), "int32")
    order[:, :, 3] = 1
    mapping = np.eye(7, dtype="int32")[None, [3, 4]].repeat(2, axis=0)
    changed = ids.copy()
    changed[:, 3] += 1
    before, after = (numbers(model([x, segments, order, mapping])) for x in (ids, changed))
    np.testing.assert_array_equal(before[:, 0], after[:, 0])
    # All may see token 4, the query at its place too.
    changed = ids.copy()
    changed[:, 4] += 1
    assert (
        np.abs(numbers(model([changed, segments, order, mapping])) - before).min(axis=-1).max() > 0
    )


def test_probabilities_sum_to_one():
    ids, segments = text()
    probabilities = numbers(build(application="lm")([ids, segments]))
    np.testing.assert_allclose(probabilities.sum(axis=-1), 1, atol=1e-5)


def test_masks_of_the_two_streams():
    layer = PermutationMask("permutation", pad_token_id=PAD)
    ids = np.array([[PAD, 8, 9]])
    hidden = np.array([[[0, 0, 0], [0, 1, 1], [0, 0, 1]]])
    biases = layer(ids, permutation_mask=hidden, memory=np.zeros((1, 2, 1, 4), "f"))
    content, queries = (numbers(bias)[0, 0] == 0 for bias in biases)
    np.testing.assert_array_equal(content, [[1, 1, 1, 1], [1, 0, 1, 0], [1, 0, 1, 1]])
    np.testing.assert_array_equal(queries, [[1, 0, 1, 1], [1, 0, 0, 0], [1, 0, 1, 0]])


# ---- memories -----------------------------------------------------------------------------------


def test_a_text_in_pieces_is_read_as_in_one():
    """Left to right nothing earlier depends on what is later: memories are then exact."""
    model = build(application="lm", with_mlm="linear", memory_length=20)
    ids, _ = text(length=9, pads=0)
    segments = np.zeros_like(ids)
    memory = np.zeros((2, BLOCKS, 0, WIDTH), "f")
    whole, _ = model([ids, segments, memory])
    pieces = []
    for piece in (slice(0, 4), slice(4, 6), slice(6, 9)):
        logits, memory = model([ids[:, piece], segments[:, piece], memory])
        pieces.append(numbers(logits))
        memory = np.asarray(memory)
    np.testing.assert_allclose(np.concatenate(pieces, axis=1), numbers(whole), atol=1e-5)


def test_a_memory_keeps_the_latest_inputs_of_each_block():
    model = build(memory_length=5)
    ids, segments = text()
    old = np.random.default_rng(0).standard_normal((2, BLOCKS, 3, WIDTH)).astype("f")
    hidden, memory = model([ids, segments, old])
    assert memory.shape == (2, BLOCKS, 5, WIDTH)
    assert hidden.shape == (2, 7, WIDTH)
    table = TENSORS["model/transformer/word_embedding/lookup_table"]
    np.testing.assert_array_equal(memory[:, 0], table[ids[:, -5:]])
    _, longer = build(memory_length=9)([ids, segments, old])
    np.testing.assert_array_equal(longer[:, :, :2], old[:, :, 1:])


def test_a_memory_has_no_gradient():
    model = build(memory_length=5)
    ids, segments = text()
    with tf.GradientTape() as tape:
        _, memory = model([ids, segments, np.zeros((2, BLOCKS, 0, WIDTH), "f")])
        loss = tf.reduce_sum(memory)
    assert all(gradient is None for gradient in tape.gradient(loss, model.trainable_variables))


# ---- checkpoints --------------------------------------------------------------------------------


def test_both_namings_give_the_same_outputs():
    google_lm = build(application="lm")(text())
    tensors = {**huggingface_tensors(TENSORS), "lm_loss.weight": np.zeros((VOCAB, WIDTH), "f")}
    np.testing.assert_array_equal(build(checkpoint=tensors, application="lm")(text()), google_lm)
    alone = {
        name.replace("transformer.", "", 1): value
        for name, value in tensors.items()
        if name.startswith("transformer.")
    }
    np.testing.assert_array_equal(build(checkpoint=alone)(text()), build()(text()))


def test_gelu_in_a_json_of_hugging_face_is_the_erf_form():
    written = {**CONFIG, "model_type": "xlnet", "dropout": 0.3, "untie_r": False}
    model = build(config=written, checkpoint=huggingface_tensors(TENSORS))
    assert model.get_layer("Transformer-0-FeedForward").activation == "gelu_erf"
    assert model.get_layer("Transformer-0-MultiHeadSelfAttention").dropout == 0.3
    assert build().get_layer("Transformer-0-FeedForward").activation == "gelu_tanh"
    assert build(hidden_act="relu").get_layer("Transformer-1-FeedForward").activation == "relu"


@pytest.mark.parametrize("rename", [dict, huggingface_tensors], ids=["google", "huggingface"])
def test_variables_reveal_all_sizes(rename):
    transformer = build(config=None, checkpoint=rename(TENSORS), return_keras_model=False)
    assert transformer.config == XLNetConfig.from_dict(CONFIG)


@pytest.mark.parametrize("rename", [dict, huggingface_tensors], ids=["google", "huggingface"])
def test_the_family_is_recognized(rename):
    assert recognize(rename(TENSORS), {}) == "xlnet"
    assert recognize([], CONFIG) == "xlnet"
    assert recognize([], {"model_type": "xlnet"}) == "xlnet"
    assert recognize(tiny.bert_tensors(), {}) == "bert"


def test_tied_biases_are_one_variable(tmp_path):
    tied = dict(TENSORS)
    for name in ("r_w_bias", "r_r_bias", "r_s_bias"):
        tied[f"model/transformer/{name}"] = tied[f"model/transformer/{name}"][0]
    model = build(config=None, checkpoint=tied)  # the variables tell
    biases = [v for v in model.weights if v.shape == HEADS]
    assert len(biases) == 3
    repeated = {
        name: np.stack([value] * BLOCKS) if name.endswith("_bias") else value
        for name, value in tied.items()
    }
    np.testing.assert_allclose(model(text()), build(checkpoint=repeated)(text()), atol=1e-6)
    path = save_weights_as_checkpoint(model, tmp_path / "xlnet_model.ckpt")
    shapes = google.GoogleCheckpoint(path).shapes
    assert shapes["model/transformer/r_w_bias"] == HEADS
    assert json.loads((tmp_path / "xlnet_config.json").read_text())["untie_r"] is False


def test_what_is_saved_is_as_published(tmp_path):
    model = build(application="lm")
    path = save_weights_as_checkpoint(model, tmp_path / "xlnet_model.ckpt")
    saved = google.GoogleCheckpoint(path)
    assert saved.shapes == {name: value.shape for name, value in TENSORS.items()}
    for name, value in saved.read(TENSORS).items():
        np.testing.assert_array_equal(value, TENSORS[name])
    written = json.loads((tmp_path / "xlnet_config.json").read_text())
    assert written.items() >= CONFIG.items()
    again = build_transformer_model(tmp_path, application="lm")
    np.testing.assert_array_equal(again(text()), model(text()))


def test_the_first_blocks_of_a_stack_can_be_loaded():
    whole = build()
    first = keras.Model(whole.inputs, whole.get_layer("Transformer-0-FeedForward-Norm").output)
    np.testing.assert_array_equal(build(num_hidden_layers=1)(text()), first(text()))


def test_a_stack_that_is_too_short_is_told():
    name = "model/transformer/seg_embed"
    with pytest.raises(CheckpointMismatchError, match=r"MISMATCHED +model/transformer/seg_embed"):
        build(checkpoint={**TENSORS, name: TENSORS[name][:1]})


def test_kept_tokens():
    keep = [5, 3, 20, 11, 40]
    model = build(application="lm", with_mlm="linear", keep_tokens=keep, pad_token_id=0)
    assert model.output.shape[-1] == len(keep)
    ids = np.array([[2, 3, 4, 1]], "int32")
    whole = build(application="lm", with_mlm="linear")
    expected = numbers(whole([np.array(keep)[ids].astype("int32"), ids * 0]))[..., keep]
    np.testing.assert_allclose(numbers(model([ids, ids * 0])), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "without", "said"),
    [
        ({"with_pool": True}, (), "only fine-tuning makes it"),
        ({"with_mlm": True}, ("model/lm_loss/bias",), "Build without with_mlm"),
        ({"application": "lm"}, ("model/transformer/mask_emb/mask_emb",), "only an encoder"),
    ],
)
def test_missing_heads_are_explained(options, without, said):
    tensors = {name: value for name, value in TENSORS.items() if name not in without}
    with pytest.raises(CheckpointMismatchError, match=said):
        build(checkpoint=tensors, **options)


def test_a_checkpoint_of_another_family_is_named():
    with pytest.raises(CheckpointMismatchError, match="try model='bert'"):
        build(checkpoint=tiny.bert_tensors())
    with pytest.raises(CheckpointMismatchError, match="try model='xlnet'"):
        build_transformer_model(tiny.CONFIG, TENSORS, model="bert")


# ---- configuration and options ------------------------------------------------------------------


def test_the_configuration_is_written_in_its_own_spelling():
    config = XLNetConfig.from_dict({**CONFIG, "clamp_len": 6, "mem_len": None})
    assert config.hidden_size == WIDTH
    assert config.head_size == 5
    written = config.to_dict()
    assert written.items() >= {**CONFIG, "clamp_len": 6}.items()
    assert not {"hidden_size", "type_vocab_size", "max_position_embeddings"} & written.keys()
    assert XLNetConfig.from_dict(written) == config
    without_head = {key: value for key, value in CONFIG.items() if key != "d_head"}
    assert XLNetConfig.from_dict({**without_head, "n_head": 4}).to_dict()["d_head"] == 4


def test_layers_tell_the_configuration():
    assert describe(build(clamp_len=6)) == XLNetConfig.from_dict({**CONFIG, "clamp_len": 6})


@pytest.mark.parametrize(
    "values",
    [
        {"segment_vocab_size": 0},
        {"attn_type": "uni"},
        {"bi_data": True},
        {"embedding_size": 8},
        {"attention_key_size": 3},
        {"clamp_len": -2},
        {"hidden_act": ["gelu", "linear"]},
    ],
    ids=lambda values: next(iter(values)),
)
def test_impossible_configurations_are_refused(values):
    with pytest.raises(ConfigError, match=r"Received|zeros"):
        XLNetConfig.from_dict({**CONFIG, **values})


@pytest.mark.parametrize("option", MEANINGLESS)
def test_meaningless_options_are_refused(option):
    with pytest.raises(ValueError, match=f"{option} has no meaning in an XLNet"):
        build(**{option: True})


@pytest.mark.parametrize("length", [0, -1, 2.5, True])
def test_memory_length_must_be_a_number_of_tokens(length):
    with pytest.raises(ValueError, match=f"memory_length .*Received: {length!r}"):
        build(memory_length=length)


def test_unilm_is_refused_before_building(monkeypatch):
    monkeypatch.setattr(XLNet, "build", lambda self: pytest.fail("was built"))
    with pytest.raises(ValueError, match=r"one of encoder, lm, permutation\. Received: 'unilm'"):
        build(application="unilm")


def test_inputs_in_their_order_with_prefix_and_fixed_length():
    model = build(
        application="permutation",
        memory_length=4,
        with_attention_mask=True,
        sequence_length=6,
        prefix="second-",
    )
    assert [tensor.name.split(":")[0] for tensor in model.inputs] == [
        f"second-Input-{name}"
        for name in ("Token", "Segment", "Mask", "Permutation-Mask", "Target-Mapping", "Memory")
    ]
    assert [tuple(tensor.shape[1:]) for tensor in model.inputs][3:] == [
        (6, 6),
        (None, 6),
        (BLOCKS, None, WIDTH),
    ]
