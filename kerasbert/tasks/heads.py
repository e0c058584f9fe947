"""Models with the head of a task: fine-tuned ones as they were published, and new ones to train."""

from __future__ import annotations

import dataclasses
import logging
import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from kerasbert.backend import keras
from kerasbert.checkpoints.mapping import NameTable, choose_table
from kerasbert.checkpoints.report import CheckpointMismatchError
from kerasbert.layers import Activation, Dense, Dropout, FirstToken
from kerasbert.models.bert import BERT
from kerasbert.models.factory import NOTES, Inspected, build_inspected, inspect_checkpoint
from kerasbert.models.huggingface_classes import ANSWER, CHOICE, SEQUENCE, TASK
from kerasbert.models.transformer import Transformer
from kerasbert.tasks.head_finding import OF_HEADS, Head, find_head, head_note
from kerasbert.tasks.head_forms import HUGGINGFACE, POOLER, HeadForm, huggingface_form
from kerasbert.tasks.head_layers import Column, over_choices
from kerasbert.tasks.task import END, OUTPUTS, REGRESSION, START, Task, TaskOutput, new_kernel

logger = logging.getLogger("kerasbert")

# Options that ask for another head, or for a body that no task's head stands on.
_OTHER_HEADS = (
    *("application", "with_pool", "with_nsp", "with_sop", "with_mlm", "with_discriminator"),
    "memory_length",
)


def load_fine_tuned(
    checkpoint, config=None, model: str | None = None, *, task: str | None = None, **options
):
    """Loads a fine-tuned checkpoint with its head, exactly, as a Keras model::

        model = load_fine_tuned("chinese-sentiment")  # a folder with config.json and weights
        task_of(model).labels  # ("negative", "positive")
        logits = model.predict(tokenizer(["房间很干净"]).model_inputs)

    Heads are those of the Transformers library's classes for sequence classification, token
    classification, question answering and multiple choice, in any of the formats that
    :func:`kerasbert.build_transformer_model` reads, and those of Google's ``run_classifier.py``
    and ``run_squad.py``. Outputs are float32 logits. Dropout is as in fine-tuning.

    Args:
        checkpoint: as there.
        config: as there.
        model: as there.
        task: what the model is for: "sequence_classification", "token_classification",
            "question_answering" or "multiple_choice"; None infers it from ``architectures`` in the
            json and from the names of the head's tensors.
        **options: of the body, as there: ``dtype``, ``with_attention_mask``, ``sequence_length``,
            ``strict``, ``return_keras_model``, ...

    Returns:
        A functional ``keras.Model``. Inputs are those of the body, with an axis of choices after
        the batch's for multiple choice. The output is ``logits``: (batch, labels) of texts, (batch,
        length, labels) of tokens, (batch, choices) of choices; of answers a dict of
        ``start_logits`` and ``end_logits``, (batch, length). :func:`task_of` tells what they mean,
        also after ``model.save``.

    Raises:
        CheckpointMismatchError: there is no head, or tensors that do not fit exactly.
        ConfigError: a head of a form that is not built here, or a contradictory configuration.
        ValueError: an option that asks for another head, or a task that is not that of the head.
    """
    _refuse_other_heads(options, "load_fine_tuned()")
    found = inspect_checkpoint(config, checkpoint, model, **options)
    shapes = found.source.shapes if found.source else {}
    head = find_head(shapes, found.files.config or {}, found.family.family, task)
    if head is None:
        raise _no_head(found, task)
    logger.info("%s: %s, %d output(s)", found.files.name, head.task.kind, head.task.num_labels)
    table = choose_table(found.family.tables, shapes)
    tables = tuple(
        _with_head(each, head) if each.name == table.name else each for each in found.family.tables
    )
    own = (TASK, _output_name(head.task.kind), head.form.dense)
    family = _task_family(found.family, head, loaded=own, tables=tables)
    return build_inspected(dataclasses.replace(found, family=family), said=model, **options)


