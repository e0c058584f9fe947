"""Names of published models: which spellings mean the same, and what is spelt like them."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

_SEPARATORS = re.compile(r"[-_\s]+")


def normalise(name: str) -> str:
    """The one spelling of a name: lower case, ``_`` for ``-`` and for white space.

    ``RBT3`` and ``rbt3`` are the same, so are ``hfl/chinese-roberta-wwm-ext`` and
    ``hfl/chinese_roberta_wwm_ext``.
    """
    return _SEPARATORS.sub("_", name.strip().casefold()).strip("_")


def close_to(name: str, names: Iterable[str], count: int = 3) -> list[str]:
    """Those of ``names`` (in their normal spelling) that look like ``name``, best first."""
    wanted = normalise(name)
    names = list(names)
    near = difflib.get_close_matches(wanted, names, n=count, cutoff=0.6)
    inside = sorted((n for n in names if wanted and wanted in n), key=len)
    return list(dict.fromkeys([*near, *inside]))[:count]
