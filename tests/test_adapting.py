"""Tensors made of stored ones: slices, transposes, zeros, shapes, constants."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasbert.backend import tf
from kerasbert.checkpoints.adapting import AdaptedTensors, Part
from kerasbert.checkpoints.errors import CheckpointFormatError
from kerasbert.checkpoints.loading import ArrayTensors

MATRIX = np.arange(12, dtype="float32").reshape(4, 3)
STORED = {"matrix": MATRIX, "vector": np.arange(6, dtype="float16"), "scalar": np.float32(7)}


class Recorded(ArrayTensors):
    """Remembers what was asked for."""

    def __init__(self, arrays):
        super().__init__(arrays)
        self.asked: list[list[str]] = []

    def read(self, names):
        self.asked.append(list(names))
        return super().read(self.asked[-1])


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        (Part("matrix"), MATRIX),
        (Part("matrix", transpose=True), MATRIX.T),
        (Part("matrix", rows=(1, 3)), MATRIX[1:3]),
        (Part("matrix", rows=(1, None)), MATRIX[1:]),
        (Part("matrix", rows=(0, -2)), MATRIX[:-2]),
        (Part("matrix", rows=(4, None)), MATRIX[4:]),
        (Part("matrix", transpose=True, rows=(1, 3)), MATRIX[1:3].T),
        (Part("matrix", zero_rows=2), np.concatenate([np.zeros((2, 3), "f"), MATRIX])),
        (Part("matrix", shape=(2, 6)), MATRIX.reshape(2, 6)),
        (Part("matrix", rows=(0, 2), transpose=True, shape=(6,)), MATRIX[:2].T.reshape(6)),
        (Part("vector", rows=(2, 4)), STORED["vector"][2:4]),
        (Part("vector", shape=(2, 3)), STORED["vector"].reshape(2, 3)),
        (Part("scalar"), STORED["scalar"]),
        (Part("scalar", shape=(1,)), STORED["scalar"].reshape(1)),
        (np.ones((2, 2), "f"), np.ones((2, 2), "f")),
    ],
)
def test_how_a_tensor_is_made(part, expected):
    adapted = AdaptedTensors(ArrayTensors(STORED), {"name": part})
    value = adapted.read(["name"])["name"]
    assert adapted.shapes == {"name": expected.shape}
    assert value.dtype.as_numpy_dtype == expected.dtype
    np.testing.assert_array_equal(np.asarray(value), expected)


@settings(max_examples=60)
@given(
    shape=st.lists(st.integers(0, 5), max_size=3).map(tuple),
    rows=st.none() | st.tuples(st.integers(-6, 6), st.none() | st.integers(-6, 6)),
    transpose=st.booleans(),
    zero_rows=st.integers(0, 2),
)
def test_the_shape_said_is_the_shape_read(shape, rows, transpose, zero_rows):
    source = ArrayTensors({"stored": np.ones(shape, "f")})
    part = Part("stored", transpose=transpose, rows=rows, zero_rows=zero_rows)
    try:
        adapted = AdaptedTensors(source, {"name": part})
    except CheckpointFormatError as error:
        assert "'stored'" in str(error)
        return
    assert adapted.read(["name"])["name"].shape == adapted.shapes["name"]


@pytest.mark.parametrize(
    ("part", "reason"),
    [
        (Part("vector", transpose=True), "it is no matrix"),
        (Part("matrix", rows=(2, 5)), "rows (2, 5) are not in it"),
        (Part("matrix", rows=(0, -5)), "rows (0, -5) are not in it"),
        (Part("matrix", rows=(3, 2)), "rows (3, 2) are not in it"),
        (Part("scalar", rows=(0, 1)), "it has no rows"),
        (Part("scalar", zero_rows=1), "it has no rows"),
        (Part("matrix", shape=(5, 3)), "it cannot be reshaped to (5, 3)"),
    ],
)
def test_a_stored_tensor_that_does_not_fit(part, reason):
    with pytest.raises(CheckpointFormatError, match=re.escape(reason)):
        AdaptedTensors(ArrayTensors(STORED), {"name": part})


def test_a_stored_tensor_is_read_once_and_only_when_asked_for():
    source = Recorded(STORED)
    thirds = {str(i): Part("vector", rows=(2 * i, 2 * i + 2)) for i in range(3)}
    adapted = AdaptedTensors(source, {**thirds, "constant": np.zeros(1, "f"), "m": Part("matrix")})
    assert source.asked == []
    found = adapted.read(["2", "constant", "0"])
    assert source.asked == [["vector"]]
    assert [list(np.asarray(found[name])) for name in ("0", "2", "constant")] == [
        [0, 1],
        [4, 5],
        [0],
    ]


def test_inside_a_graph_tensors_are_still_values():
    adapted = AdaptedTensors(ArrayTensors(STORED), {"name": Part("matrix", transpose=True)})

    @tf.function
    def read():
        np.testing.assert_array_equal(adapted.read(["name"])["name"].numpy(), MATRIX.T)

    read()


def test_bfloat16_stays():
    source = ArrayTensors({"stored": tf.cast(MATRIX, tf.bfloat16)})
    adapted = AdaptedTensors(source, {"name": Part("stored", transpose=True, zero_rows=1)})
    assert adapted.read(["name"])["name"].dtype == tf.bfloat16
