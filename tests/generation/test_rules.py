"""Rules on next tokens, against plain Python."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerasbert.backend import tf
from kerasbert.generation import rules
from kerasbert.generation.language_models import Continuations, Prompts

V = 6


def written(rows, room: int | None = None) -> Continuations:
    """Continuations of one text, of equal lengths."""
    count = len(rows[0])
    tokens = np.zeros((1, len(rows), room or count + 2), "int32")
    tokens[0, :, :count] = rows
    return Continuations(tf.constant(tokens), tf.zeros_like(tokens), tf.constant(count))


sequences = st.integers(1, 12).flatmap(
    lambda n: st.lists(
        st.lists(st.integers(0, V - 1), min_size=n, max_size=n), min_size=1, max_size=3
    )
)


@given(sequences, st.integers(1, 4))
def test_repeated_ngrams(rows, size):
    scores = tf.zeros([1, len(rows), V])
    found = rules.forbid_repeated_ngrams(scores, written(rows), size)[0].numpy()
    for row, allowed in zip(rows, found):
        seen = {tuple(row[i : i + size]) for i in range(len(row) - size + 1)}
        for token in range(V):
            end = (*row[len(row) - size + 1 :], token) if size > 1 else (token,)
            repeats = len(row) >= size - 1 and end in seen
            assert (allowed[token] == -np.inf) == repeats, (row, size, token)


@given(sequences, st.floats(0.5, 3), st.booleans())
def test_repetition_penalty(rows, penalty, with_prompt):
    rng = np.random.default_rng(0)
    logits = rng.standard_normal((1, len(rows), V)).astype("f")
    prompt = Prompts(*map(tf.constant, ([[4, 5, 0]], [[0, 0, 0]], [2], [1])))
    seen, real = rules.seen_tokens(prompt, written(rows), with_prompt)
    found = rules.penalize_repetition(tf.constant(logits), seen, real, tf.constant(penalty))
    for row, before, after in zip(rows, logits[0], found[0].numpy()):
        tokens = {*row, *((4, 5) if with_prompt else ())}
        for token in range(V):
            wanted = before[token]
            if token in tokens:
                wanted = wanted / penalty if wanted > 0 else wanted * penalty
            assert after[token] == pytest.approx(wanted, rel=1e-5)


@given(sequences, st.lists(st.lists(st.integers(0, V - 1), min_size=1, max_size=3), max_size=3))
def test_ends(rows, stop):
    for new in range(V):
        state = written(rows)
        tokens = tf.fill([1, len(rows)], new)
        found = rules.ends(tokens, state.tokens, state.count, tf.constant([2]), stop)[0].numpy()
        for row, ended in zip(rows, found):
            text = [*row, new]
            wanted = new == 2 or any(text[-len(s) :] == s for s in stop)
            assert ended == wanted, (text, stop)


def test_the_end_waits():
    scores = tf.zeros([1, 1, V])
    for count, forbidden in ((0, True), (1, True), (2, False)):
        found = rules.forbid_end(scores, tf.constant([2, 3]), tf.constant(count), tf.constant(2))
        wanted = [-np.inf if forbidden and token in (2, 3) else 0 for token in range(V)]
        assert found[0, 0].numpy().tolist() == wanted
