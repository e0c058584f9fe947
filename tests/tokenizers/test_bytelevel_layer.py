"""Byte-level BPE inside the graph: the ids of the Python call, also when saved and served."""

from __future__ import annotations

import gzip
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("tokenizers")

import tokenizers

from kerasbert.backend import tf
from kerasbert.tokenizers.bytelevel_bpe import GPT2_TOKENS, ByteLevelBPETokenizer
from kerasbert.tokenizers.bytelevel_layer import ByteLevelBPELayer
from tests.tokenizers.layers import as_lists, check_that_a_saved_model_takes_text, expected

SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
SENTENCES = [
    "The cat sat on the mat, and the other cat didn't mind: aaaaaaa aaaa aa!",
    "They're saying that we've seen all there is to see; she'll say so.",
    "Naïve café, 北京天安门, 我爱北京. In 2019 there were 1024 of them!!",
]
TEXTS = [
    "Hello  the cats'll see 2019!",
    "",
    " ",
    "  the \n\n mat\t",
    "我爱 北京天安门。",
    "don't 'sit' ''re ' s it'S 'll",
    "naïve 😀 \U0002f9ff \U00100000 \ufdd0 e\u0301 \x00 \x1c\u200b\u3000a",
    "a <mask> b<mask>\u00a0 <mask></s>0",
    "aaaaaaaaaaa aaaaa",
]
NASTY = st.lists(
    st.one_of(
        st.characters(exclude_categories=["Cs"]),
        st.sampled_from("'''  \n\t\u00a0\u3000\x1cstredvlm12٣aA中é!-"),
        st.sampled_from(["<mask>", "</s>", "'ll", "'t", "aa"]),
    ),
    max_size=40,
).map("".join)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bpe")
    learner = tokenizers.ByteLevelBPETokenizer()
    learner.train_from_iterator(SENTENCES, 340, 2, False, SPECIAL)
    learner.save_model(str(folder))
    return folder / "vocab.json", folder / "merges.txt"


@pytest.fixture(params=[False, True], ids=["as it is", "prefix space"], scope="module")
def layer(request, files) -> ByteLevelBPELayer:
    tokenizer = ByteLevelBPETokenizer(*files, add_prefix_space=request.param)
    return tokenizer.as_layer(return_attention_mask=True)


@pytest.mark.smoke
def test_equals_the_tokenizer(layer):
    assert as_lists(layer(tf.constant(TEXTS))) == expected(layer.tokenizer, TEXTS)
    column = tf.constant([[text] for text in TEXTS])
    assert as_lists(layer(column)) == expected(layer.tokenizer, TEXTS)


@settings(max_examples=40)
@given(texts=st.lists(NASTY, min_size=1, max_size=20))
@pytest.mark.slow
def test_any_text(layer, texts):
    assert as_lists(layer(tf.constant(texts))) == expected(layer.tokenizer, texts)


@pytest.mark.parametrize("max_length", [4, 5, 12, 64])
@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.slow
def test_pairs_and_lengths(files, max_length, side):
    tokenizer = ByteLevelBPETokenizer(*files, padding_side=side)
    layer = tokenizer.as_layer(max_length, return_attention_mask=True)
    options = {"max_length": max_length, "padding": "max_length"}
    assert as_lists(layer(tf.constant(TEXTS))) == expected(tokenizer, TEXTS, **options)
    pairs = TEXTS, TEXTS[::-1]
    found = layer(tuple(map(tf.constant, pairs)))
    assert as_lists(found) == expected(tokenizer, *pairs, **options)


def test_no_room(files):
    with pytest.raises(ValueError, match="less than the 2 special tokens"):
        ByteLevelBPETokenizer(*files).as_layer(1)(tf.constant(["a"]))


def test_no_padding_token(files):
    with pytest.raises(ValueError, match="no padding token"):
        ByteLevelBPETokenizer(*files, token_pad=None).as_layer()


def test_gpt2_and_added_tokens(files):
    options = {**GPT2_TOKENS, "token_unk": "<unk>", "token_pad": "<pad>"}
    tokenizer = ByteLevelBPETokenizer(*files, **options, added_tokens=["<a>", "<aa>"])
    texts = [*TEXTS, "a<aa> <a>a"]
    found = tokenizer.as_layer(return_attention_mask=True)(tf.constant(texts))
    assert as_lists(found) == expected(tokenizer, texts)


@pytest.mark.parametrize("token_unk", ["<unk>", None])
def test_bytes_that_the_vocabulary_lacks(token_unk):
    vocabulary = {token: 2 * at for at, token in enumerate([*SPECIAL, "a", "b", "ab"])}
    tokenizer = ByteLevelBPETokenizer(vocabulary, ["a b"], token_unk=token_unk)
    texts = ["abcaéb", "é", "a<mask>é"]
    found = tokenizer.as_layer(return_attention_mask=True)(tf.constant(texts))
    assert as_lists(found) == expected(tokenizer, texts)


def test_invalid_bytes(layer):
    texts = [b"\xff\xe6a", "我".encode() + b"\xc3", b"\x80", b"a\xff0\xffb", b"\xed\xa0\x80a"]
    assert as_lists(layer(tf.constant(texts))) == expected(layer.tokenizer, texts)


def test_tf_data(layer):
    data = tf.data.Dataset.from_tensor_slices(TEXTS).batch(2).map(layer)
    rows = [row for ids, *_ in data for row in ids.numpy().tolist()]
    padding = layer.tokenizer.pad_id
    assert [[i for i in row if i != padding] for row in rows] == [
        layer.tokenizer.encode(text)[0] for text in TEXTS
    ]


@pytest.mark.slow
def test_a_saved_model_still_takes_text(files, tmp_path):
    check_that_a_saved_model_takes_text(ByteLevelBPETokenizer(*files), TEXTS, tmp_path, length=9)


@pytest.mark.parametrize("prefix", [False, True])
def test_all_recorded_lines(shared, prefix):
    folder = shared / "golden/huggingface/tokenizers/roberta"
    with gzip.open(folder / "cases.jsonl.gz", "rt", encoding="utf-8") as lines:
        texts = [json.loads(line)["text"] for line in lines]
    tokenizer = ByteLevelBPETokenizer(
        folder / "vocab.json", folder / "merges.txt", add_prefix_space=prefix
    )
    found = tokenizer.as_layer(return_attention_mask=True)(tf.constant(texts))
    assert as_lists(found) == expected(tokenizer, texts)
