"""Character classes and normalisation of BERT's basic tokeniser.

The rules are those of the original BERT release (google-research/bert, ``tokenization.py``):
clean, split around CJK characters, lower-case and strip accents word by word, split at punctuation.
They are written here so that every character that is produced remembers where in the original text
it came from, which is what makes exact offsets possible.
"""

from __future__ import annotations

import unicodedata
from itertools import groupby
from typing import NamedTuple

# The blocks that the original code splits around: Chinese characters only, no kana, no Hangul.
CJK_RANGES = (
    (0x4E00, 0x9FFF),
    (0x3400, 0x4DBF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B820, 0x2CEAF),
    (0xF900, 0xFAFF),
    (0x2F800, 0x2FA1F),
)
OTHER, CASED, IGNORABLE = 0, 1, 2
CAPITAL_SIGMA, SMALL_SIGMA, FINAL_SIGMA = "Σσς"
_SHARED_WHITESPACE = "\t\n\r"  # control characters by category, white space by the original code


class Rules(NamedTuple):
    """What of the normalisation a model asks for.

    Attributes:
        lower: lower-case.
        strip_accents: decompose (NFD) and leave out the non-spacing marks (category Mn).
        split_cjk: make every Chinese character a word.
    """

    lower: bool = False
    strip_accents: bool = False
    split_cjk: bool = True


CASED_RULES, UNCASED_RULES = Rules(), Rules(lower=True, strip_accents=True)


def is_cjk(char: str) -> bool:
    """Whether ``char`` is a Chinese character, a word of its own."""
    code = ord(char)
    return any(first <= code <= last for first, last in CJK_RANGES)


def is_dropped(char: str) -> bool:
    """Whether cleaning removes ``char``: NUL, U+FFFD, control and format characters."""
    if char in _SHARED_WHITESPACE:
        return False
    return char in "\0\ufffd" or unicodedata.category(char) in ("Cc", "Cf")


def is_whitespace(char: str) -> bool:
    """Whether ``char`` ends a word (category Zs, tab, line feed, return, U+2028 and U+2029)."""
    return char in _SHARED_WHITESPACE or (char.isspace() and not is_dropped(char))


def is_punctuation(char: str) -> bool:
    """Whether ``char`` is its own token: any category P, and ASCII symbols such as $ ^ `."""
    code = ord(char)
    if code < 128:
        return 33 <= code <= 126 and not char.isalnum()
    return unicodedata.category(char).startswith("P")


def strip_accents(text: str) -> str:
    """NFD without the non-spacing marks (category Mn)."""
    decomposed = unicodedata.normalize("NFD", text)
    return "".join(char for char in decomposed if unicodedata.category(char) != "Mn")


def normalize_word(word: str, origins: list[int], rules: Rules) -> tuple[str, list[int]]:
    """A word lower-cased and without accents, with the origin of each character produced.

    Args:
        word: a word without white space.
        origins: for each character of ``word`` its position in the original text.
        rules: which of the two to do.

    Returns:
        The normalised word and the origins of its characters.
    """
    lowered = word.lower() if rules.lower else word  # whole: a final sigma depends on neighbours
    if word.isascii():
        return lowered, origins
    if len(lowered) != len(word):
        origins = [at for char, at in zip(word, origins) for _ in char.lower()]
    if not rules.strip_accents:
        return lowered, origins
    pairs = [
        (part, at)
        for char, at in zip(lowered, origins)
        for part in unicodedata.normalize("NFD", char)
    ]
    # NFD of the whole puts each run of combining marks in canonical order, a stable sort.
    kept: list[tuple[str, int]] = []
    for _, run in groupby(pairs, key=lambda pair: unicodedata.combining(pair[0]) > 0):
        ordered = sorted(run, key=lambda pair: unicodedata.combining(pair[0]))
        kept += [pair for pair in ordered if unicodedata.category(pair[0]) != "Mn"]
    return "".join(char for char, _ in kept), [at for _, at in kept]


def case_role(char: str) -> int:
    """What ``char`` is to the lower case of a capital sigma beside it: CASED, IGNORABLE or OTHER.

    Python knows the Unicode properties Cased and Case_Ignorable but does not show them, so it is
    asked how it lowers a sigma after the character.
    """
    if is_dropped(char):
        return IGNORABLE
    if ("1" + char + CAPITAL_SIGMA).lower().endswith(FINAL_SIGMA):
        return CASED
    if ("A" + char + CAPITAL_SIGMA).lower().endswith(FINAL_SIGMA):
        return IGNORABLE
    return OTHER


def settle_sigmas(text: str) -> str:
    """Lowers capital sigmas only, so that words can then be lowered one by one.

    The form depends on what stands around, even beyond punctuation: final after a cased letter and
    not before one, ignorable characters left out (Unicode standard, 3.13, Final_Sigma).
    """

    def role_of_next(positions: range) -> int:
        roles = (case_role(text[at]) for at in positions)
        return next((role for role in roles if role != IGNORABLE), OTHER)

    chars = list(text)
    for at, char in enumerate(text):
        if char == CAPITAL_SIGMA:
            after = role_of_next(range(at + 1, len(text)))
            before = role_of_next(range(at - 1, -1, -1))
            is_final = before == CASED and after != CASED
            chars[at] = FINAL_SIGMA if is_final else SMALL_SIGMA
    return "".join(chars)


def split_words(text: str, rules: Rules) -> list[tuple[str, list[int]]]:
    """BERT's basic tokenisation.

    Args:
        text: any text.
        rules: what to normalise, and whether to split around Chinese characters.

    Returns:
        The words in order: each normalised word, with the position in ``text`` that each of its
        characters came from.
    """
    spans: list[tuple[list[str], list[int]]] = [([], [])]
    for at, char in enumerate(text):
        if is_dropped(char):
            continue
        if is_whitespace(char):
            spans.append(([], []))
        elif rules.split_cjk and is_cjk(char):
            spans += [([char], [at]), ([], [])]
        else:
            spans[-1][0].append(char)
            spans[-1][1].append(at)
    words: list[tuple[str, list[int]]] = []
    for chars, origins in spans:
        word = "".join(chars)
        if rules.lower or rules.strip_accents:
            word, origins = normalize_word(word, origins, rules)
        start = 0
        for at, char in enumerate(word):
            if is_punctuation(char):
                words += [(word[start:at], origins[start:at]), (char, origins[at : at + 1])]
                start = at + 1
        words.append((word[start:], origins[start:]))
    return [(word, origins) for word, origins in words if word]
