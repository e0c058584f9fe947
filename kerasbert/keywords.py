"""Keyword arguments that are taken by name, as those of models and settings of files."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any


def check_keywords(given: Mapping[str, Any], allowed, caller: str) -> None:
    """Raises TypeError for keyword arguments that mean nothing, naming the nearest that do."""
    allowed = sorted(allowed)
    for name in given:
        if name not in allowed:
            near = difflib.get_close_matches(name, allowed, n=3)
            hint = f" Did you mean {' or '.join(near)}?" if near else ""
            raise TypeError(
                f"{caller} got an unknown keyword argument {name!r}.{hint} "
                f"Accepted: {', '.join(allowed)}."
            )
