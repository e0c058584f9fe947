"""Self-attention with NEZHA's relative positions."""

from __future__ import annotations

from kerasbert.backend import keras, serializable, symbolic_tensor, tf
from kerasbert.layers import incremental
from kerasbert.layers.attention import MultiHeadSelfAttention
from kerasbert.layers.sinusoidal import frequencies, sinusoids


@serializable
class RelativePositionEmbedding(keras.layers.Layer):
    """One sinusoidal vector for each pair of positions, by their distance; nothing to train.

    With d = clip(j - i, -max_distance, max_distance) + max_distance, the pair (i, j) has the
    vector of position d (Wei et al. 2019, arXiv:1909.00204).

    Args:
        output_dim: width of the vectors, even: that of an attention head.
        max_distance: distance from which on all are alike.
        **kwargs: as ``keras.layers.Layer``.
    """

    def __init__(self, output_dim: int, max_distance: int = 64, **kwargs):
        super().__init__(**kwargs)
        frequencies(output_dim)
        self.output_dim = output_dim
        self.max_distance = max_distance

    def call(self, inputs):
        """The table (length, length, output_dim) for inputs (batch, length, ...).

        In a pass over new tokens it is (batch, tokens, slots, output_dim).
        """
        step = incremental.current_step()
        if step is None:
            static = inputs.shape[1]
            keys = queries = tf.range(tf.shape(inputs)[1] if static is None else static)
        else:
            keys, queries = step.key_positions, step.positions
        distance = keys[..., None, :] - queries[..., :, None]
        distance = tf.clip_by_value(distance, -self.max_distance, self.max_distance)
        vectors = sinusoids(tf.range(2 * self.max_distance + 1), self.output_dim)
        return tf.gather(tf.cast(vectors, self.compute_dtype), distance + self.max_distance)

    def compute_mask(self, inputs, mask=None):
        return None

    def compute_output_spec(self, inputs):
        length = inputs.shape[1]
        return symbolic_tensor((length, length, self.output_dim), self.compute_dtype)

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "output_dim": self.output_dim,
            "max_distance": self.max_distance,
        }


@serializable
class RelativeSelfAttention(MultiHeadSelfAttention):
    """Self-attention with a vector for each distance added to keys and to values (NEZHA).

    After Shaw et al. 2018, arXiv:1803.02155, with fixed vectors. ``positions`` of a call is the
    table of :class:`RelativePositionEmbedding`, (length, length, head_size), one for all blocks.
    Products with it run batched over the first position, so that nothing of the size (batch,
    heads, length, length, head_size) exists.

    Args:
        *args: as :class:`MultiHeadSelfAttention`.
        **kwargs: likewise; ``key_size`` must be ``head_size``.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        if self.key_size != self.head_size:
            raise ValueError(
                "Relative positions are added to keys and to values: key_size and head_size must "
                f"be equal. Received: {self.key_size} and {self.head_size}"
            )

    def score(self, query: tf.Tensor, key: tf.Tensor, positions=None) -> tf.Tensor:
        if positions is None:
            raise ValueError(
                "RelativeSelfAttention needs positions=..., the output of a "
                f"RelativePositionEmbedding({self.key_size}) layer."
            )
        scaled = query * tf.cast(self.score_scale, query.dtype)
        positions = tf.cast(positions, query.dtype)
        equation = "bhid,ijd->bhij" if positions.shape.rank == 3 else "bhid,bijd->bhij"
        return super().score(query, key) + tf.einsum(equation, scaled, positions)

    def combine(self, probabilities: tf.Tensor, value: tf.Tensor, positions=None) -> tf.Tensor:
        positions = tf.cast(positions, value.dtype)
        equation = "bhij,ijd->bhid" if positions.shape.rank == 3 else "bhij,bijd->bhid"
        relative = tf.einsum(equation, probabilities, positions)
        return super().combine(probabilities, value) + relative
