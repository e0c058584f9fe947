"""Mapping rows: which variable of ours is which tensor of a checkpoint. Data, read both ways.

One table of rows per family and format; loading and saving use the same rows. Variables are bound
by path, never by position.
"""

from __future__ import annotations

import dataclasses
import re
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
        tensor: name in the checkpoint, with ``{i}`` (or ``{i:02d}``) likewise; several variables
            may share one.
        op: what happens to the value.
    """

    variable: str
    tensor: str
    op: Op = Op.IDENTITY


@dataclass(frozen=True)
class NameTable:
    """How one kind of files names the tensors of a family.

    Attributes:
        name: of the naming, for messages: "google", "huggingface", ...
        rows: the variables and their tensors.
        optional: regular expressions of tensors that a model may leave unused.
        root: what a saved base class leaves out in front of every name, such as ``bert.``.
    """

    name: str
    rows: tuple[Row, ...]
    optional: tuple[str, ...] = ()
    root: str = ""

    def without_root(self) -> NameTable:
        """The table of a base class that was saved alone."""
        return self._renamed(lambda tensor: tensor[len(self.root) :], self.root)

    def with_prefix(self, prefix: str, name: str) -> NameTable:
        """The table of files that put something in front of every name."""
        table = self._renamed(lambda tensor: prefix + tensor, "")
        return dataclasses.replace(
            table, name=name, optional=tuple(re.escape(prefix) + p for p in self.optional)
        )

    def _renamed(self, rename, root: str) -> NameTable:
        rows = tuple(
            dataclasses.replace(row, tensor=rename(row.tensor))
            if row.tensor.startswith(root)
            else row
            for row in self.rows
        )
        return dataclasses.replace(self, rows=rows, root="")


def choose_table(tables: Sequence[NameTable], names: Iterable[str]) -> NameTable:
    """The table that knows most of a checkpoint's names; the first of equals.

    Args:
        tables: of a family, its own format first.
        names: of the checkpoint's tensors.
    """
    candidates = list(tables)
    candidates += [table.without_root() for table in tables if table.root]
    names = set(names)
    indexed = re.compile(r"\{i[^}]*\}")

    def known(table: NameTable) -> int:
        tensors = {indexed.sub(lambda m: m[0].format(i=0), row.tensor) for row in table.rows}
        return len(tensors & names)

    return max(candidates, key=known)


def dense(variable: str, tensor: str, bias: bool = True) -> tuple[Row, ...]:
    """Rows of a projection."""
    parts = ("kernel", "bias") if bias else ("kernel",)
    return tuple(Row(f"{variable}/{part}", f"{tensor}/{part}") for part in parts)


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
