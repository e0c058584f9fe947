"""The layers of heads: what stands between the hidden states and the logits, in which files."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from kerasbert.checkpoints.huggingface import linear
from kerasbert.checkpoints.mapping import Op, Row
from kerasbert.config import ConfigError
from kerasbert.layers import FirstToken, LastToken, activations
from kerasbert.models.huggingface_classes import (
    ANSWER,
    ARCHITECTURES,
    CHOICE,
    SEQUENCE,
    TASK,
    TASK_DENSE,
    TOKENS,
    TaskClass,
)

Shapes = Mapping[str, tuple[int, ...]]

POOLER = "Pooler-Dense"
HUGGINGFACE, GOOGLE = "huggingface", "google"


@dataclass(frozen=True)
class HeadForm:
    """A head's layers.

    Attributes:
        kind: of the task.
        naming: name of the family's table that the rows belong to.
        rows: of the variables of ``Task``, the last layer, and of the layer before it, where the
            family's table has no rows of that.
        token: the layer that takes one vector of a text; None where every token has an output.
        dense: name of the layer before the last; None where there is none.
        activation: of that layer, or of the vector itself.
        first_dropout: rate before that layer, in training.
        dropout: rate before the last layer.
    """

    kind: str
    naming: str
    rows: tuple[Row, ...]
    token: type | None = None
    dense: str | None = None
    activation: str = "linear"
    first_dropout: float = 0.0
    dropout: float = 0.0

    @property
    def kernel(self) -> str:
        """The tensor of the last layer's kernel, which says how many outputs there are."""
        return next(row.tensor for row in self.rows if row.variable == f"{TASK}/kernel")

    def outputs(self, shapes: Shapes) -> int | None:
        """How many outputs a file's last layer has; None where it has no such layer."""
        shape = shapes.get(self.kernel)
        op = next(row.op for row in self.rows if row.variable == f"{TASK}/kernel")
        if shape is None or len(shape) != 2:
            return None
        return int(shape[0] if op is Op.TRANSPOSE else shape[1])


# ------------------------------------------------------------------------------ Hugging Face

# What older releases and other programs call the same layers.
_SAME_BY_OTHER_NAMES = {
    ANSWER: (linear(TASK, "classifier"),),  # PaddleNLP
}
# Heads with a summary of the text. The configuration says which token it is, whether a layer is on
# it, activation and dropout; where it does not:
_SUMMARIES = {
    ("xlnet", SEQUENCE): ("last", True, "tanh", 0.1),
    ("xlnet", CHOICE): ("last", True, "tanh", 0.1),
    ("electra", CHOICE): ("first", True, "gelu", 0.1),
    ("electra_generator", CHOICE): ("first", True, "gelu", 0.1),
    ("roformer", CHOICE): ("last", False, None, 0.0),
}
_SUMMARY_TOKENS = {"first": FirstToken, "last": LastToken, "cls_index": LastToken}
_SUMMARY = (
    *linear(TASK_DENSE, "sequence_summary.summary"),
    *linear(TASK, "classifier"),
)
_ON_POOLER = TaskClass("", linear(TASK, "classifier"), frozenset({"pooler"}), "tanh")


def huggingface_form(
    family: str, kind: str, shapes: Shapes, config: Mapping[str, Any]
) -> HeadForm | None:
    """The head that the Transformers library's class for a task has.

    Args:
        family: our name.
        kind: of the task.
        shapes: of a file's tensors; they decide between a head's forms, where there are several.
        config: the content of ``config.json``.

    Returns:
        The form, or None where that library has no such class.

    Raises:
        ConfigError: a summary of a kind that is not built here.
    """
    if (family, kind) in _SUMMARIES:
        return _summary_form(family, kind, config)
    task_class = ARCHITECTURES[family][0].tasks.get(kind) if family in ARCHITECTURES else None
    if task_class is None:
        return None
    rate = _classifier_dropout(family, kind, config)
    rows = task_class.rows
    for others in _SAME_BY_OTHER_NAMES.get(kind, ()):
        if rows[0].tensor not in shapes and others[0].tensor in shapes:
            rows = others
    if kind in (TOKENS, ANSWER):
        return HeadForm(kind, HUGGINGFACE, rows, dropout=rate)
    two_layers = any(row.variable.startswith((POOLER, TASK_DENSE)) for row in rows)
    if two_layers and "classifier.weight" in shapes and rows[0].tensor not in shapes:
        task_class, two_layers = _ON_POOLER, False  # PaddleNLP's RoBERTa
    activation = task_class.pooler_activation or config.get("hidden_act") or "gelu"
    return HeadForm(
        kind,
        HUGGINGFACE,
        task_class.rows,
        token=FirstToken,
        dense=_dense_of(task_class.rows),
        activation=_activation(activation),
        first_dropout=rate if two_layers else 0.0,
        dropout=rate,
    )


