"""Multi-head attention from one sequence to another."""

from __future__ import annotations

from kerasbert.backend import named_build, serializable, symbolic_tensor, tf
from kerasbert.layers import incremental
from kerasbert.layers.attention import MultiHeadSelfAttention, leading_sizes, swap_heads


@serializable
class MultiHeadCrossAttention(MultiHeadSelfAttention):
    """A decoder's attention to the encoder's output (Vaswani et al. 2017, arXiv:1706.03762).

    Keys and values depend on the context alone: they are computed once for a text that is
    generated.

    Args:
        *args: as :class:`MultiHeadSelfAttention`.
        context_size: width of the context; None is that of the inputs.
        **kwargs: as :class:`MultiHeadSelfAttention`; scores are not handed on.
    """

    def __init__(self, *args, context_size: int | None = None, **kwargs):
        super().__init__(*args, **kwargs)
        if self.residual_scores:
            raise ValueError("MultiHeadCrossAttention does not hand its scores on: residual_scores "
                             "must be False.")  # fmt: skip
        self.context_size = context_size

    def build(self, input_shape):
        if self.context_size is not None:
            context_shape = (*input_shape[:-1], self.context_size)
            named_build(self.key, context_shape)
            named_build(self.value, context_shape)
        super().build(input_shape)

    def project_context(self, context: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Keys and values of (batch, keys, width), each (batch, heads, keys, size)."""
        return self.split_heads(self.key(context)), self.split_heads(self.value(context))

    def call(self, inputs, context, attention_bias=None, training=None):
        """Attends.

        Args:
            inputs: (batch, length, width), where queries come from.
            context: (batch, keys, context_size).
            attention_bias: added to the scores; broadcasts to (batch, num_heads, length, keys).
            training: whether dropout is applied.

        Returns:
            (batch, length, output_size).
        """
        return self.checkpointed(
            self._attend_to, inputs, context, attention_bias, training=training
        )

    def _attend_to(self, inputs, context, attention_bias, training):
        reading = incremental.current()
        if reading is None:
            key, value = self.project_context(context)
        else:
            key, value = reading.once(lambda: self.project_context(context))
        scores = self.score(self.split_heads(self.query(inputs)), key)
        if attention_bias is not None:
            scores += attention_bias
        probabilities = self.attention_dropout(tf.nn.softmax(scores), training=training)
        found = swap_heads(self.combine(probabilities, value))
        width = self.num_heads * self.head_size
        return self.output_dense(tf.reshape(found, [*leading_sizes(inputs), width]))

    def compute_output_spec(self, inputs, context, attention_bias=None, training=None):
        return symbolic_tensor((*inputs.shape[:2], self.output_size), self.compute_dtype)

    def get_config(self) -> dict:
        return {**super().get_config(), "context_size": self.context_size}
