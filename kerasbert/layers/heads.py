"""Small layers that the heads are made of."""

from __future__ import annotations

from kerasbert.backend import NO_AUTOCAST, keras, serializable, symbolic_tensor, tf
from kerasbert.layers import activations, incremental


@serializable
class FirstToken(keras.layers.Layer):
    """The vector of the first token ([CLS]): (batch, length, width) to (batch, width)."""

    def call(self, inputs):
        return inputs[:, 0]

    def compute_mask(self, inputs, mask=None):
        return None

    def compute_output_shape(self, input_shape):
        return (input_shape[0], *input_shape[2:])

    def get_config(self) -> dict:
        return {**super().get_config()}  # Keras wants it defined where a dtype policy is passed


@serializable
class Bias(keras.layers.Layer):
    """Adds one trainable number per output, in float32: what follows are logits."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True

    def build(self, input_shape):
        self.bias = self.add_weight(
            name="bias", shape=(int(input_shape[-1]),), initializer="zeros", **NO_AUTOCAST
        )
        self.built = True

    def call(self, inputs):
        """Maps (..., width) to float32 (..., width)."""
        return tf.cast(inputs, tf.float32) + tf.cast(self.bias, tf.float32)

    def compute_output_spec(self, inputs):
        return symbolic_tensor(tuple(inputs.shape), "float32")

    def get_config(self) -> dict:
        return {**super().get_config()}


@serializable
class Activation(keras.layers.Layer):
    """A named activation of :mod:`kerasbert.layers.activations`, applied in float32.

    Args:
        activation: its name.
        **kwargs: as ``keras.layers.Layer``.
    """

    def __init__(self, activation: str, **kwargs):
        super().__init__(**kwargs)
        self.activation = activations.canonical_name(activation)
        self.supports_masking = True

    def call(self, inputs):
        """Applies the activation; when tokens are generated, scores stay scores."""
        inputs = tf.cast(inputs, tf.float32)
        if incremental.current() is not None:
            return inputs
        return activations.get(self.activation)(inputs)

    def compute_output_spec(self, inputs):
        return symbolic_tensor(tuple(inputs.shape), "float32")

    def get_config(self) -> dict:
        return {**super().get_config(), "activation": self.activation}
