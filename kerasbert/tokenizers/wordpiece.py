"""WordPiece: text to ids and character offsets, equal to the original BERT code.

One definition, three speeds. :meth:`WordPiece.reference` follows the original step by step. It is
too slow for long texts, but words do not depend on each other: white space, Chinese characters and
punctuation cut a text into *runs* that can be tokenised alone, and runs repeat. So a text is cut by
the kind of each character (looked up, not computed), and the reference is asked once per distinct
run. :meth:`WordPiece.encode` does so in plain Python, with nothing to set up, for short texts;
:meth:`WordPiece.encode_batch` does it for whole batches with numpy.

One letter would spoil this, as the lower case of a capital sigma depends on letters beyond
punctuation: those are lowered first, in the whole text.
"""

from __future__ import annotations

import threading
from array import array
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from kerasbert.tokenizers.characters import (
    CAPITAL_SIGMA,
    CASED_RULES,
    Rules,
    is_cjk,
    is_dropped,
    is_punctuation,
    is_whitespace,
    normalize_word,
    settle_sigmas,
    split_words,
)
from kerasbert.tokenizers.ragged import Ragged

# The kinds of characters; a kind of zero or more is the id of a character that is its own token.
_SPACE = -1
_IN_RUN = -2
_UNSEEN = -3

_CODE_POINTS = 0x110000
_CHUNK = 1 << 17  # characters handled at once: the arrays of a chunk stay in the processor's cache
_CACHED_RUNS = 1 << 16
_CACHED_CHARACTERS = 1 << 22  # of all runs: a run may be a megabyte of text that is none
_SHORT = 400  # characters below which plain Python is faster than setting up arrays


class Pieces(NamedTuple):
    """The tokens of a text: ids, and where each starts and ends (in characters)."""

    ids: list[int]
    starts: list[int]
    ends: list[int]

    def add(self, token_id: int, start: int, end: int) -> None:
        """Appends one token."""
        self.ids.append(token_id)
        self.starts.append(start)
        self.ends.append(end)

    def add_all(self, others: Pieces, offset: int) -> None:
        """Appends the tokens of a part of the text that begins at ``offset``."""
        self.ids.extend(others.ids)
        self.starts.extend(start + offset for start in others.starts)
        self.ends.extend(end + offset for end in others.ends)


