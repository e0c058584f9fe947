"""From a stream of tokens to full sequences: which sentences go together.

RoBERTa's FULL-SENTENCES (Liu et al. 2019, arXiv:1907.11692): sentences are packed until the next
one does not fit, across the ends of documents, between which stands one [SEP]. bert4keras joins
documents without it. Sequences of short texts end with the text.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pretraining.tokens import Tokens

Slice = tuple[int, int]  # first token and end
DOCUMENTS = ("separated", "joined", "apart")


class Plan(NamedTuple):
    """Which tokens make a sequence.

    Attributes:
        slices: first token and end of each; [SEP] stands behind each.
        first_length: tokens of the first segment with its special tokens; None for all.
        label: see :mod:`pretraining.records`.
    """

    slices: list[Slice]
    first_length: int | None = None
    label: int = 0


def pack_sentences(tokens: Tokens, max_length: int, documents: str) -> list[Plan]:
    """Packs whole sentences into sequences.

    Args:
        tokens: of some documents.
        max_length: most tokens of a sequence, with [CLS] and every [SEP].
        documents: "separated" by a [SEP] where a sequence holds several, "joined" without one, or
            "apart", every sequence of one document only.

    Returns:
        Sequences that together hold every token once, in order.
    """
    room = max_length - 2
    ends = np.flatnonzero(tokens.sentence_ends) + 1
    firsts = {tokens.lines[line] for line in tokens.documents}
    plans: list[Plan] = []
    slices: list[Slice] = []
    used, begin = 0, 0
    for sentence_end in ends.tolist():
        is_first = begin in firsts  # of its document
        for end in cut(tokens, begin, sentence_end, room):
            separate = is_first and bool(slices) and documents != "joined"
            if slices and (
                used + separate + end - begin > room or (is_first and documents == "apart")
            ):
                plans.append(Plan(slices))
                slices, used, separate = [], 0, False
            if slices and not separate:
                slices[-1] = (slices[-1][0], end)
            else:
                slices.append((begin, end))
            used += separate + end - begin
            begin, is_first = end, False
    if slices:
        plans.append(Plan(slices))
    return plans


def cut(tokens: Tokens, begin: int, end: int, room: int) -> list[int]:
    """Ends of the parts, of at most ``room`` tokens, of a stretch of tokens: before words if so."""
    found = []
    while end - begin > room:
        starts = np.flatnonzero(tokens.word_starts[begin + 1 : begin + room + 1])
        begin += int(starts[-1]) + 1 if len(starts) else room
        found.append(begin)
    return [*found, end]
