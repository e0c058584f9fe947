"""Layers without weights around a task's head: scores of starts and ends, texts of choices."""

from __future__ import annotations

from kerasbert.backend import keras, serializable, symbolic_tensor, tf


@serializable
class Column(keras.layers.Layer):
    """One number of each token's: (batch, length, width) to (batch, length).

    Args:
        index: which one.
        **kwargs: as ``keras.layers.Layer``.
    """

    def __init__(self, index: int, **kwargs):
        super().__init__(**kwargs)
        self.index = index

    def call(self, inputs):
        return inputs[..., self.index]

    def compute_mask(self, inputs, mask=None):
        return None  # these are the scores of one choice among tokens, not a sequence

    def compute_output_spec(self, inputs):
        return symbolic_tensor(tuple(inputs.shape[:-1]), inputs.dtype)

    def get_config(self) -> dict:
        return {**super().get_config(), "index": self.index}


@serializable
class FlattenChoices(keras.layers.Layer):
    """The texts of all choices as one batch: (batch, choices, ...) to (batch * choices, ...)."""

    def call(self, inputs):
        sizes = [
            tf.shape(inputs)[axis] if size is None else size
            for axis, size in enumerate(inputs.shape)
        ]
        return tf.reshape(inputs, [-1, *sizes[2:]])

    def compute_output_spec(self, inputs):
        return symbolic_tensor((None, *inputs.shape[2:]), inputs.dtype)

    def get_config(self) -> dict:
        return {**super().get_config()}  # Keras wants it defined where a dtype policy is passed


@serializable
class ByChoice(keras.layers.Layer):
    """The scores of choices side by side again: (batch * choices, 1) to (batch, choices)."""

    def call(self, inputs):
        """Arranges.

        Args:
            inputs: the scores, and anything of the shape (batch, choices, ...).
        """
        scores, like = inputs
        return tf.ensure_shape(tf.reshape(scores, tf.shape(like)[:2]), like.shape[:2])

    def compute_mask(self, inputs, mask=None):
        return None

    def compute_output_spec(self, inputs):
        scores, like = inputs
        return symbolic_tensor(tuple(like.shape[:2]), scores.dtype)

    def get_config(self) -> dict:
        return {**super().get_config()}


def over_choices(model: keras.Model, name: str) -> keras.Model:
    """A model over several texts at once, of one that gives each text a score.

    Args:
        model: with inputs (batch, length) and one output (batch, 1).
        name: of the new model.

    Returns:
        A model with inputs (batch, choices, length), named as those, and the output (batch,
        choices), ``logits``.
    """
    inputs = [
        keras.Input((None, *x.shape[1:]), dtype=x.dtype, name=x.name.split(":")[0])
        for x in model.inputs
    ]
    flat = [FlattenChoices(name=f"Choices-{i}", dtype="float32")(x) for i, x in enumerate(inputs)]
    scores = model(flat[0] if len(flat) == 1 else flat)
    logits = ByChoice(name="logits", dtype="float32")([scores, inputs[0]])
    return keras.Model(inputs[0] if len(inputs) == 1 else inputs, logits, name=name)
