"""Truncation and padding of whole batches, against the rule written as a loop."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerasbert.tokenizers.assembling import assemble, assemble_lists, assemble_one
from kerasbert.tokenizers.padding import Shape, Template, longest_first
from kerasbert.tokenizers.ragged import Ragged

BERT = Template((101,), (102,), (102,))


def loop(first: int, second: int, room: int) -> tuple[int, int]:
    while first + second > room:
        if first >= second:
            first -= 1
        else:
            second -= 1
    return first, second


@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 40))
def test_longest_first_equals_the_loop(first, second, room):
    assert longest_first(first, second, room, min, max) == loop(first, second, room)
    arrays = longest_first(np.array([first]), np.array([second]), room)
    assert tuple(int(array[0]) for array in arrays) == loop(first, second, room)


ROWS = st.lists(st.lists(st.integers(1, 9), max_size=8), max_size=5)


@given(
    firsts=ROWS,
    data=st.data(),
    paired=st.booleans(),
    max_length=st.one_of(st.none(), st.integers(3, 20)),
    padding=st.sampled_from([True, "max_length", False]),
    multiple=st.sampled_from([None, 8]),
    cut=st.sampled_from(["right", "left"]),
    side=st.sampled_from(["right", "left"]),
)
def test_assemble_equals_the_loop(firsts, data, paired, max_length, padding, multiple, cut, side):
    size = len(firsts)
    row = st.lists(st.integers(11, 19), max_size=8)
    seconds = data.draw(st.lists(row, min_size=size, max_size=size)) if paired else None
    if padding == "max_length" and max_length is None:
        padding = True
    shape = Shape(max_length, True, padding, multiple, cut)
    template = replace(BERT, padding_side=side)
    second = None if seconds is None else Ragged.from_rows(seconds)
    found = assemble(Ragged.from_rows(firsts), second, template, shape, 0)

    expected = []
    for at, ids in enumerate(firsts):
        others = seconds[at] if paired else []
        room = 10**6 if max_length is None else max_length - (3 if paired else 2)
        kept = loop(len(ids), len(others), room)
        ids, others = (
            part[:keep] if cut == "right" else part[len(part) - keep :]
            for part, keep in zip((ids, others), kept)
        )
        tail = [*others, 102] if paired else []
        expected.append(([101, *ids, 102], tail))
    longest = max((len(head) + len(tail) for head, tail in expected), default=0)
    width = max_length if padding == "max_length" else longest
    width = -(-width // multiple) * multiple if multiple else width
    assert len(found["token_ids"]) == size
    for at, (head, tail) in enumerate(expected):
        pads = [0] * ((width if padding else 0) - len(head) - len(tail))
        lists = (head + tail, [0] * len(head) + [1] * len(tail), [1] * len(head + tail))
        for name, values in zip(("token_ids", "segment_ids", "attention_mask"), lists):
            values = values + pads if side == "right" else pads + values
            assert found[name][at].tolist() == values, name
            assert found[name][at].dtype == np.int32


def test_offsets_are_placed_with_their_tokens():
    first = Ragged.from_rows([[5, 6, 7], [8]], [[0, 2, 4], [1]], [[1, 3, 5], [2]])
    found = assemble(first, None, BERT, Shape(max_length=4), 0)
    assert found["offsets"].tolist() == [
        [[0, 0], [0, 1], [2, 3], [0, 0]],
        [[0, 0], [1, 2], [0, 0], [0, 0]],
    ]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"truncation": "shortest"}, "truncation must be one of"),
        ({"padding": "left"}, "padding must be one of"),
        ({"padding": "max_length"}, "needs max_length"),
        ({"max_length": 0}, "positive whole number"),
        ({"max_length": 2.5}, "positive whole number"),
        ({"multiple_of": -8}, "positive whole number"),
        ({"truncate_from": 3}, "truncate_from must be"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        Shape(**settings)


def test_only_first_and_only_second():
    first, second = Ragged.from_rows([[1, 2, 3, 4]]), Ragged.from_rows([[11, 12, 13]])
    found = assemble(first, second, BERT, Shape(8, "only_first"), 0)
    assert found["token_ids"].tolist() == [[101, 1, 2, 102, 11, 12, 13, 102]]
    found = assemble(first, second, BERT, Shape(8, "only_second"), 0)
    assert found["token_ids"].tolist() == [[101, 1, 2, 3, 4, 102, 11, 102]]
    with pytest.raises(ValueError, match=r"stays 1 tokens longer than max_length=5.*longest_first"):
        assemble(first, second, BERT, Shape(5, "only_first"), 0)
    with pytest.raises(ValueError, match="needs pairs"):
        assemble(first, None, BERT, Shape(5, "only_second"), 0)
    long = assemble(first, None, BERT, Shape(4, False), 0)
    assert long["token_ids"].shape == (1, 6)


def test_no_room_and_no_padding_token():
    rows = Ragged.from_rows([[1], [2, 3]])
    with pytest.raises(ValueError, match="less than the 2 special tokens"):
        assemble(rows, None, BERT, Shape(1), 0)
    with pytest.raises(ValueError, match="no padding token"):
        assemble(rows, None, BERT, Shape(), None)
    assert len(assemble(rows, None, BERT, Shape(padding=False), None)["token_ids"]) == 2


def test_an_empty_batch():
    found = assemble(Ragged.from_rows([]), None, BERT, Shape(7, padding="max_length"), 0)
    assert found["token_ids"].shape == (0, 7)
    assert assemble(Ragged.from_rows([]), None, BERT, Shape(padding=False), 0)["token_ids"] == []


def test_templates_of_other_models():
    """RoBERTa puts two tokens between; XLNet puts all of them at the end, and pads on the left."""
    first, second = Ragged.from_rows([[1]]), Ragged.from_rows([[11]])
    roberta = Template((0,), (2, 2), (2,))
    assert assemble(first, second, roberta, Shape(), 1)["token_ids"].tolist() == [
        [0, 1, 2, 2, 11, 2]
    ]
    xlnet = Template((), (4,), (4, 3), (0, 1), (None, 2), 4, "left")
    shape = Shape(8, padding="max_length")
    found = assemble(first, second, xlnet, shape, 5)
    assert found["token_ids"].tolist() == [[5, 5, 5, 1, 4, 11, 4, 3]]
    assert found["segment_ids"].tolist() == [[4, 4, 4, 0, 0, 1, 1, 2]]
    assert found["attention_mask"].tolist() == [[0, 0, 0, 1, 1, 1, 1, 1]]
    found = assemble(first, None, xlnet, Shape(4, padding="max_length"), 5)
    assert found["token_ids"].tolist() == [[5, 1, 4, 3]]
    assert found["segment_ids"].tolist() == [[4, 0, 0, 2]]
    t5 = Template((), (1,), (1,), segments=(0, 0))
    assert assemble(first, second, t5, Shape(), 0)["segment_ids"].tolist() == [[0, 0, 0, 0]]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"padding_side": "top"}, "padding_side must be"),
        ({"end": (1, 2), "end_segments": (0,)}, "for each of the 2 tokens of end"),
    ],
)
def test_bad_templates(settings, message):
    with pytest.raises(ValueError, match=message):
        Template(**settings)


SPECIALS = st.lists(st.integers(100, 105), max_size=2).map(tuple)


@st.composite
def templates(draw):
    end = draw(SPECIALS)
    segments = st.tuples(*[st.sampled_from([None, 0, 1, 2]) for _ in end])
    return Template(
        draw(SPECIALS),
        draw(SPECIALS),
        end,
        draw(st.sampled_from([(0, 1), (0, 0)])),
        draw(st.one_of(st.just(()), segments)),
        draw(st.sampled_from([0, 4])),
        draw(st.sampled_from(["left", "right"])),
    )


@given(
    template=templates(),
    first=st.lists(st.integers(1, 9), max_size=6),
    second=st.one_of(st.none(), st.lists(st.integers(11, 19), max_size=6)),
    max_length=st.one_of(st.none(), st.integers(6, 12)),
    padding=st.sampled_from([True, False]),
)
def test_one_row_equals_a_batch_of_it(template, first, second, max_length, padding):
    shape = Shape(max_length, padding=padding, multiple_of=4)
    batch = assemble(
        Ragged.from_rows([first]),
        None if second is None else Ragged.from_rows([second]),
        template,
        shape,
        7,
    )
    one = assemble_one(first, second, template, shape, 7)
    assert {name: rows[0].tolist() for name, rows in batch.items()} == one


@given(
    template=templates(),
    rows=st.lists(st.lists(st.integers(1, 9), max_size=9), max_size=5),
    max_length=st.one_of(st.none(), st.integers(4, 12)),
    side=st.sampled_from(["left", "right"]),
)
def test_lists_equal_arrays(template, rows, max_length, side):
    shape = Shape(max_length, padding=False, truncate_from=side)
    arrays = assemble(Ragged.from_rows(rows), None, template, shape, None)
    lists = assemble_lists([[*row] for row in rows], template, shape)
    assert {name: [row.tolist() for row in found] for name, found in arrays.items()} == lists


def test_bad_lengths_of_lists():
    with pytest.raises(ValueError, match="less than the 2 special tokens"):
        assemble_lists([[1]], BERT, Shape(1, padding=False))
    with pytest.raises(ValueError, match="needs pairs"):
        assemble_lists([[1]], BERT, Shape(5, "only_second", padding=False))
