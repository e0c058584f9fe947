"""Positions that do not count padding."""

from __future__ import annotations

from kerasbert.backend import serializable, symbolic_tensor, tf
from kerasbert.layers import incremental
from kerasbert.layers.embeddings import PositionEmbedding


@serializable
class PaddedPositionEmbedding(PositionEmbedding):
    """Adds learned positions that are numbered as fairseq and RoBERTa number them.

    The n-th real token, from 1, has row ``pad_token_id + n`` of the table, wherever padding lies;
    padding itself has row ``pad_token_id``. A table of 514 rows thus serves 512 tokens with
    padding id 1.

    Args:
        input_dim: number of rows of the table.
        output_dim: width.
        pad_token_id: id of the padding token.
        **kwargs: as :class:`PositionEmbedding`, without its ``hierarchical``.
    """

    def __init__(self, input_dim: int, output_dim: int, pad_token_id: int = 1, **kwargs):
        super().__init__(input_dim, output_dim, **kwargs)
        self.pad_token_id = pad_token_id

    def call(self, inputs, token_ids=None, position_ids=None):
        """Adds positions.

        Args:
            inputs: (batch, length, width).
            token_ids: integer (batch, length), to know padding by.
            position_ids: integer (batch, length), rows of the table; instead of ``token_ids``.
        """
        step = incremental.current_step()
        if position_ids is None and step is not None:
            position_ids = step.positions + self.pad_token_id + 1
        if position_ids is None:
            real = tf.cast(tf.not_equal(token_ids, self.pad_token_id), tf.int32)
            position_ids = tf.cumsum(real, axis=1) * real + self.pad_token_id
            message = (
                f"The text is too long for this model: the position table has {self.input_dim} "
                f"rows, of which {self.input_dim - self.pad_token_id - 1} are for tokens. Truncate."
            )
            check = tf.debugging.assert_less(tf.reduce_max(position_ids), self.input_dim, message)
            with tf.control_dependencies([check]):
                position_ids = tf.identity(position_ids)
        return super().call(inputs, position_ids)

    @property
    def longest(self) -> int:
        return self.input_dim - self.pad_token_id - 1

    def compute_output_spec(self, inputs, token_ids=None, position_ids=None):
        return symbolic_tensor(tuple(inputs.shape), self.compute_dtype)

    def get_config(self) -> dict:
        return {**super().get_config(), "pad_token_id": self.pad_token_id}
