"""Normalisation that a vector conditions: a style, a class, a speaker."""

from __future__ import annotations

from kerasbert.backend import (
    NO_AUTOCAST,
    keras,
    named_build,
    serializable,
    symbolic_tensor,
    tf,
)
from kerasbert.layers.activations import canonical_name
from kerasbert.layers.dense import Dense
from kerasbert.layers.normalization import LayerNormalization


@serializable
class Condition(keras.layers.Layer):
    """What a condition adds to the offset and to the factor of an affine step.

    Both projections start at zero: until they are trained, the condition changes nothing.

    Args:
        units: width of what is conditioned.
        hidden_units: width of a dense layer before the projections; None is none.
        hidden_activation: its activation.
        offset: whether there is an offset to change.
        scale: whether there is a factor to change.
        stddev: standard deviation of the truncated normal that the dense layer starts from.
        **kwargs: as ``keras.layers.Layer``.
    """

    def __init__(
        self,
        units: int,
        hidden_units: int | None = None,
        hidden_activation: str | None = None,
        offset: bool = True,
        scale: bool = True,
        stddev: float = 0.02,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.units = units
        self.hidden_units = hidden_units
        self.hidden_activation = canonical_name(hidden_activation)
        self.stddev = stddev
        # No checkpoint brings these values: they are filled even where it brings all others.
        started = keras.initializers.TruncatedNormal(stddev=stddev)
        common = {"use_bias": False, "dtype": self.dtype_policy}
        zeros = {"kernel_initializer": "zeros", **common}
        self.hidden = self.offset = self.scale = None
        if hidden_units:
            self.hidden = Dense(hidden_units, hidden_activation, name="hidden",
                                kernel_initializer=started, **common)  # fmt: skip
        if offset:
            self.offset = Dense(units, name="offset", **zeros)
        if scale:
            self.scale = Dense(units, name="scale", **zeros)

    def build(self, input_shape):
        if self.hidden is not None:
            named_build(self.hidden, input_shape)
            input_shape = (*input_shape[:-1], self.hidden_units)
        for projection in (self.offset, self.scale):
            if projection is not None:
                named_build(projection, input_shape)
        self.built = True

    def call(self, inputs) -> tuple[tf.Tensor | None, tf.Tensor | None]:
        """Offset and factor, float32 (..., units) for conditions (..., size); None where off."""
        x = inputs if self.hidden is None else self.hidden(inputs)
        return tuple(
            None if projection is None else tf.cast(projection(x), tf.float32)
            for projection in (self.offset, self.scale)
        )

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "units": self.units,
            "hidden_units": self.hidden_units,
            "hidden_activation": self.hidden_activation,
            "offset": self.offset is not None,
            "scale": self.scale is not None,
            "stddev": self.stddev,
        }


def aligned(condition: tf.Tensor, inputs: tf.Tensor) -> tf.Tensor:
    """A condition (batch, size) with axes of 1 put in, until it has the rank of the inputs."""
    while condition.shape.rank < inputs.shape.rank:
        condition = condition[:, None]
    return condition


