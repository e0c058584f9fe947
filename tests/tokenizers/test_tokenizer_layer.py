"""The tokenizer as a layer: in ``tf.data``, in models, and in what they are saved as."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("tensorflow_text")

from kerasbert.backend import keras, tf
from kerasbert.tokenizers import Tokenizer, TokenizerLayer
from kerasbert.tokenizers import characters as c
from kerasbert.tokenizers.graph_tables import PAGE, SELF, graph_tables
from tests.tokenizers.layers import as_lists, check_that_a_saved_model_takes_text, expected

TEXTS = [
    "我爱Beijing，2020年！",
    "",
    "x" * 201 + " ΑΣ'Α ΑΣ",
    "hello\u200bworld 饕 İ한≠",
    "[MASK] a",
]


@pytest.fixture(params=[True, False], ids=["lower", "cased"], scope="module")
def layer(request, tokens) -> TokenizerLayer:
    return Tokenizer(tokens, do_lower_case=request.param).as_layer(return_attention_mask=True)


@pytest.mark.smoke
def test_equals_the_tokenizer(layer):
    assert as_lists(layer(tf.constant(TEXTS))) == expected(layer.tokenizer, TEXTS)


def test_a_column_of_texts(layer):
    column = tf.constant([[text] for text in TEXTS])
    assert as_lists(layer(column)) == expected(layer.tokenizer, TEXTS)


@pytest.mark.parametrize("max_length", [3, 4, 7, 12, 64])
def test_max_length(tokenizer, max_length):
    layer = tokenizer.as_layer(max_length, return_attention_mask=True)
    settings = {"max_length": max_length, "padding": "max_length"}
    assert as_lists(layer(tf.constant(TEXTS))) == expected(tokenizer, TEXTS, **settings)
    others = ["我爱", "天" * 9, "ab", "", "un"]
    pairs = tf.constant(TEXTS), tf.constant(others)
    assert as_lists(layer(pairs)) == expected(tokenizer, TEXTS, others, **settings)


def test_no_room(tokenizer):
    with pytest.raises(ValueError, match="less than the 2 special tokens"):
        tokenizer.as_layer(1)(tf.constant(["我"]))


VALID = st.text(
    st.one_of(
        st.characters(exclude_categories=["Cs"]),
        st.sampled_from("我爱，。 \n\taB'ΣΣΑ·.\u0301\u0345\u200b\0İ한≠ﬁ豈\ufdd0"),
    )
)


@settings(max_examples=25)
@given(texts=st.lists(VALID, min_size=1, max_size=20))
def test_any_text(layer, texts):
    assert as_lists(layer(tf.constant(texts))) == expected(layer.tokenizer, texts)


@settings(max_examples=25)
@given(
    texts=st.lists(
        st.text("[]MASKCLUNPDask我a\U0010e000\U0010e001\U0010dfff "), min_size=1, max_size=20
    )
)
def test_special_tokens_kept_whole(tokens, texts):
    tokenizer = Tokenizer(tokens, keep_special_tokens=["[unused1]"])
    layer = tokenizer.as_layer(return_attention_mask=True)
    texts = [*texts, "a[MASK]b[unused1] [SEP][sep]"]
    assert as_lists(layer(tf.constant(texts))) == expected(tokenizer, texts)


def test_invalid_bytes(layer):
    texts = [b"\xff\xe6a", "我".encode() + b"\xc3", b"\x80"]
    assert as_lists(layer(tf.constant(texts))) == expected(layer.tokenizer, texts)


def test_vocabularies_with_holes_and_repeats(tokens):
    vocabulary = {token: 2 * at for at, token in enumerate(tokens)}
    tokenizer = Tokenizer(vocabulary, do_lower_case=True)
    layer = tokenizer.as_layer(return_attention_mask=True)
    assert as_lists(layer(tf.constant(TEXTS))) == expected(tokenizer, TEXTS)
    with pytest.warns(UserWarning):
        tokenizer = Tokenizer([*tokens, "我", "", ""])
    layer = tokenizer.as_layer(return_attention_mask=True)
    assert as_lists(layer(tf.constant(["我 "]))) == expected(tokenizer, ["我 "])
    assert len(tokens) in np.array(layer(tf.constant(["我"]))[0])


def test_translated_tokens(tokens):
    translate = {"我": "爱", "##b": "b", "[UNK]": "[MASK]", "[SEP]": "a"}
    tokenizer = Tokenizer(tokens, token_translate=translate, keep_special_tokens=True)
    layer = tokenizer.as_layer(return_attention_mask=True)
    texts = ["我ab饕[SEP]"]
    assert as_lists(layer(tf.constant(texts))) == expected(tokenizer, texts)
    assert tokenizer.tokenize(*texts) == ["[CLS]", "爱", "a", "b", "[MASK]", "a", "[SEP]"]


def test_tf_data(layer):
    data = tf.data.Dataset.from_tensor_slices(TEXTS).batch(2).map(layer)
    found = [row for ids, *_ in data for row in ids.numpy().tolist()]
    assert [[i for i in row if i] for row in found] == [
        layer.tokenizer.encode(text)[0] for text in TEXTS
    ]


@pytest.mark.slow
def test_a_saved_model_still_takes_text(tokens, tmp_path):
    tokenizer = Tokenizer(tokens, do_lower_case=True, keep_special_tokens=True)
    check_that_a_saved_model_takes_text(tokenizer, TEXTS, tmp_path, length=9)


def test_config_round_trip(tokens):
    layer = Tokenizer(tokens, word_maxlen=3).as_layer(5, return_attention_mask=True, name="words")
    again = TokenizerLayer.from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    assert as_lists(again(tf.constant(["abcd abc"]))) == as_lists(layer(tf.constant(["abcd abc"])))


def test_static_shapes_and_dtypes(tokens):
    layer = Tokenizer(tokens).as_layer(5, return_attention_mask=True)
    outputs = layer(keras.Input(shape=(), dtype="string"))
    assert [tuple(output.shape) for output in outputs] == [(None, 5)] * 3
    assert all("int32" in str(output.dtype) for output in outputs)


def test_mixed_precision_changes_nothing(tokens):
    before = keras.mixed_precision.global_policy()
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        layer = Tokenizer(tokens).as_layer(5)
        outputs = layer(tf.constant(["abc"]))
    finally:
        keras.mixed_precision.set_global_policy(before)
    assert all(output.dtype == tf.int32 for output in outputs)


def test_what_cannot_be_in_a_graph(tokens):
    with pytest.raises(ValueError, match="pre_tokenize"):
        Tokenizer(tokens, pre_tokenize=str.split).as_layer()
    with pytest.raises(ValueError, match="no padding token"):
        Tokenizer(tokens, token_pad=None).as_layer()


@pytest.mark.slow
@pytest.mark.parametrize(
    "asked", [c.UNCASED_RULES, c.CASED_RULES, c.Rules(True, False, False)], ids=str
)
def test_tables_hold_the_rules_for_every_code_point(asked):
    """Also for those that the tables take for granted instead of asking."""
    table = graph_tables(asked)
    codes = np.arange(0x110000)
    place = table.pages[codes // PAGE] * PAGE + codes % PAGE
    rules, cases = table.rules[place], table.cases[place]
    for code in np.concatenate([codes[:0x31000], codes[0xE0000:0xE0300], codes[::97]]).tolist():
        char = chr(code)
        row = [code if part == SELF else part for part in table.expansions[rules[code]] if part]
        words = "".join(map(chr, row)).split(" ")
        # Dropped characters leave nothing; white space leaves an empty word on both sides.
        assert [word for word in words if word] == [w for w, _ in c.split_words(char, asked)]
        is_apart = asked.split_cjk and c.is_cjk(char)
        assert (32 in row) == (
            c.is_whitespace(char) or is_apart or any(map(c.is_punctuation, map(chr, row)))
        )
        if asked.lower:
            assert cases[code] == c.case_role(char)


@pytest.mark.parametrize(
    "options",
    [
        {"do_lower_case": True, "strip_accents": False},
        {"do_lower_case": False, "strip_accents": True},
        {"do_lower_case": True, "tokenize_chinese_chars": False},
    ],
    ids=str,
)
def test_single_rules(tokens, options):
    tokenizer = Tokenizer([*tokens, "##京", "é"], **options)
    texts = ["É é 北京Ab", "ΑΣ ΣΑ", "Ïï!İ", "我爱 Hello"]
    expected = tokenizer(texts)["token_ids"].tolist()
    assert tokenizer.as_layer()(tf.constant(texts))[0].numpy().tolist() == expected
