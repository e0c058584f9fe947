"""Ids to text inside the graph: exactly what ``decode`` says, for every class of tokenizer."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasbert.backend import tf
from kerasbert.serving.detokenizing import make_detokenizer
from kerasbert.tokenizers import Tokenizer
from kerasbert.tokenizers.saving import Saving
from tests.tokenizers.classes import CLASSES

WORDPIECE = [
    "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "我", "爱", "##北", "##", "a", "##b", "it", "'",
    "re", "s", "t", "ve", "m", "d", "ll", ",", "，", "。", ".", "3", "14", "٣", "-", "(", ")", "[",
    "]", "《", "》", "·", "“", "hello", "##lo", "x我", "é", "!", "\u3000x", "[unused1]",
]  # fmt: skip


def check(tokenizer, rows):
    width = max(map(len, rows), default=0)
    pad = tokenizer.pad_id
    padded = np.array([[*row, *[pad] * (width - len(row))] for row in rows], np.int32)
    detokenize = tf.function(
        make_detokenizer(tokenizer), input_signature=[tf.TensorSpec([None, None], tf.int32)]
    )
    found = detokenize(tf.constant(padded.reshape(len(rows), width), tf.int32)).numpy()
    return [text.decode("utf-8") for text in found]


@pytest.fixture(scope="module")
def wordpiece():
    tokenizer = Tokenizer(WORDPIECE)
    graph = tf.function(
        make_detokenizer(tokenizer), input_signature=[tf.TensorSpec([None, None], tf.int32)]
    )
    return tokenizer, graph


@settings(max_examples=200)
@given(ids=st.lists(st.integers(0, len(WORDPIECE) - 1), max_size=30))
def test_any_wordpieces(wordpiece, ids):
    tokenizer, graph = wordpiece
    (found,) = graph(tf.constant([ids], tf.int32, (1, len(ids)))).numpy()
    assert found.decode("utf-8") == tokenizer.decode(ids)


@pytest.mark.parametrize(
    "tokens, text",
    [
        ("it ' s a", "it's a"),
        ("it ' re ' s ' t ' m", "it're's't'm"),
        ("' s ##b", "'sb" if False else None),
        ("3 . 14", "3.14"),
        ("我 爱 hello ##lo ， a", "我爱hellolo，a"),
        ("[CLS] a [SEP] [PAD]", "a"),
    ],
)
def test_rules(wordpiece, tokens, text):
    tokenizer, graph = wordpiece
    ids = tokenizer.tokens_to_ids(tokens.split())
    (found,) = graph(tf.constant([ids])).numpy()
    assert found.decode("utf-8") == tokenizer.decode(ids)
    if text is not None:
        assert found.decode("utf-8") == text


def test_a_batch_with_empty_rows(wordpiece):
    tokenizer, _ = wordpiece
    rows = [[], [0, 0], [5, 9, 10], [2, 3], [9], []]
    assert check(tokenizer, rows) == [tokenizer.decode(row) for row in rows]
    assert check(tokenizer, []) == []
    assert check(tokenizer, [[], []]) == ["", ""]


def test_ids_beyond_the_vocabulary_are_no_text(wordpiece):
    tokenizer, graph = wordpiece
    (found,) = graph(tf.constant([[9, 1000, -1, 5]])).numpy()
    assert found.decode("utf-8") == tokenizer.decode([9, 5])


@pytest.mark.parametrize("name", [name for name in CLASSES if name != "words first"])
def test_every_class(name):
    tokenizer = CLASSES[name]()
    texts = ["我爱北京", "hello, it's 3.14!", "a lo lo [ ] 한é", ""]
    rows = [tokenizer(text)["token_ids"].tolist() for text in texts]
    rng = np.random.default_rng(0)
    rows += rng.integers(0, tokenizer.vocab_size, (20, 7)).tolist()
    expected = [tokenizer.decode(row) for row in rows]
    found = check(tokenizer, rows)
    whole = [at for at, text in enumerate(expected) if "\ufffd" not in text]
    assert len(whole) > 3
    assert [found[at] for at in whole] == [expected[at] for at in whole]
    for ours, theirs in zip(found, expected):  # broken UTF-8: as many or fewer marks
        assert ours.replace("\ufffd", "") == theirs.replace("\ufffd", "")


def test_unknown_tokenizers_are_refused():
    with pytest.raises(TypeError, match="no counterpart in the graph"):
        make_detokenizer(Saving())
