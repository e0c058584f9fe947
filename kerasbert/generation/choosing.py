"""The next tokens of rows of scores, in numpy: the best ones, or random ones."""

from __future__ import annotations

import numpy as np


def best_continuations(totals: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The best continuations, best first: whose they are, ids (width, 1), and scores (width,)."""
    flat = totals.ravel()
    width = min(width, flat.size)
    best = np.argpartition(-flat, width - 1)[:width]
    best = best[np.argsort(-flat[best], kind="stable")]
    parents, ids = np.divmod(best, totals.shape[1])
    return parents, ids[:, None], flat[best]


def draw(probas: np.ndarray, topk: int | None, topp: float | None) -> np.ndarray:
    """Draws an id for each row of probabilities: (rows, vocab_size) to (rows, 1)."""
    ids = np.broadcast_to(np.arange(probas.shape[1]), probas.shape)

    def keep(order):
        kept = np.take_along_axis(probas, order, axis=1)
        kept = kept / kept.sum(axis=1, keepdims=True)
        return kept, np.take_along_axis(ids, order, axis=1)

    if topk is not None and topk < probas.shape[1]:
        # The order of what is kept decides what a seed draws. NumPy selects float64 by another
        # algorithm on each kind of CPU, long doubles by the one that all its versions have.
        wide = probas.astype(np.longdouble)
        probas, ids = keep(np.argpartition(wide, -topk, axis=1)[:, -topk:])
    if topp is not None:
        probas, ids = keep(np.argsort(-probas, axis=1, kind="stable"))
        before = np.roll(np.cumsum(probas, axis=1), 1, axis=1)
        before[:, 0] = 0
        probas = np.where(before < topp, probas, 0)
        probas = probas / probas.sum(axis=1, keepdims=True)
    drawn = np.array([[np.random.choice(len(row), p=row)] for row in probas])
    return np.take_along_axis(ids, drawn, axis=1)


def probabilities(scores, rtype: str, temperature: float) -> np.ndarray:
    """Probabilities at a temperature, from probabilities or logits (rows, vocab_size)."""
    if not temperature > 0:
        raise ValueError(f"temperature must be above 0, got {temperature!r}.")
    scores = np.asarray(scores)
    if rtype == "logits":
        scores = scores / temperature
        exponentials = np.exp(scores - scores.max(axis=-1, keepdims=True))
        return exponentials / exponentials.sum(axis=-1, keepdims=True)
    if temperature == 1:
        return scores
    powers = np.power(scores, 1 / temperature)
    return powers / powers.sum(axis=-1, keepdims=True)
