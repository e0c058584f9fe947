"""A model as a file of Keras' own, whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from kerasbert.backend import keras
from kerasbert.tokenizers.vocabulary import write_whole


def save_as_keras(
    model: keras.Model, path: str | os.PathLike, files: Mapping[str, bytes] | None = None
) -> str:
    """Saves with Keras under a temporary name and renames: a failure leaves what was there.

    Args:
        model: a Keras model.
        path: ends in ``.weights.h5`` for the weights alone, or in ``.keras`` for the model.
        files: written beside it, contents by name.

    Returns:
        The path, as text.

    Raises:
        ValueError: another ending.
        OSError: the file could not be written.
    """
    target = Path(path).expanduser()
    if not target.name.endswith((".weights.h5", ".keras")):
        raise ValueError(
            f"a file of Keras ends in .weights.h5 (weights alone) or .keras. Received: {path!r}"
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as folder:
        temporary = Path(folder) / target.name
        if target.name.endswith(".keras"):
            model.save(temporary)
        else:
            model.save_weights(temporary)
        temporary.chmod(0o644)
        os.replace(temporary, target)
    for name, content in (files or {}).items():
        write_whole(target.parent / name, content)
    return str(target)
