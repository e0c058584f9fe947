"""Exact search equals a sort of all cosines, in blocks of any size."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerasbert.embedding import search as search_function
from kerasbert.embedding import similarity
from kerasbert.embedding.search import unit


def plain(queries, corpus, top_k):
    """All cosines sorted, in float64; of equal ones the first."""

    def scaled(vectors):
        vectors = vectors.astype(np.float64)
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors / np.where(lengths == 0, 1, lengths)

    scores = scaled(queries) @ scaled(corpus).T
    places = np.argsort(-scores, axis=1, kind="stable")[:, :top_k]
    return np.take_along_axis(scores, places, 1), places


@pytest.mark.parametrize("block", [1, 40, 10**6])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_equals_a_plain_sort(monkeypatch, block, dtype):
    monkeypatch.setattr(sys_module(), "_BLOCK", block)
    generator = np.random.default_rng(0)
    queries, corpus = generator.normal(size=(7, 5)), generator.normal(size=(53, 5)).astype(dtype)
    scores, places = search_function(queries, corpus, 6)
    expected, order = plain(queries, corpus, 6)
    np.testing.assert_array_equal(places, order)
    np.testing.assert_allclose(scores, expected, atol=1e-6)
    assert scores.dtype == np.float32 and places.dtype == np.int64


def sys_module():
    """The module, whose name in the package is that of its function."""
    import sys

    return sys.modules["kerasbert.embedding.search"]


@given(st.data())
def test_ties_are_the_first_ones(data):
    rows = st.lists(st.sampled_from([[1, 0], [0, 1], [-1, 0], [0, 0]]), min_size=1, max_size=12)
    corpus = np.array(data.draw(rows), np.float32)
    top_k = data.draw(st.integers(1, 14))
    scores, places = search_function(np.array([[1.0, 0.0], [0.0, 0.0]]), corpus, top_k)
    expected, order = plain(np.array([[1.0, 0.0], [0.0, 0.0]]), corpus, top_k)
    np.testing.assert_array_equal(places, order)
    np.testing.assert_array_equal(scores, expected)


def test_similarity_of_zero_and_of_large_vectors():
    cosines = similarity(np.array([[0.0, 0.0], [1e30, 1e30]]), np.array([1.0, 0.0]))
    np.testing.assert_allclose(cosines, [[0], [2**-0.5]], rtol=1e-6)
    assert unit(np.full((1, 4), 6e4, np.float16)).tolist() == [[0.5] * 4]


def test_no_queries_and_one_query():
    corpus = np.eye(3)
    assert search_function(np.zeros((0, 3)), corpus, 2)[0].shape == (0, 2)
    assert search_function(corpus[1], corpus, 1)[1].tolist() == [[1]]
    assert search_function(corpus, np.zeros((0, 3)), 2)[1].shape == (3, 0)


@pytest.mark.parametrize(
    "queries, corpus, message",
    [
        (np.zeros((2, 3)), np.zeros((2, 4)), "queries have 3 dimensions, corpus 4"),
        (np.zeros((2, 3), int), np.zeros((2, 3)), "queries must be vectors"),
        (np.zeros((2, 3)), np.zeros((2, 3, 1)), "corpus must be vectors"),
        (np.zeros((2, 0)), np.zeros((2, 0)), "queries must be vectors"),
        (np.zeros((2, 3)), np.full((2, 3), np.nan), "not finite"),
        (np.full((2, 3), np.inf), np.zeros((2, 3)), "not finite"),
        (["a"], np.zeros((2, 3)), "queries must be vectors"),
    ],
)
def test_what_does_not_fit(queries, corpus, message):
    with pytest.raises(ValueError, match=message), np.errstate(invalid="ignore"):
        search_function(queries, corpus)


@pytest.mark.parametrize("top_k", [0, -1, 1.5, True, None])
def test_top_k_is_checked(top_k):
    with pytest.raises(ValueError, match="top_k must be a positive whole number"):
        search_function(np.eye(2), np.eye(2), top_k)


def test_memory_is_bounded(tmp_path):
    import tracemalloc

    path = tmp_path / "corpus.npy"
    np.save(path, np.random.default_rng(0).normal(size=(20_000, 16)).astype("float32"))
    corpus = np.load(path, mmap_mode="r")
    sys_module()._BLOCK, kept = 2**16, sys_module()._BLOCK
    tracemalloc.start()
    try:
        search_function(np.array(corpus[:500]), corpus, 5)
        assert tracemalloc.get_traced_memory()[1] < 8_000_000  # all cosines are 40 MB
    finally:
        tracemalloc.stop()
        sys_module()._BLOCK = kept
