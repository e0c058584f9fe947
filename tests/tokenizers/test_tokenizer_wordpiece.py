"""WordPiece: the reference, and the two fast ways that must give the same."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerasbert.tokenizers import wordpiece as module
from kerasbert.tokenizers.characters import CASED_RULES, UNCASED_RULES, split_words
from kerasbert.tokenizers.wordpiece import WordPiece

# Every plane of Unicode, and a denser share of what matters.
ANY_TEXT = st.text(
    st.one_of(
        st.characters(),
        st.characters(exclude_categories=[], max_codepoint=0x2FF),
        st.sampled_from("我爱北京，。 \n\tabAB'ΣΑς·\u0301\u0345\u200b\0İ한≠ﬁ豈\ud800\U0001f600"),
    ),
    max_size=40,
)


@pytest.fixture(params=[True, False], ids=["lower", "cased"], scope="module")
def wordpiece(request, tokens) -> WordPiece:
    return WordPiece(
        {token: at for at, token in enumerate(tokens)},
        1,
        UNCASED_RULES if request.param else CASED_RULES,
    )


def rows(ragged, column="ids") -> list[list[int]]:
    flat = getattr(ragged, column)
    pairs = zip(ragged.splits[:-1], ragged.splits[1:])
    return [flat[start:end].tolist() for start, end in pairs]


def named(tokens, wordpiece, text) -> list[str]:
    return [tokens[i] for i in wordpiece.reference(text).ids]


def test_longest_match_first(tokens, wordpiece):
    assert named(tokens, wordpiece, "unaffable hello2020") == [
        *["un", "##aff", "##able", "hello", "##2020"]
    ]
    assert named(tokens, wordpiece, "我爱北京！") == ["我", "爱", "北", "京", "！"]


def test_a_word_with_one_unknown_letter_is_unknown_as_a_whole(tokens, wordpiece):
    assert named(tokens, wordpiece, "helloжworld be") == ["[UNK]", "be"]


def test_long_words_are_unknown(tokens, wordpiece):
    assert named(tokens, wordpiece, "a" * 200) == ["a"] + ["##a"] * 199
    assert named(tokens, wordpiece, "a" * 201) == ["[UNK]"]
    assert named(tokens, wordpiece, "a" * 201 + "。" + "b") == ["[UNK]", "。", "b"]


def test_special_tokens_in_text_are_split(tokens, wordpiece):
    found = named(tokens, wordpiece, "[MASK][unused1]")
    assert found[0] == "["
    assert not {"[MASK]", "[unused1]"} & set(found)


def test_offsets(wordpiece):
    pieces = wordpiece.reference("  un\u200baffable，我 \0a")
    spans = list(zip(pieces.starts, pieces.ends))
    assert spans == [(2, 4), (5, 8), (8, 12), (12, 13), (13, 14), (16, 17)]


def test_offsets_of_normalised_letters(tokens):
    lower = WordPiece({token: at for at, token in enumerate(tokens)}, 1, UNCASED_RULES)
    pieces = lower.reference("İa 한 e\u0301x")
    assert [tokens[i] for i in pieces.ids] == ["i", "##a", "ᄒ", "##ᅡ", "##ᆫ", "e", "##x"]
    assert pieces.starts == [0, 1, 3, 3, 3, 5, 7]
    assert pieces.ends == [1, 2, 4, 4, 4, 6, 8]


@given(texts=st.lists(ANY_TEXT, max_size=6))
def test_fast_ways_equal_the_reference(wordpiece, texts):
    expected = [wordpiece.reference(text) for text in texts]
    assert [wordpiece.encode(text) for text in texts] == [pieces.ids for pieces in expected]
    batch = wordpiece.encode_batch(texts, with_offsets=True)
    assert rows(batch) == [pieces.ids for pieces in expected]
    assert rows(batch, "starts") == [pieces.starts for pieces in expected]
    assert rows(batch, "ends") == [pieces.ends for pieces in expected]


@given(texts=st.lists(ANY_TEXT, min_size=1, max_size=6), chunk=st.integers(1, 60))
def test_chunks_do_not_show(wordpiece, texts, chunk):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_CHUNK", chunk)
        patch.setattr(module, "_SHORT", 0)
        assert rows(wordpiece.encode_batch(texts)) == [wordpiece.encode(text) for text in texts]


@pytest.mark.either
@pytest.mark.slow
def test_every_code_point(wordpiece):
    alone = [chr(code) for code in range(0x30000)] + [chr(code) for code in range(0xE0000, 0xE0200)]
    texts = [*alone, *(f"a{char}b" for char in alone[::3]), *(f"ΑΣ{char}Σ" for char in alone[::3])]
    expected = [wordpiece.reference(text).ids for text in texts]
    assert rows(wordpiece.encode_batch(texts)) == expected


@given(text=ANY_TEXT)
def test_each_token_lies_where_its_offsets_say(tokens, wordpiece, text):
    pieces = wordpiece.reference(text)
    for token_id, start, end in zip(*pieces):
        assert 0 <= start < end <= len(text)
        stem = tokens[token_id][2:] if len(tokens[token_id]) > 2 else tokens[token_id]
        normal = "".join(word for word, _ in split_words(text[start:end], wordpiece.rules))
        if token_id != 1 and tokens[token_id].startswith("##"):
            assert stem.replace("ς", "σ") in normal.replace("ς", "σ")
        elif token_id != 1:
            assert tokens[token_id].replace("ς", "σ") in normal.replace("ς", "σ")


def test_empty_batches(wordpiece):
    assert rows(wordpiece.encode_batch([])) == []
    assert rows(wordpiece.encode_batch([], with_offsets=True)) == []
    assert rows(wordpiece.encode_batch(["", " ", ""], with_offsets=True)) == [[], [], []]


def test_a_very_long_line(wordpiece):
    text = "我爱hello，" * 300_000
    batch = wordpiece.encode_batch([text, "我"])
    assert rows(batch)[0][:4] == wordpiece.encode("我爱hello，")
    assert batch.lengths.tolist() == [1_200_000, 1]


def test_the_cache_of_runs_stays_small(wordpiece, monkeypatch):
    monkeypatch.setattr(module, "_CACHED_RUNS", 10)
    words = [f"x{number}" for number in range(100)]
    expected = [wordpiece.reference(word).ids for word in words]
    assert [wordpiece.encode(word) for word in words] == expected
    assert [rows(wordpiece.encode_batch([word] * 300))[0] for word in words] == expected
    assert len(wordpiece._runs) <= 11


def test_long_runs_do_not_fill_the_cache(wordpiece, monkeypatch):
    monkeypatch.setattr(module, "_CACHED_CHARACTERS", 500)
    texts = [chr(97 + number) * 200 for number in range(20)]
    for text in texts:
        assert wordpiece.encode(text) == wordpiece.encode_batch([text] * 3).to_lists()[0]
        assert wordpiece._runs.characters == sum(map(len, wordpiece._runs)) <= 700


def test_threads_may_share_it(tokens):
    wordpiece = WordPiece({token: at for at, token in enumerate(tokens)}, 1, UNCASED_RULES)
    texts = [" ".join(f"w{a * b}x{a}" for b in range(200)) for a in range(40)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda text: rows(wordpiece.encode_batch([text]))[0], texts * 2))
    assert found == [wordpiece.reference(text).ids for text in texts] * 2


def test_translation_of_ids(tokens):
    ids = {token: at for at, token in enumerate(tokens)}
    wordpiece = WordPiece(ids, 1, translate={1: 4, ids["我"]: ids["爱"], ids["##b"]: ids["a"]})
    expected = [ids["爱"], 4, ids["a"], ids["a"]]
    assert wordpiece.encode("我饕ab") == expected
    assert wordpiece.encode_batch(["我饕ab"], with_offsets=True).ids.tolist() == expected


def test_dtypes(wordpiece):
    batch = wordpiece.encode_batch(["我爱 hello"], with_offsets=True)
    assert [batch.ids.dtype, batch.starts.dtype, batch.ends.dtype] == [np.int32] * 3
    assert batch.splits.dtype == np.int64
