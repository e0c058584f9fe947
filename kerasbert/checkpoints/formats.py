"""The file formats of weights beside TensorFlow's own: what they are known by, and their readers.

A reader is imported when a file of its format is there.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kerasbert.checkpoints import shards

if TYPE_CHECKING:
    from kerasbert.checkpoints.loading import TensorSource

# What trainers leave beside a model, in the format of weights.
_NO_WEIGHTS = re.compile(
    r"(training_args|optimizer|scheduler|scaler|rng_state)(_\d+)?\.(bin|pt|pth)"
)


@dataclass(frozen=True)
class WeightsFormat:
    """A file format.

    Attributes:
        title: for messages.
        usual: how the name of a model's only file begins.
        suffixes: of its files, with their dots.
        module: of ``kerasbert.checkpoints``, with the reader and the function that knows a file.
        reader: name of the class that opens a file, one shard or the index of several.
        check: name of the function ``(path) -> bool`` that looks at a file's first bytes.
    """

    title: str
    usual: str
    suffixes: tuple[str, ...]
    module: str
    reader: str
    check: str

    def open(self, path: Path) -> TensorSource:
        """The tensors of a file."""
        return getattr(self._module(), self.reader)(path)

    def fits(self, path: Path) -> bool:
        """Whether a file is of this format, or is the index of shards that are."""
        if any(shards.is_index(path, suffix) for suffix in self.suffixes):
            return True
        return path.suffix.lower() in self.suffixes and getattr(self._module(), self.check)(path)

    def find(self, files: Iterable[Path]) -> list[Path]:
        """The files in this format; of those that belong together, the index or first shard."""
        found = [path for path in files if self.fits(path) and not _NO_WEIGHTS.fullmatch(path.name)]
        for suffix in self.suffixes:
            found = shards.first_of_each(found, suffix)
        return found

    def choose(self, candidates: Sequence[Path], files: Sequence[Path], name: str) -> Path:
        """The one of several files that is meant.

        Raises:
            CheckpointNotFoundError: several that are equally good.
        """
        return shards.choose_file(candidates, files, name, self.usual, self.title)

    def _module(self):
        return importlib.import_module(f"kerasbert.checkpoints.{self.module}")


# In the order in which one is taken of several in a folder.
FORMATS = (
    WeightsFormat(
        *("safetensors", "model.safetensors", (".safetensors",)),
        *("safetensors_file", "SafetensorsCheckpoint", "is_safetensors"),
    ),
    WeightsFormat(
        *("PyTorch", "pytorch_model.", (".bin", ".pt", ".pth", ".ckpt")),
        *("torch_file", "TorchCheckpoint", "is_torch"),
    ),
    WeightsFormat(
        *("HDF5", "tf_model.h5", (".h5", ".hdf5", ".weights")),
        *("h5_file", "H5Tensors", "is_h5"),
    ),
    WeightsFormat(
        *("Keras", "model.keras", (".keras",)), *("keras3_file", "KerasArchive", "is_keras_archive")
    ),
    WeightsFormat(
        *("Paddle", "model_state.pdparams", (".pdparams",)),
        *("paddle_file", "PaddleCheckpoint", "is_paddle"),
    ),
)


def format_of(path: Path) -> WeightsFormat | None:
    """The format of a file, or None where it is none of these."""
    return next((each for each in FORMATS if each.fits(path)), None)
