"""Paddle's names and settings: PaddleNLP's families, ERNIE's own repository, and nothing lost."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings

from kerasbert import build_transformer_model
from kerasbert.checkpoints import paddle_names
from kerasbert.checkpoints.errors import CheckpointFormatError
from kerasbert.checkpoints.loading import ArrayTensors
from kerasbert.checkpoints.paddle_file import PaddleCheckpoint
from kerasbert.checkpoints.report import CheckpointMismatchError
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

# Hugging Face's part of a name, and PaddleNLP's; the order matters.
BODY = (
    ("embeddings.LayerNorm", "embeddings.layer_norm"),
    ("encoder.layer.", "encoder.layers."),
    ("attention.self.query", "self_attn.q_proj"),
    ("attention.self.key", "self_attn.k_proj"),
    ("attention.self.value", "self_attn.v_proj"),
    ("attention.output.dense", "self_attn.out_proj"),
    ("attention.output.LayerNorm", "norm1"),
    ("intermediate.dense", "linear1"),
    ("output.dense", "linear2"),
    ("output.LayerNorm", "norm2"),
)
MLM = (
    ("cls.predictions.transform.dense", "cls.predictions.transform"),
    ("cls.predictions.transform.LayerNorm", "cls.predictions.layer_norm"),
    ("cls.predictions.bias", "cls.predictions.decoder_bias"),
)
OF_ALBERT = (
    ("albert.", "transformer."),
    ("transformer_layer", "albert_layer"),  # the root alone
    ("attention.LayerNorm", "attention.layer_norm"),
    ("predictions.LayerNorm", "predictions.layer_norm"),
)
OF_ROBERTA = (("lm_head.bias", "lm_head.decoder.bias"),)
OF_HFL = (
    ("bert.", "roberta."),
    ("cls.predictions.transform.dense", "lm_head.dense"),
    ("cls.predictions.transform.LayerNorm", "lm_head.layer_norm"),
    ("cls.predictions.bias", "lm_head.decoder.bias"),
)
FAMILIES = {
    "bert": (*BODY, *MLM),
    "ernie": (*BODY, *MLM),
    "roberta": (*BODY, *OF_ROBERTA),
    "albert": (*BODY[:1], *OF_ALBERT),
    "electra": BODY,
}
# The repository PaddlePaddle/ERNIE.
OF_ERNIE = (
    ("ernie.embeddings.word_embeddings", "word_emb"),
    ("ernie.embeddings.position_embeddings", "pos_emb"),
    ("ernie.embeddings.token_type_embeddings", "sent_emb"),
    ("ernie.embeddings.task_type_embeddings", "task_emb"),
    ("ernie.embeddings.LayerNorm", "ln"),
    ("ernie.encoder.layer.", "encoder_stack.block."),
    ("attention.self.query", "attn.q"),
    ("attention.self.key", "attn.k"),
    ("attention.self.value", "attn.v"),
    ("attention.output.dense", "attn.o"),
    ("attention.output.LayerNorm", "ln1"),
    ("intermediate.dense", "ffn.i"),
    ("output.dense", "ffn.o"),
    ("output.LayerNorm", "ln2"),
    ("ernie.pooler.dense", "pooler"),
    ("cls.predictions.transform.dense", "mlm"),
    ("cls.predictions.transform.LayerNorm", "mlm_ln"),
    ("cls.predictions.bias", "mlm_bias"),
    ("cls.seq_relationship", "nsp"),
)
CONFIG = {key: value for key, value in SIZES.items() if key != "initializer_range"}


def transposed(tensors: dict) -> dict[str, np.ndarray]:
    """Projections as Paddle has them, and tables as they are."""
    return {
        name: value if value.ndim < 2 or "embeddings." in name else np.ascontiguousarray(value.T)
        for name, value in tensors.items()
    }


def stored_by_paddle(family: str, *replacements: tuple[str, str]) -> dict[str, np.ndarray]:
    """The tiny model as PaddleNLP saves it."""
    return renamed(transposed(tensors_of(family)), *(replacements or FAMILIES[family]))


def adapted(tensors: dict) -> dict[str, np.ndarray]:
    source = ArrayTensors(tensors)
    assert paddle_names.recognise(source)
    return read_all(paddle_names.adapt(source))


@pytest.mark.parametrize("family", FAMILIES)
def test_families_of_paddlenlp(family):
    stored = stored_by_paddle(family)
    assert stored.keys() != tensors_of(family).keys()
    assert_same(adapted(stored), tensors_of(family))


def test_ernie_of_its_own_repository():
    stored = stored_by_paddle("ernie", *OF_ERNIE)
    assert_same(adapted(stored), tensors_of("ernie"))


def test_roberta_of_hfl_is_bert():
    stored = stored_by_paddle("bert", *BODY, *OF_HFL)
    assert "roberta.encoder.layers.0.linear1.weight" in stored
    assert_same(adapted(stored), tensors_of("bert"))


def test_uie_is_ernie():
    stored = stored_by_paddle("ernie", ("encoder.layer.", "encoder.layers."), *BODY[:1], *BODY[2:],
                              *MLM, ("ernie.", "encoder."))  # fmt: skip
    stored = {name: value for name, value in stored.items() if "cls." not in name}
    stored["linear_start.weight"] = np.arange(12, dtype="f").reshape(12, 1)
    stored["linear_end.bias"] = np.zeros(1, "f")
    found = adapted(stored)
    np.testing.assert_array_equal(found.pop("qa_outputs.linear_start.weight"), [np.arange(12)])
    assert found.pop("qa_outputs.linear_end.bias").shape == (1,)
    body = {name: v for name, v in tensors_of("ernie").items() if name.startswith("ernie.")}
    assert_same(found, body)


@pytest.mark.parametrize("root", ["", "ptm."])
def test_a_body_alone_has_no_root(root):
    stored = {name.replace("ernie.", root): value
              for name, value in stored_by_paddle("ernie").items()
              if name.startswith("ernie.")}  # fmt: skip
    body = {name[6:]: v for name, v in tensors_of("ernie").items() if name.startswith("ernie.")}
    assert_same(adapted(stored), body)


@pytest.mark.parametrize("family", ["bert", "ernie", "albert", "electra", "roberta"])
def test_an_adapted_model_is_the_model(family):
    config = {**CONFIG, "layer_norm_eps": 1e-12}
    if family in ("albert", "electra"):
        config["embedding_size"] = 8
    if family == "ernie":
        config["use_task_id"] = True
    if family == "roberta":
        config["type_vocab_size"] = 1
    assert_loads(family, config, adapted(stored_by_paddle(family)))


@pytest.mark.parametrize("spelling", ["decoder_weight", "decoder.weight"])
def test_the_matrix_of_the_output_is_a_copy(spelling):
    stored = stored_by_paddle("bert")
    words = stored["bert.embeddings.word_embeddings.weight"]
    found = adapted({**stored, f"cls.predictions.{spelling}": words})
    np.testing.assert_array_equal(found["cls.predictions.decoder.weight"], words)
    assert_loads("bert", CONFIG, found)


def test_a_classifier():
    stored = {**stored_by_paddle("bert"), "classifier.weight": np.zeros((12, 3), "f"),
              "classifier.bias": np.zeros(3, "f")}  # fmt: skip
    found = adapted(stored)
    assert found["classifier.weight"].shape == (3, 12) and found["classifier.bias"].shape == (3,)
    assert_loads("bert", CONFIG, found)


def test_the_generator_of_electra():
    stored = {name: value for name, value in stored_by_paddle("electra").items()
              if "discriminator" not in name}  # fmt: skip
    stored["generator_predictions.dense.weight"] = np.zeros((12, 8), "f")
    stored["generator_predictions.layer_norm.bias"] = np.zeros(8, "f")
    stored["generator_lm_head_bias"] = np.zeros(31, "f")
    found = adapted(stored)
    assert found["generator_predictions.dense.weight"].shape == (8, 12)
    assert found["generator_predictions.LayerNorm.bias"].shape == (8,)
    assert found["generator_lm_head.bias"].shape == (31,)


@pytest.mark.parametrize("family", FAMILIES)
def test_others_are_not_recognised(family):
    assert not paddle_names.recognise(ArrayTensors(tensors_of(family)))
    assert not paddle_names.recognise(Shapes({"embeddings.word_embeddings.weight": (3, 2)}))
    assert not paddle_names.recognise(Shapes({"word_emb.weight": (3, 2)}))
    assert not paddle_names.recognise(Shapes({}))


# ----------------------------------------------------------------------------- nothing lost


@settings(max_examples=25)
@given(
    unknown_tensors(
        "bert.encoder.layers.0.self_attn.rotary.sin",
        "ernie.foo.weight",
        "cls.predictions.decoder.bias",
        "bert.embeddings.LayerNorm.weight",
        "bert.encoder.layer.0.output.dense.bias",
    )
)
def test_no_tensor_is_lost(unknown):
    assert_no_tensor_is_lost(adapted, stored_by_paddle("bert"), unknown)


def test_an_unknown_tensor_is_reported():
    name = "bert.encoder.layers.0.adapter.weight"
    tensors = adapted({**stored_by_paddle("bert"), name: np.zeros((3, 1), "f")})
    with pytest.raises(CheckpointMismatchError, match=name):
        build_transformer_model(CONFIG, tensors, with_mlm=True, with_nsp=True)


def test_a_projection_that_is_no_matrix():
    stored = {**stored_by_paddle("bert"), "bert.pooler.dense.weight": np.zeros(3, "f")}
    with pytest.raises(CheckpointFormatError, match=r"'bert\.pooler\.dense\.weight'.*no matrix"):
        adapted(stored)


# ----------------------------------------------------------------------------- settings

ERNIE = {"vocab_size": 40000, "hidden_size": 768, "hidden_act": "gelu", "type_vocab_size": 4,
         "use_task_id": True, "init_class": "ErnieModel"}  # fmt: skip
READ = {"vocab_size": 40000, "hidden_size": 768, "hidden_act": "gelu_erf", "type_vocab_size": 4,
        "use_task_id": True, "model_type": "ernie", "layer_norm_eps": 1e-12}  # fmt: skip


@pytest.mark.parametrize(
    "values",
    [
        ERNIE,
        {"init_args": [ERNIE], "init_class": "ErnieForPretraining"},
        {"init_args": [[ERNIE], 3], "num_classes": 3, "init_class": "ErnieForTokenClassification"},
        {"ernie": ERNIE, "num_classes": 2, "init_class": "ErnieForSequenceClassification"},
        {"init_args": [{"init_args": [ERNIE], "init_class": "X"}], "init_class": "UIE"},
    ],
)
def test_settings_of_paddlenlp(values):
    assert paddle_names.is_config(values)
    assert paddle_names.read_config(values) == READ


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (
            {"vocab_size": 9, "init_class": "RobertaModel", "type_vocab_size": 2},
            {"vocab_size": 9, "type_vocab_size": 2, "model_type": "bert", "layer_norm_eps": 1e-12},
        ),
        (
            {"vocab_size": 9, "init_class": "RobertaModel", "type_vocab_size": 1,
             "layer_norm_eps": 1e-5},
            {"vocab_size": 9, "type_vocab_size": 1, "model_type": "roberta",
             "layer_norm_eps": 1e-5},
        ),
        (
            {"vocab_size": 9, "model_type": "roberta", "paddlenlp_version": None},
            {"vocab_size": 9, "model_type": "bert", "paddlenlp_version": None,
             "layer_norm_eps": 1e-12},
        ),
        (
            {"vocab_size": 9, "sent_type_vocab_size": 4, "hidden_act": "relu"},
            {"vocab_size": 9, "type_vocab_size": 4, "hidden_act": "relu"},
        ),
        (
            {"vocab_size": 9, "init_class": "ErnieGramModel"},
            {"vocab_size": 9, "layer_norm_eps": 1e-12},
        ),
        ({"init_args": [], "init_class": "AlbertForMaskedLM"},
         {"layer_norm_eps": 1e-12, "model_type": "albert"}),
        ({"init_args": {"a": {"b": {"c": {"d": {"e": {"f": {"vocab_size": 1}}}}}}}},
         {"layer_norm_eps": 1e-12}),
    ],
)  # fmt: skip
def test_settings(values, expected):
    assert paddle_names.is_config(values)
    assert paddle_names.read_config(values) == expected


def test_settings_come_with_the_tensors():
    source = ArrayTensors(stored_by_paddle("ernie"))
    assert paddle_names.adapt(source, {"init_args": [ERNIE]}).config == READ
    assert paddle_names.adapt(source, CONFIG).config == CONFIG
    assert paddle_names.adapt(source).config is None
    assert not paddle_names.is_config(CONFIG)


# ----------------------------------------------------------------------------- real files

FILES = [f"{name}/{file.name}" for name in recorded("paddle")
         for file in sorted((RECORDED / "paddle" / name).glob("*.pdparams"))]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("file", FILES)
def test_recorded_models(file, shared):
    path = RECORDED / "paddle" / file
    source = PaddleCheckpoint(path)
    assert paddle_names.recognise(source)
    values = json.loads((path.parent / "model_config.json").read_text())
    tensors = paddle_names.adapt(source, values)
    found, expected = read_all(tensors), huggingface_weights(path.parent)
    if path.name.startswith("base_only"):
        expected = {n[6:]: value for n, value in expected.items() if n.startswith("ernie.")}
    else:
        words = next(v for name, v in found.items() if name.endswith("word_embeddings.weight"))
        np.testing.assert_array_equal(found["cls.predictions.decoder.weight"], words)
    unshared = {"cls.predictions.decoder.weight"}
    if "ernie_mlm" in file:  # its pooler is not Hugging Face's
        unshared |= {name for name in found if "pooler." in name}
    assert_same({name: v for name, v in found.items() if name not in unshared}, expected)
    if path.name == "model_state.pdparams":
        assert_outputs(path.parent, tensors.config, found)