@serializable
class ScaleOffset(keras.layers.Layer):
    """Multiplies by a factor and adds an offset, each one number per output.

    Args:
        scale: True for a trainable factor, a number for a fixed one, False or None for none.
        offset: likewise.
        conditional: whether the layer is called on a list of inputs and a condition (batch, size)
            that changes what is there of the two; it changes nothing until it is trained.
        hidden_units: of a dense layer that the condition goes through first; None is none.
        hidden_activation: its activation.
        stddev: standard deviation of the truncated normal that the dense layer starts from.
        **kwargs: as ``keras.layers.Layer``.
    """

    def __init__(
        self,
        scale: bool | float | None = True,
        offset: bool | float | None = True,
        conditional: bool = False,
        hidden_units: int | None = None,
        hidden_activation: str | None = None,
        stddev: float = 0.02,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.scale = scale
        self.offset = offset
        self.conditional = conditional
        self.hidden_units = hidden_units
        self.hidden_activation = canonical_name(hidden_activation)
        self.stddev = stddev
        self.supports_masking = True

    def build(self, input_shape):
        shape, condition_shape = input_shape if self.conditional else (input_shape, None)
        width = int(shape[-1])
        self.beta, self.gamma = self.offset, self.scale
        if self.offset is True:
            self.beta = self.add_weight(
                name="beta", shape=(width,), initializer="zeros", **NO_AUTOCAST
            )
        if self.scale is True:
            self.gamma = self.add_weight(
                name="gamma", shape=(width,), initializer="ones", **NO_AUTOCAST
            )
        self.condition = None
        if self.conditional:
            self.condition = Condition(
                width,
                self.hidden_units,
                self.hidden_activation,
                offset=_is_there(self.offset),
                scale=_is_there(self.scale),
                stddev=self.stddev,
                name="condition",
                dtype=self.dtype_policy,
            )
            named_build(self.condition, condition_shape)
        self.built = True

    def call(self, inputs):
        """Maps (..., width), or a list of that and a condition, to (..., width)."""
        offset_change = scale_change = None
        if self.conditional:
            inputs, condition = inputs
            offset_change, scale_change = self.condition(aligned(condition, inputs))
        outputs = tf.cast(inputs, tf.float32)
        if _is_there(self.scale):
            outputs *= _sum(self.gamma, scale_change)
        if _is_there(self.offset):
            outputs += _sum(self.beta, offset_change)
        return tf.cast(outputs, self.compute_dtype)

    def compute_mask(self, inputs, mask=None):
        return mask[0] if self.conditional and mask is not None else mask

    def compute_output_spec(self, inputs):
        x = inputs[0] if self.conditional else inputs
        return symbolic_tensor(tuple(x.shape), self.compute_dtype)

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "scale": self.scale,
            "offset": self.offset,
            "conditional": self.conditional,
            "hidden_units": self.hidden_units,
            "hidden_activation": self.hidden_activation,
            "stddev": self.stddev,
        }


def _is_there(part: bool | float | None) -> bool:
    return part is not None and part is not False


def _sum(value, change: tf.Tensor | None) -> tf.Tensor:
    value = tf.cast(value, tf.float32)
    return value if change is None else value + change


@serializable
class ConditionalLayerNormalization(LayerNormalization):
    """Layer normalisation whose factor and offset depend on a condition (Su 2020).

    https://kexue.fm/archives/7124. ``gamma`` and ``beta`` are those of the plain layer, which a
    checkpoint brings; what the condition adds to them starts at zero. Called on a list of inputs
    (batch, length, width) and a condition (batch, size).

    Args:
        epsilon: added to the variance.
        hidden_units: of a dense layer that the condition goes through first; None is none.
        hidden_activation: its activation.
        stddev: standard deviation of the truncated normal that the dense layer starts from.
        **kwargs: as ``keras.layers.Layer``.
    """

    def __init__(
        self,
        epsilon: float = 1e-12,
        hidden_units: int | None = None,
        hidden_activation: str | None = None,
        stddev: float = 0.02,
        **kwargs,
    ):
        super().__init__(epsilon, **kwargs)
        self.hidden_units = hidden_units
        self.hidden_activation = canonical_name(hidden_activation)
        self.stddev = stddev

    def build(self, input_shape):
        shape, condition_shape = input_shape
        super().build(shape)
        self.condition = Condition(
            int(shape[-1]),
            self.hidden_units,
            self.hidden_activation,
            stddev=self.stddev,
            name="condition",
            dtype=self.dtype_policy,
        )
        named_build(self.condition, condition_shape)

    def call(self, inputs):
        """Normalises (..., width)."""
        inputs, condition = inputs
        offset, scale = self.condition(aligned(condition, inputs))
        gamma = tf.cast(self.gamma, tf.float32) + scale
        beta = tf.cast(self.beta, tf.float32) + offset
        return tf.cast(self.standardize(inputs) * gamma + beta, self.compute_dtype)

    def compute_mask(self, inputs, mask=None):
        return None if mask is None else mask[0]

    def compute_output_shape(self, input_shape):
        return tuple(input_shape[0])

    def compute_output_spec(self, inputs):
        return symbolic_tensor(tuple(inputs[0].shape), self.compute_dtype)

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "hidden_units": self.hidden_units,
            "hidden_activation": self.hidden_activation,
            "stddev": self.stddev,
        }
