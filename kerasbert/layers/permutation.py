"""What XLNet (Yang et al. 2019, arXiv:1906.08237) has around its attention.

Texts are padded on the left and end with [CLS]; permutations of the order of prediction; memories.
"""

from __future__ import annotations

from kerasbert.backend import (
    NO_AUTOCAST,
    is_symbolic,
    keras,
    serializable,
    symbolic_tensor,
    tf,
)
from kerasbert.layers.dropout import Dropout
from kerasbert.layers.embeddings import Embedding
from kerasbert.layers.feed_forward import FeedForward
from kerasbert.layers.head_projection import sizes
from kerasbert.layers.heads import FirstToken
from kerasbert.layers.initializers import TruncatedNormal
from kerasbert.layers.masks import PaddingMask


@serializable
class LeftPaddingMask(PaddingMask):
    """True where a token is real, (batch, length); the last always is: no row is empty.

    Args:
        pad_token_id: id that marks padding.
        **kwargs: as ``keras.layers.Layer``.
    """

    def call(self, token_ids):
        real = tf.not_equal(token_ids, tf.cast(self.pad_token_id, token_ids.dtype))
        return tf.concat([real[:, :-1], tf.ones_like(real[:, -1:])], axis=1)


@serializable
class LeftPaddedEmbedding(Embedding):
    """A token table for texts that are padded on the left; as :class:`Embedding` otherwise."""

    def compute_mask(self, inputs, mask=None):
        if self.mask_value is None or not tf.as_dtype(inputs.dtype).is_integer:
            return mask
        layer = LeftPaddingMask(self.mask_value)
        return layer(inputs) if is_symbolic(inputs) else layer.call(inputs)


@serializable
class LastToken(FirstToken):
    """The vector of the last token ([CLS]): (batch, length, width) to (batch, width)."""

    def call(self, inputs):
        return inputs[:, -1]


@serializable
class MaskEmbedding(keras.layers.Layer):
    """The vector that every query of the second stream starts from: it knows its place only.

    Args:
        output_dim: its width.
        stddev: standard deviation of the truncated normal that it starts from.
        **kwargs: as ``keras.layers.Layer``.
    """

    def __init__(self, output_dim: int, stddev: float = 0.02, **kwargs):
        super().__init__(**kwargs)
        self.output_dim = output_dim
        self.stddev = stddev
        self.supports_masking = True

    def build(self, input_shape=None):
        self.embeddings = self.add_weight(
            name="embeddings",
            shape=(1, 1, self.output_dim),
            initializer=TruncatedNormal(self.stddev),
            **NO_AUTOCAST,
        )
        self.built = True

    def call(self, inputs):
        """Repeats the vector for each of (batch, queries, ...): (batch, queries, output_dim)."""
        batch, queries, _ = sizes(inputs)
        return tf.tile(tf.cast(self.embeddings, self.compute_dtype), [batch, queries, 1])

    def compute_output_spec(self, inputs):
        return symbolic_tensor((*inputs.shape[:2], self.output_dim), self.compute_dtype)

    def get_config(self) -> dict:
        return {**super().get_config(), "output_dim": self.output_dim, "stddev": self.stddev}


@serializable
class PermutationMask(keras.layers.Layer):
    """Turns ids into the additive attention bias of one or of two streams.

    Nobody sees padding and everybody sees a memory. A token of the first stream sees itself in any
    case, so that no row is empty; a query of the second one does not.

    Args:
        pattern: "encoder" (a token sees all others), "lm" (those before it, in both streams), or
            "permutation" (those that an input allows).
        pad_token_id: id that marks padding where no explicit mask is given.
        **kwargs: as ``keras.layers.Layer``.
    """

    def __init__(self, pattern: str = "encoder", pad_token_id: int = 5, **kwargs):
        super().__init__(**kwargs)
        self.pattern = pattern
        self.pad_token_id = pad_token_id

    def call(self, token_ids, attention_mask=None, permutation_mask=None, memory=None):
        """Makes the biases.

        Args:
            token_ids: integer (batch, n).
            attention_mask: (batch, n), not 0 where a token is real; instead of the padding id.
            permutation_mask: (batch, n, n), not 0 where token i may not see token j.
            memory: (batch, blocks, m, width), of which only the length counts.

        Returns:
            The bias in the compute dtype, (batch, 1, n, m + n): 0 where attention is allowed, a
            large negative number where it is not. For "permutation" a pair, one per stream.
        """
        batch, length = sizes(token_ids)
        if attention_mask is None:
            pad = tf.cast(self.pad_token_id, token_ids.dtype)
            allowed = tf.not_equal(token_ids, pad)[:, tf.newaxis]
        else:
            allowed = tf.not_equal(attention_mask, 0)[:, tf.newaxis]
        order = tf.range(length)
        if self.pattern == "lm":
            allowed &= order[tf.newaxis, :] <= order[:, tf.newaxis]
        if permutation_mask is not None:
            allowed &= tf.equal(permutation_mask, 0)
        itself = order[tf.newaxis, :] == order[:, tf.newaxis]
        streams = (
            [allowed | itself, allowed] if self.pattern == "permutation" else [allowed | itself]
        )
        dtype = tf.as_dtype(self.compute_dtype)
        biases = []
        for seen in streams:
            if memory is not None:
                remembered = tf.ones([batch, length, sizes(memory)[2]], tf.bool)
                seen = tf.concat([remembered, seen], axis=-1)
            # Half the lowest number: adding a score to it cannot overflow to -inf.
            bias = tf.where(seen, tf.zeros((), dtype), tf.constant(dtype.min / 2, dtype))
            biases.append(bias[:, tf.newaxis])
        return tuple(biases) if len(biases) > 1 else biases[0]

    def compute_mask(self, *args, **kwargs):
        return None

    def compute_output_spec(
        self, token_ids, attention_mask=None, permutation_mask=None, memory=None
    ):
        shape = (token_ids.shape[0], 1, token_ids.shape[1], _keys(token_ids, memory))
        bias = symbolic_tensor(shape, self.compute_dtype)
        if self.pattern != "permutation":
            return bias
        return bias, symbolic_tensor(shape, self.compute_dtype)

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "pattern": self.pattern,
            "pad_token_id": self.pad_token_id,
        }


