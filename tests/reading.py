"""What every reader of arrays has to do, whatever the format: :class:`Reading` of one of them."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kerasbert.checkpoints.errors import CheckpointFormatError


class Reading:
    """Checks of a reader.

    Args:
        opened: the reader: from a path to shapes and ``read``.
        arrays: what :meth:`check` expects if not told.
    """

    def __init__(self, opened: Callable[[Path], Any], arrays: Mapping[str, np.ndarray]):
        self.opened = opened
        self.arrays = arrays

    def read(self, path: Path) -> dict[str, np.ndarray]:
        """All arrays of a file."""
        checkpoint = self.opened(path)
        found = checkpoint.read(list(checkpoint.shapes))
        assert {name: tuple(value.shape) for name, value in found.items()} == checkpoint.shapes
        return {name: value.numpy() for name, value in found.items()}

    def check(self, path: Path, arrays: Mapping[str, np.ndarray] | None = None) -> None:
        """The file holds the arrays, in this order, with these dtypes."""
        arrays = self.arrays if arrays is None else arrays
        found = self.read(path)
        assert list(found) == list(arrays)
        for name, value in arrays.items():
            assert found[name].dtype == value.dtype
            np.testing.assert_array_equal(found[name], value)

    def refused(self, path: Path, message: str) -> None:
        """Opening or reading is an error, and nothing of a size that is claimed is allocated."""
        tracemalloc.start()
        try:
            with pytest.raises(CheckpointFormatError, match=message):
                self.read(path)
            assert tracemalloc.get_traced_memory()[1] < 20_000_000
        finally:
            tracemalloc.stop()
