"""Sliding windows against Hugging Face's rule written as a loop."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerasbert.tokenizers.padding import Shape
from kerasbert.tokenizers.ragged import Ragged
from kerasbert.tokenizers.windows import split_into_windows


def loop(length: int, size: int, stride: int, left: bool) -> list[tuple[int, int]]:
    """Where the windows of one text start and end, as the library ``tokenizers`` cuts them."""
    if length <= size:
        return [(0, length)]
    spans = []
    for at in range(0, length, size - stride):
        spans.append((max(length - at - size, 0), length - at) if left else (at, at + size))
        spans[-1] = spans[-1][0], min(spans[-1][1], length)
        if spans[-1][0] == 0 if left else spans[-1][1] == length:
            break
    return spans


@given(
    lengths=st.lists(st.integers(0, 30), max_size=4),
    others=st.lists(st.integers(0, 4), min_size=4, max_size=4),
    room=st.integers(8, 14),
    stride=st.integers(0, 3),
    left=st.booleans(),
    truncation=st.sampled_from(["only_first", "only_second", True]),
)
def test_windows_are_those_of_the_loop(lengths, others, room, stride, left, truncation):
    texts = [[100 * row + at for at in range(length)] for row, length in enumerate(lengths)]
    whole = [[-1 - at for at in range(length)] for length in others[: len(texts)]]
    shape = Shape(room + 3, truncation, truncate_from="left" if left else "right")
    cut = Ragged.from_rows(texts, texts, texts, texts)
    other = None if truncation is True else Ragged.from_rows(whole)
    pair = (other, cut) if truncation == "only_second" else (cut, other)
    *found, samples = split_into_windows(*pair, 3, shape, stride)
    if truncation == "only_second":
        found.reverse()
    windows, rest = found
    expected = []
    for row, text in enumerate(texts):
        size = room - (0 if truncation is True else others[row])
        expected += [(row, text[a:b]) for a, b in loop(len(text), size, stride, left)]
    assert samples.dtype == np.int32
    assert samples.tolist() == [row for row, _ in expected]
    for column in (windows.ids, windows.starts, windows.ends, windows.words):
        rows = np.split(column, windows.splits[1:-1]) if expected else []
        assert [row.tolist() for row in rows] == [ids for _, ids in expected]
    if rest is not None:
        rows = np.split(rest.ids, rest.splits[1:-1]) if expected else []
        assert [row.tolist() for row in rows] == [whole[row] for row, _ in expected]


def test_windows_of_the_library():
    """The same cuts as the library that the rule is taken from."""
    tokenizers = pytest.importorskip("tokenizers")
    library = tokenizers.Tokenizer(tokenizers.models.WordLevel({"a": 0, "[UNK]": 1}, "[UNK]"))
    library.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    for length, size, stride, left in [(20, 7, 2, False), (20, 7, 2, True), (7, 7, 0, False)]:
        library.enable_truncation(size, stride=stride, direction="left" if left else "right")
        first = library.encode("a " * length)
        spans = [
            (w.offsets[0][0] // 2, w.offsets[-1][1] // 2 + 1) for w in [first, *first.overflowing]
        ]
        assert spans == loop(length, size, stride, left)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "needs max_length"),
        ({"max_length": 9, "truncation": False}, "needs max_length"),
        ({"max_length": 9, "stride": 7}, "text 0 leaves room for 7 tokens"),
        ({"max_length": 9, "stride": -1}, "stride must be a whole number"),
        ({"max_length": 9, "truncation": "only_second"}, "needs pairs"),
        ({"max_length": 9, "pairs": "我"}, "which text is cut"),
        ({"max_length": 9, "pairs": "我", "truncation": "only_second"}, "text 0 leaves room"),
    ],
)
def test_bad_arguments(lower_tokenizer, options, message):
    pairs = options.get("pairs")
    options = {name: value for name, value in options.items() if name != "pairs"}
    with pytest.raises(ValueError, match=message):
        lower_tokenizer("我爱" * 20, pairs, return_overflowing=True, **options)


def test_stride_without_windows(lower_tokenizer):
    with pytest.raises(ValueError, match="return_overflowing=True"):
        lower_tokenizer("我", max_length=9, stride=2)


def test_kinds_of_output(lower_tokenizer):
    text = "我爱" * 5
    found = lower_tokenizer(text, max_length=6, stride=1, return_overflowing=True)
    assert found["token_ids"].shape == (3, 6)
    assert found["overflow_to_sample"].tolist() == [0, 0, 0]
    lists = lower_tokenizer(
        [text], max_length=6, return_overflowing=True, padding=False, return_tensors=None
    )
    assert [len(row) for row in lists["token_ids"]] == [6, 6, 4]
    assert lists["overflow_to_sample"] == [0, 0, 0]
    tensors = lower_tokenizer([text], max_length=6, return_overflowing=True, return_tensors="tf")
    assert tensors["overflow_to_sample"].shape == (3,)
