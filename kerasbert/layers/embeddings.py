"""Token, segment and position embeddings."""

from __future__ import annotations

from kerasbert.backend import NO_AUTOCAST, is_symbolic, keras, serializable, symbolic_tensor, tf
from kerasbert.layers import incremental
from kerasbert.layers.initializers import TruncatedNormal
from kerasbert.layers.masks import PaddingMask, padding_mask


@serializable
class Embedding(keras.layers.Layer):
    """Lookup table that can also be used transposed, as the tied output layer of a language model.

    Args:
        input_dim: number of rows (the vocabulary size).
        output_dim: width of a row.
        mask_value: id of the padding token; positions that hold it are masked in Keras' sense for
            the layers after it (pooling, RNN, CRF, losses), except position 0, so that no row is
            all masked. None makes no mask.
        stddev: standard deviation of the truncated normal that the table starts from.
        family: of the transformer that the table belongs to: families may share all layer names,
            and a saved model must still know under which names its weights are published.
        **kwargs: as ``keras.layers.Layer``.
    """

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        mask_value: int | None = None,
        stddev: float = 0.02,
        family: str | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.input_dim = input_dim
        self.output_dim = output_dim
        self.mask_value = mask_value
        self.stddev = stddev
        self.family = family
        self.supports_masking = True

    def build(self, input_shape=None):
        if self.built:  # the tied output layer is a second call with another shape
            return
        # Without autocast: casting a whole table to look up a few rows costs more than the lookup.
        self.embeddings = self.add_weight(
            name="embeddings",
            shape=(self.input_dim, self.output_dim),
            initializer=TruncatedNormal(self.stddev),
            **NO_AUTOCAST,
        )
        self.built = True

    def call(self, inputs, reverse: bool = False):
        """Looks up or scores.

        Args:
            inputs: ids (...), integer; or with ``reverse``, vectors (..., output_dim).
            reverse: False maps ids to vectors (..., output_dim); True maps vectors to the scores of
                all rows, (..., input_dim).
        """
        if not reverse:
            ids = tf.cast(inputs, tf.int32)
            return tf.cast(tf.gather(self.embeddings, ids), self.compute_dtype)
        reading = incremental.current()
        if reading is not None:
            inputs = reading.wanted(inputs)
        table = incremental.weight(self, self.embeddings)
        scores = tf.matmul(tf.reshape(inputs, [-1, self.output_dim]), table, transpose_b=True)
        leading = tf.shape(inputs)[:-1]
        outputs = tf.reshape(scores, tf.concat([leading, [self.input_dim]], axis=0))
        outputs.set_shape([*inputs.shape[:-1], self.input_dim])
        return outputs

    def compute_mask(self, inputs, mask=None):
        if self.mask_value is None or isinstance(mask, (list, tuple)):
            return None
        if not tf.as_dtype(inputs.dtype).is_integer:  # the reverse call: keep its mask
            return mask
        if is_symbolic(inputs):
            return PaddingMask(self.mask_value)(inputs)
        return padding_mask(inputs, self.mask_value)

    def compute_output_spec(self, inputs, reverse: bool = False):
        shape = tuple(inputs.shape)
        shape = (*shape[:-1], self.input_dim) if reverse else (*shape, self.output_dim)
        return symbolic_tensor(shape, self.compute_dtype)

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "input_dim": self.input_dim,
            "output_dim": self.output_dim,
            "mask_value": self.mask_value,
            "stddev": self.stddev,
            "family": self.family,
        }


@serializable
class PositionEmbedding(keras.layers.Layer):
    """Adds learned absolute positions to (batch, length, width) vectors.

    With ``hierarchical``, positions beyond the table are composed of two of its rows (Su 2020,
    https://kexue.fm/archives/7947): with n rows and base vectors u = (p - a p[0]) / (1 - a),
    position i n + j is a u[i] + (1 - a) u[j]. A table of 512 rows then reaches 262,144 positions,
    and the first 512 are unchanged.

    Args:
        input_dim: number of rows of the table.
        output_dim: width.
        hierarchical: False, True (a = 0.4), or the value of a, above 0 and below 1.
        stddev: standard deviation of the truncated normal that the table starts from.
        **kwargs: as ``keras.layers.Layer``.

    Raises:
        ValueError: when a static length exceeds the table and ``hierarchical`` is off.
    """

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        hierarchical: bool | float = False,
        stddev: float = 0.02,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.input_dim = input_dim
        self.output_dim = output_dim
        self.hierarchical = hierarchical
        self.stddev = stddev
        self.supports_masking = True

    def build(self, input_shape=None):
        self.embeddings = self.add_weight(
            name="embeddings",
            shape=(self.input_dim, self.output_dim),
            initializer=TruncatedNormal(self.stddev),
            **NO_AUTOCAST,
        )
        self.built = True

    def _rows(self, positions: tf.Tensor) -> tf.Tensor:
        """The vectors of any positions, composed hierarchically, (..., width)."""
        alpha = 0.4 if self.hierarchical is True else float(self.hierarchical)
        table = tf.cast(self.embeddings, tf.float32)
        base = (table - alpha * table[:1]) / (1.0 - alpha)
        coarse = tf.gather(base, positions // self.input_dim)
        fine = tf.gather(base, positions % self.input_dim)
        return alpha * coarse + (1.0 - alpha) * fine

    def call(self, inputs, position_ids=None):
        """Adds positions.

        Args:
            inputs: (batch, length, width).
            position_ids: integer (batch, length), or None for 0, 1, 2, ...
        """
        step = incremental.current_step()
        if position_ids is None and step is not None:
            position_ids = step.positions
        if position_ids is not None:
            position_ids = tf.cast(position_ids, tf.int32)
            rows = (
                self._rows(position_ids)
                if self.hierarchical
                else tf.gather(self.embeddings, position_ids)
            )
        else:
            static, length = inputs.shape[1], tf.shape(inputs)[1]
            if self.hierarchical:
                rows = self._rows(tf.range(length))
            elif static is not None and static > self.input_dim:
                raise ValueError(too_long(static, self.input_dim))
            else:
                message = too_long("more", self.input_dim)
                with tf.control_dependencies(
                    [tf.debugging.assert_less_equal(length, self.input_dim, message)]
                ):
                    rows = self.embeddings[:length]
        return inputs + tf.cast(rows, inputs.dtype)

    @property
    def longest(self) -> int:
        """The most tokens that the layer can tell apart."""
        return self.input_dim**2 if self.hierarchical else self.input_dim

    def compute_output_shape(self, input_shape, *_):
        return tuple(input_shape)

    def compute_output_spec(self, inputs, position_ids=None):
        return symbolic_tensor(tuple(inputs.shape), self.compute_dtype)

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "input_dim": self.input_dim,
            "output_dim": self.output_dim,
            "hierarchical": self.hierarchical,
            "stddev": self.stddev,
        }


def too_long(length, rows: int) -> str:
    """The message for a text that exceeds the position table."""
    return (
        f"The text is too long for this model: the position table has {rows} rows and the input "
        f"has {length} tokens. Truncate (max_length={rows}), or build the model with "
        "hierarchical_position=True, which composes further positions from the learned ones."
    )
