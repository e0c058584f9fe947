"""Greedy and beam search against searching through everything."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from kerasbert.backend import tf
from kerasbert.generation import TextGenerator
from tests.generation.models import END, Ids, prompts, tiny

V, ROOM, KINDS = 6, 3, (4, 5, 6)
SOURCE = [2, 4, 5, 3]


@pytest.fixture(scope="module")
def small():
    return tiny(vocab_size=V)


def tokenizer():
    ids = Ids()
    ids.vocab_size = V
    return ids


def log_probability(model, source, tokens) -> float:
    """The log-probability of an answer, read in one pass as training does."""
    ids = np.array([[*source, *tokens]])
    segments = np.array([[0] * len(source) + [1] * len(tokens)])
    logits = np.asarray(model([ids, segments]), np.float64)[0]
    logits -= np.log(np.exp(logits).sum(-1, keepdims=True))
    start = len(source) - 1
    return sum(logits[start + place, token] for place, token in enumerate(tokens))


def every_answer() -> list[tuple[int, ...]]:
    """All answers of up to ROOM tokens of three kinds, and the end."""
    found = []
    for length in range(1, ROOM + 1):
        for tokens in itertools.product(KINDS, repeat=length - 1):
            last = (*KINDS, END) if length == ROOM else (END,)
            found += [(*tokens, end) for end in last]
    return found


def of_three_kinds(scores, tokens, count):
    """Allows KINDS and the end alone."""
    allowed = tf.reduce_any(tf.range(scores.shape[-1])[:, None] == [*KINDS, END], axis=1)
    return tf.where(allowed, scores, -np.inf)


@pytest.mark.slow
@pytest.mark.parametrize("length_penalty", [0.0, 1.0])
def test_a_wide_beam_finds_the_best_answers(length_penalty):
    """There are at most nine beginnings, of which twenty beams lose none."""
    model = tiny()
    found = TextGenerator(model, Ids(), constraints=of_three_kinds).generate(
        SOURCE,
        max_new_tokens=ROOM,
        num_beams=20,
        num_return_sequences=5,
        early_stopping="never",
        length_penalty=length_penalty,
        return_details=True,
    )
    scores = {
        answer: log_probability(model, SOURCE, answer) / len(answer) ** length_penalty
        for answer in every_answer()
    }
    best = sorted(scores.values(), reverse=True)[:5]
    np.testing.assert_allclose([text.score for text in found], best, atol=1e-4)
    for text in found:
        answer = tuple(text.token_ids + [END] * text.finished)
        assert text.score == pytest.approx(scores[answer], abs=1e-4)


def test_greedy_takes_the_likeliest_token(small):
    found = TextGenerator(small, tokenizer()).generate(
        SOURCE, max_new_tokens=4, return_details=True
    )
    written = []
    for token in found.token_ids:
        scores = [log_probability(small, SOURCE, [*written, other]) for other in range(V)]
        assert scores[token] == max(scores)
        written.append(token)


@pytest.mark.slow
def test_more_beams_never_score_less():
    model, texts = tiny(), prompts(6)
    scores = []
    for beams in (1, 2, 4):
        found = TextGenerator(model, Ids()).generate(
            texts, num_beams=beams, max_new_tokens=5, return_details=True
        )
        scores.append(np.mean([text.score for text in found]))
    assert scores[0] < scores[1] <= scores[2] + 1e-6


@pytest.mark.parametrize("options", [{}, {"num_beams": 3}])
@pytest.mark.slow
def test_texts_do_not_depend_on_their_batch(options):
    """Nor on rows that end early and are taken out of it."""
    model, texts = tiny(), prompts(9)
    generator = TextGenerator(model, Ids(), max_new_tokens=20, **options)
    alone = [generator.generate(text, return_details=True) for text in texts]
    for size in (2, 16):
        together = generator.generate(texts, batch_size=size, return_details=True)
        assert [text.token_ids for text in together] == [text.token_ids for text in alone]
        np.testing.assert_allclose(
            [text.score for text in together], [text.score for text in alone], atol=1e-4
        )


def test_min_new_tokens():
    generator = TextGenerator(tiny(), Ids(), max_new_tokens=6)
    for options in ({}, {"num_beams": 2}):
        for text in generator.generate(
            prompts(5), min_new_tokens=4, return_details=True, **options
        ):
            assert len(text.token_ids) >= 4


@pytest.mark.slow
def test_no_repeated_ngrams_and_constraints():
    generator = TextGenerator(tiny(), Ids(end_id=None), max_new_tokens=12)
    for text in generator.generate(prompts(4), no_repeat_ngram=2, return_details=True):
        pairs = list(zip(text.token_ids, text.token_ids[1:]))
        assert len(set(pairs)) == len(pairs)

    def even(scores, tokens, count):
        return tf.where(tf.range(scores.shape[-1]) % 2 == 0, scores, -np.inf)

    for options in ({}, {"num_beams": 2}, {"do_sample": True}):
        for text in generator.generate(
            prompts(4), constraints=even, return_details=True, **options
        ):
            assert all(token % 2 == 0 for token in text.token_ids)


@pytest.mark.slow
def test_stop():
    generator = TextGenerator(tiny(), Ids(end_id=None), max_new_tokens=10)
    source = prompts(1)[0]
    whole = generator.generate(source, return_details=True).token_ids
    place = next(i for i in range(3, 10) if whole[i] not in whole[:i])
    for stop in ([whole[place]], str(whole[place]), [whole[place - 1 : place + 1]]):
        found = generator.generate(source, stop=stop, return_details=True)
        kept = place if len(stop) == 1 and not isinstance(stop[0], list) else place - 1
        kept = place if isinstance(stop, str) else kept
        assert found.finished
        assert found.token_ids == whole[:kept]
