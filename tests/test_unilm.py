"""Writing with the masks of UniLM and of a language model: who sees whom, in every family."""

from __future__ import annotations

import json

import numpy as np
import pytest

from kerasbert import build_transformer_model
from kerasbert.backend import keras, tf
from tests.families import FAMILIES
from tests.golden_cases import SHARED, distance

SIZES = {
    "vocab_size": 60,
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 32,
    "initializer_range": 0.5,  # large enough for every token to matter
}
SOURCE, LENGTH = 4, 9
# XLNet writes in any order, given as an input: its own tests say who sees whom.
OTHER_MASKS = ("xlnet",)


def _is(options: dict, application: str) -> bool:
    named = options.get("model") == "unilm" and "application" not in options
    return options.get("application") == application or (named and application == "unilm")


def _cases(application: str) -> list:
    return [
        pytest.param({**options, "initializer_range": 0.5}, id=f"{name}{index}")
        for family in FAMILIES
        for name in [family.__name__.rsplit(".", 1)[-1]]
        if name not in OTHER_MASKS
        for index, options in enumerate(family.TINY)
        if _is(options, application)
    ]


def _inputs(model, length: int = LENGTH) -> list[np.ndarray]:
    """The first ``length`` tokens of one text; segments say where the target begins."""
    rng = np.random.default_rng(0)
    arrays = {
        "Token": rng.integers(6, 40, (2, LENGTH)),
        "Segment": np.tile(np.arange(LENGTH) >= SOURCE, (2, 1)),
        "Position": np.tile(np.arange(LENGTH), (2, 1)),
        "Mask": np.ones((2, LENGTH)),
    }
    names = [tensor.name for tensor in model.inputs]
    found = [next(a for kind, a in arrays.items() if kind in name) for name in names]
    return [array[:, :length].astype("int32") for array in found]


def _call(model, inputs) -> list[np.ndarray]:
    outputs = model(inputs if len(inputs) > 1 else inputs[0])
    outputs = outputs if isinstance(outputs, (list, tuple)) else [outputs]
    return [np.asarray(tf.cast(x, tf.float32)) for x in outputs]


def _changed_by(model, position: int) -> np.ndarray:
    """How much each position's scores change with the token at one position."""
    inputs = _inputs(model)
    other = [array.copy() for array in inputs]
    other[0][:, position] += 1
    before, after = (_call(model, x)[-1] for x in (inputs, other))
    return np.abs(before - after).max(axis=(0, 2))


@pytest.mark.parametrize("options", _cases("unilm"))
def test_the_source_is_seen_whole_and_the_target_from_the_left(options):
    model = build_transformer_model(**options)
    whole = _call(model, _inputs(model))
    for length in range(SOURCE, LENGTH):
        for full, part in zip(whole, _call(model, _inputs(model, length))):
            full = full[:, :length] if full.ndim == 3 else full  # the pooled vector sees the source
            np.testing.assert_allclose(full, part, atol=1e-5)
    assert (_changed_by(model, SOURCE - 1) > 1e-6).all()
    seen = _changed_by(model, SOURCE + 1) > 1e-6
    assert seen.tolist() == [i >= SOURCE + 1 for i in range(LENGTH)]


@pytest.mark.parametrize("options", _cases("lm"))
def test_a_language_model_sees_nothing_that_follows(options):
    model = build_transformer_model(**options)
    whole = _call(model, _inputs(model))[-1]
    for length in range(1, LENGTH):
        part = _call(model, _inputs(model, length))[-1]
        np.testing.assert_allclose(whole[:, :length], part, atol=1e-5)
    seen = _changed_by(model, 3) > 1e-6
    assert seen.tolist() == [i >= 3 for i in range(LENGTH)]


def test_unilm_is_a_name_for_bert_with_that_mask():
    sizes = {**SIZES, "with_pool": "linear", "return_keras_model": False}
    named = build_transformer_model(model="unilm", **sizes)
    told = build_transformer_model(model="bert", application="unilm", **sizes)
    assert type(named) is type(told)
    assert named.layers.keys() == told.layers.keys()
    told.model.set_weights(named.model.get_weights())
    x = _inputs(told.model)
    for ours, theirs in zip(_call(named.model, x), _call(told.model, x)):
        np.testing.assert_array_equal(ours, theirs)


