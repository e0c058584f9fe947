"""fairseq's names and settings: every generation, norms before and after, and nothing lost."""

from __future__ import annotations

import argparse
import json

import numpy as np
import pytest
from hypothesis import given, settings

from kerasbert import build_transformer_model
from kerasbert.checkpoints import fairseq_names
from kerasbert.checkpoints.errors import CheckpointFormatError
from kerasbert.checkpoints.loading import ArrayTensors
from kerasbert.checkpoints.report import CheckpointMismatchError
from kerasbert.checkpoints.torch_file import TorchCheckpoint
from kerasbert.checkpoints.unpickling import Named, Record
from kerasbert.models.weights import variables_by_path
from kerasbert.tokenizers import Tokenizer
from tests.foreign import (
    RECORDED,
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
    tiny_model,
    unknown_tensors,
)
from tests.pickles import Built, Call, Global, save
from tests.published import entries

SEGMENTS = "roberta.embeddings.token_type_embeddings.weight"
# Hugging Face's part of a name, and fairseq's of 2021; the order matters.
BODY = (
    ("roberta.embeddings.word_embeddings", "encoder.sentence_encoder.embed_tokens"),
    ("roberta.embeddings.position_embeddings", "encoder.sentence_encoder.embed_positions"),
    ("roberta.embeddings.LayerNorm", "encoder.sentence_encoder.layernorm_embedding"),
    ("roberta.encoder.LayerNorm", "encoder.sentence_encoder.layer_norm"),
    ("roberta.encoder.layer.", "encoder.sentence_encoder.layers."),
    ("attention.self.query", "self_attn.q_proj"),
    ("attention.self.key", "self_attn.k_proj"),
    ("attention.self.value", "self_attn.v_proj"),
    ("attention.output.dense", "self_attn.out_proj"),
    ("intermediate.dense", "fc1"),
    ("lm_head", "encoder.lm_head"),
)
NORMS = {
    "roberta": (
        ("attention.output.LayerNorm", "self_attn_layer_norm"),
        ("output.LayerNorm", "final_layer_norm"),
        ("output.dense", "fc2"),
    ),
    "xlm_roberta_xl": (
        ("attention.self_attn_layer_norm", "self_attn_layer_norm"),
        (".LayerNorm", ".final_layer_norm"),
        ("output.dense", "fc2"),
    ),
}
OLD = (
    ("encoder.sentence_encoder", "decoder.sentence_encoder"),
    ("encoder.lm_head", "decoder.lm_head"),
    ("layernorm_embedding", "emb_layer_norm"),
)
GENERATIONS = ("2019", "2020", "2021", "hub")
ARGS = {
    "arch": "roberta_base", "encoder_layers": 2, "encoder_embed_dim": 12,
    "encoder_ffn_embed_dim": 20, "encoder_attention_heads": 3, "activation_fn": "gelu",
    "dropout": 0.1, "attention_dropout": 0.2, "max_positions": 15,
}  # fmt: skip
FIELDS = {
    "model_type": "roberta", "layer_norm_eps": 1e-5, "pad_token_id": 1, "num_hidden_layers": 2,
    "hidden_size": 12, "intermediate_size": 20, "num_attention_heads": 3,
    "hidden_act": "gelu_erf", "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.2,
}  # fmt: skip


def expected_of(family: str) -> dict[str, np.ndarray]:
    """The tensors of the tiny model, without the segment that fairseq does not have."""
    return {**tensors_of(family), SEGMENTS: np.zeros((1, 12), "f")}


