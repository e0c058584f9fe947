"""Heads against the Transformers library: recorded logits of every class, families and formats."""

from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors.numpy import load_file

from kerasbert import build_transformer_model
from kerasbert.backend import keras, tf
from kerasbert.checkpoints.formats import format_of
from kerasbert.checkpoints.mapping import ALL_TOKENS, on_load
from kerasbert.models.weights import variables_by_path
from kerasbert.tasks import load_fine_tuned, task_of
from tests import head_cases
from tests.golden_cases import SHARED, distance
from tests.huggingface_cases import INPUTS

ATOL = 2e-5  # of numbers of about this size; logits of trained models are granted 1e-4
# One of each form of a head; the others differ in their names, and are slow in sum.
QUICK = [
    *("bert SequenceClassification", "bert TokenClassification", "bert QuestionAnswering"),
    *("bert MultipleChoice", "albert SequenceClassification", "roberta SequenceClassification"),
    *("electra SequenceClassification", "electra MultipleChoice", "xlnet SequenceClassification"),
    *("xlnet plain", "roformer SequenceClassification"),
]
# What the golden data hold of fine-tuned models.
RECORDED = ["bert_seqcls", "bert_seqcls_reg", "bert_tokcls", "bert_qa", "bert_mc", "albert_seqcls",
            "electra_seqcls", "roberta_seqcls", "xlmr_tokcls", "xlnet_seqcls"]  # fmt: skip
KINDS = {"seqcls": "sequence_classification", "tokcls": "token_classification",
         "qa": "question_answering", "mc": "multiple_choice"}  # fmt: skip


def run(model: keras.Model, arrays: dict) -> dict:
    """A model's outputs by name, of recorded inputs."""
    given = [arrays[INPUTS[x.name.split(":")[0]]] for x in model.inputs]
    found = model([tf.cast(x, tf.int32) for x in given] if len(given) > 1 else given[0])
    return found if isinstance(found, dict) else {"logits": found}


def parts(arrays, direction: str) -> dict:
    """The arrays of one direction, by their last name."""
    return {
        key.split(".")[-1]: arrays[key]
        for key in arrays
        if key.startswith(f"{direction}.") and key.endswith(("logits", "ids", "mask"))
    }


@pytest.mark.parametrize(
    "name",
    [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in head_cases.names()],
)
def test_logits_are_those_of_the_transformers_library(name):
    config = head_cases.config_of(name)
    model = load_fine_tuned(head_cases.tensors_of(name), config)
    found, expected = (
        run(model, head_cases.arrays_of(name, "in")),
        head_cases.arrays_of(name, "out"),
    )
    assert set(found) == set(expected)
    for output, value in expected.items():
        assert distance(found[output], value) <= ATOL, output
    assert task_of(model).kind.replace("_", "") in config["architectures"][0].lower()


@pytest.mark.parametrize("name", RECORDED)
def test_recorded_models(name, shared):
    folder = SHARED / "huggingface" / "hf" / name
    arrays = dict(np.load(folder / "golden.npz"))
    transformer = load_fine_tuned(folder, return_keras_model=False, with_attention_mask=True)
    found, expected = run(transformer.model, parts(arrays, "in")), parts(arrays, "out")
    assert set(found) == set(expected)
    for output, value in expected.items():
        assert distance(found[output], value) <= ATOL, output
    assert task_of(transformer.model).kind == KINDS[name.split("_")[1]]

    weights = load_file(folder / "model.safetensors")
    rows = {row.variable: row for row in transformer.loaded.rows}
    variables = variables_by_path(transformer.layers)
    used = set()
    for path, variable in variables.items():
        row = rows[path]
        used.add(row.tensor)
        value = on_load(row.op, tf.constant(weights[row.tensor]), ALL_TOKENS, row.block)
        np.testing.assert_array_equal(np.asarray(variable), value, path)
    assert set(weights) - used <= {"transformer.mask_emb"}


@pytest.mark.parametrize(
    "file",
    [
        *("tf_h5/bert_seqcls/tf_model.h5", "tf_h5/bert_qa/tf_model.h5"),
        *("tf_h5/bert_tokcls/tf_model.h5", "tf_h5_old/bert_seqcls/tf_model.h5"),
        *("tf_h5_old/bert_qa/tf_model.h5", "hf/bert_mc/pytorch_model.bin"),
        *("hf/electra_seqcls/pytorch_model.bin", "hf/xlmr_tokcls/pytorch_model.bin"),
    ],
)
def test_other_formats(file, shared):
    path = SHARED / "huggingface" / file
    variables = load_fine_tuned(path).weights
    same = load_fine_tuned(SHARED / "huggingface" / "hf" / path.parent.name).weights
    assert len(variables) == len(same)
    for ours, theirs in zip(variables, same):
        np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs))


def with_new_head(path, shapes: dict) -> tuple[dict, dict, dict]:
    """A recorded file's tensors and those of a head, that head, and Hugging Face's settings."""
    source = format_of(path).open(path)
    rng = np.random.default_rng(0)
    head = {name: rng.standard_normal(shape).astype("f") for name, shape in shapes.items()}
    config = json.loads((path.parent / "hf_config.json").read_text())
    return {**source.read(list(source.shapes)), **head}, head, {**config, "architectures": None}


def test_head_of_fairseq(shared):
    scope = "classification_heads.sentence_classification_head"
    shapes = {f"{scope}.dense.weight": (32, 32), f"{scope}.dense.bias": (32,),
              f"{scope}.out_proj.weight": (2, 32), f"{scope}.out_proj.bias": (2,)}  # fmt: skip
    path = SHARED / "huggingface" / "fairseq" / "roberta_2020" / "model.pt"
    tensors, head, config = with_new_head(path, shapes)
    dense, dense_bias, out, bias = head.values()
    ids = np.array([[0, 7, 8, 2]], "int32")
    hidden = np.asarray(build_transformer_model(config, tensors)(ids))[:, 0]
    expected = np.tanh(hidden @ dense.T + dense_bias) @ out.T + bias
    assert distance(load_fine_tuned(tensors, config)(ids), expected) <= ATOL


def test_head_of_paddle(shared):
    path = SHARED / "huggingface" / "paddle" / "bert" / "model_state.pdparams"
    shapes = {"classifier.weight": (32, 2), "classifier.bias": (2,)}  # stored as ours
    tensors, head, config = with_new_head(path, shapes)
    config["init_class"] = "BertForSequenceClassification"
    ids = [np.array([[2, 7, 8, 3]], "int32"), np.zeros((1, 4), "int32")]
    pooled = np.asarray(build_transformer_model(config, tensors, with_pool=True)(ids))
    expected = pooled @ head["classifier.weight"] + head["classifier.bias"]
    assert distance(load_fine_tuned(tensors, config)(ids), expected) <= ATOL
