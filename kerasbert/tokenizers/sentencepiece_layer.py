"""SentencePiece inside the graph: for ``tf.data`` and for models that are served with text."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from kerasbert.backend import serializable
from kerasbert.tokenizers.layer_base import BaseTokenizerLayer
from kerasbert.tokenizers.sentencepiece import SentencePieceTokenizer
from kerasbert.tokenizers.sentencepiece_graph import Replacement, apply_rules, encode_around


@serializable
class SentencePieceLayer(BaseTokenizerLayer):
    """Text to token ids and segment ids by TensorFlow operations only.

    Gives the ids of the :class:`SentencePieceTokenizer` it is made from
    (:meth:`SentencePieceTokenizer.as_layer`), with one exception: where two ways to split a text
    are exactly as likely ("000" as "0 00" or as "00 0"), the SentencePiece code inside
    tensorflow-text, which is older than the library's, may take the other one.

    Call it with strings of shape (batch,) or (batch, 1), or with a pair of such for first and
    second texts. It returns ``[token_ids, segment_ids]``, int32 (batch, length), and with
    ``return_attention_mask`` a third such tensor, 1 for tokens and 0 for padding.

    Args:
        tokenizer: the tokenizer to put into the graph, or its config.
        max_length: length of the rows, special tokens counted; pairs lose tokens from the longer
            text. None pads to the longest row and truncates nothing.
        return_attention_mask: whether to return the attention mask as well.

    Raises:
        ValueError: the tokenizer calls a Python function, or has no padding token.
        ImportError: tensorflow-text is not installed.
    """

    tokenizer_class = SentencePieceTokenizer

    def __init__(self, tokenizer, max_length=None, return_attention_mask=False, **kwargs):
        super().__init__(tokenizer, max_length, return_attention_mask, **kwargs)
        tokenizer = self.tokenizer
        if tokenizer.pre_tokenize is not None:
            raise ValueError(
                "a tokenizer with pre_tokenize calls a Python function, which cannot be part of a "
                "graph: tokenize in Python, or make the layer of a tokenizer without it."
            )
        self._make_operation = _import_operation()
        self._eager_operation = None
        self._kept = {token: tokenizer._id_of_kept(token) for token in tokenizer.kept_tokens}
        self._numbers = None
        if tokenizer.number_pieces:
            rows = [[at] for at in range(tokenizer.piece_count)]
            for at, (parts, _) in tokenizer.number_pieces.items():
                rows[at] = parts
            self._numbers = Replacement(rows)

    def _encode(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """Ids without special tokens, int32 (batch, tokens)."""
        texts = tf.strings.unicode_transcode(texts, "UTF-8", "UTF-8", errors="ignore")
        takes_space = [self.tokenizer._token_mask]
        return encode_around(texts, self._kept, takes_space, self._encode_parts)

    def _encode_parts(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """Ids of texts without kept tokens."""
        ids = self._operation().tokenize(apply_rules(texts, self.tokenizer.rules))
        if self._numbers is not None:
            ids = self._numbers(ids)
        table = self.tokenizer.id_of_piece
        return ids if table is None else tf.gather(np.array(table, np.int32), ids)

    def _operation(self):
        """The operation that splits texts.

        A graph gets one of its own, which holds the model and reads it once: of one made outside,
        Keras 2 would not know that it has to be exported.
        """
        if not tf.executing_eagerly():
            return self._make_operation(self.tokenizer.model)
        if self._eager_operation is None:
            self._eager_operation = self._make_operation(self.tokenizer.model)
        return self._eager_operation


def _import_operation():
    try:
        import tensorflow_text
    except ImportError as error:
        raise ImportError(
            "SentencePieceLayer needs tensorflow-text of the same version as TensorFlow: run "
            f"`pip install 'tensorflow-text=={'.'.join(tf.__version__.split('.')[:2])}.*'`. "
            f"The import said: {error}"
        ) from error
    return tensorflow_text.SentencepieceTokenizer
