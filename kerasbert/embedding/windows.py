"""Texts to padded batches of like lengths, a bounded number of texts at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import NamedTuple

import numpy as np

# Texts that are sorted by length together, and the characters that they may have together: with
# more hardly any padding is left to save, and all of a window is in memory.
WINDOW_TEXTS, WINDOW_CHARACTERS = 16_384, 16_000_000

# What the model is given, by the end of its inputs' names.
INPUTS = {
    "Input-Token": "token_ids",
    "Input-Segment": "segment_ids",
    "Input-Position": "position_ids",
    "Input-Mask": "attention_mask",
}


class Batch(NamedTuple):
    """Some texts of a window.

    Attributes:
        places: which ones, int64 (texts,).
        inputs: int32 (texts, length) by name: the values of :data:`INPUTS`.
    """

    places: np.ndarray
    inputs: dict[str, np.ndarray]


class Window(NamedTuple):
    """Texts that are sorted together.

    Attributes:
        count: how many.
        batches: of them, the longest texts first.
        truncated: how many of them were too long.
    """

    count: int
    batches: list[Batch]
    truncated: int


class Padding(NamedTuple):
    """How batches are padded.

    Attributes:
        token: id of padding.
        segment: segment id of padding.
        on_left: whether it comes before the text.
        width: the only length that the model takes, or None.
    """

    token: int
    segment: int = 0
    on_left: bool = False
    width: int | None = None


def read_windows(
    texts: Iterable[str], texts_each: int = WINDOW_TEXTS, characters: int = WINDOW_CHARACTERS
) -> Iterator[list[str]]:
    """Cuts a stream of texts into lists.

    Raises:
        TypeError: something in it is not a text; says which.
    """
    iterator, at = iter(texts), 0
    while True:
        window, room = [], characters
        for text in islice(iterator, texts_each):
            if not isinstance(text, (str, bytes)):
                raise TypeError(f"texts[{at}] must be a text, got {text!r} ({type(text).__name__})")
            window.append(text)
            at += 1
            room -= len(text)
            if room <= 0:
                break
        if not window:
            return
        yield window


def tokenize(tokenizer: Callable, texts: list[str], max_length: int | None) -> tuple[Mapping, int]:
    """The tokens of each text, cut to a length.

    Returns:
        The encoding, with lists of arrays without padding; and how many texts were cut.
    """
    if max_length is None:
        return tokenizer(texts, padding=False, truncation=False), 0
    encoding = tokenizer(texts, padding=False, max_length=max_length + 1)
    long = [at for at, row in enumerate(encoding["token_ids"]) if len(row) > max_length]
    if long:
        cut = tokenizer([texts[at] for at in long], padding=False, max_length=max_length)
        for name, rows in cut.items():
            for at, row in zip(long, rows):
                encoding[name][at] = row
    return encoding, len(long)


def cut(lengths: np.ndarray, batch_size: int | None, tokens: int) -> list[np.ndarray]:
    """Which texts make which batch, the longest first.

    Args:
        lengths: tokens of each text, (texts,).
        batch_size: most texts of a batch; None for as many as have ``tokens`` tokens together. A
            batch then ends early where a shorter text would be padded, if it is half full.
        tokens: most tokens of a batch, padding counted; a longer text is a batch of its own.

    Returns:
        For each batch the numbers of its texts.
    """
    order = np.argsort(-lengths, kind="stable")
    if batch_size is not None:
        return np.split(order, range(batch_size, len(order), batch_size))
    sorted_lengths, batches, start = lengths[order], [], 0
    while start < len(order):
        longest = int(sorted_lengths[start])
        end = min(len(order), start + max(1, tokens // max(longest, 1)))
        # Lengths descend: this is where the first text comes that is as short as the one after.
        if end < len(order):
            even = int(np.searchsorted(-sorted_lengths, -sorted_lengths[end], side="left"))
            if even - start >= (end - start) / 2:
                end = even
        batches.append(order[start:end])
        start = end
    return batches


def pad(rows: list[np.ndarray], width: int, fill: int, on_left: bool) -> np.ndarray:
    """One int32 array (rows, width) of rows of different lengths."""
    lengths = np.fromiter(map(len, rows), np.int64, len(rows))
    places = np.arange(width)
    real = places >= width - lengths[:, None] if on_left else places < lengths[:, None]
    padded = np.full((len(rows), width), fill, np.int32)
    padded[real] = np.concatenate(rows)
    return padded


def make_window(
    encoding: Mapping, truncated: int, padding: Padding, batch_size: int | None, tokens: int
) -> Window:
    """Batches of an encoded window."""
    rows = encoding["token_ids"]
    lengths = np.fromiter(map(len, rows), np.int64, len(rows))
    columns = [(name, encoding.get(name)) for name in INPUTS.values()]
    fills = {"token_ids": padding.token, "segment_ids": padding.segment}
    batches = []
    for places in cut(lengths, batch_size, tokens):
        width = padding.width or int(lengths[places[0]])
        inputs = {
            name: pad([column[at] for at in places], width, fills.get(name, 0), padding.on_left)
            for name, column in columns
            if column is not None
        }
        inputs["position_ids"] = np.tile(np.arange(width, dtype=np.int32), (len(places), 1))
        batches.append(Batch(places, inputs))
    return Window(len(rows), batches, truncated)
