"""How byte-level BPE cuts a text into words, and how it writes bytes as characters.

The rule is GPT-2's (Radford et al., 2019), as RoBERTa uses it: words of letters, of numbers or of
anything else, with the one space before them; English contractions; runs of white space. A run of
white space leaves its last character to the word that follows.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Callable

import numpy as np

OTHER, LETTER, NUMBER, SPACE = range(4)

# Unicode's White_Space, which no version adds to any more.
_SPACES = [(9, 13), (32, 32), (133, 133), (160, 160), (0x1680, 0x1680), (0x2000, 0x200A)]
_SPACES += [(0x2028, 0x2029), (0x202F, 0x202F), (0x205F, 0x205F), (0x3000, 0x3000)]

# Planes 0 to 3 and 14: nothing else is assigned but private use, which is never a letter.
_ASSIGNED = (*range(0xD800), *range(0xE000, 0x40000), *range(0xE0000, 0xE1000))
_BEYOND_BMP = re.compile("[\U00010000-\U0010ffff]").search


@functools.cache
def character_classes() -> np.ndarray:
    """The class of each code point: uint8 (1114112,), OTHER, LETTER, NUMBER or SPACE.

    Python and the ``tokenizers`` library know different versions of Unicode. What was a letter or a
    number in version 3.2 still is one; of characters assigned since then the library is asked,
    whose ids ours are to be equal to.
    """
    from tokenizers import Regex, pre_tokenizers

    classes = np.full(0x110000, OTHER, np.uint8)
    codes = {"L": LETTER, "N": NUMBER}
    unsettled = []
    for code in _ASSIGNED:
        char = chr(code)
        category = unicodedata.category(char)
        if category[0] in codes and unicodedata.ucd_3_2_0.category(char)[0] == category[0]:
            classes[code] = codes[category[0]]
        elif category == "Cn" or category[0] in codes:
            unsettled.append(char)
    text = "".join(unsettled)
    codes_of_text = np.array(list(map(ord, unsettled)), np.int64)
    for name, value in codes.items():
        others = pre_tokenizers.Split(Regex(rf"[^\p{{{name}}}]+"), "removed")
        for _, (start, end) in others.pre_tokenize_str(text):
            classes[codes_of_text[start:end]] = value
    for first, last in _SPACES:
        classes[first : last + 1] = SPACE
    return classes


@functools.cache
def _patterns() -> tuple[Callable[[str], list[str]], Callable[[str], list[str]]]:
    """``findall`` of the rule for texts of the BMP, for which it is faster, and for any text."""
    return _compile(0x10000).findall, _compile(0x110000).findall


def _compile(size: int) -> re.Pattern[str]:
    classes = character_classes()[:size]
    letter, number, space = (_as_set(classes == kind) for kind in (LETTER, NUMBER, SPACE))
    return re.compile(
        f"'(?:[stmd]|re|ve|ll)| ?[{letter}]+| ?[{number}]+| ?[^{space}{letter}{number}]+"
        f"|[{space}]+(?![^{space}])|[{space}]+"
    )


def _as_set(chosen: np.ndarray) -> str:
    """The inside of a regular expression's ``[...]`` for the code points that are chosen."""
    padded = np.concatenate([[False], chosen, [False]])
    edges = np.flatnonzero(padded[1:] != padded[:-1])
    spans = zip(edges[0::2].tolist(), edges[1::2].tolist())
    return "".join(f"\\U{start:08x}-\\U{end - 1:08x}" for start, end in spans)


def split_words(text: str) -> list[str]:
    """The words of a text; joined they are the text."""
    of_bmp, of_any = _patterns()
    return of_bmp(text) if text.isascii() or not _BEYOND_BMP(text) else of_any(text)


@functools.cache
def byte_characters() -> tuple[str, ...]:
    """The character by which a vocabulary writes each of the 256 bytes.

    Printable bytes of Latin-1 stand for themselves; the others, in order, are U+0100 and on.
    """
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = (code for code in range(256) if code not in printable)
    shifted = {code: 0x100 + at for at, code in enumerate(others)}
    return tuple(chr(shifted.get(code, code)) for code in range(256))
