"""Texts for the rows: real ones from a folder that the user names, or synthetic of like lengths.

Nothing of a data set is stored here; the synthetic texts follow recorded quantiles of lengths only.
"""

from __future__ import annotations

import random
import tarfile
from bisect import bisect
from collections.abc import Iterator
from pathlib import Path

Pair = tuple[str, str, int]

_PROBABILITIES = (0.0, 0.05, 0.10, 0.25, 0.50, 0.75, 0.90, 0.95, 0.99, 0.999, 1.0)
# Characters, LCQMC train: the first question, and how much longer the second one is.
_QUESTION = (2, 6, 7, 8, 10, 12, 15, 18, 28, 35, 49)
_DIFFERENCE = (-26, -3, -2, -1, 0, 2, 4, 5, 11, 18, 112)
# Characters, ChnSentiCorp train.
_REVIEW = (4, 32, 36, 47, 76, 155, 189, 246, 540, 1083, 1992)

_LONG = 2_000  # characters of one long text


def read_member(folder: Path | None, name: str) -> str | None:
    """The text of the file whose path ends in ``name``, in a folder or in its ``.tar.xz`` archives.

    Args:
        folder: where to look, or None.
        name: the end of the path, such as ``lcqmc/train.tsv``.

    Returns:
        The text, or None when there is no such file.
    """
    if folder is None:
        return None
    for path in sorted(folder.rglob(Path(name).name)):
        if path.as_posix().endswith("/" + name):
            return path.read_text(encoding="utf-8")
    for archive in sorted(folder.rglob("*.tar.xz")):
        with tarfile.open(archive) as members:
            for member in members:
                if member.isfile() and ("/" + member.name).endswith("/" + name):
                    return members.extractfile(member).read().decode("utf-8")
    return None


def _table(text: str, columns: int) -> list[list[str]]:
    rows = (line.split("\t", columns - 1) for line in text.splitlines()[1:])
    return [row for row in rows if len(row) == columns and all(row)]


def _draw(quantiles: tuple[int, ...], generator: random.Random) -> int:
    """A length from a distribution given by its quantiles (linear in between)."""
    place = generator.random()
    right = min(bisect(_PROBABILITIES, place), len(_PROBABILITIES) - 1)
    low, high = _PROBABILITIES[right - 1], _PROBABILITIES[right]
    share = (place - low) / (high - low)
    return round(quantiles[right - 1] + share * (quantiles[right] - quantiles[right - 1]))


def _sentence(length: int, generator: random.Random) -> str:
    """Common Chinese characters (few of them often, many rarely), some ASCII and punctuation."""
    parts = []
    while len(parts) < length:
        kind = generator.random()
        if kind < 0.85:
            parts.append(chr(0x4E00 + int(20_900 * generator.random() ** 3)))
        elif kind < 0.92:
            parts.append(generator.choice("，。！？、：；"))
        else:
            parts.append(generator.choice("0123456789abcdefghijklmnopqrstuvwxyz "))
    return "".join(parts[:length])


def _english_sentence(length: int, generator: random.Random) -> str:
    """Made up English: few words often and many rarely, short ones more often than long ones."""
    parts: list[str] = []
    size = 0
    while size < length:
        word = _word(int(30_000 * generator.random() ** 4))
        kind = generator.random()
        word = word.capitalize() if kind < 0.08 else word
        word += "," if kind > 0.95 else ". " if kind > 0.9 else "'s" if kind > 0.89 else ""
        parts.append(word if kind > 0.02 else str(generator.randrange(3000)))
        size += len(parts[-1]) + 1
    return " ".join(parts)[:length].strip() or "a"


def _word(number: int) -> str:
    """A word that can be spoken, the same for the same number, longer for a higher one."""
    syllables = [first + second for first in "tsnrlmdkpbfghv" for second in ("e", "a", "i", "on")]
    word = ""
    while not word or number:
        number, at = divmod(number, len(syllables))
        word += syllables[at]
    return word


