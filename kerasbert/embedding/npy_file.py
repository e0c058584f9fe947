"""A .npy file that grows row by row, and that is there whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np


class NpyWriter:
    """Writes rows to a ``.npy`` file whose number of rows is known only at the end.

    Use it in a ``with`` statement. Rows go to a hidden file beside the target, which takes the
    final name when the block ends well, and is removed when it does not: an interrupted run leaves
    a file of that name as it was.

    Args:
        path: of the file; ".npy" is its usual ending.
        width: numbers per row.
        dtype: of the numbers.

    Raises:
        FileNotFoundError: the folder does not exist.
    """

    def __init__(self, path: str | os.PathLike, width: int, dtype="float32"):
        self.path = Path(path)
        self.width = width
        self.dtype = np.dtype(dtype)
        self.rows = 0
        if not self.path.parent.is_dir():
            raise FileNotFoundError(f"there is no folder {self.path.parent} to write {path} to")

    def __enter__(self) -> NpyWriter:
        handle, self._temporary = tempfile.mkstemp(
            dir=self.path.parent, prefix=f".{self.path.name}.", suffix=".part"
        )
        self._file = os.fdopen(handle, "w+b")
        self._header_size = self._write_header()
        return self

    def write(self, rows: np.ndarray) -> None:
        """Appends (any number, width) rows."""
        if rows.ndim != 2 or rows.shape[1] != self.width:
            raise ValueError(f"rows must be (any number, {self.width}). Received: {rows.shape}")
        self._file.write(np.ascontiguousarray(rows, self.dtype).data)
        self.rows += len(rows)

    def __exit__(self, kind, error, traceback) -> None:
        try:
            if kind is None:
                self._file.seek(0)
                assert self._write_header() == self._header_size
                self._file.flush()
                os.fsync(self._file.fileno())
            self._file.close()
            if kind is None:
                os.chmod(self._temporary, 0o644)  # mkstemp lets only the owner read
                os.replace(self._temporary, self.path)
        finally:
            self._file.close()
            if os.path.exists(self._temporary):
                os.unlink(self._temporary)

    def _write_header(self) -> int:
        """Writes the header for the rows so far; NumPy leaves room in it for their number."""
        header = {
            "descr": np.lib.format.dtype_to_descr(self.dtype),
            "fortran_order": False,
            "shape": (self.rows, self.width),
        }
        np.lib.format.write_array_header_1_0(self._file, header)
        return self._file.tell()
