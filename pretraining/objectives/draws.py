"""Random numbers that are the same eagerly, in graphs and compiled: made of whole random bits."""

from __future__ import annotations

from kerasbert.backend import tf


def random_bits(shape, seed: tf.Tensor) -> tf.Tensor:
    """Random uint32 of a shape; seed is int32 (2,)."""
    # by name: compiled code would choose another generator by itself
    return tf.random.stateless_uniform(
        shape, seed, minval=None, maxval=None, dtype=tf.uint32, alg="philox"
    )


def random_keys(shape, seed: tf.Tensor) -> tf.Tensor:
    """Random int32, none negative, to put things in random order by."""
    return tf.bitcast(tf.bitwise.right_shift(random_bits(shape, seed), 1), tf.int32)


def random_fractions(shape, seed: tf.Tensor) -> tf.Tensor:
    """Random float32 between 0 and 1, both excluded, in steps of 2 to the -23."""
    steps = tf.bitwise.right_shift(random_bits(shape, seed), 9)
    return (tf.cast(steps, tf.float32) + 0.5) * 2.0**-23


def seeds(seed: tf.Tensor, count: int) -> list[tf.Tensor]:
    """Seeds, int32 (2,), for draws that do not depend on each other."""
    return tf.unstack(tf.bitcast(random_bits([count, 2], seed), tf.int32))
