"""bert4keras's ``Loss``: a layer that computes the loss of a model from its inputs and outputs."""

from __future__ import annotations

from collections.abc import Sequence

from kerasbert.backend import keras, serializable, symbolic_tensor, tf


@serializable
class Loss(keras.layers.Layer):
    """Base class of layers that add a loss to the model that they are in::

        class CrossEntropy(Loss):
            def compute_loss(self, inputs, mask=None):
                token_ids, segment_ids, probabilities = inputs
                targets = tf.cast(segment_ids[:, 1:], tf.float32)
                losses = keras.losses.sparse_categorical_crossentropy(
                    token_ids[:, 1:], probabilities[:, :-1]
                )
                return tf.reduce_sum(losses * targets) / tf.reduce_sum(targets)

        output = CrossEntropy(output_axis=2)(model.inputs + model.outputs)
        train_model = keras.Model(model.inputs, output)
        train_model.compile(AdamW(1e-5))
        train_model.fit(generator.forfit(), steps_per_epoch=len(generator))

    The batches need no labels then. New code is simpler with a loss function in ``compile``, such
    as :class:`kerasbert.tasks.NextTokenLoss`.

    Args:
        output_axis: what the layer returns: the input of this number, those of a list of numbers,
            or with None all of them.
        **kwargs: as ``keras.layers.Layer``.
    """

    def __init__(self, output_axis: int | Sequence[int] | None = None, **kwargs):
        super().__init__(**kwargs)
        self.output_axis = output_axis

    def compute_loss(self, inputs, mask=None):
        """The loss, a scalar; subclasses define it.

        Args:
            inputs: what the layer is called with.
            mask: their masks, as the stack's Keras hands them on.
        """
        raise NotImplementedError(
            f"{type(self).__name__} must define compute_loss(self, inputs, mask=None)."
        )

    def call(self, inputs, mask=None):
        """Adds the loss and returns what ``output_axis`` says."""
        self.add_loss(tf.reduce_mean(self.compute_loss(inputs, mask)))
        return self._chosen(inputs)

    def compute_mask(self, inputs, mask=None):
        return None if mask is None else self._chosen(mask)

    def compute_output_spec(self, inputs, mask=None):
        return tf.nest.map_structure(
            lambda tensor: symbolic_tensor(tuple(tensor.shape), tensor.dtype), self._chosen(inputs)
        )

    def _chosen(self, inputs):
        if self.output_axis is None:
            return inputs
        if isinstance(self.output_axis, (list, tuple)):
            return [inputs[axis] for axis in self.output_axis]
        return inputs[self.output_axis]

    def get_config(self) -> dict:
        return {**super().get_config(), "output_axis": self.output_axis}
