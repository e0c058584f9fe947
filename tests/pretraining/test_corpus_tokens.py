"""Where words and sentences begin among the tokens."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerasbert.tokenizers import Tokenizer
from pretraining import tokens
from pretraining.segmentation import NamedSegmenter, make_segmenter, number_words
from pretraining.tokens import tokenize
from tests.pretraining.corpus_cases import CHARACTERS, VOCABULARY, cut_pairs, make_documents
from tests.tokenizers.sentencepiece_models import SPECIAL, TEXT, make_model

TOKENIZER = Tokenizer(VOCABULARY, do_lower_case=True)


def marked(documents, segment, marks="word_starts"):
    """Tokens with | before each that begins a word, or after each that ends a sentence."""
    found = tokenize(documents, TOKENIZER, segment)
    names = TOKENIZER.ids_to_tokens(found.ids.tolist())
    flags = getattr(found, marks).tolist()
    if marks == "word_starts":
        return "".join("|" * flag + name for name, flag in zip(names, flags))
    return "".join(name + "|" * flag for name, flag in zip(names, flags))


def test_a_word_begins_where_the_segmenter_has_one():
    assert marked([["天地玄黄宇。"]], cut_pairs) == "|天地|玄黄|宇|。"


def test_pieces_go_on_with_the_word():
    assert marked([["天playing地"]], cut_pairs) == "|天|play##ing|地"
    assert marked([["playing, the"]], None) == "|play##ing|,|the"


def test_words_of_a_segmenter_may_hold_what_the_tokenizer_divides():
    assert marked([["a.b天"]], cut_pairs) == "|a.b|天"


def test_without_a_segmenter_chinese_characters_are_words():
    assert marked([["天地a b"]], None) == "|天|地|a|b"


def test_every_line_begins_a_word():
    assert marked([["天", "地玄"], ["黄"]], cut_pairs) == "|天|地玄|黄"


def test_unknown_and_dropped_characters_keep_words_in_place():
    text = "天地\u200b玄黄"  # the zero width space is dropped, and a word of its own
    assert marked([[text]], lambda text: ["天地", "\u200b", "玄黄"]) == "|天地|玄黄"
    assert marked([["天鱻地玄"]], cut_pairs) == "|天[UNK]|地玄"


@given(st.lists(st.text(CHARACTERS + "ab1。 .\u200bÀ", max_size=20), min_size=1, max_size=5))
def test_a_token_begins_a_word_by_the_word_of_its_first_character(lines):
    lines = [line.strip() or "天" for line in lines]
    found = tokenize([lines], TOKENIZER, cut_pairs)
    encoded = TOKENIZER(lines, return_offsets=True, padding=False)
    expected = []
    for line, offsets, ids in zip(lines, encoded["offsets"], encoded["token_ids"]):
        words = [at for at, word in enumerate(cut_pairs(line)) for _ in word]
        before = None
        for (start, _), token in zip(offsets[1:-1], TOKENIZER.ids_to_tokens(ids.tolist())[1:-1]):
            expected.append(words[start] != before and not token.startswith("##"))
            before = words[start]
    assert found.word_starts.tolist() == expected
    assert found.ids.tolist() == [at for ids in encoded["token_ids"] for at in ids[1:-1].tolist()]


def test_lines_and_documents_are_kept_apart():
    found = tokenize([["天地", "玄"], ["黄宇宙"], ["a"]], TOKENIZER, None)
    assert found.lines == [0, 2, 3, 6, 7]
    assert found.documents == [0, 2, 3, 4]


@pytest.mark.parametrize("size", [0, 1, 5, 1000])
def test_batches_of_lines_change_nothing(monkeypatch, size):
    given = make_documents(20, 3) + [["\u200b"]]
    expected = tokenize(given, TOKENIZER, cut_pairs)
    monkeypatch.setattr(tokens, "_BATCH", size)
    found = tokenize(given, TOKENIZER, cut_pairs)
    for one, other in zip(found, expected):
        np.testing.assert_array_equal(one, other)


def test_nothing_is_no_tokens():
    found = tokenize([], TOKENIZER, cut_pairs)
    assert found.lines == [0] and found.documents == [0] and not len(found.ids)
    found = tokenize([["\u200b"], ["天"]], TOKENIZER, cut_pairs)
    assert found.lines == [0, 0, 1] and found.word_starts.tolist() == [True]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("天地。玄黄！宇", "天地。|玄黄！|宇|"),
        ("“天地。”玄？！）宇", "“天地。”|玄？！）|宇|"),
        ("the 3.5 a. b.", "the3.5a.|b.|"),
        ('the a." b', 'thea."|b|'),
        ("天.地", "天.地|"),
        ("天", "天|"),
    ],
)
def test_sentences_end_at_their_marks(line, expected):
    assert marked([[line]], None, "sentence_ends") == expected


def test_a_line_ends_a_sentence():
    assert marked([["天", "地。玄"], ["黄"]], None, "sentence_ends") == "天|地。|玄|黄|"


def test_a_tokenizer_may_have_words_of_its_own():
    tokenizer = Tokenizer(VOCABULARY, pre_tokenize=cut_pairs)
    assert tokenize([["天地玄"]], tokenizer, None).word_starts.tolist() == [True, False, True]


def test_sentence_pieces_follow_the_segmenter_too(tmp_path):
    from kerasbert.tokenizers import SentencePieceTokenizer

    path = tmp_path / "spiece.model"
    path.write_bytes(make_model(SPECIAL["albert"], TEXT))
    tokenizer = SentencePieceTokenizer(path, flavour="albert")
    found = tokenize([["ab 今天气很好, 今天"]], tokenizer, cut_pairs)
    names = tokenizer.ids_to_tokens(found.ids.tolist())
    assert "".join("|" * flag + name for name, flag in zip(names, found.word_starts.tolist())) == (
        "|▁ab|▁今天|气很|好|,|▁今天"
    )


def test_byte_level_tokens_follow_the_segmenter_too(tmp_path):
    from kerasbert.tokenizers import ByteLevelBPETokenizer

    letters = [chr(at) for at in (*range(33, 127), *range(161, 173), *range(174, 256))]
    letters += [chr(256 + at) for at in range(256 - len(letters))]  # a byte each
    names = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", *letters]
    tokenizer = ByteLevelBPETokenizer({name: at for at, name in enumerate(names)}, [])
    found = tokenize([["天地玄ab"]], tokenizer, cut_pairs)
    assert np.flatnonzero(found.word_starts).tolist() == [0, 6, 9]  # three bytes a character


@given(st.lists(st.text("天地ab ", max_size=12), max_size=4), st.integers(0, 3))
def test_words_that_do_not_cover_the_text_begin_where_they_are_found(texts, seed):
    def without_spaces(text):
        return text.split()

    found = number_words(texts, without_spaces)
    assert len(found) == sum(map(len, texts))
    at = 0
    for text in texts:
        cursor = 0
        for word in text.split():
            cursor = text.index(word, cursor)
            numbers = found[at + cursor : at + cursor + len(word)]
            assert len(set(numbers.tolist())) == 1
            cursor += len(word)
        at += len(text)
    assert np.all(np.diff(found) >= 0)


def test_segmenters_by_name():
    assert make_segmenter("none") == (None, "none")
    segment, name = make_segmenter("jieba")
    assert name == "jieba" and list(segment("北京大学")) == ["北京大学"]
    _, name = make_segmenter("auto")
    assert name in ("jieba", "rjieba")
    segment, name = make_segmenter("tests.pretraining.corpus_cases:cut_pairs")
    assert list(segment("天地玄")) == ["天地", "玄"]
    assert list(pickle.loads(pickle.dumps(segment))("天地玄")) == ["天地", "玄"]


def test_hmm_is_passed_on():
    guessed, _ = make_segmenter("jieba", hmm=True)
    plain, _ = make_segmenter("jieba", hmm=False)
    assert list(guessed("杭研大厦")) == ["杭研", "大厦"]
    assert list(plain("杭研大厦")) == ["杭", "研", "大厦"]
    assert pickle.loads(pickle.dumps(plain)).hmm is False


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("hanlp", "one of"),
        ("no.such:thing", "No module named 'no'"),
        ("json:nothing", "no attribute 'nothing'"),
        ("tests.pretraining.corpus_cases:NO_FUNCTION", "no function but int"),
    ],
)
def test_segmenters_that_are_none(name, message):
    with pytest.raises(ValueError, match=message):
        make_segmenter(name)


def test_a_missing_segmenter_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "rjieba", None)
    with pytest.raises(ImportError, match="pip install rjieba"):
        make_segmenter("rjieba")
    assert isinstance(make_segmenter("none")[0], (NamedSegmenter, type(None)))
