"""Words from jieba and rjieba, and WordPiece after them."""

from __future__ import annotations

import builtins
import gzip
import json
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerasbert.tokenizers import Tokenizer, segmenter
from kerasbert.tokenizers.segmentation import Segmenter
from tests.tokenizers.conftest import make_tokens

jieba = pytest.importorskip("jieba")
TEXT = "小明硕士毕业于中国科学院计算所，后在日本京都大学深造"


def test_names():
    words = jieba.lcut(TEXT, HMM=False)
    assert "中国科学院" in words
    assert segmenter("jieba")(TEXT) == words
    assert segmenter("auto")(TEXT) == words
    assert segmenter("jieba", hmm=True)(TEXT) == jieba.lcut(TEXT)
    assert segmenter(str.split) is str.split


def test_user_dictionaries(tmp_path):
    path = tmp_path / "words.txt"
    path.write_text("毕业于 1000 v\n\n计算所，后\n", encoding="utf-8-sig")
    own = segmenter("auto", path)
    assert own("小明毕业于北京") == ["小", "明", "毕业于", "北京"]
    assert segmenter("jieba")("小明毕业于北京") == ["小", "明", "毕业", "于", "北京"]
    again = pickle.loads(pickle.dumps(own))
    assert again.get_config() == own.get_config()
    assert again("毕业于") == ["毕业于"]
    path.unlink()  # the words are part of the configuration
    assert segmenter(**own.get_config())("毕业于") == ["毕业于"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("hanlp",), "one of .*'jieba', 'rjieba'.* or a function, got 'hanlp'"),
        (("rjieba", ["词"]), "rjieba takes no dictionary"),
        ((str.split, ["词"]), "user_dict is for jieba"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        segmenter(*arguments)


def without(monkeypatch, *missing):
    original = builtins.__import__

    def fail(name, *args, **kwargs):
        if name in missing:
            raise ImportError(name)
        return original(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", fail)


def test_what_is_installed(monkeypatch):
    without(monkeypatch, "rjieba")
    assert segmenter("auto")(TEXT) == jieba.lcut(TEXT, HMM=False)
    with pytest.raises(ImportError, match="pip install rjieba"):
        segmenter("rjieba")(TEXT)
    without(monkeypatch, "jieba", "rjieba")
    with pytest.raises(ImportError, match="pip install jieba"):
        segmenter("auto")(TEXT)


@pytest.mark.parametrize("name", ["jieba", "rjieba"])
@given(
    text=st.text(
        st.one_of(st.characters(), st.sampled_from("我爱北京天安门 aB-_1.\n")), max_size=30
    )
)
def test_no_character_is_lost(name, text):
    pytest.importorskip(name)
    cached = CACHE.setdefault(name, Segmenter(name))
    assert "".join(cached(text)) == text


CACHE: dict[str, Segmenter] = {}


def test_where_the_cuts_of_rjieba_differ():
    """With the hidden Markov model, at hyphens and at characters that no dictionary has."""
    pytest.importorskip("rjieba")
    slow, fast = segmenter("jieba", hmm=True), segmenter("rjieba", hmm=True)
    for text, ours, theirs in [
        ("a-b", ["a", "-", "b"], ["a-b"]),
        ("a_b", ["a", "_", "b"], ["a_b"]),
        ("2016-11-5", ["2016", "-", "11", "-", "5"], ["2016-11-5"]),
        ("\u4a40\u4880", ["\u4a40", "\u4880"], ["\u4a40\u4880"]),
    ]:
        assert (slow(text), fast(text)) == (ours, theirs)
        assert segmenter("jieba")(text) == segmenter("rjieba")(text)


def test_without_the_model_the_cuts_are_the_same(golden):
    pytest.importorskip("rjieba")
    path = golden / "google/tokenization/bert_zh21128_cased.jsonl.gz"
    slow, fast = segmenter("jieba"), segmenter("rjieba")
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        texts = [json.loads(line)["text"] for line in lines]
    for text in texts:
        assert slow(text) == fast(text), text


# WordPiece after it.


def test_words_of_the_vocabulary_are_tokens():
    tokenizer = Tokenizer(make_tokens(), pre_tokenize="jieba", do_lower_case=True)
    found = tokenizer("我爱北京天安门 Hello", return_offsets=True, return_word_ids=True)
    assert tokenizer.ids_to_tokens(found["token_ids"].tolist())[1:-1] == [
        *["我", "爱", "北京", "天", "安", "门", "hello"]
    ]
    assert found["offsets"][3].tolist() == [2, 4]
    assert found["word_ids"].tolist() == [-1, 0, 1, 2, 3, 3, 3, 4, -1]


def test_configurations_hold_names(tmp_path):
    for given_, kept in [
        ("jieba", {"name": "jieba", "user_dict": [], "hmm": False}),
        ({"name": "jieba", "hmm": True}, {"name": "jieba", "user_dict": [], "hmm": True}),
        ({"name": "auto", "user_dict": ["天安 9"]}, None),
    ]:
        tokenizer = Tokenizer(make_tokens(), pre_tokenize=given_)
        config = tokenizer.get_config()
        if kept is not None:
            assert config["pre_tokenize"] == kept
        assert json.loads(json.dumps(config)) == config
        tokenizer.save(tmp_path)
        again = Tokenizer.from_pretrained(tmp_path)
        assert again.get_config() == config
        assert again.encode(TEXT) == tokenizer.encode(TEXT)
    with pytest.raises(ValueError, match="a segmenter is one of"):
        Tokenizer(make_tokens(), pre_tokenize="jeba")
