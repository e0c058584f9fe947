"""The scores of the next token alone: the head that scores the vocabulary sees one position."""

from __future__ import annotations

import numpy as np

from kerasbert.backend import keras, serializable, symbolic_tensor, tf
from kerasbert.layers import (
    Activation,
    Bias,
    Dense,
    Dropout,
    Embedding,
    FirstToken,
    LayerNormalization,
)

# Layers that compute each position by itself, so that the others may be left out before them.
POSITIONWISE = (Activation, Bias, Dense, Dropout, Embedding, LayerNormalization)


@serializable
class LastPosition(keras.layers.Layer):
    """The last position of (batch, length, width), kept as an axis: (batch, 1, width)."""

    def call(self, inputs):
        return inputs[:, -1:]

    def compute_mask(self, inputs, mask=None):
        return None

    def compute_output_spec(self, inputs):
        batch, _, *rest = inputs.shape
        return symbolic_tensor((batch, 1, *rest), inputs.dtype)


class LastTokenModel(keras.Model):
    """A model of the same inputs and layers whose outputs are those of the last position.

    ``predict`` takes one batch, as a decoding loop has, and runs one graph for all shapes: none of
    the fixed cost of Keras's ``predict``, which is larger than a small model's step.
    """

    def predict(self, x, *args, **kwargs):
        """Predicts one batch.

        Args:
            x: the inputs, arrays in a list or tuple, or one array; numbers of any type.
            *args: ``batch_size``, ``verbose`` and so on, which mean nothing for one batch.
            **kwargs: the same.

        Returns:
            The outputs as arrays, (batch, vocab_size) each; a list where there are several.
        """
        x = x if isinstance(x, (list, tuple)) else [x]
        if len(x) != len(self.inputs):
            names = ", ".join(tensor.name for tensor in self.inputs)
            raise ValueError(f"the model has {len(self.inputs)} inputs ({names}), got {len(x)}.")
        arrays = [np.asarray(array) for array in x]
        arrays = [tf.cast(array, tensor.dtype) for array, tensor in zip(arrays, self.inputs)]
        outputs = self._run(arrays)
        outputs = [output.numpy() for output in tf.nest.flatten(outputs)]
        return outputs[0] if len(outputs) == 1 else outputs

    @property
    def _run(self):
        if "_compiled" not in self.__dict__:
            specs = [tf.TensorSpec(tensor.shape, tensor.dtype) for tensor in self.inputs]
            function = tf.function(lambda x: self(x, training=False), input_signature=[specs])
            self.__dict__["_compiled"] = function  # past Keras, which would track it as a part
        return self.__dict__["_compiled"]


def last_token_model(model: keras.Model) -> LastTokenModel:
    """Makes the model of the last position; weights are shared and not copied.

    Where the end of the graph computes every position by itself (the heads of this package do),
    it gets the last position alone, and the vocabulary is scored once and not for every position.

    Args:
        model: a functional model whose outputs are (batch, length, ...); rows without padding at
            their end.

    Returns:
        The model; its outputs are (batch, ...).

    Raises:
        ValueError: an output has no axis of positions, such as a pooled vector.
    """
    outputs = []
    for output in tf.nest.flatten(model.outputs):
        if len(output.shape) < 3:
            raise ValueError(
                f"an output of the shape {tuple(output.shape)} has no last token. Give a model of "
                "the token scores alone, such as keras.Model(model.inputs, model.outputs[1])."
            )
        hidden = _before_positionwise_layers(output)
        last = LastPosition(dtype=hidden.dtype)(hidden)  # whatever the global policy is by now
        if hidden is not output:
            last = keras.Model(hidden, output)(last)
        outputs.append(FirstToken(dtype=output.dtype)(last))
    return LastTokenModel(model.inputs, outputs if len(outputs) > 1 else outputs[0])


def _before_positionwise_layers(tensor):
    """The symbolic tensor that the position-wise layers at the end of the graph start from."""
    while True:
        layer, node_index = tensor._keras_history[:2]
        inputs = tf.nest.flatten(layer._inbound_nodes[node_index].input_tensors)
        if not isinstance(layer, POSITIONWISE) or len(inputs) != 1 or len(inputs[0].shape) < 3:
            return tensor
        tensor = inputs[0]
