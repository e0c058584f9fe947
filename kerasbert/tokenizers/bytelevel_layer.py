"""Byte-level BPE as a layer: for ``tf.data`` and for models that are served with text as input."""

from __future__ import annotations

import tensorflow as tf

from kerasbert.backend import serializable
from kerasbert.tokenizers.bytelevel_bpe import ByteLevelBPETokenizer
from kerasbert.tokenizers.bytelevel_graph import GraphBPE
from kerasbert.tokenizers.layer_base import BaseTokenizerLayer


@serializable
class ByteLevelBPELayer(BaseTokenizerLayer):
    """Byte-level BPE by TensorFlow operations only; nothing but TensorFlow runs it.

    Gives the ids of the :class:`ByteLevelBPETokenizer` it is made from
    (:meth:`ByteLevelBPETokenizer.as_layer`), on valid UTF-8, for merges in the order in which they
    were learned, as in every published file: a pair of tokens comes after those that make them.
    Arguments, inputs and outputs are those of :class:`BaseTokenizerLayer`.
    """

    tokenizer_class = ByteLevelBPETokenizer

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        tokenizer = self.tokenizer
        config = tokenizer.get_config()
        self._bpe = GraphBPE(
            config["vocab"],
            tokenizer.merges,
            tokenizer.unk_id,
            {token: tokenizer.token_to_id(token) for token in tokenizer.kept_tokens},
            [config["token_mask"]] if tokenizer.mask_takes_space_before else [],
            config["add_prefix_space"],
        )

    def _encode(self, texts: tf.Tensor) -> tf.RaggedTensor:
        return self._bpe(texts)