def stored_by_fairseq(family: str = "roberta", generation: str = "2021") -> dict[str, np.ndarray]:
    """The tiny model as fairseq saves it."""
    tensors = {name: value for name, value in tensors_of(family).items() if name != SEGMENTS}
    found = renamed(tensors, *BODY, *NORMS[family])
    found["encoder.lm_head.weight"] = found["encoder.sentence_encoder.embed_tokens.weight"]
    if generation in ("2019", "2020"):
        found = renamed(found, *OLD)
    if generation == "2019":
        for i in range(2):
            attention = f"decoder.sentence_encoder.layers.{i}.self_attn."
            for kind in ("weight", "bias"):
                parts = [found.pop(f"{attention}{part}_proj.{kind}") for part in "qkv"]
                found[f"{attention}in_proj_{kind}"] = np.concatenate(parts)
    if generation == "2021":
        found["encoder.sentence_encoder.version"] = np.full(1, 3, "f")
    if generation == "hub":  # `RobertaHubInterface.state_dict()`
        found = {f"model.{name}": value for name, value in found.items()}
    return found


def adapted(tensors: dict) -> dict[str, np.ndarray]:
    source = ArrayTensors(tensors)
    assert fairseq_names.recognise(source)
    return read_all(fairseq_names.adapt(source))


@pytest.mark.parametrize("family", NORMS)
@pytest.mark.parametrize("generation", GENERATIONS)
def test_every_generation_has_the_tensors_of_hugging_face(family, generation):
    found = adapted(stored_by_fairseq(family, generation))
    words = found.pop("lm_head.decoder.weight")
    np.testing.assert_array_equal(words, found["roberta.embeddings.word_embeddings.weight"])
    assert_same(found, expected_of(family))


@pytest.mark.parametrize("family", NORMS)
def test_an_adapted_model_is_the_model(family):
    stored = stored_by_fairseq(family)
    config = fairseq_names.read_config({"args": ARGS}, ArrayTensors(stored).shapes)
    tensors = adapted(stored)
    tensors[SEGMENTS] = tensors_of(family)[SEGMENTS]
    assert_loads(family, config, tensors)


def test_segments_that_are_there_are_kept():
    stored = stored_by_fairseq()
    stored["encoder.sentence_encoder.segment_embeddings.weight"] = np.ones((2, 12), "f")
    np.testing.assert_array_equal(adapted(stored)[SEGMENTS], np.ones((2, 12), "f"))


def test_heads_of_classifiers():
    stored = stored_by_fairseq()
    head = {f"{layer}.{kind}": np.full((2,), i, "f")
            for i, layer in enumerate(("dense", "out_proj"))
            for kind in ("weight", "bias")}  # fmt: skip
    one = {f"classification_heads.mnli.{name}": value for name, value in head.items()}
    found = adapted({**stored, **one})
    for name, value in head.items():
        np.testing.assert_array_equal(found[f"classifier.{name}"], value)
    two = {f"classification_heads.sst.2.{name}": value + 5 for name, value in head.items()}
    found = adapted({**stored, **one, **two})
    for name, value in head.items():
        np.testing.assert_array_equal(found[f"classifier.mnli.{name}"], value)
        np.testing.assert_array_equal(found[f"classifier.sst.2.{name}"], value + 5)
    build_transformer_model(fairseq_names.read_config({"args": ARGS}), found, with_mlm=True)


def test_others_are_not_recognised():
    shapes = ArrayTensors(stored_by_fairseq()).shapes
    assert fairseq_names.recognise(Shapes(shapes))
    bart = {name.replace("sentence_encoder.", ""): shape for name, shape in shapes.items()}
    assert not fairseq_names.recognise(Shapes(bart))
    assert not fairseq_names.recognise(ArrayTensors(tensors_of("roberta")))
    assert not fairseq_names.recognise(Shapes({}))


# ----------------------------------------------------------------------------- nothing lost


@settings(max_examples=25)
@given(
    unknown_tensors(
        "decoder.sentence_encoder.emb_layer_norm.weight",
        SEGMENTS,
        "encoder.sentence_encoder.quant_noise.weight",
        "roberta.embeddings.word_embeddings.weight",
    )
)
def test_no_tensor_is_lost(unknown):
    assert_no_tensor_is_lost(adapted, stored_by_fairseq(generation="2020"), unknown, made=SEGMENTS)


