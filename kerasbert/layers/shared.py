"""What ALBERT needs besides BERT's layers: blocks used several times, and a factorised table."""

from __future__ import annotations

from collections.abc import Sequence

from kerasbert.backend import NO_AUTOCAST, serializable, symbolic_tensor, tf
from kerasbert.layers.attention import MultiHeadSelfAttention
from kerasbert.layers.embeddings import Embedding
from kerasbert.layers.initializers import TruncatedNormal


@serializable
class SharedSelfAttention(MultiHeadSelfAttention):
    """Self-attention of a block that stands at several depths of a model (ALBERT).

    It computes what its base class does. Its depths are kept because nothing else in a saved model
    says how often the block is used.

    Args:
        *sizes: as :class:`MultiHeadSelfAttention`.
        depths: indices of the hidden layers that the block is a part of, in the model that it was
            made for.
        **settings: as :class:`MultiHeadSelfAttention`.
    """

    def __init__(self, *sizes: int, depths: Sequence[int] = (0,), **settings):
        super().__init__(*sizes, **settings)
        self.depths = tuple(depths)

    def get_config(self) -> dict:
        return {**super().get_config(), "depths": list(self.depths)}


@serializable
class FactorizedEmbedding(Embedding):
    """A narrow table whose rows are projected to a greater width (the early albert_zh).

    Args:
        input_dim: number of rows (the vocabulary size).
        output_dim: width of the table.
        projected_dim: width of what is looked up.
        **settings: as :class:`Embedding`.
    """

    def __init__(self, input_dim: int, output_dim: int, projected_dim: int, **settings):
        super().__init__(input_dim, output_dim, **settings)
        self.projected_dim = projected_dim

    def build(self, input_shape=None):
        if self.built:
            return
        self.projection = self.add_weight(
            name="projection",
            shape=(self.output_dim, self.projected_dim),
            initializer=TruncatedNormal(self.stddev),
            **NO_AUTOCAST,
        )
        super().build(input_shape)

    def call(self, inputs, reverse: bool = False):
        """Looks up (...) ids, or with ``reverse`` scores (..., projected_dim) against all rows."""
        projection = tf.cast(self.projection, self.compute_dtype)
        if reverse:
            return super().call(tf.tensordot(inputs, projection, [[-1], [1]]), reverse=True)
        return tf.tensordot(super().call(inputs), projection, 1)

    def compute_output_spec(self, inputs, reverse: bool = False):
        width = self.input_dim if reverse else self.projected_dim
        shape = tuple(inputs.shape)
        return symbolic_tensor((*(shape[:-1] if reverse else shape), width), self.compute_dtype)

    def get_config(self) -> dict:
        return {**super().get_config(), "projected_dim": self.projected_dim}
