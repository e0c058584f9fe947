"""From a stream of tokens to pairs of segments: next sentences, swapped ones, similar texts.

``pair_segments`` follows create_pretraining_data.py of google-research/bert ("bert") and of
google-research/albert ("albert"). A segment there is a line; here a line that is longer than a
sequence is divided into its sentences first, where Google's programs lose what does not fit. Other
differences:

* Google cuts tokens off one by one at a random end of the longer segment; here their numbers are
  drawn, from the same distribution.
* A random next segment comes from the documents of the same chunk (Google: of the same input file),
  and, as there, from the same document where there is no other.
* ALBERT pairs a single segment with a random one and calls it swapped; here it is divided in two,
  so that the label says one thing only.
"""

from __future__ import annotations

import hashlib
import random

import numpy as np

from pretraining.packing import Plan, Slice, cut
from pretraining.tokens import Tokens

_Bounds = list[int]  # where the segments of a document begin, and the end of the last


def pair_segments(
    tokens: Tokens, max_length: int, short_seq_prob: float, swap: bool, rng: random.Random
) -> list[Plan]:
    """Pairs of segments of about ``max_length`` tokens.

    Args:
        tokens: of some documents.
        max_length: most tokens of a sequence.
        short_seq_prob: share of documents whose sequences have a shorter length, drawn for each.
        swap: whether labels tell swapped segments (ALBERT), or segments of other documents (BERT).
        rng: draws lengths, divisions, others, and what is cut off.
    """
    room = max_length - 3
    plans: list[Plan] = []
    documents = [
        _segments(tokens, first, last, room)
        for first, last in zip(tokens.documents, tokens.documents[1:])
        if tokens.lines[first] < tokens.lines[last]
    ]
    for number, bounds in enumerate(documents):
        target = rng.randint(2, room) if rng.random() < short_seq_prob else room
        at, last = 0, len(bounds) - 1
        while at < last:
            end = at + 1
            while end < last and bounds[end] - bounds[at] < target:
                end += 1
            middle = at + (rng.randint(1, end - at - 1) if end - at > 1 else 1)
            a, b = (bounds[at], bounds[middle]), (bounds[middle], bounds[end])
            label = 0
            if swap:
                if end - at == 1:
                    place = _divide(tokens, *a)
                    a, b = (a[0], place), (place, a[1])
                if rng.random() < 0.5:
                    a, b, label = b, a, 1
            elif end - at == 1 or rng.random() < 0.5:
                b = _random_segment(documents, number, target - (a[1] - a[0]), rng)
                label, end = 1, middle  # the rest of the text is used again
            at = end
            if a[0] < a[1] and b[0] < b[1]:  # a text of one token has no two parts
                a, b = _truncate(a, b, room, rng)
                plans.append(Plan([a, b], a[1] - a[0] + 2, label))
    return plans


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
            sizes = shorter(a[1] - a[0], b[1] - b[0], max_length - 3)
            a, b = (a[0], a[0] + sizes[0]), (b[0], b[0] + sizes[1])
            plans.append(Plan([a, b], a[1] - a[0] + 2, label))
    return plans


def shorter(a: int, b: int, room: int) -> tuple[int, int]:
    """The lengths that two segments keep when the longer gives way, of equal ones the second."""
    if a + b <= room:
        return a, b
    if min(a, b) <= room // 2:
        return (room - b, b) if a > b else (a, room - a)
    return room - room // 2, room // 2


def _segments(tokens: Tokens, first: int, last: int, room: int) -> _Bounds:
    """The segments of the lines from first to last: lines, or sentences of those too long."""
    bounds = [tokens.lines[first]]
    for line in range(first, last):
        begin, end = tokens.lines[line], tokens.lines[line + 1]
        if end - begin > room:
            for sentence_end in (
                np.flatnonzero(tokens.sentence_ends[begin:end]) + begin + 1
            ).tolist():
                bounds += cut(tokens, bounds[-1], sentence_end, room)
        elif end > begin:
            bounds.append(end)
    return bounds


def _random_segment(documents: list[_Bounds], own: int, wanted: int, rng: random.Random) -> Slice:
    """Text of another document from a random segment on: as many segments as make the length."""
    other = rng.randrange(len(documents) - 1) if len(documents) > 1 else 0
    other += other >= own and len(documents) > 1
    bounds = documents[other]
    begin = rng.randrange(len(bounds) - 1)
    end = begin + 1
    while end < len(bounds) - 1 and bounds[end] - bounds[begin] < wanted:
        end += 1
    return bounds[begin], bounds[end]


def _divide(tokens: Tokens, begin: int, end: int) -> int:
    """A place inside a segment near its middle: between sentences, or else between words."""
    middle = (begin + end) / 2
    sentences = np.flatnonzero(tokens.sentence_ends[begin : end - 1]) + begin + 1
    words = np.flatnonzero(tokens.word_starts[begin + 1 : end]) + begin + 1
    for places in (sentences, words, np.arange(begin + 1, end)):
        if len(places):
            return int(places[np.argmin(np.abs(places - middle))])
    return end


def _truncate(a: Slice, b: Slice, room: int, rng: random.Random) -> tuple[Slice, Slice]:
    """Cuts tokens off both ends of the longer segment, as many at each as coins decide."""
    sizes = shorter(a[1] - a[0], b[1] - b[0], room)
    found = []
    for (begin, end), size in zip((a, b), sizes):
        surplus = end - begin - size
        front = bin(rng.getrandbits(surplus)).count("1") if surplus else 0
        found.append((begin + front, begin + front + size))
    return found[0], found[1]
