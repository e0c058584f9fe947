"""Weights into a model from any source, by the rows of its family.

The ways out are in ``google_export`` and ``huggingface_export``; this module names the former as
well.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kerasbert.checkpoints import keras_names
from kerasbert.checkpoints.loading import Plan, TensorSource, assign, bind
from kerasbert.checkpoints.mapping import (
    NameTable,
    Row,
    TokenSelection,
    choose_table,
    condition_rows,
)
from kerasbert.checkpoints.report import LoadReport
from kerasbert.models import hints
from kerasbert.models.extraction import describe, published_tensors, variables_by_path
from kerasbert.models.google_export import save_networks_as_checkpoint, save_weights_as_checkpoint

if TYPE_CHECKING:
    from kerasbert.models.transformer import Transformer

__all__ = [
    "compare_weights",
    "describe",
    "load_weights",
    "published_tensors",
    "save_networks_as_checkpoint",
    "save_weights_as_checkpoint",
    "variables_by_path",
]

logger = logging.getLogger("kerasbert")


@dataclass(frozen=True)
class Loaded:
    """Where a transformer's weights came from.

    Attributes:
        source: the tensors.
        table: how they are named.
        rows: of the table, with the indices of blocks written out.
        report: which of them were loaded.
    """

    source: TensorSource
    table: NameTable
    rows: Sequence[Row]
    report: LoadReport


def load_weights(
    transformer: Transformer,
    source: TensorSource,
    name: str,
    *,
    strict: bool = True,
    overrides: frozenset[str] = frozenset(),
) -> LoadReport:
    """Loads a source of tensors into a built transformer, exactly.

    Args:
        transformer: a family's object after ``build``.
        source: the tensors.
        name: of the checkpoint, for messages.
        strict: whether a difference is an error or a warning.
        overrides: configuration fields that the caller set by hand: a table made shorter, or fewer
            blocks than the checkpoint has, is then meant.

    Returns:
        What was loaded and what was not.

    Raises:
        CheckpointMismatchError: with ``strict``, for any difference.
    """
    found, plan = compare_weights(transformer, source, overrides)
    source, report = found.source, found.report
    if not report.exact:
        error = report.error(name, transformer.family)
        if strict:
            raise error
        logger.warning("%s", error)
    assign(plan, source, TokenSelection(transformer.keep_tokens, transformer.compound_tokens))
    heads = [tensor for tensor in report.ignored if not keras_names.is_own(tensor)]
    if found.table.name == keras_names.TABLE and heads:
        logger.info("%s: fine-tuned head, not loaded: %s", name, ", ".join(heads))
    logger.info("%s: %s (%s)", name, report.summary(), transformer.family)
    transformer.loaded = found
    return report


def compare_weights(
    transformer: Transformer, source: TensorSource, overrides: frozenset[str] = frozenset()
) -> tuple[Loaded, Plan]:
    """What a source of tensors has for a built transformer, by names and shapes: reads nothing.

    Args:
        transformer: as of :func:`load_weights`.
        source: as there.
        overrides: as there.

    Returns:
        What would be loaded, with hints where it does not fit; and the plan by which it is.
    """
    config = transformer.config
    if hasattr(source, "for_model"):  # a file that does not say which layer is which
        source = source.for_model(transformer.model, transformer.prefix)
    table = choose_table(transformer.tables, source.shapes)
    optional = [*table.optional, *transformer.unused_tensors(table)]
    shortened = overrides & {"num_hidden_layers", "num_decoder_layers"}
    if shortened:
        first = min(getattr(config, name) for name in shortened)
        optional.append(_blocks_from(table, first))
    if config.type_vocab_size == 0:
        optional += [
            re.escape(row.tensor)
            for row in table.rows
            if row.variable.startswith("Embedding-Segment/")
        ]
    cuttable = {
        "max_position_embeddings": "Embedding-Position",
        "type_vocab_size": "Embedding-Segment",
    }
    tokens = TokenSelection(transformer.keep_tokens, transformer.compound_tokens)
    variables = variables_by_path(transformer.layers)
    if table.name == keras_names.TABLE:
        rows = keras_names.rows_of_variables(table, variables)
    else:
        rows = transformer.rows(table, config, transformer.layers)
    report, plan = bind(
        variables,
        [*rows, *condition_rows(variables, rows)],
        source,
        tokens=tokens,
        optional=optional,
        cut=frozenset(f"{layer}/embeddings" for key, layer in cuttable.items() if key in overrides),
    )
    if not report.exact:
        report.hints = hints.for_report(report, source, transformer)
    return Loaded(source, table, rows, report), plan


def _blocks_from(table: NameTable, first: int) -> str:
    """A regular expression of the tensors of blocks from ``first`` on."""
    patterns = set()
    for row in table.rows:
        field = re.search(r"\{i[^}]*\}", row.tensor)  # {i} or {i:02d}
        if field:
            above = "|".join(field[0].format(i=i) for i in range(first, 1000))
            before, after = row.tensor[: field.start()], row.tensor[field.end() :]
            patterns.add(f"{re.escape(before)}(?:{above}){re.escape(after)}")
    return "|".join(sorted(patterns))
