"""From a stream of tokens to pairs of segments: next sentences, swapped ones, similar texts."""

from __future__ import annotations

import hashlib
import random

from pretraining.packing import Plan, Slice
from pretraining.tokens import Tokens


def pair_similar(tokens: Tokens, max_length: int, rng: random.Random) -> list[Plan]:
    """Pairs of texts of one group (SimBERT): every text once, one twice where their number is odd.

    The label is a hash of the group, so that equal groups have equal labels.

    Args:
        tokens: documents are groups, their lines the texts.
        max_length: most tokens of a sequence; of a longer pair, the longer text loses its end.
        rng: draws who goes with whom.
    """
    plans = []
    for first, end in zip(tokens.documents, tokens.documents[1:]):
        texts = [(tokens.lines[line], tokens.lines[line + 1]) for line in range(first, end)]
        texts = [text for text in texts if text[0] < text[1]]
        if len(texts) < 2:
            continue
        content = tokens.ids[texts[0][0] : texts[-1][1]].astype("<i4").tobytes()
        label = int.from_bytes(hashlib.blake2b(content, digest_size=4).digest(), "little") >> 1
        rng.shuffle(texts)
        if len(texts) % 2:
            texts.append(texts[rng.randrange(len(texts) - 1)])
        for a, b in zip(texts[::2], texts[1::2]):
            a, b = _shorten(a, b, max_length - 3)
            plans.append(Plan([a, b], a[1] - a[0] + 2, label))
    return plans


def _shorten(a: Slice, b: Slice, room: int) -> tuple[Slice, Slice]:
    """Takes tokens off the end of the longer slice, one by one, until both fit."""
    sizes = shorter(a[1] - a[0], b[1] - b[0], room)
    return (a[0], a[0] + sizes[0]), (b[0], b[0] + sizes[1])


def shorter(a: int, b: int, room: int) -> tuple[int, int]:
    """The lengths that two segments keep when the longer one gives way, the second if equal."""
    if a + b <= room:
        return a, b
    if min(a, b) <= room // 2:
        return (room - b, b) if a > b else (a, room - a)
    return room - room // 2, room // 2
