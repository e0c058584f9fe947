"""Sums of hidden states."""

from __future__ import annotations

from kerasbert.backend import keras, serializable


@serializable
class Add(keras.layers.Add):
    """``keras.layers.Add`` whose Keras mask is that of its first input.

    Keras 3 drops the mask of a sum in which one input has none (the segment embedding), and the
    layers after the encoder would count padding.
    """

    def compute_mask(self, inputs, mask=None):
        return None if mask is None else mask[0]
