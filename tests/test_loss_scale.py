"""The loss scale: halved, doubled, saved. Two replicas: see test_weight_average."""

from __future__ import annotations

import numpy as np
import pytest

from kerasbert.backend import keras, tf
from kerasbert.optimizers import AdamW, LossScale, apply_reduced_gradients, create_state


def followed(scale, steps, how="eager"):
    """The scale after each of some steps, 1 for a good one and 0 for one that overflowed."""
    update = scale.update
    if how != "eager":
        update = tf.function(update, jit_compile=how == "xla")
    found = []
    for step in steps:
        update(tf.constant(bool(int(step))))
        found.append(float(scale.scale.numpy()))
    return found


@pytest.mark.parametrize("how", ["eager", "graph", "xla"])
def test_it_is_halved_at_once_and_doubled_after_good_steps(how):
    found = followed(LossScale(16, growth_steps=3), "111110111111100", how)
    assert found == [16, 16, 32, 32, 32, 16, 16, 16, 32, 32, 32, 64, 64, 32, 16]


def test_same_numbers_as_keras():
    rng = np.random.default_rng(0)
    steps = (rng.random(60) > 0.2).astype(int)
    theirs = keras.mixed_precision.LossScaleOptimizer(
        keras.optimizers.SGD(0.1), initial_scale=64.0, dynamic_growth_steps=3
    )
    variable = tf.Variable([1.0])
    expected = []
    for step in steps:
        gradient = tf.constant([1.0 if step else float("inf")])
        theirs.apply_gradients([(gradient, variable)])
        scale = getattr(theirs, "loss_scale", None)
        expected.append(float(theirs.dynamic_scale if scale is None else scale))
    assert followed(LossScale(64.0, growth_steps=3), steps) == expected
    assert len(set(expected)) > 4


def test_it_stays_between_one_and_what_float32_holds():
    assert followed(LossScale(2.0, 1), "000")[-1] == 1.0
    assert followed(LossScale(2.0**126, 1), "111") == [2.0**127] * 3


@pytest.mark.parametrize("options", [{"initial": 0.5}, {"initial": float("inf")}])
def test_impossible_scales_are_refused(options):
    with pytest.raises(ValueError, match="initial must be at least 1"):
        LossScale(**options)


def test_growth_after_no_steps_is_refused():
    with pytest.raises(ValueError, match="growth_steps must be at least 1"):
        LossScale(growth_steps=0)


def test_checkpoint(tmp_path):
    scale = LossScale(64, growth_steps=3)
    followed(scale, "0011")
    path = tf.train.Checkpoint(scale=scale).save(str(tmp_path / "state"))
    again = LossScale(growth_steps=3)
    tf.train.Checkpoint(scale=again).restore(path).assert_consumed()
    assert float(again.scale.numpy()) == 16 and int(again.good_steps.numpy()) == 2
    assert followed(again, "1") == [32]


def test_a_loop_in_float16_trains_where_plain_gradients_vanish():
    layer = keras.layers.Dense(1, dtype="mixed_float16", use_bias=False)
    layer.build((None, 2))
    (kernel,) = layer.trainable_variables
    kernel.assign([[0.5], [0.5]])
    x = tf.constant([[2.0**-13, -(2.0**-13)]], tf.float16)
    optimizer, scale = AdamW(0.1, 0.0, epsilon=1e-12), LossScale(2.0**30, 2)
    create_state(optimizer, [kernel])

    def gradient(factor):
        with tf.GradientTape() as tape:
            loss = tf.cast(tf.reduce_sum(layer(x)), tf.float32) * 2.0**-13
            loss = loss * factor
        return tape.gradient(loss, layer.trainable_variables)[0]

    assert not np.any(gradient(1.0))

    @tf.function
    def step():
        factor = scale.scale.read_value()
        unscaled = gradient(factor) / factor
        finite = tf.reduce_all(tf.math.is_finite(unscaled))
        if finite:
            apply_reduced_gradients(optimizer, [unscaled], [kernel])
        scale.update(finite)
        return finite

    went = [bool(step()) for _ in range(8)]
    assert went == [False, False, True, True, False, True, True, False]
    assert int(optimizer.iterations) == 4
    moved = np.array(kernel)[:, 0]
    np.testing.assert_allclose(moved, [0.1, 0.9], atol=1e-3)
