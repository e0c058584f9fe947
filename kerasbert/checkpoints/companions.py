"""What belongs to a checkpoint's weights and lies beside them: configuration and vocabulary."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kerasbert.checkpoints.errors import (
    CheckpointFormatError,
    CheckpointNotFoundError,
    refuse_lfs_pointer,
)

# Groups of files in the order of preference: those of the nearest folder come first.
Neighbours = Sequence[Sequence[Path]]

_MAX_CONFIG_BYTES = 10_000_000
_WIDTH_KEYS = ("hidden_size", "d_model", "n_embd", "emb_size", "dim")
_CONFIG_NAMES = (
    *("bert_config.json", "albert_config.json", "xlnet_config.json", "config.json"),
    *("model_config.json", "ernie_config.json"),  # of Paddle
)
_VOCAB_NAMES = ("vocab.txt", "vocab_chinese.txt")
_OTHER_VOCAB_NAMES = ("vocab.json", "encoder.json", "tokenizer.json")


def read_config(path: Path) -> dict[str, Any]:
    """Reads a configuration json.

    Raises:
        CheckpointFormatError: not a JSON object, or a Git LFS pointer.
    """
    refuse_lfs_pointer(path)
    try:
        if path.stat().st_size > _MAX_CONFIG_BYTES:
            raise ValueError(f"{path.stat().st_size:,} bytes are too many")
        settings = json.loads(path.read_text(encoding="utf-8-sig"))
        if not isinstance(settings, dict):
            raise ValueError(f"it holds a {type(settings).__name__}")
    except (ValueError, RecursionError) as error:
        raise CheckpointFormatError(
            f"{path} is not a model configuration, which is a JSON object in {{}}: {error}."
        ) from error
    return settings


def is_config(path: Path) -> bool:
    """Whether a file is a transformer's configuration, and not a tokenizer's or a vocabulary.

    Raises:
        CheckpointFormatError: it has the name of one, but cannot be read.
    """
    if path.suffix != ".json":
        return False
    try:
        settings = read_config(path)
    except CheckpointFormatError:
        if path.name in _CONFIG_NAMES:
            raise
        return False
    # PaddleNLP until 2.4 has the sizes in the arguments of the body
    nested = "init_args" in settings and "init_class" in settings
    return nested or any(isinstance(settings.get(key), int) for key in _WIDTH_KEYS)


def choose_config(near: Neighbours, name: str) -> tuple[Path | None, tuple[Path, ...]]:
    """The configuration that belongs to a checkpoint.

    Args:
        near: the files to choose from; the first group that holds a configuration counts.
        name: of the checkpoint, for messages.

    Returns:
        The best one (an ELECTRA discriminator before its generator, then well-known names), or
        None, and all configurations of that group in this order.

    Raises:
        CheckpointNotFoundError: several that differ and are equally good. Guessing could load
            silently: the weights of ALBERT fit any number of layers.
        CheckpointFormatError: a configuration that cannot be read, or a Git LFS pointer.
    """
    for files in near:
        candidates = tuple(sorted(filter(is_config, files), key=_rank))
        if candidates:
            break
        for path in files:
            if path.suffix == ".json":
                refuse_lfs_pointer(path)
    else:
        return None, ()
    best = _rank(candidates[0])[:2]
    rivals = [path for path in candidates if _rank(path)[:2] == best]
    if len({json.dumps(read_config(path), sort_keys=True) for path in rivals}) > 1:
        listed = "\n  ".join(map(str, rivals))
        raise CheckpointNotFoundError(
            f"{name} holds {len(rivals)} different configurations, and nothing says which one its "
            f"weights belong to. Pass one as `config`:\n  {listed}"
        )
    return candidates[0], candidates


def choose_vocab(near: Neighbours) -> Path | None:
    """The vocabulary that belongs to a checkpoint, or None.

    That is ``vocab.txt``, or the only ``*vocab*.txt``, or the only SentencePiece ``*.model``, or
    what byte-level BPE has (``vocab.json``), or the ``tokenizer.json`` that may stand for any.
    """
    for files in near:
        by_name = {path.name: path for path in files}
        known = [by_name[name] for name in _VOCAB_NAMES if name in by_name][:1]
        texts = [path for path in files if path.suffix == ".txt" and "vocab" in path.stem]
        models = [path for path in files if path.suffix == ".model"]
        others = [by_name[name] for name in _OTHER_VOCAB_NAMES if name in by_name][:1]
        for choice in (known, texts, models, others):
            if len(choice) == 1:
                refuse_lfs_pointer(choice[0])
                return choice[0]
    return None


def _rank(path: Path) -> tuple[bool, int, str]:
    known = _CONFIG_NAMES.index(path.name) if path.name in _CONFIG_NAMES else len(_CONFIG_NAMES)
    return "generator" in path.name, known, path.name
