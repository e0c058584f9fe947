"""Chosen positions of a sequence."""

from __future__ import annotations

from kerasbert.backend import keras, serializable, symbolic_tensor, tf


@serializable
class GatherPositions(keras.layers.Layer):
    """Takes the vectors at given positions: what a masked language model has to predict.

    Only these go through its head, whose product with the vocabulary is otherwise a large part of a
    step.
    """

    def call(self, inputs, positions):
        """Gathers.

        Args:
            inputs: (batch, length, width).
            positions: integer (batch, count), from 0 to below length.

        Returns:
            (batch, count, width).
        """
        return tf.gather(inputs, tf.cast(positions, tf.int32), batch_dims=1)

    def compute_mask(self, *args, **kwargs):
        return None  # positions say which of them count

    def compute_output_spec(self, inputs, positions):
        batch, count = positions.shape
        return symbolic_tensor((batch, count, inputs.shape[-1]), inputs.dtype)

    def get_config(self) -> dict:
        return {**super().get_config()}
