"""Adafactor: recorded steps of bert4keras, and the arithmetic of the paper."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerasbert.backend import keras, tf
from kerasbert.optimizers import (
    Adafactor,
    RelativeStep,
    WarmupPolynomialDecay,
    apply_reduced_gradients,
    create_state,
)


@pytest.mark.parametrize("name, rate", [("adafactor", 0.1), ("adafactor_none", None)])
def test_equals_the_recorded_steps_of_bert4keras(shared, name, rate):
    recorded = json.loads((shared / "golden/bert4keras/optim.json").read_text())
    starts = [np.array(recorded[key], "f") for key in ("kernel0", "bias0")]
    variables = [tf.Variable(value, name=f"v{i}") for i, value in enumerate(starts)]
    optimizer = Adafactor(rate)
    assert len(recorded["cases"][name]["trace"]) == 6
    for gradients, expected in zip(recorded["grads"], recorded["cases"][name]["trace"]):
        gradients = [tf.constant(np.array(g, "f")) for g in gradients]
        optimizer.apply_gradients(zip(gradients, variables))
        for variable, value in zip(variables, expected):
            np.testing.assert_allclose(variable.numpy(), value, rtol=0, atol=1e-6)


def arithmetic(weights, gradients, rates, scaled=True, clip=1.0, beta_1=0.0, decay=0.0, factor=2):
    """The algorithm of the paper in float64, with the means over the two largest axes."""
    w = np.array(weights, "d")
    axes = sorted(range(w.ndim), key=lambda axis: -w.shape[axis])[:2]
    factored = len(axes) == 2 and w.shape[axes[1]] >= factor
    rows = columns = second = momentum = 0.0

    def rms(x):
        return np.sqrt(np.mean(x**2))

    for t, (g, rate) in enumerate(zip(gradients, rates), start=1):
        g = np.array(g, "d")
        memory, squares = 1 - t**-0.8, g**2 + 1e-30
        if factored:
            rows = memory * rows + (1 - memory) * squares.mean(axes[0], keepdims=True)
            columns = memory * columns + (1 - memory) * squares.mean(axes[1], keepdims=True)
            second = rows * columns / rows.mean(axes[1], keepdims=True)
        else:
            second = memory * second + (1 - memory) * squares
        step = g / np.sqrt(second)
        step = step / max(1.0, rms(step) / clip)
        step = rate * (max(rms(w), 1e-3) if scaled else 1.0) * step
        momentum = beta_1 * momentum + (1 - beta_1) * step
        w = w - momentum - rate * decay * w
    return w


def check(shape, size, scaled, clip, beta_1, decay, factor, seed):
    rng = np.random.default_rng(seed)
    start = (size * rng.standard_normal(shape)).astype("f")
    gradients = [
        (10.0 ** rng.integers(-4, 4) * rng.standard_normal(shape)).astype("f") for _ in range(4)
    ]
    variable = tf.Variable(start, name="dense/kernel")
    optimizer = Adafactor(
        0.1, decay, beta_1, clip_threshold=None if clip == 1e9 else clip,
        parameter_scale=scaled, min_dim_size_to_factor=factor,
    )  # fmt: skip
    for gradient in gradients:
        optimizer.apply_gradients([(tf.constant(gradient), variable)])
    expected = arithmetic(start, gradients, [0.1] * 4, scaled, clip, beta_1, decay, factor)
    bound = 1e-5 * max(1e-3, np.abs(expected).max(initial=0))
    np.testing.assert_allclose(variable.numpy(), expected, rtol=0, atol=bound)


PLAIN = [
    ((), 1.0, True, 1.0, 0.0, 0.0, 2),
    ((5,), 30.0, True, 1.0, 0.9, 0.0, 2),
    ((4, 6), 1.0, True, 0.5, 0.0, 0.1, 2),
    ((6, 3, 5), 1.0, False, 1.0, 0.9, 0.1, 4),
    ((4, 6), 0.0, True, 1e9, 0.0, 0.0, 5),
]


@pytest.mark.parametrize("case", PLAIN, ids=str)
def test_arithmetic_of_the_paper(case):
    check(*case, seed=0)


@pytest.mark.slow
@given(
    shape=st.lists(st.integers(1, 6), max_size=4),
    size=st.sampled_from([0.0, 1e-4, 1.0, 30.0]),
    scaled=st.booleans(),
    clip=st.sampled_from([0.5, 1.0, 1e9]),
    beta_1=st.sampled_from([0.0, 0.9]),
    decay=st.sampled_from([0.0, 0.1]),
    factor=st.integers(2, 5),
    seed=st.integers(0, 9),
)
def test_arithmetic_of_the_paper_everywhere(shape, size, scaled, clip, beta_1, decay, factor, seed):
    check(shape, size, scaled, clip, beta_1, decay, factor, seed)


def test_gradients_that_are_all_zero_move_nothing_but_the_decay():
    variable = tf.Variable(tf.ones([3, 4]), name="dense/kernel")
    optimizer = Adafactor(0.1, weight_decay=0.5, min_dim_size_to_factor=2)
    for _ in range(3):
        optimizer.apply_gradients([(tf.zeros([3, 4]), variable)])
    np.testing.assert_allclose(variable.numpy(), 0.95**3, rtol=1e-6)


def test_rows_without_a_gradient_stay():
    """As those of tokens that a batch does not have; their moments are of 1e-30 alone."""
    table = tf.Variable(tf.ones([6, 4]), name="Embedding-Token/embeddings")
    optimizer = Adafactor(0.1, min_dim_size_to_factor=2)
    for rows in ([1, 1], [2, 3]):
        slices = tf.IndexedSlices(tf.constant([[1.0, -2, 3, 4], [3.0, 2, 1, 0]]), rows, [6, 4])
        optimizer.apply_gradients([(slices, table)])
    np.testing.assert_array_equal(table.numpy()[[0, 4, 5]], 1.0)
    assert np.isfinite(table.numpy()).all() and (table.numpy()[1] != 1.0).any()


def state(optimizer):
    variables = optimizer.variables
    variables = variables() if callable(variables) else variables
    return [tuple(v.shape) for v in variables if tuple(v.shape)]


def test_the_state_is_small():
    shapes = [(200, 130), (130,), (2, 768), (128, 4, 300), (5000, 128)]
    optimizer = Adafactor(0.1)
    create_state(optimizer, [tf.Variable(tf.zeros(s), name=f"v{i}") for i, s in enumerate(shapes)])
    assert state(optimizer) == [
        (1, 130), (200, 1), (130,), (2, 768), (128, 4, 1), (1, 4, 300), (1, 128), (5000, 1),
    ]  # fmt: skip


def test_biases_and_normalisation_are_not_decayed():
    names = {"dense/kernel": 0.95, "dense/bias": 1.0, "Embedding-Norm/gamma": 1.0, "a/b": 0.95}
    variables = [tf.Variable(tf.ones([2]), name=name) for name in names]
    optimizer = Adafactor(0.1, weight_decay=0.5)
    optimizer.apply_gradients([(tf.zeros([2]), v) for v in variables])
    for variable, expected in zip(variables, names.values()):
        np.testing.assert_allclose(variable.numpy(), expected, rtol=1e-6)


def test_relative_step():
    rates = [float(RelativeStep()(step)) for step in (0, 5000, 9999, 39999, 10**6 - 1)]
    np.testing.assert_allclose(rates, [0.01, 0.01, 0.01, 0.005, 0.001], rtol=1e-6)
    assert type(Adafactor()._learning_rate) is RelativeStep
    assert Adafactor()._learning_rate.highest == 0.01
    assert Adafactor(parameter_scale=False)._learning_rate.highest == 0.0005


def small_model():
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [
            keras.Input((6,), dtype="int32"),
            keras.layers.Embedding(11, 8, name="Embedding-Token"),
            keras.layers.LayerNormalization(name="Embedding-Norm"),
            keras.layers.Dense(3, name="Head"),
        ]
    )
    rng = np.random.default_rng(0)
    return model, rng.integers(0, 11, (16, 6)), rng.standard_normal((16, 6, 3)).astype("f")


def make():
    return Adafactor(WarmupPolynomialDecay(0.1, 10, 2), 0.1, 0.9, min_dim_size_to_factor=8)


def test_recorded_training():
    """The same numbers on every stack: they were recorded once."""
    model, x, y = small_model()
    rng = np.random.default_rng(1)
    model.set_weights([rng.standard_normal(w.shape) for w in model.get_weights()])
    model.compile(make(), "mse")
    model.fit(x, y, epochs=2, batch_size=8, shuffle=False, verbose=0)
    found = [float(np.abs(w).sum()) for w in model.get_weights()]
    recorded = [57.291142, 5.527071, 4.246269, 21.439714, 1.672785]
    np.testing.assert_allclose(found, recorded, rtol=2e-6)


def trained(**compile_options):
    model, x, y = small_model()
    model.compile(make(), "mse", **compile_options)
    model.fit(x, y, epochs=2, batch_size=8, shuffle=False, verbose=0)
    return model.get_weights()


@pytest.mark.slow
def test_a_compiled_train_step_has_the_same_numbers():
    start = small_model()[0].get_weights()
    for before, ours, expected in zip(start, trained(jit_compile=True), trained()):
        moved = np.abs(expected - before).max()
        assert moved > 1e-5
        np.testing.assert_allclose(ours, expected, rtol=1e-6, atol=1e-3 * moved)


def test_weights_in_bfloat16_are_computed_with_in_float32():
    rng = np.random.default_rng(0)
    start, gradient = rng.standard_normal((2, 6, 9)).astype("f")
    variable = tf.Variable(tf.cast(start, tf.bfloat16), name="dense/kernel")
    optimizer = Adafactor(0.5, 0.1, min_dim_size_to_factor=4)
    create_state(optimizer, [variable])
    apply_reduced_gradients(optimizer, [tf.cast(gradient, tf.bfloat16)], [variable])
    assert variable.dtype == tf.bfloat16
    assert optimizer._seconds[0].dtype == "float32"
    rounded = [np.array(tf.cast(tf.cast(a, tf.bfloat16), tf.float32)) for a in (start, gradient)]
    expected = arithmetic(rounded[0], [rounded[1]], [0.5], decay=0.1)
    np.testing.assert_allclose(tf.cast(variable, tf.float32), expected, atol=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["model", "checkpoint"])
def test_training_goes_on_after_saving(kind, tmp_path):
    model, x, y = small_model()
    model.compile(make(), "mse")
    model.fit(x, y, verbose=0)
    if kind == "model":
        model.save(tmp_path / "model.keras")
        again = keras.models.load_model(tmp_path / "model.keras")
        assert again.optimizer.get_config() == model.optimizer.get_config()
    else:
        again = small_model()[0]
        again.compile(make(), "mse")
        create_state(again.optimizer, again.trainable_variables)
        states = [tf.train.Checkpoint(model=m, optimizer=m.optimizer) for m in (model, again)]
        states[1].restore(states[0].save(str(tmp_path / "state"))).assert_consumed()
    assert int(again.optimizer.iterations) == 1
    for one in (model, again):
        one.fit(x, y, shuffle=False, verbose=0)
    for ours, expected in zip(again.get_weights(), model.get_weights()):
        np.testing.assert_allclose(ours, expected, atol=1e-6)


def test_configuration_is_complete():
    optimizer = Adafactor(
        0.1, 0.2, 0.3, -0.7, 1e-20, 1e-2, 2.0, False, 32, ["a"], global_clipnorm=1.0
    )
    config = json.loads(json.dumps(optimizer.get_config(), default=float))
    again = Adafactor.from_config(dict(config))
    assert json.dumps(again.get_config(), default=float) == json.dumps(config, default=float)
    chosen = {
        "weight_decay": 0.2, "beta_1": 0.3, "beta_2_decay": -0.7, "epsilon_1": 1e-20,
        "epsilon_2": 1e-2, "clip_threshold": 2.0, "parameter_scale": False,
        "min_dim_size_to_factor": 32, "exclude_from_weight_decay": ["a"], "global_clipnorm": 1.0,
    }  # fmt: skip
    assert {name: config[name] for name in chosen} == chosen


def test_what_is_no_list_of_regular_expressions_is_refused():
    with pytest.raises(ValueError, match="takes a list of regular expressions"):
        Adafactor(exclude_from_weight_decay="bias")
