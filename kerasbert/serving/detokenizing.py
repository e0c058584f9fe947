"""Token ids to text inside the graph: what ``tokenizer.decode`` does, by TensorFlow operations."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from kerasbert.tokenizers.base import BaseTokenizer
from kerasbert.tokenizers.characters import is_cjk, is_punctuation
from kerasbert.tokenizers.tokenizer import Tokenizer

_SPACES = r"[\s\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}]+"
_TIGHT = (
    r"[-+/={(<\[\x{b7}\x{2013}\x{2014}\x{2018}-\x{201f}\x{2026}\x{2027}\x{3000}-\x{303f}"
    r"\x{fe4f}-\x{fe54}\x{ff00}-\x{ff65}]"
)
# RE2 looks neither ahead nor behind: the letter after a clitic is matched as well, and since a
# match may so hide the next one, the rule is applied twice.
_CLITIC = (r"' (re|m|s|t|ve|d|ll)($|[^0-9A-Za-z])", r"'\1\2")
_WORDPIECE_RULES = [
    (r" +", " "),
    _CLITIC,
    _CLITIC,
    (f"({_TIGHT}) ", r"\1"),
    (r"(\p{Nd}\.) (\p{Nd})", r"\1\2"),
    (f"^{_SPACES}|{_SPACES}$", ""),
]


def make_detokenizer(tokenizer: BaseTokenizer):
    """A function from int32 ids (batch, length) to strings (batch,), for use in a graph.

    It gives what ``tokenizer.decode`` gives, with one exception: bytes that are no UTF-8, which a
    byte-level model may generate, may become another number of U+FFFD.

    Args:
        tokenizer: WordPiece, SentencePiece or byte-level BPE.

    Raises:
        TypeError: of another class, or with words from a Python function.
    """
    if isinstance(tokenizer, Tokenizer):
        return _WordPieces(tokenizer)
    if getattr(tokenizer, "pre_tokenize", None) is not None:
        raise TypeError("a tokenizer with pre_tokenize cannot be part of a graph: make it without.")
    for attribute, pieces in (("_byte_of", _byte_level_pieces), ("_bytes", _sentence_pieces)):
        if hasattr(tokenizer, attribute):
            return _Pieces(pieces(tokenizer), strips_space=attribute == "_bytes")
    raise TypeError(
        f"{type(tokenizer).__name__} has no counterpart in the graph: return ids, and decode them "
        "where they arrive."
    )


class _WordPieces:
    """The rules of :func:`kerasbert.tokenizers.detokenize.join_tokens`."""

    def __init__(self, tokenizer: Tokenizer):
        parts, is_word, ends_cjk, kept = [], [], [], []
        for token in _tokens(tokenizer):
            kept.append(bool(token) and not tokenizer._is_special(token))
            is_word.append(False)
            if token.startswith("##"):
                part = token[2:]
            elif len(token) == 1 and is_cjk(token):
                part = token
            elif len(token) == 1 and is_punctuation(token):
                part = token + " "
            else:
                part, is_word[-1] = token, True
            parts.append(part.encode("utf-8", "ignore"))
            ends_cjk.append(bool(part) and is_cjk(part[-1]))
        self._parts = np.array(parts, object)
        self._is_word, self._ends_cjk, self._kept = map(np.array, (is_word, ends_cjk, kept))

    def __call__(self, ids: tf.Tensor) -> tf.Tensor:
        ids = _within(ids, len(self._parts))
        rows = tf.ragged.boolean_mask(ids, tf.gather(self._kept, ids))
        flat = rows.values
        cjk = tf.gather(self._ends_cjk, flat)
        first = tf.scatter_nd(
            rows.row_starts()[:, None], tf.ones_like(rows.row_starts(), tf.int32),
            [tf.size(flat, tf.int64) + 1],
        )[:-1]  # fmt: skip
        after_cjk = tf.concat([[False], cjk[:-1]], axis=0)[: tf.size(flat)] & (first == 0)
        apart = tf.gather(self._is_word, flat) & ~after_cjk
        parts = tf.strings.join([tf.where(apart, " ", ""), tf.gather(self._parts, flat)])
        texts = tf.strings.reduce_join(rows.with_values(parts), axis=-1)
        for pattern, replacement in _WORDPIECE_RULES:
            texts = tf.strings.regex_replace(texts, pattern, replacement)
        return texts


class _Pieces:
    """Tokens that are their own bytes, spaces among them."""

    def __init__(self, pieces: list[bytes], strips_space: bool):
        self._pieces = np.array(pieces, object)
        self._strips_space = strips_space

    def __call__(self, ids: tf.Tensor) -> tf.Tensor:
        pieces = tf.gather(self._pieces, _within(ids, len(self._pieces)))
        texts = tf.strings.reduce_join(pieces, axis=-1)
        texts = tf.strings.unicode_transcode(texts, "UTF-8", "UTF-8", errors="replace")
        return tf.strings.regex_replace(texts, "^ ", "") if self._strips_space else texts


def _tokens(tokenizer: BaseTokenizer) -> list[str]:
    """The tokens by id, "" where there is none, and such a one at the end."""
    return [*(token or "" for token in tokenizer.all_tokens), ""]


def _within(ids: tf.Tensor, count: int) -> tf.Tensor:
    """Ids beyond the vocabulary, of spare rows of a model's table, are the last one: no text."""
    return tf.where((ids >= 0) & (ids < count), ids, count - 1)


def _sentence_pieces(tokenizer) -> list[bytes]:
    original = {other: token for token, other in tokenizer._token_translate.items()}
    pieces = []
    for token in _tokens(tokenizer):
        token = original.get(token, token)
        if token in tokenizer._special:
            pieces.append(b"")
        elif token in tokenizer._bytes:
            pieces.append(bytes([int(token[3:5], 16)]))
        else:
            pieces.append(token.replace("▁", " ").encode("utf-8", "replace"))
    return pieces


def _byte_level_pieces(tokenizer) -> list[bytes]:
    special, byte_of, pieces = set(tokenizer._special_tokens()), tokenizer._byte_of, []
    for token in _tokens(tokenizer):
        if token in special:
            pieces.append(b"")
        elif all(char in byte_of for char in token):
            pieces.append(bytes([byte_of[char] for char in token]))
        else:  # a token added later, which is written as it is
            pieces.append(token.encode("utf-8"))
    return pieces
