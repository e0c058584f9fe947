"""Model Garden's checkpoints: every name, recorded outputs, and what is refused."""

from __future__ import annotations

import json
import logging
import tarfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasbert import build_transformer_model
from kerasbert.backend import keras, tf
from kerasbert.checkpoints import garden_names, google
from kerasbert.checkpoints.adapting import AdaptedTensors
from kerasbert.checkpoints.errors import CheckpointFormatError
from kerasbert.checkpoints.loading import ArrayTensors
from kerasbert.checkpoints.report import CheckpointMismatchError
from kerasbert.config import ConfigError
from tests import tiny
from tests.checkpoints.garden_cases import (
    ALBERT,
    CONFIG,
    FOLDER,
    GENERATIONS,
    garden_name,
    garden_tensors,
    outputs,
    write_objects,
)

ATOL = 2e-5
MLM, NSP, POOL = {"with_mlm": "linear"}, {"with_nsp": "linear"}, {"with_pool": True}
CASES = [
    ("encoder", POOL, ["pooled"]),
    ("encoder_v2", POOL, ["pooled"]),
    ("pretrainer", {**POOL, **MLM}, ["pooled", "mlm"]),
    ("pretrainer", {**NSP, **MLM}, ["nsp", "mlm"]),
    ("old_pretrainer", {**NSP, **MLM}, ["nsp", "mlm"]),
    ("classifier", {}, []),
    ("electra", {"with_discriminator": "linear"}, ["replaced"]),
    ("albert", {**POOL, "num_hidden_layers": 3}, ["pooled"]),
    ("hub_bert", {**POOL, **MLM}, ["pooled", "mlm"]),
    ("hub_albert", POOL, ["pooled"]),
    ("module_bert", {**POOL, **MLM}, ["pooled", "mlm"]),
]


@pytest.mark.parametrize(
    ("case", "options", "names"), CASES, ids=[f"{c}-{'-'.join(n)}" for c, _, n in CASES]
)
def test_outputs(case, options, names):
    built = build_transformer_model(
        checkpoint=FOLDER / f"{case}.tar.xz", return_keras_model=False, **options
    )
    expected = outputs(case)
    states = [built.hidden_states, *(built.model.outputs if names else [])]
    model = keras.Model(built.model.inputs, dict(enumerate(states)))
    found = model([expected["ids"], expected["segments"]]).values()
    there = (expected["ids"] > 0)[..., None]  # what padding becomes is not defined
    for name, output in zip(["hidden", *names], found):
        if name in expected:  # the first pretrainer hands out no hidden states
            difference = np.abs(output - expected[name])
            difference = difference * there if difference.ndim == 3 else difference
            assert difference.max() < ATOL, name


def test_the_form_of_gelu_shows_in_the_recorded_outputs():
    """So that the comparison of outputs would notice the other form."""
    built = build_transformer_model(checkpoint=FOLDER / "encoder.tar.xz", hidden_act="gelu_erf")
    expected = outputs("encoder")
    found = built([expected["ids"], expected["segments"]])
    there = (expected["ids"] > 0)[..., None]
    assert (np.abs(found - expected["hidden"]) * there).max() > 10 * ATOL


# ---- every tensor, in every generation of names --------------------------------------------------


def assert_same(adapted, expected):
    assert set(adapted.shapes) == set(expected)
    found = adapted.read(list(expected))
    for name, value in expected.items():
        assert adapted.shapes[name] == value.shape
        np.testing.assert_array_equal(found[name].numpy(), value, err_msg=name)


@pytest.mark.parametrize("generation", GENERATIONS)
@pytest.mark.parametrize("width", [8, 4])
def test_bert_by_value(tmp_path, generation, width):
    google_tensors, garden = garden_tensors({**CONFIG, "embedding_size": width}, generation)
    source = write_objects(tmp_path / "ckpt", garden)
    assert garden_names.recognise(source)
    assert_same(garden_names.adapt(source), google_tensors)


@pytest.mark.parametrize("generation", GENERATIONS)
def test_albert_by_value(tmp_path, generation):
    google_tensors, garden = garden_tensors(ALBERT, generation, shared=True)
    source = write_objects(tmp_path / "ckpt", garden)
    assert garden_names.recognise(source)
    assert_same(garden_names.adapt(source), google_tensors)


@pytest.mark.parametrize("generation", GENERATIONS)
def test_checkpoints_of_names_without_objects(tmp_path, generation):
    """As the converter writes them on the way, with a trainer's state."""
    google_tensors, garden = garden_tensors(generation=generation)
    query = garden_name("bert/encoder/layer_0/attention/self/query/kernel", generation)
    extra = {f"{query}/adam_m": garden[query], "global_step": np.int64(3)}
    google.write(tmp_path / "ckpt", {**garden, **extra})
    source = google.GoogleCheckpoint(tmp_path / "ckpt")
    assert garden_names.recognise(source)
    assert_same(garden_names.adapt(source), google_tensors)


