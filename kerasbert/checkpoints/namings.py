"""Files whose tensors are named by other programs, brought to the names of the families' tables.

Each naming is a module with ``recognise(source)`` and ``adapt(source)``; it is imported when a file
of a kind that it occurs in is there.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kerasbert.checkpoints.loading import TensorSource


@dataclass(frozen=True)
class Naming:
    """A way of naming tensors.

    Attributes:
        module: of ``kerasbert.checkpoints``.
        formats: titles of the formats that it occurs in.
    """

    module: str
    formats: tuple[str, ...]


# The first that recognises a file's names is taken.
NAMINGS: tuple[Naming, ...] = (
    Naming("garden_names", ("TensorFlow",)),
    Naming("keras_objects", ("TensorFlow",)),
    Naming("tf_h5_names", ("HDF5", "safetensors")),
    Naming("keras_h5", ("HDF5",)),
    Naming("keras3_file", ("HDF5", "Keras")),
    Naming("uer_names", ("PyTorch", "safetensors", "arrays")),
    Naming("fairseq_names", ("PyTorch", "safetensors", "arrays")),
    Naming("paddle_names", ("Paddle", "safetensors", "arrays")),
)


def in_known_names(
    source: TensorSource, title: str, config: Mapping[str, Any] | None
) -> TensorSource:
    """The source itself, or one that makes its tensors under names that are known.

    Args:
        source: of a file.
        title: of the file's format.
        config: what lies beside the file.

    Returns:
        A source; its attribute ``config``, where it has one, is what the file says of its model.
    """
    for naming in NAMINGS:
        if title not in naming.formats:
            continue
        module = importlib.import_module(f"kerasbert.checkpoints.{naming.module}")
        if module.recognise(source):
            return module.adapt(source, config)
    return source
