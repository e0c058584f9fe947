"""Losses against those that Google's own pretraining code computed from the same weights."""

from __future__ import annotations

import json

import numpy as np
import pytest

from kerasbert.backend import tf
from pretraining.objectives import make_objective
from tests.golden_cases import checkpoint_of, find_cases, gelu_option
from tests.pretraining.objective_cases import CLS, MASK, PAD, SEP, UNK, Facts


def cases(family, loss):
    """Google's cases of a family that hold a loss."""
    found = [case for case in find_cases((family,)) if case.kind == "google"]
    found = [case for case in found if loss in np.load(case.arrays).files]
    return [pytest.param(case, id=case.name) for case in found]


def load(case, name):
    """The objective over a case's checkpoint, and its recorded arrays."""
    values, arrays = json.loads(case.record.read_text()), dict(np.load(case.arrays))
    config = values.get("config")
    if name == "electra":
        config = json.loads((case.folder / "discriminator.json").read_text())
    facts = Facts(
        style=name if name != "electra" else "bert",
        max_length=arrays["input_ids"].shape[1],
        vocab_size=config["vocab_size"],
        special_ids={"pad": PAD, "unk": UNK, "cls": CLS, "sep": SEP, "mask": MASK},
    )
    options = {}
    if name == "bert" and gelu_option(values.get("gelu"), config):
        options["hidden_act"] = gelu_option(values["gelu"], config)
    task = make_objective(
        name,
        facts,
        checkpoint=checkpoint_of(case),
        model=name,
        masking={"max_predictions": arrays["masked_lm_positions"].shape[1]},
        model_options=options,
    )
    return task, arrays


def inputs_of(arrays):
    names = {
        "token_ids": "input_ids",
        "segment_ids": "segment_ids",
        "positions": "masked_lm_positions",
        "labels": "masked_lm_ids",
        "weights": "masked_lm_weights",
    }
    return {ours: tf.constant(arrays[theirs]) for ours, theirs in names.items()}


def assert_mean(task, inputs, sums, **recorded):
    """Means over the batch; Google adds 1e-5 to what it divides by."""
    weights = task.weights(inputs)
    for name, expected in recorded.items():
        np.testing.assert_allclose(sums[name] / weights[name], expected, atol=3e-5)


@pytest.mark.parametrize("case", cases("bert", "nsp_loss"))
def test_bert(case):
    task, arrays = load(case, "bert")
    labels = tf.constant(arrays["next_sentence_labels"][:, 0])
    inputs = {**inputs_of(arrays), "pair_labels": labels}
    sums, _ = task.sums(inputs, False)
    assert_mean(task, inputs, sums, mlm=arrays["mlm_loss"], nsp=arrays["nsp_loss"])


@pytest.mark.parametrize("case", cases("albert", "sop_loss"))
def test_albert(case):
    task, arrays = load(case, "albert")
    labels = tf.constant(arrays["sentence_order_labels"][:, 0])
    inputs = {**inputs_of(arrays), "pair_labels": labels}
    sums, _ = task.sums(inputs, False)
    assert_mean(task, inputs, sums, mlm=arrays["mlm_loss"], sop=arrays["sop_loss"])


@pytest.mark.parametrize("case", cases("electra", "discriminator_loss"))
def test_electra(case):
    task, arrays = load(case, "electra")
    originals = arrays["discriminator_input_ids"].copy()
    fake = arrays["is_fake_tokens"] == 1
    originals[fake] = (originals[fake] + 1) % task.corpus.vocab_size  # any other token
    inputs = {
        **inputs_of(arrays),
        "original_ids": tf.constant(originals),
        "length": tf.constant(arrays["input_mask"].sum(1).astype(np.int32)),
    }
    sums, _ = task.sums(inputs, False)
    loss, _ = task.detection(inputs, tf.constant(arrays["discriminator_input_ids"]), False)
    sums["disc"] = loss
    recorded = {"mlm": arrays["generator_mlm_loss"], "disc": arrays["discriminator_loss"]}
    assert_mean(task, inputs, sums, **recorded)
