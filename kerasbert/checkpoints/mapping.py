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
    TOKEN_COLUMNS = "token columns"  # the same, with a column per id in the checkpoint
    STACKED = "stacked"  # a block's part of a tensor that holds those of all blocks
    # Of three that lie side by side in the last axis, such as query, key and value.
    FIRST_THIRD = "first third"
    SECOND_THIRD = "second third"
    LAST_THIRD = "last third"


_THIRDS = (Op.FIRST_THIRD, Op.SECOND_THIRD, Op.LAST_THIRD)
# Along which axis the values of the variables that share a tensor are joined, in the rows' order.
JOINED = {Op.STACKED: 0, **dict.fromkeys(_THIRDS, -1)}


@dataclass(frozen=True)
class Row:
    """One variable and its tensor.

    Attributes:
        variable: path of the variable, with ``{i}`` for the index of a block.
        tensor: name in the checkpoint, with ``{i}`` (or ``{i:02d}``) likewise; several variables
            may share one.
        op: what happens to the value.
        block: index of the block that a row was written out for.
        optional: whether the variable keeps its initial value where no optional tensor is in the
            checkpoint.
    """

    variable: str
    tensor: str
    op: Op = Op.IDENTITY
    block: int = 0
    optional: bool = False


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
            names = {"variable": replace(row.variable), "tensor": replace(row.tensor)}
            expanded.append(dataclasses.replace(row, **names, block=i or 0))
    return expanded


def condition_rows(variables: Iterable[str], rows: Sequence[Row]) -> list[Row]:
    """Rows of the projections of conditional layer normalisations.

    Published checkpoints have none, and without them a condition changes nothing: they are
    optional. Those of our own are named after the normalisation's factor.

    Args:
        variables: paths of a model's variables.
        rows: those of the family, written out.
    """
    tensors = {row.variable: row.tensor for row in rows}
    found = []
    for path in variables:
        match = re.fullmatch(r"(.+)/(condition/\w+/kernel)", path)
        factor = match and tensors.get(f"{match[1]}/gamma")  # a user's own layer has none
        if factor:
            found.append(Row(path, f"{factor}/{match[2]}", optional=True))
    return found


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


def loaded_shape(
    op: Op, shape: tuple[int, ...], tokens: TokenSelection, block: int = 0
) -> tuple[int, ...]:
    """The shape that a tensor has after :func:`on_load`."""
    if op is Op.TRANSPOSE:
        return tuple(reversed(shape))
    if op is Op.TOKENS:
        return (tokens.size(shape[0]), *shape[1:]) if shape else shape
    if op is Op.TOKEN_COLUMNS:
        return loaded_shape(Op.TOKENS, tuple(reversed(shape)), tokens)
    if op is Op.STACKED:
        return shape[1:] if shape and block < shape[0] else shape
    if op in _THIRDS:
        return (*shape[:-1], shape[-1] // 3) if shape and shape[-1] % 3 == 0 else shape
    return shape


def on_load(op: Op, value: tf.Tensor, tokens: TokenSelection, block: int = 0) -> tf.Tensor:
    """A checkpoint's tensor as our variable holds it."""
    if op is Op.TRANSPOSE:
        return tf.transpose(value)
    if op is Op.TOKENS:
        return tokens.apply(value)
    if op is Op.TOKEN_COLUMNS:
        return tokens.apply(tf.transpose(value))
    if op is Op.STACKED:
        return value[block]
    if op in _THIRDS:
        return tf.split(value, 3, axis=-1)[_THIRDS.index(op)]
    return value


def on_save(op: Op, value: tf.Tensor) -> tf.Tensor:
    """Our variable's value as the checkpoint names it; the selection of tokens stays made.

    Of a tensor that several variables share it is a part; :data:`JOINED` says how they are joined.
    """
    if op is Op.STACKED:
        return value[tf.newaxis]
    return tf.transpose(value) if op in (Op.TRANSPOSE, Op.TOKEN_COLUMNS) else value
