"""Tokens are drawn with exactly the probabilities that the options amount to."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerasbert.backend import tf
from kerasbert.generation import TextGenerator
from kerasbert.generation.sampling import draw, likeliest
from tests.generation.models import Ids, prompts, tiny


def exact(logits, temperature=1.0, top_k=0, top_p=1.0) -> np.ndarray:
    """The distribution, in float64 and by the definitions."""
    x = np.asarray(logits, np.float64) / temperature
    p = np.exp(x - x.max())
    p /= p.sum()
    order = np.argsort(-p, kind="stable")
    keep = np.zeros(len(p), bool)
    keep[order[: top_k or len(p)]] = True
    p = np.where(keep, p, 0)
    p /= p.sum()
    before = np.cumsum(p[order]) - p[order]
    keep = np.zeros(len(p), bool)
    keep[order[(before < top_p - 1e-9) & (p[order] > 0)]] = True
    p = np.where(keep, p, 0)
    return p / p.sum()


@given(
    st.lists(st.floats(-6, 6), min_size=2, max_size=30),
    st.floats(0.3, 3),
    st.integers(0, 35),
    st.floats(0.05, 1),
)
def test_distribution(logits, temperature, top_k, top_p):
    """Evenly spaced numbers for chance: each token is drawn as often as its probability says."""
    logits = np.unique(np.round(logits, 2)).astype("f")  # ties are broken by id
    n = 2000
    uniform = tf.constant((np.arange(n) + 0.5) / n, tf.float32)
    table = tf.repeat(tf.nn.log_softmax(logits)[None], n, axis=0)
    drawn = draw(table, uniform, temperature, top_k, tf.constant(top_p, tf.float32)).numpy()
    wanted = exact(logits, temperature, top_k, top_p)
    shares = np.bincount(drawn, minlength=len(logits)) / n
    # A cut may fall on one side or the other by rounding: then the wanted one is not sharp either.
    other = exact(logits, temperature, top_k, min(top_p + 1e-5, 1.0))
    close = [np.abs(shares - one).max() < 2 / n + 1e-4 for one in (wanted, other)]
    assert any(close), (shares, wanted)


def test_forbidden_tokens_are_never_drawn():
    scores = tf.constant([[0.0, -np.inf, 0.0, -np.inf]] * 3)
    largest = np.nextafter(np.float32(1), np.float32(0))
    assert draw(scores, tf.constant([0.0, 0.5, largest])).numpy().tolist() == [0, 2, 2]


def test_the_likeliest_is_all_that_a_small_top_p_leaves():
    scores = tf.math.log([[0.2, 0.5, 0.3]])
    for uniform in (0.0, 0.99):
        assert draw(scores, tf.constant([uniform]), top_p=tf.constant(0.01)).numpy() == [1]


def test_ties_go_to_the_lower_id():
    assert likeliest(tf.constant([[1.0, 2.0, 2.0]])).numpy() == [1]


@pytest.mark.slow
def test_a_model_s_samples_have_its_probabilities():
    model, source = tiny(initializer_range=0.4), [2, 9, 8, 3]
    segments = np.zeros((1, 4), "int32")
    logits = np.asarray(model([np.array([source]), segments]))[0, -1]
    wanted = exact(logits, temperature=0.8, top_k=12)
    generator = TextGenerator(model, Ids(end_id=None))
    n = 4000
    found = generator.generate(
        source, max_new_tokens=1, do_sample=True, temperature=0.8, top_k=12,
        num_return_sequences=n, seed=5, return_details=True,
    )  # fmt: skip
    counts = np.bincount([text.token_ids[0] for text in found], minlength=len(wanted))
    deviations = (counts - n * wanted)[wanted > 0] / np.sqrt(n * wanted[wanted > 0])
    assert np.abs(deviations).max() < 4.5
    assert counts[wanted == 0].sum() == 0
    # The score is the model's own probability, whatever was drawn from.
    of_model = logits - np.log(np.exp(logits).sum())
    for text in found[:50]:
        assert text.score == pytest.approx(of_model[text.token_ids[0]], abs=1e-4)


@pytest.mark.slow
def test_samples_of_a_text_do_not_depend_on_the_others():
    generator = TextGenerator(tiny(), Ids(), do_sample=True, seed=3, max_new_tokens=6)
    texts = prompts(6)
    together = generator.generate(texts)
    assert generator.generate(texts, batch_size=2) == together
    assert generator.generate(texts[:3]) == together[:3]


def test_seeds():
    generator = TextGenerator(tiny(), Ids(), do_sample=True, max_new_tokens=8)
    texts = prompts(4)
    assert generator.generate(texts, seed=1) == generator.generate(texts, seed=1)
    assert generator.generate(texts, seed=1) != generator.generate(texts, seed=2)
    assert generator.generate(texts) != generator.generate(texts)


def test_several_samples_differ():
    found = TextGenerator(tiny(), Ids()).generate(
        prompts(2), do_sample=True, num_return_sequences=4, max_new_tokens=8, seed=0
    )
    assert [len(texts) for texts in found] == [4, 4]
    assert len(set(found[0])) == 4
