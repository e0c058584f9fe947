"""Which of a folder's TensorFlow checkpoints is meant, where there are several."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from pathlib import Path

from kerasbert.checkpoints.companions import is_config
from kerasbert.checkpoints.errors import CheckpointNotFoundError

logger = logging.getLogger(__name__)

FILE_OF_PREFIX = re.compile(r"(.+)\.(?:index|meta|data-\d{5}-of-\d{5})", re.DOTALL)
_STATE_LINE = re.compile(r'^model_checkpoint_path:\s*"([^"]+)"', re.MULTILINE)


def find_prefixes(files: Sequence[Path]) -> list[Path]:
    """The prefixes whose index and data are there; failing that, those with an index alone."""
    indexes = [path.with_suffix("") for path in files if path.suffix == ".index"]
    with_data = {
        path.with_suffix("")
        for path in files
        if path.suffix.startswith(".data-") and FILE_OF_PREFIX.fullmatch(path.name)
    }
    return [prefix for prefix in indexes if prefix in with_data] or indexes


def choose_prefix(prefixes: Sequence[Path], files: Sequence[Path], name: str) -> Path:
    """The only prefix of the upper folder; among several, the one that something speaks for."""
    depth = min(len(prefix.parts) for prefix in prefixes)
    upper = [prefix for prefix in prefixes if len(prefix.parts) == depth]
    if len(upper) > 1:
        with_config = {path.parent for path in files if is_config(path)}
        upper = [prefix for prefix in upper if prefix.parent in with_config] or upper
    if len(upper) == 1:
        return upper[0]
    newest = _named_by_state_file(upper)
    if newest:
        logger.warning(
            "%s holds %d checkpoints; taking %s, which its `checkpoint` file names as the newest.",
            *(name, len(upper), newest.name),
        )
        return newest
    listed = "\n  ".join(str(prefix) for prefix in sorted(upper, key=_natural))
    raise CheckpointNotFoundError(
        f"{name} holds {len(upper)} checkpoints. Pass the prefix of the one you want:\n  {listed}"
    )


def _named_by_state_file(prefixes: Sequence[Path]) -> Path | None:
    """The prefix that TensorFlow's own ``checkpoint`` file beside it names as the newest.

    Published archives hold state files with paths of another machine, so only the last part counts.
    """
    folder = prefixes[0].parent
    if any(prefix.parent != folder for prefix in prefixes):
        return None
    try:
        text = (folder / "checkpoint").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    match = _STATE_LINE.search(text)
    named = match and re.split(r"[/\\]", match[1])[-1]
    return next((prefix for prefix in prefixes if prefix.name == named), None)


def _natural(path: Path) -> list[str | int]:
    """Sort key that puts ``model.ckpt-9`` before ``model.ckpt-10``."""
    # text and numbers alternate, so that like is always compared with like
    return [int(t) if i % 2 else t for i, t in enumerate(re.split(r"([0-9]+)", str(path)))]
