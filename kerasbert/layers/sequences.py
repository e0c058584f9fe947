"""Sequences put together."""

from __future__ import annotations

from kerasbert.backend import is_symbolic, keras, serializable, symbolic_tensor, tf


@serializable
class AllReal(keras.layers.Layer):
    """The Keras mask of a sequence (batch, length, ...) that has none: True everywhere."""

    def call(self, inputs):
        return tf.ones(tf.shape(inputs)[:2], tf.bool)

    def compute_mask(self, inputs, mask=None):
        return None

    def compute_output_spec(self, inputs):
        return symbolic_tensor(tuple(inputs.shape[:2]), "bool")

    def get_config(self) -> dict:
        return {**super().get_config()}


@serializable
class Concatenate1D(keras.layers.Layer):
    """Concatenates sequences (batch, length, width) one after another, of which some are masked.

    Where one of them has a Keras mask, those that have none count as real throughout.
    """

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True

    def call(self, inputs):
        """Maps a list of (batch, length_i, width) to (batch, sum of lengths, width)."""
        return tf.concat(inputs, axis=1)

    def compute_mask(self, inputs, mask=None):
        if mask is None or all(part is None for part in mask):
            return None
        parts = [AllReal()(x) if part is None else part for x, part in zip(inputs, mask)]
        if any(is_symbolic(part) for part in parts):
            return keras.layers.Concatenate(axis=1, dtype="bool")(parts)
        return tf.concat(parts, axis=1)

    def compute_output_spec(self, inputs):
        batch, _, width = inputs[0].shape
        lengths = [x.shape[1] for x in inputs]
        length = None if None in lengths else sum(lengths)
        return symbolic_tensor((batch, length, width), self.compute_dtype)

    def get_config(self) -> dict:
        return {**super().get_config()}
