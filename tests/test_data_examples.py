import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerasbert.backend import tf
from kerasbert.data.examples import Reader

ROWS = [[5, 6, 7], [8], [9, 10]]
FLAT = [5, 6, 7, 8, 9, 10]
SPLITS = [0, 3, 4, 6]


def assert_rows(read, segments=(0,) * 6):
    assert read.columns["token_ids"].tolist() == FLAT
    assert read.columns["segment_ids"].tolist() == list(segments)
    assert read.splits.tolist() == SPLITS
    assert read.columns["token_ids"].dtype == np.int32
    assert read.splits.dtype == np.int64


def objects(rows):
    array = np.empty(len(rows), object)
    array[:] = rows
    return array


@pytest.mark.parametrize(
    "token_ids",
    [
        ROWS,
        [np.array(row) for row in ROWS],
        [np.array(row, np.uint8) for row in ROWS],
        objects(ROWS),
        tf.ragged.constant(ROWS),
        np.array([[5, 6, 7], [8, 0, 0], [9, 10, 0]]),
        tf.constant([[5, 6, 7, 0], [8, 0, 0, 0], [9, 10, 0, 0]]),
    ],
    ids=["lists", "arrays", "uint8", "object", "ragged", "padded", "tensor"],
)
def test_token_ids_in_many_forms(token_ids):
    assert_rows(Reader().read(token_ids))
    assert_rows(Reader().read({"token_ids": token_ids}))


def test_a_tuple_is_token_and_segment_ids():
    segments = [[0, 0, 1], [0], [0, 1]]
    assert_rows(Reader().read((ROWS, segments)), segments=[0, 0, 1, 0, 0, 1])


@pytest.mark.parametrize("left", [False, True])
def test_the_mask_says_what_is_padding(left):
    encoding = {
        "token_ids": np.array([[5, 6, 7], [8, 0, 0], [9, 10, 0]]),
        "segment_ids": np.array([[0, 1, 1], [0, 9, 9], [0, 1, 9]]),
        "attention_mask": np.array([[1, 1, 1], [1, 0, 0], [1, 1, 0]]),
    }
    if left:
        encoding = {
            name: np.stack([np.roll(row, -n) for row, n in zip(rows, [0, 1, 2])])
            for name, rows in encoding.items()
        }
        encoding["token_ids"][1] = [0, 0, 8]
        encoding["attention_mask"][1] = [0, 0, 1]
        encoding["segment_ids"][1] = [9, 9, 0]
        encoding["token_ids"][2] = [0, 9, 10]
        encoding["attention_mask"][2] = [0, 1, 1]
        encoding["segment_ids"][2] = [9, 0, 1]
    assert_rows(Reader().read(encoding), segments=[0, 1, 1, 0, 0, 1])


def test_the_mask_counts_and_not_the_padding_id():
    encoding = {"token_ids": np.array([[5, 0, 0]]), "attention_mask": np.array([[1, 1, 0]])}
    assert Reader().read(encoding).columns["token_ids"].tolist() == [5, 0]


def test_only_padding_at_the_end_is_taken_off_arrays():
    read = Reader(pad_id=1).read(np.array([[1, 5, 1, 6, 1, 1]]))
    assert read.columns["token_ids"].tolist() == [1, 5, 1, 6]


@given(st.lists(st.lists(st.integers(1, 99), min_size=1, max_size=9), min_size=1, max_size=9))
def test_all_forms_of_the_same_rows_are_the_same(rows):
    width = max(map(len, rows))
    padded = np.array([row + [0] * (width - len(row)) for row in rows])
    mask = np.array([[1] * len(row) + [0] * (width - len(row)) for row in rows])
    expected = Reader().read(rows)
    assert [len(row) for row in rows] == np.diff(expected.splits).tolist()
    for other in (padded, {"token_ids": padded, "attention_mask": mask}, tf.ragged.constant(rows)):
        read = Reader().read(other)
        assert np.array_equal(read.splits, expected.splits)
        assert np.array_equal(read.columns["token_ids"], expected.columns["token_ids"])


def test_other_inputs():
    reader = Reader(inputs=("token_ids", "position_ids"))
    read = reader.read({"token_ids": ROWS, "position_ids": ROWS, "offsets": "not read"})
    assert sorted(read.columns) == ["position_ids", "token_ids"]


@pytest.mark.parametrize(
    ("labels", "dtype", "shape"),
    [
        ([0, 1, 0], np.int32, (3,)),
        (np.array([0, 1, 0], np.int64), np.int32, (3,)),
        ([True, False, True], np.int32, (3,)),
        ([0.5, 1.0, 2.0], np.float32, (3,)),
        ([[0, 1], [1, 0], [1, 1]], np.int32, (3, 2)),
        (tf.constant([0.5, 1.0, 2.0]), np.float32, (3,)),
    ],
)
def test_labels(labels, dtype, shape):
    (array,) = Reader().read(ROWS, labels).labels.values()
    assert (array.dtype, array.shape) == (dtype, shape)