class WordPiece:
    """Greedy longest-match-first subword tokenisation, with BERT's basic tokenisation before it.

    Args:
        vocabulary: token to id.
        unknown_id: id of the token for words that the vocabulary cannot spell.
        rules: how the text is normalised and split into words.
        max_word_length: words of more characters than this are unknown.
        translate: ids to give out in place of others.
    """

    def __init__(
        self,
        vocabulary: Mapping[str, int],
        unknown_id: int,
        rules: Rules = CASED_RULES,
        max_word_length: int = 200,
        translate: Mapping[int, int] | None = None,
    ):
        translate = translate or {}
        self.rules = rules
        self.max_word_length = max_word_length
        self.unknown_id = translate.get(unknown_id, unknown_id)
        self._initial = {token: translate.get(at, at) for token, at in vocabulary.items()}
        self._inner = {t[2:]: at for t, at in self._initial.items() if t.startswith("##")}
        self._longest = max(map(len, vocabulary), default=1)
        inside = [self._initial[token] for token in vocabulary if token.startswith("##")]
        self._is_inside = np.zeros(1 + max(self._initial.values(), default=0), np.bool_)
        self._is_inside[inside] = True
        self._kinds = _Kinds(self)
        self._kind_of_code = np.full(_CODE_POINTS, _UNSEEN, np.int32)
        self._runs = _Runs(self)

    def __contains__(self, token: str) -> bool:
        return token in self._initial

    def begins_word(self, ids: np.ndarray) -> np.ndarray:
        """Whether each id is of a token that begins a word, that is one without ``##``."""
        return ~self._is_inside[ids]

    def reference(self, text: str) -> Pieces:
        """Tokenises as the original code does, word by word."""
        pieces = Pieces([], [], [])
        for word, origins in split_words(text, self.rules):
            for token_id, start, end in self._split(word):
                places = origins[start:end]  # in any order: combining marks may have been moved
                pieces.add(token_id, min(places), max(places) + 1)
        return pieces

    def encode(self, text: str) -> list[int]:
        """The ids of one text."""
        if self.rules.lower and CAPITAL_SIGMA in text:
            text = settle_sigmas(text)
        kinds, runs = self._kinds, self._current_runs()
        ids: list[int] = []
        start = -1  # of the run we are in, if any
        for at, char in enumerate(text):
            kind = kinds[char]
            if kind == _IN_RUN:
                if start < 0:
                    start = at
                continue
            if start >= 0:
                ids += runs.ids_of[runs[text[start:at]]]
                start = -1
            if kind >= 0:
                ids.append(kind)
        if start >= 0:
            ids += runs.ids_of[runs[text[start:]]]
        return ids

    def encode_batch(self, texts: Sequence[str], with_offsets: bool = False) -> Ragged:
        """The ids of many texts, and, if asked, where each token starts and ends.

        Args:
            texts: any texts.
            with_offsets: whether to fill ``starts`` and ``ends``.

        Returns:
            A row of ids for each text.
        """
        if not with_offsets and sum(map(len, texts)) < _SHORT:
            return Ragged.from_rows([self.encode(text) for text in texts])
        parts, chunk, size = [], [], 0
        for text in texts:
            if chunk and size + len(text) > _CHUNK:
                parts.append(self._encode_chunk(chunk, with_offsets))
                chunk, size = [], 0
            chunk.append(text)
            size += len(text)
        parts.append(self._encode_chunk(chunk, with_offsets))
        return Ragged.concatenate(parts)

    def _split(self, word: str) -> list[tuple[int, int, int]]:
        """The (id, start, end) of the longest tokens, from the left, that spell ``word``."""
        unknown = [(self.unknown_id, 0, len(word))]
        if len(word) > self.max_word_length:
            return unknown
        pieces, start, tokens = [], 0, self._initial
        while start < len(word):
            for end in range(min(len(word), start + self._longest), start, -1):
                token_id = tokens.get(word[start:end])
                if token_id is not None:
                    break
            else:
                return unknown
            pieces.append((token_id, start, end))
            start, tokens = end, self._inner
        return pieces

    def _pieces_of_run(self, run: str) -> Pieces:
        if not (run.isascii() and run.isalnum()):
            return self.reference(run)
        pieces = Pieces([], [], [])  # the reference's result, without looking at each character
        for piece in self._split(run.lower() if self.rules.lower else run):
            pieces.add(*piece)
        return pieces

    def _kind(self, char: str) -> int:
        """The kind of a character, or the id of one that is always a token of its own."""
        if is_whitespace(char):
            return _SPACE
        is_apart = (self.rules.split_cjk and is_cjk(char)) or is_punctuation(char)
        if is_dropped(char) or not is_apart:
            return _IN_RUN  # characters that are dropped do not end a word
        word = normalize_word(char, [0], self.rules)[0]
        return self._split(word)[0][0] if len(word) == 1 else _IN_RUN

    def _current_runs(self) -> _Runs:
        if len(self._runs) > _CACHED_RUNS or self._runs.characters > _CACHED_CHARACTERS:
            self._runs = _Runs(self)  # other threads go on with the one they have
        return self._runs

    def _encode_chunk(self, texts: list[str], with_offsets: bool) -> Ragged:
        joined = "\n".join(texts)
        if self.rules.lower and CAPITAL_SIGMA in joined:
            joined = settle_sigmas(joined)
        kinds = self._kinds_of(joined)

        # Runs start and end where "in a run" changes.
        in_run = np.zeros(len(kinds) + 2, np.bool_)
        np.equal(kinds, _IN_RUN, out=in_run[1:-1])
        edges = np.flatnonzero(in_run[1:] != in_run[:-1])
        starts, ends = edges[0::2], edges[1::2]
        runs = self._current_runs()
        spans = zip(starts.tolist(), ends.tolist())
        numbers = np.fromiter((runs[joined[a:b]] for a, b in spans), np.int64, len(starts))
        columns = runs.columns()
        pieces = columns.count[numbers]

        # A character that is a token takes one slot, a run as many as it has pieces, at its start.
        kinds[starts] = 0
        places = np.flatnonzero(kinds >= 0)
        starts_run = in_run[1:-1][places]
        slots = np.ones(len(places), np.int64)
        slots[starts_run] = pieces
        after = np.cumsum(slots)
        before = after - slots
        ids = np.repeat(kinds[places], slots)
        within = np.arange(pieces.sum()) - np.repeat(np.cumsum(pieces) - pieces, pieces)
        target = np.repeat(before[starts_run], pieces) + within
        source = np.repeat(columns.first[numbers], pieces) + within
        ids[target] = columns.ids[source]

        row_starts = np.cumsum([0] + [len(text) + 1 for text in texts])
        slots_before = np.concatenate([[0], after])
        splits = slots_before[np.searchsorted(places, row_starts)]
        if not with_offsets:
            return Ragged(ids, splits)
        at = np.repeat(places, slots) - np.repeat(row_starts[:-1], np.diff(splits))
        token_starts, token_ends = at.astype(np.int32), at.astype(np.int32) + np.int32(1)
        token_ends[target] = token_starts[target] + columns.ends[source]
        token_starts[target] += columns.starts[source]
        return Ragged(ids, splits, token_starts, token_ends)

    def _kinds_of(self, text: str) -> np.ndarray:
        """The kind of each character: int32, (characters,), for the caller to change."""
        codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
        kinds = self._kind_of_code[codes]
        unseen = kinds == _UNSEEN
        if unseen.any():
            for code in np.unique(codes[unseen]).tolist():
                self._kind_of_code[code] = self._kinds[chr(code)]
            kinds = self._kind_of_code[codes]
        return kinds


