"""Who may attend to whom, as a bias that is added to the attention scores."""

from __future__ import annotations

from kerasbert.backend import keras, serializable, symbolic_tensor, tf
from kerasbert.layers import incremental

PATTERNS = ("encoder", "lm", "unilm")


def padding_mask(token_ids: tf.Tensor, pad_token_id: int | None) -> tf.Tensor:
    """True where a token is real, (batch, length); position 0 always is: no row is empty."""
    if pad_token_id is None:
        return tf.ones_like(token_ids, tf.bool)
    real = tf.not_equal(token_ids, tf.cast(pad_token_id, token_ids.dtype))
    return tf.concat([tf.ones_like(real[:, :1]), real[:, 1:]], axis=1)


@serializable
class PaddingMask(keras.layers.Layer):
    """:func:`padding_mask` as a layer: the Keras mask of a symbolic tensor must come from one.

    Args:
        pad_token_id: id that marks padding.
        **kwargs: as ``keras.layers.Layer``.
    """

    def __init__(self, pad_token_id: int = 0, **kwargs):
        super().__init__(**kwargs)
        self.pad_token_id = pad_token_id

    def call(self, token_ids):
        return padding_mask(token_ids, self.pad_token_id)

    def compute_output_spec(self, token_ids):
        return symbolic_tensor(tuple(token_ids.shape), "bool")

    def get_config(self) -> dict:
        return {**super().get_config(), "pad_token_id": self.pad_token_id}


@serializable
class AttentionMask(keras.layers.Layer):
    """Turns ids into the additive attention bias of one of three applications.

    * ``encoder``: every token sees every real token;
    * ``lm``: token i sees tokens up to i;
    * ``unilm``: segment 0 is the source, seen by all; what follows is read from left to right. With
      idx = cumsum(segment_ids), i sees j if idx[j] <= idx[i] (Dong et al. 2019, arXiv:1905.03197,
      in bert4keras' form).

    Padding is never attended to, whatever the pattern; where it is known by its id, position 0
    always counts as real. The bias is finite: a row of padding gives no NaN.

    Args:
        pattern: one of the above.
        pad_token_id: id that marks padding where no explicit mask is given; None: none does.
        **kwargs: as ``keras.layers.Layer``.
    """

    def __init__(self, pattern: str = "encoder", pad_token_id: int | None = 0, **kwargs):
        super().__init__(**kwargs)
        self.pattern = pattern
        self.pad_token_id = pad_token_id

    def call(self, token_ids, segment_ids=None, attention_mask=None):
        """Makes the bias.

        Args:
            token_ids: integer (batch, length).
            segment_ids: integer (batch, length); needed by ``unilm``.
            attention_mask: (batch, length), not 0 where a token is real; instead of the padding id.

        Returns:
            The bias in the compute dtype: 0 where attention is allowed, a large negative number
            where it is not; (batch, 1, 1, length) for ``encoder``, else (batch, 1, length,
            length). In a pass over new tokens, the bias between these and the cache, but for
            ``encoder``, which is of a text that was read whole.
        """
        step = incremental.current_step()
        if step is not None and self.pattern != "encoder":
            return step.attention_bias(tf.as_dtype(self.compute_dtype))
        if attention_mask is None:
            real = padding_mask(token_ids, self.pad_token_id)
        else:
            real = tf.not_equal(attention_mask, 0)
        allowed = real[:, None, None, :]
        if self.pattern == "lm":
            order = tf.range(tf.shape(token_ids)[1])
            allowed &= (order[None, :] <= order[:, None])[None, None]
        elif self.pattern == "unilm":
            order = tf.cumsum(tf.cast(segment_ids, tf.int32), axis=1)
            allowed &= (order[:, None, :] <= order[:, :, None])[:, None]
        dtype = tf.as_dtype(self.compute_dtype)
        # Half the lowest number: adding a score to it cannot overflow to -inf.
        return tf.where(allowed, tf.zeros((), dtype), tf.constant(dtype.min / 2, dtype))

    def compute_mask(self, *args, **kwargs):
        return None

    def compute_output_spec(self, token_ids, segment_ids=None, attention_mask=None):
        batch, length = token_ids.shape
        queries = 1 if self.pattern == "encoder" else length
        return symbolic_tensor((batch, 1, queries, length), self.compute_dtype)

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "pattern": self.pattern,
            "pad_token_id": self.pad_token_id,
        }
