"""Character tables that let TensorFlow operations normalise text exactly as Python does here.

TensorFlow and tensorflow-text bring the Unicode rules of their own ICU library, which differ from
the original tokeniser's (tensorflow-text's BERT tokenizers disagree with it on many characters). So
the rules of :mod:`kerasbert.tokenizers.characters` are written down as small tables of numbers.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np

from kerasbert.tokenizers.characters import (
    Rules,
    case_role,
    is_cjk,
    is_dropped,
    is_punctuation,
    is_whitespace,
    strip_accents,
)

PAGE = 256
SELF = -1  # in an expansion: the character itself
_SPACE = 32

# Nothing in these ranges is changed or dropped: private use, surrogates and planes not in use, and
# the two large blocks of Chinese characters without a decomposition.
_PLAIN_RANGES = ((0xD800, 0xF8FF), (0x2FA20, 0xDFFFF), (0xE0200, 0x10FFFF))
_PLAIN_CJK_RANGES = ((0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0x20000, 0x2A6DF), (0x2A700, 0x2CEAF))


class GraphTables(NamedTuple):
    """What becomes of each code point; look up ``pages[code // 256] * 256 + code % 256``.

    Attributes:
        pages: int32, (4352,): the number of the table page for each 256 code points.
        rules: int32: the row of ``expansions`` for each code point of each page.
        expansions: int32, (rules, width): the code points that take the place of a character; 0 is
            none, ``SELF`` the character itself.
        cases: uint8, like ``rules``: the character's ``case_role``.
    """

    pages: np.ndarray
    rules: np.ndarray
    expansions: np.ndarray
    cases: np.ndarray


@functools.lru_cache(maxsize=2)
def graph_tables(normalization: Rules) -> GraphTables:
    """The tables of BERT's normalisation, with what a model asks for of it."""
    numbers: dict[tuple[int, ...], int] = {(SELF,): 0, (_SPACE, SELF, _SPACE): 1}
    rules = np.zeros(0x110000, np.int32)
    cases = np.zeros(0x110000, np.uint8)
    known = np.zeros(0x110000, np.bool_)
    for first, last in _PLAIN_RANGES:
        known[first : last + 1] = True
    for first, last in _PLAIN_CJK_RANGES:
        known[first : last + 1] = True
        if normalization.split_cjk:
            rules[first : last + 1] = [is_cjk(chr(code)) for code in range(first, last + 1)]
    for code in np.flatnonzero(~known).tolist():
        char = chr(code)
        rules[code] = numbers.setdefault(_expansion(char, normalization), len(numbers))
        if normalization.lower:
            cases[code] = case_role(char)
    pages, first_of_page = {}, []
    both = np.stack([rules, cases], axis=-1).reshape(-1, PAGE, 2)
    for page in both:
        first_of_page.append(pages.setdefault(page.tobytes(), len(pages)))
    kept = np.unique(first_of_page, return_index=True)[1]
    width = max(map(len, numbers))
    return GraphTables(
        np.array(first_of_page, np.int32),
        both[kept, :, 0].ravel().astype(np.int32),
        np.array([row + (0,) * (width - len(row)) for row in numbers], np.int32),
        both[kept, :, 1].ravel().astype(np.uint8),
    )


def _expansion(char: str, normalization: Rules) -> tuple[int, ...]:
    if is_dropped(char):
        return ()
    if is_whitespace(char):
        return (_SPACE,)
    codes: list[int] = []
    normal = char.lower() if normalization.lower else char
    for part in strip_accents(normal) if normalization.strip_accents else normal:
        code = SELF if part == char else ord(part)
        apart = (normalization.split_cjk and is_cjk(char)) or is_punctuation(part)
        codes += [_SPACE, code, _SPACE] if apart else [code]
    return tuple(codes)
