"""Calling a tokenizer: kinds of input, kinds of output, and clear errors."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerasbert.tokenizers import BaseTokenizer, Tokenizer

NAMES = ["token_ids", "segment_ids", "attention_mask"]


def test_one_text_gives_rows_without_the_batch_axis(lower_tokenizer):
    found = lower_tokenizer("我爱hello")
    assert list(found) == NAMES
    assert [array.shape for array in found.values()] == [(5,)] * 3
    assert all(array.dtype == np.int32 for array in found.values())
    assert found["token_ids"].tolist() == lower_tokenizer.encode("我爱hello")[0]


def test_a_batch(lower_tokenizer):
    found = lower_tokenizer(["我爱", "我"], return_offsets=True)
    assert list(found) == [*NAMES, "offsets"]
    assert found["token_ids"].shape == (2, 4)
    assert found["token_ids"][1].tolist() == [*lower_tokenizer.encode("我")[0], 0]
    assert found["attention_mask"].tolist() == [[1, 1, 1, 1], [1, 1, 1, 0]]
    assert found["offsets"].shape == (2, 4, 2)


def test_pairs_as_two_lists_or_one(lower_tokenizer):
    firsts, seconds = ["我爱", "天"], ["北京", "安门年"]
    expected = lower_tokenizer(firsts, seconds)
    for pairs in (list(zip(firsts, seconds)), [list(pair) for pair in zip(firsts, seconds)]):
        found = lower_tokenizer(pairs)
        for name in NAMES:
            assert found[name].tolist() == expected[name].tolist()
    array = lower_tokenizer(np.array([firsts, seconds]).T)
    assert array["token_ids"].tolist() == expected["token_ids"].tolist()
    one = lower_tokenizer("我爱", "北京")
    assert one["segment_ids"].tolist() == [0, 0, 0, 0, 1, 1, 1]


class Series:
    """As much of a pandas Series as matters."""

    def __init__(self, values):
        self._values = values

    def __iter__(self):
        return iter(self._values)

    def tolist(self):
        return list(self._values)


@pytest.mark.parametrize(
    "make",
    [
        tuple,
        np.array,
        lambda texts: np.array(texts, object),
        Series,
        iter,
        lambda texts: [text.encode() for text in texts],
        lambda texts: np.array([text.encode() for text in texts]),
        lambda texts: [np.str_(text) for text in texts],
    ],
    ids=["tuple", "array", "objects", "series", "iterator", "bytes", "byte array", "numpy str"],
)
def test_kinds_of_batches(lower_tokenizer, make):
    texts = ["我爱", "hello world"]
    found = lower_tokenizer(make(texts))
    assert found["token_ids"].tolist() == lower_tokenizer(texts)["token_ids"].tolist()


def test_invalid_bytes_are_left_out(lower_tokenizer):
    expected = lower_tokenizer("我a")["token_ids"].tolist()
    assert lower_tokenizer("我".encode() + b"\xff\xe6a")["token_ids"].tolist() == expected


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["我", None], r"texts\[1\] must be str or bytes, got None"),
        (["我", 3.5], r"texts\[1\] must be str or bytes, got 3.5 \(float\)"),
        ([None, "我"], r"texts\[0\] must be a text, or every element a pair"),
        ([("我", "爱"), "我"], r"texts\[1\] must be a text, or every element a pair"),
        ([("我", "爱", "年")], r"texts\[0\] must be a text"),
        ([("我", None)], r"pairs\[0\] must be str or bytes"),
        (5, "texts must be a text or a list of texts, got int"),
        (None, "texts must be a text or a list of texts, got NoneType"),
        ({"text": "我"}, "texts must be a text or a list of texts, got dict"),
        (np.array("我"), "texts must be a text or a list of texts, got ndarray of no axis"),
    ],
)
def test_what_is_no_text(lower_tokenizer, texts, message):
    with pytest.raises(TypeError, match=message):
        lower_tokenizer(texts)


def test_pairs_that_do_not_fit(lower_tokenizer):
    with pytest.raises(ValueError, match="got 2 texts but 1 pairs"):
        lower_tokenizer(["我", "爱"], ["年"])
    with pytest.raises(TypeError, match="pairs must be one as well, got list"):
        lower_tokenizer("我", ["年"])
    with pytest.raises(TypeError, match="pairs must be a text or a list of texts, got str"):
        lower_tokenizer(["我"], "年")


def test_bad_arguments(lower_tokenizer):
    with pytest.raises(ValueError, match="return_tensors"):
        lower_tokenizer("我", return_tensors="pt")
    with pytest.raises(ValueError, match="less than the 3 special tokens"):
        lower_tokenizer("我", "爱", max_length=2)
    with pytest.raises(TypeError, match="must be str or bytes, got 3"):
        lower_tokenizer.encode(3)


def test_empty_inputs(lower_tokenizer):
    assert lower_tokenizer([])["token_ids"].shape == (0, 0)
    assert lower_tokenizer([], max_length=8, padding="max_length")["token_ids"].shape == (0, 8)
    assert lower_tokenizer([], return_tensors=None) == {name: [] for name in NAMES}
    assert lower_tokenizer("")["token_ids"].tolist() == [2, 3]
    assert lower_tokenizer(["", ""])["token_ids"].tolist() == [[2, 3], [2, 3]]


def test_strange_characters_are_handled(lower_tokenizer):
    for text in ("\ud800我", "\0", "\U0010ffff", "a" * 100_000, "\r\n", "\udcff\udcfe"):
        single, batch = lower_tokenizer(text), lower_tokenizer([text, "我" * 500])
        length = len(single["token_ids"])
        assert batch["token_ids"][0, :length].tolist() == single["token_ids"].tolist()


def test_kinds_of_output(lower_tokenizer):
    texts = ["我爱", "我"]
    lists = lower_tokenizer(texts, return_tensors=None)
    assert lists["token_ids"] == lower_tokenizer(texts)["token_ids"].tolist()
    ragged = lower_tokenizer(texts, padding=False, return_offsets=True)
    assert [row.shape for row in ragged["token_ids"]] == [(4,), (3,)]
    assert [row.shape for row in ragged["offsets"]] == [(4, 2), (3, 2)]
    lists = lower_tokenizer(texts, padding=False, return_tensors=None)
    assert lists["attention_mask"] == [[1, 1, 1, 1], [1, 1, 1]]


def test_tensors(lower_tokenizer):
    tf = pytest.importorskip("tensorflow")
    texts = ["我爱", "我"]
    expected = lower_tokenizer(texts, return_offsets=True)
    found = lower_tokenizer(texts, return_offsets=True, return_tensors="tf")
    for name, tensor in found.items():
        assert tensor.dtype == tf.int32
        assert tensor.numpy().tolist() == expected[name].tolist()
    ragged = lower_tokenizer(texts, padding=False, return_tensors="tf", return_offsets=True)
    assert ragged["token_ids"].to_list() == [
        row.tolist() for row in lower_tokenizer(texts, padding=False)["token_ids"]
    ]
    assert ragged["offsets"].shape.as_list() == [2, None, 2]
    assert lower_tokenizer([], padding=False, return_tensors="tf")["token_ids"].shape[0] == 0
    assert lower_tokenizer("我", return_tensors="tf")["token_ids"].shape == (3,)
    assert lower_tokenizer(tf.constant(texts))["token_ids"].shape == (2, 4)


@given(
    texts=st.lists(st.text("我爱 aB[]MASK，", max_size=12), min_size=1, max_size=5),
    data=st.data(),
    keep=st.booleans(),
)
def test_one_by_one_equals_the_batch(tokens, texts, data, keep):
    tokenizer = Tokenizer(tokens, do_lower_case=True, keep_special_tokens=keep)
    pairs = data.draw(st.one_of(st.none(), st.just(texts[::-1])))
    settings = {
        "max_length": data.draw(st.integers(3, 12)),
        "padding": "max_length",
        "truncate_from": data.draw(st.sampled_from(["right", "left"])),
        "pad_to_multiple_of": data.draw(st.sampled_from([None, 8])),
    }
    batch = tokenizer(texts, pairs, **settings)
    for at, text in enumerate(texts):
        pair = None if pairs is None else pairs[at]
        for with_offsets in (False, True):
            single = tokenizer(text, pair, return_offsets=with_offsets, **settings)
            for name in NAMES:
                assert single[name].tolist() == batch[name][at].tolist()


def test_no_padding_token(tokens):
    tokenizer = Tokenizer(tokens, token_pad=None)
    assert tokenizer.pad_id is None
    with pytest.raises(ValueError, match="no padding token"):
        tokenizer("我", max_length=8, padding="max_length")
    assert tokenizer(["我", "爱"])["token_ids"].shape == (2, 3)


def test_a_tokenizer_of_another_kind_needs_little():
    """What SentencePiece and byte-level BPE will reuse: batches come from ``_encode_text``."""

    class Letters(BaseTokenizer):
        @property
        def template(self):
            return replace(super().template, padding_side="left")

        def _encode_with_offsets(self, text):
            ids = self.tokens_to_ids(text)
            return ids, list(range(len(ids))), list(range(1, len(ids) + 1))

        def decode(self, ids, tokens=None):
            return "".join(tokens or self.ids_to_tokens(ids))

    tokens = ["<pad>", "<unk>", "<s>", "</s>", *"abc"]
    ids = {token: at for at, token in enumerate(tokens)}
    letters = Letters(tokens, ids, "<s>", "</s>", "<unk>", "<pad>", None)
    found = letters(["abc", "z"], return_offsets=True)
    assert found["token_ids"].tolist() == [[2, 4, 5, 6, 3], [0, 0, 2, 1, 3]]
    assert found["offsets"][0].tolist() == [[0, 0], [0, 1], [1, 2], [2, 3], [0, 0]]
    assert letters("a", max_length=4, padding="max_length")["token_ids"].tolist() == [0, 2, 4, 3]
    assert letters.encode("ab", "c", maxlen=5) == ([2, 4, 3, 6, 3], [0, 0, 0, 1, 1])
    assert letters.decode([4, 5]) == "ab"
