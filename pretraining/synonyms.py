"""Similar words, found and drawn inside the graph: what MacBERT puts in the place of [MASK]."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf


class SynonymTable(NamedTuple):
    """Words and their similar words as arrays; made by ``synonym_table``.

    Attributes:
        hashes: int64 (words,), of each word, ascending.
        words: int32 (words, width), the token ids of each word, then -1.
        similar: int32 (words, choices, width), the token ids of its similar words, then -1.
        counts: int32 (words,), how many similar words it has.
    """

    hashes: np.ndarray
    words: np.ndarray
    similar: np.ndarray
    counts: np.ndarray


def synonym_table(similar: Mapping[Sequence[int], Iterable[Sequence[int]]]) -> SynonymTable:
    """Prepares similar words for ``mask_tokens``.

    Args:
        similar: for each word, a tuple of token ids, the tuples of its similar words. They must
            have as many tokens: a replaced word keeps its place. A word without similar words may
            be left out.

    Returns:
        SynonymTable.

    Raises:
        ValueError: if there are none, or a similar word has another length than its word.
    """
    entries = {tuple(word): [tuple(other) for other in others] for word, others in similar.items()}
    entries = {word: others for word, others in entries.items() if others}
    if not entries:
        raise ValueError("The table of similar words is empty: leave it out to use [MASK].")
    for word, others in entries.items():
        for ids in (word, *others):
            if not word or len(ids) != len(word) or min(ids) < 0:
                raise ValueError(
                    "A similar word must have as many token ids as its word, at least one, none "
                    f"negative: leave the others out. Received: {word} with {ids}"
                )
    width = max(map(len, entries))
    choices = max(map(len, entries.values()))
    words = np.full((len(entries), width), -1, np.int32)
    table = np.full((len(entries), choices, width), -1, np.int32)
    for row, (word, others) in enumerate(entries.items()):
        words[row, : len(word)] = word
        table[row, : len(others), : len(word)] = others
    counts = np.array([len(others) for others in entries.values()], np.int32)
    with np.errstate(over="ignore"):
        hashes = (words.astype(np.int64) * _multipliers(width)).sum(-1)
    order = np.argsort(hashes, kind="stable")
    hashes = hashes[order]
    if (hashes[1:] == hashes[:-1]).any():  # never seen: 64 bits
        raise ValueError("Two words have the same hash: leave one of them out.")
    return SynonymTable(hashes, words[order], table[order], counts[order])


def draw_similar(
    table: SynonymTable,
    token_ids: tf.Tensor,
    first: tf.Tensor,
    index: tf.Tensor,
    sizes: tf.Tensor,
    fractions: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Draws a similar word for every word of a batch.

    Args:
        table: the similar words.
        token_ids: int32 (batch, length).
        first: int32 (batch, length), position of the first token of each word.
        index: int32 (batch, length), number of the word of each token.
        sizes: int32 (batch, length), number of tokens of each word.
        fractions: float32 (batch, length), random, from 0 to below 1, one for each word.

    Returns:
        The ids of the similar word at each token, int32 (batch, length), and whether there is one,
        bool (batch, length).
    """
    width, length = table.words.shape[1], token_ids.shape[1]
    columns = tf.range(width)
    places = tf.minimum(first[..., None] + columns, length - 1)  # (batch, words, width)
    words = tf.gather(token_ids, places, batch_dims=1)
    words = tf.where(columns < sizes[..., None], words, -1)
    hashes = tf.reduce_sum(tf.cast(words, tf.int64) * _multipliers(width), -1)
    rows = tf.searchsorted(table.hashes, tf.reshape(hashes, [-1]))
    rows = tf.reshape(tf.minimum(rows, len(table.hashes) - 1), tf.shape(hashes))
    found = tf.reduce_all(tf.gather(table.words, rows) == words, -1) & (sizes <= width)
    counts = tf.cast(tf.gather(table.counts, rows), tf.float32)
    choice = tf.cast(fractions * counts, tf.int32)  # below counts: few choices, 24 bits
    similar = tf.gather_nd(table.similar, tf.stack([rows, choice], -1))  # (batch, words, width)
    offsets = tf.range(length) - tf.gather(first, index, batch_dims=1)
    offsets = tf.clip_by_value(offsets, 0, width - 1)
    similar = tf.gather(similar, index, batch_dims=1)  # (batch, length, width)
    return (
        tf.gather(similar, offsets, batch_dims=2),
        tf.gather(found, index, batch_dims=1),
    )


def _multipliers(width: int) -> np.ndarray:
    """Odd 64-bit numbers: one for each place in a word."""
    return np.random.RandomState(0).randint(-(2**62), 2**62, width, dtype=np.int64) * 2 + 1
