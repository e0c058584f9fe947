"""A learned number per head and distance, added to the attention scores."""

from __future__ import annotations

import numpy as np

from kerasbert.backend import NO_AUTOCAST, keras, serializable, symbolic_tensor, tf
from kerasbert.layers import incremental
from kerasbert.layers.initializers import TruncatedNormal


def distance_buckets(num_buckets: int, max_distance: int, bidirectional: bool) -> np.ndarray:
    """The bucket of each distance key - query from -max_distance to max_distance.

    Half of a direction's buckets hold one distance each; the widths of the others grow with the
    logarithm of the distance, and the last one also holds all that is farther than
    ``max_distance``.

    Args:
        num_buckets: of both directions together, or of the only one.
        max_distance: where the last bucket begins.
        bidirectional: whether keys on the right have buckets of their own, the upper half; else
            they share bucket 0 with the query's own position.

    Returns:
        Integers (2 * max_distance + 1,).
    """
    distance = np.arange(-max_distance, max_distance + 1)
    size = num_buckets // 2 if bidirectional else num_buckets
    exact = size // 2
    if exact < 1 or max_distance <= exact or (bidirectional and num_buckets % 2):
        raise ValueError(
            "Relative position buckets need at least 2 per direction, an even number for two "
            "directions, and a max_distance above the half of a direction's. Received: "
            f"num_buckets={num_buckets}, max_distance={max_distance}"
        )
    steps = np.abs(distance) if bidirectional else np.maximum(-distance, 0)
    share = np.log(np.maximum(steps, 1) / exact) / np.log(max_distance / exact)
    wide = np.minimum(exact + (share * (size - exact)).astype(int), size - 1)
    buckets = np.where(steps < exact, steps, wide)
    return buckets + np.where(distance > 0, size, 0) if bidirectional else buckets


@serializable
class RelativePositionBias(keras.layers.Layer):
    """Bias of the attention scores by bucketed distance (Raffel et al. 2019, arXiv:1910.10683).

    Made once for all blocks of an encoder or decoder; an attention mask is added on the way.

    Args:
        num_heads: number of heads.
        num_buckets: number of buckets, as in :func:`distance_buckets`.
        max_distance: distances from here on share a bucket.
        bidirectional: True for encoders, False for decoders.
        stddev: standard deviation of the truncated normal that the table starts from.
        **kwargs: as ``keras.layers.Layer``.
    """

    def __init__(
        self,
        num_heads: int,
        num_buckets: int = 32,
        max_distance: int = 128,
        bidirectional: bool = True,
        stddev: float = 0.02,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.num_heads = num_heads
        self.num_buckets = num_buckets
        self.max_distance = max_distance
        self.bidirectional = bidirectional
        self.stddev = stddev
        # A tuple: Keras would track an array or list as state.
        self._buckets = tuple(distance_buckets(num_buckets, max_distance, bidirectional).tolist())

    def build(self, input_shape=None):
        if self.built:  # a decoder's table may serve its cross attention as well
            return
        self.embeddings = self.add_weight(
            name="embeddings",
            shape=(self.num_buckets, self.num_heads),
            initializer=TruncatedNormal(self.stddev),
            **NO_AUTOCAST,
        )
        self.built = True

    def between(self, query_positions: tf.Tensor, key_positions: tf.Tensor) -> tf.Tensor:
        """The bias for any positions, such as those of one decoding step.

        Args:
            query_positions: integer (..., queries).
            key_positions: integer (..., keys).

        Returns:
            (num_heads, ..., queries, keys) in the compute dtype.
        """
        by_distance = tf.gather(self.embeddings, tf.constant(self._buckets))
        by_distance = tf.transpose(tf.cast(by_distance, self.compute_dtype))
        distance = key_positions[..., None, :] - query_positions[..., :, None]
        distance = tf.clip_by_value(distance, -self.max_distance, self.max_distance)
        return tf.gather(by_distance, distance + self.max_distance, axis=1)

    def call(self, queries, keys, attention_bias=None, across: bool = False):
        """The bias for two sequences, of which only the lengths count.

        Args:
            queries: (batch, queries, ...).
            keys: (batch, keys, ...).
            attention_bias: a mask to be added; broadcasts to (batch, num_heads, queries, keys).
            across: whether the keys are another text's, as in a decoder's attention to the source.

        Returns:
            (1, num_heads, queries, keys), or with a mask (batch, num_heads, queries, keys).
        """
        step = None if self.bidirectional else incremental.current_step()
        if step is None:
            bias = self.between(_positions(queries), _positions(keys))[None]
        else:
            key_positions = _positions(keys) if across else step.key_positions
            bias = self.between(step.positions, key_positions)
            bias = tf.transpose(bias, [1, 0, 2, 3])
        return bias if attention_bias is None else bias + tf.cast(attention_bias, bias.dtype)

    def compute_mask(self, *args, **kwargs):
        return None

    def compute_output_spec(self, queries, keys, attention_bias=None, across=False):
        batch = 1 if attention_bias is None else attention_bias.shape[0]
        shape = (batch, self.num_heads, queries.shape[1], keys.shape[1])
        return symbolic_tensor(shape, self.compute_dtype)

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "num_buckets": self.num_buckets,
            "max_distance": self.max_distance,
            "bidirectional": self.bidirectional,
            "stddev": self.stddev,
        }


def _positions(x: tf.Tensor) -> tf.Tensor:
    static = x.shape[1]
    return tf.range(tf.shape(x)[1] if static is None else static)
