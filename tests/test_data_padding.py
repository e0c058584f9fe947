import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerasbert.data import sequence_padding, to_array


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [[1, 2, 3], [4, 0, 0]]),
        ({"mode": "pre"}, [[1, 2, 3], [0, 0, 4]]),
        ({"length": 2}, [[1, 2], [4, 0]]),
        ({"length": 2, "mode": "pre"}, [[1, 2], [0, 4]]),
        ({"value": -1}, [[1, 2, 3], [4, -1, -1]]),
        ({"length": 5}, [[1, 2, 3, 0, 0], [4, 0, 0, 0, 0]]),
    ],
)
def test_rows_as_recorded_from_bert4keras(options, expected):
    padded = sequence_padding([[1, 2, 3], [4]], **options)
    assert padded.tolist() == expected
    assert padded.dtype.kind == "i"


def test_two_axes():
    padded = sequence_padding([np.ones((2, 3)), np.ones((1, 2))], seq_dims=2)
    assert padded.tolist() == [[[1, 1, 1], [1, 1, 1]], [[1, 1, 0], [0, 0, 0]]]


def test_further_axes_stay():
    padded = sequence_padding([np.ones((2, 2)), np.ones((1, 2))])
    assert padded.tolist() == [[[1, 1], [1, 1]], [[1, 1], [0, 0]]]


def test_every_recorded_result(shared):
    recorded = json.loads((shared / "golden/bert4keras/text.json").read_text(encoding="utf-8"))
    rows = [[1, 2, 3], [4]]
    calls = {
        "post": sequence_padding(rows),
        "pre": sequence_padding(rows, mode="pre"),
        "length2": sequence_padding(rows, length=2),
        "value": sequence_padding(rows, value=-1),
        "length5": sequence_padding(rows, length=5),
        "seq2": sequence_padding([np.ones((2, 3)), np.ones((1, 2))], seq_dims=2),
        "emb": sequence_padding([np.ones((2, 2)), np.ones((1, 2))]),
    }
    assert {name: padded.tolist() for name, padded in calls.items()} == recorded["sequence_padding"]


@given(
    st.lists(st.lists(st.integers(0, 9), max_size=6), min_size=1, max_size=8),
    st.one_of(st.none(), st.integers(0, 8)),
    st.sampled_from(["post", "pre"]),
)
def test_every_row_keeps_its_values(rows, length, mode):
    padded = sequence_padding(rows, length=length, value=-1, mode=mode)
    width = max(map(len, rows)) if length is None else length
    assert padded.shape == (len(rows), width)
    for row, out in zip(rows, padded.tolist()):
        kept, pads = row[:width], [-1] * (width - len(row[:width]))
        assert out == (kept + pads if mode == "post" else pads + kept)


def test_an_empty_row_does_not_make_floats_of_ids():
    padded = sequence_padding([[], [5, 6]])
    assert padded.tolist() == [[0, 0], [5, 6]]
    assert padded.dtype.kind == "i"


def test_float_rows_keep_their_dtype():
    assert sequence_padding([np.ones(2, np.float32)], value=0.1).dtype == np.float32


def test_a_value_that_is_no_integer_makes_floats():
    assert sequence_padding([[1, 2], [3]], value=-np.inf)[1, 1] == -np.inf


def test_tuples_are_padded_part_by_part():
    ids, segments = sequence_padding([([1, 2], [0, 0]), ([3], [1])])
    assert ids.tolist() == [[1, 2], [3, 0]]
    assert segments.tolist() == [[0, 0], [1, 0]]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: sequence_padding([]), "inputs is empty"),
        (lambda: sequence_padding([[1]], mode="middle"), '"post" or "pre"'),
        (lambda: sequence_padding([[1], [[1]]]), r"inputs\[1\] has 2 axes"),
        (lambda: sequence_padding([[1]], seq_dims=2), "at least seq_dims"),
        (lambda: sequence_padding([np.ones((1, 1))], length=3, seq_dims=2), "2 numbers"),
    ],
)
def test_bad_rows(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_to_array_of_one_and_of_several():
    assert isinstance(to_array([1, 2]), np.ndarray)
    ids, labels = to_array([[1, 2]], [0])
    assert ids.shape == (1, 2)
    assert labels.tolist() == [0]
