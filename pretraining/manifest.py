"""What a corpus says of itself, and what a run that goes on must have in common with its start."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from importlib import metadata
from typing import Any

import kerasbert
from pretraining.phases import Finished
from pretraining.reading import Source
from pretraining.records import FORMAT
from pretraining.sequences import Recipe, special_ids

_LIBRARIES = ("numpy", "tensorflow", "keras", "sentencepiece", "tokenizers", "zstandard")


def describe(
    recipe: Recipe,
    segmenter: str,
    inputs: list[Source],
    shards: int,
    chunk_bytes: int,
    deduplicate: bool,
) -> dict[str, Any]:
    """All that decides on the content of the shards, as JSON."""
    settings = {
        field.name: getattr(recipe, field.name)
        for field in dataclasses.fields(recipe)
        if field.name not in ("tokenizer", "segment")
    }
    settings.update(
        segmenter=segmenter,
        hmm=getattr(recipe.segment, "hmm", None),
        segmenter_version=_version(segmenter.partition(":")[0].partition(".")[0]),
        shards=shards,
        chunk_bytes=chunk_bytes,
        deduplicate=deduplicate,
        kerasbert=kerasbert.__version__,
        tokenizer={name: _sha256(content) for name, content in recipe.tokenizer.files().items()},
        inputs=[{"file": source.path, "bytes": source.bytes} for source in inputs],
    )
    return settings


def compose(recipe: Recipe, settings: dict[str, Any], finished: Finished) -> bytes:
    """The manifest, which makes a folder of shards a corpus.

    Args:
        recipe: that made the shards.
        settings: of :func:`describe`.
        finished: the result.
    """
    counts = finished.counts
    manifest = {
        "format": FORMAT,
        "style": recipe.style,
        "max_length": recipe.max_length,
        "examples": counts["examples"],
        "tokens": counts["tokens"],
        "vocab_size": len(recipe.tokenizer.token_dict),
        "special_ids": special_ids(recipe.tokenizer),
        "counts": dict(sorted(counts.items())),
        "problems": finished.problems,
        "settings": settings,
        "versions": {name: version for name in _LIBRARIES if (version := _version(name))},
        "shards": [
            {"file": os.path.basename(path), "examples": examples, **shard._asdict()}
            for path, examples, shard in finished.shards
        ],
    }
    return (json.dumps(manifest, indent=2) + "\n").encode()  # names of files may be anything


def differences(before: dict[str, Any], now: dict[str, Any]) -> str:
    """Which settings differ, in words; empty if none does."""
    found = []
    for name in sorted({*before, *now}):
        if before.get(name) == now.get(name):
            continue
        if isinstance(now.get(name), (list, dict)):
            found.append(f"other {name}")
        else:
            found.append(f"{name} {now.get(name)!r} instead of {before.get(name)!r}")
    return ", ".join(found)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except (metadata.PackageNotFoundError, ValueError):
        return None
