"""Sources with targets in one row, and groups of similar sentences."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerasbert import Tokenizer, data

LETTERS = "abcdefghijklmnop"
TOKENIZER = Tokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *LETTERS])
CLS, SEP = TOKENIZER.start_id, TOKENIZER.end_id


def ids(letters: str) -> list[int]:
    return [TOKENIZER.token_to_id(letter) for letter in letters.split()]


# Sequence to sequence


def test_labels_are_the_next_tokens_of_the_target():
    token_ids, segment_ids = [2, 7, 8, 3, 9, 10, 3], [0, 0, 0, 0, 1, 1, 1]
    labels = data.next_token_labels(token_ids, segment_ids)
    assert labels.tolist() == [-1, -1, -1, 9, 10, 3, -1]
    assert data.next_token_labels(token_ids, segment_ids, -100)[0] == -100


def test_rows_are_those_of_the_tokenizer_for_pairs():
    sources, targets = ["a b c", "d"], ["e", "f g h"]
    ((token_ids, segment_ids), labels), *rest = data.seq2seq_batches(
        sources, targets, tokenizer=TOKENIZER
    )
    assert not rest
    pairs = TOKENIZER(sources, targets)
    np.testing.assert_array_equal(token_ids, pairs["token_ids"])
    np.testing.assert_array_equal(segment_ids, pairs["segment_ids"])
    assert labels.numpy().tolist() == [
        [-1, -1, -1, -1, *ids("e"), SEP, -1],
        [-1, -1, *ids("f g h"), SEP, -1],
    ]


def test_source_and_target_are_cut_apart():
    dataset = data.seq2seq_batches(
        ["a b c d"], ["e f g h"], tokenizer=TOKENIZER, max_source_length=4, max_target_length=3
    )
    (((token_ids, segment_ids), _),) = dataset
    assert token_ids.numpy().tolist() == [[CLS, *ids("a b"), SEP, *ids("e f"), SEP]]
    assert segment_ids.numpy().tolist() == [[0, 0, 0, 0, 1, 1, 1]]


def test_options_are_those_of_batches():
    sources = [" ".join(LETTERS[: 1 + i % 5]) for i in range(10)]
    options = {"tokenizer": TOKENIZER, "batch_size": 4, "pad_to": [13], "drop_remainder": True}
    dataset = data.seq2seq_batches(sources, sources, shuffle=True, seed=1, **options)
    shapes = [(tuple(inputs[0].shape), tuple(labels.shape)) for inputs, labels in dataset]
    assert shapes == [((4, 13), (4, 13))] * 2 == [((4, 13), (4, 13))] * len(dataset)


def test_sources_without_targets():
    with pytest.raises(ValueError, match="got 2 sources, but 1 targets"):
        data.seq2seq_batches(["a", "b"], ["c"], tokenizer=TOKENIZER)


@pytest.mark.parametrize("name", ["max_source_length", "max_target_length"])
def test_lengths_that_leave_no_text(name):
    with pytest.raises(ValueError, match=name):
        data.seq2seq_batches(["a"], ["b"], tokenizer=TOKENIZER, **{name: 1})


# Groups


def test_pairs_that_share_a_sentence_are_one_group():
    pairs = [("a", "b"), ("c", "d"), ("e", "b"), ("f", "f"), ("d", "c")]
    assert data.similar_groups(pairs) == [["a", "b", "e"], ["c", "d"]]
    assert data.similar_groups([]) == []


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), max_size=40))
def test_groups_are_the_connected_components(pairs):
    groups = data.similar_groups(pairs)
    of = {member: number for number, group in enumerate(groups) for member in group}
    assert len(of) == sum(map(len, groups))  # nothing comes twice
    assert set(of) == {member for pair in pairs if pair[0] != pair[1] for member in pair}
    assert all(of[a] == of[b] for a, b in pairs if a != b)
    for group in groups:  # what can be reached from the first member is the whole group
        reached, last = {group[0]}, set()
        while reached != last:
            last = set(reached)
            reached |= {x for pair in pairs if reached & set(pair) for x in pair}
        assert reached == set(group)


GROUPS = [["a", "b b"], ["c c c", "d"], ["e", "f f", "g g g"], ["h", "i"], ["j", "k"]]


def read(dataset) -> list[list[tuple[str, str, int]]]:
    """The sentences of every row of every batch, and its group."""
    read_batches = []
    for (token_ids, segment_ids), (numbers, labels) in dataset:
        rows = []
        for row, segments, number, label in zip(
            *(x.numpy() for x in (token_ids, segment_ids, numbers, labels))
        ):
            real = row != TOKENIZER.pad_id
            row, segments, label = row[real], segments[real], label[real]
            assert row[0] == CLS and row[-1] == SEP == row[segments == 0][-1]
            assert (label == data.next_token_labels(row, segments)).all()
            first, second = row[segments == 0][1:-1], row[segments == 1][:-1]
            texts = (" ".join(TOKENIZER.ids_to_tokens(part)) for part in (first, second))
            rows.append((*texts, int(number)))
        read_batches.append(rows)
    return read_batches


def test_rows_come_in_both_directions():
    dataset = data.similar_batches(GROUPS, tokenizer=TOKENIZER, batch_size=4)
    assert len(dataset) == 2
    assert read(dataset) == [
        [("a", "b b", 0), ("b b", "a", 0), ("c c c", "d", 1), ("d", "c c c", 1)],
        [("e", "f f", 2), ("f f", "e", 2), ("h", "i", 3), ("i", "h", 3)],
    ]


def test_the_last_batch_can_be_smaller():
    options = {"tokenizer": TOKENIZER, "batch_size": 4, "drop_remainder": False}
    dataset = data.similar_batches(GROUPS, **options)
    assert [len(rows) for rows in read(dataset)] == [4, 4, 2]


def test_labels_and_padding_of_a_batch():
    dataset = data.similar_batches([["a", "b b"]], tokenizer=TOKENIZER, batch_size=2)
    (((token_ids, _), (numbers, labels)),) = dataset
    a, b = ids("a b")
    assert token_ids.numpy().tolist() == [[CLS, a, SEP, b, b, SEP], [CLS, b, b, SEP, a, SEP]]
    assert labels.numpy().tolist() == [[-1, -1, b, b, SEP, -1], [-1, -1, -1, a, SEP, -1]]
    assert numbers.numpy().tolist() == [0, 0]


@pytest.mark.slow
def test_every_epoch_draws_other_pairs():
    options = {"tokenizer": TOKENIZER, "batch_size": 2, "shuffle": True}
    dataset = data.similar_batches(GROUPS, seed=5, **options)
    epochs = [read(dataset) for _ in range(30)]
    orders = {tuple(rows[0][2] for rows in epoch) for epoch in epochs}
    assert all(sorted(order) == [0, 1, 2, 3, 4] for order in orders) and len(orders) > 10
    drawn = Counter(row[:2] for epoch in epochs for rows in epoch for row in rows if row[2] == 2)
    pairs = {(a, b) for a in GROUPS[2] for b in GROUPS[2] if a != b}
    assert set(drawn) == pairs and min(drawn.values()) >= 5  # 10 each on average
    for epoch in epochs:
        assert all(first[:2] == second[1::-1] for first, second in epoch)

    again = data.similar_batches(GROUPS, seed=5, **options)
    assert [read(again) for _ in range(3)] == epochs[:3]
    assert read(data.similar_batches(GROUPS, seed=6, **options)) != epochs[0]


def test_sentences_are_cut():
    dataset = data.similar_batches(
        [["a b c d", "e"]], tokenizer=TOKENIZER, batch_size=2, max_length=4
    )
    assert read(dataset) == [[("a b", "e", 0), ("e", "a b", 0)]]


@pytest.mark.parametrize(
    ("groups", "options", "message"),
    [
        (GROUPS, {"batch_size": 3}, "must be even.*got 3"),
        (GROUPS, {"batch_size": 12}, "5 groups do not fill a batch of 12 rows.*at most 10"),
        ([["a"]], {}, "group 0 must be a list of two"),
        (["ab"], {}, "group 0 must be a list of two"),
        ([], {}, "0 groups do not fill"),
        (GROUPS, {"batch_size": 2, "max_length": 0}, "max_length must be"),
    ],
)
def test_wrong_groups(groups, options, message):
    with pytest.raises(ValueError, match=message):
        data.similar_batches(groups, tokenizer=TOKENIZER, **options)
