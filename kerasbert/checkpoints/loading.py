"""Binding a checkpoint's tensors to a model's variables: exact, by name, in one pass."""

from __future__ import annotations

import math
import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import numpy as np

from kerasbert.backend import tf
from kerasbert.checkpoints.google import GoogleCheckpoint
from kerasbert.checkpoints.mapping import ALL_TOKENS, Row, TokenSelection, loaded_shape, on_load
from kerasbert.checkpoints.namings import in_known_names
from kerasbert.checkpoints.renaming import RenamedTensors, usual_names
from kerasbert.checkpoints.report import LoadReport
from kerasbert.checkpoints.source import CheckpointFiles

# Tensors of any training run that are no weights: optimizer slots and counters.
OPTIMIZER_STATE = re.compile(
    r".*/(adam_m|adam_v|lamb_m|lamb_v|Adam|Adam_1|LAMB(_1)?|AdamWeightDecay\w*|Momentum|.*_slot_v\w*)"
    r"|(.*/)?(global_step|beta1_power|beta2_power|temperature)"
)


class TensorSource(Protocol):
    """Named tensors that can be read: a Google checkpoint, a dict of arrays, ..."""

    shapes: Mapping[str, tuple[int, ...]]

    def read(self, names: Iterable[str]) -> dict[str, tf.Tensor]:
        """The tensors of those names, in the dtypes that they are stored in."""
        ...


# Tensor name to the (row, variable) pairs that it fills.
Plan = dict[str, list[tuple[Row, Any]]]


def bind(
    variables: Mapping[str, Any],
    rows: Sequence[Row],
    source: TensorSource,
    *,
    tokens: TokenSelection = ALL_TOKENS,
    optional: Sequence[str] = (),
    cut: frozenset[str] = frozenset(),
) -> tuple[LoadReport, Plan]:
    """Finds each variable's tensor, without reading any.

    Args:
        variables: a model's variables by path.
        rows: mapping rows with block indices written out.
        source: where the tensors are.
        tokens: which vocabulary rows the model keeps.
        optional: regular expressions of tensors that a model may leave unused.
        cut: variables whose leading rows only are wanted (a shorter position table).

    Returns:
        The report, and the plan: for each tensor to be read, its rows and variables.

    Raises:
        ValueError: when a variable has no row: an option that no file of this family has.
    """
    by_variable = {row.variable: row for row in rows}
    # All or none: a part of them is as wrong as a part of the others.
    optional_there = any(row.optional and row.tensor in source.shapes for row in rows)
    report, plan = LoadReport(), {}
    for path, variable in variables.items():
        row = by_variable.get(path)
        if row is None:
            raise ValueError(
                f"the files of this family have no name for {path}: no released checkpoint holds "
                "it. Build without the option that it comes from, or without a checkpoint."
            )
        shape = source.shapes.get(row.tensor)
        if shape is None:
            if row.optional and not optional_there:
                report.initial.append(path)
            else:
                report.missing.append((path, row.tensor))
            continue
        ours, theirs = tuple(variable.shape), loaded_shape(row.op, tuple(shape), tokens, row.block)
        if path in cut and theirs[1:] == ours[1:] and theirs[0] > ours[0]:
            theirs = ours
        if ours == theirs:
            report.loaded.append((path, row.tensor))
            plan.setdefault(row.tensor, []).append((row, variable))
        else:
            report.mismatched.append((path, row.tensor, ours, tuple(shape)))
    wanted = {by_variable[path].tensor for path in variables}
    unused_ok = [OPTIMIZER_STATE, *(re.compile(pattern) for pattern in optional)]
    for name, shape in source.shapes.items():
        if name in wanted:
            continue
        if any(pattern.fullmatch(name) for pattern in unused_ok):
            report.ignored.append(name)
        else:
            report.unexpected.append((name, tuple(shape)))
    return report, plan


# Tensors are read in groups of about this many numbers, two groups at a time (one read of
# TensorFlow's runs in one thread). It is little beside the weights, where a group is held twice to
# be cast.
_GROUP = 4_000_000
_READERS = 2


def assign(plan: Plan, source: TensorSource, tokens: TokenSelection = ALL_TOKENS) -> None:
    """Reads the planned tensors, each once, and hands them to their variables.

    A tensor in the variable's dtype becomes the variable's buffer without a copy.
    """
    for tensors in _read_ahead(source, _groups(plan, source.shapes)):
        for name in list(tensors):
            tensor = tensors.pop(name)
            for row, variable in plan[name]:
                value = on_load(row.op, tensor, tokens, row.block)
                rows = variable.shape[0] if len(variable.shape) else None
                if rows is not None and value.shape[0] != rows:  # a cut table
                    value = value[:rows]
                variable.assign(tf.cast(value, tf.as_dtype(variable.dtype)))
            del tensor, value  # before the next one is cast


def _read_ahead(
    source: TensorSource, groups: Iterable[list[str]]
) -> Iterator[dict[str, tf.Tensor]]:
    """The groups' tensors in order, while the next few groups are being read."""
    with ThreadPoolExecutor(_READERS) as pool:
        pending: deque = deque()
        for names in groups:
            pending.append(pool.submit(source.read, names))
            if len(pending) == _READERS:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


def _groups(names: Iterable[str], shapes: Mapping[str, tuple[int, ...]]) -> Iterator[list[str]]:
    """The names in groups of at most ``_GROUP`` numbers, or of one larger tensor."""
    group, size = [], 0
    for name in names:
        numbers = math.prod(shapes[name])
        if group and size + numbers > _GROUP:
            yield group
            group, size = [], 0
        group.append(name)
        size += numbers
    if group:
        yield group


class ArrayTensors:
    """A dict of arrays as a source of tensors.

    Args:
        arrays: values by checkpoint name; anything that ``tf.convert_to_tensor`` takes.
    """

    def __init__(self, arrays: Mapping[str, Any]):
        self._arrays = dict(arrays)
        self.shapes = {name: tuple(np.shape(value)) for name, value in self._arrays.items()}

    def read(self, names: Iterable[str]) -> dict[str, tf.Tensor]:
        return {name: tf.convert_to_tensor(self._arrays[name]) for name in names}


def open_tensors(files: CheckpointFiles) -> TensorSource | None:
    """The tensors of what was found, in known spelling; None when there are only settings."""
    if files.prefix is not None:
        return in_known_names(GoogleCheckpoint(files.prefix), "TensorFlow", files.config)
    if files.weights is not None:
        source, title = files.format.open(files.weights), files.format.title
    elif files.tensors is not None:
        source, title = ArrayTensors(files.tensors), "arrays"
    else:
        return None
    names = usual_names(source.shapes)
    if any(name != stored for name, stored in names.items()):
        source = RenamedTensors(source, names)
    return in_known_names(source, title, files.config)
