"""A model's variables as the tensors of a class of the Transformers library."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from kerasbert.backend import tf
from kerasbert.checkpoints.mapping import ALL_TOKENS, JOINED, NameTable, Op, Row, loaded_shape
from kerasbert.models.extraction import Extracted, saved_value
from kerasbert.models.huggingface_classes import Architecture

_TOKENS, _SEGMENTS = "Embedding-Token/embeddings", "Embedding-Segment/embeddings"
_OUTPUT_TOKENS, _MAPPING = "MLM-Embedding/embeddings", "Embedding-Mapping"


@dataclass(frozen=True)
class LazyTensor:
    """A tensor that is made when it is written.

    Attributes:
        shape: as it is written.
        dtype: name of its dtype.
        make: gives the value.
    """

    shape: tuple[int, ...]
    dtype: str
    make: Callable[[], tf.Tensor]

    @property
    def nbytes(self) -> int:
        """Bytes that the value takes."""
        return math.prod(self.shape) * tf.as_dtype(self.dtype).size

    def array(self) -> np.ndarray:
        """The value, contiguous."""
        value = self.make().numpy()
        return value if value.flags.c_contiguous else np.ascontiguousarray(value)


def lazy(value, op: Op = Op.IDENTITY, dtype: str | None = None) -> LazyTensor:
    """A variable, tensor or array as it will be written.

    Args:
        value: anything with a shape and a dtype.
        op: of its row.
        dtype: to cast floating numbers to; None is the value's own.
    """
    # Written whole, or turned around, which is its own inverse; others are parts of a tensor.
    whole = Op.IDENTITY if op in JOINED else op
    shape = loaded_shape(whole, tuple(value.shape), ALL_TOKENS)
    stored = tf.as_dtype(value.dtype)
    cast = dtype if dtype is not None and stored.is_floating else None
    return LazyTensor(shape, cast or stored.name, lambda: saved_value(op, value, cast))


def joined(first: LazyTensor, second: LazyTensor, axis: int) -> LazyTensor:
    """Two tensors as one, side by side along an axis."""
    shape = list(first.shape)
    shape[axis] += second.shape[axis]
    return dataclasses.replace(
        first, shape=tuple(shape), make=lambda: tf.concat([first.make(), second.make()], axis)
    )


def huggingface_table(family, config) -> NameTable:
    """The table of Hugging Face's names of one of our families.

    Args:
        family: its class.
        config: of the model.
    """
    kind = "huggingface" if getattr(config, "gated", True) else "huggingface_ungated"
    return next(table for table in family.tables if table.name == kind)


def tensors_of(
    found: Extracted,
    architecture: Architecture,
    table: NameTable,
    *,
    task_rows: tuple[Row, ...] = (),
    task_variables: Mapping[str, Any] | None = None,
    dtype: str | None = None,
) -> dict[str, LazyTensor]:
    """The tensors of a model by their names in the file.

    Args:
        found: the transformer.
        architecture: the classes that it is written for.
        table: of the names that they have, with or without root.
        task_rows: of a task's head, in place of the table's for the same variables.
        task_variables: of that head, by path.
        dtype: of the floating tensors; None is that of the variables.

    Raises:
        ValueError: the model has variables that no class has.
    """
    rows = found.family.rows(table, found.config, found.layers)
    _refuse_others(found, rows, architecture)
    variables = {**_variables(found, rows, architecture), **(task_variables or {})}
    elsewhere = {row.variable for row in task_rows}
    rows = [*(row for row in rows if row.variable not in elsewhere), *task_rows]
    tensors: dict[str, LazyTensor] = {}
    for row in rows:
        if row.variable not in variables:
            continue
        tensor = lazy(variables[row.variable], row.op, dtype)
        if row.op in JOINED and row.tensor in tensors:
            tensor = joined(tensors[row.tensor], tensor, JOINED[row.op])
        tensors[row.tensor] = tensor
    if architecture.model_type == "roformer":
        angles = _angles(found.config.max_position_embeddings, found.config.key_size)
        tensors[f"{table.root}encoder.embed_positions.weight"] = lazy(angles, dtype=dtype)
    return tensors


def _variables(found: Extracted, rows: list[Row], architecture: Architecture) -> dict[str, Any]:
    """The model's variables, and what the classes have in place of those that it has not."""
    variables, config = dict(found.variables), found.config
    wanted = {row.variable for row in rows}
    if _SEGMENTS in wanted and _SEGMENTS not in variables:  # one segment that changes nothing
        variables[_SEGMENTS] = np.zeros((1, config.embedding_width), np.float32)
    if architecture.model_type == "albert" and f"{_MAPPING}/kernel" not in variables:
        variables[f"{_MAPPING}/kernel"] = np.eye(config.hidden_size, dtype=np.float32)
        variables[f"{_MAPPING}/bias"] = np.zeros(config.hidden_size, np.float32)
    if _OUTPUT_TOKENS in wanted and "MLM-Bias/bias" in variables:
        variables.setdefault(_OUTPUT_TOKENS, variables[_TOKENS])  # of a BERT as RemBERT
    for path in list(variables):
        if path.startswith("Transformer-QueryBias/"):  # of XLNet: the same for all blocks
            for i in range(config.num_hidden_layers):
                variables[path.replace("Transformer", f"Transformer-{i}", 1)] = variables[path]
    return variables


def _refuse_others(found: Extracted, rows: list[Row], architecture: Architecture) -> None:
    known = {row.variable for row in rows}
    layers = {path.split("/")[0] for path in known}
    others = [
        path for path in found.variables if path.split("/")[0] in layers and path not in known
    ]
    if others:
        raise ValueError(
            f"the Transformers library has nothing like {others[0]} in its {architecture.stem} "
            f"classes (and {len(others) - 1} more). Save the model in Google's format or as a "
            "Keras model."
        )


def _angles(positions: int, width: int) -> np.ndarray:
    """RoFormer's table of sines and cosines, (positions, width), which its files hold."""
    exponents = 2 * (np.arange(width) // 2) / width
    angles = np.arange(positions)[:, np.newaxis] / np.power(10000, exponents)
    return np.concatenate([np.sin(angles[:, 0::2]), np.cos(angles[:, 1::2])], 1).astype(np.float32)
