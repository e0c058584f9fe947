"""What ALBERT and XLNet do to a text before SentencePiece sees it, and where each character was."""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from kerasbert.tokenizers.ragged import Ragged

_WORD = re.compile(r"\S+")
_QUOTES = re.compile("``|''")


class _Folded(dict):
    """Code point to its compatibility decomposition without accents; filled as they are met.

    Attributes:
        uneven: the characters met that become none, or more than one.
    """

    def __init__(self):
        super().__init__()
        self.uneven: set[str] = set()

    def __missing__(self, code: int) -> str:
        folded = strip_accents(chr(code))
        if len(folded) != 1:
            self.uneven.add(chr(code))
        self[code] = folded
        return folded


_FOLDED = _Folded()
_FEW = 16  # different characters that are replaced one after the other
_UNSEEN, _UNEVEN = -1, -2  # in the table below; the code point that takes the place otherwise


@functools.lru_cache(maxsize=1)
def _folded_codes() -> np.ndarray:
    return np.full(0x110000, _UNSEEN, np.int32)


def _fold(text: str) -> str:
    """``strip_accents`` by a table of code points, filled as they are met; for long texts."""
    if text.isascii():
        return text
    table = _folded_codes()
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    new = table[codes]
    if new.min() < 0:
        for code in np.unique(codes[new == _UNSEEN]).tolist():
            folded = _FOLDED[code]
            table[code] = ord(folded) if len(folded) == 1 else _UNEVEN
        uneven = np.unique(codes[table[codes] == _UNEVEN]).tolist()
        if len(uneven) > _FEW:
            return text.translate(_FOLDED)
        for code in uneven:
            text = text.replace(chr(code), _FOLDED[code])
        return _fold(text)
    return new.tobytes().decode("utf-32-le", "surrogatepass")


def strip_accents(text: str) -> str:
    """The compatibility decomposition (NFKD) of a text without its combining characters."""
    return "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))


class Origins(NamedTuple):
    """Where the characters of a text come from in another one.

    Attributes:
        starts: for each character the place where its origin starts.
        ends: and where it ends.
    """

    starts: Sequence[int]
    ends: Sequence[int]

    def through(self, before: Origins | None) -> Origins:
        """Origins in the text that this one's original was made from."""
        if before is None:
            return self
        return Origins(
            [before.starts[at] for at in self.starts], [before.ends[at - 1] for at in self.ends]
        )