def build_task_model(
    task: str,
    checkpoint=None,
    config=None,
    model: str | None = None,
    *,
    num_labels: int | None = None,
    labels: Sequence[str] | None = None,
    problem_type: str | None = None,
    **options,
):
    """Builds a pretrained model with a new head, to be fine-tuned::

        model = build_task_model("token_classification", "bert.zip", labels=["O", "B-PER", "I-PER"])
        model.compile(AdamW(3e-5), task_of(model).loss())

    The head is that of the Transformers library's class for the family. A pooler that is in the
    checkpoint and in the head is loaded; the rest of the head is new, whatever the checkpoint has.

    Args:
        task: as of :func:`load_fine_tuned`.
        checkpoint: of the body; None starts with random weights.
        config: as of :func:`kerasbert.build_transformer_model`.
        model: as there.
        num_labels: number of classes, or of numbers in a regression; needed for texts and tokens
            unless ``labels`` are given.
        labels: names of the classes; None names them LABEL_0, LABEL_1, ...
        problem_type: of texts, "regression", "single_label_classification" or
            "multi_label_classification"; None is regression where ``num_labels`` is 1, and one of
            several classes otherwise.
        **options: of the body, as there.

    Returns:
        A model as of :func:`load_fine_tuned`.

    Raises:
        CheckpointMismatchError: the body does not fit.
        ValueError: no number of labels, or an option that asks for another head; or the family has
            no head for the task.
    """
    _refuse_other_heads(options, "build_task_model()")
    wanted = _new_task(task, num_labels, labels, problem_type)
    found = inspect_checkpoint(config, checkpoint, model, **options)
    form = huggingface_form(found.family.family, task, {}, found.files.config or {})
    if form is None and issubclass(found.family, BERT) and "encoder" in found.family.applications:
        on_text = task in (SEQUENCE, CHOICE)
        form = HeadForm(task, HUGGINGFACE, (), FirstToken if on_text else None, dropout=0.1)
    if form is None:
        raise ValueError(
            f"there is no head for task={task!r} of the family {found.family.family!r}: its models "
            "read from left to right, or have a decoder."
        )
    pooler = any(
        tensor in found.source.shapes
        for table in (found.family.tables if found.source else ())
        for each in (table, table.without_root())
        for tensor in (row.tensor for row in each.rows if row.variable == f"{POOLER}/kernel")
    )
    own = any(row.variable.startswith(POOLER) for row in form.rows)  # RoBERTa's is the head's
    family = _task_family(
        found.family, Head(wanted, form), loaded=(POOLER,) if pooler and not own else ()
    )
    return build_inspected(dataclasses.replace(found, family=family), said=model, **options)


def _new_task(kind: str, num_labels, labels, problem_type) -> Task:
    if isinstance(labels, str):
        raise ValueError(f"labels must be a list of names. Received: {labels!r}")
    names = tuple(labels or ())
    count = num_labels or len(names) or OUTPUTS.get(kind) or (problem_type == REGRESSION)
    if not count:
        Task(kind, 1)  # says if that is no task
        raise ValueError(f"task={kind!r} needs num_labels=... or labels=[...].")
    if kind not in OUTPUTS and not names:
        names = tuple(f"LABEL_{i}" for i in range(count))
    return Task(kind, int(count), names, problem_type)


def _refuse_other_heads(options: Mapping[str, Any], caller: str) -> None:
    for name in _OTHER_HEADS:
        if options.get(name) not in (None, False, "encoder"):
            raise ValueError(
                f"{caller} builds the body and a task's head: leave out {name}, which is for "
                f"build_transformer_model(). Received: {name}={options[name]!r}"
            )


def _note(found: Inspected) -> str | None:
    """What to say of a fine-tuned checkpoint whose body alone was built."""
    if issubclass(found.family, TaskModel):
        return None
    files, shapes = found.files, found.source.shapes
    return head_note(shapes, files.config, found.family.family, files.name)


NOTES.append(_note)


