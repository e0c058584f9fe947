"""Checkpoints that are found by their names."""

from __future__ import annotations

from pathlib import Path

# Name and archive of what is part of this package.
BUNDLED = {"kerasbert-mini-zh": "kerasbert-mini-zh.zip"}


def bundled(name: str) -> Path | None:
    """The archive of a checkpoint that is part of this package, or None for another name.

    Args:
        name: such as "kerasbert-mini-zh", upper or lower case.
    """
    archive = BUNDLED.get(name.lower())
    path = Path(__file__).parent / archive if archive else None
    return path if path and path.is_file() else None
