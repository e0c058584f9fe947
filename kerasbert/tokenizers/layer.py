"""WordPiece inside the graph: for ``tf.data`` and for models that are served with text as input."""

from __future__ import annotations

import re

import tensorflow as tf

from kerasbert.backend import serializable
from kerasbert.tokenizers import characters
from kerasbert.tokenizers import graph_tables as tables
from kerasbert.tokenizers.layer_base import BaseTokenizerLayer
from kerasbert.tokenizers.tokenizer import Tokenizer

# Private use code points that stand for the tokens to keep whole, after one for those in the text.
_TAKEN, _MARK, _LAST_MARK = 0x10DFFF, 0x10E000, 0x10FFFD


@serializable
class TokenizerLayer(BaseTokenizerLayer):
    """Text to token ids and segment ids by TensorFlow operations only.

    Gives the ids of the :class:`Tokenizer` it is made from (:meth:`Tokenizer.as_layer`), on valid
    UTF-8. Needs tensorflow-text, of which it uses the WordPiece operation alone: characters are
    normalised by tables (:mod:`kerasbert.tokenizers.graph_tables`), because the Unicode rules of
    tensorflow-text are not those of BERT.

    Arguments, inputs and outputs are those of :class:`BaseTokenizerLayer`.
    """

    tokenizer_class = Tokenizer

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        if self.tokenizer.pre_tokenize is not None:
            raise ValueError(
                "a tokenizer with pre_tokenize calls a Python function, which cannot be part of a "
                "graph: tokenize in Python, or make the layer of a tokenizer without it."
            )
        self._longest_word = self.tokenizer.get_config()["word_maxlen"]
        self._wordpiece = self._make_wordpiece()

    def _make_wordpiece(self):
        try:
            import tensorflow_text
        except ImportError as error:
            raise ImportError(
                "TokenizerLayer needs tensorflow-text of the same version as TensorFlow: run "
                f"`pip install 'tensorflow-text=={'.'.join(tf.__version__.split('.')[:2])}.*'`. "
                f"The import said: {error}"
            ) from error
        ids = self.tokenizer.token_dict
        # Ids that no text may give (holes, empty lines, all but the last of repeated tokens) get
        # names with a space, which words never have.
        vocabulary = [
            token if token and ids[token] == at else f" {at}"
            for at, token in enumerate(self.tokenizer.all_tokens)
        ]
        unknown = self.tokenizer.unk_id
        for place, token in enumerate(self.tokenizer.kept_tokens):
            vocabulary[ids[token]] = chr(_MARK + place)
        return tensorflow_text.FastWordpieceTokenizer(
            vocabulary,
            unknown_token=vocabulary[unknown],
            token_out_type=tf.int32,
            max_bytes_per_word=4 * self._longest_word,
            no_pretokenization=True,
        )

    def _encode(self, texts) -> tf.RaggedTensor:
        """Ids without special tokens, (batch, tokens)."""
        texts = self._mark_kept_tokens(texts)
        # The space at the end keeps the end of one text apart from the start of the next.
        codes = tf.strings.unicode_decode(tf.strings.join([texts, " "]), "UTF-8", errors="ignore")
        words = tf.strings.split(self._normalize(codes))
        too_long = tf.strings.length(words.values, "UTF8_CHAR") > self._longest_word
        words = words.with_values(tf.where(too_long, " ", words.values))  # " " is unknown
        ids = words.with_values(self._wordpiece.tokenize(words.values)).merge_dims(1, 2)
        if self.tokenizer.translated_ids:
            table = list(range(self.tokenizer.vocab_size))
            for given, other in self.tokenizer.translated_ids.items():
                table[given] = other
            ids = ids.with_values(tf.gather(table, ids.values))
        return ids

    def _mark_kept_tokens(self, texts):
        """Special tokens to keep whole become single code points that no text has."""
        kept = self.tokenizer.kept_tokens
        if not kept:
            return texts
        taken = f"[\\x{{{_MARK:x}}}-\\x{{{_LAST_MARK:x}}}]"
        texts = tf.strings.regex_replace(texts, taken, chr(_TAKEN))
        for place, token in enumerate(kept):
            mark = f" {chr(_MARK + place)} "
            texts = tf.strings.regex_replace(texts, re.escape(token), mark)
        return texts

    def _normalize(self, codes: tf.RaggedTensor):
        """Code points to strings of normalised words with spaces between them."""
        table = tables.GraphTables(*map(tf.constant, tables.graph_tables(self.tokenizer.rules)))
        flat = codes.values

        def place(codes):
            return tf.gather(table.pages, codes // tables.PAGE) * tables.PAGE + codes % tables.PAGE

        if self.tokenizer.rules.lower:
            final = self._final_sigmas(flat, tf.gather(table.cases, place(flat)))
            flat = tf.where(final, ord(characters.FINAL_SIGMA), flat)
        expanded = tf.gather(table.expansions, tf.gather(table.rules, place(flat)))
        expanded = tf.where(expanded == tables.SELF, flat[:, tf.newaxis], expanded)
        kept = expanded != 0
        counts = tf.reduce_sum(tf.cast(kept, codes.row_splits.dtype), axis=1)
        ends = tf.concat([tf.zeros([1], counts.dtype), tf.cumsum(counts)], axis=0)
        normal = tf.RaggedTensor.from_row_splits(
            tf.boolean_mask(expanded, kept), tf.gather(ends, codes.row_splits)
        )
        return tf.strings.unicode_encode(normal, "UTF-8", errors="ignore")

    @staticmethod
    def _final_sigmas(codes, cases):
        """Which capital sigmas become a final one: the next letters around them decide.

        After a cased letter and not before one, letters and marks that do not count left out (the
        Final_Sigma rule of the Unicode standard, chapter 3.13).
        """
        counted = tf.where(cases != characters.IGNORABLE)[:, 0]
        cased = tf.gather(cases, counted) == characters.CASED
        before = tf.concat([[False], cased[:-1]], axis=0)[: tf.size(cased)]
        after = tf.concat([cased[1:], [False]], axis=0)[: tf.size(cased)]
        final = (tf.gather(codes, counted) == ord(characters.CAPITAL_SIGMA)) & before & ~after
        where = tf.boolean_mask(counted, final)
        return tf.scatter_nd(
            where[:, tf.newaxis], tf.ones_like(where, tf.bool), tf.shape(codes, tf.int64)
        )
