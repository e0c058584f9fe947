"""Full sequences: every token once, in order, whole sentences, no more than fit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerasbert.tokenizers import Tokenizer
from pretraining.packing import DOCUMENTS, cut, pack_sentences
from pretraining.tokens import Tokens, tokenize
from tests.pretraining.corpus_cases import CHARACTERS, VOCABULARY, cut_pairs, make_documents

TOKENIZER = Tokenizer(VOCABULARY, do_lower_case=True)


def tokens_of(documents):
    return tokenize(documents, TOKENIZER, cut_pairs)


def written(plan, tokens):
    """The sequence as text."""
    parts = ("".join(TOKENIZER.ids_to_tokens(tokens.ids[a:b].tolist())) for a, b in plan.slices)
    return "|".join(parts)


def lengths(plans):
    return [1 + sum(end - begin + 1 for begin, end in plan.slices) for plan in plans]


@given(
    st.integers(0, 12),
    st.integers(0, 1000),
    st.integers(8, 60),
    st.sampled_from(DOCUMENTS),
    st.integers(1, 70),
)
def test_every_token_is_in_one_sequence_in_order(count, seed, max_length, documents, longest):
    tokens = tokens_of(make_documents(count, seed, longest))
    plans = pack_sentences(tokens, max_length, documents)
    places = [at for plan in plans for begin, end in plan.slices for at in range(begin, end)]
    assert places == list(range(len(tokens.ids)))
    assert all(size <= max_length for size in lengths(plans))
    assert all(begin < end for plan in plans for begin, end in plan.slices)
    assert all(plan.label == 0 and plan.first_length is None for plan in plans)


@given(st.integers(1, 12), st.integers(0, 1000), st.sampled_from(DOCUMENTS))
def test_sequences_break_between_sentences_and_are_full(count, seed, documents):
    tokens = tokens_of(make_documents(count, seed, 20))  # no sentence longer than a sequence
    plans = pack_sentences(tokens, 40, documents)
    sentences = [0, *(np.flatnonzero(tokens.sentence_ends) + 1)]
    starts = {tokens.lines[line] for line in tokens.documents}
    for plan, following, size in zip(plans, plans[1:], lengths(plans)):
        end = plan.slices[-1][1]
        assert end in sentences and end == following.slices[0][0]
        next_size = sentences[sentences.index(end) + 1] - end
        separator = documents == "separated" and end in starts
        assert size + next_size + separator > 40 or (documents == "apart" and end in starts)


def test_documents_are_separated_joined_or_apart():
    tokens = tokens_of([["天地。", "玄。"], ["黄宇。"], ["宙。"]])
    assert {
        documents: [written(plan, tokens) for plan in pack_sentences(tokens, 12, documents)]
        for documents in DOCUMENTS
    } == {
        "separated": ["天地。玄。|黄宇。", "宙。"],
        "joined": ["天地。玄。黄宇。宙。"],
        "apart": ["天地。玄。", "黄宇。", "宙。"],
    }


def test_the_separator_counts():
    tokens = tokens_of([["天地。"], ["玄黄。"]])
    assert lengths(pack_sentences(tokens, 9, "separated")) == [9]
    assert lengths(pack_sentences(tokens, 8, "separated")) == [5, 5]
    assert lengths(pack_sentences(tokens, 8, "joined")) == [8]


def test_a_sentence_too_long_is_cut_before_a_word():
    tokens = tokens_of([[CHARACTERS[:20] + "。"]])  # words of two characters
    plans = pack_sentences(tokens, 9, "separated")
    assert lengths(plans) == [8, 8, 8, 5]
    assert all(tokens.word_starts[plan.slices[0][0]] for plan in plans)


def test_a_word_too_long_is_cut_where_the_sequence_is_full():
    starts = np.zeros(10, bool)
    starts[0] = True
    tokens = Tokens(np.arange(10, dtype=np.int32), starts, starts, [0, 10], [0, 1])
    assert cut(tokens, 0, 10, 4) == [4, 8, 10]
    assert cut(tokens, 3, 7, 4) == [7]


@pytest.mark.parametrize("documents", DOCUMENTS)
def test_nothing_makes_no_sequence(documents):
    assert pack_sentences(tokens_of([]), 16, documents) == []
    assert pack_sentences(tokens_of([["\u200b"]]), 16, documents) == []


def test_documents_without_a_token_make_no_empty_segment():
    tokens = tokens_of([["\u200b"], ["天。"], ["\u200b"], ["地。"], ["\u200b"]])
    (plan,) = pack_sentences(tokens, 16, "separated")
    assert written(plan, tokens) == "天。|地。"