def _no_head(found: Inspected, task: str | None) -> CheckpointMismatchError:
    shapes = found.source.shapes if found.source else {}
    others = [name for name in shapes if re.fullmatch(OF_HEADS, name)]
    message = f"{found.files.name} holds no head of a fine-tuned model that is known"
    if task:
        message += f" for task={task!r}"
    if found.source is None:
        message += ": there are no weights at all"
    elif others:
        message += f": its head is {', '.join(others[:6])}{', ...' if others[6:] else ''}"
    return CheckpointMismatchError(
        f"{message}. For the body alone use build_transformer_model(), for a new head "
        "build_task_model(); what a Keras program saved whole is read by keras.models.load_model()."
    )


# ------------------------------------------------------------------------------- the models


class TaskModel:
    """What a family's class becomes with a task's head: a mixin in front of it.

    Attributes:
        head: the task and the layers.
        loaded_layers: names of the head's layers that the checkpoint has.
    """

    head: ClassVar[Head]
    loaded_layers: ClassVar[frozenset[str]]

    def apply_heads(self, x):
        """The outputs, from what the family's class has without a head: the hidden states."""
        form, kind = self.head.form, self.head.task.kind
        x = super().apply_heads(x)[0]
        stddev = self.config.initializer_range
        if form.token is not None:
            x = self.layer(form.token, "Pooler")(x)
        if form.dense is not None:
            if form.first_dropout:
                x = self.layer(Dropout, f"{form.dense}-Dropout", rate=form.first_dropout)(x)
            x = self.head_layer(
                Dense,
                form.dense,
                units=self.config.hidden_size,
                activation=form.activation,
                stddev=stddev,
                **new_kernel(stddev),
            )(x)
        elif form.activation != "linear":
            x = self.layer(Activation, f"{TASK}-Activation", activation=form.activation)(x)
        x = self.layer(Dropout, f"{TASK}-Dropout", rate=form.dropout)(x)
        x = self.head_layer(
            TaskOutput,
            _output_name(kind),
            units=self.head.task.num_labels,
            task=kind,
            labels=self.head.task.labels,
            problem_type=self.head.task.problem_type,
            stddev=stddev,
            dtype="float32",
        )(x)
        if kind != ANSWER:
            return [x]
        return {
            name: self.layer(Column, name, index=i, dtype="float32")(x)
            for i, name in enumerate((START, END))
        }

    def head_layer(self, layer_class: type, name: str, **settings):
        """A layer with weights: one of the transformer's, or a new one that no file has."""
        if name in self.loaded_layers:
            return self.layer(layer_class, name, **settings)
        settings.setdefault("dtype", self.dtype_policy)
        return layer_class(name=self.prefix + name, **settings)

    def build(self) -> keras.Model:
        model = super().build()
        if self.head.task.kind == CHOICE:
            one = keras.Model(model.inputs, model.outputs[0], name=f"{self.name}-text")
            self.model = over_choices(one, self.name)
        return self.model


def _task_family(
    family: type[Transformer], head: Head, loaded: Sequence[str | None], tables=None
) -> type[Transformer]:
    attributes = {"head": head, "loaded_layers": frozenset(filter(None, loaded))}
    if tables is not None:
        attributes["tables"] = tables
    return type(f"{family.__name__}Task", (TaskModel, family), attributes)


def _output_name(kind: str) -> str:
    """The name of the last dense layer, which is the output's where that is its own."""
    return TASK if kind in (ANSWER, CHOICE) else "logits"


def _with_head(table: NameTable, head: Head) -> NameTable:
    """A family's table with the head's rows, which lets no tensor of a head stay unused."""
    output = _output_name(head.task.kind)
    rows = tuple(
        dataclasses.replace(row, variable=row.variable.replace(f"{TASK}/", f"{output}/"))
        for row in head.form.rows
    )
    replaced = {row.variable for row in rows}
    others = tuple(row for row in table.rows if row.variable not in replaced)
    optional = tuple(rf"(?!{OF_HEADS})(?:{pattern})" for pattern in table.optional)
    return dataclasses.replace(table, rows=(*others, *rows), optional=optional)
