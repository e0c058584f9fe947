"""Mapping rows: which variable of ours is which tensor of a checkpoint. Data, read both ways.

One table of rows per family and format; loading and saving use the same rows. Variables are bound
by path, never by position.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np

from kerasbert.backend import tf


class Op(Enum):
    """What happens to a tensor on its way; the closed set that rows may name."""

    IDENTITY = "identity"
    TRANSPOSE = "transpose"  # its own inverse
    TOKENS = "tokens"  # rows by vocabulary id: keep_tokens and compound_tokens apply on loading


@dataclass(frozen=True)
class Row:
    """One variable and its tensor.

    Attributes:
        variable: path of the variable, with ``{i}`` for the index of a block.
        tensor: name in the checkpoint, with ``{i}`` likewise.
        op: what happens to the value.
    """

    variable: str
    tensor: str
    op: Op = Op.IDENTITY


def dense(variable: str, tensor: str) -> tuple[Row, ...]:
    """Rows of a projection with bias."""
    return tuple(Row(f"{variable}/{part}", f"{tensor}/{part}") for part in ("kernel", "bias"))


def norm(variable: str, tensor: str) -> tuple[Row, ...]:
    """Rows of a layer normalisation."""
    return tuple(Row(f"{variable}/{part}", f"{tensor}/{part}") for part in ("beta", "gamma"))


def expand(rows: Iterable[Row], num_hidden_layers: int) -> list[Row]:
    """Rows with every ``{i}`` written out for all blocks."""
    expanded = []
    for row in rows:
        indices = range(num_hidden_layers) if "{i}" in row.variable else (None,)
        for i in indices:
            replace = (lambda text: text) if i is None else (lambda text, i=i: text.format(i=i))
            expanded.append(
                dataclasses.replace(row, variable=replace(row.variable), tensor=replace(row.tensor))
            )
    return expanded


@dataclass(frozen=True)
class TokenSelection:
    """Which vocabulary rows a model keeps (bert4keras' ``keep_tokens`` and ``compound_tokens``).

    Attributes:
        keep: ids of the checkpoint's vocabulary in their new order, or None for all.
        compound: further rows, each a mean over *kept* rows: a list of ids, or (ids, weights).
    """

    keep: Sequence[int] | None = None
    compound: Sequence = ()

    def size(self, rows: int) -> int:
        """Rows that remain of a table of ``rows``."""
        return (rows if self.keep is None else len(self.keep)) + len(self.compound)

    def apply(self, table: tf.Tensor) -> tf.Tensor:
        """The selected rows of a table (vocabulary, ...)."""
        if self.keep is not None:
            table = tf.gather(table, self.keep)
        if not self.compound:
            return table
        means = [table]
        for item in self.compound:
            ids, weights = item if _is_weighted(item) else (item, [1.0] * len(item))
            weights = tf.cast(np.asarray(weights) / np.sum(weights), table.dtype)
            means.append(tf.tensordot(weights, tf.gather(table, ids), 1)[tf.newaxis])
        return tf.concat(means, axis=0)


def _is_weighted(item) -> bool:
    return len(item) == 2 and np.ndim(item[0]) == 1


ALL_TOKENS = TokenSelection()


def loaded_shape(op: Op, shape: tuple[int, ...], tokens: TokenSelection) -> tuple[int, ...]:
    """The shape that a tensor has after :func:`on_load`."""
    if op is Op.TRANSPOSE:
        return tuple(reversed(shape))
    if op is Op.TOKENS:
        return (tokens.size(shape[0]), *shape[1:]) if shape else shape
    return shape


def on_load(op: Op, value: tf.Tensor, tokens: TokenSelection) -> tf.Tensor:
    """A checkpoint's tensor as our variable holds it."""
    if op is Op.TRANSPOSE:
        return tf.transpose(value)
    if op is Op.TOKENS:
        return tokens.apply(value)
    return value


def on_save(op: Op, value: tf.Tensor) -> tf.Tensor:
    """Our variable's value as the checkpoint names it; the selection of tokens stays made."""
    return tf.transpose(value) if op is Op.TRANSPOSE else value
