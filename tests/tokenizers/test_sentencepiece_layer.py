"""SentencePiece inside the graph: the ids of the Python call, also when saved and served."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("tensorflow_text")

from kerasbert.backend import tf
from kerasbert.tokenizers.sentencepiece import SentencePieceTokenizer
from kerasbert.tokenizers.sentencepiece_graph import apply_rules
from kerasbert.tokenizers.sentencepiece_layer import SentencePieceLayer
from kerasbert.tokenizers.sentencepiece_text import TextRules
from tests.tokenizers.layers import NAMES, check_that_a_saved_model_takes_text
from tests.tokenizers.sentencepiece_models import MODELS, SENTENCES

TEXTS = [
    *SENTENCES,
    "한국 ΑΣ",
    "Σ",
    "the <mask> a [MASK] \u3000<mask>in <extra_id_0> the <extra_id_10><extra_id_1>",
    "</s><s>[CLS] <cls> <sep>a",
]


@pytest.fixture(scope="module", params=list(MODELS))
def tokenizer(request) -> SentencePieceTokenizer:
    return SentencePieceTokenizer(MODELS[request.param], request.param)


def check(layer, tokenizer, texts, pairs=None, **options):
    """The layer in a graph gives what the tokenizer gives."""
    expected = tokenizer(texts, pairs, **options)
    inputs = [tf.constant([text.encode() for text in one]) for one in (texts, pairs) if one]
    outputs = tf.function(layer)(inputs if pairs else inputs[0])
    assert len(outputs) == 2 + layer.return_attention_mask
    for name, output in zip(NAMES, outputs):
        assert output.dtype == tf.int32
        np.testing.assert_array_equal(output, expected[name], name)


def test_the_ids_of_the_python_call(tokenizer):
    check(tokenizer.as_layer(return_attention_mask=True), tokenizer, TEXTS)


@pytest.mark.slow
def test_pairs(tokenizer):
    check(tokenizer.as_layer(return_attention_mask=True), tokenizer, TEXTS, TEXTS[::-1])


@pytest.mark.parametrize("pairs", [None, TEXTS[::-1]], ids=["one", "pairs"])
@pytest.mark.slow
def test_max_length(tokenizer, pairs):
    layer = tokenizer.as_layer(max_length=9, return_attention_mask=True)
    check(layer, tokenizer, TEXTS, pairs, max_length=9, padding="max_length")


@pytest.mark.parametrize(
    "options",
    [
        {"keep_special_tokens": False, "added_tokens": ["<e1>", "1"]},
        {"keep_tokens": list(range(2, 70)), "extra_ids": 0},
        {"token_translate": {"a": "b", "[MASK]": "[CLS]"}, "padding_side": "left"},
        {"keep_accents": True, "replace_quotes": False},
        {"remove_space": False, "do_lower_case": False},
    ],
)
@pytest.mark.slow
def test_options(options):
    if "keep_tokens" in options:
        options = {**options, "keep_tokens": [0, 1, *options["keep_tokens"]]}
    tokenizer = SentencePieceTokenizer(MODELS["albert"], "albert", **options)
    texts = [*TEXTS, "<e1> 1 2019,1 <e1><e1>"]
    check(tokenizer.as_layer(return_attention_mask=True), tokenizer, texts)


def test_eager_calls(tokenizer):
    token_ids, segment_ids = tokenizer.as_layer()(tf.constant([["hello world"], ["a"]]))
    expected = tokenizer(["hello world", "a"])
    np.testing.assert_array_equal(token_ids, expected["token_ids"])
    np.testing.assert_array_equal(segment_ids, expected["segment_ids"])


def test_invalid_utf8_is_left_out(tokenizer):
    texts = [b"a\xffb the", b"\xe4\xbb\x8a\xe5", b"\xff"]
    token_ids, _ = tokenizer.as_layer()(tf.constant(texts))
    np.testing.assert_array_equal(token_ids, tokenizer(texts)["token_ids"])


@pytest.mark.slow
def test_in_tf_data(tokenizer):
    data = tf.data.Dataset.from_tensor_slices([text.encode() for text in TEXTS]).batch(5)
    rows = [batch[0] for batch in data.map(tokenizer.as_layer(max_length=12))]
    expected = tokenizer(TEXTS, max_length=12, padding="max_length")["token_ids"]
    np.testing.assert_array_equal(np.concatenate(rows), expected)


@pytest.mark.slow
def test_saved_and_exported(tokenizer, tmp_path):
    check_that_a_saved_model_takes_text(tokenizer, TEXTS, tmp_path)


def test_config(tokenizer):
    layer = SentencePieceLayer(tokenizer, 12, True, name="text")
    again = SentencePieceLayer.from_config(layer.get_config())
    assert again.get_config() == layer.get_config()


def test_what_cannot_be_a_layer():
    with pytest.raises(ValueError, match="pre_tokenize"):
        SentencePieceTokenizer(MODELS["plain"], pre_tokenize=str.split).as_layer()
    with pytest.raises(ValueError, match="padding token"):
        SentencePieceTokenizer(MODELS["plain"], token_pad=None).as_layer()


@pytest.mark.parametrize("accents", [True, False], ids=["strip", "keep"])
@pytest.mark.parametrize("lower", [True, False], ids=["lower", "cased"])
def test_rules_on_every_character(accents, lower):
    rules = TextRules(True, True, accents, lower)
    chars = map(chr, [*range(0xD800), *range(0xE000, 0x20000), *range(0x2F000, 0xE0200, 61)])
    texts = [f"x{char} {char}y" for char in chars]
    found = apply_rules(tf.constant([text.encode() for text in texts]), rules).numpy()
    wrong = [text for text, new in zip(texts, found) if rules.apply(text).encode() != new]
    assert wrong == []


def test_final_sigmas():
    rules = TextRules(True, False, True, True)
    texts = ["ΑΣ", "Σ", "ΑΣ Β", "Α'Σ.", "ΑΣΑ ΑΣ", "a:Σ", "ΑΣ'Α", "Σ\u0301Α", "", "Α\u0301Σ\u00ad!"]
    found = apply_rules(tf.constant([text.encode() for text in texts]), rules).numpy()
    assert [new.decode() for new in found] == [rules.apply(text) for text in texts]
