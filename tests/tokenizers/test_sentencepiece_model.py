"""The model file, the text rules and the table of numbers, on their own."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerasbert.tokenizers.sentencepiece_model import (
    CONTROL,
    NORMAL,
    UNKNOWN,
    UNUSED,
    in_order_of_fairseq,
    read_model,
    read_pieces,
    without_pieces,
)
from kerasbert.tokenizers.sentencepiece_text import TextRules, join_words
from tests.tokenizers.sentencepiece_models import MODELS, SPECIAL, TEXT

ALL_RULES = [
    TextRules(squeeze, quotes, accents, lower)
    for squeeze in (True, False)
    for quotes in (True, False)
    for accents in (True, False)
    for lower in (True, False)
]
NASTY = st.text(
    st.one_of(st.characters(), st.sampled_from("aA 'é`\u0301\u3000\n㎞ﬁΣσİ한…\x1c")), max_size=12
)


def test_pieces_of_a_model():
    names, types = read_pieces(MODELS["albert"])
    assert names == [*SPECIAL["albert"], *TEXT]
    assert types[:6] == [3, 2, 3, 3, 3, NORMAL]


@given(st.binary(max_size=200))
def test_bytes_that_are_no_model(content):
    with pytest.raises(ValueError, match="no SentencePiece model"):
        read_pieces(content)


@given(st.integers(0, len(MODELS["t5"]) - 1), st.integers(0, 255))
def test_models_with_a_wrong_byte(at, byte):
    model = bytearray(MODELS["t5"])
    model[at] = byte
    try:
        names, types = read_pieces(bytes(model))
    except ValueError as error:
        assert "no SentencePiece model" in str(error)
    else:
        assert len(names) == len(types)


@given(st.integers(0, len(MODELS["t5"]) - 1))
def test_models_cut_short(length):
    try:
        names, _ = read_pieces(MODELS["t5"][:length])
    except ValueError as error:
        assert "no SentencePiece model" in str(error)
    else:
        assert names == read_pieces(MODELS["t5"]).names[: len(names)]


def test_the_order_of_fairseq():
    names, types = read_pieces(MODELS["xlm_roberta"])
    model = in_order_of_fairseq(MODELS["xlm_roberta"])
    assert read_pieces(model) == (
        ["<s>", " <pad>", "</s>", "<unk>", *names[3:]],
        [CONTROL, CONTROL, CONTROL, UNKNOWN, *types[3:]],
    )
    library = pytest.importorskip("sentencepiece")
    before, after = (
        library.SentencePieceProcessor(model_proto=one) for one in (MODELS["xlm_roberta"], model)
    )
    for text in ("the world \u9f98 <pad> <s>", " <pad>", ""):
        expected = [at + 1 if at else 3 for at in before.encode(text)]
        assert after.encode(text) == expected


def test_without_pieces():
    unused = {7, 9, 100}
    names, types = read_pieces(without_pieces(MODELS["t5"], unused))
    before = read_pieces(MODELS["t5"])
    assert names == before.names
    assert [UNUSED if at in unused else kind for at, kind in enumerate(before.types)] == types
    assert without_pieces(MODELS["t5"], set()) == MODELS["t5"]


def test_without_pieces_the_others_are_used():
    library = pytest.importorskip("sentencepiece")
    at = read_pieces(MODELS["t5"]).names.index("llo")
    processor = library.SentencePieceProcessor(model_proto=without_pieces(MODELS["t5"], {at}))
    assert processor.encode("hello", out_type=str) == ["▁he", "l", "l", "o"]


def test_read_model(tmp_path):
    path = tmp_path / "a.model"
    path.write_bytes(b"abc")
    assert read_model(path) == read_model(str(path)) == read_model(b"abc") == b"abc"
    with pytest.raises(FileNotFoundError):
        read_model(tmp_path / "b.model")


# Text rules: against the original code's description, whole text by whole text.


def original(text: str, rules: TextRules) -> str:
    if rules.squeeze_spaces:
        text = " ".join(text.strip().split())
    if rules.replace_quotes:
        text = text.replace("``", '"').replace("''", '"')
    if rules.strip_accents:
        text = unicodedata.normalize("NFKD", text)
        text = "".join(char for char in text if not unicodedata.combining(char))
    return text.lower() if rules.lower else text


@given(NASTY, st.sampled_from(ALL_RULES))
def test_rules_are_the_originals(text, rules):
    assert rules.apply(text) == original(text, rules)
    assert bool(rules) == (rules != TextRules())


@given(st.lists(NASTY, max_size=5), st.sampled_from(ALL_RULES))
def test_rules_for_many_texts(texts, rules):
    assert rules.apply_all(texts) == [original(text, rules) for text in texts]


@given(NASTY, st.sampled_from(ALL_RULES))
def test_origins(text, rules):
    result, origins = rules.apply_with_origins(text)
    assert result == rules.apply(text)
    assert len(origins.starts) == len(origins.ends) == len(result)
    starts, ends = list(origins.starts), list(origins.ends)
    assert starts == sorted(starts) and ends == sorted(ends)
    assert all(0 <= start < end <= len(text) for start, end in zip(starts, ends))
    for char, start, end in zip(result, starts, ends):
        if char not in "σς" and not char.isspace():
            assert char in original(text[start:end], rules)


def test_origins_by_hand():
    text = " A\u0301b  ``x'' ㎞"
    result, origins = TextRules(True, True, True, True).apply_with_origins(text)
    assert result == 'ab "x" km'
    spans = [text[a:b] for a, b in zip(*origins)]
    assert spans == ["A", "b", "  ", "``", "x", "''", " ", "㎞", "㎞"]


@given(st.lists(st.text("ab天 ", min_size=1, max_size=3), max_size=5))
def test_words_joined(words):
    text = "".join(words)
    joined, origins = join_words(text, words)
    assert joined == " ".join(words)
    at = 0
    for word in words:
        for offset, char in enumerate(word):
            start, end = origins.starts[at + offset], origins.ends[at + offset]
            assert text[start:end] == char
        at += len(word) + 1


def test_words_of_a_segmenter_that_changes_the_text():
    joined, origins = join_words("ab cd", ["ab", "CD", "xyz"])
    assert joined == "ab CD xyz"
    assert len(origins.starts) == len(origins.ends) == len(joined)
    assert max(origins.ends) <= 5
