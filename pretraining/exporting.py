"""What a run leaves: checkpoints in the published formats."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pretraining.objectives import Objective

logger = logging.getLogger("kerasbert")


def export(objective: Objective, folder: Path, tokenizer, as_zip: bool = False) -> list[Path]:
    """Writes the checkpoints of an objective, whole or not at all.

    Args:
        objective: after some steps.
        folder: to be; one that is there is replaced. For zips, ``folder`` with ``.zip`` behind it.
        tokenizer: written beside the weights.
        as_zip: one archive for each checkpoint instead of a folder.

    Returns:
        The folder, or the archives: what ``build_transformer_model`` takes.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    exports = objective.exports()
    paths = []
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as temporary:
        for each in exports:
            if as_zip:
                name = folder.name if len(exports) == 1 else f"{folder.name}-{each.name}"
                target = folder.parent / f"{name}.zip"
                made = Path(temporary) / target.name
                each.write(made, tokenizer)
            else:
                target = folder if len(exports) == 1 else folder / each.name
                made = Path(temporary) / each.name
                made.mkdir()
                each.write(made / f"{each.name}.ckpt", tokenizer)
            _put(made, target)
            paths.append(target)
    logger.info("exported %s", ", ".join(map(str, paths)))
    return paths


def _put(made: Path, target: Path) -> None:
    """Moves a file or folder into its place."""
    os.chmod(made, 0o755 if made.is_dir() else 0o644)
    if target.is_dir() and not target.is_symlink():
        shutil.rmtree(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    os.replace(made, target)