def test_labels_of_several_outputs():
    read = Reader().read(ROWS, {"start": [0, 1, 2], "weight": [0.5, 0.5, 1.0]})
    assert {name: array.dtype for name, array in read.labels.items()} == {
        "start": np.int32,
        "weight": np.float32,
    }


def test_labels_per_token_lose_the_same_padding():
    encoding = {
        "token_ids": np.array([[5, 6, 0], [7, 0, 0]]),
        "attention_mask": np.array([[1, 1, 0], [1, 0, 0]]),
    }
    read = Reader(token_labels=True).read(encoding, np.array([[1, 2, -100], [3, -100, -100]]))
    assert read.columns["labels"].tolist() == [1, 2, 3]
    assert read.labels == {}


def test_texts_go_to_the_tokenizer():
    def tokenizer(texts, **options):
        assert options == {"max_length": 4, "padding": False}
        return {"token_ids": [np.arange(1, 1 + len(text)) for text in texts]}

    read = Reader(tokenizer=tokenizer, max_length=4).read(["ab", "abc"])
    assert read.splits.tolist() == [0, 2, 5]


@pytest.mark.parametrize(
    ("reader", "examples", "labels", "error", "message"),
    [
        (Reader(), [], None, ValueError, "no examples: token_ids is empty"),
        (Reader(), np.zeros((0, 3), int), None, ValueError, "no examples"),
        (Reader(), [[1], []], None, ValueError, "example 1 has no tokens"),
        (Reader(), [[], []], None, ValueError, "example 0 has no tokens"),
        (Reader(), np.array([[1, 0], [0, 0]]), None, ValueError, "example 1 has no tokens"),
        (Reader(), [1, 2], None, TypeError, "example 0 must be a list of numbers, got 1"),
        (Reader(), np.array([1, 2]), None, TypeError, "example 0 must be a list"),
        (Reader(), 5, None, TypeError, "token_ids must be a list of examples, got 5"),
        (Reader(), "text", None, TypeError, "token_ids must be a list of examples"),
        (Reader(), ["a text"], None, TypeError, "example 0 is a text.*tokenizer="),
        (Reader(), [[1, 2], [1.5]], None, TypeError, r"token_ids of example 1 .*float64.*1\.5"),
        (Reader(), [[1], ["a"]], None, TypeError, "token_ids of example 1 must be whole"),
        (Reader(), [[[1, 2]], [[3, 4]]], None, TypeError, "example 0 must be whole.*2-D"),
        (Reader(), np.ones((2, 3)), None, TypeError, "whole numbers.*float64"),
        (Reader(), [[1], [2, 2**40]], None, TypeError, "32 bits"),
        (Reader(), [[1], [2, -1]], None, ValueError, "example 1 has the id -1"),
        (
            Reader(max_length=2),
            ROWS,
            None,
            ValueError,
            "0 has 3 tokens, but 2.*max_length=2",
        ),
        (Reader(), (ROWS, ROWS, ROWS), None, ValueError, "must be .token_ids, segment_ids., got 3"),
        (Reader(), (ROWS, ROWS[:2]), None, ValueError, "3 examples of token_ids, but 2 of segment"),
        (Reader(), (ROWS, [[0], [0], [0]]), None, ValueError, "0 has 3 token_ids, but 1 segment"),
        (Reader(), {"ids": ROWS}, None, ValueError, r"must have 'token_ids', got \['ids'\]"),
        (Reader(("token_ids", "x")), ROWS, None, ValueError, r"asks for \['x'\]"),
        (
            Reader(),
            {"token_ids": [[1, 2, 3]], "attention_mask": [[1, 0, 1]]},
            None,
            ValueError,
            "example 0 has zeros between ones",
        ),
        (Reader(), ROWS, [0, 1], ValueError, "3 examples, but 2 labels"),
        (Reader(), ROWS, 1, ValueError, "one label per example"),
        (Reader(), ROWS, {"start": [0]}, ValueError, r"3 examples, but 1 labels\['start'\]"),
        (Reader(), ROWS, ["a", "b", "c"], TypeError, "labels must be numbers"),
        (Reader(), ROWS, [[0, 0, 1], [0], [0, 1]], TypeError, "token_label_pad"),
        (Reader(token_labels=True), ROWS, None, ValueError, "no labels"),
        (Reader(token_labels=True), ROWS, [[0], [0], [0]], ValueError, "3 token_ids, but 1 labels"),
    ],
)
def test_bad_input(reader, examples, labels, error, message):
    with pytest.raises(error, match=message):
        reader.read(examples, labels)
