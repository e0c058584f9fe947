"""UER-py's names and settings: every generation, every family, and nothing lost."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings

from kerasbert import build_transformer_model
from kerasbert.checkpoints import uer_names
from kerasbert.checkpoints.errors import CheckpointFormatError
from kerasbert.checkpoints.loading import ArrayTensors
from kerasbert.checkpoints.report import CheckpointMismatchError
from kerasbert.checkpoints.torch_file import TorchCheckpoint
from tests.foreign import (
    RECORDED,
    SIZES,
    Shapes,
    assert_loads,
    assert_no_tensor_is_lost,
    assert_outputs,
    assert_same,
    huggingface_weights,
    read_all,
    recorded,
    renamed,
    tensors_of,
    unknown_tensors,
)
from tests.published import entries

# Hugging Face's part of a name, and UER-py's of 2019; the order matters.
BODY = (
    ("embeddings.word_embeddings", "embedding.word_embedding"),
    ("embeddings.position_embeddings", "embedding.position_embedding"),
    ("embeddings.token_type_embeddings", "embedding.segment_embedding"),
    ("embeddings.LayerNorm", "embedding.layer_norm"),
    ("encoder.embedding_hidden_mapping_in", "encoder.linear"),
    ("encoder.layer.", "encoder.transformer."),
    ("encoder.albert_layer_groups.0.albert_layers.0.", "encoder.transformer."),
    ("attention.self.query", "self_attn.linear_layers.0"),
    ("attention.self.key", "self_attn.linear_layers.1"),
    ("attention.self.value", "self_attn.linear_layers.2"),
    ("attention.output.dense", "self_attn.final_linear"),
    ("attention.output.LayerNorm", "layer_norm_1"),
    ("attention.query", "self_attn.linear_layers.0"),
    ("attention.key", "self_attn.linear_layers.1"),
    ("attention.value", "self_attn.linear_layers.2"),
    ("attention.dense", "self_attn.final_linear"),
    ("attention.LayerNorm", "layer_norm_1"),
    ("intermediate.dense", "feed_forward.linear_1"),
    ("output.dense", "feed_forward.linear_2"),
    ("output.LayerNorm", "layer_norm_2"),
    ("full_layer_layer_norm", "layer_norm_2"),
    ("ffn_output", "feed_forward.linear_2"),
    ("ffn", "feed_forward.linear_1"),
)
HEADS = {
    "bert": (
        ("cls.predictions.transform.dense", "target.mlm_linear_1"),
        ("cls.predictions.transform.LayerNorm", "target.layer_norm"),
        ("cls.predictions.bias", "target.mlm_linear_2.bias"),
        ("bert.pooler.dense", "target.nsp_linear_1"),
        ("cls.seq_relationship", "target.nsp_linear_2"),
        ("bert.", ""),
    ),
    "albert": (
        ("predictions.dense", "target.mlm_linear_1"),
        ("predictions.LayerNorm", "target.layer_norm"),
        ("predictions.bias", "target.mlm_linear_2.bias"),
        ("albert.pooler", "target.nsp_linear_1"),
        ("sop_classifier.classifier", "target.nsp_linear_2"),
        ("albert.", ""),
    ),
    "roberta": (
        ("lm_head.dense", "target.mlm_linear_1"),
        ("lm_head.layer_norm", "target.layer_norm"),
        ("lm_head.bias", "target.mlm_linear_2.bias"),
        ("roberta.", ""),
    ),
}
SP = (("nsp_linear", "sp_linear"),)
EMBEDDINGS = (
    ("word_embedding", "word.embedding"),
    ("position_embedding", "pos.embedding"),
    ("segment_embedding", "seg.embedding"),
)
TARGETS = (
    ("mlm_linear", "mlm.linear"),
    ("sp_linear", "sp.linear"),
    ("target.layer_norm", "target.mlm.layer_norm"),
)
PUBLISHED = {"bert": "UER-py BERT base (chinese) names", "roberta": "UER-py XLM-R base names"}
GENERATIONS = {
    "2019": (),
    "2021-06": SP,
    "2023-07": (*SP, *EMBEDDINGS),
    "2023-10": (*SP, *EMBEDDINGS, *TARGETS),
}
CONFIG = {
    "emb_size": 12, "hidden_size": 12, "feedforward_size": 20, "heads_num": 3, "layers_num": 2,
    "max_seq_length": 17, "hidden_act": "gelu", "dropout": 0.1,
}  # fmt: skip


def expected_of(family: str) -> dict[str, np.ndarray]:
    """The tensors of the tiny model; XLM-R's first positions are not stored by UER-py."""
    tensors = tensors_of(family)
    if family == "roberta":
        tensors["roberta.embeddings.position_embeddings.weight"][:2] = 0
    return tensors