@serializable
class OtherSegment(keras.layers.Layer):
    """1 where a key is of another segment than the query, else 0: (batch, 1, n, m + n).

    A memory counts as segment 0.
    """

    def call(self, segment_ids, memory=None):
        """Compares integer (batch, n); of a memory (batch, blocks, m, width) the length counts."""
        keys = segment_ids
        if memory is not None:
            remembered = tf.zeros([sizes(keys)[0], sizes(memory)[2]], keys.dtype)
            keys = tf.concat([remembered, keys], axis=1)
        differs = tf.not_equal(segment_ids[:, :, tf.newaxis], keys[:, tf.newaxis, :])
        return tf.cast(differs[:, tf.newaxis], self.compute_dtype)

    def compute_output_spec(self, segment_ids, memory=None):
        shape = (segment_ids.shape[0], 1, segment_ids.shape[1], _keys(segment_ids, memory))
        return symbolic_tensor(shape, self.compute_dtype)

    def get_config(self) -> dict:
        return {**super().get_config()}


@serializable
class WithMemory(keras.layers.Layer):
    """What a block attends to: its memory, then its inputs.

    Args:
        index: of the block.
        **kwargs: as ``keras.layers.Layer``.
    """

    def __init__(self, index: int, **kwargs):
        super().__init__(**kwargs)
        self.index = index

    def call(self, inputs, memory):
        """Joins (batch, n, width) to its part of (batch, blocks, m, width)."""
        return tf.concat([tf.cast(memory[:, self.index], inputs.dtype), inputs], axis=1)

    def compute_mask(self, inputs, mask=None):
        return None

    def compute_output_spec(self, inputs, memory):
        batch, _, width = inputs.shape
        return symbolic_tensor((batch, _keys(inputs, memory), width), self.compute_dtype)

    def get_config(self) -> dict:
        return {**super().get_config(), "index": self.index}


@serializable
class UpdateMemory(keras.layers.Layer):
    """The inputs of all blocks, as the memory for the next piece of text; without gradient.

    Args:
        length: of the memory; what is older is dropped.
        **kwargs: as ``keras.layers.Layer``.
    """

    def __init__(self, length: int, **kwargs):
        super().__init__(**kwargs)
        self.length = length

    def call(self, inputs):
        """Joins the inputs to the memory.

        Args:
            inputs: a list, the memory (batch, blocks, m, width) and (batch, n, width) per block.

        Returns:
            (batch, blocks, at most ``length``, width).
        """
        memory, *hidden = inputs
        hidden = tf.stack(hidden, axis=1)
        joined = tf.concat([tf.cast(memory, hidden.dtype), hidden], axis=2)
        return tf.stop_gradient(joined[:, :, -self.length :])

    def compute_mask(self, inputs, mask=None):
        return None

    def compute_output_spec(self, inputs):
        batch, blocks, _, width = inputs[0].shape
        return symbolic_tensor((batch, blocks, None, width), self.compute_dtype)

    def get_config(self) -> dict:
        return {**super().get_config(), "length": self.length}


@serializable
class FeedForwardWithDropout(FeedForward):
    """The feed-forward network with dropout between its layers too.

    Args:
        dropout: its rate.
        **kwargs: as :class:`FeedForward`.
    """

    def __init__(self, dropout: float = 0.0, **kwargs):
        super().__init__(**kwargs)
        self.dropout = dropout
        self.inner_dropout = Dropout(dropout, dtype=self.dtype_policy)

    def _transform(self, inputs, training):
        x = self.inner_dropout(self.intermediate(inputs), training=training)
        return self.output_dense(x)

    def get_config(self) -> dict:
        return {**super().get_config(), "dropout": self.dropout}


def _keys(inputs, memory) -> int | None:
    """How many keys there are, m + n, where that is known."""
    lengths = (inputs.shape[1], 0 if memory is None else memory.shape[2])
    return None if None in lengths else sum(lengths)
