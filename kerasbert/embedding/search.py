"""Cosines, and the most similar vectors, exactly and in bounded memory."""

from __future__ import annotations

import numpy as np

# Numbers in a block of scores or of vectors: 64 MB in float32.
_BLOCK = 16_777_216


def similarity(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The cosine of each of ``a`` with each of ``b``.

    Args:
        a: (number of a, dimension), or one vector (dimension,).
        b: the same. The zero vector has cosine 0 with all others.

    Returns:
        float32 (number of a, number of b).

    Raises:
        ValueError: not vectors, or of different dimensions.
    """
    a, b = check_vectors(a, "a"), check_vectors(b, "b")
    check_dimensions(a, b, "a", "b")
    return unit(a) @ unit(b).T


def search(
    queries: np.ndarray, corpus: np.ndarray, top_k: int = 10, normalized: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """The vectors of a corpus with the highest cosines, for each query: exactly.

    The corpus is gone through once for every 2,048 queries, in blocks: memory stays bounded, and
    the corpus may be a memory-mapped file.

    Args:
        queries: (queries, dimension).
        corpus: (vectors, dimension), of any floating dtype.
        top_k: how many for each query; fewer where the corpus has fewer.
        normalized: whether the corpus is known to be of length 1, which saves scaling it.

    Returns:
        Cosines, float32 (queries, top_k), the highest first (of equal ones the first vector); and
        the numbers of the vectors, int64 (queries, top_k).

    Raises:
        ValueError: not vectors, of different dimensions, not finite, or top_k below 1.
    """
    queries, corpus = check_vectors(queries, "queries"), check_vectors(corpus, "corpus")
    check_dimensions(queries, corpus, "queries", "corpus")
    top_k = min(check_top_k(top_k), len(corpus))
    scores = np.empty((len(queries), top_k), np.float32)
    places = np.empty((len(queries), top_k), np.int64)
    step = min(2048, max(1, _BLOCK // max(top_k, 1)))
    for start in range(0, len(queries), step):
        rows = slice(start, start + step)
        scores[rows], places[rows] = _search_few(unit(queries[rows]), corpus, top_k, normalized)
    return scores, places


def _search_few(queries: np.ndarray, corpus: np.ndarray, top_k: int, normalized: bool):
    """:func:`search` for few queries of length 1, in one pass over the corpus."""
    scores = np.zeros((len(queries), 0), np.float32)
    places = np.zeros((len(queries), 0), np.int64)
    step = max(1, _BLOCK // max(len(queries), corpus.shape[1]))
    for start in range(0, len(corpus), step):
        block = np.asarray(corpus[start : start + step], np.float32)
        block = block if normalized else unit(block)
        new = queries @ block.T
        if not np.isfinite(new).all():
            raise ValueError(
                f"queries, or the corpus from row {start} to {start + len(block)}, hold numbers "
                "that are not finite."
            )
        new, new_places = _candidates(new, scores, top_k)
        scores = np.concatenate([scores, new], axis=1)
        places = np.concatenate([places, new_places + start], axis=1)
        scores, places = _best(scores, places, top_k)
    order = np.lexsort((places, -scores))
    return np.take_along_axis(scores, order, 1), np.take_along_axis(places, order, 1)


def _candidates(new: np.ndarray, found: np.ndarray, top_k: int) -> tuple[np.ndarray, np.ndarray]:
    """The scores of a block that may be among the best, and their columns.

    After the first blocks these are few, and finding them is much cheaper than sorting. Rows that
    have fewer than others are filled up with -inf.
    """
    if found.shape[1] < top_k:
        return _best(new, np.broadcast_to(np.arange(new.shape[1]), new.shape), top_k)
    # An equal score comes later than those found, and so loses to them.
    rows, columns = np.nonzero(new > found.min(axis=1, keepdims=True))
    counts = np.bincount(rows, minlength=len(new))
    within = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    scores = np.full((len(new), counts.max(initial=0)), -np.inf, np.float32)
    places = np.zeros(scores.shape, np.int64)
    scores[rows, within], places[rows, within] = new[rows, columns], columns
    return scores, places


def _best(scores: np.ndarray, places: np.ndarray, top_k: int) -> tuple[np.ndarray, np.ndarray]:
    """The ``top_k`` highest of each row, in any order; of equal ones the first."""
    if scores.shape[1] <= top_k:
        return scores, places
    lowest = np.partition(scores, -top_k, axis=1)[:, -top_k, None]  # the last one that is in
    above = scores > lowest
    room = top_k - above.sum(axis=1, keepdims=True)
    ties = scores == lowest
    taken = above | (ties & (np.cumsum(ties, axis=1, dtype=np.int32) <= room))
    shape = (len(scores), top_k)
    return scores[taken].reshape(shape), places[taken].reshape(shape)


def unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors scaled to length 1, float32; the zero vector stays as it is."""
    vectors = np.asarray(vectors, np.float32)
    # In float64: of float16 vectors read from a file, and of large ones, squares overflow.
    lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))[:, None]
    return (vectors / np.where(lengths == 0, 1, lengths)).astype(np.float32)


def check_vectors(vectors, name: str) -> np.ndarray:
    """Vectors as a floating array (number, dimension); one vector becomes a row of its own.

    Raises:
        ValueError: it is something else.
    """
    vectors = vectors if isinstance(vectors, np.ndarray) else np.asarray(vectors)
    if vectors.ndim == 1 and vectors.dtype.kind == "f" and len(vectors):
        vectors = vectors[None]
    if vectors.ndim != 2 or vectors.dtype.kind != "f" or not vectors.shape[1]:
        raise ValueError(
            f"{name} must be vectors, floating (number, dimension). "
            f"Received: {vectors.dtype} {vectors.shape}"
        )
    return vectors


def check_dimensions(a: np.ndarray, b: np.ndarray, name: str, other: str) -> None:
    """Raises ValueError where vectors of two kinds cannot be compared."""
    if a.shape[1] != b.shape[1]:
        raise ValueError(
            f"{name} have {a.shape[1]} dimensions, {other} {b.shape[1]}: both must come from the "
            "same model and pooling."
        )


def check_top_k(top_k: int) -> int:
    """A number of results.

    Raises:
        ValueError: it is none.
    """
    if isinstance(top_k, bool) or not isinstance(top_k, (int, np.integer)) or top_k < 1:
        raise ValueError(f"top_k must be a positive whole number. Received: {top_k!r}")
    return int(top_k)
