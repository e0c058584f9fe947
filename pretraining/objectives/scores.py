"""Sums of losses and of right answers."""

from __future__ import annotations

from kerasbert.backend import tf


def per_label(labels: tf.Tensor, logits: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Cross-entropy, and 1 where the label has the highest logit; float32 (...) each.

    Args:
        labels: int32 (...).
        logits: (..., classes); computed in float32 whatever they are.
    """
    logits = tf.cast(logits, tf.float32)
    best = tf.argmax(logits, -1, output_type=tf.int32)
    right = tf.cast(tf.equal(best, labels), tf.float32)
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits), right


def of_labels(
    labels: tf.Tensor, logits: tf.Tensor, weights: tf.Tensor
) -> tuple[tf.Tensor, tuple[tf.Tensor, tf.Tensor]]:
    """The weighted sum of the losses; and that of right answers, with the sum of weights.

    Args:
        labels: int32 (...).
        logits: (..., classes).
        weights: float32 (...), 0 where there is no label.
    """
    losses, right = per_label(labels, logits)
    accuracy = tf.reduce_sum(right * weights), tf.reduce_sum(weights)
    return tf.reduce_sum(losses * weights), accuracy
