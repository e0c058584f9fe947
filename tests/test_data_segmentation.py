import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerasbert.data import text_segmentate, truncate_sequences


@pytest.mark.parametrize(
    ("maxlen", "index", "first", "second", "expected"),
    [
        (3, -1, "abcde", "vwxyz", ["a", "vw"]),
        (3, -2, "abcde", "vwxyz", ["e", "vz"]),
        (3, 0, "abc", "uvwxyz", ["c", "yz"]),
        (5, 1, "abcdef", "yz", ["aef", "yz"]),
        (7, -2, "abcde", "vwxyz", ["abe", "vwxz"]),
    ],
)
def test_truncation_as_recorded_from_bert4keras(maxlen, index, first, second, expected):
    assert truncate_sequences(maxlen, index, list(first), list(second)) == list(map(list, expected))


def test_every_recorded_truncation(shared):
    recorded = json.loads((shared / "golden/bert4keras/text.json").read_text(encoding="utf-8"))
    for case in recorded["truncate"]:
        assert truncate_sequences(*case["args"]) == case["r"]


def pop_one_by_one(maxlen, indices, *sequences):
    """The rule, literally."""
    sequences = [list(sequence) for sequence in sequences]
    while sum(map(len, sequences)) > maxlen:
        at = max(range(len(sequences)), key=lambda i: (len(sequences[i]), -i))
        sequences[at].pop(indices[at])
    return sequences


@given(
    st.integers(0, 20),
    st.lists(st.tuples(st.integers(-4, 3), st.lists(st.integers(), max_size=9)), min_size=1),
)
def test_truncation_is_popping_from_the_longest(maxlen, pairs):
    indices, sequences = map(list, zip(*pairs))
    try:
        expected = pop_one_by_one(maxlen, indices, *sequences)
    except IndexError:
        with pytest.raises(ValueError, match="larger maxlen"):
            truncate_sequences(maxlen, indices, *sequences)
    else:
        assert truncate_sequences(maxlen, indices, *sequences) == expected


def test_lists_passed_in_stay_as_they_are():
    tokens = list("abcdef")
    assert truncate_sequences(3, -1, tokens) == [list("abc")]
    assert tokens == list("abcdef")


def test_none_is_left_out_and_an_empty_list_is_not():
    assert truncate_sequences(2, -1, [1, 2, 3], None) == [[1, 2]]
    assert truncate_sequences(2, -1, [1, 2, 3], []) == [[1, 2], []]


def test_as_many_indices_as_sequences():
    with pytest.raises(ValueError, match="3 indices for 1 sequences"):
        truncate_sequences(2, [1, 2, 3], [1])


@pytest.mark.parametrize(
    ("text", "maxlen", "seps", "expected"),
    [
        (
            "今天天气很好。我们去公园玩，好不好？好啊！",
            8,
            "\n。；：，！？",
            ["今天天气很好。", "我们去公园玩，", "好不好？好啊！"],
        ),
        ("aaa,bbb.ccc", 4, ".,", ["aaa,", "bbb.", "ccc"]),
        ("无分隔符的长文本内容", 4, "。", ["无分隔符的长文本内容"]),
        ("  短  ", 4, "。", ["短"]),
        ("", 4, "。", [""]),
        ("ab。cd。ef。", 7, "。", ["ab。cd。", "ef。"]),
    ],
)
def test_segments_as_recorded_from_bert4keras(text, maxlen, seps, expected):
    assert text_segmentate(text, maxlen, seps) == expected


@given(st.text("ab.,", max_size=30), st.integers(2, 10))
def test_segments_are_the_text_and_cut_only_at_separators(text, maxlen):
    pieces = text_segmentate(text, maxlen, ".,")
    assert "".join(pieces) == text
    for piece in pieces[:-1]:
        assert piece[-1] in ".,"
    for piece in pieces:
        inner = piece.rstrip(".,")  # separators in a row stay together, beyond maxlen too
        assert len(inner) <= maxlen or not set(inner) & set(".,")


def test_strips():
    assert text_segmentate("a,b,", 2, ",", strips=",") == ["a", "b"]
