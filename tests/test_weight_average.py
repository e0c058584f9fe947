"""Averages of weights: the arithmetic, swapping, checkpoints, replicas."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from kerasbert.backend import keras, tf
from kerasbert.optimizers import AdamW, WeightAverage, apply_reduced_gradients, create_state


def layer_of(value=1.0, dtype=None):
    layer = keras.layers.Dense(2, dtype=dtype)
    layer.build((None, 3))
    fill(layer, value)
    return layer


def fill(layer, value):
    for variable in layer.trainable_variables:
        variable.assign(tf.fill(variable.shape, tf.cast(value, variable.dtype)))


def weights(layer):
    return np.concatenate([np.ravel(tf.cast(v, tf.float32)) for v in layer.trainable_variables])


def averages(average):
    return np.concatenate([np.ravel(v.numpy()) for v in average.averages])


@pytest.mark.parametrize("how", ["eager", "graph", "xla"])
@pytest.mark.parametrize("warmup", [False, True])
def test_arithmetic(how, warmup):
    layer = layer_of(1.0)
    average = WeightAverage(layer.trainable_variables, 0.6, warmup=warmup)
    update = average.update
    if how != "eager":
        update = tf.function(update, jit_compile=how == "xla")
    expected = 1.0
    for step, value in enumerate([3.0, -2.0, 0.5, 8.0, 1.0, 0.0, 4.0, 4.0]):
        fill(layer, value)
        update()
        decay = min(0.6, (1 + step) / (10 + step)) if warmup else 0.6
        expected = decay * expected + (1 - decay) * value
        np.testing.assert_allclose(averages(average), expected, rtol=1e-6)
    assert int(average.updates) == 8


def test_a_step_in_place_moves_the_weights_alone():
    """Variables share their memory with what was assigned to them, until one of them changes."""
    layer = layer_of(1.0)
    variables = layer.trainable_variables
    average, optimizer = WeightAverage(variables, 0.9), AdamW(0.1)
    create_state(optimizer, variables)

    def step():
        apply_reduced_gradients(optimizer, [tf.ones(v.shape) for v in variables], variables)

    step()
    np.testing.assert_array_equal(averages(average), 1.0)
    with average.swapped():
        step()
    np.testing.assert_array_equal(averages(average), 1.0)
    average.reset()
    at_reset = averages(average)
    step()
    np.testing.assert_array_equal(averages(average), at_reset)
    assert (weights(layer) < at_reset).all()


def test_swapped():
    layer = layer_of(1.0)
    average = WeightAverage(layer.trainable_variables, 0.9)
    fill(layer, 3.0)
    with average.swapped():
        np.testing.assert_array_equal(weights(layer), 1.0)
        np.testing.assert_array_equal(layer(tf.ones([1, 3])), [[4.0, 4.0]])
    np.testing.assert_array_equal(weights(layer), 3.0)
    np.testing.assert_array_equal(averages(average), 1.0)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_the_weights_come_back_after_an_exception(error):
    layer = layer_of(1.0)
    average = WeightAverage(layer.trainable_variables, 0.9)
    fill(layer, 3.0)
    with pytest.raises(error), average.swapped():
        fill(layer, 7.0)
        raise error
    np.testing.assert_array_equal(weights(layer), 3.0)
    np.testing.assert_array_equal(averages(average), 1.0)


def test_averages_of_bfloat16_are_float32():
    layer = layer_of(1.0, "bfloat16")
    average = WeightAverage(layer.trainable_variables, 0.999)
    fill(layer, 2.0)
    for _ in range(2):
        average.update()
    np.testing.assert_allclose(averages(average), 1 + 0.001 + 0.999 * 0.001, rtol=1e-6)
    with average.swapped():
        np.testing.assert_array_equal(weights(layer), 1.0)
    np.testing.assert_array_equal(weights(layer), 2.0)
    assert layer.trainable_variables[0].dtype == "bfloat16"


def test_weights_of_mixed_precision():
    """On Keras 2 such a variable casts itself where it is used."""
    layer = layer_of(1.0, "mixed_bfloat16")
    average = WeightAverage(layer.trainable_variables, 0.5)
    fill(layer, 1.0 + 2**-12)
    average.update()
    np.testing.assert_array_equal(averages(average), np.float32(1.0 + 2**-13))


def test_reset():
    layer = layer_of(1.0)
    average = WeightAverage(layer.trainable_variables, 0.9, warmup=True)
    fill(layer, 3.0)
    average.update()
    average.reset()
    np.testing.assert_array_equal(averages(average), 3.0)
    assert int(average.updates) == 0


def test_checkpoint(tmp_path):
    layer = layer_of(1.0)
    average = WeightAverage(layer.trainable_variables, 0.9)
    fill(layer, 3.0)
    average.update()
    path = tf.train.Checkpoint(average=average).save(str(tmp_path / "state"))
    names = [name for name, _ in tf.train.list_variables(path)]
    assert sum(name.startswith("average/averages/") for name in names) == 2
    assert not any("weights" in name for name in names)
    again = WeightAverage(layer_of(5.0).trainable_variables, 0.9)
    tf.train.Checkpoint(average=again).restore(path).assert_consumed()
    np.testing.assert_array_equal(averages(again), averages(average))
    assert int(again.updates) == 1


@pytest.mark.parametrize("decay", [1.0, -0.1, 2])
def test_impossible_decays_are_refused(decay):
    with pytest.raises(ValueError, match="decay must be from 0 to below 1"):
        WeightAverage(layer_of().trainable_variables, decay)


def test_no_variables_are_refused():
    with pytest.raises(ValueError, match="must be variables to average"):
        WeightAverage([], 0.9)


SCRIPT = """
import numpy as np
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from kerasbert.optimizers import AdamW, LossScale, WeightAverage, apply_reduced_gradients
from kerasbert.optimizers import create_state
from tests.test_weight_average import layer_of

