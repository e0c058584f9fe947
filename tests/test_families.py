"""What every model of every family must do: train, save, reload, export."""

from __future__ import annotations

import re

import numpy as np
import pytest

from kerasbert import build_transformer_model, save_weights_as_checkpoint
from kerasbert.backend import IS_KERAS3, keras, tf, variable_path
from tests.families import FAMILIES


def _label(options: dict) -> str:
    return "-".join(str(value) for value in options.values() if isinstance(value, str))


CASES = [
    pytest.param(options, id=f"{family.__name__.rsplit('.', 1)[-1]}{index}-{_label(options)}")
    for family in FAMILIES
    for index, options in enumerate(family.TINY)
]


def inputs_of(model, length: int = 7) -> list[np.ndarray]:
    """Random ids for every input of a tiny model; nothing is padding."""
    rng = np.random.default_rng(0)
    arrays = []
    for tensor in model.inputs:
        high = 12 if "Token" in tensor.name else 2
        shape = (4, *(length if size is None else size for size in tensor.shape[1:]))
        if len(shape) > 2:  # XLNet's permutations and memories
            array = rng.integers(0, 2, shape)
        elif "Position" in tensor.name:
            array = np.tile(np.arange(length), (4, 1))
        elif "Segment" in tensor.name:
            array = np.sort(rng.integers(0, 2, (4, length)), axis=1)
        elif "Mask" in tensor.name:
            array = np.ones((4, length))
        else:
            array = rng.integers(6, 6 + high, (4, length))
        arrays.append(array.astype(tf.as_dtype(tensor.dtype).as_numpy_dtype))
    return arrays


NO_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}


def as_list(outputs) -> list:
    return list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]


def call(model, inputs) -> list[np.ndarray]:
    outputs = as_list(model(inputs if len(inputs) > 1 else inputs[0]))
    return [np.asarray(tf.cast(output, tf.float32)) for output in outputs]


def squared_error(y_true, y_pred):
    difference = tf.cast(y_pred, tf.float32) - tf.cast(y_true, tf.float32)
    return tf.reduce_mean(tf.square(difference))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("dtype", "jit_compile"),
    [("float32", True), ("mixed_bfloat16", False)],
    ids=["float32-xla", "mixed_bfloat16-graph"],
)
@pytest.mark.parametrize("options", CASES)
def test_one_step_changes_every_trainable_variable(options, dtype, jit_compile):
    keras.utils.set_random_seed(0)
    if not jit_compile:
        options = {**options, "hidden_dropout_prob": 0.1}
    elif "num_hidden_groups" not in options:  # one block compiles in half the time of two
        options = {**options, "num_hidden_layers": 1}
    model = build_transformer_model(**{**options, "dtype": dtype})
    inputs = inputs_of(model)
    rng = np.random.default_rng(1)
    targets = [rng.standard_normal(x.shape).astype("f") for x in call(model, inputs)]
    before = {variable_path(v): np.array(v) for v in model.trainable_variables}
    losses = [squared_error] * len(targets)
    # Adam without epsilon: a gradient of any size changes a variable. It takes XLA too long, so
    # there a step that is much too large does it.
    optimizer = (
        keras.optimizers.SGD(1e6) if jit_compile else keras.optimizers.Adam(1e-2, epsilon=1e-30)
    )
    optimizer.build(model.trainable_variables)  # or the step is traced twice
    model.compile(optimizer, losses if len(losses) > 1 else losses[0], jit_compile=jit_compile)
    x = inputs if len(inputs) > 1 else inputs[0]
    history = model.fit(x, targets if len(targets) > 1 else targets[0], batch_size=4, verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    unchanged = [
        variable_path(v)
        for v in model.trainable_variables
        if np.array_equal(before[variable_path(v)], np.array(v))
    ]
    # a key bias has no gradient but rounding: the softmax does not see it
    unchanged = [path for path in unchanged if not path.endswith("key/bias")]
    assert not unchanged


@pytest.mark.slow
@pytest.mark.parametrize("options", CASES)
def test_recomputing_changes_memory_alone(options):
    weights = []
    for recompute in (False, True):
        keras.utils.set_random_seed(0)
        model = build_transformer_model(**{**options, "num_hidden_layers": 1, **NO_DROPOUT},
                                        recompute=recompute)  # fmt: skip
        large = [x for x in model.layers if re.search(r"Attention$|FeedForward$", x.name)]
        assert large and all(layer.recompute is recompute for layer in large)
        inputs = inputs_of(model)
        losses = [squared_error] * len(model.outputs)
        optimizer = keras.optimizers.SGD(1.0)
        optimizer.build(model.trainable_variables)
        model.compile(optimizer, losses if len(losses) > 1 else losses[0])
        targets = [np.ones(x.shape, "float32") for x in call(model, inputs)]
        both = [x if len(x) > 1 else x[0] for x in (inputs, targets)]
        model.fit(*both, batch_size=4, verbose=0)
        weights.append(model.get_weights())
    for plain, recomputed in zip(*weights):
        np.testing.assert_allclose(recomputed, plain, atol=1e-5)


@pytest.mark.parametrize("options", CASES)
@pytest.mark.slow
def test_saved_models_give_the_same_outputs(options, tmp_path):
    model = build_transformer_model(**options)
    inputs = inputs_of(model)
    expected = call(model, inputs)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    for ours, theirs in zip(call(again, inputs), expected):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("options", CASES)
@pytest.mark.slow
def test_checkpoints_are_written_and_read_exactly(options, tmp_path):
    model = build_transformer_model(**options)
    inputs = inputs_of(model)
    path = save_weights_as_checkpoint(model, tmp_path / "bert_model.ckpt")
    sizes = {"vocab_size", "hidden_size", "num_hidden_layers"}
    structure = {key: value for key, value in options.items() if key not in sizes}
    again = build_transformer_model(checkpoint=path, **structure)
    for ours, theirs in zip(call(again, inputs), call(model, inputs)):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.slow
@pytest.mark.parametrize("options", CASES)
def test_exported_models_give_the_same_outputs(options, tmp_path):
    model = build_transformer_model(**options)
    inputs = inputs_of(model)
    expected = call(model, inputs)
    if IS_KERAS3:
        model.export(str(tmp_path / "export"), verbose=False)
    else:
        model.export(str(tmp_path / "export"))
    loaded = tf.saved_model.load(str(tmp_path / "export"))
    outputs = as_list(loaded.serve(inputs if len(inputs) > 1 else inputs[0]))
    for ours, theirs in zip(outputs, expected):
        np.testing.assert_allclose(np.asarray(ours), theirs, atol=2e-6)
