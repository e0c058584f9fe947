"""Rows made of records: what is shown, what is to be predicted, and where."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasbert.backend import tf
from kerasbert.data.seq2seq import next_token_labels
from pretraining.objectives.mask_settings import random_ids
from pretraining.synonyms import synonym_table
from tests.pretraining.objective_cases import (
    CLS,
    LENGTH,
    MASK,
    NAMES,
    PAD,
    SEP,
    VOCABULARY,
    Facts,
    build,
    numbers,
    records,
    records_for,
    shared,
)

SEED = tf.constant([3, 4])
int32 = st.integers(-(2**31), 2**31 - 1)


def prepared(name, **options):
    return numbers(shared(name).prepare(records_for(name, **options), SEED))


def predictions(rows, row):
    """(position, label) of every prediction of a row."""
    weights = rows["weights"][row]
    count = int(weights.sum())
    np.testing.assert_array_equal(weights, np.arange(len(weights)) < count)
    assert not rows["positions"][row, count:].any() and not rows["labels"][row, count:].any()
    positions = rows["positions"][row, :count]
    assert (np.diff(positions) > 0).all()
    return list(zip(positions.tolist(), rows["labels"][row, :count].tolist()))


@pytest.mark.parametrize("name", NAMES)
def test_a_pure_function_with_static_shapes(name):
    task, batch = shared(name), records_for(name)
    eager = numbers(task.prepare(batch, SEED))
    dataset = tf.data.Dataset.from_tensor_slices(batch).batch(6, drop_remainder=True)
    dataset = dataset.map(lambda batch: task.prepare(batch, SEED))
    for spec in dataset.element_spec.values():
        assert spec.shape.is_fully_defined() and spec.shape[0] == 6 * task.rows
        assert spec.dtype in (tf.int32, tf.float32)
    for other in (
        numbers(next(iter(dataset))),
        numbers(task.prepare(batch, SEED)),
    ):
        for key, value in eager.items():
            np.testing.assert_array_equal(other[key], value)
    if name not in ("simbert", "lm"):  # these have nothing to draw
        another = task.prepare(batch, tf.constant([3, 5]))
        assert any((numbers(another[key]) != eager[key]).any() for key in eager)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_compiled_rows_are_the_same(name):
    task, batch = shared(name), records_for(name)
    eager = numbers(task.prepare(batch, SEED))
    compiled = numbers(tf.function(task.prepare, jit_compile=True)(batch, SEED))
    for key, value in eager.items():
        np.testing.assert_array_equal(compiled[key], value)


@pytest.mark.parametrize("name", NAMES)
@given(seed=st.tuples(int32, int32), data=st.integers(0, 1000))
@settings(max_examples=10)
def test_what_holds_for_every_batch(name, seed, data):
    batch = records_for(name, seed=data)
    rows = numbers(shared(name).prepare(batch, tf.constant(seed)))
    batch = numbers(batch)
    assert rows["token_ids"].shape == rows["segment_ids"].shape == (len(rows["weights"]), LENGTH)
    lengths = np.repeat(batch["length"], shared(name).rows)
    if name == "unilm":
        lengths = np.minimum(lengths + (rows["task"] == 2), LENGTH)
    for row, length in enumerate(lengths):
        assert (rows["token_ids"][row, :length] != PAD).all()
        assert (rows["token_ids"][row, length:] == PAD).all()
        assert not rows["segment_ids"][row, length:].any()
        assert rows["token_ids"][row, 0] == CLS
        for position, label in predictions(rows, row):
            assert position < length and label not in (PAD, CLS)


@pytest.mark.parametrize("name", ["roberta", "bert", "albert", "electra"])
def test_masked_rows(name):
    batch, rows = numbers(records_for(name, rows=40)), prepared(name, rows=40)
    original, changed = batch["token_ids"], 0
    for row, (ids, length) in enumerate(zip(original, batch["length"])):
        found = predictions(rows, row)
        chosen = [position for position, _ in found]
        assert len(found) <= max(1, round(0.15 * length))
        assert [label for _, label in found] == ids[chosen].tolist()
        assert not set(ids[chosen]) & {PAD, CLS, SEP}
        others = np.setdiff1d(np.arange(LENGTH), chosen)
        np.testing.assert_array_equal(rows["token_ids"][row, others], ids[others])
        expected = (np.arange(LENGTH) >= batch["first_length"][row]) & (np.arange(LENGTH) < length)
        np.testing.assert_array_equal(rows["segment_ids"][row], expected)
        changed += (rows["token_ids"][row, chosen] == MASK).sum()
    assert changed > 0.5 * rows["weights"].sum()


def test_labels_of_pairs_are_those_of_the_records():
    for name in ("bert", "albert"):
        batch, rows = numbers(records_for(name)), prepared(name)
        np.testing.assert_array_equal(rows["pair_labels"], batch["label"])
        assert 0 < batch["label"].sum() < len(batch["label"])


def test_the_share_is_of_all_tokens_or_of_those_that_may_be_chosen():
    batch = records(40)
    wide = {"masked_lm_prob": 0.5, "mode": "plain"}
    for share_of, less in (("tokens", 0), ("candidates", 2)):
        task = build("roberta", masking=wide, options={"share_of": share_of})
        rows = numbers(task.prepare(batch, SEED))
        expected = [round(0.5 * (n - less)) for n in batch["length"].numpy()]
        np.testing.assert_array_equal(rows["weights"].sum(1), expected)


def test_defaults_of_masks():
    assert shared("roberta").masking.mode == shared("bert").masking.mode == "whole_word"
    assert shared("roberta").masking.max_predictions == round(0.15 * LENGTH)
    albert, electra = shared("albert").masking, shared("electra").masking
    assert albert.mode == "ngram" and albert.replace_by == "token"
    np.testing.assert_allclose(np.array(albert.ngram_shares) * 11, [6, 3, 2])
    assert (electra.mode, electra.mask_share, electra.random_share) == ("plain", 0.85, 0)
    assert shared("unilm").masking.max_predictions < shared("unilm").width == LENGTH
    assert shared("roberta").masking.random_ids == (MASK + 1, VOCABULARY)


def test_random_ids():
    end = Facts(special_ids={"pad": 1, "unk": 3, "cls": 0, "sep": 2, "mask": VOCABULARY - 1})
    assert random_ids(end) == (0, VOCABULARY)
    google = Facts(
        vocab_size=21128, special_ids={"pad": 0, "unk": 100, "cls": 101, "sep": 102, "mask": 103}
    )
    assert random_ids(google) == (104, 21128)


def test_similar_words_instead_of_masks():
    table = synonym_table({(token,): [(token - 1,)] for token in range(MASK + 2, VOCABULARY)})
    settings = {"mode": "whole_word", "replace_by": "word", "mask_share": 1.0, "random_share": 0.0}
    batch = records(40)
    batch["word_starts"] = batch["token_ids"] != PAD  # words of one token
    batch["token_ids"] = tf.where(batch["token_ids"] == MASK + 1, MASK + 2, batch["token_ids"])
    task = build("roberta", masking=settings, options={"synonyms": table})
    rows = numbers(task.prepare(batch, SEED))
    shown = np.take_along_axis(rows["token_ids"], rows["positions"], 1)
    chosen = rows["weights"] > 0
    np.testing.assert_array_equal(shown[chosen], rows["labels"][chosen] - 1)
    with pytest.raises(ValueError, match="whole words"):
        build("roberta", options={"synonyms": table}).prepare(batch, SEED)


# ---- UniLM ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def unilm_rows():
    return records_for("unilm", rows=300), prepared("unilm", rows=300)


def test_shares_of_tasks(unilm_rows):
    counts = np.bincount(unilm_rows[1]["task"], minlength=3)
    assert (np.abs(counts / 300 - 1 / 3) < 0.1).all()  # 3.7 standard deviations
    for number in range(3):
        shares = [0.0, 0.0, 0.0]
        shares[number] = 0.5
        task = build("unilm", options={"shares": shares})
        rows = numbers(task.prepare(records(30), SEED))
        assert (rows["task"] == number).all()
        assert list(task.loss_weights.values()) == [float(i == number) for i in range(3)]


def test_rows_read_both_ways(unilm_rows):
    batch, rows = numbers(unilm_rows[0]), unilm_rows[1]
    for row in np.nonzero(rows["task"] == 0)[0]:
        assert not rows["segment_ids"][row].any()
        ids = batch["token_ids"][row]
        found = predictions(rows, row)
        assert len(found) <= round(0.15 * LENGTH)
        assert all(ids[position] == label for position, label in found)
        others = np.setdiff1d(np.arange(LENGTH), [position for position, _ in found])
        np.testing.assert_array_equal(rows["token_ids"][row, others], ids[others])


def test_rows_read_from_left_to_right(unilm_rows):
    batch, rows = numbers(unilm_rows[0]), unilm_rows[1]
    for row in np.nonzero(rows["task"] == 1)[0]:
        ids, length = batch["token_ids"][row], batch["length"][row]
        np.testing.assert_array_equal(rows["token_ids"][row], ids)
        np.testing.assert_array_equal(rows["segment_ids"][row], np.arange(LENGTH) < length)
        assert predictions(rows, row) == [(i, ids[i + 1]) for i in range(length - 1)]


def test_rows_of_source_and_target(unilm_rows):
    batch, rows = numbers(unilm_rows[0]), unilm_rows[1]
    splits = set()
    for row in np.nonzero(rows["task"] == 2)[0]:
        ids, length = batch["token_ids"][row], batch["length"][row]
        new, segment_ids = rows["token_ids"][row], rows["segment_ids"][row]
        split = int(np.argmax(segment_ids)) - 1
        splits.add((split, length))
        assert 2 <= split <= length - 2 and batch["word_starts"][row, split]
        full = [*ids[:split], SEP, *ids[split:length]][:LENGTH]
        np.testing.assert_array_equal(new, full + [PAD] * (LENGTH - len(full)))
        inside = (np.arange(LENGTH) > split) & (np.arange(LENGTH) < len(full))
        np.testing.assert_array_equal(segment_ids, inside)
        labels = next_token_labels(new, segment_ids)
        expected = [(i, label) for i, label in enumerate(labels.tolist()) if label >= 0]
        assert predictions(rows, row) == expected
        assert expected[0][0] == split and len(expected) == len(full) - split - 1
    assert len(splits) > 20  # any word may begin a target


def test_a_row_without_two_words_has_no_target():
    task = build("unilm", options={"shares": [0, 0, 1]})
    batch = {key: value[:1] for key, value in records().items()}
    ids = np.full((1, LENGTH), PAD, np.int32)
    ids[0, :4] = CLS, 10, 11, SEP
    batch["token_ids"], batch["length"] = tf.constant(ids), tf.constant([4])
    for starts, number in (([1, 1, 0, 1], 1), ([1, 1, 1, 1], 2)):
        batch["word_starts"] = tf.constant([[bool(x) for x in starts] + [False] * (LENGTH - 4)])
        assert numbers(task.prepare(batch, SEED))["task"].tolist() == [number]


def test_too_many_targets_become_a_random_subset():
    task = build("unilm", options={"shares": [0, 1, 0], "max_predictions": 3})
    batch = {key: tf.repeat(value[:1], 600, 0) for key, value in records().items()}
    rows, ids = numbers(task.prepare(batch, SEED)), batch["token_ids"][0].numpy()
    counts = np.zeros(LENGTH)
    for row in range(600):
        found = predictions(rows, row)
        assert len(found) == 3 and all(label == ids[i + 1] for i, label in found)
        counts[[i for i, _ in found]] += 1
    share = 3 / (LENGTH - 1)
    limit = 4 * np.sqrt(600 * share * (1 - share))
    assert (np.abs(counts[:-1] - 600 * share) < limit).all() and counts[-1] == 0


def test_masks_must_fit_into_the_predictions():
    assert build("unilm", options={"max_predictions": 1}).masking.max_predictions == 1
    with pytest.raises(ValueError, match="room"):
        build("unilm", options={"max_predictions": 3}, masking={"max_predictions": 4})


# ---- SimBERT and language models ------------------------------------------------------------


def test_each_sentence_writes_the_other():
    batch, rows = numbers(records_for("simbert", rows=20)), prepared("simbert", rows=20)
    assert len(rows["token_ids"]) == 40
    for record in range(20):
        length, first = batch["length"][record], batch["first_length"][record]
        a, b = batch["token_ids"][record, 1:first], batch["token_ids"][record, first:length]
        for row, (source, target) in enumerate(((a, b), (b, a)), start=2 * record):
            expected = [CLS, *source, *target]
            np.testing.assert_array_equal(rows["token_ids"][row, :length], expected)
            inside = np.arange(length) > len(source)
            np.testing.assert_array_equal(rows["segment_ids"][row, :length], inside)
            assert rows["groups"][row] == batch["label"][record]
            assert predictions(rows, row) == [
                (len(source) + i, token) for i, token in enumerate(target.tolist())
            ]


def test_every_next_token():
    batch, rows = numbers(records_for("lm")), prepared("lm")
    for row, (ids, length) in enumerate(zip(batch["token_ids"], batch["length"])):
        assert predictions(rows, row) == [(i, ids[i + 1]) for i in range(length - 1)]
