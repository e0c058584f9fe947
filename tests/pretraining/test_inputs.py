"""Batches: every record once in an epoch, the same batches for any number of hosts and replicas."""

from __future__ import annotations

import collections

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerasbert.backend import tf
from pretraining.inputs import Batches, split_rows
from pretraining.records import Corpus
from tests.pretraining.loop_cases import LENGTH, write_corpus


class Reading:
    """An objective that hands records on, with a number drawn from the seed."""

    def prepare(self, batch, seed):
        drawn = tf.random.stateless_uniform([], seed, None, None, tf.int32)
        return {**batch, "drawn": tf.fill(tf.shape(batch["length"]), drawn)}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = write_corpus(tmp_path_factory.mktemp("inputs") / "corpus", "simbert", shards=4)
    return Corpus.open(folder)  # its labels number the records


def batches(corpus, **options) -> Batches:
    return Batches(corpus, Reading(), **{"batch_size": 8, "seed": 3, **options})


def read(dataset) -> list[dict[str, np.ndarray]]:
    return list(dataset.as_numpy_iterator())


def test_an_epoch_holds_every_record_once(corpus):
    made = batches(corpus, lanes=2)
    assert made.steps_per_epoch == 8  # lanes of 34 or 36 records, four of each for a batch
    rows = read(made.epoch(0))
    labels = np.concatenate([row["label"] for row in rows])
    assert len(rows) == 8 and len(labels) == 64 == len(set(labels.tolist()))
    assert all(row["token_ids"].shape == (8, LENGTH) for row in rows)


def test_epochs_differ_and_repeat(corpus):
    def labels(step, **options):
        return [row["label"].tolist() for row in read(batches(corpus, **options).epoch(step))]

    first, second = labels(0), labels(8)
    assert first != second and first == labels(0) and second == labels(8)
    assert first != labels(0, seed=4)
    every = collections.Counter(
        label for epoch in (first, second) for row in epoch for label in row
    )
    assert max(every.values()) == 2


def test_masks_are_drawn_anew_for_every_step_and_lane(corpus):
    drawn = [row["drawn"].tolist() for step in (0, 8) for row in read(batches(corpus).epoch(step))]
    assert len({number for row in drawn for number in row}) == 4 * 16


@pytest.mark.parametrize("step", [1, 5, 7, 9])
def test_a_step_is_found_again(corpus, step):
    made = batches(corpus)
    whole = read(made.epoch(step - step % 8))[step % 8 :]
    again = read(made.epoch(step))
    assert len(whole) == len(again)
    for one, other in zip(whole, again):
        for name in one:
            np.testing.assert_array_equal(one[name], other[name])


@pytest.mark.parametrize(("hosts", "replicas"), [(1, 2), (2, 1), (2, 2), (4, 2)])
def test_hosts_and_replicas_share_the_same_batches(corpus, hosts, replicas):
    made = batches(corpus)
    whole = read(made.epoch(0))
    parts = [
        read(made.epoch(0, host=host, hosts=hosts, replicas=replicas)) for host in range(hosts)
    ]
    for step, batch in enumerate(whole):
        pieces = [
            piece for part in parts for piece in part[step * replicas : (step + 1) * replicas]
        ]
        for name in batch:
            joined = np.concatenate([piece[name] for piece in pieces])
            np.testing.assert_array_equal(joined, batch[name])


def test_hosts_read_their_own_shards_only(corpus):
    made = batches(corpus)
    rows = [read(made.epoch(0, host=host, hosts=4)) for host in range(4)]
    shards = [{int(label) // 100 for row in part for label in row["label"]} for part in rows]
    assert sorted(len(each) for each in shards) == [1, 1, 1, 1]
    assert set.union(*shards) == {0, 1, 2, 3}


def test_shapes_are_static(corpus):
    spec = batches(corpus).epoch(0, hosts=2, replicas=2).element_spec
    assert all(each.shape.is_fully_defined() and each.shape[0] == 2 for each in spec.values())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lanes": 3}, "lanes must divide batch_size"),
        ({"lanes": 8}, "at most the number of shards"),
        ({"lanes": 0}, "lanes=0"),
        ({"batch_size": 400}, "too few examples for a batch"),
    ],
)
def test_what_cannot_be(corpus, options, message):
    with pytest.raises(ValueError, match=message):
        batches(corpus, **options)


def test_hosts_that_cannot_share(corpus):
    with pytest.raises(ValueError, match="3 hosts with 1 replicas each cannot share 4 lanes"):
        batches(corpus).epoch(0, hosts=3)


@given(rows=st.integers(1, 6), parts=st.integers(1, 6), width=st.integers(1, 3))
def test_split_rows_keeps_order(rows, parts, width):
    tensor = tf.reshape(tf.range(rows * parts * width), [rows * parts, width])
    divided = split_rows({"x": tensor}, parts)["x"]
    assert divided.shape == (parts, rows, width)
    np.testing.assert_array_equal(np.reshape(divided, [-1, width]), tensor)
    with pytest.raises(ValueError, match="cannot be divided"):
        split_rows({"x": tensor}, rows * parts + 1)
