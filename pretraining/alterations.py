"""Changed copies of a sentence: words left out, moved, repeated, added or replaced at random.

The operations are those of EDA (Wei and Zou 2019, arXiv:1901.11196), CLEAR (Wu et al. 2020,
arXiv:2012.15466: leaving out, moving, replacing) and ESimCSE (Wu et al. 2021, arXiv:2109.04380:
repeating), on the words of a segmenter. A copy keeps its negations and numbers, which a sentence
does not lose without another meaning, and always differs from the sentence in more than its
punctuation.
"""

from __future__ import annotations

import os
import random
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

KEPT = re.compile("[不没沒无無未非别別莫勿毋否0-9〇零一二三四五六七八九十百千万萬亿億两兩半]")
PARTICLES = frozenset("的了着著过過吗嗎呢吧啊呀嘛地得也都就还還又很之其而于於")
# Written alike in simplified and traditional script, so that no sentence is mixed.
ENDINGS = ("呢", "吧", "啊", "呀", "了")
OPENINGS = ("那", "可是", "大概", "果然", "如今", "因此", "而且")
COMMAS = ("，", ",", "、", "；")
OTHER_MARKS = {"。": "！.", "，": ", ", "？": "?", "！": "。!", "；": "，。", "：": "，:"}
SHARE_LEFT_OUT = 0.2  # of the words, at most, by one operation
SHARE_KEPT = 0.7  # letters of a copy to letters of the sentence, at least

Words = list  # of strings, whose concatenation is the sentence


def read_synonyms(path: str | os.PathLike) -> dict[str, list[str]]:
    """Reads lines of similar words with white space between them.

    The extended Cilin is read as well: codes that end in "=" are left out, and so are its lines of
    merely related words ("#") and of single ones ("@").

    Raises:
        ValueError: the file is not UTF-8, or holds no two similar words.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8: {error}. Convert it first.") from None
    similar: dict[str, dict[str, None]] = {}
    for line in lines:
        words = line.split()
        if words and words[0][-1] in "#@":
            continue
        if words and words[0].endswith("="):
            words = words[1:]
        for word in words:
            similar.setdefault(word, {}).update(dict.fromkeys(words))
    found = {word: [o for o in others if o != word] for word, others in similar.items()}
    found = {word: others for word, others in found.items() if others}
    if not found:
        raise ValueError(f"{path} has no line of two or more words with white space between them.")
    return found


class Alterer:
    """Makes changed copies, the same ones of the same sentence for the same seed.

    Args:
        segment: a sentence to its words, which joined are the sentence.
        synonyms: word to similar words, for replacing.
        seed: another seed makes other copies.
    """

    def __init__(
        self,
        segment: Callable[[str], Iterable[str]],
        synonyms: Mapping[str, list[str]] | None = None,
        seed: int = 0,
    ):
        self._segment, self._synonyms, self._seed = segment, synonyms or {}, seed
        operations = {
            self._leave_out: 35,
            self._swap: 20,
            self._swap_clauses: 15,
            self._repeat: 10,
            self._add: 20,
            self._replace: 40 if synonyms else 0,
        }
        self._operations, self._weights = list(operations), list(operations.values())

    def copies(self, sentence: str, count: int = 1) -> list[str]:
        """Up to ``count`` copies that differ from the sentence and from each other.

        Fewer, or none, where the sentence is too short to be changed in so many ways.
        """
        draw = random.Random(f"{self._seed} {sentence}")
        words = [word for word in self._segment(sentence) if word]
        if not _letters(words):
            return []
        seen, found = {_letters(words)}, []
        shortest = SHARE_KEPT * len(_letters(words))
        for _ in range(6 * count):
            if len(found) == count:
                break
            copy = list(words)
            for _ in range(1 + (draw.random() < 0.5) + (len(words) > 12)):
                operation = draw.choices(self._operations, self._weights)[0]
                copy = operation(copy, draw)
            letters = _letters(copy)
            if letters not in seen and len(letters) >= shortest:
                seen.add(letters)
                found.append("".join(_change_marks(copy, draw)).strip())
        return found

    # Each takes the words and gives them changed, or as they were where it finds nothing to do.

    def _leave_out(self, words: Words, draw: random.Random) -> Words:
        free = [at for at in _places(words) if not KEPT.search(words[at])]
        most = int(SHARE_LEFT_OUT * len(_places(words)))
        chosen: set[int] = set()
        for _ in range(draw.randint(1, max(most, 1))):
            light = [at for at in free if words[at] in PARTICLES and at not in chosen]
            pool = light if light and draw.random() < 0.6 else free
            chosen.update(draw.sample(pool, min(len(pool), 1)))
        if len(_places(words)) - len(chosen) < 2:
            return words
        return [word for at, word in enumerate(words) if at not in chosen]

    def _swap(self, words: Words, draw: random.Random) -> Words:
        places = _places(words)
        pairs = [
            (first, second)
            for first, second in zip(places, places[1:])
            if not any(map(_is_mark, words[first + 1 : second])) and words[first] != words[second]
        ]
        if pairs:
            first, second = draw.choice(pairs)
            words[first], words[second] = words[second], words[first]
        return words

    def _swap_clauses(self, words: Words, draw: random.Random) -> Words:
        cuts = [at for at, word in enumerate(words) if word in COMMAS]
        end = len(words)
        while end and _is_mark(words[end - 1]):
            end -= 1
        edges = [-1, *(at for at in cuts if at < end), end]
        if len(edges) < 3:
            return words
        at = draw.randrange(len(edges) - 2)
        before, middle, after = edges[at : at + 3]
        first, second = words[before + 1 : middle], words[middle + 1 : after]
        return [*words[: before + 1], *second, words[middle], *first, *words[after:]]

    def _repeat(self, words: Words, draw: random.Random) -> Words:
        places = [at for at in _places(words) if len(words[at]) <= 2 and not words[at].isascii()]
        if places:
            at = draw.choice(places)
            words.insert(at, words[at])
        return words

    def _add(self, words: Words, draw: random.Random) -> Words:
        end = len(words)
        while end and _is_mark(words[end - 1]):
            end -= 1
        if draw.random() < 0.5:
            if words and words[0] not in OPENINGS:
                words.insert(0, draw.choice(OPENINGS))
        elif end and words[end - 1] not in PARTICLES:
            words.insert(end, draw.choice(ENDINGS))
        return words

    def _replace(self, words: Words, draw: random.Random) -> Words:
        places = [at for at in _places(words) if words[at] in self._synonyms]
        places = [at for at in places if not KEPT.search(words[at])]
        for at in draw.sample(places, min(len(places), draw.randint(1, 3))):
            words[at] = draw.choice(self._synonyms[words[at]])
        return words


def _change_marks(words: Words, draw: random.Random) -> Words:
    """Leaves out or replaces punctuation, in half of the cases."""
    if draw.random() < 0.5:
        return words
    end = len(words)
    while end and draw.random() < 0.7 and _is_mark(words[end - 1]):
        end -= 1
    return [
        draw.choice(OTHER_MARKS[word]) if word in OTHER_MARKS and draw.random() < 0.3 else word
        for word in words[:end]
    ]


def _is_mark(word: str) -> bool:
    return not any(map(str.isalnum, word))


def _places(words: Words) -> list[int]:
    """Where words proper stand: not punctuation, not white space."""
    return [at for at, word in enumerate(words) if not _is_mark(word)]


def _letters(words: Words) -> str:
    return "".join(char for word in words for char in word if char.isalnum()).lower()
