"""Dropout with half of the random bits."""

from __future__ import annotations

from kerasbert.backend import keras, serializable, symbolic_tensor, tf
from kerasbert.layers.recompute import draw_seed


@serializable
class Dropout(keras.layers.Layer):
    """Dropout (Srivastava et al. 2014, JMLR 15:1929) from 16 random bits per number.

    Keras draws a float32 for each; drawing and comparing them is a tenth of a training step of
    short texts on CPU. With 16 bits the rate is exact to 1 / 131072. The masks follow
    ``keras.utils.set_random_seed``, and the layer has no variable (Keras 3's keeps a seed, whose
    creation costs a millisecond for each of BERT's 37).

    Args:
        rate: share of numbers that become 0, from 0 to below 1; the others are scaled by
            1 / (1 - rate).
        **kwargs: as ``keras.layers.Layer``.
    """

    def __init__(self, rate: float, **kwargs):
        super().__init__(**kwargs)
        if not 0 <= rate < 1:
            raise ValueError(f"rate must be from 0 to below 1. Received: {rate!r}")
        self.rate = rate
        self.supports_masking = True

    def call(self, inputs, training=None):
        """Drops numbers of (...) where ``training`` is true."""
        if not self.rate or training is None or training is False:
            return inputs
        if tf.is_tensor(training):  # the learning phase of a Keras 2 graph
            return tf.cond(tf.cast(training, tf.bool), lambda: self._drop(inputs), lambda: inputs)
        return self._drop(inputs) if training else inputs

    def _drop(self, x: tf.Tensor) -> tf.Tensor:
        threshold = round(self.rate * 2**16)
        keep = tf.cast(random_uint16(tf.shape(x)) >= threshold, x.dtype)
        return x * (keep * tf.cast(2**16 / (2**16 - threshold), x.dtype))

    def compute_output_spec(self, inputs, training=None):
        return symbolic_tensor(tuple(inputs.shape), inputs.dtype)

    def get_config(self) -> dict:
        return {**super().get_config(), "rate": self.rate}


def random_uint16(shape: tf.Tensor) -> tf.Tensor:
    """Uniform 16-bit integers, two out of every 32 random bits."""
    count = tf.reduce_prod(shape)
    # Named, or XLA takes another generator, which also takes many times as long on CPU.
    pairs = tf.random.stateless_uniform(
        [(count + 1) // 2], draw_seed(), None, None, tf.uint32, alg="philox"
    )
    return tf.reshape(tf.reshape(tf.bitcast(pairs, tf.uint16), [-1])[:count], shape)
