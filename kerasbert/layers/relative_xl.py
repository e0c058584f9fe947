"""Self-attention by distance, after Transformer-XL (Dai et al. 2019, arXiv:1901.02860).

In XLNet's form (Yang et al. 2019, arXiv:1906.08237): it also tells tokens of the query's segment
from others, and may serve two streams of queries over the same keys.
"""

from __future__ import annotations

from kerasbert.backend import NO_AUTOCAST, keras, named_build, serializable, symbolic_tensor, tf
from kerasbert.layers.dropout import Dropout
from kerasbert.layers.head_projection import HeadProjection, sizes
from kerasbert.layers.initializers import TruncatedNormal
from kerasbert.layers.recompute import RecomputableLayer
from kerasbert.layers.sinusoidal import frequencies


@serializable
class RelativePositionEncoding(keras.layers.Layer):
    """Sinusoids of all distances between n queries and m + n keys, m of which are a memory.

    Row p is the distance m + n - p, from a key m + n tokens before the query to one n - 1 after it:
    first the sines of all frequencies, then the cosines.

    Args:
        clamp_length: distances beyond this many tokens count as this many; none if not positive.
        **kwargs: as ``keras.layers.Layer``.
    """

    def __init__(self, clamp_length: int = -1, **kwargs):
        super().__init__(**kwargs)
        self.clamp_length = clamp_length

    def call(self, inputs, memory=None):
        """Makes the encodings.

        Args:
            inputs: (batch, n, width), of which only the sizes count.
            memory: (batch, blocks, m, width), likewise.

        Returns:
            (1, m + 2 n, width).
        """
        queries = sizes(inputs)[1]
        keys = queries if memory is None else queries + sizes(memory)[2]
        distances = tf.cast(tf.range(keys, -queries, -1), tf.float32)
        if self.clamp_length > 0:
            distances = tf.clip_by_value(distances, -self.clamp_length, self.clamp_length)
        angles = distances[:, tf.newaxis] * frequencies(inputs.shape[-1]).astype("float32")
        encoding = tf.concat([tf.sin(angles), tf.cos(angles)], axis=-1)
        return tf.cast(encoding[tf.newaxis], self.compute_dtype)

    def compute_mask(self, inputs, mask=None):
        return None

    def compute_output_spec(self, inputs, memory=None):
        rows = (inputs.shape[1], inputs.shape[1], 0 if memory is None else memory.shape[2])
        length = None if None in rows else sum(rows)
        return symbolic_tensor((1, length, inputs.shape[-1]), self.compute_dtype)

    def get_config(self) -> dict:
        return {**super().get_config(), "clamp_length": self.clamp_length}


@serializable
class QueryBias(keras.layers.Layer):
    """What is added to all queries of a block, or of all blocks, wherever they stand.

    Three vectors per head, ``content_bias``, ``position_bias`` and ``segment_bias``, for the three
    terms of the attention scores (the first two are u and v of Transformer-XL).

    Args:
        num_heads: number of heads.
        head_size: width of a head.
        stddev: standard deviation of the truncated normal that the vectors start from.
        **kwargs: as ``keras.layers.Layer``.
    """

    def __init__(self, num_heads: int, head_size: int, stddev: float = 0.02, **kwargs):
        super().__init__(**kwargs)
        self.num_heads = num_heads
        self.head_size = head_size
        self.stddev = stddev

    def build(self, input_shape=None):
        self.content_bias, self.position_bias, self.segment_bias = (
            self.add_weight(
                name=name,
                shape=(self.num_heads, self.head_size),
                initializer=TruncatedNormal(self.stddev),
                **NO_AUTOCAST,
            )
            for name in ("content_bias", "position_bias", "segment_bias")
        )
        self.built = True

    def call(self, inputs):
        """The vectors, (3, num_heads, head_size), whatever the inputs are."""
        biases = (self.content_bias, self.position_bias, self.segment_bias)
        return tf.stack([tf.cast(bias, self.compute_dtype) for bias in biases])

    def compute_mask(self, inputs, mask=None):
        return None

    def compute_output_spec(self, inputs):
        return symbolic_tensor((3, self.num_heads, self.head_size), self.compute_dtype)

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "head_size": self.head_size,
            "stddev": self.stddev,
        }


