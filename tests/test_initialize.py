"""A fresh start that is the same everywhere."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from kerasbert import build_transformer_model
from kerasbert.backend import keras, tf, variable_path
from kerasbert.layers import Dense, TruncatedNormal, initialize, skip_initialization
from tests.families import FAMILIES

TINY = {
    "vocab_size": 300, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2,
    "intermediate_size": 64, "max_position_embeddings": 40, "initializer_range": 0.05,
}  # fmt: skip
RECORDED = {
    "Embedding-Token/embeddings": [-0.09265384078, 0.04428588971, 0.04952918738],
    "Transformer-2-FeedForward/output/kernel": [-0.07794200629, 0.00728330249, -0.04359994456],
}


def built(**more):
    return build_transformer_model(**{**TINY, "with_pool": True, "with_mlm": True, **more})


def values(model) -> dict[str, np.ndarray]:
    return {variable_path(w): np.array(tf.cast(w, tf.float32)) for w in model.weights}


@pytest.fixture(scope="module")
def model():
    return built()


def test_recorded_values(model):
    """The same on every stack: they were recorded once."""
    initialize(model, 7)
    found = values(model)
    for path, expected in RECORDED.items():
        np.testing.assert_allclose(found[path].ravel()[:3], expected, rtol=1e-5)


def test_the_seed_decides(model):
    first = (initialize(model, 1), values(model))[1]
    second = (initialize(model, 2), values(model))[1]
    again = (initialize(model, 1), values(model))[1]
    for path in first:
        np.testing.assert_array_equal(first[path], again[path])
        constant = path.rsplit("/", 1)[-1] in ("bias", "beta", "gamma")
        assert np.array_equal(first[path], second[path]) == constant


def test_other_parts_of_the_model_do_not_matter(model):
    """Nor does the order in which variables were made, nor what Keras drew before."""
    initialize(model, 3)
    whole = values(model)
    keras.utils.set_random_seed(123)
    part = built(num_hidden_layers=1, with_mlm=False)
    initialize(part, 3)
    for path, value in values(part).items():
        np.testing.assert_array_equal(value, whole[path])


def test_distribution(model):
    filled = initialize(model, 5)
    found = values(model)
    bound, everything = 2 * 0.05, []
    for path in filled:
        assert np.abs(found[path]).max() <= bound
        everything.append(found[path].ravel())
    numbers = np.concatenate(everything)
    # standard deviation of a normal that is cut at two of them
    density = math.exp(-2) / math.sqrt(2 * math.pi)
    deviation = 0.05 * math.sqrt(1 - 4 * density / math.erf(math.sqrt(2)))
    assert abs(numbers.mean()) < 5 * deviation / numbers.size**0.5
    assert abs(numbers.std() / deviation - 1) < 5 / numbers.size**0.5
    for a, one in enumerate(everything):  # no two share their numbers, not even in part
        for other in everything[:a]:
            assert not np.intersect1d(one, other).size > 3


def test_biases_are_zero_and_normalisation_stays():
    model = built()
    for variable in model.weights:
        variable.assign(tf.fill(variable.shape, 4.0))
    filled = initialize(model, 5)
    for path, value in values(model).items():
        last = path.rsplit("/", 1)[-1]
        assert (path in filled) == (last in ("kernel", "embeddings"))
        if path not in filled:
            assert (value == (0.0 if last == "bias" else 4.0)).all()


CASES = [(family, options) for family in FAMILIES for options in family.TINY]


@pytest.mark.slow
@pytest.mark.parametrize("family, options", CASES)
def test_every_random_variable_of_every_family_is_found(family, options, monkeypatch):
    """Standard deviations are seen where they arrive, and compared with those that are used."""
    from kerasbert.layers import initializers

    plain = keras.initializers.TruncatedNormal

    def reveal(self, shape, dtype=None, **kwargs):
        return tf.fill(shape, tf.cast(100 + self.stddev, dtype or "float32"))

    monkeypatch.setattr(plain, "__call__", reveal)
    monkeypatch.setattr(TruncatedNormal, "__call__", reveal)
    model = build_transformer_model(**options)
    expected = {
        variable_path(w): float(np.array(tf.cast(w, tf.float32)).ravel()[0]) - 100
        for w in model.weights
        if np.array(tf.cast(w, tf.float32)).min() > 50
    }
    found = initializers._deviations(model)
    found = {variable_path(w): found[id(w)] for w in model.weights if id(w) in found}
    assert found.keys() == expected.keys() and found
    for path, deviation in found.items():
        np.testing.assert_allclose(deviation, expected[path], atol=1e-4)


def test_two_variables_of_one_path_differ():
    """As in ELECTRA, whose two models have layers of the same names."""
    inputs = keras.Input((4,))
    first, second = Dense(5, name="same"), Dense(5, name="same")
    one, other = first(inputs), second(inputs)
    parts = [keras.Model(inputs, one, name="a"), keras.Model(inputs, other, name="b")]
    model = keras.Model(inputs, [part(inputs) for part in parts])
    initialize(model, 1)
    kernels = [np.array(layer.kernel) for layer in (first, second)]
    assert not np.intersect1d(*kernels).size


def test_a_layer_of_keras_from_a_truncated_normal_is_filled_and_another_is_not():
    inputs = keras.Input((4,))
    normal = keras.initializers.TruncatedNormal(stddev=0.5)
    hidden = keras.layers.Dense(5, kernel_initializer=normal, name="hidden")(inputs)
    model = keras.Model(inputs, keras.layers.Dense(3, name="head")(hidden))
    assert initialize(model, 1) == ["hidden/kernel"]
    assert np.std(model.get_layer("hidden").kernel) > 0.2


def test_it_completes_a_model_whose_initialisation_was_skipped(model):
    initialize(model, 9)
    with skip_initialization():
        fresh = built()
    initialize(fresh, 9)
    for path, value in values(fresh).items():
        np.testing.assert_array_equal(value, values(model)[path])


def test_weights_in_bfloat16(model):
    initialize(model, 9)
    half = built(dtype="bfloat16")
    initialize(half, 9)
    assert half.weights[0].dtype == "bfloat16"
    for path, value in values(half).items():
        np.testing.assert_allclose(value, values(model)[path], rtol=0.01)


def test_a_model_that_is_not_built_is_refused():
    with pytest.raises(ValueError, match="before it is initialised"):
        initialize(Dense(3), 1)


SCRIPT = """
import numpy as np
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from kerasbert.layers import initialize
from tests.test_initialize import built

one = built()
initialize(one, 7)
with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
    two = built()
initialize(two, 7)
for a, b in zip(one.weights, two.weights):
    copies = getattr(getattr(b, "_value", b), "values", None)
    assert len(copies) == 2
    for copy in copies:
        np.testing.assert_array_equal(copy.numpy(), np.array(a))
print("equal")
"""


@pytest.mark.slow
def test_two_replicas_start_as_one():
    checkout = Path(__file__).resolve().parents[1]
    done = subprocess.run([sys.executable, "-c", SCRIPT], cwd=checkout, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()[-3000:]
    assert b"equal" in done.stdout