def stored_by_uer(family: str, generation: str = "2023-10") -> dict[str, np.ndarray]:
    """The tiny model as UER-py saves it."""
    found = renamed(tensors_of(family), *HEADS[family][:-1], *BODY, HEADS[family][-1])
    norms = [name for name in found if "norm" in name]
    for name in norms:
        gamma = name.replace(".weight", ".gamma").replace(".bias", ".beta")
        found[gamma] = found.pop(name)
    segments, positions = (
        "embedding.segment_embedding.weight",
        "embedding.position_embedding.weight",
    )
    padding = np.full((2 if family == "roberta" else 1, found[segments].shape[1]), 0.5, "f")
    found[segments] = np.concatenate([padding, found[segments]])
    if family == "roberta":
        found[positions] = np.concatenate([found[positions][2:], np.zeros_like(padding)])
    return renamed(found, *GENERATIONS[generation])


def adapted(tensors: dict, **options) -> dict[str, np.ndarray]:
    source = ArrayTensors(tensors)
    assert uer_names.recognise(source)
    return read_all(uer_names.adapt(source, **options))


@pytest.mark.parametrize("family", HEADS)
@pytest.mark.parametrize("generation", GENERATIONS)
def test_every_generation_has_the_tensors_of_hugging_face(family, generation):
    assert_same(adapted(stored_by_uer(family, generation)), expected_of(family))


@pytest.mark.parametrize("family", HEADS)
def test_an_adapted_model_is_the_model(family):
    config = {**CONFIG, "emb_size": 8 if family == "albert" else 12,
              "parameter_sharing": family == "albert"}  # fmt: skip
    tensors = adapted(stored_by_uer(family))
    if family == "roberta":  # the two rows that were lost
        name = "roberta.embeddings.position_embeddings.weight"
        tensors[name][:2] = tensors_of(family)[name][:2]
    assert_loads(family, uer_names.read_config(config), tensors)


def test_names_of_data_parallel_training():
    stored = {f"module.{name}": value for name, value in stored_by_uer("bert").items()}
    assert_same(adapted(stored), expected_of("bert"))


def test_the_matrix_of_the_output_is_a_copy():
    stored = stored_by_uer("bert", "2019")
    stored["target.mlm_linear_2.weight"] = stored["embedding.word_embedding.weight"]
    found = adapted(stored)
    assert_loads("bert", uer_names.read_config(CONFIG), found)
    assert "cls.predictions.decoder.weight" in found


@pytest.mark.parametrize(
    ("family", "layers", "names"),
    [
        ("bert", ("output_layer_1", "output_layer_2"), ("bert.pooler.dense", "classifier")),
        ("albert", ("output_layer_1", "output_layer_2"), ("albert.pooler", "classifier")),
        ("roberta", ("output_layer_1", "output_layer_2"),
         ("classifier.dense", "classifier.out_proj")),
        ("bert", ("output_layer",), ("classifier",)),
        ("roberta", ("output_layer",), ("classifier",)),
    ],
)  # fmt: skip
def test_heads_of_classifiers(family, layers, names):
    stored = {name: v for name, v in stored_by_uer(family).items() if "target." not in name}
    stored.update((f"{layer}.weight", np.full((2, 12), i, "f")) for i, layer in enumerate(layers))
    stored.update((f"{layer}.bias", np.full(2, i, "f")) for i, layer in enumerate(layers))
    found = adapted(stored)
    for i, name in enumerate(names):
        assert (found[f"{name}.weight"] == i).all() and (found[f"{name}.bias"] == i).all()
    assert len(found) == len(stored)