def test_an_unknown_tensor_is_reported():
    name = "encoder.sentence_encoder.layers.0.adapter.weight"
    tensors = adapted({**stored_by_fairseq(), name: np.zeros((3, 1), "f")})
    with pytest.raises(CheckpointMismatchError, match=name):
        build_transformer_model(fairseq_names.read_config({"args": ARGS}), tensors, with_mlm=True)


@pytest.mark.parametrize("shape", [(), (0,), (35, 12), (36, 12, 1)])
def test_stacked_projections_of_other_shapes(shape):
    stored = stored_by_fairseq(generation="2019")
    stored["decoder.sentence_encoder.layers.0.self_attn.in_proj_weight"] = np.zeros(shape, "f")
    with pytest.raises((CheckpointFormatError, CheckpointMismatchError)):
        build_transformer_model(fairseq_names.read_config({"args": ARGS}), adapted(stored))


def test_a_token_table_without_axes():
    stored = stored_by_fairseq()
    stored["encoder.sentence_encoder.embed_tokens.weight"] = np.float32(1)
    assert adapted(stored)[SEGMENTS].shape == (1, 0)
    assert "num_attention_heads" not in fairseq_names.read_config({}, ArrayTensors(stored).shapes)


# ----------------------------------------------------------------------------- settings


def record(settings: dict) -> Record:
    """An `argparse.Namespace` as the reader of PyTorch's files gives it."""
    found = Record(Named("argparse", "Namespace"), ())
    found.set_state(settings)
    return found


@pytest.mark.parametrize(
    "extras",
    [
        {"args": ARGS},
        {"args": record(ARGS)},
        {"args": None, "cfg": {"model": record(ARGS)}},
        {"args": argparse.Namespace(**ARGS)},
        {"args": None, "cfg": {"model": ARGS, "task": {"_name": "masked_lm"}}},
        {"args": None, "cfg": argparse.Namespace(model=argparse.Namespace(**ARGS))},
    ],
)
def test_settings(extras):
    assert fairseq_names.read_config(extras) == FIELDS


def test_settings_of_a_file(tmp_path):
    arguments = Built(Call(Global("argparse", "Namespace"), ()), ARGS)
    path = save(tmp_path / "model.pt", stored_by_fairseq(generation="2020"), lambda tensors: {
        "args": arguments, "model": tensors, "last_optimizer_state": {"state": {"0": tensors}},
        "extra_state": {"epoch": 3},
    })  # fmt: skip
    source = TorchCheckpoint(path)
    assert source.extras.keys() == {"args", "extra_state"}
    tensors = fairseq_names.adapt(source)
    assert tensors.config == FIELDS
    assert_same(read_all(tensors), adapted(stored_by_fairseq(generation="2020")))


def test_a_json_has_the_last_word():
    source = ArrayTensors(stored_by_fairseq())
    source.extras = {"args": ARGS}
    found = fairseq_names.adapt(source, {"model_type": "xlm-roberta", "num_attention_heads": 4})
    assert found.config == {**FIELDS, "model_type": "xlm-roberta", "num_attention_heads": 4}
    assert fairseq_names.adapt(source).config == FIELDS


@pytest.mark.parametrize(("theirs", "ours"), [("gelu_accurate", "gelu_tanh"), ("relu", "relu"),
                                              ("gelu_fast", "gelu_tanh")])  # fmt: skip
def test_activations(theirs, ours):
    extras = {"args": {**ARGS, "activation_fn": theirs}}
    assert fairseq_names.read_config(extras)["hidden_act"] == ours


@pytest.mark.parametrize(("width", "heads"), [(768, 12), (1024, 16), (2560, 32), (4096, 32),
                                              (100, None)])  # fmt: skip
def test_heads_of_a_file_without_settings(width, heads):
    shapes = {"decoder.sentence_encoder.embed_tokens.weight": (50265, width)}
    for extras in ({}, {"args": None}, {"args": 3, "cfg": {"model": None}}):
        assert fairseq_names.read_config(extras, shapes).get("num_attention_heads") == heads


