"""Every recorded file of every format, opened as a user opens it."""

from __future__ import annotations

import pytest

from tests import format_cases


@pytest.mark.slow
@pytest.mark.parametrize("case", format_cases.find(), ids=str)
def test_weights_are_equal_and_outputs_as_recorded(case):
    differs, number = format_cases.weights(case)
    assert differs == 0 and number > 10
    if not any(word in case.name for word in format_cases.WEIGHTS_ALONE):
        assert format_cases.outputs(case) <= case.atol


@pytest.mark.usefixtures("shared")
def test_every_format_is_there():
    kinds = {case.kind for case in format_cases.find()}
    assert kinds == {
        *("hf", "tf_h5", "tf_h5_old", "uer", "paddle", "fairseq", "b4k_keras231", "b4k_tfkeras215")
    }
