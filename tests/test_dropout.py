"""Dropout and gradient checkpointing."""

from __future__ import annotations

import numpy as np
import pytest

from kerasbert.backend import keras, tf
from kerasbert.layers import Dropout


def drop(rate, shape=(200, 301), dtype="float32", training=True):
    return np.asarray(tf.cast(Dropout(rate)(tf.ones(shape, dtype), training=training), tf.float32))


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_the_rate_and_the_mean_are_kept(rate):
    keras.utils.set_random_seed(1)
    dropped = drop(rate)
    np.testing.assert_allclose(np.unique(dropped), [0, 1 / (1 - rate)], rtol=1e-4)
    deviation = np.sqrt(rate * (1 - rate) / dropped.size)
    assert abs((dropped == 0).mean() - rate) < 5 * deviation
    # neighbours share their 32 random bits: they must be independent all the same
    pairs = (dropped[:, 0::2][:, :150] == 0) & (dropped[:, 1::2][:, :150] == 0)
    assert abs(pairs.mean() - rate**2) < 5 * np.sqrt(rate**2 / pairs.size)


def test_nothing_is_dropped_outside_training():
    assert (drop(0.5, training=False) == 1).all()
    assert (drop(0.0) == 1).all()


def test_the_mask_follows_the_seed():
    first, second, third = [], [], []
    for seed, found in ((7, first), (7, second), (8, third)):
        keras.utils.set_random_seed(seed)
        found += [drop(0.5), drop(0.5)]
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, third)
    assert not np.array_equal(first[0], first[1])


@pytest.mark.parametrize("rate", [-0.1, 1, 1.5])
def test_impossible_rates_are_refused(rate):
    with pytest.raises(ValueError, match="rate must be from 0 to below 1"):
        Dropout(rate)


def test_a_model_draws_anew_at_every_step():
    inputs = keras.Input((50,))
    model = keras.Model(inputs, Dropout(0.5)(inputs))
    ones = np.ones((4, 50), "f")
    step = tf.function(lambda x: model(x, training=True))
    assert not np.array_equal(step(ones), step(ones))
    assert (np.asarray(model(ones)) == 1).all()
