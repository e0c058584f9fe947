"""Inputs of the pretraining rows: made-up sequences, as a corpus packs them, and masked batches."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

# Share of the words with 1, 2, ... characters: jieba on Chinese news, law, books and wiki text.
_WORD_LENGTHS = (0.45, 0.475, 0.043, 0.029, 0.003)
SPECIAL = ("pad", "unk", "cls", "sep", "mask")


def special_ids(vocabulary: Path) -> np.ndarray:
    """The ids of :data:`SPECIAL` in a ``vocab.txt``, int32 (5,)."""
    tokens = vocabulary.read_text(encoding="utf-8").rstrip("\n").split("\n")
    return np.array([tokens.index(f"[{name.upper()}]") for name in SPECIAL], np.int32)


def make_sequences(
    count: int, length: int, special: np.ndarray, vocab_size: int, generator: np.random.Generator
) -> dict[str, np.ndarray]:
    """Sequences without padding: [CLS], words of one to five tokens, [SEP].

    Args:
        count: how many.
        length: tokens of each.
        special: of :func:`special_ids`.
        vocab_size: the others are drawn from 1000 to here.
        generator: draws them.

    Returns:
        ``token_ids`` int32 and ``word_starts`` bool (count, length), ``special_ids``.
    """
    token_ids = generator.integers(1000, vocab_size, (count, length), dtype=np.int32)
    token_ids[:, 0], token_ids[:, -1] = special[SPECIAL.index("cls")], special[SPECIAL.index("sep")]
    shares = np.array(_WORD_LENGTHS) / sum(_WORD_LENGTHS)
    sizes = generator.choice(len(shares), (count, length), p=shares) + 1
    word_starts = np.zeros((count, length), bool)
    begins = np.minimum(np.cumsum(sizes, axis=1), length - 1)
    word_starts[np.arange(count)[:, None], begins] = True
    word_starts[:, [0, 1, length - 1]] = True
    return {"token_ids": token_ids, "word_starts": word_starts, "special_ids": special}


def make_masked_batches(
    sizes: Mapping[str, int],
    special: np.ndarray,
    vocab_size: int,
    generator: np.random.Generator,
    count: int = 4,
) -> dict[str, np.ndarray]:
    """Batches for training steps, with exactly as many predictions in every row as there is room.

    So the mean over the predictions is the same number however a library divides.

    Args:
        sizes: ``batch``, ``length`` and ``predictions``.
        special: of :func:`special_ids`.
        vocab_size: of the model.
        generator: draws them.
        count: how many batches.

    Returns:
        ``token_ids`` int32 (count, batch, length), 80 % of the chosen ones [MASK] and 10 % another
        token; ``positions`` and ``labels`` int32 (count, batch, predictions), ascending;
        ``special_ids``.
    """
    batch, length, predictions = sizes["batch"], sizes["length"], sizes["predictions"]
    original = make_sequences(count * batch, length, special, vocab_size, generator)["token_ids"]
    order = np.argsort(generator.random((count * batch, length - 2)), axis=1) + 1
    positions = np.sort(order[:, :predictions], axis=1).astype(np.int32)
    labels = np.take_along_axis(original, positions, axis=1)
    action = generator.random(labels.shape)
    drawn = generator.integers(1000, vocab_size, labels.shape, dtype=np.int32)
    replaced = np.where(action < 0.9, drawn, labels)
    replaced = np.where(action < 0.8, special[SPECIAL.index("mask")], replaced)
    masked = original.copy()
    np.put_along_axis(masked, positions, replaced, axis=1)
    arrays = {"token_ids": masked, "positions": positions, "labels": labels}
    found = {name: array.reshape(count, batch, -1) for name, array in arrays.items()}
    return {**found, "special_ids": special}
