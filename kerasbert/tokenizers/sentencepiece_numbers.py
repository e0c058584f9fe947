"""The pieces that ALBERT and XLNet split again: those that end in a digit and a comma ("2019,")."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from kerasbert.tokenizers.ragged import Ragged


def number_pieces(
    names: Sequence[str], encode: Callable[[str], list[int]], unknown: int
) -> dict[int, tuple[list[int], list[int]]]:
    """What becomes of each such piece: the number without its comma is tokenized, alone.

    The rule looks at nothing but the piece, so it is a table (``encode_pieces`` in the code of
    both).

    Args:
        names: the pieces by id.
        encode: gives the ids of the pieces of a text.
        unknown: id of the unknown piece.

    Returns:
        For each the ids of the pieces that take its place, and how many characters each is of.
    """
    ids = {name: at for at, name in enumerate(names)}
    found = {}
    for at, name in enumerate(names):
        if name[-1:] != "," or not name[-2:-1].isdigit():
            continue
        parts = encode(name[:-1].replace("▁", ""))
        if name[0] != "▁" and parts and names[parts[0]][0] == "▁":
            bare = names[parts[0]][1:]
            parts = ([ids.get(bare, unknown)] if bare else []) + parts[1:]
        parts = [*parts, ids.get(",", unknown)]
        found[at] = parts, [len(names[part].replace("▁", "")) for part in parts]
    return found


def split_again(rows: Ragged, table: Mapping[int, tuple[list[int], list[int]]]) -> Ragged:
    """Rows of tokens with the pieces of the table replaced.

    Args:
        rows: tokens, with offsets or without.
        table: as :func:`number_pieces` makes it.
    """
    hits = np.flatnonzero(np.isin(rows.ids, np.fromiter(table, np.int32, len(table))))
    if not len(hits):
        return rows
    counts = np.ones(len(rows.ids), np.int64)
    counts[hits] = [len(table[at][0]) for at in rows.ids[hits].tolist()]
    before = np.append(0, np.cumsum(counts))
    ids, starts, ends = (
        None if column is None else np.repeat(column, counts)
        for column in (rows.ids, rows.starts, rows.ends)
    )
    for hit in hits.tolist():
        parts, lengths = table[int(rows.ids[hit])]
        own = slice(before[hit], before[hit + 1])
        ids[own] = parts
        if starts is None:
            continue
        start, end = int(rows.starts[hit]), int(rows.ends[hit])
        if sum(lengths) == end - start:
            edges = start + np.append(0, np.cumsum(lengths))
        else:  # normalisation has changed the number of characters: all but the comma as one
            edges = np.array([start] + [max(end - 1, start)] * (len(parts) - 1) + [end])
        starts[own], ends[own] = edges[:-1], edges[1:]
    return Ragged(ids, before[rows.splits], starts, ends)
