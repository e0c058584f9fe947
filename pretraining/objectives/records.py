"""From parsed records to rows: which tokens may be chosen, segments, and seeds."""

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
    ids = batch["token_ids"]
    return real_tokens(batch) & ~tf.reduce_any(ids[..., None] == tf.constant(special, tf.int32), -1)


def segments(batch: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """0 for the first segment with its [SEP], 1 for the second, 0 for padding; (batch, length)."""
    places = tf.range(batch["token_ids"].shape[1])
    second = (places >= batch["first_length"][:, None]) & real_tokens(batch)
    return tf.cast(second, tf.int32)


def seeds(seed: tf.Tensor, count: int) -> list[tf.Tensor]:
    """Seeds, int32 (2,), for draws that do not depend on each other."""
    drawn = tf.random.stateless_uniform(
        [count, 2], seed, minval=None, maxval=None, dtype=tf.int32, alg="philox"
    )
    return tf.unstack(drawn)
