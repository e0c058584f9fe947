"""docs/adding_a_model.md: the family that it walks through works, and is short."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from kerasbert import build_transformer_model, list_models, save_weights_as_checkpoint
from kerasbert.backend import keras
from kerasbert.models import registry

PAGE = Path(__file__).resolve().parents[1] / "docs" / "adding_a_model.md"
SIZES = {
    "vocab_size": 40, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4,
    "intermediate_size": 24,
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def family():
    """Runs the page's code."""
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    before, namespace = list_models(), {}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), namespace)
    assert set(list_models()) - set(before) == {"alibi"}
    yield namespace
    registry._FAMILIES.pop("alibi")


def test_it_is_short():
    code = re.search(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)[1]
    assert len([line for line in code.splitlines() if line.strip()]) < 60


def test_a_later_token_weighs_less(family):
    bias = family["DistanceBias"](2)(np.zeros((1, 1, 1, 4), "f"))
    np.testing.assert_allclose(bias[0, 0, 0], [0, -(2.0**-4), -(2.0**-3), -3 * 2.0**-4])


def test_checkpoints_round_trip_and_are_recognised(tmp_path):
    model = build_transformer_model(**SIZES, model="alibi", with_mlm=True)
    path = save_weights_as_checkpoint(model, tmp_path / "alibi_model.ckpt")
    again = build_transformer_model(checkpoint=path, with_mlm=True)
    ids = np.array([[3, 4, 5, 6, 7, 0]])
    np.testing.assert_array_equal(again([ids, ids * 0]), model([ids, ids * 0]))


@pytest.mark.slow
def test_it_trains_and_is_saved(tmp_path):
    model = build_transformer_model(**SIZES, model="alibi", application="unilm", dtype="float32")
    ids = np.array([[3, 4, 5, 6, 7, 0]] * 2)
    inputs = [ids, np.array([[0, 0, 0, 1, 1, 0]] * 2)]
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(inputs, ids, verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again(inputs), model(inputs))
