"""WordPiece pieces of Latin words and numbers, learnt by merging the most frequent neighbours.

The rule is that of byte-pair encoding (Sennrich et al. 2016, arXiv:1508.07909) on characters whose
first in a word stands plain and whose others carry ``##``, which is how BERT-like vocabularies
outside Google have been learnt since (Hugging Face's WordPiece trainer does the same). Google's own
learner goes the other way, from whole words down to characters; it is not published for
``vocab.txt`` of 2018.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Mapping


def spell(word: str) -> list[str]:
    """The word as pieces of one character: ``["a", "##b", "##c"]``."""
    return [word[0], *("##" + char for char in word[1:])]


def learn_pieces(words: Mapping[str, int], most: int, min_count: int) -> dict[str, int]:
    """Merges pairs of neighbouring pieces, the most frequent first.

    Args:
        words: word to how often it occurs.
        most: how many pieces to learn at most.
        min_count: the least number of places that a merge must join.

    Returns:
        Piece to the number of places it was joined at, which never grows from one to the next. Of
        equally frequent pairs the one first in the order of code points is merged, so that the
        result does not depend on the order of ``words``.
    """
    spelt = [spell(word) for word in words]
    counts = list(words.values())
    pairs: Counter[tuple[str, str]] = Counter()
    places: defaultdict[tuple[str, str], set[int]] = defaultdict(set)
    for at, pieces in enumerate(spelt):
        for pair in zip(pieces, pieces[1:]):
            pairs[pair] += counts[at]
            places[pair].add(at)
    heap = [(-count, pair) for pair, count in pairs.items() if count >= min_count]
    heapq.heapify(heap)
    learnt: dict[str, int] = {}
    while heap and len(learnt) < most:
        expected, pair = heapq.heappop(heap)
        count = pairs[pair]
        if count != -expected:  # its words have changed since it was put there
            if count >= min_count:
                heapq.heappush(heap, (-count, pair))
            continue
        joined = pair[0] + pair[1][2:]
        learnt.setdefault(joined, count)  # "abc" may come of "ab" "##c" and of "a" "##bc"
        changed = set()
        for at in places.pop(pair):
            pieces = spelt[at]
            for old in zip(pieces, pieces[1:]):
                pairs[old] -= counts[at]
                places[old].discard(at)
            spelt[at] = pieces = _join(pieces, pair, joined)
            for new in zip(pieces, pieces[1:]):
                pairs[new] += counts[at]
                places[new].add(at)
                if joined in new:
                    changed.add(new)
        del pairs[pair]
        for new in changed:
            if pairs[new] >= min_count:
                heapq.heappush(heap, (-pairs[new], new))
    return learnt


def _join(pieces: list[str], pair: tuple[str, str], joined: str) -> list[str]:
    """The pieces with every pair, from the left, as one."""
    result, at = [], 0
    while at < len(pieces):
        if tuple(pieces[at : at + 2]) == pair:
            result.append(joined)
            at += 2
        else:
            result.append(pieces[at])
            at += 1
    return result
