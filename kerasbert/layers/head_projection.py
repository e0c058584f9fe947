"""Projections between vectors and attention heads whose kernels keep the heads apart."""

from __future__ import annotations

from kerasbert.backend import keras, serializable, tf
from kerasbert.layers.initializers import TruncatedNormal


@serializable
class HeadProjection(keras.layers.Layer):
    """A projection to heads or back, with the kernel that Transformer-XL's code stores.

    Args:
        width: of the vectors.
        num_heads: number of heads.
        head_size: width of a head.
        stddev: standard deviation of the truncated normal that the kernel starts from.
        **kwargs: as ``keras.layers.Layer``.
    """

    def __init__(self, width: int, num_heads: int, head_size: int, stddev: float = 0.02, **kwargs):
        super().__init__(**kwargs)
        self.width = width
        self.num_heads = num_heads
        self.head_size = head_size
        self.stddev = stddev

    def build(self, input_shape=None):
        self.kernel = self.add_weight(
            name="kernel",
            shape=(self.width, self.num_heads, self.head_size),
            initializer=TruncatedNormal(self.stddev),
        )
        self.built = True

    def call(self, inputs, reverse: bool = False):
        """Maps (batch, length, width) to (batch, num_heads, length, head_size), or back."""
        kernel = tf.reshape(self.kernel, [self.width, self.num_heads * self.head_size])
        if reverse:
            batch, _, length, _ = sizes(inputs)
            heads = tf.transpose(inputs, [0, 2, 1, 3])
            flat = tf.reshape(heads, [-1, self.num_heads * self.head_size])
            return tf.reshape(
                tf.matmul(flat, kernel, transpose_b=True), [batch, length, self.width]
            )
        batch, length, _ = sizes(inputs)
        flat = tf.matmul(tf.reshape(inputs, [-1, self.width]), kernel)
        heads = tf.reshape(flat, [batch, length, self.num_heads, self.head_size])
        return tf.transpose(heads, [0, 2, 1, 3])

    def compute_mask(self, inputs, mask=None):
        return None

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "width": self.width,
            "num_heads": self.num_heads,
            "head_size": self.head_size,
            "stddev": self.stddev,
        }


def sizes(x: tf.Tensor) -> list:
    """The sizes of all axes, static where known."""
    return [size if size is not None else tf.shape(x)[axis] for axis, size in enumerate(x.shape)]