def _dense_of(rows: tuple[Row, ...]) -> str:
    return TASK_DENSE if any(row.variable.startswith(TASK_DENSE) for row in rows) else POOLER


def _activation(name: str) -> str:
    return activations.canonical_name("gelu_erf" if name == "gelu" else name)


def _summary_form(family: str, kind: str, config: Mapping[str, Any]) -> HeadForm:
    position, projects, activation, rate = _SUMMARIES[family, kind]
    position = str(config.get("summary_type", position))
    projects = config.get("summary_use_proj", projects)
    activation = config.get("summary_activation", activation)
    to_labels = bool(projects and config.get("summary_proj_to_labels"))
    if position not in _SUMMARY_TOKENS or to_labels:
        given = {key: value for key, value in config.items() if key.startswith("summary_")}
        raise ConfigError(
            f"the head summarises a text in a way that is not built here: {given}. Built are "
            f"summary_type {' and '.join(_SUMMARY_TOKENS)}, without summary_proj_to_labels. Load "
            "the body with build_transformer_model, and put layers of your own on it."
        )
    if family == "xlnet":
        rows, dense = linear(TASK, "logits_proj"), POOLER
    else:
        rows, dense = _SUMMARY, TASK_DENSE
    if not projects:
        rows = tuple(row for row in rows if row.variable.startswith(f"{TASK}/"))
    return HeadForm(
        kind,
        HUGGINGFACE,
        rows,
        token=_SUMMARY_TOKENS[position],
        dense=dense if projects else None,
        activation=_activation(activation or "linear"),
        first_dropout=_rate(config, 0.0, "summary_first_dropout"),
        dropout=_rate(config, rate, "summary_last_dropout"),
    )


def _classifier_dropout(family: str, kind: str, config: Mapping[str, Any]) -> float:
    if kind == ANSWER or (family, kind) == ("xlnet", TOKENS):
        return 0.0
    hidden = _rate(config, 0.1, "hidden_dropout_prob", "dropout")
    if family == "roformer":
        return hidden
    usual = 0.1 if family in ("albert", "rembert") else hidden
    return _rate(config, usual, "classifier_dropout", "classifier_dropout_prob")


def _rate(config: Mapping[str, Any], usual: float, *keys: str) -> float:
    """The rate of dropout that the first of these keys says that is there."""
    for key in keys:
        rate = config.get(key)
        if rate is None:
            continue
        if not isinstance(rate, (int, float)) or not 0 <= rate < 1:
            raise ConfigError(f"{key} must be a rate from 0 to below 1. Received: {rate!r}")
        return float(rate)
    return usual


# ------------------------------------------------------------------------------------- Google

_POOLED = HeadForm(SEQUENCE, GOOGLE, (), FirstToken, POOLER, "tanh", dropout=0.1)
# The heads that Google's programs make, by the name of the kernel, without rows: run_classifier.py
# and run_squad.py of BERT and ALBERT; those of XLNet and of ELECTRA, where tasks have names.
_GOOGLE = (
    (r"output_weights", Op.TRANSPOSE, _POOLED),
    (r"cls/squad/output_weights", Op.TRANSPOSE, HeadForm(ANSWER, GOOGLE, ())),
    (
        r"model/(?:classification|regression)_[^/]*/logit/kernel",
        Op.IDENTITY,
        replace(_POOLED, token=LastToken),
    ),
    (
        r"task_specific/[^/]+/dense/kernel",
        Op.IDENTITY,
        replace(_POOLED, dense=None, activation="linear"),
    ),
)


def google_form(shapes: Shapes, kind: str | None = None) -> HeadForm | None:
    """The head that a program of Google's made.

    Args:
        shapes: of a file's tensors.
        kind: of the task, where names do not say it: ELECTRA's heads of texts and of tokens have
            the same names.

    Returns:
        The form, or None where there is no such head.

    Raises:
        ValueError: several heads, or one for another task.
    """
    found = [
        replace(form, rows=_google_rows(name, op))
        for pattern, op, form in _GOOGLE
        for name in shapes
        if re.fullmatch(pattern, name)
    ]
    if len(found) > 1:
        raise ValueError(
            f"the file has {len(found)} heads: {', '.join(form.kernel for form in found)}. One is "
            "expected. Load the body with build_transformer_model, and put your own layers on it."
        )
    if not found:
        return None
    form = found[0]
    if kind == TOKENS and form.kernel.startswith("task_specific/"):
        form = replace(form, kind=TOKENS, token=None)
    if kind not in (None, form.kind):
        raise ValueError(f"the file has a head for {form.kind}. Received: task={kind!r}")
    return form


def _google_rows(kernel: str, op: Op) -> tuple[Row, ...]:
    bias = re.sub(r"(weights|kernel)$", "bias", kernel)
    return (Row(f"{TASK}/kernel", kernel, op), Row(f"{TASK}/bias", bias))