@dataclass(frozen=True)
class TextRules:
    """How a text is changed before it is tokenized, in this order.

    Attributes:
        squeeze_spaces: white space at both ends goes, every other run of it becomes one space.
        replace_quotes: two backticks or two apostrophes become a quotation mark (in XLNet's code,
            and for ALBERT in the Transformers library, but not in Google's ALBERT code).
        strip_accents: compatibility decomposition, then combining characters go.
        lower: lower case.
    """

    squeeze_spaces: bool = False
    replace_quotes: bool = False
    strip_accents: bool = False
    lower: bool = False

    def __bool__(self) -> bool:
        return self.squeeze_spaces or self.replace_quotes or self.strip_accents or self.lower

    def apply(self, text: str) -> str:
        """The text as SentencePiece shall see it."""
        if self.squeeze_spaces:
            text = " ".join(text.split())
        if self.replace_quotes:
            text = text.replace("``", '"').replace("''", '"')
        if self.strip_accents and not text.isascii():
            text = text.translate(_FOLDED)
        return text.lower() if self.lower else text

    def apply_all(self, texts: Sequence[str]) -> list[str]:
        """:meth:`apply` for many texts, several times as fast."""
        if not self.squeeze_spaces or not self.strip_accents:
            return list(map(self.apply, texts))
        joined = "\n".join([" ".join(text.split()) for text in texts])  # the only line feeds
        if self.replace_quotes:
            joined = joined.replace("``", '"').replace("''", '"')
        joined = _fold(joined)
        return (joined.lower() if self.lower else joined).split("\n") if texts else []

    def apply_with_origins(self, text: str) -> tuple[str, Origins]:
        """:meth:`apply`, and where in ``text`` each character of the result was."""
        result = self.apply(text)
        if len(result) == len(text) and self._keeps_places(text):
            return result, Origins(range(len(text)), range(1, len(text) + 1))
        chars, starts, ends = list(text), list(range(len(text))), list(range(1, len(text) + 1))

        def pick(parts: Sequence[tuple[str, int, int]]) -> None:
            """Makes each part one character or more, from the characters first to last."""
            nonlocal chars, starts, ends
            counts = [len(part) for part, _, _ in parts]
            starts = [starts[a] for (_, a, _), n in zip(parts, counts) for _ in range(n)]
            ends = [ends[b - 1] for (_, _, b), n in zip(parts, counts) for _ in range(n)]
            chars = [char for part, _, _ in parts for char in part]

        if self.squeeze_spaces:
            parts, end = [], 0
            for word in _WORD.finditer(text):
                if parts:
                    parts.append((" ", end, word.start()))
                parts += [(text[at], at, at + 1) for at in range(*word.span())]
                end = word.end()
            pick(parts)
        if self.replace_quotes:
            parts, end, joined = [], 0, "".join(chars)
            for quote in _QUOTES.finditer(joined):
                parts += [(joined[at], at, at + 1) for at in range(end, quote.start())]
                parts.append(('"', *quote.span()))
                end = quote.end()
            pick(parts + [(joined[at], at, at + 1) for at in range(end, len(joined))])
        if self.strip_accents:
            pick([(_FOLDED[ord(char)], at, at + 1) for at, char in enumerate(chars)])
        if self.lower:  # the characters of ``result``, but for sigmas, which depend on neighbours
            pick([(char.lower(), at, at + 1) for at, char in enumerate(chars)])
        return result, Origins(starts, ends)

    def _keeps_places(self, text: str) -> bool:
        """Whether each step gives one character for each, if the last one does not add any."""
        if self.squeeze_spaces and len(" ".join(text.split())) != len(text):
            return False
        if self.replace_quotes and _QUOTES.search(text):
            return False
        return not self.strip_accents or text.isascii() or _FOLDED.uneven.isdisjoint(text)


def join_words(text: str, words: Sequence[str]) -> tuple[str, Origins]:
    """The words of a segmenter with spaces between them, and where in ``text`` they were.

    Args:
        text: what was segmented.
        words: its words; characters in them may have been replaced by others.

    Returns:
        The joined words, and the origins of its characters.
    """
    starts, ends, cursor = [], [], 0
    keeps_places = sum(map(len, words)) == len(text)
    for number, word in enumerate(words):
        at = cursor if keeps_places else text.find(word, cursor)
        if at < 0:  # a segmenter that changes the text: place the word where we are
            at = cursor
        if number:
            starts.append(cursor)
            ends.append(max(at, cursor))
        last = max(len(text) - 1, 0)
        places = [min(at + i, last) for i in range(len(word))]
        starts += places
        ends += [min(place + 1, len(text)) for place in places]
        cursor = min(at + len(word), len(text))
    return " ".join(words), Origins(starts, ends)


def to_origins(rows: Ragged, origins: Sequence[Origins]) -> Ragged:
    """Rows of tokens with their places in the original texts.

    Args:
        rows: tokens with their places in texts that were made of others.
        origins: where the characters of each text come from.
    """
    # One place more in each text: for tokens of no characters at its end.
    begins = [np.append(one.starts, one.ends[-1:] or 0) for one in origins]
    finishes = [np.append(one.ends, 0) for one in origins]
    sizes = np.array(list(map(len, begins)), np.int64)
    moved = np.repeat(np.cumsum(sizes) - sizes, rows.lengths)
    starts = _joined(begins)[rows.starts + moved]
    ends = _joined(finishes)[np.maximum(rows.ends - 1, 0) + moved]
    return rows._replace(starts=starts, ends=np.where(rows.ends > rows.starts, ends, starts))


def _joined(parts: list[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.zeros(0, np.int32), *parts]).astype(np.int32)