class _Kinds(dict):
    """Character to kind, filled as characters are met."""

    def __init__(self, wordpiece: WordPiece):
        super().__init__()
        self._wordpiece = wordpiece

    def __missing__(self, char: str) -> int:
        kind = self[char] = self._wordpiece._kind(char)
        return kind


class _Columns(NamedTuple):
    """The pieces of all runs one after the other; for each run how many, and which is first."""

    count: np.ndarray
    first: np.ndarray
    ids: np.ndarray
    starts: np.ndarray
    ends: np.ndarray


class _Runs(dict):
    """Run to its number, filled as runs are met. Threads may share it.

    Attributes:
        ids_of: the ids of each run, by number.
        characters: of all runs together.
    """

    def __init__(self, wordpiece: WordPiece):
        super().__init__()
        self.ids_of: list[list[int]] = []
        self.characters = 0
        self._wordpiece = wordpiece
        self._lock = threading.Lock()
        self._growing = array("q"), array("q"), array("i"), array("i"), array("i")
        self._columns: _Columns | None = None

    def __missing__(self, run: str) -> int:
        pieces = self._wordpiece._pieces_of_run(run)
        with self._lock:
            count, first, ids, starts, ends = self._growing
            count.append(len(pieces.ids))
            first.append(len(ids))
            ids.extend(pieces.ids)
            starts.extend(pieces.starts)
            ends.extend(pieces.ends)
            self._columns = None
            self.ids_of.append(pieces.ids)
            self.characters += len(run)
            number = self[run] = len(self.ids_of) - 1
        return number

    def columns(self) -> _Columns:
        """Arrays that hold at least the runs met so far by this thread."""
        with self._lock:
            if self._columns is None:
                self._columns = _Columns(*map(np.array, self._growing))
            return self._columns
