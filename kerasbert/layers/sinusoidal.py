"""Sinusoidal positions (Vaswani et al. 2017, arXiv:1706.03762)."""

from __future__ import annotations

import numpy as np

from kerasbert.backend import keras, serializable, symbolic_tensor, tf
from kerasbert.layers import incremental

MERGE_MODES = ("add", "mul", "concat", "zero")


def frequencies(size: int, base: float = 10000.0) -> np.ndarray:
    """The angles in radians by which one position turns each pair of numbers, (size / 2,).

    Raises:
        ValueError: for an odd size: sine and cosine come in pairs.
    """
    if size < 2 or size % 2:
        raise ValueError(
            f"Sinusoidal positions have a sine and a cosine for each angle: their size must be "
            f"even and at least 2. Received: {size!r}"
        )
    return base ** (-np.arange(0, size, 2) / size)


def sinusoids(positions: tf.Tensor, size: int) -> tf.Tensor:
    """Sine and cosine in turn, in float32 whatever the policy: half precision cannot count.

    Args:
        positions: numbers (...).
        size: even width of the result.

    Returns:
        float32 (..., size).
    """
    angles = tf.cast(positions, tf.float32)[..., None] * frequencies(size).astype(np.float32)
    pairs = tf.stack([tf.sin(angles), tf.cos(angles)], axis=-1)
    return tf.reshape(pairs, tf.concat([tf.shape(positions), [size]], axis=0))


@serializable
class SinusoidalPositionEmbedding(keras.layers.Layer):
    """Sine and cosine of the position, combined with the inputs.

    Args:
        output_dim: width of the positions, even; for "add" and "mul" that of the inputs.
        merge_mode: "add"; "mul" (inputs times 1 + positions); "concat", on the last axis; or
            "zero": the positions alone, (1, length, output_dim) (batch instead of 1 with
            ``custom_position_ids``).
        custom_position_ids: whether the layer is called on a list of inputs and position ids
            (batch, length); otherwise positions are 0, 1, 2, ...
        **kwargs: as ``keras.layers.Layer``.
    """

    def __init__(
        self,
        output_dim: int,
        merge_mode: str = "add",
        custom_position_ids: bool = False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if merge_mode not in MERGE_MODES:
            raise ValueError(
                f"merge_mode must be one of {', '.join(MERGE_MODES)}. Received: {merge_mode!r}"
            )
        frequencies(output_dim)
        self.output_dim = output_dim
        self.merge_mode = merge_mode
        self.custom_position_ids = custom_position_ids
        self.supports_masking = True

    def call(self, inputs):
        """Combines (batch, length, width) with positions; "zero" takes (batch, length) as well."""
        step = incremental.current_step()
        if self.custom_position_ids:
            inputs, positions = inputs
        elif step is not None:
            positions = step.positions
        else:
            static = inputs.shape[1]
            positions = tf.range(tf.shape(inputs)[1] if static is None else static)[None]
        embeddings = sinusoids(positions, self.output_dim)
        embeddings.set_shape([*positions.shape, self.output_dim])
        if self.merge_mode == "zero":
            return tf.cast(embeddings, self.compute_dtype)
        embeddings = tf.cast(embeddings, inputs.dtype)
        if self.merge_mode == "add":
            return inputs + embeddings
        if self.merge_mode == "mul":
            return inputs * (1 + embeddings)
        like = tf.zeros_like(inputs[..., :1])  # to repeat the positions for every text
        return tf.concat([inputs, embeddings + like], axis=-1)

    def compute_mask(self, inputs, mask=None):
        if self.merge_mode == "zero":
            return None
        return mask[0] if self.custom_position_ids and mask is not None else mask

    def compute_output_spec(self, inputs):
        shape = tuple((inputs[0] if self.custom_position_ids else inputs).shape)
        if self.merge_mode == "zero":
            shape = (shape[0] if self.custom_position_ids else 1, shape[1], self.output_dim)
        elif self.merge_mode == "concat":
            shape = (*shape[:-1], shape[-1] + self.output_dim)
        return symbolic_tensor(shape, self.compute_dtype)

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "output_dim": self.output_dim,
            "merge_mode": self.merge_mode,
            "custom_position_ids": self.custom_position_ids,
        }
