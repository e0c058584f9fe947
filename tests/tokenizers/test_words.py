"""Which word each token belongs to."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerasbert.tokenizers import Tokenizer
from kerasbert.tokenizers.ragged import Ragged
from kerasbert.tokenizers.words import number_words, words_by_offsets
from tests.tokenizers.conftest import make_tokens

WORDPIECE = Tokenizer(make_tokens(), do_lower_case=True)


def words_of(text: str, spans: list[tuple[int, int]]) -> list[int]:
    starts, ends = zip(*spans)
    rows = Ragged.from_rows([[0] * len(spans)], [starts], [ends])
    return number_words(words_by_offsets(rows, [text]), rows.splits).tolist()


@pytest.mark.parametrize(
    ("text", "spans", "words"),
    [
        ("hello world", [(0, 2), (2, 5), (5, 8), (8, 11)], [0, 0, 1, 1]),  # the space in the token
        ("hello world", [(0, 2), (2, 5), (6, 8), (8, 11)], [0, 0, 1, 1]),  # and outside
        ("a ▁b", [(0, 1), (1, 2), (2, 4)], [0, 1, 1]),
        (" a", [(0, 1), (1, 2)], [0, 0]),  # a space alone begins the next word
        ("a  b", [(0, 1), (1, 2), (2, 3), (3, 4)], [0, 1, 1, 1]),
        ("a ", [(0, 1), (1, 2)], [0, 1]),
        ("我爱你", [(0, 1), (1, 3)], [0, 1]),  # two characters in one token
        ("我", [(0, 1), (0, 1), (0, 1)], [0, 0, 0]),  # bytes of one character
        ("it's, ok", [(0, 2), (2, 3), (3, 4), (4, 5), (5, 8)], [0, 1, 2, 3, 4]),
        ("a\u200bb", [(0, 1), (2, 3)], [0, 0]),  # nothing to see between them
        ("我a", [(0, 1), (1, 2)], [0, 1]),
    ],
)
def test_by_offsets(text, spans, words):
    assert words_of(text, spans) == words


def test_several_rows():
    rows = Ragged.from_rows([[1, 2], [], [3]], [[0, 1], [], [0]], [[1, 2], [], [1]])
    begins = words_by_offsets(rows, ["ab", "", "c"])
    assert number_words(begins, rows.splits).tolist() == [0, 0, 0]
    assert number_words(np.zeros(0, np.bool_), np.zeros(3, np.int64)).tolist() == []


@given(st.text("hello un 我爱北京!,.\n", max_size=30))
def test_both_rules_say_the_same_of_wordpiece(text):
    """Where no character is changed, the marks ## and the offsets tell the same words."""
    rows = WORDPIECE._rows([text], with_offsets=True, with_words=True)
    by_offsets = number_words(words_by_offsets(rows, [text]), rows.splits)
    assert rows.words.tolist() == by_offsets.tolist()


@given(st.lists(st.text(max_size=20), max_size=4))
def test_any_text_of_wordpiece(texts):
    found = WORDPIECE(texts, return_word_ids=True, padding=False)
    for ids, words in zip(found["token_ids"], found["word_ids"]):
        tokens = WORDPIECE.ids_to_tokens(ids.tolist())[1:-1]
        expected = np.cumsum([not token.startswith("##") for token in tokens]) - 1
        assert words.tolist() == [-1, *expected.astype(int).tolist(), -1]


def test_unknown_words_and_accents():
    found = WORDPIECE("Hëllo ≠ ¤¤ unaffable", return_word_ids=True)
    tokens = WORDPIECE.ids_to_tokens(found["token_ids"].tolist())
    assert tokens[1:-1] == ["hello", "=", "[UNK]", "un", "##aff", "##able"]
    assert found["word_ids"].tolist() == [-1, 0, 1, 2, 3, 3, 3, -1]
