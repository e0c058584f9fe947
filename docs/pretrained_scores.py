"""The data sets of measure_pretrained.py, and what predictions for them are scored by."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

TAGS = ("O", *(f"{at}-{kind}" for kind in ("PER", "LOC", "ORG") for at in "BI"))
HELD_OUT = 1000  # sentences of train.txt that choose the learning rate


@dataclasses.dataclass
class Split:
    """Examples (texts or pairs of texts) and a label for each; for entities, tags of characters."""

    examples: list
    labels: list

    def first(self, count: int | None) -> Split:
        return Split(self.examples[:count], self.labels[:count])

    def shuffled(self) -> Split:
        order = np.random.default_rng(0).permutation(len(self.examples))
        return Split([self.examples[i] for i in order], [self.labels[i] for i in order])


def find(folder: Path, name: str) -> Path:
    """The data set's folder."""
    found = sorted(path for path in Path(folder).rglob(name) if path.is_dir())
    if not found:
        raise FileNotFoundError(f"there is no folder {name} in {folder}: unpack the data there.")
    return found[0]


def read_table(path: Path, label_first: bool) -> Split:
    """Texts, or pairs of them, and labels of 0 or 1, from lines of cells with tabs between."""
    header, *lines = path.read_text(encoding="utf-8-sig").split("\n")
    columns = header.count("\t") + 1
    split = Split([], [])
    for number, line in enumerate(lines, start=2):
        cells = line.split("\t", columns - 1)
        label, texts = (cells[0], cells[1:]) if label_first else (cells[-1], cells[:-1])
        if label in ("0", "1") and len(cells) == columns:
            split.examples.append(texts[0] if len(texts) == 1 else tuple(texts))
            split.labels.append(int(label))
        elif line:
            raise ValueError(f"{path}, line {number}: no label of 0 or 1. Received: {line}")
    return split


def read_entities(path: Path) -> Split:
    """Sentences and the tags of their characters: a character and its tag on a line."""
    split = Split([], [])
    for block in path.read_text(encoding="utf-8-sig").split("\n\n"):
        rows = [line.rsplit(" ", 1) for line in block.split("\n") if line]
        wrong = next((row for row in rows if len(row) != 2 or row[1] not in TAGS), None)
        if wrong:
            raise ValueError(f"{path}: a line is a character and a tag. Received: {wrong}")
        if rows:
            split.examples.append("".join(char for char, _ in rows))
            split.labels.append([tag for char, tag in rows for _ in char])
    return split


def read_sentiment(folder: Path) -> dict[str, Split]:
    folder = find(folder, "chnsenticorp")
    return {s: read_table(folder / f"{s}.tsv", True) for s in ("train", "dev", "test")}


def read_pairs(folder: Path) -> dict[str, Split]:
    folder = find(folder, "lcqmc")
    return {s: read_table(folder / f"{s}.tsv", False) for s in ("train", "dev", "test")}


def read_people(folder: Path) -> dict[str, Split]:
    folder = find(folder, "peopledaily_ymcui")
    train, test = (read_entities(folder / name) for name in ("train.txt", "dev.txt"))
    held = min(HELD_OUT, len(train.examples) // 5)
    dev = Split(train.examples[-held:], train.labels[-held:])
    return {"train": Split(train.examples[:-held], train.labels[:-held]), "dev": dev, "test": test}


def spans(tags: list[str]) -> set[tuple[int, int, str]]:
    """Start, end and kind of each entity. An I- that goes on with nothing begins an entity."""
    found, start = set(), 0
    for at in range(len(tags) + 1):
        before = tags[at - 1] if at else "O"
        tag = tags[at] if at < len(tags) else "O"
        if before != "O" and tag != "I" + before[1:]:
            found.add((start, at, before[2:]))
        if tag[0] == "B" or (tag[0] == "I" and before[1:] != tag[1:]):
            start = at
    return found


def entity_f1(truth: list[list[str]], predicted: list[list[str]]) -> float:
    """Harmonic mean of precision and recall of entities that agree in start, end and kind."""
    pairs = [(spans(right), spans(guess)) for right, guess in zip(truth, predicted)]
    both = sum(len(right & guess) for right, guess in pairs)
    return 2 * both / max(sum(len(right) + len(guess) for right, guess in pairs), 1)


def spread(offsets: np.ndarray, tags: list[str], length: int) -> list[str]:
    """The tags of tokens as tags of characters; "O" where no token stands."""
    spread_tags = ["O"] * length
    for (start, end), tag in zip(offsets.tolist(), tags):
        if end > start:
            spread_tags[start] = tag
            spread_tags[start + 1 : end] = ["I" + tag[1:] if tag != "O" else tag] * (
                end - start - 1
            )
    return spread_tags


def spearman(first: np.ndarray, second: np.ndarray) -> float:
    """Rank correlation; equal values share the mean of their ranks. NaN where all are equal."""
    if not (np.ptp(first) and np.ptp(second)):
        return float("nan")
    ranks = []
    for values in (first, second):
        _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
        ranks.append((np.cumsum(counts) - (counts - 1) / 2)[place])
    return float(np.corrcoef(*ranks)[0, 1])
