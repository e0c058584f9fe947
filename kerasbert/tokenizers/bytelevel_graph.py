"""Byte-level BPE by TensorFlow operations only, with the ids of the Python call.

The words are found by the class of each character and of its neighbours, which says the same as
GPT-2's regular expression (RE2, which TensorFlow uses, can neither look ahead nor be trusted to
know the same Unicode). The distinct words are then merged side by side: in each step every word
joins all occurrences of its pair that comes first among the merges, as in GPT-2's own code.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence

import numpy as np
import tensorflow as tf

from kerasbert.tokenizers import bytelevel_words as rule

_PAGE = 256
_APOSTROPHE = ord("'")
_NEVER = np.iinfo(np.int32).max
_MARK = b"\xff"  # around kept tokens: UTF-8 has no such byte


class GraphBPE:
    """Byte-level BPE for a graph.

    Args:
        vocabulary: token to id.
        merges: pairs of tokens to join, the first ones first.
        unknown_id: id for bytes that the vocabulary lacks; None leaves them out.
        kept: tokens that stay whole in a text, and the id that each gives, longer ones first.
        with_space_before: those of them that take in the white space before them.
        add_prefix_space: whether a text's first word gets a space before it.
    """

    def __init__(
        self,
        vocabulary: Mapping[str, int],
        merges: Sequence[tuple[str, str]],
        unknown_id: int | None,
        kept: Mapping[str, int],
        with_space_before: Collection[str],
        add_prefix_space: bool,
    ):
        self._prefix = add_prefix_space
        self._kept = [(token, token in with_space_before) for token in kept]
        self._kept_ids = np.array([*kept.values(), 0], np.int32)
        missing = -1 if unknown_id is None else unknown_id
        self._byte_ids = np.array(
            [vocabulary.get(char, missing) for char in rule.byte_characters()], np.int32
        )
        classes = rule.character_classes()
        pages, page_of = np.unique(classes.reshape(-1, _PAGE), axis=0, return_inverse=True)
        self._classes, self._page_of = pages.ravel(), page_of.ravel().astype(np.int32)
        self._spaces = "".join(f"\\x{{{at:x}}}" for at in np.flatnonzero(classes == rule.SPACE))
        self._size = 1 + max(vocabulary.values())
        ranks = {}  # of a repeated merge the last one counts, as in the library
        for rank, (first, second) in enumerate(merges):
            ranks[vocabulary[first] * self._size + vocabulary[second]] = rank
        keys = np.array(sorted(ranks), np.int64)
        merged = [vocabulary[first + second] for first, second in merges]
        self._keys = np.append(keys, np.iinfo(np.int64).max)
        self._ranks = np.array([*(ranks[key] for key in keys.tolist()), _NEVER], np.int32)
        self._merged = np.array([*merged, 0], np.int32)

    def __call__(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """Ids without special tokens, int32 (batch, tokens), of strings (batch,)."""
        texts = tf.strings.unicode_transcode(texts, "UTF-8", "UTF-8", errors="ignore")
        if not self._kept:
            return self._encode(texts)
        for place, (token, takes_space) in enumerate(self._kept):
            spaces = f"[{self._spaces}]*" if takes_space else ""
            mark = _MARK + str(place).encode() + _MARK
            texts = tf.strings.regex_replace(texts, spaces + re.escape(token), mark)
        # Texts and numbers of tokens in turn.
        parts = tf.strings.split(texts, _MARK)
        flat = parts.values
        is_token = (tf.range(tf.size(flat), dtype=tf.int64) - _row_starts(parts)) % 2 == 1
        numbers = tf.strings.to_number(tf.where(is_token, flat, "0"), tf.int32)
        tokens = tf.RaggedTensor.from_row_lengths(
            tf.gather(self._kept_ids, tf.boolean_mask(numbers, is_token)),
            tf.cast(is_token, tf.int64),
        )
        ids = tf.concat([self._encode(tf.where(is_token, "", flat)), tokens], axis=1)
        return parts.with_values(ids).merge_dims(1, 2)

    def _encode(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """Ids of texts without kept tokens."""
        if self._prefix:
            as_is = (tf.strings.substr(texts, 0, 1) == " ") | (texts == "")
            texts = tf.where(as_is, texts, tf.strings.join([" ", texts]))
        codes, offsets = tf.strings.unicode_decode_with_offsets(texts, "UTF-8")
        starts = self._word_starts(codes)
        # Words as strings with one code point per byte, which any string operation leaves alone.
        data = tf.strings.unicode_decode(texts, "ISO-8859-1")
        places = tf.repeat(data.row_starts(), codes.row_lengths()) + offsets.values
        splits = [tf.boolean_mask(places, starts), [tf.size(data.values, tf.int64)]]
        words = tf.RaggedTensor.from_row_splits(data.values, tf.concat(splits, axis=0))
        distinct, which = tf.unique(tf.strings.unicode_encode(words, "UTF-8"), tf.int64)
        ids = tf.gather(self._merge(distinct), which)
        before = tf.concat([[0], tf.cumsum(tf.cast(starts, tf.int64))], axis=0)
        rows = tf.RaggedTensor.from_row_splits(ids, tf.gather(before, codes.row_splits))
        return rows.merge_dims(1, 2)

    def _word_starts(self, codes: tf.RaggedTensor) -> tf.Tensor:
        """Whether a word starts at each code point: bool, (code points of all texts,)."""
        flat = codes.values
        pages = tf.gather(self._page_of, flat // _PAGE)
        kinds = tf.gather(self._classes, pages * _PAGE + flat % _PAGE)
        first = tf.range(tf.size(flat), dtype=tf.int64) == _row_starts(codes)
        last = _next(first, True)

        # The last space before a word is apart from those before it; a blank goes with the word.
        space = kinds == rule.SPACE
        after_blank = _previous(flat == ord(" "), False) & ~first
        before_word = space & ~last & _next(~space, False)
        changes = first | (kinds != _previous(kinds, rule.OTHER))
        starts = (changes & (space | ~after_blank)) | before_word

        # Contractions start where no run of other characters holds the apostrophe.
        own = (flat == _APOSTROPHE) & changes & ~after_blank
        after = _next(tf.where(first, 0, flat), 0)
        after_that = _next(after, 0)
        short = own & _is_any(after, "stmd")
        long = own & (
            (_is_any(after, "rv") & (after_that == ord("e")))
            | ((after == ord("l")) & (after_that == ord("l")))
        )
        inside = _previous(short | long, False)
        ends = _previous(_previous(short | _previous(long, False), False), False)
        return (starts & ~inside) | ends

    def _merge(self, words: tf.Tensor) -> tf.RaggedTensor:
        """Ids of distinct words, each a string with one code point per byte."""
        raw = tf.strings.unicode_decode(words, "UTF-8")
        ids, word = tf.gather(self._byte_ids, raw.values), tf.cast(raw.value_rowids(), tf.int32)
        known = ids >= 0
        ids, word = tf.boolean_mask(ids, known), tf.boolean_mask(word, known)
        count = tf.size(words)
        keys, ranks = tf.constant(self._keys), tf.constant(self._ranks)
        merged = tf.constant(self._merged)

        def ranks_of(ids, word):
            """The rank of each token with the next one of its word."""
            pair = tf.cast(ids[:-1], tf.int64) * self._size + tf.cast(ids[1:], tf.int64)
            place = tf.searchsorted(keys, pair, out_type=tf.int32)
            found = (tf.gather(keys, place) == pair) & (word[:-1] == word[1:])
            found = tf.where(found, tf.gather(ranks, place), _NEVER)
            return tf.concat([found, [_NEVER]], axis=0)[: tf.size(ids)]

        def step(ids, word, rank):
            best = tf.math.unsorted_segment_min(rank, word, count)
            chosen = (rank != _NEVER) & (rank == tf.gather(best, word))
            # Of pairs that overlap (a a a) the first, third, ... are joined.
            place = tf.range(tf.size(ids))
            run = tf.cumsum(tf.cast(~chosen, tf.int32))
            start = tf.math.unsorted_segment_min(
                tf.where(chosen, place, _NEVER), run, tf.size(run) + 1
            )
            chosen &= (place - tf.gather(start, run)) % 2 == 0
            ids = tf.where(chosen, tf.gather(merged, tf.where(chosen, rank, 0)), ids)
            stays = ~_previous(chosen, False)
            ids, word = tf.boolean_mask(ids, stays), tf.boolean_mask(word, stays)
            return ids, word, ranks_of(ids, word)

        ids, word, _ = tf.while_loop(
            lambda ids, word, rank: tf.reduce_any(rank != _NEVER),
            step,
            (ids, word, ranks_of(ids, word)),
            shape_invariants=(tf.TensorShape([None]),) * 3,
        )
        return tf.RaggedTensor.from_value_rowids(
            ids, tf.cast(word, tf.int64), nrows=tf.cast(count, tf.int64)
        )


def _row_starts(rows: tf.RaggedTensor) -> tf.Tensor:
    """For each value, where its row starts."""
    return tf.repeat(rows.row_starts(), rows.row_lengths())


def _previous(values: tf.Tensor, fill) -> tf.Tensor:
    """For each place the value of the place before it, and ``fill`` for the first one."""
    return tf.concat([tf.constant([fill], values.dtype), values], axis=0)[: tf.size(values)]


def _next(values: tf.Tensor, fill) -> tf.Tensor:
    """For each place the value of the place after it, and ``fill`` for the last one."""
    return tf.concat([values, tf.constant([fill], values.dtype)], axis=0)[1:]


def _is_any(codes: tf.Tensor, chars: str) -> tf.Tensor:
    return tf.reduce_any([codes == ord(char) for char in chars], axis=0)
