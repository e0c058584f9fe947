"""From parsed records to rows: which tokens may be chosen, and segments."""

from __future__ import annotations

from collections.abc import Mapping

from kerasbert.backend import tf
from pretraining.objectives.base import CorpusFacts


def real_tokens(batch: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """True where a token is no padding, (batch, length)."""
    return tf.range(batch["token_ids"].shape[1]) < batch["length"][:, None]


def candidates(batch: Mapping[str, tf.Tensor], corpus: CorpusFacts) -> tf.Tensor:
    """True where a token may be predicted: no special token and no padding, (batch, length)."""
    special = sorted({int(i) for i in corpus.special_ids.values() if i is not None})
    found = real_tokens(batch)
    for each in special:  # many times as fast as one comparison with all of them
        found &= batch["token_ids"] != each
    return found


def segments(batch: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """0 for the first segment with its [SEP], 1 for the second, 0 for padding; (batch, length)."""
    places = tf.range(batch["token_ids"].shape[1])
    second = (places >= batch["first_length"][:, None]) & real_tokens(batch)
    return tf.cast(second, tf.int32)


def number_of_rows(inputs: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """Rows of a step, a float32 scalar."""
    return tf.cast(tf.shape(inputs["token_ids"])[0], tf.float32)