def test_a_tail_without_segment_belongs_to_the_end_of_the_target():
    """The mask is the running sum of segments: zeros after the target see all of it."""
    model = build_transformer_model(model="unilm", **SIZES)
    ids = np.random.default_rng(0).integers(6, 40, (1, 6)).astype("int32")
    other = ids.copy()
    other[0, 5] += 1
    segments = np.array([[0, 0, 1, 1, 0, 0]], "int32")
    before, after = (_call(model, [x, segments])[0] for x in (ids, other))
    seen = np.abs(before - after).max(axis=(0, 2)) > 1e-6
    assert seen.tolist() == [False, False, False, True, True, True]


# ---- against Hugging Face's outputs --------------------------------------------------------------

HIDDEN, LOGITS = 2e-5, 1e-4  # golden/huggingface/README.md


@pytest.fixture(scope="module")
def unilm_case(request):
    request.getfixturevalue("shared")
    folder = SHARED / "huggingface" / "hf" / "bert_unilm"
    return folder, np.load(folder / "golden.npz")


def _hidden_states(model, inputs) -> list[np.ndarray]:
    names = [layer.name for layer in model.layers]
    taps = ["Embedding-Dropout", *(n for n in names if n.endswith("-FeedForward-Norm"))]
    return _call(keras.Model(model.inputs, [model.get_layer(n).output for n in taps]), inputs)


@pytest.mark.parametrize("application", ["unilm", "lm"])
def test_masks_equal_the_recorded_ones(unilm_case, application):
    folder, arrays = unilm_case
    inputs = [arrays["in.unilm.input_ids"], arrays["in.unilm.token_type_ids"]]
    model = build_transformer_model(folder, application=application, with_mlm="linear")
    real = arrays["in.unilm.attention_mask"] == 1
    (logits,) = _call(model, inputs)
    assert distance(logits[real], arrays[f"out.{application}.mlm_logits"][real]) <= LOGITS
    recorded = arrays[f"out.{application}.hidden_states"]
    hidden = _hidden_states(model, inputs)
    assert len(hidden) == len(recorded)
    assert max(distance(x[real], y[real]) for x, y in zip(hidden, recorded)) <= HIDDEN


def test_the_two_masks_differ(unilm_case):
    _, arrays = unilm_case
    assert distance(arrays["out.unilm.mlm_logits"], arrays["out.lm.mlm_logits"]) > 1


def test_the_steps_of_generation_equal_the_recorded_ones(unilm_case):
    folder, arrays = unilm_case
    source, written = arrays["in.greedy.source_ids"], arrays["out.greedy.generated"]
    ids = np.concatenate([source, np.maximum(written, 0)], axis=1)
    segments = np.repeat([[0, 1]], [source.shape[1], written.shape[1]], axis=1)
    model = build_transformer_model(folder, model="unilm", with_mlm="linear")
    (logits,) = _call(model, [ids, np.tile(segments, (len(ids), 1))])
    steps = logits[:, source.shape[1] - 1 : -1]
    done = written >= 0
    assert distance(steps[done], arrays["out.greedy.step_logits"][done]) <= LOGITS
    np.testing.assert_array_equal(steps.argmax(-1)[done], written[done])


def test_a_causal_bert_equals_the_recorded_one(shared):
    folder = SHARED / "huggingface" / "hf" / "bert_decoder"
    assert json.loads((folder / "config.json").read_text())["is_decoder"] is True
    arrays = np.load(folder / "golden.npz")
    model = build_transformer_model(folder, model="bert", application="lm", with_mlm="linear")
    prompt = arrays["in.gen.input_ids"]
    x = [prompt, np.zeros_like(prompt)]
    assert distance(_call(model, x)[0], arrays["out.prompt.logits"]) <= LOGITS
    hidden = _hidden_states(model, x)
    assert max(map(distance, hidden, arrays["out.prompt.hidden_states"])) <= HIDDEN
    longer = np.concatenate([prompt, arrays["in.step.next_ids"]], axis=1)
    step = _call(model, [longer, np.zeros_like(longer)])[0][:, -1:]
    assert distance(step, arrays["out.step.logits"]) <= LOGITS

    written = arrays["out.greedy.sequences"]
    logits = _call(model, [written, np.zeros_like(written)])[0][:, prompt.shape[1] - 1 : -1]
    new = written[:, prompt.shape[1] :]
    done = new != 0
    assert distance(logits[done], arrays["out.greedy.logits"][done]) <= LOGITS
    np.testing.assert_array_equal(logits.argmax(-1)[done], new[done])
