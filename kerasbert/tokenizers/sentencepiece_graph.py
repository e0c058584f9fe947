"""The text rules of SentencePiece tokenizers, and kept tokens, by TensorFlow operations only.

What a character becomes is looked up in tables made by the Python that makes the Python call's
text: TensorFlow's own Unicode rules are of another version.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import tensorflow as tf

from kerasbert.tokenizers.characters import CASED, FINAL_SIGMA, IGNORABLE, OTHER
from kerasbert.tokenizers.sentencepiece_text import TextRules, strip_accents

_PAGE = 256
_CODE_POINTS = 0x110000
_SELF = -1  # in a table: the character itself
_MARK = b"\xff"  # around kept tokens: UTF-8 has no such byte
_SPACES = "".join(f"\\x{{{code:x}}}" for code in range(0x3001) if chr(code).isspace())
_SIGMA = ord("Σ")

# Nothing in these ranges has a case or a decomposition: the large blocks of Chinese characters,
# surrogates, private use, and planes not in use.
_PLAIN = ((0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xD800, 0xF8FF), (0x20000, 0x2F7FF))
_PLAIN += ((0x2FA20, 0xDFFFF), (0xE0200, 0x10FFFF))


class Replacement:
    """What takes the place of each number: of code points, or of ids.

    Args:
        rows: the numbers that take the place of a number, by its row.
        pages: for every 256 numbers the page of ``row_of`` that says their rows; None where a
            number is its row.
        row_of: the row for each number of each page.
    """

    def __init__(
        self,
        rows: Sequence[Sequence[int]],
        pages: np.ndarray | None = None,
        row_of: np.ndarray | None = None,
    ):
        self._counts = np.array([len(row) for row in rows], np.int64)
        self._firsts = np.cumsum(self._counts) - self._counts
        self._values = np.array([number for row in rows for number in row], np.int32)
        self._pages, self._row_of = pages, row_of

    def __call__(self, numbers: tf.RaggedTensor) -> tf.RaggedTensor:
        """Every number of every row replaced."""
        flat = numbers.values
        rows = flat
        if self._pages is not None:
            page = tf.gather(self._pages, flat // _PAGE)
            rows = tf.gather(self._row_of, page * _PAGE + flat % _PAGE)
        counts = tf.gather(self._counts, rows)
        ends = tf.cumsum(counts)
        shift = tf.repeat(tf.gather(self._firsts, rows) - ends + counts, counts)
        new = tf.gather(self._values, shift + tf.range(tf.size(shift, tf.int64)))
        new = tf.where(new == _SELF, tf.repeat(flat, counts), new)
        ends = tf.concat([tf.zeros([1], ends.dtype), ends], axis=0)
        splits = tf.gather(ends, numbers.row_splits)
        return tf.RaggedTensor.from_row_splits(new, splits, validate=False)


@functools.lru_cache(maxsize=1)
def accent_table() -> Replacement:
    """Code points to their compatibility decomposition without accents."""
    return _of_characters(strip_accents)


@functools.lru_cache(maxsize=1)
def lower_table() -> Replacement:
    """Code points to their lower case, alone."""
    return _of_characters(str.lower)


@functools.lru_cache(maxsize=1)
def role_table() -> Replacement:
    """Code points to what they are to a capital sigma beside them."""
    return _of_characters(lambda char: chr(_case_role(char)), is_plain=chr(OTHER))


def apply_rules(texts: tf.Tensor, rules: TextRules) -> tf.Tensor:
    """:meth:`TextRules.apply` for strings (texts,), of valid UTF-8."""
    if rules.squeeze_spaces:
        texts = tf.strings.strip(tf.strings.regex_replace(texts, f"[{_SPACES}]+", " "))
    if rules.replace_quotes:
        texts = tf.strings.regex_replace(texts, "``|''", '"')
    if not (rules.strip_accents or rules.lower):
        return texts
    # The space at the end keeps the end of one text apart from the start of the next.
    codes = tf.strings.unicode_decode(tf.strings.join([texts, " "]), "UTF-8", errors="ignore")
    if rules.strip_accents:
        codes = accent_table()(codes)
    if rules.lower:
        final = _final_sigmas(codes)
        codes = lower_table()(codes.with_values(tf.where(final, ord(FINAL_SIGMA), codes.values)))
    return tf.strings.unicode_encode(codes[:, :-1], "UTF-8", errors="ignore")


def encode_around(
    texts: tf.Tensor,
    kept: Mapping[str, int],
    with_space_before: Sequence[str],
    encode: Callable[[tf.Tensor], tf.RaggedTensor],
) -> tf.RaggedTensor:
    """The ids of texts in which some tokens stay whole.

    Args:
        texts: strings (batch,), of valid UTF-8.
        kept: the tokens and the id that each gives, the longest first.
        with_space_before: those of them that take in the white space before them.
        encode: gives the ids of what stands between them, of strings (parts,).

    Returns:
        int32 (batch, tokens).
    """
    if not kept:
        return encode(texts)
    spaced = "|".join(re.escape(token) for token in kept if token in with_space_before)
    others = "|".join(re.escape(token) for token in kept if token not in with_space_before)
    found = [f"[{_SPACES}]*({spaced})"] * bool(spaced) + [f"({others})"] * bool(others)
    groups = b"".join(b"\\%d" % (at + 1) for at in range(len(found)))
    texts = tf.strings.regex_replace(texts, "|".join(found), _MARK + groups + _MARK)
    parts = tf.strings.split(texts, _MARK)  # text and token in turn
    flat = parts.values
    within = tf.range(tf.size(flat, tf.int64)) - tf.repeat(parts.row_starts(), parts.row_lengths())
    is_token = within % 2 == 1
    names = tf.boolean_mask(flat, is_token)
    which = tf.argmax(names[:, tf.newaxis] == tf.constant(list(kept)), axis=1)
    tokens = tf.RaggedTensor.from_row_lengths(
        tf.gather(tf.constant(list(kept.values()), tf.int32), which), tf.cast(is_token, tf.int64)
    )
    ids = tf.concat([encode(tf.where(is_token, "", flat)), tokens], axis=1)
    return parts.with_values(ids).merge_dims(1, 2)


def _final_sigmas(codes: tf.RaggedTensor) -> tf.Tensor:
    """Which code points are capital sigmas whose lower case is the final one.

    After a cased letter and not before one, ignorable characters left out (the Final_Sigma rule of
    the Unicode standard, chapter 3.13).
    """
    flat, roles = codes.values, role_table()(codes).values
    counted = tf.where(roles != IGNORABLE)[:, 0]
    cased = tf.gather(roles, counted) == CASED
    before = tf.concat([[False], cased[:-1]], axis=0)[: tf.size(cased)]
    after = tf.concat([cased[1:], [False]], axis=0)[: tf.size(cased)]
    final = (tf.gather(flat, counted) == _SIGMA) & before & ~after
    where = tf.boolean_mask(counted, final)
    return tf.scatter_nd(
        where[:, tf.newaxis], tf.ones_like(where, tf.bool), tf.shape(flat, tf.int64)
    )


def _case_role(char: str) -> int:
    """What a character is to the lower case of a capital sigma beside it; asked of Python."""
    if ("1" + char + "Σ").lower().endswith(FINAL_SIGMA):
        return CASED
    return IGNORABLE if ("A" + char + "Σ").lower().endswith(FINAL_SIGMA) else OTHER


def _of_characters(function: Callable[[str], str], is_plain: str | None = None) -> Replacement:
    """The table of a function of one character.

    Args:
        function: what becomes of a character.
        is_plain: what becomes of those in the plain ranges; None for themselves.
    """
    numbers = {(_SELF,) if is_plain is None else tuple(map(ord, is_plain)): 0}
    row_of = np.zeros(_CODE_POINTS, np.int32)
    plain = np.zeros(_CODE_POINTS, np.bool_)
    for first, last in _PLAIN:
        plain[first : last + 1] = True
    for code in np.flatnonzero(~plain).tolist():
        new = tuple(map(ord, function(chr(code))))
        if is_plain is not None or new != (code,):
            row_of[code] = numbers.setdefault(new, len(numbers))
    pages, page_of = np.unique(row_of.reshape(-1, _PAGE), axis=0, return_inverse=True)
    return Replacement(list(numbers), page_of.ravel().astype(np.int32), pages.ravel())
