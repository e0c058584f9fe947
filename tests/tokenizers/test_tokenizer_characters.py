"""Character classes and normalisation, with the origin of every character."""

from __future__ import annotations

import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerasbert.tokenizers import characters as c


@pytest.mark.parametrize(
    ("char", "expected"),
    [
        ("a", ""),
        ("é", ""),
        ("あ", ""),
        ("한", ""),
        ("😀", ""),
        ("　", "space"),
        ("\xa0", "space"),
        ("\t", "space"),
        ("\n", "space"),
        ("\u2028", "space"),
        ("\0", "dropped"),
        ("\ufffd", "dropped"),
        ("\u200b", "dropped"),
        ("\x1c", "dropped"),  # str.isspace calls it white space, the original code removes it
        ("\x85", "dropped"),
        ("\ufeff", "dropped"),
        ("中", "cjk"),
        ("\U00020000", "cjk"),
        ("\U0002f800", "cjk"),
        ("豈", "cjk"),
        ("$", "punctuation"),
        ("^", "punctuation"),
        ("`", "punctuation"),
        ("，", "punctuation"),
        ("“", "punctuation"),
        ("￥", ""),  # a currency symbol outside ASCII is no punctuation
        ("\ud800", ""),
    ],
)
def test_classes(char, expected):
    found = {
        "space": c.is_whitespace(char),
        "dropped": c.is_dropped(char),
        "cjk": c.is_cjk(char),
        "punctuation": c.is_punctuation(char),
    }
    assert [name for name, holds in found.items() if holds] == ([expected] if expected else [])


def test_no_character_is_in_two_classes():
    for code in [*range(0x30000), *range(0xE0000, 0xE0200), sys.maxunicode]:
        char = chr(code)
        tests = (c.is_whitespace, c.is_dropped, c.is_cjk, c.is_punctuation)
        assert sum(test(char) for test in tests) <= 1, hex(code)


@pytest.mark.parametrize(
    ("word", "normal", "origins"),
    [
        ("Hello", "hello", [0, 1, 2, 3, 4]),
        ("café", "cafe", [0, 1, 2, 3]),
        ("cafe\u0301s", "cafes", [0, 1, 2, 3, 5]),
        ("İx", "ix", [0, 1]),  # "İ".lower() has two characters
        ("한a", "ᄒ" + "ᅡ" + "ᆫ" + "a", [0, 0, 0, 1]),
        ("ΑΣ", "ας", [0, 1]),
        ("ΑΣΑ", "ασα", [0, 1, 2]),
        ("\u0301", "", []),
        ("≠", "=", [0]),
        # two marks that are not Mn: canonical order puts the class 9 mark before the class 216 one
        ("a\U0001d165\u1b44", "a\u1b44\U0001d165", [0, 2, 1]),
    ],
)
def test_normalize_word(word, normal, origins):
    assert c.normalize_word(word, list(range(len(word))), c.UNCASED_RULES) == (normal, origins)


@given(st.text())
def test_normalize_word_equals_the_definition(word):
    normal, origins = c.normalize_word(word, list(range(len(word))), c.UNCASED_RULES)
    assert normal == c.strip_accents(word.lower())
    assert len(origins) == len(normal)


@pytest.mark.parametrize(
    ("text", "lower", "words"),
    [
        ("Hello, wörld!", True, [("hello", 0), (",", 5), ("world", 7), ("!", 12)]),
        ("Hello, wörld!", False, [("Hello", 0), (",", 5), ("wörld", 7), ("!", 12)]),
        ("我爱BERT。", True, [("我", 0), ("爱", 1), ("bert", 2), ("。", 6)]),
        ("a\u200bb\0c\u2028d", True, [("abc", 0), ("d", 6)]),
        ("", True, []),
        (" \t\n\u3000", True, []),
        ("\u0301 \u200b", True, []),
        ("x≠y", True, [("x", 0), ("=", 1), ("y", 2)]),
        ("x≠y", False, [("x≠y", 0)]),
    ],
)
def test_split_words(text, lower, words):
    rules = c.UNCASED_RULES if lower else c.CASED_RULES
    assert [(word, origins[0]) for word, origins in c.split_words(text, rules)] == words


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        (c.Rules(lower=True), ["é你x", "éi\u0307"]),
        (c.Rules(strip_accents=True), ["E你X", "eI"]),
        (c.Rules(True, True), ["e你x", "ei"]),
    ],
)
def test_single_rules(rules, words):
    text = "É你X éİ"
    assert [word for word, _ in c.split_words(text, rules._replace(split_cjk=False))] == words
    for split_cjk in (True, False):
        for word, origins in c.split_words(text, rules._replace(split_cjk=split_cjk)):
            assert len(word) == len(origins)
    apart = [word for word, _ in c.split_words(text, rules)]
    assert apart == [*words[0].partition("你"), words[1]]


SIGMA_TEXT = st.text(st.sampled_from("ΣΣΣΑα a'·.\u0345\u00ad\u0301中。\0\n1ʰ"))


@given(SIGMA_TEXT)
def test_settled_sigmas_change_no_word(text):
    settled = c.settle_sigmas(text)
    assert "Σ" not in settled
    assert len(settled) == len(text)
    assert c.split_words(settled, c.UNCASED_RULES) == c.split_words(text, c.UNCASED_RULES)


def test_no_white_space_is_ignorable():
    """Or a sigma could see the letters of another word."""
    spaces = [chr(code) for code in range(0x30000) if c.is_whitespace(chr(code))]
    assert len(spaces) > 20
    assert {c.case_role(char) for char in [*spaces, "中", "\U00020000", "豈"]} == {c.OTHER}


def test_case_roles_follow_the_standard():
    assert [c.case_role(char) for char in "aA1'. \u0301ʰ"] == [
        *[c.CASED, c.CASED, c.OTHER, c.IGNORABLE, c.IGNORABLE, c.OTHER, c.IGNORABLE, c.IGNORABLE]
    ]
    assert unicodedata.category("ʰ") == "Lm"