# ----------------------------------------------------------------------------- which family


def test_a_model_type_decides():
    stored = stored_by_uer("bert")
    del stored["target.sp.linear_1.weight"]
    found = adapted(stored, config={"model_type": "xlm-roberta"})
    assert "roberta.embeddings.word_embeddings.weight" in found
    stored = stored_by_uer("roberta")
    found = adapted(stored, config={"model_type": "bert"})
    table = found["bert.embeddings.position_embeddings.weight"]
    np.testing.assert_array_equal(table, stored["embedding.pos.embedding.weight"])


def test_masked_words_alone_are_bert_unless_positions_end_with_zeros():
    stored = {n: v for n, v in stored_by_uer("bert").items() if ".sp." not in n}
    assert "bert.embeddings.word_embeddings.weight" in adapted(stored)
    stored["embedding.pos.embedding.weight"][-1] = 0
    assert "bert.embeddings.word_embeddings.weight" in adapted(stored)
    stored["embedding.pos.embedding.weight"][-2] = 0
    assert "roberta.embeddings.word_embeddings.weight" in adapted(stored)


@pytest.mark.parametrize("missing", ["embedding.seg.embedding.weight",
                                     "embedding.word.embedding.weight",
                                     "encoder.transformer.0.layer_norm_1.gamma"])  # fmt: skip
def test_others_are_not_recognised(missing):
    shapes = ArrayTensors(stored_by_uer("bert")).shapes
    assert uer_names.recognise(Shapes(shapes))
    del shapes[missing]
    assert not uer_names.recognise(Shapes(shapes))


def test_other_names_are_not_recognised():
    shapes = ArrayTensors(stored_by_uer("bert")).shapes
    translator = {**shapes, "decoder.transformer_decoder.0.layer_norm_1.gamma": (12,)}
    assert not uer_names.recognise(Shapes(translator))
    assert not uer_names.recognise(ArrayTensors(tensors_of("bert")))
    assert not uer_names.recognise(Shapes({}))


# ----------------------------------------------------------------------------- nothing lost


@settings(max_examples=25)
@given(
    unknown_tensors(
        "target.cls.linear_1.weight",
        "encoder.transformer.0.gate.weight",
        "bert.pooler.dense.weight",
        "target.layer_norm.gamma",
        "bert.embeddings.word_embeddings.weight",
    )
)
def test_no_tensor_is_lost(unknown):
    assert_no_tensor_is_lost(adapted, stored_by_uer("bert"), unknown)


def test_an_unknown_tensor_is_reported():
    stored = {**stored_by_uer("bert"), "target.cls.linear_1.weight": np.zeros((3, 1), "f")}
    with pytest.raises(CheckpointMismatchError, match=r"target\.cls\.linear_1\.weight"):
        build_transformer_model(
            {**uer_names.read_config(CONFIG)}, adapted(stored), with_mlm=True, with_nsp=True
        )


@pytest.mark.parametrize("name", ["embedding.seg.embedding.weight",
                                  "embedding.pos.embedding.weight"])  # fmt: skip
@pytest.mark.parametrize("shape", [(), (1,), (0, 3)])
@pytest.mark.parametrize("family", ["bert", "roberta"])
def test_tables_of_other_shapes(family, name, shape):
    stored = {**stored_by_uer(family), name: np.zeros(shape, "f")}
    source = ArrayTensors(stored)
    try:
        read_all(uer_names.adapt(source, {"model_type": family}))
        uer_names.adapt(source)
    except CheckpointFormatError as error:
        assert name in str(error)


