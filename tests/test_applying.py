"""Gradients that a loop has summed itself: one and two replicas give the same numbers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from kerasbert.backend import IS_KERAS3, keras, tf
from kerasbert.optimizers import AdamW, apply_reduced_gradients, create_state, lamb

# Prints {case: what was seen}. The epsilons are large, so that the size of a gradient counts.
SCRIPT = """
import contextlib, json
import numpy as np
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from kerasbert import optimizers as o
from kerasbert.backend import keras
from kerasbert.layers.recompute import draw_seed, seeded

schedule = o.WarmupPolynomialDecay(0.05, 10, 2)
makers = {
    "SGD": lambda: keras.optimizers.SGD(0.05, momentum=0.9),
    "AdamW": lambda: o.AdamW(schedule, weight_decay=0.5, epsilon=0.1, global_clipnorm=8.7),
    "average": lambda: o.AdamW(schedule, epsilon=0.1, use_ema=True, ema_momentum=0.9),
    "AdamWeightDecay": lambda: o.AdamWeightDecay(schedule, epsilon=0.1, global_clipnorm=8.7),
    "LAMB": lambda: o.LAMB(schedule, epsilon=0.1, clipnorm=6.0),
    "Adafactor": lambda: o.Adafactor(
        schedule, 0.1, 0.9, epsilon_1=0.1, min_dim_size_to_factor=3
    ),
    "lamb": lambda: o.lamb(schedule, epsilon=0.1, clipnorm=6.0),
}
rng = np.random.default_rng(0)
x, y = rng.standard_normal((8, 4)).astype("f"), rng.standard_normal((8, 3)).astype("f")
start = rng.standard_normal((4, 3)).astype("f"), rng.standard_normal(3).astype("f")

def copies(variable):
    inner = getattr(variable, "value", variable)
    inner = inner if hasattr(inner, "values") else variable
    return [c.numpy() for c in getattr(inner, "values", [inner])]

def trained(strategy, make, apply, inside, in_scope=False, jit_compile=False):
    replicas = strategy.num_replicas_in_sync
    with strategy.scope():
        layer = keras.layers.Dense(3)
        layer.build((None, 4))
        optimizer = make()
    layer.set_weights(start)
    variables = layer.trainable_variables
    o.create_state(optimizer, variables)

    def gradients_of(x, y):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum((layer(x) - y) ** 2) / 8
        return tape.gradient(loss, variables)

    def replica(x, y):
        gradients = gradients_of(x, y)
        if inside:
            context = tf.distribute.get_replica_context()
            apply(optimizer, context.all_reduce("sum", gradients), variables)
        return gradients

    @tf.function(jit_compile=jit_compile)
    def step(x, y):
        gradients = strategy.run(replica, (x, y))
        if not inside:
            gradients = [strategy.reduce("sum", g, axis=None) for g in gradients]
            with strategy.scope() if in_scope else contextlib.nullcontext():
                apply(optimizer, gradients, variables)

    def shard(whole):
        parts = np.split(whole, replicas)
        if replicas == 1:
            return whole
        return strategy.experimental_distribute_values_from_function(
            lambda context: tf.constant(parts[context.replica_id_in_sync_group])
        )

    for _ in range(5):
        step(shard(x), shard(y))
    assert "_all_reduce_sum_gradients" not in vars(optimizer)
    state = list(variables)
    if getattr(optimizer, "use_ema", False):
        state += optimizer._model_variables_moving_average
    for variable in state:
        first, *others = copies(variable)
        assert len(others) == replicas - 1, variable
        for other in others:
            np.testing.assert_array_equal(first, other)
    assert all(int(c) == 5 for c in copies(optimizer.iterations))
    return np.concatenate([copies(v)[0].ravel() for v in state])

def twice(optimizer, gradients, variables):
    optimizer.apply_gradients(zip(gradients, variables))

one, two = tf.distribute.get_strategy(), tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
seen = {}
for name, make in makers.items():
    ours = o.apply_reduced_gradients
    expected = trained(one, make, ours, True)
    off = lambda *a, **k: float(np.abs(trained(*a, **k) - expected).max())
    seen[name] = {
        "moved": float(np.abs(expected[:15] - np.concatenate([s.ravel() for s in start])).max()),
        "inside": off(two, make, ours, True),
        "outside": off(two, make, ours, False),
        "compiled": off(one, make, ours, True, jit_compile=True),
        "twice": off(two, make, twice, True),
    }
    if name in ("SGD", "lamb"):
        seen[name]["in_scope"] = off(two, make, ours, False, in_scope=True)

