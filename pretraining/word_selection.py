"""Words, units of words and the choice among them: the parts of ``mask_tokens``."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import tensorflow as tf


class Words(NamedTuple):
    """The words of each row, numbered from a random one on and around.

    Attributes:
        index: int32 (batch, length), the word of each candidate; meaningless for other tokens.
        sizes: int32 (batch, length), the number of tokens of each word, 0 beyond the last one.
        first: int32 (batch, length), the position of the first token of each word.
    """

    index: tf.Tensor
    sizes: tf.Tensor
    first: tf.Tensor


def number_words(word_starts: tf.Tensor, candidates: tf.Tensor, turn: tf.Tensor) -> Words:
    """Finds the words of each row.

    Args:
        word_starts: bool (batch, length), True where a word begins.
        candidates: bool (batch, length), True where a token may be chosen; a candidate after a
            token that is none begins a word in any case.
        turn: float32 (batch, 1), random, from 0 to below 1: where the numbering begins.

    Returns:
        Words.
    """
    before = tf.pad(candidates, [[0, 0], [1, 0]])[:, :-1]
    begins = candidates & (word_starts | ~before)
    number = tf.cumsum(tf.cast(begins, tf.int32), -1)
    count = tf.maximum(number[:, -1:], 1)
    start = tf.cast(turn * tf.cast(count, tf.float32), tf.int32)
    index = tf.math.floormod(number - 1 - start, count)
    rows, length = tf.shape(candidates)[0], candidates.shape[1]
    segments = tf.reshape(index + length * tf.range(rows)[:, None], [-1])

    def per_word(values: tf.Tensor) -> tf.Tensor:
        sums = tf.math.unsorted_segment_sum(tf.reshape(values, [-1]), segments, rows * length)
        return tf.reshape(sums, [-1, length])

    first = per_word(tf.where(begins, tf.range(length), 0))
    return Words(index, per_word(tf.cast(candidates, tf.int32)), first)


def draw_units(fractions: tf.Tensor, shares: np.ndarray) -> tf.Tensor:
    """Divides the words of each row into units of consecutive ones.

    Args:
        fractions: float32 (batch, length - 1), random, from 0 to below 1.
        shares: probabilities of units of 1, 2, ... words.

    Returns:
        Number of the unit of each word, int32 (batch, length).
    """
    words = tf.range(fractions.shape[1] + 1) + tf.zeros([tf.shape(fractions)[0], 1], tf.int32)
    if len(shares) == 1:
        return words
    limits = np.cumsum(shares)[:-1].astype(np.float32)
    sizes = 1 + tf.reduce_sum(tf.cast(fractions[..., None] >= limits, tf.int32), -1)
    return tf.searchsorted(tf.cumsum(sizes, -1), words, side="right")


def choose_words(sizes: tf.Tensor, keys: tf.Tensor, budget: tf.Tensor) -> tf.Tensor:
    """Takes words in the order of their keys, skipping any that would exceed the budget.

    Exactly the result of visiting one word after the other, in few rounds: as many words as fit are
    taken at once, then those that are now too long are dropped. The longest word left is shorter in
    every round, so that there are at most as many rounds as the longest word has tokens.

    Args:
        sizes: int32 (batch, length), the number of tokens of each word; 0 is no word.
        keys: int32 (batch, length), random; of words with equal keys the first comes first.
        budget: int32 (batch,), the most tokens to take.

    Returns:
        Whether each word is taken, bool (batch, length).
    """
    order = tf.argsort(keys, direction="DESCENDING", stable=True)  # units stay together
    sizes = tf.gather(sizes, order, batch_dims=1)

    def fitting(left, remaining):
        return left & (sizes <= remaining)

    def take(chosen, left, remaining):
        taken = left & (tf.cumsum(tf.where(left, sizes, 0), -1) <= remaining)
        remaining -= tf.reduce_sum(tf.where(taken, sizes, 0), -1, keepdims=True)
        return chosen | taken, fitting(left & ~taken, remaining), remaining

    remaining = budget[:, None]
    chosen, _, _ = tf.while_loop(
        lambda chosen, left, remaining: tf.reduce_any(left),
        take,
        (tf.zeros_like(sizes, tf.bool), fitting(sizes > 0, remaining), remaining),
    )
    return tf.gather(chosen, tf.argsort(order), batch_dims=1)
