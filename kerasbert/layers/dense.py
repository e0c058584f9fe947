"""The projection that every other layer is made of."""

from __future__ import annotations

from kerasbert.backend import keras, serializable, tf
from kerasbert.layers import activations, incremental
from kerasbert.layers.initializers import TruncatedNormal


@serializable
class Dense(keras.layers.Dense):
    """``keras.layers.Dense`` whose product runs over one flat (tokens, features) matrix.

    MatMul, BiasAdd and the activation on rank-2 tensors are what TensorFlow's optimizer fuses
    into one oneDNN call; Keras' own rank-3 product leaves them apart. Variables, LoRA and
    quantisation are those of the Keras layer.

    Args:
        units: width of the output.
        activation: a name of :mod:`kerasbert.layers.activations`, or None for linear.
        stddev: standard deviation of the truncated normal that the kernel starts from.
        **kwargs: as ``keras.layers.Dense`` (``use_bias``, ``name``, ``dtype``, ...).
    """

    def __init__(self, units: int, activation: str | None = None, stddev: float = 0.02, **kwargs):
        kwargs.setdefault("kernel_initializer", TruncatedNormal(stddev))
        super().__init__(units, **kwargs)
        self.activation_name = activations.canonical_name(activation)
        self.stddev = stddev
        self.supports_masking = True

    def call(self, inputs, training=None):
        """Maps (..., features) to (..., units)."""
        features = inputs.shape[-1]
        kernel = incremental.weight(self, self.kernel)
        outputs = tf.matmul(tf.reshape(inputs, [-1, features]), kernel)
        if self.use_bias:
            outputs = tf.nn.bias_add(outputs, self.bias)
        outputs = activations.get(self.activation_name)(outputs)
        return restore_leading_shape(outputs, inputs)

    def get_config(self) -> dict:
        config = super().get_config()
        config.pop("kernel_initializer", None)  # is made anew from stddev: one instance per kernel
        config.update(activation=self.activation_name, stddev=self.stddev)
        return config


def restore_leading_shape(flat: tf.Tensor, like: tf.Tensor) -> tf.Tensor:
    """Reshapes (tokens, width) to ``like``'s leading axes plus width, statically where known."""
    leading, width = like.shape[:-1], flat.shape[-1]
    if leading.rank == 1:
        return flat
    dynamic = None
    shape = []
    for axis, size in enumerate(leading):
        if size is None:
            dynamic = tf.shape(like) if dynamic is None else dynamic
            size = dynamic[axis]
        shape.append(size)
    return tf.reshape(flat, [*shape, width])