@serializable
class RelativeXLSelfAttention(RecomputableLayer):
    """Self-attention whose scores are the sum of three terms, each by a bias of its own.

    With q a query and u, v, s the vectors of :class:`QueryBias`: (q + u) k by content, (q + v) W r
    by the distance r to the key, and (q + s) e by whether the key is of the query's segment.

    Sublayers ``query``, ``key``, ``value``, ``position`` (W) and ``output`` are projections without
    bias; ``segment_embeddings`` (2, num_heads, head_size) holds e of the same segment and of
    another one.

    Args:
        num_heads: number of heads.
        head_size: width of a head.
        output_size: width of inputs and result.
        dropout: rate of dropout on the attention probabilities.
        query_offset: how many tokens ahead of its row a query of the second stream stands.
        stddev: standard deviation of the truncated normal that variables start from.
        **kwargs: as :class:`RecomputableLayer`.
    """

    def __init__(
        self,
        num_heads: int,
        head_size: int,
        output_size: int,
        dropout: float = 0.0,
        query_offset: int = 0,
        stddev: float = 0.02,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.num_heads = num_heads
        self.head_size = head_size
        self.output_size = output_size
        self.dropout = dropout
        self.query_offset = query_offset
        self.stddev = stddev
        self.supports_masking = True
        sizes_ = {"width": output_size, "num_heads": num_heads, "head_size": head_size}
        common = {**sizes_, "stddev": stddev, "dtype": self.dtype_policy}
        self.query = HeadProjection(name="query", **common)
        self.key = HeadProjection(name="key", **common)
        self.value = HeadProjection(name="value", **common)
        self.position = HeadProjection(name="position", **common)
        self.output_projection = HeadProjection(name="output", **common)
        self.attention_dropout = Dropout(dropout, dtype=self.dtype_policy)

    def build(self, input_shape=None):
        for projection in (self.query, self.key, self.value, self.position, self.output_projection):
            named_build(projection, None)
        self.segment_embeddings = self.add_weight(
            name="segment_embeddings",
            shape=(2, self.num_heads, self.head_size),
            initializer=TruncatedNormal(self.stddev),
            **NO_AUTOCAST,
        )
        self.built = True

    def call(
        self,
        inputs,
        position_encoding,
        query_bias,
        other_segment,
        attention_bias,
        context=None,
        query_stream=None,
        query_attention_bias=None,
        target_mapping=None,
        training=None,
    ):
        """Attends.

        Args:
            inputs: hidden states (batch, n, width), the queries of the first stream.
            position_encoding: (1, m + 2 n, width), of :class:`RelativePositionEncoding`.
            query_bias: (3, num_heads, head_size), of :class:`QueryBias`.
            other_segment: (batch, 1, n, m + n), 1 where the key is of another segment, else 0.
            attention_bias: added to the scores of the first stream; broadcasts to (batch,
                num_heads, n, m + n).
            context: what the keys are made of, (batch, m + n, width): a memory and then the inputs;
                None is the inputs.
            query_stream: a second stream (batch, targets, width), which is no key for either.
            query_attention_bias: as ``attention_bias``, for the second stream; None is the same.
            target_mapping: (batch, targets, n), 1 at the place of each query of the second stream,
                else 0; None: there are n, at their places plus ``query_offset``.
            training: whether dropout is applied.

        Returns:
            (batch, n, width); with a second stream a pair, of that and (batch, targets, width).
        """
        return self.checkpointed(
            self._attend_twice,
            inputs,
            position_encoding,
            query_bias,
            other_segment,
            attention_bias,
            context,
            query_stream,
            query_attention_bias,
            target_mapping,
            training=training,
        )

    def _attend_twice(
        self,
        inputs,
        position_encoding,
        query_bias,
        other_segment,
        attention_bias,
        context,
        query_stream,
        query_attention_bias,
        target_mapping,
        training,
    ):
        """:meth:`call`, of both streams or the first alone."""
        context = inputs if context is None else context
        keys = self.key(context), self.value(context), self.position(position_encoding)
        terms = query_bias, other_segment
        heads = self._attend(self.query(inputs), keys, terms, attention_bias, 0, training)
        hidden = self.output_projection(heads, reverse=True)
        if query_stream is None:
            return hidden
        query = self.query(query_stream)
        if target_mapping is not None:
            target_mapping = tf.cast(target_mapping, query.dtype)[:, tf.newaxis]
            query = tf.matmul(target_mapping, query, transpose_a=True)
        bias = attention_bias if query_attention_bias is None else query_attention_bias
        heads = self._attend(query, keys, terms, bias, self.query_offset, training)
        if target_mapping is not None:
            heads = tf.matmul(target_mapping, heads)
        return hidden, self.output_projection(heads, reverse=True)

    def _attend(self, query, keys, terms, attention_bias, offset: int, training) -> tf.Tensor:
        """One stream's context vectors, (batch, num_heads, n, head_size)."""
        key, value, position = keys
        biases, other_segment = terms
        scale = tf.cast(self.head_size**-0.5, query.dtype)
        query, biases = query * scale, biases * scale
        by_content, by_position, by_segment = (
            query + bias for bias in tf.unstack(biases[:, :, tf.newaxis])
        )
        scores = tf.matmul(by_content, key, transpose_b=True)
        distances = tf.matmul(by_position, position, transpose_b=True)
        scores += relative_shift(distances, sizes(key)[2], offset)
        # What all keys have in common does not change the softmax: the difference is enough.
        same, other = tf.unstack(tf.cast(self.segment_embeddings, query.dtype))
        difference = tf.reduce_sum(by_segment * (other - same)[:, tf.newaxis], -1, keepdims=True)
        scores += difference * other_segment + attention_bias
        probabilities = self.attention_dropout(tf.nn.softmax(scores), training=training)
        return tf.matmul(probabilities, value)

    def compute_mask(self, inputs, mask=None):
        # Only queries at the places of the inputs are padding where those are.
        return (mask, mask if self.query_offset else None)

    def compute_output_spec(self, inputs, *_, query_stream=None, **__):
        hidden = symbolic_tensor(tuple(inputs.shape), self.compute_dtype)
        if query_stream is None:
            return hidden
        return hidden, symbolic_tensor(tuple(query_stream.shape), self.compute_dtype)

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "head_size": self.head_size,
            "output_size": self.output_size,
            "dropout": self.dropout,
            "query_offset": self.query_offset,
            "stddev": self.stddev,
        }


def relative_shift(scores: tf.Tensor, keys: int | tf.Tensor, offset: int = 0) -> tf.Tensor:
    """Picks for every query and key the score of their distance.

    Args:
        scores: (batch, heads, n, keys + n), by the rows of :class:`RelativePositionEncoding`.
        keys: number of keys, m + n.
        offset: 1 if each query stands one token ahead of its row, else 0.

    Returns:
        (batch, heads, n, keys); query i and key j have that of the distance m + i + offset - j.
    """
    batch, heads, queries, rows = sizes(scores)
    # Query i starts at row n - i - offset: in lines one shorter, all start in one column.
    flat = tf.reshape(scores, [batch, heads, queries * rows])
    start = queries - offset
    flat = flat[:, :, start : start + queries * (rows - 1)]
    return tf.reshape(flat, [batch, heads, queries, rows - 1])[..., :keys]
