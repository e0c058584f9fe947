"""Two replicas: a checkpoint loaded within the scope, and training that equals one device."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import numpy as np, sys
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from kerasbert import build_transformer_model, save_weights_as_checkpoint
from kerasbert.backend import keras
from kerasbert.optimizers import AdamW
from tests.tiny import inputs

def trained(strategy, folder):
    keras.utils.set_random_seed(1)
    with strategy.scope():
        body = build_transformer_model(
            folder, with_pool=True, dropout_rate=0.0, attention_dropout_rate=0.0
        )
        head = keras.layers.Dense(2, kernel_initializer="zeros")
        model = keras.Model(body.inputs, head(body.output))
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(AdamW(1e-3, weight_decay=0.5), loss)
    x, y = inputs(batch=8), np.arange(8) % 2
    data = tf.data.Dataset.from_tensor_slices((tuple(x), y)).batch(8)
    model.fit(data, epochs=3, verbose=0)
    for variable in model.weights:  # biases are not decayed on any replica
        copies = getattr(getattr(variable, "_value", variable), "values", [variable])
        for copy in copies[1:]:
            np.testing.assert_array_equal(np.asarray(copy), np.asarray(copies[0]), variable.name)
    replicas = strategy.num_replicas_in_sync
    assert len(copies) == replicas, (len(copies), replicas)
    save_weights_as_checkpoint(model, folder + "/out/bert_model.ckpt")
    again = build_transformer_model(folder + "/out", with_pool=True)
    return np.asarray(again(x))

folder = sys.argv[1]
one = trained(tf.distribute.get_strategy(), folder)
two = trained(tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]), folder)
print("difference", np.abs(one - two).max())
assert np.abs(one - two).max() < 1e-5
"""


@pytest.mark.slow
def test_two_replicas_train_as_one_device(tmp_path):
    from tests.tiny import write_checkpoint

    write_checkpoint(tmp_path)
    checkout = Path(__file__).resolve().parents[1]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path)], cwd=checkout, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "difference" in done.stdout