def draws():
    replica = tf.distribute.get_replica_context().replica_id_in_sync_group
    with seeded(tf.stack([7, replica])):
        return tf.stack([draw_seed(), draw_seed()])

drawn = two.experimental_local_results(tf.function(lambda: two.run(draws))())
seen["seeds"] = [d.numpy().tolist() for d in drawn]
print(json.dumps(seen))
"""


@pytest.fixture(scope="module")
def seen():
    """What a process with two devices printed."""
    checkout = Path(__file__).resolve().parents[1]
    done = subprocess.run([sys.executable, "-c", SCRIPT], cwd=checkout, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()[-4000:]
    return json.loads(done.stdout.splitlines()[-1])


OPTIMIZERS = ["SGD", "AdamW", "average", "Adafactor", "AdamWeightDecay", "LAMB", "lamb"]


@pytest.mark.slow
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_two_replicas_equal_one(seen, name):
    assert seen[name]["moved"] > 0.05
    assert seen[name]["inside"] < 1e-6
    assert seen[name]["outside"] < 1e-6
    assert seen[name].get("in_scope", 0.0) < 1e-6
    assert seen[name]["compiled"] < 1e-6
    assert seen[name]["twice"] > 1e-4, "summing twice would not have been seen"


@pytest.mark.slow
def test_replicas_draw_what_their_seeds_say(seen):
    from kerasbert.layers.recompute import draw_seed, seeded

    for replica, drawn in enumerate(seen["seeds"]):
        with seeded((7, replica)):
            np.testing.assert_array_equal([draw_seed(), draw_seed()], drawn)
    assert seen["seeds"][0] != seen["seeds"][1]


def two_weights():
    layer = keras.layers.Dense(2)
    layer.build((None, 3))
    return layer.trainable_variables


@pytest.mark.parametrize("make", [AdamW, lamb])
def test_it_is_apply_gradients_where_there_is_one_replica(make):
    values = []
    for apply in (apply_reduced_gradients, lambda o, g, v: o.apply_gradients(zip(g, v))):
        variables, optimizer = two_weights(), make(0.1)
        create_state(optimizer, variables)
        for variable in variables:
            variable.assign(tf.ones(variable.shape))
        for scale in (1.0, -2.0):
            apply(optimizer, [tf.fill(v.shape, scale) for v in variables], variables)
        values.append([np.array(v) for v in variables])
        assert int(optimizer.iterations) == 2
    for ours, expected in zip(*values):
        np.testing.assert_array_equal(ours, expected)


@pytest.mark.parametrize("make", [AdamW, lamb])
def test_state_is_there_before_the_first_step(make, tmp_path):
    variables, optimizer = two_weights(), make(0.1)
    create_state(optimizer, variables)
    apply_reduced_gradients(optimizer, [tf.ones(v.shape) for v in variables], variables)
    saved = tf.train.Checkpoint(optimizer=optimizer).save(str(tmp_path / "state"))
    again = make(0.1)
    create_state(again, variables)
    tf.train.Checkpoint(optimizer=again).restore(saved).assert_consumed()
    assert int(again.iterations) == 1


def test_gradients_and_variables_must_be_as_many():
    with pytest.raises(ValueError, match="1 gradients, 2 variables"):
        apply_reduced_gradients(AdamW(), [tf.ones([3, 2])], two_weights())
    with pytest.raises(ValueError, match="at least one"):
        apply_reduced_gradients(AdamW(), [], [])


def test_an_optimizer_that_scales_the_loss_is_refused():
    variables = two_weights()
    optimizer = keras.mixed_precision.LossScaleOptimizer(AdamW())
    with pytest.raises(ValueError, match="pass its inner_optimizer"):
        apply_reduced_gradients(optimizer, [tf.ones(v.shape) for v in variables], variables)


@pytest.mark.skipif(not IS_KERAS3, reason="Keras 2 has an argument for it")
def test_a_keras_that_sums_in_an_unknown_way_works_on_one_replica_only(monkeypatch):
    from kerasbert.optimizers import applying

    monkeypatch.setattr(applying, "_SUM", "_another_name")
    variables, optimizer = two_weights(), AdamW(0.1)
    gradients = [tf.ones(v.shape) for v in variables]
    apply_reduced_gradients(optimizer, gradients, variables)
    assert int(optimizer.iterations) == 1
    one = tf.distribute.get_strategy()
    monkeypatch.setattr(type(one), "num_replicas_in_sync", 2)
    with pytest.raises(NotImplementedError, match="does not know"):
        apply_reduced_gradients(optimizer, gradients, variables)
