"""Sums of losses and of right answers."""

from __future__ import annotations

from kerasbert.backend import tf


def cross_entropy(labels: tf.Tensor, logits: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """The weighted sum of the cross-entropies of classes, in float32.

    Args:
        labels: int32 (...).
        logits: (..., classes).
        weights: float32 (...), 0 where there is no label.
    """
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, tf.cast(logits, tf.float32))
    return tf.reduce_sum(losses * weights)


def correct(labels: tf.Tensor, logits: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """The weighted number of labels with the highest logit; arguments as for the loss."""
    best = tf.argmax(logits, -1, output_type=tf.int32)
    return tf.reduce_sum(tf.cast(tf.equal(best, labels), tf.float32) * weights)