def test_tensors_are_read_as_stored(tmp_path):
    _, garden = garden_tensors(heads=False)
    half = {name: value.astype(np.float16) for name, value in garden.items()}
    adapted = garden_names.adapt(write_objects(tmp_path / "ckpt", half))
    name = "bert/encoder/layer_1/attention/output/dense/kernel"
    assert adapted.read([name])[name].dtype == tf.float16


def test_what_belongs_to_the_optimizer_is_left_out(tmp_path):
    folder = _unpacked("pretrainer", tmp_path)
    source = google.GoogleCheckpoint(folder / "ckpt-1")
    assert sum("optimizer" in name.lower() for name in source.shapes) > 20
    adapted = garden_names.adapt(source)
    assert not [name for name in adapted.shapes if "adam" in name.lower()]
    assert len([name for name in adapted.shapes if name.startswith("bert/")]) == 5 + 2 * 16 + 2


# ---- heads --------------------------------------------------------------------------------------


def test_the_pooler_of_the_pretrained_pairs_is_taken(tmp_path, caplog):
    """That of the encoder is untrained where the head has one of its own."""
    google_tensors, garden = garden_tensors()
    trained = {
        "bert/next_sentence/pooler_dense/kernel": np.full((8, 8), 3, "float32"),
        "bert/next_sentence/pooler_dense/bias": np.full(8, 4, "float32"),
        "bert/next_sentence/logits/kernel": garden.pop("predictions/transform/logits/kernel"),
        "bert/next_sentence/logits/bias": garden.pop("predictions/transform/logits/bias"),
    }
    with caplog.at_level(logging.INFO):
        adapted = garden_names.adapt(write_objects(tmp_path / "ckpt", {**garden, **trained}))
    assert "pooler_transform/kernel" in caplog.text
    names = ["bert/pooler/dense/kernel", "bert/pooler/dense/bias",
             "cls/seq_relationship/output_weights"]  # fmt: skip
    found = adapted.read(names)
    assert np.all(found[names[0]] == 3) and np.all(found[names[1]] == 4)
    np.testing.assert_array_equal(found[names[2]], google_tensors[names[2]])


def test_a_classifier_of_two_classes_is_no_head_of_pairs(tmp_path):
    _, garden = garden_tensors(heads=False)
    head = {
        "predictions/transform/logits/kernel": np.zeros((8, 2), "float32"),
        "predictions/transform/logits/bias": np.zeros(2, "float32"),
    }
    source = write_objects(tmp_path / "ckpt", {**garden, **head})
    assert {name for name in garden_names.adapt(source).shapes if name.startswith("cls/")} == {
        "cls/other/predictions/transform/logits/kernel",
        "cls/other/predictions/transform/logits/bias",
    }
    with pytest.raises(CheckpointMismatchError, match="no next sentence head"):
        build_transformer_model(checkpoint=tmp_path / "ckpt", with_nsp=True)


def test_a_missing_head_is_said():
    with pytest.raises(CheckpointMismatchError, match="no MLM head"):
        build_transformer_model(checkpoint=FOLDER / "encoder.tar.xz", with_mlm=True)


def test_albert_needs_its_number_of_layers():
    with pytest.raises(ConfigError, match="num_hidden_layers"):
        build_transformer_model(checkpoint=FOLDER / "albert.tar.xz")


# ---- settings -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shapes", "expected"),
    [
        ({"transformer/layer_0/self_attention/query/kernel": (12, 3, 4)},
         {"num_attention_heads": 3}),
        ({"a/b/transformer/layer_7/self_attention/query/kernel": (12, 3, 5)},
         {"num_attention_heads": 3, "attention_head_size": 5}),
        ({"transformer/self_attention/query/kernel": (12, 6, 2)}, {"num_attention_heads": 6}),
        ({"transformer/layer_0/self_attention/query/kernel": (12, 12)}, {}),
        ({"transformer/layer_0/self_attention/query/bias": (3, 4)}, {}),
        ({}, {}),
    ],
)  # fmt: skip
def test_heads_from_shapes(shapes, expected):
    assert garden_names.infer_config(shapes) == expected


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (None, "gelu_tanh"),
        ("gelu", "gelu_tanh"),
        ("gelu_erf", "gelu_erf"),
        ("relu", "relu"),
    ],
)
def test_the_activation(said, expected):
    source = ArrayTensors(garden_tensors()[1])
    config = {"hidden_act": said, "hidden_dropout_prob": 0.25}
    assert garden_names.adapt(source, config).config == {
        "hidden_act": expected,
        "hidden_dropout_prob": 0.25,
        "num_attention_heads": 2,
    }
    assert garden_names.adapt(source).config["hidden_act"] == "gelu_tanh"


def test_a_json_beside_the_checkpoint(tmp_path):
    """Its "gelu" is Model Garden's, and all else that it says counts."""
    _, garden = garden_tensors(heads=False)
    write_objects(tmp_path / "bert_model.ckpt", garden)
    config = {**CONFIG, "hidden_dropout_prob": 0.25}
    (tmp_path / "bert_config.json").write_text(json.dumps(config))
    built = build_transformer_model(checkpoint=tmp_path, return_keras_model=False)
    assert built.activation == "gelu_tanh"
    assert built.config.hidden_dropout_prob == 0.25
    assert built.config.layer_norm_eps == 1e-12


