"""The same vector at every position."""

from __future__ import annotations

from kerasbert.backend import serializable, symbolic_tensor, tf
from kerasbert.layers.embeddings import Embedding


@serializable
class ConstantEmbedding(Embedding):
    """Adds the first row of a table to (batch, length, width) vectors.

    That is what a lookup amounts to where all ids are 0: RoBERTa has one segment only, and a task
    that is not named is the first. Arguments as :class:`Embedding`.
    """

    def call(self, inputs):
        return inputs + tf.cast(self.embeddings[0], inputs.dtype)

    def compute_mask(self, inputs, mask=None):
        return mask

    def compute_output_spec(self, inputs):
        return symbolic_tensor(tuple(inputs.shape), self.compute_dtype)
