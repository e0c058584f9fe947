"""AdamW equals Keras' numbers; schedules equal recorded tables."""

from __future__ import annotations

import ast
import json

import numpy as np
import pytest

from kerasbert.backend import keras, tf
from kerasbert.optimizers import AdamW, PiecewiseLinear, warmup_linear_decay


def small_model():
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(8, activation="tanh"),
            keras.layers.LayerNormalization(),
            keras.layers.Dense(3),
        ]
    )
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((16, 4)), rng.standard_normal((16, 3))
    return model, x.astype("f"), y.astype("f")


def trained(optimizer, **compile_options):
    model, x, y = small_model()
    model.compile(optimizer, "mse", **compile_options)
    model.fit(x, y, epochs=3, batch_size=4, shuffle=False, verbose=0)
    return model.get_weights()


OPTIONS = {
    "default": {},
    "decay": {"weight_decay": 0.1},
    "clipped": {"weight_decay": 0.1, "global_clipnorm": 0.1},
    "scheduled": {"learning_rate": PiecewiseLinear(0.02, {4: 1.0, 12: 0.0})},
    "amsgrad": {"amsgrad": True},
    "betas": {"beta_1": 0.5, "beta_2": 0.9, "epsilon": 1e-3},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.slow
def test_same_numbers_as_keras(options):
    options = {"learning_rate": 0.02, "epsilon": 1e-6, "weight_decay": 0.01, **options}
    theirs = keras.optimizers.AdamW(**options)
    theirs.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    for ours, expected in zip(trained(AdamW(**options)), trained(theirs)):
        np.testing.assert_allclose(ours, expected, atol=2e-6)


def test_repeated_rows_of_a_lookup_are_summed_before_they_are_squared():
    """Keras 3's own Adam squares each occurrence of a token apart (a wrong second moment)."""
    table = tf.Variable(np.ones((5, 2), "f"))
    optimizer = AdamW(0.1, weight_decay=0.0, epsilon=1e-8)
    optimizer.build([table])
    rows = tf.IndexedSlices(tf.constant([[1.0, 2.0], [3.0, -2.0]]), [1, 1], [5, 2])
    second = tf.IndexedSlices(tf.constant([[2.0, 1.0]]), [1], [5, 2])
    m, v, expected = 0.0, 0.0, np.ones(2)
    for step, (slices, g) in enumerate([(rows, [4.0, 0.0]), (second, [2.0, 1.0])], start=1):
        optimizer.apply_gradients([(slices, table)])
        m, v = 0.9 * m + 0.1 * np.array(g), 0.999 * v + 0.001 * np.array(g) ** 2
        root = np.sqrt(v / (1 - 0.999**step)) + 1e-8
        expected = expected - 0.1 * m / (1 - 0.9**step) / root
    np.testing.assert_allclose(table.numpy()[1], expected, atol=1e-5)
    np.testing.assert_array_equal(table.numpy()[[0, 2, 3, 4]], np.ones((4, 2)))


def test_same_numbers_under_xla():
    for ours, expected in zip(trained(AdamW(0.01), jit_compile=True), trained(AdamW(0.01))):
        np.testing.assert_allclose(ours, expected, atol=2e-6)


def test_biases_and_normalisation_are_not_decayed():
    model, _, _ = small_model()
    model.compile(AdamW(0.1, weight_decay=0.5), "mse")
    before = model.get_weights()
    model.optimizer.build(model.trainable_variables)
    zeros = [tf.zeros(w.shape) for w in model.trainable_variables]
    model.optimizer.apply_gradients(zip(zeros, model.trainable_variables))
    for old, new in zip(before, model.get_weights()):
        factor = 0.95 if old.ndim == 2 else 1.0
        np.testing.assert_allclose(new, old * factor, atol=1e-6)


def test_same_numbers_under_a_strategy():
    with tf.distribute.MirroredStrategy(["CPU:0"]).scope():
        model, x, y = small_model()
        model.compile(AdamW(0.02), "mse")
    model.fit(tf.data.Dataset.from_tensor_slices((x, y)).batch(4), epochs=3, verbose=0)
    for ours, expected in zip(model.get_weights(), trained(AdamW(0.02))):
        np.testing.assert_allclose(ours, expected, atol=2e-6)


def test_optimizer_and_schedule_survive_saving(tmp_path):
    model, x, y = small_model()
    schedule = warmup_linear_decay(0.02, 100)
    model.compile(AdamW(schedule, no_decay=("bias",)), "mse")
    model.fit(x, y, verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert again.optimizer.no_decay == ("bias",)
    assert int(again.optimizer.iterations) == 1
    again.fit(x, y, verbose=0)
    model.fit(x, y, verbose=0)
    for a, b in zip(again.get_weights(), model.get_weights()):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_piecewise_linear():
    schedule = PiecewiseLinear(2.0, {10: 1.0, 20: 0.5})
    rates = [float(schedule(step)) for step in (0, 5, 10, 15, 20, 100)]
    np.testing.assert_allclose(rates, [0, 1.0, 2.0, 1.5, 1.0, 1.0], atol=1e-6)
    assert float(PiecewiseLinear(2.0, {0: 1.0, 4: 0.0})(tf.constant(1))) == pytest.approx(1.5)


def test_piecewise_linear_equals_bert4keras(shared):
    recorded = json.loads((shared / "golden/bert4keras/optim.json").read_text())["piecewise"]
    for written, values in zip(recorded["schedules"], recorded["values"]):
        schedule = PiecewiseLinear(1.0, ast.literal_eval(written))
        np.testing.assert_allclose([float(schedule(t)) for t in range(13)], values, atol=1e-6)


def test_warmup_linear_decay():
    schedule = warmup_linear_decay(1e-4, 100, warmup=0.1)
    assert [round(float(schedule(s)) * 1e4, 4) for s in (0, 5, 10, 55, 100)] == [0, 0.5, 1, 0.5, 0]
    assert float(warmup_linear_decay(1.0, 10, warmup=0)(0)) == 1.0
    with pytest.raises(ValueError, match="warm-up must be shorter"):
        warmup_linear_decay(1e-4, 10, warmup=10)


def test_schedule_of_nothing_is_refused():
    with pytest.raises(ValueError, match="points must name steps"):
        PiecewiseLinear(1.0, {})
