"""Which positions predict the token after them, and the choice among too many of them."""

from __future__ import annotations

from typing import NamedTuple

from kerasbert.backend import tf
from pretraining.objectives.draws import random_keys


class NextTokens(NamedTuple):
    """Positions that predict, with what stands after them.

    Attributes:
        positions: int32 (rows, width), ascending, then 0.
        labels: int32 (rows, width), the ids that follow, then 0.
        weights: float32 (rows, width), 1 for a prediction, then 0.
    """

    positions: tf.Tensor
    labels: tf.Tensor
    weights: tf.Tensor


def before(targets: tf.Tensor) -> tf.Tensor:
    """The positions that predict: True where the next one is a target, (rows, length)."""
    return tf.pad(targets[:, 1:], [[0, 0], [0, 1]])


def next_tokens(
    token_ids: tf.Tensor, predicts: tf.Tensor, width: int, seed: tf.Tensor
) -> NextTokens:
    """Gathers what positions predict.

    Args:
        token_ids: int32 (rows, length), the length static.
        predicts: bool (rows, length), True where the next token is to be predicted.
        width: most predictions of a row; of more, any subset of this size is as likely.
        seed: int32 (2,), for that choice.
    """
    length = token_ids.shape[1]
    if width >= length - 1:  # there are never more
        keys = tf.zeros_like(token_ids)
    else:
        keys = random_keys(tf.shape(token_ids), seed)
    best, places = tf.math.top_k(tf.where(predicts, keys, -1), min(width, length))
    places = tf.sort(tf.where(best >= 0, places, length), axis=-1)
    places = tf.pad(places, [[0, 0], [0, max(0, width - length)]], constant_values=length)
    real = places < length
    positions = tf.where(real, places, 0)
    following = tf.gather(token_ids, tf.minimum(positions + 1, length - 1), batch_dims=1)
    return NextTokens(positions, tf.where(real, following, 0), tf.cast(real, tf.float32))


def check_width(width: int | None) -> None:
    """Raises ValueError for a number of predictions that is none."""
    if width is not None and (isinstance(width, bool) or not isinstance(width, int) or width < 1):
        raise ValueError(f"max_predictions must be 1 or more, or null. Received: {width!r}")
