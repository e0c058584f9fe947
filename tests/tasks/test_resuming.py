"""A training that is interrupted ends as one that was not."""

from __future__ import annotations

import numpy as np
import pytest

from kerasbert.backend import keras
from kerasbert.tasks import Resume

X = np.random.default_rng(0).standard_normal((32, 3)).astype("f")
Y = X @ np.array([[1.0], [2.0], [3.0]], "f")


def compiled() -> keras.Model:
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(0.1), "mse")
    return model


def fit(folder, epochs, **options):
    model = compiled()
    resume = Resume(model, folder, monitor="loss", **options)
    model.fit(
        X, Y, 8, epochs, shuffle=False, verbose=0, initial_epoch=resume.epoch, callbacks=[resume]
    )
    return model, resume


def test_going_on_is_the_same_as_going_through(tmp_path):
    whole, _ = fit(tmp_path / "whole", 6)
    fit(tmp_path / "parts", 2)
    model, resume = fit(tmp_path / "parts", 6)
    for ours, theirs in zip(model.get_weights(), whole.get_weights()):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5)
    assert resume.epoch == 6 and len(resume.history["loss"]) == 6


@pytest.mark.parametrize("mode", ["min", "max"])
def test_the_best_weights_come_back(tmp_path, mode):
    model, resume = fit(tmp_path, 4, mode=mode)
    losses = resume.history["loss"]
    assert losses == sorted(losses, reverse=True)
    last = model.get_weights()
    assert resume.restore_best() == pytest.approx(losses[-1] if mode == "min" else losses[0])
    is_last = all(np.array_equal(a, b) for a, b in zip(model.get_weights(), last))
    assert is_last == (mode == "min")


def test_nothing_to_restore(tmp_path):
    assert Resume(compiled(), tmp_path).restore_best() is None


def test_other_settings_are_refused(tmp_path):
    fit(tmp_path, 1, settings={"limit": 5, "数据": "甲"})
    fit(tmp_path, 2, settings={"limit": 5, "数据": "甲"})
    with pytest.raises(ValueError, match=r"other settings.*'limit': 5.*another folder"):
        fit(tmp_path, 2, settings={"limit": 6})


def test_what_is_monitored_must_be_there(tmp_path):
    model = compiled()
    with pytest.raises(ValueError, match=r"'val_loss' is not in the logs: \['loss'\]"):
        model.fit(X, Y, verbose=0, callbacks=[Resume(model, tmp_path)])
    with pytest.raises(ValueError, match="mode"):
        Resume(model, tmp_path, mode="auto")
