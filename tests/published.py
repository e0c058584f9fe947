"""Published checkpoints in small: the recorded names and dtypes with shrunk shapes.

``python -m tests.published`` loads every entry of every family and prints a count.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

FACTS = Path(__file__).resolve().parents[2] / "shared" / "published" / "published.json"


def entries(families: Sequence[str], frameworks: Sequence[str]) -> list[dict]:
    """The recorded entries of published families and frameworks; none without the facts."""
    return [
        entry
        for entry in all_entries()
        if entry["family"] in families and entry["framework"] in frameworks
    ]


def all_entries() -> list[dict]:
    """Every recorded entry; none without the facts."""
    return json.loads(FACTS.read_text())["checkpoints"] if FACTS.exists() else []


def main() -> None:
    """Loads all entries and says how many did."""
    from tests.families import FAMILIES

    loaded = set()
    for family in FAMILIES:
        for entry in family.published():
            with tempfile.TemporaryDirectory() as folder:
                family.load_published(entry, Path(folder))
            loaded.add((entry["name"], entry["framework"]))
            print(
                f"{entry['name']:<60} {entry['family']:<22} "
                f"{len(entry['variables'])} variables: loaded",
                flush=True,
            )
    for entry in all_entries():
        if (entry["name"], entry["framework"]) not in loaded:
            print(f"{entry['name']:<60} {entry['family']:<22} {entry['framework']}: NOT TRIED")
    print(f"{len(loaded)} of {len(all_entries())} published checkpoints load strictly.")


if __name__ == "__main__":
    main()
