"""Layer normalisation without centring."""

from __future__ import annotations

from kerasbert.backend import NO_AUTOCAST, keras, serializable, tf


@serializable
class RMSNormalization(keras.layers.Layer):
    """Divides by the root of the mean square over the last axis (Zhang & Sennrich 2019).

    arXiv:1910.07467. The mean is not subtracted and there is no bias. All is computed in float32
    under any dtype policy; the result has the layer's compute dtype.

    Args:
        epsilon: added to the mean square. T5's graphs use 1e-6.
        scale: whether a trainable factor follows, ``gamma``; RoFormer v2 has none.
        **kwargs: as ``keras.layers.Layer``.
    """

    def __init__(self, epsilon: float = 1e-6, scale: bool = True, **kwargs):
        super().__init__(**kwargs)
        self.epsilon = epsilon
        self.scale = scale
        self.supports_masking = True

    def build(self, input_shape):
        self.gamma = None
        if self.scale:
            self.gamma = self.add_weight(
                name="gamma", shape=(int(input_shape[-1]),), initializer="ones", **NO_AUTOCAST
            )
        self.built = True

    def call(self, inputs):
        """Normalises (..., width)."""
        x = tf.cast(inputs, tf.float32)
        x *= tf.math.rsqrt(tf.reduce_mean(tf.square(x), axis=-1, keepdims=True) + self.epsilon)
        if self.gamma is not None:
            x *= tf.cast(self.gamma, tf.float32)
        return tf.cast(x, self.compute_dtype)

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def get_config(self) -> dict:
        return {**super().get_config(), "epsilon": self.epsilon, "scale": self.scale}