@pytest.mark.parametrize("said", [True, False])
def test_norms_before_sublayers(said):
    shapes = ArrayTensors(stored_by_fairseq("xlm_roberta_xl" if not said else "roberta")).shapes
    extras = {"args": {**ARGS, "encoder_normalize_before": said}}
    assert fairseq_names.read_config(extras, shapes)["model_type"] == "xlm-roberta-xl"


# ----------------------------------------------------------------------------- real files


@pytest.mark.slow
@pytest.mark.parametrize("name", recorded("fairseq"))
def test_recorded_models(name, shared):
    folder = RECORDED / "fairseq" / name
    source = TorchCheckpoint(folder / "model.pt")
    assert fairseq_names.recognise(source)
    tensors = fairseq_names.adapt(source)
    found, expected = read_all(tensors), huggingface_weights(folder)
    expected[SEGMENTS][:] = 0
    copy = found.pop("lm_head.decoder.weight")
    np.testing.assert_array_equal(copy, expected["roberta.embeddings.word_embeddings.weight"])
    assert_same(found, expected)
    assert tensors.config["num_attention_heads"] == 4  # 64 wide by convention, if nothing said so
    assert_outputs(folder, tensors.config, found)


@pytest.mark.parametrize("name", recorded("fairseq"))
def test_recorded_vocabularies(name, shared):
    folder = RECORDED / "fairseq" / name
    vocabulary = "encoder.json" if name.startswith("roberta") else "sentencepiece.bpe.model"
    found = Tokenizer.from_pretrained(folder / vocabulary).all_tokens
    if name.startswith("roberta"):
        expected = json.loads((folder / "hf_vocab.json").read_text())
        assert {token: at for at, token in enumerate(found)} == expected
    else:
        lines = (folder / "dict.txt").read_text(encoding="utf-8").splitlines()
        pieces = [line.rpartition(" ")[0] for line in lines]
        assert list(found) == ["<s>", "<pad>", "</s>", "<unk>", *pieces, "<mask>"]


def test_published_models(shared):
    found = entries(
        ("roberta", "xlm_roberta", "xlm_roberta_xl"), ("pytorch_fairseq", "pytorch_fairseq_old")
    )
    assert len(found) == 10
    for entry in found:
        shapes = {each["name"]: tuple(each["shape"]) for each in entry["variables"]}
        source = Shapes(shapes)
        assert fairseq_names.recognise(source), entry["name"]
        adapted_shapes = fairseq_names.adapt(source).shapes
        assert not any("sentence_encoder" in name for name in adapted_shapes), entry["name"]
        layers = 1 + max(int(n.split(".")[3]) for n in adapted_shapes if ".layer." in n)
        fields = fairseq_names.read_config({}, shapes)
        # Two tables, a head of six, the segment, a norm; sixteen tensors a layer.
        assert len(adapted_shapes) == 16 * layers + 11, entry["name"]
        heads = {768: 12, 1024: 16, 2560: 32, 4096: 32}
        width = adapted_shapes[SEGMENTS][1]
        assert fields["num_attention_heads"] == heads[width]
        of_xl = entry["family"] == "xlm_roberta_xl"
        assert fields["model_type"] == ("xlm-roberta-xl" if of_xl else "roberta")


@pytest.mark.parametrize("family", NORMS)
def test_through_the_front_door(family):
    built = build_transformer_model(
        checkpoint=stored_by_fairseq(family),
        num_attention_heads=3,
        with_mlm=True,
        return_keras_model=False,
    )
    assert built.family == family and built.config.type_vocab_size == 1
    ours, first = (variables_by_path(each.layers) for each in (built, tiny_model(family)))
    for path in ours.keys() - {"Embedding-Segment/embeddings"}:
        np.testing.assert_array_equal(ours[path], first[path])
