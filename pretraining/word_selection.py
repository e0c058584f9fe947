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


def choose_tokens(
    candidates: tf.Tensor, keys: tf.Tensor, budget: tf.Tensor, width: int
) -> tuple[tf.Tensor, tf.Tensor]:
    """Takes single tokens in the order of their keys.

    Args:
        candidates: bool (batch, length), True where a token may be taken.
        keys: int32 (batch, length), random.
        budget: int32 (batch,), the most tokens to take, at most ``width``.
        width: of the result.

    Returns:
        Positions, ascending, and whether they are any (0 where not), both (batch, width).
    """
    length = candidates.shape[1]
    few = min(width, length)
    keys, places = tf.math.top_k(tf.where(candidates, _not_negative(keys), -1), few)
    taken = (keys >= 0) & (tf.range(few) < budget[:, None])
    places = tf.sort(tf.where(taken, places, length))
    places = tf.pad(places, [[0, 0], [0, width - few]], constant_values=length)
    return tf.where(places < length, places, 0), places < length


def choose_words(
    sizes: tf.Tensor, keys: tf.Tensor, budget: tf.Tensor, few: int | None = None
) -> tf.Tensor:
    """Takes words in the order of their keys, skipping any that would exceed the budget.

    Exactly the result of visiting one word after the other, in few rounds: as many words as fit are
    taken at once, then those that are now too long are dropped. The longest word left is shorter in
    every round, so that there are at most as many rounds as the longest word has tokens.

    Args:
        sizes: int32 (batch, length), the number of tokens of each word; 0 is no word.
        keys: int32 (batch, length), random; of words with equal keys the first comes first.
        budget: int32 (batch,), the most tokens to take.
        few: how many words to put in order at first; only where a row is not done with these are
            all of them. It changes the time, not the result.

    Returns:
        Whether each word is taken, bool (batch, length).
    """
    rows, length = tf.shape(sizes)[0], sizes.shape[1]
    keys = tf.where(sizes > 0, _not_negative(keys), -1)

    def choose(count: int) -> tuple[tf.Tensor, tf.Tensor]:
        """What is taken of the first so many words, and whether every row is done."""
        ordered, places = tf.math.top_k(keys, count)  # stable: units stay together
        # a static number of rows stays one: the loop's variables keep their shapes
        places = tf.ensure_shape(places + length * tf.range(rows)[:, None], ordered.shape)
        size = tf.gather(tf.reshape(sizes, [-1]), places)

        def fitting(left, remaining):
            return left & (size <= remaining)

        def take(taken, left, remaining):
            now = left & (tf.cumsum(tf.where(left, size, 0), -1) <= remaining)
            remaining -= tf.reduce_sum(tf.where(now, size, 0), -1, keepdims=True)
            return taken | now, fitting(left & ~now, remaining), remaining

        remaining = budget[:, None]
        taken, _, remaining = tf.while_loop(
            lambda taken, left, remaining: tf.reduce_any(left),
            take,
            (tf.zeros_like(size, tf.bool), fitting(size > 0, remaining), remaining),
        )
        done = tf.reduce_all((remaining == 0) | (ordered[:, -1:] < 0))
        chosen = tf.math.unsorted_segment_sum(
            tf.reshape(tf.cast(taken, tf.int32), [-1]), tf.reshape(places, [-1]), rows * length
        )
        return tf.reshape(chosen, [-1, length]) > 0, done

    if few is None or few >= length:
        return choose(length)[0]
    chosen, done = choose(few)
    return tf.cond(done, lambda: chosen, lambda: choose(length)[0])


def _not_negative(bits: tf.Tensor) -> tf.Tensor:
    """Int32 out of 31 of the 32 random bits."""
    return tf.bitcast(tf.bitwise.right_shift(tf.bitcast(bits, tf.uint32), 1), tf.int32)
