"""Every family against recorded outputs of the original code."""

from __future__ import annotations

import numpy as np
import pytest

from kerasbert import build_transformer_model
from tests.families import FAMILIES, bert
from tests.golden_cases import HERE, checkpoint_of

BERT_CASES = bert.golden_cases()


def _parameters(family, case):
    # The committed cases are enough for a quick check.
    marks = () if HERE in case.folder.parents else pytest.mark.slow
    return pytest.param(family, case, id=str(case), marks=marks)


@pytest.mark.parametrize(
    ("family", "case"),
    [_parameters(family, case) for family in FAMILIES for case in family.golden_cases()],
)
def test_outputs_equal_the_recorded_ones(family, case):
    assert family.compare(case) <= case.atol


@pytest.mark.parametrize(("family", "case"), [_parameters(bert, case) for case in BERT_CASES])
def test_key_biases_are_loaded_by_value(family, case):
    assert family.key_biases_equal(case) > 0


def test_some_cases_are_committed():
    committed = [case for case in BERT_CASES if HERE in case.folder.parents]
    assert {"google", "bert4keras"} <= {case.kind for case in committed}


def test_the_wrong_gelu_would_be_seen():
    """The tolerance is worth something only if the two forms of gelu differ by more."""
    case = next(case for case in BERT_CASES if case.name == "google/bert_zip")
    inputs = [np.load(case.arrays)[name] for name in ("input_ids", "segment_ids")]
    erf, tanh = (
        np.asarray(build_transformer_model(checkpoint_of(case), hidden_act=f"gelu_{form}")(inputs))
        for form in ("erf", "tanh")
    )
    assert np.abs(erf - tanh).max() > 10 * case.atol


def test_gelu_means_the_erf_form_of_the_released_graphs():
    case = next(case for case in BERT_CASES if case.name == "google/bert_zip")
    model = build_transformer_model(checkpoint_of(case))
    assert model.get_layer("Transformer-0-FeedForward").activation == "gelu_erf"


@pytest.mark.smoke
def test_right_padding_leaves_real_tokens_unchanged():
    model = build_transformer_model(checkpoint_of(BERT_CASES[0]))
    ids = np.array([[7, 8, 9, 10]])
    short = np.asarray(model([ids, np.zeros_like(ids)]))
    padded = np.pad(ids, ((0, 0), (0, 3)))
    long = np.asarray(model([padded, np.zeros_like(padded)]))
    np.testing.assert_allclose(long[:, :4], short, atol=2e-6)


def test_a_row_of_padding_gives_numbers():
    model = build_transformer_model(checkpoint_of(BERT_CASES[0]))
    ids = np.zeros((1, 5), "int32")
    assert np.isfinite(np.asarray(model([ids, ids]))).all()
