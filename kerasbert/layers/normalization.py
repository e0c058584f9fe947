"""Normalisation with float32 statistics."""

from __future__ import annotations

from kerasbert.backend import NO_AUTOCAST, keras, serializable, tf


@serializable
class LayerNormalization(keras.layers.Layer):
    """Layer normalisation over the last axis (Ba et al. 2016, arXiv:1607.06450).

    Mean, variance and the affine step are computed in float32 under any dtype policy; the result
    has the layer's compute dtype.

    Args:
        epsilon: added to the variance. The released BERT graphs use 1e-12.
        **kwargs: as ``keras.layers.Layer``.
    """

    def __init__(self, epsilon: float = 1e-12, **kwargs):
        super().__init__(**kwargs)
        self.epsilon = epsilon
        self.supports_masking = True

    def build(self, input_shape):
        width = int(input_shape[-1])
        self.beta = self.add_weight(name="beta", shape=(width,), initializer="zeros", **NO_AUTOCAST)
        self.gamma = self.add_weight(
            name="gamma", shape=(width,), initializer="ones", **NO_AUTOCAST
        )
        self.built = True

    def standardize(self, inputs) -> tf.Tensor:
        """(..., width) with mean 0 and variance 1, in float32."""
        x = tf.cast(inputs, tf.float32)
        centered = x - tf.reduce_mean(x, axis=-1, keepdims=True)
        variance = tf.reduce_mean(tf.square(centered), axis=-1, keepdims=True)
        # A variance of 0 (padding of an all-zero table) would overflow rsqrt at epsilon 0 only.
        return centered * tf.math.rsqrt(variance + self.epsilon)

    def call(self, inputs):
        """Normalises (..., width)."""
        gamma, beta = tf.cast(self.gamma, tf.float32), tf.cast(self.beta, tf.float32)
        return tf.cast(self.standardize(inputs) * gamma + beta, self.compute_dtype)

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def get_config(self) -> dict:
        return {**super().get_config(), "epsilon": self.epsilon}
