"""Made-up texts, a small vocabulary and segmenters for the tests of corpus preparation."""

from __future__ import annotations

import random
import re
from pathlib import Path

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
CHARACTERS = "天地玄黄宇宙洪荒日月盈昃辰宿列张寒来暑往秋收冬藏云腾致雨露结为霜"
VOCABULARY = [
    *SPECIAL,
    *CHARACTERS,
    *"。，！？!?.,”“\"'（）():；",
    *"abcdefghijklmnopqrstuvwxyz0123456789",
    *(f"##{letter}" for letter in "abcdefghijklmnopqrstuvwxyz0123456789"),
    "play",
    "##ing",
    "the",
]


def write_vocabulary(folder: Path) -> Path:
    """A vocab.txt of the tokens above."""
    path = folder / "vocab.txt"
    path.write_text("\n".join(VOCABULARY) + "\n", encoding="utf-8")
    return path


def cut_pairs(text: str) -> list[str]:
    """A segmenter whose words are two Chinese characters, or what stands between them."""
    return re.findall(r"[一-鿿]{1,2}|[^一-鿿]+", text)


def fails(text: str) -> list[str]:
    """A segmenter that fails on one character."""
    if "荒" in text:
        raise ArithmeticError("no word for this")
    return [text]


NO_FUNCTION = 5


def make_documents(count: int, seed: int = 0, longest: int = 30) -> list[list[str]]:
    """Documents of one to six lines, each of one to three sentences."""
    rng = random.Random(seed)

    def sentence():
        return "".join(rng.choices(CHARACTERS, k=rng.randint(1, longest))) + rng.choice("。！？")

    def line():
        return "".join(sentence() for _ in range(rng.randint(1, 3)))

    return [[line() for _ in range(rng.randint(1, 6))] for _ in range(count)]


def as_text(documents: list[list[str]]) -> str:
    """Documents as a text file holds them."""
    return "\n\n".join("\n".join(document) for document in documents) + "\n"
