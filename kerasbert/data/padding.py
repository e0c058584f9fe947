"""Arrays from rows of different lengths."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def to_array(*args) -> np.ndarray | list[np.ndarray]:
    """Turns each argument into a numpy array.

    Args:
        *args: numbers, lists or arrays.

    Returns:
        The array for one argument, a list of arrays for several.
    """
    arrays = [np.array(arg) for arg in args]
    return arrays[0] if len(arrays) == 1 else arrays


def sequence_padding(
    inputs: Sequence,
    length: int | Sequence[int] | None = None,
    value: float = 0,
    seq_dims: int = 1,
    mode: str = "post",
) -> np.ndarray | tuple[np.ndarray, ...]:
    """Pads the rows of a batch to one length; arguments and results are bert4keras's.

    Args:
        inputs: lists or arrays that differ in their first ``seq_dims`` axes only; or tuples of such
            rows, of which each element is padded on its own.
        length: what to pad to, and to cut longer rows at (their end, in either mode): one number,
            or one for each of the ``seq_dims`` axes. None: the longest row.
        value: what to pad with.
        seq_dims: the number of leading axes of each row to pad.
        mode: "post" pads after the row, "pre" before it.

    Returns:
        An array (rows, length, ...); or a tuple of arrays where the rows are tuples.

    Raises:
        ValueError: no rows, or rows that do not make one array.
    """
    if mode not in ("post", "pre"):
        raise ValueError(f'mode must be "post" or "pre", got {mode!r}.')
    if len(inputs) == 0:
        raise ValueError("there are no rows to pad: inputs is empty.")
    if isinstance(inputs[0], tuple):
        columns = zip(*inputs)
        return tuple(sequence_padding(list(c), length, value, seq_dims, mode) for c in columns)

    rows = [np.asarray(row) for row in inputs]
    for at, row in enumerate(rows):
        if row.ndim < seq_dims or row.ndim != rows[0].ndim:
            raise ValueError(
                f"inputs[{at}] has {row.ndim} axes, inputs[0] has {rows[0].ndim}, seq_dims is "
                f"{seq_dims}: all rows must have the same number of axes, at least seq_dims."
            )
    if length is None:
        length = np.max([row.shape[:seq_dims] for row in rows], axis=0)
    else:
        length = np.atleast_1d(length)
        if len(length) != seq_dims:
            raise ValueError(f"length needs {seq_dims} numbers (seq_dims), got {length.tolist()}.")

    # An empty list is float64 to numpy: it must not turn a batch of ids into floats.
    dtype = np.result_type(*({row.dtype for row in rows if row.size} or {rows[0].dtype}))
    if dtype.kind in "iu" and not float(value).is_integer():
        dtype = np.result_type(dtype, np.float32)
    padded = np.full((len(rows), *length, *rows[0].shape[seq_dims:]), value, dtype)
    for target, row in zip(padded, rows):
        row = row[tuple(slice(size) for size in length)]
        place = (
            slice(size) if mode == "post" else slice(full - size, None)
            for size, full in zip(row.shape, length)
        )
        target[tuple(place)] = row
    return padded
