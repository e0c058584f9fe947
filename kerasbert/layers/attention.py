"""Multi-head self-attention."""

from __future__ import annotations

import functools

from kerasbert.backend import named_build, serializable, symbolic_tensor, tf
from kerasbert.layers import incremental
from kerasbert.layers.dense import Dense
from kerasbert.layers.dropout import Dropout
from kerasbert.layers.recompute import RecomputableLayer


@serializable
class MultiHeadSelfAttention(RecomputableLayer):
    """Scaled dot-product self-attention with several heads (Vaswani et al. 2017, arXiv:1706.03762).

    Sublayers ``query``, ``key``, ``value`` and ``output`` are dense projections with the released
    checkpoints' kernel layout: (hidden_size, num_heads * head width).

    Args:
        num_heads: number of heads.
        head_size: width of a head's values.
        key_size: width of a head's queries and keys; None is ``head_size``.
        output_size: width of the result.
        dropout: rate of dropout on the attention probabilities.
        residual_scores: whether the layer returns (output, scores), for the next one to add to
            its own before the softmax (after RealFormer, He et al. 2020, arXiv:2012.11747). As
            bert4keras does it, a layer hands on its own scores only; the paper's sum runs over
            all layers below.
        use_bias: whether the projections have biases.
        scale: factor of the scores; None is 1 / sqrt(key_size).
        stddev: standard deviation of the truncated normal that kernels start from.
        **kwargs: as :class:`RecomputableLayer`.
    """

    def __init__(
        self,
        num_heads: int,
        head_size: int,
        output_size: int,
        key_size: int | None = None,
        dropout: float = 0.0,
        residual_scores: bool = False,
        use_bias: bool = True,
        scale: float | None = None,
        stddev: float = 0.02,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.num_heads = num_heads
        self.head_size = head_size
        self.key_size = key_size or head_size
        self.output_size = output_size
        self.dropout = dropout
        self.residual_scores = residual_scores
        self.use_bias = use_bias
        self.scale = scale
        self.stddev = stddev
        self.supports_masking = True
        common = {"stddev": stddev, "dtype": self.dtype_policy, "use_bias": use_bias}
        self.query = Dense(num_heads * self.key_size, name="query", **common)
        self.key = Dense(num_heads * self.key_size, name="key", **common)
        self.value = Dense(num_heads * head_size, name="value", **common)
        self.output_dense = Dense(output_size, name="output", **common)
        self.attention_dropout = Dropout(dropout, dtype=self.dtype_policy)

    def build(self, input_shape):
        for projection in (self.query, self.key, self.value):
            named_build(projection, input_shape)
        named_build(self.output_dense, (*input_shape[:-1], self.num_heads * self.head_size))
        self.built = True

    def split_heads(self, x: tf.Tensor) -> tf.Tensor:
        """(batch, length, heads * size) to (batch, heads, length, size)."""
        x = tf.reshape(x, [*leading_sizes(x), self.num_heads, x.shape[-1] // self.num_heads])
        return swap_heads(x)

    @property
    def score_scale(self) -> float:
        """Factor of the scores."""
        return self.key_size**-0.5 if self.scale is None else self.scale

    def project(self, inputs, positions=None) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Queries, keys and values of (batch, length, width), each (batch, heads, length, size)."""
        return (
            self.split_heads(self.query(inputs)),
            self.split_heads(self.key(inputs)),
            self.split_heads(self.value(inputs)),
        )

    def score(self, query: tf.Tensor, key: tf.Tensor, positions=None) -> tf.Tensor:
        """Scaled scores, (batch, heads, queries, keys)."""
        scores = tf.matmul(query, key, transpose_b=True)
        scale = self.score_scale
        return scores if scale == 1 else scores * tf.cast(scale, scores.dtype)

    def combine(self, probabilities: tf.Tensor, value: tf.Tensor, positions=None) -> tf.Tensor:
        """Values weighted by probabilities, (batch, heads, queries, size)."""
        return tf.matmul(probabilities, value)

    def call(
        self,
        inputs,
        attention_bias=None,
        previous_scores=None,
        positions=None,
        training=None,
    ):
        """Attends.

        Args:
            inputs: (batch, length, width).
            attention_bias: added to the scores; broadcasts to (batch, num_heads, length, length).
            previous_scores: scores of the layer before, (batch, num_heads, length, length).
            positions: what a subclass needs to know of the positions, made once for all blocks.
            training: whether dropout is applied.

        Returns:
            (batch, length, output_size); with ``residual_scores`` also its own scores, without
            bias.
        """
        attend = functools.partial(self._attend, positions=positions)
        return self.checkpointed(attend, inputs, attention_bias, previous_scores, training=training)

    def _attend(self, inputs, attention_bias, previous_scores, positions, training):
        query, key, value = self.project(inputs, positions)
        reading = incremental.current()
        if reading is not None:
            key, value = reading.remember(key, value)
        scores = self.score(query, key, positions)
        biased = scores if attention_bias is None else scores + attention_bias
        if previous_scores is not None:
            biased += previous_scores
        probabilities = self.attention_dropout(tf.nn.softmax(biased), training=training)
        context = swap_heads(self.combine(probabilities, value, positions))
        context = tf.reshape(context, [*leading_sizes(inputs), self.num_heads * self.head_size])
        outputs = self.output_dense(context)
        return (outputs, scores) if self.residual_scores else outputs

    def compute_mask(self, inputs, mask=None):
        mask = mask[0] if isinstance(mask, (list, tuple)) else mask
        return (mask, None) if self.residual_scores else mask

    def compute_output_spec(
        self,
        inputs,
        attention_bias=None,
        previous_scores=None,
        positions=None,
        training=None,
    ):
        batch, length = inputs.shape[:2]
        outputs = symbolic_tensor((batch, length, self.output_size), self.compute_dtype)
        if not self.residual_scores:
            return outputs
        shape = (batch, self.num_heads, length, length)
        return outputs, symbolic_tensor(shape, self.compute_dtype)

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "head_size": self.head_size,
            "key_size": self.key_size,
            "output_size": self.output_size,
            "dropout": self.dropout,
            "residual_scores": self.residual_scores,
            "use_bias": self.use_bias,
            "scale": self.scale,
            "stddev": self.stddev,
        }


def swap_heads(x: tf.Tensor) -> tf.Tensor:
    """(batch, length, heads, size) to (batch, heads, length, size), or back."""
    if incremental.current_step() is None:
        return tf.transpose(x, [0, 2, 1, 3])
    # Of a few tokens oneDNN's transposition, which integers do not get, takes 36 us whatever it
    # moves, and a step of BERT-base has 48 of them.
    integers = tf.bitcast(x, tf.int32 if x.dtype.size == 4 else tf.int16)
    return tf.bitcast(tf.transpose(integers, [0, 2, 1, 3]), x.dtype)


def leading_sizes(x: tf.Tensor) -> list:
    """Batch and length of (batch, length, ...), static where known."""
    return [
        size if size is not None else tf.shape(x)[axis] for axis, size in enumerate(x.shape[:2])
    ]
