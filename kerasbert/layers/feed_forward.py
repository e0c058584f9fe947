"""The position-wise feed-forward network."""

from __future__ import annotations

from collections.abc import Sequence

from kerasbert.backend import named_build, serializable, symbolic_tensor
from kerasbert.layers.activations import canonical_names
from kerasbert.layers.dense import Dense
from kerasbert.layers.recompute import RecomputableLayer


@serializable
class FeedForward(RecomputableLayer):
    """Two dense layers with an activation between (Vaswani et al. 2017, arXiv:1706.03762).

    With two activations the first layer is gated: it is the product of two, each with its own
    activation (Shazeer 2020, arXiv:2002.05202).

    Args:
        intermediate_size: width between the two.
        output_size: width of the result.
        activation: a name of :mod:`kerasbert.layers.activations`, or two for a gated layer, such
            as ["gelu_tanh", "linear"].
        use_bias: whether the layers have biases.
        stddev: standard deviation of the truncated normal that kernels start from.
        **kwargs: as :class:`RecomputableLayer`.
    """

    def __init__(
        self,
        intermediate_size: int,
        output_size: int,
        activation: str | Sequence[str],
        use_bias: bool = True,
        stddev: float = 0.02,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.intermediate_size = intermediate_size
        self.output_size = output_size
        self.activation = canonical_names(activation)
        self.use_bias = use_bias
        self.stddev = stddev
        self.supports_masking = True
        common = {"stddev": stddev, "dtype": self.dtype_policy, "use_bias": use_bias}
        gated = not isinstance(self.activation, str)
        first, second = self.activation if gated else (self.activation, None)
        self.intermediate = Dense(intermediate_size, first, name="intermediate", **common)
        self.gate = Dense(intermediate_size, second, name="gate", **common) if gated else None
        self.output_dense = Dense(output_size, name="output", **common)

    def build(self, input_shape):
        named_build(self.intermediate, input_shape)
        if self.gate is not None:
            named_build(self.gate, input_shape)
        named_build(self.output_dense, (*input_shape[:-1], self.intermediate_size))
        self.built = True

    def call(self, inputs, training=None):
        """Maps (..., width) to (..., output_size)."""
        return self.checkpointed(self._transform, inputs, training=training)

    def _transform(self, inputs, training):
        x = self.intermediate(inputs)
        if self.gate is not None:
            x *= self.gate(inputs)
        return self.output_dense(x)

    def compute_output_spec(self, inputs, training=None):
        return symbolic_tensor((*inputs.shape[:-1], self.output_size), self.compute_dtype)

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "intermediate_size": self.intermediate_size,
            "output_size": self.output_size,
            "activation": self.activation,
            "use_bias": self.use_bias,
            "stddev": self.stddev,
        }
