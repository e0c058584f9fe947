"""SimBERT compares the rows of all replicas: the same numbers on one replica and on two."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

# In a process of its own: the number of devices is set before TensorFlow is used.
SCRIPT = """
import numpy as np
from kerasbert.backend import tf
from kerasbert.layers.recompute import seeded
from tests.pretraining.objective_cases import build, records_for

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
SUM = tf.distribute.ReduceOp.SUM

def run(strategy):
    with strategy.scope():
        task = build("simbert")
    batch = records_for("simbert", rows=8)
    batch["label"] = tf.constant([0, 1, 2, 3, 4, 1, 5, 6])  # a group with rows on both replicas
    inputs = task.prepare(batch, tf.constant([3, 4]))
    variables = task.model.trainable_variables

    def step(inputs):
        with tf.GradientTape() as tape:
            sums, metrics = task.sums(inputs, True)
            loss = sums["similarity"] / 16 + sums["seq2seq"] / 50
        gradients = [tf.convert_to_tensor(x) for x in tape.gradient(loss, variables)]
        context = tf.distribute.get_replica_context()
        found, rows = metrics["similarity_accuracy"]
        numbers = [sums["similarity"], sums["seq2seq"], found, rows]
        return context.all_reduce(SUM, gradients), context.all_reduce(SUM, tf.stack(numbers))

    def share(context):
        rows = 16 // context.num_replicas_in_sync
        first = context.replica_id_in_sync_group * rows
        return {name: value[first : first + rows] for name, value in inputs.items()}

    shares = strategy.experimental_distribute_values_from_function(share)
    gradients, numbers = tf.function(lambda x: strategy.run(step, args=(x,)))(shares)
    local = lambda x: np.asarray(strategy.experimental_local_results(x)[-1])
    return [local(x) for x in gradients], local(numbers)

one, one_numbers = run(tf.distribute.MirroredStrategy(["CPU:0"]))
two, two_numbers = run(tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]))
np.testing.assert_allclose(two_numbers, one_numbers, rtol=1e-5)
for ours, theirs in zip(two, one):
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
assert max(np.abs(x).max() for x in one) > 0.1
print("equal", one_numbers.tolist())
"""


@pytest.mark.slow
def test_the_same_numbers_on_one_and_two_replicas():
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    assert "equal" in result.stdout
