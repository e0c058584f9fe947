"""What every class of tokenizer does alike: bad input, added tokens, words, windows, saving."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerasbert.tokenizers import Tokenizer
from tests.tokenizers.classes import CLASSES

TEXT = st.text("hello 我爱北京 aB,.'!<e1>[]MASK\u3000\n中", max_size=24)
NAMES = ["token_ids", "segment_ids", "attention_mask"]


@pytest.fixture(params=CLASSES, scope="module")
def make(request):
    return CLASSES[request.param]


@pytest.fixture(scope="module")
def tokenizer(make):
    return make()


# Bad input.


STRANGE = [
    "",
    " ",
    "\0",
    "a\0b",
    "\ud800",
    "我\udcff爱\ud83d",
    "\ufffe\uffff\U0010ffff",
    "\r\n\t\u2028\x85",
    "\u0301\u0301",
    "a" * 300,
]


@pytest.mark.parametrize("text", STRANGE, ids=[ascii(text)[:20] for text in STRANGE])
def test_strange_texts(tokenizer, text):
    single = tokenizer(text)["token_ids"].tolist()
    both = tokenizer([text, "hello"], padding=False, return_offsets=True, return_word_ids=True)
    assert both["token_ids"][0].tolist() == single
    begin, end = both["offsets"][0][:, 0], both["offsets"][0][:, 1]
    assert (begin >= 0).all() and (end >= begin).all() and (end <= len(text)).all()
    assert tokenizer.encode(text)[0] == single
    assert isinstance(tokenizer.decode(single), str)
    assert max(single, default=0) < tokenizer.vocab_size


def test_invalid_utf8_is_left_out(tokenizer):
    expected = tokenizer("我a")["token_ids"].tolist()
    assert tokenizer("我".encode() + b"\xff\xe6a")["token_ids"].tolist() == expected
    batch = tokenizer(["我".encode() + b"\xff\xe6a", "b"], padding=False)["token_ids"]
    assert batch[0].tolist() == expected


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (None, "texts must be a text or a list of texts, got NoneType"),
        (7, "texts must be a text or a list of texts, got int"),
        (["a", None], r"texts\[1\] must be str or bytes, got None"),
        (["a", float("nan")], r"texts\[1\] must be str or bytes, got nan \(float\)"),
        ([None], r"texts\[0\] must be a text, or every element a pair"),
        ([3, 4], r"texts\[0\] must be a text, or every element a pair"),
        ([("a", None)], r"pairs\[0\] must be str or bytes, got None"),
        (bytearray(b"a"), "texts must be a text or a list of texts, got bytearray"),
        (np.array("a"), "got ndarray of no axis: take the text out of it"),
    ],
)
def test_what_is_no_text(tokenizer, texts, message):
    with pytest.raises(TypeError, match=message):
        tokenizer(texts)


@given(
    texts=st.lists(TEXT, max_size=6),
    pairs=st.booleans(),
    max_length=st.one_of(st.none(), st.integers(5, 12)),
)
def test_ids_alone(tokenizer, texts, pairs, max_length):
    second = texts[::-1] if pairs else None
    options = {"max_length": max_length, "padding": False, "return_tensors": None}
    expected = tokenizer(texts, second, **options)["token_ids"]
    assert tokenizer.encode_ids(texts, second, max_length) == expected
    for at, text in enumerate(texts):
        other = second[at] if pairs else None
        assert tokenizer.encode_ids(text, other, max_length) == expected[at]
        as_bytes = None if other is None else other.encode()
        assert tokenizer.encode_ids(text.encode(), as_bytes, max_length) == expected[at]


@pytest.mark.parametrize("texts", [None, 7, ["a", None], [None]])
def test_ids_of_what_is_no_text(tokenizer, texts):
    with pytest.raises(TypeError, match="must be"):
        tokenizer.encode_ids(texts)
    with pytest.raises(ValueError, match="max_length must be a positive whole number, got 0"):
        tokenizer.encode_ids("a", max_length=0)


def test_ids_have_the_length_of_the_model(make):
    tokenizer = make(model_max_length=4)
    for text in ("hello", "我爱北京" * 3):
        expected = tokenizer(text, return_tensors=None)["token_ids"]
        assert tokenizer.encode_ids(text) == expected
        assert tokenizer.encode_ids([text, text]) == [expected, expected]
        assert len(expected) <= 4


NONCHARACTERS = [*range(0xFDD0, 0xFDF0), *(0x10000 * p + n for p in range(17) for n in (-2, -1))]


def test_noncharacters_in_a_graph(make):
    """Code points that are never to be characters are valid UTF-8 all the same."""
    pytest.importorskip("tensorflow_text")
    from kerasbert.backend import tf

    tokenizer = make(added_tokens=["a\ufdd0b", "\uffff"])
    if getattr(tokenizer, "pre_tokenize", None) is not None:
        pytest.skip("a segmenter cannot be in a graph")
    chars = [chr(code) for code in NONCHARACTERS if code > 0]
    texts = [f"{char} hello{char}我 {char}{char}É{char}b a{char}b" for char in chars]
    token_ids, _ = tokenizer.as_layer()(tf.constant([text.encode() for text in texts]))
    np.testing.assert_array_equal(token_ids, tokenizer(texts)["token_ids"])


def test_no_texts(tokenizer):
    for options in ({}, {"return_offsets": True}, {"return_word_ids": True}):
        assert tokenizer([], **options)["token_ids"].shape == (0, 0)
    assert tokenizer([], [], max_length=8, padding="max_length")["token_ids"].shape == (0, 8)
    windows = tokenizer([], max_length=8, return_overflowing=True)
    assert windows["overflow_to_sample"].tolist() == []


def test_columns_of_pandas(tokenizer):
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame({"text": ["hello", "我爱"], "other": ["北京", None]}, index=[7, 3])
    expected = tokenizer(["hello", "我爱"])["token_ids"].tolist()
    assert tokenizer(table["text"])["token_ids"].tolist() == expected
    assert tokenizer(table["text"].to_numpy())["token_ids"].tolist() == expected
    with pytest.raises(TypeError, match=r"pairs\[1\] must be str or bytes"):
        tokenizer(table["text"], table["other"])
    with pytest.raises(TypeError, match="got DataFrame: give a column of it"):
        tokenizer(table)


@pytest.mark.parametrize("ids", [["3"], [3.0], [None], np.array([[3, 4]])])
def test_what_is_no_id(tokenizer, ids):
    with pytest.raises(TypeError, match="an id must be a whole number, got"):
        tokenizer.decode(ids)


@pytest.mark.slow
@pytest.mark.parametrize("line", ["我爱 hello, ", "a", " ", "<mask"], ids=ascii)
def test_a_long_line(make, line):
    """Linear in its length, and never an error: a quadratic step would take hours."""
    size = 10_000_000 if make in (CLASSES["wordpiece"], CLASSES["bytelevel"]) else 300_000
    text = line * (size // len(line.encode()))
    found = make(keep_special_tokens=True)(text, max_length=512, return_offsets=True)
    assert len(found["token_ids"]) <= 512
    if len(line) > 5:  # of words, which is not so for a word of a million letters
        assert found["offsets"].max() <= 5000


# Added tokens.


def test_added_tokens(make):
    tokenizer = make()
    size = tokenizer.vocab_size
    held = tokenizer.id_to_token(5)
    assert tokenizer.add_tokens(["<e1>", "</e1>", held, "<e1>"]) == 2
    assert tokenizer.vocab_size == len(tokenizer) == size + 2
    assert tokenizer.token_to_id("</e1>") == size + 1
    ids = tokenizer("a<e1>hello</e1>")["token_ids"].tolist()
    assert [at for at in ids if at >= size] == [size, size + 1]
    inner = tokenizer.encode("hello")[0]
    stripped = [at for at in inner if at not in (tokenizer.start_id, tokenizer.end_id)]
    assert ids[ids.index(size) + 1 : ids.index(size + 1)] == [
        at for at in stripped if at < size and tokenizer.id_to_token(at) != "<cls>"
    ]
    assert (
        make(added_tokens=["<e1>", "</e1>", held]).encode("<e1>a")[0]
        == (tokenizer.encode("<e1>a")[0])
    )
    assert "<e1>" in tokenizer.decode(tokenizer.tokens_to_ids(["<e1>"]))
    with pytest.raises(TypeError, match="list of tokens"):
        tokenizer.add_tokens("<e2>")
    with pytest.raises(ValueError, match="not empty"):
        tokenizer.add_tokens([" "])


@given(texts=st.lists(TEXT, min_size=1, max_size=4))
def test_one_by_one_equals_the_batch(make, texts):
    tokenizer = make_cached(make)
    batch = tokenizer(texts, padding=False, return_offsets=True, return_word_ids=True)
    plain = tokenizer(texts, padding=False)
    for at, text in enumerate(texts):
        assert tokenizer(text, return_tensors=None)["token_ids"] == plain["token_ids"][at].tolist()
        one = tokenizer(text, return_offsets=True, return_word_ids=True)
        for name in one:
            assert one[name].tolist() == batch[name][at].tolist(), name
        assert plain["token_ids"][at].tolist() == batch["token_ids"][at].tolist()


def make_cached(make, cache={}):  # noqa: B006
    if make not in cache:
        cache[make] = make(added_tokens=["<e1>"], keep_special_tokens=True)
    return cache[make]


def test_offsets_around_kept_tokens(make):
    tokenizer = make_cached(make)
    text = "北京<e1>hello <e1>我"
    found = tokenizer(text, return_offsets=True, return_word_ids=True)
    added = tokenizer.token_to_id("<e1>")
    places = np.flatnonzero(found["token_ids"] == added)
    assert found["offsets"][places].tolist() == [[2, 6], [12, 16]]
    assert found["offsets"].max() == len(text)
    words = found["word_ids"]
    for place in places:
        assert (words == words[place]).sum() == 1


def test_a_mask_in_a_text(make):
    tokenizer = make(keep_special_tokens=True)
    if tokenizer.mask_id is None:
        pytest.skip("the class has no mask token")
    mask = tokenizer.id_to_token(tokenizer.mask_id)
    kept = tokenizer(f"hello {mask}!", return_offsets=True)
    place = kept["token_ids"].tolist().index(tokenizer.mask_id)
    assert kept["offsets"][place].tolist() == [6, 6 + len(mask)]
    split = make(keep_special_tokens=False)(f"hello {mask}!")
    assert tokenizer.mask_id not in split["token_ids"].tolist()


# Words.


def test_word_ids(tokenizer):
    text = "hello  world, 我爱 cab!"
    found = tokenizer(text, return_offsets=True, return_word_ids=True)
    words, offsets = found["word_ids"], found["offsets"]
    assert words.dtype == np.int32
    template = tokenizer.template
    special = template.count(False)
    assert (words == -1).sum() == special
    inner = words[len(template.start) : len(words) - len(template.end)]
    assert inner[0] == 0
    assert set(np.diff(inner).tolist()) <= {0, 1}
    places: dict[int, set[int]] = {}
    for word, (start, end) in zip(words.tolist(), offsets.tolist()):
        if word >= 0:  # bytes of one character share its place
            places.setdefault(word, set()).update(range(start, end))
    pieces = ["".join(text[at] for at in sorted(found)).strip() for found in places.values()]
    assert [word for word in pieces if word] == ["hello", "world", ",", "我", "爱", "cab", "!"]


def test_word_ids_of_pairs_and_padding(tokenizer):
    found = tokenizer(["hello"], ["我"], return_word_ids=True, pad_to_multiple_of=16)
    assert "offsets" not in found
    words, mask = found["word_ids"][0], found["attention_mask"][0]
    assert (words[mask == 0] == -1).all()
    inner = words[words >= 0].tolist()
    assert inner[0] == 0 and sorted(inner[inner.index(0) :])[0] == 0
    assert (np.diff(inner) < 0).sum() <= 1


# Windows.


def test_windows_hold_every_token(make):
    tokenizer = make_cached(make)
    question, document = "我", "a hello 北京, " * 12
    room = 24 - len(tokenizer.encode(question, "")[0])
    options = {"truncation": "only_second", "return_offsets": True, "return_word_ids": True}
    whole = tokenizer(question, document, max_length=1000, **options)
    found = tokenizer(
        [question, question],
        [document, "a"],
        max_length=24,
        stride=5,
        return_overflowing=True,
        **options,
    )
    assert found["overflow_to_sample"].tolist() == [0] * (len(found["token_ids"]) - 1) + [1]
    template = tokenizer.template
    before = len(tokenizer.encode(question, "")[0]) - len(template.end)
    inner = slice(before, len(whole["token_ids"]) - len(template.end))
    for name in ("token_ids", "segment_ids", "offsets", "word_ids"):
        expected = whole[name][inner].tolist()
        joined: list = []
        for row in range(len(found["token_ids"]) - 1):
            values = found[name][row][found["attention_mask"][row] == 1].tolist()
            assert values[:before] == whole[name][:before].tolist()
            window = values[before : len(values) - len(template.end)]
            assert len(window) <= room
            if row:
                assert joined[-5:] == window[:5]
                window = window[5:]
            joined += window
        assert joined == expected, name


# In the graph.


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("max_length", [None, 12])
def test_the_layer_gives_the_same(make, side, max_length):
    pytest.importorskip("tensorflow_text")
    from kerasbert.backend import tf

    if make is CLASSES["words first"]:
        with pytest.raises(ValueError, match="cannot be part of a graph"):
            make().as_layer()
        return
    tokenizer = make(padding_side=side, added_tokens=["<e1>"], keep_special_tokens=True)
    texts = ["hello<e1> 我爱北京!", "", "cab " * 9, "<e1><e1>"]
    layer = tokenizer.as_layer(max_length=max_length, return_attention_mask=True)
    padding = "max_length" if max_length else True
    for pairs in (None, texts[::-1]):
        expected = tokenizer(texts, pairs, max_length=max_length, padding=padding)
        inputs = [tf.constant(texts)] + ([] if pairs is None else [tf.constant(pairs)])
        found = layer(inputs if pairs else inputs[0])
        for name, tensor in zip(NAMES, found):
            assert tensor.numpy().tolist() == expected[name].tolist(), name


# Saving.


ARGUMENTS = {"keep_special_tokens": ["a"], "added_tokens": ["<e1>", "中"], "model_max_length": 9}


def test_saving_keeps_everything(make, tmp_path):
    tokenizer = make(padding_side="left", **ARGUMENTS)
    tokenizer.add_tokens(["<late>"])
    tokenizer.save(tmp_path)
    again = Tokenizer.from_pretrained(tmp_path)
    assert type(again) is type(tokenizer)
    assert again.get_config() == tokenizer.get_config()
    assert again.all_tokens == tokenizer.all_tokens
    texts = ["hello <e1>我中", "北京 <late>a", "我爱北京 " + "hello " * 9]
    for options in ({}, {"return_offsets": True, "max_length": 6}):
        left, right = tokenizer(texts, **options), again(texts, **options)
        assert {k: v.tolist() for k, v in left.items()} == {k: v.tolist() for k, v in right.items()}
    assert left["token_ids"].shape[1] == 6 and tokenizer(texts)["token_ids"].shape[1] == 9
    settings = json.loads((tmp_path / "tokenizer_config.json").read_text(encoding="utf-8"))
    assert settings["model_max_length"] == 9
    added = json.loads((tmp_path / "added_tokens.json").read_text(encoding="utf-8"))
    assert added["<late>"] == tokenizer.vocab_size - 1


def test_config_and_pickle_keep_everything(make):
    tokenizer = make(padding_side="left", **ARGUMENTS)
    config = tokenizer.get_config()
    again = type(tokenizer).from_config(json.loads(json.dumps(config)))
    assert again.get_config() == config
    assert pickle.loads(pickle.dumps(tokenizer)).get_config() == config
    assert {name: config[name] for name in ARGUMENTS} == ARGUMENTS
    assert tokenizer("a")["token_ids"].tolist() == again("a")["token_ids"].tolist()
