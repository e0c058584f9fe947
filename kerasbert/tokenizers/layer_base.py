"""What the layers of all tokenizers share: pairs, truncation, special tokens and padding."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from kerasbert.backend import keras
from kerasbert.tokenizers.base import BaseTokenizer
from kerasbert.tokenizers.padding import longest_first


class BaseTokenizerLayer(keras.layers.Layer):
    """Text to token ids and segment ids by TensorFlow operations only.

    A subclass names its ``tokenizer_class`` and says how texts become ids (:meth:`_encode`).

    Call it with strings of shape (batch,) or (batch, 1), or with a pair of such for first and
    second texts. It returns ``[token_ids, segment_ids]``, int32 (batch, length), and with
    ``return_attention_mask`` a third such tensor, 1 for tokens and 0 for padding.

    Args:
        tokenizer: the tokenizer to put into the graph, or its config.
        max_length: length of the rows, special tokens counted; pairs lose tokens from the longer
            text. None pads to the longest row and truncates nothing.
        return_attention_mask: whether to return the attention mask as well.

    Raises:
        ValueError: the tokenizer has no padding token.
    """

    tokenizer_class: type[BaseTokenizer]

    def __init__(
        self,
        tokenizer: BaseTokenizer | Mapping[str, Any],
        max_length: int | None = None,
        return_attention_mask: bool = False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if isinstance(tokenizer, Mapping):
            tokenizer = self.tokenizer_class.from_config(tokenizer)
        if tokenizer.pad_id is None:
            raise ValueError(
                "the layer pads, but the vocabulary has no padding token: give the tokenizer its "
                "name (token_pad=...)."
            )
        self.tokenizer = tokenizer
        self.max_length = max_length
        self.return_attention_mask = return_attention_mask

    def get_config(self) -> dict[str, Any]:
        """The arguments; the vocabulary is among them."""
        return {
            **super().get_config(),
            "tokenizer": self.tokenizer.get_config(),
            "max_length": self.max_length,
            "return_attention_mask": self.return_attention_mask,
        }

    def call(self, inputs):
        """Tokenizes strings or a pair of strings."""
        is_pair = isinstance(inputs, (list, tuple))
        texts = [self._encode(tf.reshape(one, [-1])) for one in (inputs if is_pair else [inputs])]
        template = self.tokenizer._template
        if self.max_length is not None:
            special = template.count(is_pair)
            if self.max_length < special:
                raise ValueError(
                    f"max_length={self.max_length} is less than the {special} special tokens."
                )
            texts = _truncate(texts, self.max_length - special)
        rows = texts[0].nrows()

        def around(ids, segments):
            """The same special tokens, and their segment ids, for every row."""
            ids, segments = (tf.constant(one, tf.int32, (1, len(ids))) for one in (ids, segments))
            return tf.tile(ids, [rows, 1]), tf.tile(segments, [rows, 1])

        def of_text(which):
            return texts[which], tf.ones_like(texts[which]) * template.segments[which]

        first_segment = template.segments[0]
        parts = [around(template.start, [first_segment] * len(template.start)), of_text(0)]
        if is_pair:
            parts.append(around(template.between, [first_segment] * len(template.between)))
            parts.append(of_text(1))
        parts.append(around(template.end, template.segments_of_end(is_pair)))
        ids, segments = (tf.concat(columns, axis=1) for columns in zip(*parts))
        fills = [(ids, self.tokenizer.pad_id), (segments, template.pad_segment)]
        if self.return_attention_mask:
            fills.append((tf.ones_like(ids), 0))
        return [self._pad(one, fill, template.padding_side) for one, fill in fills]

    def _encode(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """Ids without special tokens, int32 (batch, tokens), of strings (batch,)."""
        raise NotImplementedError

    def _pad(self, rows: tf.RaggedTensor, fill: int, side: str) -> tf.Tensor:
        shape = [None, self.max_length]
        if side == "right":
            return rows.to_tensor(fill, shape=shape)
        return tf.reverse(_reverse_rows(rows).to_tensor(fill, shape=shape), [1])


def _reverse_rows(rows: tf.RaggedTensor) -> tf.RaggedTensor:
    """Every row from its end to its start."""
    sums = tf.repeat(rows.row_starts() + rows.row_limits(), rows.row_lengths())
    places = sums - 1 - tf.range(tf.size(rows.values, sums.dtype), dtype=sums.dtype)
    return rows.with_values(tf.gather(rows.values, places))


def _truncate(texts: list[tf.RaggedTensor], room: int) -> list[tf.RaggedTensor]:
    """Cuts one text, or the longer one of two, so that ``room`` tokens stay."""
    lengths = [ids.row_lengths() for ids in texts]
    if len(texts) == 1:
        return [texts[0][:, :room]]
    kept = longest_first(*lengths, room, tf.minimum, tf.maximum)
    return [
        tf.RaggedTensor.from_tensor(ids.to_tensor(), lengths=count)
        for ids, count in zip(texts, kept)
    ]
