"""bert4keras's decoder: its recorded results, and what is mended in it."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from kerasbert import build_transformer_model
from kerasbert.backend import keras
from kerasbert.generation.autoregressive import AutoRegressiveDecoder
from tests.golden_cases import HERE
from tests.tiny import CONFIG, bert_tensors

BEAM = json.loads((HERE / "bert4keras" / "beam.json").read_text())
DECODE = json.loads((HERE / "google" / "b4k" / "decode.json").read_text())
END = 3  # of beam.json


def softmax(x):
    exponentials = np.exp(x - x.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def toy_logits(prefix, source) -> np.ndarray:
    """The toy language model that beam.json was recorded with; its "note" describes it."""
    seed = 7
    for number in [*source, 99, *prefix]:
        seed = (seed * 31 + int(number) + 1) % (2**31 - 1)
    return np.random.RandomState(seed).randn(BEAM["V"]) * 1.5


class ToyProbas(AutoRegressiveDecoder):
    @AutoRegressiveDecoder.wraps(default_rtype="probas")
    def predict(self, inputs, output_ids, states):
        return softmax(np.array([toy_logits(*row) for row in zip(output_ids, inputs[0])]))


class ToyLogits(AutoRegressiveDecoder):
    @AutoRegressiveDecoder.wraps(default_rtype="logits")
    def predict(self, inputs, output_ids, states):
        return np.array([toy_logits(*row) for row in zip(output_ids, inputs[0])])


TOYS = {"probas": ToyProbas, "logits": ToyLogits}


def toy(case, **options):
    arguments = (case["start"], END, case["maxlen"], case["minlen"])
    return TOYS[case["rtype"]](*arguments, **options)


def search(case, keep_finished, **options):
    names = ("topk", "temperature", "min_ends")
    options.update({name: case[name] for name in names})
    return toy(case, keep_finished=keep_finished).beam_search([case["inp"]], **options)


def cases(kind: str) -> list[dict]:
    return [case for case in BEAM["cases"] if case["kind"] == kind]


def test_every_recorded_case_is_looked_at():
    assert Counter(case["kind"] for case in BEAM["cases"]) == {"beam": 432, "sample": 72}


def test_recorded_beam_searches():
    for case in cases("beam"):
        assert search(case, keep_finished=False).tolist() == case["result"], case


def test_recorded_samples():
    for case in cases("sample"):
        np.random.seed(case["seed"])
        results = toy(case).random_sample([case["inp"]], case["n"], **case["kw"])
        assert [ids.tolist() for ids in results] == case["result"], case


def test_keeping_what_has_ended_finds_better_outputs():
    """The default differs from bert4keras where it lost a beam, and then for the better."""
    better = 0
    for case in cases("beam"):
        _, old = search(case, keep_finished=False, return_score=True)
        ids, score = search(case, keep_finished=True, return_score=True)
        assert score >= old - 1e-12, case
        better += score > old + 1e-9
        if case["topk"] == 1:  # greedy has no beam to lose
            assert ids.tolist() == case["result"]
    assert better > 20


def test_an_end_that_is_not_the_best_is_not_lost():
    """After token 0: end (0.4) or 1 (0.6), after which nothing is likely."""

    class Toy(AutoRegressiveDecoder):
        @AutoRegressiveDecoder.wraps()
        def predict(self, inputs, output_ids, states):
            rows = {0: [0.9, 0.05, 0.05, 0.0], 1: [0.0, 0.6, 0.0, 0.4], 2: [0.25] * 4}
            return np.array([rows[min(len(ids), 2)] for ids in output_ids])

    ids, score = Toy(None, 3, 5).beam_search([[1]], topk=2, return_score=True)
    assert ids.tolist() == [0, 3]
    assert score == pytest.approx(np.log(0.9 * 0.4))
    old = Toy(None, 3, 5, keep_finished=False).beam_search([[1]], topk=2)
    assert old.tolist()[:2] == [0, 1]


def test_beam_search_over_everything_finds_the_best_output():
    """As many beams as there are outputs: nothing can be better than what is found."""
    decoder = ToyProbas(None, END, maxlen=3)

    def log_probability(ids):
        steps = [softmax(toy_logits(ids[:at], [5])) for at in range(len(ids))]
        return sum(np.log(step[token] + 1e-12) for step, token in zip(steps, ids))

    outputs = [()]
    for _ in range(3):
        outputs = [
            longer
            for ids in outputs
            for longer in ([ids] if END in ids else [(*ids, token) for token in range(8)])
        ]
    best = max(outputs, key=log_probability)
    ids, score = decoder.beam_search([[5]], topk=512, return_score=True)
    assert tuple(ids) == best
    assert score == pytest.approx(log_probability(best))


def test_more_beams_than_tokens():
    assert len(ToyProbas(None, END, 4).beam_search([[5]], topk=100)) <= 4
    assert len(ToyProbas(None, END, 4).random_sample([[5]], 2, topk=100)) == 2


# Sampling


def draws(count=4000, **options):
    np.random.seed(3)
    decoder = ToyLogits(None, END, maxlen=1)
    ids = [row[0] for row in decoder.random_sample([[5, 6]], count, **options)]
    return np.bincount(ids, minlength=8) / count


def test_samples_have_the_distribution():
    exact = softmax(toy_logits([], [5, 6]))
    np.testing.assert_allclose(draws(), exact, atol=0.03)
    hot = softmax(toy_logits([], [5, 6]) / 2)
    np.testing.assert_allclose(draws(temperature=2), hot, atol=0.03)


def test_topk_and_topp_leave_the_likely_tokens():
    exact = softmax(toy_logits([], [5, 6]))
    order = np.argsort(-exact)
    three = np.where(np.isin(np.arange(8), order[:3]), exact, 0)
    np.testing.assert_allclose(draws(topk=3), three / three.sum(), atol=0.03)
    # The token that crosses the limit belongs to them.
    limit = exact[order[:2]].sum() + 1e-3
    np.testing.assert_allclose(draws(topp=limit), three / three.sum(), atol=0.03)
    assert draws(topp=1e-9)[order[0]] == 1


# The decorators


def test_predictions_in_either_form():
    class Recorder(AutoRegressiveDecoder):
        @AutoRegressiveDecoder.wraps(default_rtype="logits", use_states=True)
        def predict(self, inputs, output_ids, states):
            return np.zeros((len(output_ids), 4)) + [0, 1, 2, 3], (states or 0) + 1

    recorder, empty = Recorder(None, 3, 5), np.zeros((1, 0), int)
    probas, states = recorder.predict([], empty, None)  # the default is what was decorated
    assert states == 1
    np.testing.assert_allclose(probas[0], np.log(softmax(np.arange(4))), rtol=1e-6)
    probas, states = recorder.predict([], empty, 5, 2, "probas")
    assert states == 6
    np.testing.assert_allclose(probas[0], softmax(np.arange(4) / 2))


def test_states_go_from_step_to_step():
    seen = []

    class Counting(AutoRegressiveDecoder):
        @AutoRegressiveDecoder.wraps("probas", use_states=True)
        def predict(self, inputs, output_ids, states):
            seen.append(states)
            return np.full((len(output_ids), 4), 0.25) - [0, 0, 0, 0.2], (states or 0) + 1

    Counting(None, 3, 4).beam_search([[1]], 2)
    Counting(None, 3, 1).random_sample([[1]], 2, states=7)
    assert seen == [None, 1, 2, 3, 7]


def test_set_rtype_gives_the_step():
    class Old(AutoRegressiveDecoder):
        @AutoRegressiveDecoder.set_rtype(default="probas")
        def predict(self, inputs, output_ids, step):
            return np.eye(6)[[step] * len(output_ids)]

    assert Old(0, 4, 9).beam_search([[1]], 1).tolist() == [0, 0, 1, 2, 3, 4]


def test_both_spellings_of_the_arguments():
    new = ToyProbas(bos_token_id=2, eos_token_id=3, max_new_tokens=6, min_new_tokens=3)
    old = ToyProbas(2, 3, 6, 4)
    assert vars(new).keys() == vars(old).keys()
    assert (new.start_id, new.end_id, new.maxlen, new.minlen) == (2, 3, 6, 4)
    assert ToyProbas(start_id=None, end_id=3, maxlen=6).minlen == 1
    np.testing.assert_array_equal(new.first_output_ids, [[2]])
    assert ToyProbas(None, 3, 6).first_output_ids.shape == (1, 0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"maxlen": 4}, "end_id is missing"),
        ({"end_id": 3}, "maxlen is missing"),
        ({"end_id": 3, "maxlen": 0}, "maxlen must be at least 1, got 0"),
    ],
)
def test_missing_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        AutoRegressiveDecoder(**arguments)


def test_the_same_argument_twice():
    with pytest.raises(TypeError, match="end_id and eos_token_id"):
        AutoRegressiveDecoder(None, 3, 4, eos_token_id=3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"topk": 0}, "topk must be at least 1"),
        ({"topk": 1, "temperature": 0}, "temperature must be above 0"),
        ({"topk": 1, "min_ends": 0}, "min_ends must be at least 1"),
    ],
)
def test_wrong_options_of_beam_search(options, message):
    with pytest.raises(ValueError, match=message):
        ToyProbas(None, END, 4).beam_search([[1]], **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"n": 0}, "n must be"), ({"n": 1, "topk": 0}, "topk"), ({"n": 1, "topp": 0}, "topp")],
)
def test_wrong_options_of_sampling(options, message):
    with pytest.raises(ValueError, match=message):
        ToyProbas(None, END, 4).random_sample([[1]], **options)


def test_wrong_predictions_are_named():
    class Wrong(AutoRegressiveDecoder):
        @AutoRegressiveDecoder.wraps("probas")
        def predict(self, inputs, output_ids, states):
            return self.result

    decoder = Wrong(None, 3, 4)
    decoder.result = np.zeros((1, 5, 8))
    with pytest.raises(ValueError, match=r"\(rows, vocab_size\).*last_token"):
        decoder.beam_search([[1]], 1)
    decoder.result = np.full((1, 8), np.nan)
    with pytest.raises(ValueError, match="NaN"):
        decoder.random_sample([[1]], 1)
    with pytest.raises(NotImplementedError, match="Plain must define predict"):
        type("Plain", (AutoRegressiveDecoder,), {})(None, 3, 4).beam_search([[1]], 1)
    with pytest.raises(ValueError, match='"probas" or "logits"'):
        AutoRegressiveDecoder.wraps("probabilities")


# A real model


def unilm_decoder(model, rtype="probas"):
    class UniLM(AutoRegressiveDecoder):
        @AutoRegressiveDecoder.wraps(default_rtype=rtype)
        def predict(self, inputs, output_ids, states):
            token_ids, segment_ids = inputs
            token_ids = np.concatenate([token_ids, output_ids], axis=1)
            segment_ids = np.concatenate([segment_ids, np.ones_like(output_ids)], axis=1)
            return self.last_token(model).predict([token_ids, segment_ids])

    return UniLM


@pytest.fixture(scope="module")
def recorded_model():
    folder = HERE / "google" / Path(DECODE["checkpoint"]).parent
    return build_transformer_model(
        folder / "bert_config.json",
        folder / "bert_model.ckpt",
        hidden_act=f"gelu_{DECODE['gelu']}",
        **DECODE["build_kwargs"],
    )


def test_recorded_decoding_of_a_model(recorded_model):
    decoder_class = unilm_decoder(recorded_model)
    last = {}
    for case in DECODE["cases"]:
        decoder = decoder_class(
            case.get("start_id"), case["end_id"], case["maxlen"], case["minlen"],
            keep_finished=False,
        )  # fmt: skip
        decoder._last_tokens = last
        ids, score = decoder.beam_search(
            [case["source_token_ids"], case["source_segment_ids"]],
            case["topk"],
            temperature=case.get("temperature") or 1,
            return_score=True,
        )
        assert ids.tolist() == case["output_ids"], case
        assert score == pytest.approx(case["score"], abs=1e-4)
    assert len(DECODE["cases"]) == 114


@pytest.fixture(scope="module")
def model():
    return build_transformer_model(CONFIG, bert_tensors(), model="unilm", with_pool="linear")


def test_last_token_scores_one_position(model):
    scores = keras.Model(model.inputs, model.outputs[1])
    decoder = unilm_decoder(scores)(None, 3, 4)
    last = decoder.last_token(scores)
    assert decoder.last_token(scores) is last
    rng = np.random.default_rng(0)
    for batch, length in ((1, 5), (3, 6)):
        inputs = rng.integers(1, 50, (batch, length)), np.ones((batch, length))  # any dtype
        whole = scores.predict_on_batch([array.astype("int32") for array in inputs])
        np.testing.assert_allclose(last.predict(inputs), whole[:, -1], atol=1e-6)
    # The head works on one position of three axes; the table is not scored for all.
    shapes = [tuple(layer.output.shape) for layer in last.layers if isinstance(layer, keras.Model)]
    assert shapes and all(shape[-1] == CONFIG["vocab_size"] for shape in shapes)
    assert not any(layer.name == "MLM-Bias" for layer in last.layers)


def test_last_token_of_a_model_that_hides_its_head(model):
    """A model inside a model: its outputs are cut, as there is nothing to see inside."""
    inputs = [keras.Input((None,), dtype="int32") for _ in range(2)]
    outer = keras.Model(inputs, model(inputs)[1])
    last = unilm_decoder(outer)(None, 3, 4).last_token(outer)
    arrays = np.array([[4, 5, 6]]), np.array([[0, 1, 1]])
    whole = outer.predict_on_batch([array.astype("int32") for array in arrays])
    np.testing.assert_allclose(last.predict(arrays), whole[:, -1], atol=1e-6)


def test_last_token_shares_the_weights(model):
    scores = keras.Model(model.inputs, model.outputs[1])
    last = unilm_decoder(scores)(None, 3, 4).last_token(scores)
    ours = {id(weight) for weight in last.weights}
    assert ours <= {id(weight) for weight in model.weights}


def test_the_global_policy_does_not_change_the_last_token(model):
    scores = keras.Model(model.inputs, model.outputs[1])
    arrays = np.array([[4, 5, 6]], "int32"), np.array([[0, 1, 1]], "int32")
    whole = scores.predict_on_batch(arrays)[:, -1]
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        last = AutoRegressiveDecoder(None, 3, 4).last_token(scores).predict(arrays)
    finally:
        keras.mixed_precision.set_global_policy("float32")
    np.testing.assert_allclose(last, whole, atol=1e-6)


def test_last_token_of_a_pooled_vector_says_what_to_do(model):
    with pytest.raises(ValueError, match=r"shape \(None, 16\) has no last token.*outputs\[1\]"):
        AutoRegressiveDecoder(None, 3, 4).last_token(model)


def test_wrong_number_of_inputs(model):
    scores = keras.Model(model.inputs, model.outputs[1])
    last = AutoRegressiveDecoder(None, 3, 4).last_token(scores)
    with pytest.raises(ValueError, match=r"2 inputs \(Input-Token, Input-Segment\), got 1"):
        last.predict(np.array([[4, 5]]))


@pytest.mark.parametrize("family", ["gpt", "roformer_v2"])
def test_last_token_of_other_heads(family):
    options = {"application": "lm"} if family == "roformer_v2" else {}
    other = build_transformer_model({**CONFIG, "vocab_size": 30}, model=family, **options)
    last = AutoRegressiveDecoder(None, 3, 4).last_token(other)
    ids = np.array([[4, 5, 6, 7]], "int32")
    arrays = [ids, np.zeros_like(ids)][: len(other.inputs)]
    whole = other.predict_on_batch(arrays if len(arrays) > 1 else arrays[0])
    np.testing.assert_allclose(last.predict(arrays), whole[:, -1], atol=1e-6)


def test_bert4keras_scripts_import_it_from_snippets():
    from kerasbert import snippets

    assert snippets.AutoRegressiveDecoder is AutoRegressiveDecoder