# ---- modules of TensorFlow 1 ---------------------------------------------------------------------


def test_a_scope_around_a_module(tmp_path):
    tensors = tiny.bert_tensors()
    scoped = {f"module/{name}": value for name, value in tensors.items()}
    scoped["module/bert/pooler/dense/bias/adam_v"] = tensors["bert/pooler/dense/bias"]
    trained = {"output_weights": np.zeros((2, 16), "float32"), "global_step": np.int64(1)}
    google.write(tmp_path / "model.ckpt-1", {**scoped, **trained})
    source = google.GoogleCheckpoint(tmp_path / "model.ckpt-1")
    assert garden_names.recognise(source)
    adapted = garden_names.adapt(source, {"num_attention_heads": 4, "hidden_act": "gelu"})
    assert set(tensors) <= set(adapted.shapes)
    assert adapted.config == {"num_attention_heads": 4, "hidden_act": "gelu"}
    built = build_transformer_model(
        checkpoint=tmp_path / "model.ckpt-1", num_attention_heads=4, with_mlm=True,
        return_keras_model=False,
    )  # fmt: skip
    assert built.activation == "gelu_erf"  # as in the checkpoints that such modules were made of


# ---- what is not taken, and what is refused ------------------------------------------------------


def test_other_checkpoints_are_left_alone(tmp_path):
    for names in (
        tiny.bert_tensors(),
        {"bert.embeddings.word_embeddings.weight": np.zeros((3, 2), "float32")},
        {"Embedding-Token/embeddings": np.zeros((3, 2), "float32")},
        {},
    ):
        assert not garden_names.recognise(ArrayTensors(names))
    keras_like = {"Embedding-Token/embeddings": np.zeros((3, 2), "float32"),
                  "dense/kernel": np.zeros((3, 2), "float32")}  # fmt: skip
    assert not garden_names.recognise(write_objects(tmp_path / "ckpt", keras_like))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("scaffold/talking_heads_attention/pre_softmax_weight", "talking heads"),
        ("mobile_bert_embedding/word_embedding/embeddings", "MobileBERT"),
        ("funnel_transformer_encoder/pooler_transform/bias", "Funnel"),
        ("reuse_transformer_1/self_attention/value_new/bias", "reused attention"),
        ("x/kernel_attention/query/bias", "kernel attention"),
        ("f_net/word_embeddings/embeddings", "FNet"),
        ("transformer/layer_0/self_attention/relative/bias", "self_attention/relative/bias"),
    ],
)
def test_other_encoders_are_refused(name, message):
    _, garden = garden_tensors(heads=False)
    source = ArrayTensors({**garden, name: np.zeros(4, "float32")})
    assert garden_names.recognise(source)
    with pytest.raises(CheckpointFormatError, match=message):
        garden_names.adapt(source)


def test_blocks_that_are_not_known_are_refused(tmp_path):
    _, garden = garden_tensors(heads=False)
    renamed = {name.replace("transformer/layer_", "transformer_scaffold_"): value
               for name, value in garden.items()}  # fmt: skip
    source = write_objects(tmp_path / "ckpt", renamed)
    assert garden_names.recognise(source)
    with pytest.raises(CheckpointFormatError, match="no blocks of BERT"):
        garden_names.adapt(source)


def test_several_encoders_are_refused(tmp_path):
    _, garden = garden_tensors(heads=False)
    other = tf.Module()
    other.items = [tf.Variable(value, name=name) for name, value in garden.items()]
    source = write_objects(tmp_path / "ckpt", garden, other=other)
    with pytest.raises(CheckpointFormatError, match=r"several encoders.*'other/items/0'"):
        garden_names.adapt(source)


KNOWN = sorted({name for each in GENERATIONS for name in garden_tensors(generation=each)[1]})
NAMES = st.one_of(
    st.sampled_from(KNOWN),
    st.from_regex(r"(transformer|encoder)/(layer_\d{1,5}/)?(output|self_attention)/\w{0,3}",
                  fullmatch=True),
    st.text(max_size=9),
)  # fmt: skip


@settings(max_examples=60)
@given(st.dictionaries(NAMES, st.lists(st.integers(0, 3), max_size=4), max_size=12))
def test_any_names_and_shapes(shapes):
    """They are tensors, or an error that says what is wrong; none is lost."""
    source = ArrayTensors({name: np.zeros(shape, "float32") for name, shape in shapes.items()})
    try:
        garden_names.recognise(source)
        adapted = garden_names.adapt(source)
    except CheckpointFormatError:
        return
    assert isinstance(adapted, AdaptedTensors)
    assert {part.stored for part in adapted._parts.values()} >= {n for n, s in shapes.items() if s}


def _unpacked(case, folder):
    with tarfile.open(FOLDER / f"{case}.tar.xz") as archive:
        archive.extractall(folder)
    return folder
