"""The position-wise feed-forward network."""

from __future__ import annotations

from kerasbert.backend import keras, named_build, serializable, symbolic_tensor
from kerasbert.layers.activations import canonical_name
from kerasbert.layers.dense import Dense


@serializable
class FeedForward(keras.layers.Layer):
    """Two dense layers with an activation between (Vaswani et al. 2017, arXiv:1706.03762).

    Args:
        intermediate_size: width between the two.
        output_size: width of the result.
        activation: a name of :mod:`kerasbert.layers.activations`.
        stddev: standard deviation of the truncated normal that kernels start from.
        **kwargs: as ``keras.layers.Layer``.
    """

    def __init__(
        self,
        intermediate_size: int,
        output_size: int,
        activation: str,
        stddev: float = 0.02,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.intermediate_size = intermediate_size
        self.output_size = output_size
        self.activation = canonical_name(activation)
        self.stddev = stddev
        self.supports_masking = True
        common = {"stddev": stddev, "dtype": self.dtype_policy}
        self.intermediate = Dense(intermediate_size, activation, name="intermediate", **common)
        self.output_dense = Dense(output_size, name="output", **common)

    def build(self, input_shape):
        named_build(self.intermediate, input_shape)
        named_build(self.output_dense, (*input_shape[:-1], self.intermediate_size))
        self.built = True

    def call(self, inputs):
        """Maps (..., width) to (..., output_size)."""
        return self.output_dense(self.intermediate(inputs))

    def compute_output_spec(self, inputs):
        return symbolic_tensor((*inputs.shape[:-1], self.output_size), self.compute_dtype)

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "intermediate_size": self.intermediate_size,
            "output_size": self.output_size,
            "activation": self.activation,
            "stddev": self.stddev,
        }