def vocabulary(folder: Path | None, size: int) -> list[str]:
    """A Chinese WordPiece vocabulary of ``size`` tokens: the published one, or one of its kind."""
    text = read_member(folder, f"bert_zh_{size}_vocab.txt")
    if text is not None:
        return text.rstrip("\n").split("\n")
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    ascii_marks = [chr(code) for code in range(0x21, 0x7F) if not chr(code).isupper()]
    characters = [*"，。！？、：；", *ascii_marks, *map(chr, range(0x4E00, 0x4E00 + 7_300))]
    tokens += characters[: max(0, size - len(tokens)) // 2]
    tokens += ["##" + token for token in tokens[5:]]
    pairs = (first + second for first in ascii_marks for second in ascii_marks)
    extra = [piece for pair in pairs for piece in (pair, "##" + pair)]
    tokens += extra[: size - len(tokens)]
    return tokens + [f"[unused{number}]" for number in range(size - len(tokens))]


def pairs(folder: Path | None, count: int, seed: int = 0) -> list[Pair]:
    """Sentence pairs with a label, 0 or 1: a sample of LCQMC's training set, or synthetic ones."""
    generator = random.Random(seed)
    text = read_member(folder, "lcqmc/train.tsv")
    if text is not None:
        rows = _table(text, 3)
        rows = generator.sample(rows, min(count, len(rows)))
        return [(first, second, int(label)) for first, second, label in rows]
    made = []
    for _ in range(count):
        first = _draw(_QUESTION, generator)
        second = max(2, first + _draw(_DIFFERENCE, generator))
        label = generator.randrange(2)
        made.append((_sentence(first, generator), _sentence(second, generator), label))
    return made


def _english(folder: Path | None, lengths: tuple[int, ...], generator: random.Random):
    """Texts of these lengths, four times as many letters as Chinese characters."""
    text = read_member(folder, "english.txt")
    place = 0
    while text is None or place < len(text):
        length = 4 * _draw(lengths, generator)
        if text is None:
            yield _english_sentence(length, generator)
        else:
            yield " ".join(text[place : place + length].split()) or "a"
            place += length


def _reviews(folder: Path | None, generator: random.Random) -> Iterator[str]:
    text = read_member(folder, "chnsenticorp/train.tsv")
    if text is None:
        while True:
            yield _sentence(_draw(_REVIEW, generator), generator)
    rows = [row[1] for row in _table(text, 2)]
    yield from generator.sample(rows, len(rows))


def _take(found: Iterator[str], characters: int) -> list[str]:
    """The next texts, until they hold so many characters together."""
    taken, total = [], 0
    while total < characters:
        text = next(found, None)
        if text is None:
            raise ValueError("The data has too few texts: use --set characters=N or rounds=N.")
        taken.append(text)
        total += len(text)
    return taken


def text_sets(
    variant: str,
    folder: Path | None,
    characters: int,
    count: int,
    seed: int = 0,
    language: str = "zh",
) -> list[list[str]]:
    """Texts for the rows that tokenise: one set for every round, so that no round sees old texts.

    Args:
        variant: ``long_text`` (reviews joined to 2,000 characters each), ``reviews``, ``questions``
            or ``single_call`` (a twentieth as many questions).
        folder: where data sets are, or None for synthetic texts.
        characters: how many characters a set has, about.
        count: how many sets.
        seed: of the choice.
        language: "zh" for Chinese or "en" for English (``english.txt`` of the folder).

    Raises:
        ValueError: when the data does not suffice.
    """
    if variant in ("questions", "single_call"):
        characters //= 20 if variant == "single_call" else 1
        if language == "en":
            found = _english(folder, _QUESTION, random.Random(seed))
            return [_take(found, characters) for _ in range(count)]
        found = (pair[0] for pair in pairs(folder, count * (1 + characters // 8), seed))
        return [_take(found, characters) for _ in range(count)]
    generator = random.Random(seed)
    is_english = language == "en"
    found = _english(folder, _REVIEW, generator) if is_english else _reviews(folder, generator)
    sets = [_take(found, characters) for _ in range(count)]
    if variant == "reviews":
        return sets
    joined = [("\n" if is_english else "").join(texts) for texts in sets]
    return [[text[at : at + _LONG] for at in range(0, len(text), _LONG)] for text in joined]