def copies(variable):
    return [copy.numpy() for copy in getattr(variable, "values", [variable])]

def trained(strategy, warmup):
    with strategy.scope():
        layer = layer_of(1.0)
        variables = layer.trainable_variables
        optimizer = AdamW(0.1)
        create_state(optimizer, variables)
        average = WeightAverage(variables, 0.8, warmup=warmup)
        scale = LossScale(8.0, growth_steps=2)

    def replica():
        context = tf.distribute.get_replica_context()
        own = tf.cast(context.replica_id_in_sync_group + 1, tf.float32)
        own = own * 3.0 / sum(range(1, strategy.num_replicas_in_sync + 1))
        gradients = context.all_reduce("sum", [tf.fill(v.shape, own) for v in variables])
        apply_reduced_gradients(optimizer, gradients, variables)

    @tf.function
    def steps(finite):
        for _ in tf.range(2):
            strategy.run(replica)
            average.update()
            scale.update(finite)

    steps(True)
    steps(True)
    assert copies(scale.scale) == [32.0] * strategy.num_replicas_in_sync
    steps(False)
    assert copies(scale.scale) == [8.0] * strategy.num_replicas_in_sync
    assert copies(average.updates) == [6] * strategy.num_replicas_in_sync
    kept = [np.asarray(v) for v in layer.get_weights()]
    with average.swapped():
        inside = [np.asarray(v) for v in layer.get_weights()]
        local = strategy.experimental_local_results(strategy.run(lambda: layer(tf.ones([1, 3]))))
        assert len(local) == strategy.num_replicas_in_sync
        for output in local:
            np.testing.assert_allclose(output[0], inside[0].sum(0) + inside[1], rtol=1e-6)
        for a, b in zip(inside, average.averages):
            for copy in copies(b):
                np.testing.assert_array_equal(copy, a)
    for a, b in zip(kept, layer.get_weights()):
        np.testing.assert_array_equal(a, b)
        assert np.abs(a - 1).min() > 0.1
    return np.concatenate([a.ravel() for a in inside])

two = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
for warmup in (False, True):
    a, b = trained(tf.distribute.get_strategy(), warmup), trained(two, warmup)
    np.testing.assert_allclose(a, b, atol=1e-6)
print("equal")
"""


@pytest.mark.slow
def test_two_replicas_equal_one(tmp_path):
    """With the loss scale, whose other tests are in test_loss_scale."""
    script = tmp_path / "script.py"  # a file: the loop in it needs its source
    script.write_text(SCRIPT)
    paths = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])}
    done = subprocess.run([sys.executable, str(script)], env=paths, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()[-3000:]
    assert b"equal" in done.stdout
