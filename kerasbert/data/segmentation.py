"""Texts and token lists to pieces that fit a maximum length."""

from __future__ import annotations

from collections.abc import Sequence


def truncate_sequences(maxlen: int, indices: int | Sequence[int], *sequences: list) -> list[list]:
    """Shortens sequences until they have ``maxlen`` elements together.

    As long as there are too many, the longest sequence (the first of equally long ones) loses one:
    bert4keras's rule. Unlike there, the lists passed in stay as they are and empty ones are kept.

    Args:
        maxlen: most elements in all.
        indices: where elements are taken out, such as -1 for the end, or -2 to keep a last [SEP];
            one index, or one per sequence.
        *sequences: lists; None is left out of the result.

    Returns:
        The shortened lists.

    Raises:
        ValueError: ``maxlen`` cannot be reached, or the number of indices is wrong.
    """
    sequences = [list(sequence) for sequence in sequences if sequence is not None]
    if not isinstance(indices, (list, tuple)):
        indices = [indices] * len(sequences)
    if len(indices) != len(sequences):
        raise ValueError(f"got {len(indices)} indices for {len(sequences)} sequences.")

    kept = [len(sequence) for sequence in sequences]
    for _ in range(sum(kept) - max(maxlen, 0)):
        kept[kept.index(max(kept))] -= 1
    for sequence, index, keep in zip(sequences, indices, kept):
        fixed = index if index >= 0 else -index - 1  # elements before or behind the gap
        if keep < min(fixed, len(sequence)):
            raise ValueError(
                f"cannot shorten a sequence of {len(sequence)} to {keep} elements by taking them "
                f"out at index {index}. Give a larger maxlen than {maxlen}."
            )
        end = len(sequence) - fixed if index < 0 else fixed + len(sequence) - keep
        del sequence[end - (len(sequence) - keep) : end]
    return sequences


def text_segmentate(
    text: str, maxlen: int, seps: str = "\n", strips: str | None = None
) -> list[str]:
    """Cuts a text at separators into pieces of at most ``maxlen`` characters where possible.

    Cuts at the first separator, puts short pieces together again, and cuts those that are still too
    long at the next one. As in bert4keras, a piece without any separator stays as long as it is,
    and separators in a row stay together, beyond ``maxlen`` too.

    Args:
        text: the text.
        maxlen: most characters in a piece.
        seps: separators, strongest first; each stays at the end of its piece.
        strips: characters to strip from both ends of every piece, after white space.

    Returns:
        The pieces in order.
    """
    text = text.strip().strip(strips)
    if len(text) <= maxlen or not seps:
        return [text]
    sep, weaker = seps[0], seps[1:]
    *pieces, last = text.split(sep)
    groups = [""]
    for piece, ending in [*((piece, sep) for piece in pieces), (last, "")]:
        if groups[-1] and piece and len(groups[-1]) + len(piece) >= maxlen:
            groups.append("")
        groups[-1] += piece + ending
    return [
        part for group in groups if group for part in text_segmentate(group, maxlen, weaker, strips)
    ]
