"""Byte-level BPE (Radford et al., 2019): text to ids and character offsets.

The Rust library ``tokenizers`` is the definition. But words do not depend on each other, and they
repeat: so a text is cut into words here (:mod:`kerasbert.tokenizers.bytelevel_words`), and the
library is asked once per distinct word, beforehand for those that are tokens themselves. That is
several times as fast as its own call on one core, and cheaper for a single short text. Where it
does not pay off, the library gets whole texts: for offsets, for texts mostly of new words, and for
large batches on many cores, all of which it uses without holding Python's lock.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np

from kerasbert.tokenizers.bytelevel_words import byte_characters, split_words
from kerasbert.tokenizers.ragged import Ragged

_CACHED_WORDS = 1 << 16
_LONGEST_CACHED = 64  # characters
_SHORT = 400  # characters of a batch below which words are looked up one by one
_CHUNK = 1 << 17  # characters handled at once
_MANY_THREADS = 6  # with so many the library is faster than we are with one
_SURROGATE = re.compile("[\ud800-\udfff]")


class ByteLevelBPE:
    """Byte-level BPE with GPT-2's rule for words.

    Args:
        vocabulary: token to id.
        merges: pairs of tokens to join, the first ones first.
        unknown: token for bytes that the vocabulary lacks; None leaves them out.
        add_prefix_space: whether a text's first word gets a space before it, like all others.
        trim_offsets: whether the space before a word lies outside of its token's offsets.

    Raises:
        ImportError: the library is not installed.
        ValueError: the merges do not fit the vocabulary.
    """

    def __init__(
        self,
        vocabulary: Mapping[str, int],
        merges: Sequence[tuple[str, str]],
        unknown: str | None = None,
        add_prefix_space: bool = False,
        trim_offsets: bool = True,
    ):
        library = _import_library()
        try:
            model = library.models.BPE(dict(vocabulary), list(merges), unk_token=unknown)
        except Exception as error:
            missing = sorted(
                {token for a, b in merges for token in (a, b, a + b)} - set(vocabulary)
            )
            raise ValueError(
                f"the merges do not fit the vocabulary of {len(vocabulary)} tokens, which lacks "
                f"{len(missing)} of theirs, such as {missing[:3]}: are both files of one model?"
            ) from error
        self._prefix = add_prefix_space
        self._library = library.Tokenizer(model)
        self._library.pre_tokenizer = library.pre_tokenizers.ByteLevel(add_prefix_space)
        self._library.post_processor = library.processors.RobertaProcessing(
            ("", 0), ("", 0), trim_offsets=trim_offsets, add_prefix_space=add_prefix_space
        )
        of_words = library.Tokenizer(model)
        of_words.pre_tokenizer = library.pre_tokenizers.ByteLevel(False, use_regex=False)
        self._common = _Words(of_words)
        self._common.learn(_words_among(vocabulary))
        self._words = self._common.copy()

    def encode(self, text: str) -> list[int]:
        """The ids of one text."""
        words = self._current_words()
        ids: list[int] = []
        for word in self._split(text):
            ids += words[word]
        return ids

    def encode_batch(self, texts: Sequence[str]) -> Ragged:
        """The ids of many texts: a row for each."""
        size = sum(map(len, texts))
        if size < _SHORT:
            return Ragged.from_rows([self.encode(text) for text in texts])
        if size > _CHUNK and len(texts) >= _MANY_THREADS <= _threads():
            return Ragged.from_rows([found.ids for found in self._ask(texts)])
        parts, chunk, size = [], [], 0
        for text in texts:
            if chunk and size + len(text) > _CHUNK:
                parts.append(self._encode_chunk(chunk))
                chunk, size = [], 0
            chunk.append(text)
            size += len(text)
        parts.append(self._encode_chunk(chunk))
        return Ragged.concatenate(parts)

    def encode_with_offsets(self, texts: Sequence[str]) -> Ragged:
        """The ids of many texts, and where each token starts and ends."""
        found = self._ask(texts, with_offsets=True)
        spans = [one.offsets for one in found]
        return Ragged.from_rows(
            [one.ids for one in found],
            [[start for start, _ in row] for row in spans],
            [[end for _, end in row] for row in spans],
        )

    def _split(self, text: str) -> list[str]:
        if self._prefix and text and text[0] != " ":
            text = " " + text
        return split_words(text)

    def _encode_chunk(self, texts: list[str]) -> Ragged:
        rows = [self._split(text) for text in texts]
        row_ends = np.cumsum([0, *map(len, rows)])
        joined = list(chain.from_iterable(rows))
        words = self._current_words()
        ids_of = list(map(words.get, joined))
        new = [at for at, ids in enumerate(ids_of) if ids is None]
        if new:
            distinct = {joined[at] for at in new}
            if 2 * len(distinct) > len(joined):
                return Ragged.from_rows([found.ids for found in self._ask(texts)])
            words.learn(distinct)
            for at in new:
                ids_of[at] = words[joined[at]]
        ends = np.zeros(len(joined) + 1, np.int64)
        np.cumsum(np.fromiter(map(len, ids_of), np.int64, len(joined)), out=ends[1:])
        ids = np.fromiter(chain.from_iterable(ids_of), np.int32, ends[-1])
        return Ragged(ids, ends[row_ends])

    def _ask(self, texts: Sequence[str], with_offsets: bool = False) -> list[Any]:
        encode = self._library.encode_batch if with_offsets else self._library.encode_batch_fast
        return encode([_without_surrogates(text) for text in texts], add_special_tokens=False)

    def _current_words(self) -> _Words:
        if len(self._words) > len(self._common) + _CACHED_WORDS:
            self._words = self._common.copy()  # other threads go on with the one they have
        return self._words


class _Words(dict):
    """Word to its ids, filled as words are met."""

    def __init__(self, library: Any, known: Mapping[str, list[int]] | None = None):
        super().__init__(known or {})
        self.library = library

    def copy(self) -> _Words:
        """A copy, which grows on its own."""
        return _Words(self.library, self)

    def __missing__(self, word: str) -> list[int]:
        ids = self.library.encode(_without_surrogates(word), add_special_tokens=False).ids
        if len(word) <= _LONGEST_CACHED:
            self[word] = ids
        return ids

    def learn(self, words: Iterable[str]) -> None:
        """Meets many new words at once, on all cores."""
        words = [word for word in words if len(word) <= _LONGEST_CACHED]
        texts = [_without_surrogates(word) for word in words]
        found = self.library.encode_batch_fast(texts, add_special_tokens=False)
        self.update(zip(words, [one.ids for one in found]))


def _words_among(vocabulary: Mapping[str, int]) -> list[str]:
    """The texts that tokens stand for: most of them words, and the most common ones."""
    byte_of = str.maketrans({char: byte for byte, char in enumerate(byte_characters())})
    words = []
    for token in vocabulary:
        with contextlib.suppress(UnicodeError):  # half a character, or a token added later
            words.append(token.translate(byte_of).encode("latin-1").decode("utf-8"))
    return words


def _without_surrogates(text: str) -> str:
    """The text with U+FFFD in place of lone surrogates, which UTF-8 cannot write."""
    return text if text.isascii() else _SURROGATE.sub("\ufffd", text)


def _threads() -> int:
    """How many threads the library uses for a batch."""
    if os.environ.get("TOKENIZERS_PARALLELISM", "").lower() in (
        "0",
        "f",
        "false",
        "n",
        "no",
        "off",
    ):
        return 1
    number = os.environ.get("RAYON_NUM_THREADS", "")
    return int(number) if number.isdecimal() and int(number) else os.cpu_count() or 1


def _import_library() -> Any:
    try:
        import tokenizers
    except ImportError as error:
        raise ImportError(
            "byte-level BPE (RoBERTa, GPT-2) needs the library tokenizers, 0.20 or newer: run "
            f"`pip install 'kerasbert[bpe]'` or `pip install tokenizers`. The import said: {error}"
        ) from error
    return tokenizers