# ----------------------------------------------------------------------------- settings


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (
            CONFIG,
            {"hidden_size": 12, "num_hidden_layers": 2, "num_attention_heads": 3,
             "intermediate_size": 20, "max_position_embeddings": 17, "hidden_act": "gelu_erf",
             "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1},
        ),
        (
            {"emb_size": 128, "hidden_size": 768, "heads_num": 12, "layers_num": 12,
             "hidden_act": "gelu_fast", "parameter_sharing": True, "target": ["mlm", "sp"]},
            {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12,
             "embedding_size": 128, "hidden_act": "gelu_tanh", "model_type": "albert"},
        ),
        (
            {"emb_size": 8, "layers_num": 1, "heads_num": 1, "hidden_act": "relu", "dropout": 0.0},
            {"num_hidden_layers": 1, "num_attention_heads": 1, "embedding_size": 8,
             "hidden_act": "relu", "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0},
        ),
    ],
)  # fmt: skip
def test_settings(values, expected):
    assert uer_names.is_config(values)
    assert uer_names.read_config(values) == expected


def test_settings_come_with_the_tensors():
    source = ArrayTensors(stored_by_uer("bert"))
    assert uer_names.adapt(source, CONFIG).config == uer_names.read_config(CONFIG)
    of_hugging_face = {"model_type": "bert", "num_attention_heads": 3}
    assert uer_names.adapt(source, of_hugging_face).config == of_hugging_face
    assert uer_names.adapt(source).config is None


def test_settings_of_others():
    assert not uer_names.is_config({**SIZES, "model_type": "bert"})
    assert not uer_names.is_config({})


# ----------------------------------------------------------------------------- real files


@pytest.mark.slow
@pytest.mark.parametrize("name", recorded("uer"))
def test_recorded_models(name, shared):
    folder = RECORDED / "uer" / name
    source = TorchCheckpoint(folder / "model.bin")
    assert uer_names.recognise(source)
    tensors = uer_names.adapt(source, json.loads((folder / "config.json").read_text()))
    found, expected = read_all(tensors), huggingface_weights(folder)
    words = next(value for key, value in found.items() if key.endswith("word_embeddings.weight"))
    copy = next(key for key in found if key.endswith("decoder.weight"))
    np.testing.assert_array_equal(found[copy], words)
    padding = expected.get("roberta.embeddings.position_embeddings.weight", np.zeros((0, 1)))[:2]
    padding[:] = 0  # rows that UER-py does not have
    assert_same({key: value for key, value in found.items() if key != copy}, expected)
    assert_outputs(folder, tensors.config, found, padded=len(padding) == 0)


@pytest.mark.parametrize("family", ["bert", "roberta"])
def test_published_models(family, shared):
    published = {each["name"]: each for each in entries(("uer",), ("pytorch_uer",))}
    entry = published[PUBLISHED[family]]
    shapes = {each["name"]: tuple(each["shape"]) for each in entry["variables"]}
    source = Unread(shapes, rows=512 if family == "roberta" else 514)
    assert uer_names.recognise(source)
    found = uer_names.adapt(source).shapes
    assert found[f"{family}.encoder.layer.11.output.dense.weight"] == (768, 3072)
    segments = found[f"{family}.embeddings.token_type_embeddings.weight"]
    assert segments == (1 if family == "roberta" else 2, 768)
    assert not any(name.startswith(("encoder.", "embedding.", "target.")) for name in found)
    assert len(found) == len(shapes)
    config = uer_names.read_config(entry["config"])
    assert (config["num_attention_heads"], config["hidden_act"]) == (12, "gelu_erf")


class Unread:
    """Shapes of a published model, whose position table has that many rows that are not zeros."""

    def __init__(self, shapes, rows):
        self.shapes, self.rows = shapes, rows

    def read(self, names):
        return {name: (np.arange(514) < self.rows)[:, np.newaxis] for name in names}
