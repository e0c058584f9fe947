"""What masked sequences have in common on all sides: shares that two right programs agree on.

This file must run on Python 3.7.
"""

from __future__ import annotations

import numpy as np


def mask_shares(arrays, masked, labels, whole_words):
    """Checks masked sequences against those that they were made of, and counts.

    Args:
        arrays: of the harness: token_ids and word_starts (sequences, length), special_ids.
        masked: int (sequences, length), in any order: what the model is to read.
        labels: int (sequences, length), the token that stood there, or -100 where none was chosen.
        whole_words: whether whole words were to be chosen.

    Returns:
        ``shares`` float64 (3,), or (4,) for whole words: tokens chosen of those that may be; of
        the chosen ones, those that are now [MASK], and those that are another token; of the words
        with a chosen token, those with another one that is not.

    Raises:
        ValueError: when labels do not restore the sequences, or a special token was chosen.
    """
    _, _, cls, sep, mask = arrays["special_ids"].tolist()
    chosen = labels >= 0
    original = np.where(chosen, labels, masked).astype(np.int32)
    places = {row.tobytes(): at for at, row in enumerate(arrays["token_ids"])}
    rows = [places.pop(row.tobytes(), None) for row in original]
    if places or None in rows:
        raise ValueError("the labels do not restore the sequences that were masked")
    special = (original == cls) | (original == sep)
    if (special & chosen).any():
        raise ValueError("special tokens were chosen")
    is_mask = masked[chosen] == mask
    is_other = (masked[chosen] != original[chosen]) & ~is_mask
    shares = [chosen.sum() / (~special).sum(), is_mask.mean(), is_other.mean()]
    if whole_words:
        words = np.cumsum(arrays["word_starts"][rows].ravel()) - 1
        sizes = np.bincount(words)
        taken = np.bincount(words, chosen.ravel())
        shares.append(((taken > 0) & (taken < sizes)).sum() / (taken > 0).sum())
    return {"shares": np.array(shares)}
