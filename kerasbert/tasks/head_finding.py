"""Which task's head a checkpoint holds, by its configuration and the names of its tensors."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kerasbert.models.huggingface_classes import ANSWER, CHOICE, SEQUENCE, TASKS, TOKENS
from kerasbert.tasks.head_forms import HeadForm, Shapes, google_form, huggingface_form
from kerasbert.tasks.task import PROBLEMS, Task, label_names

logger = logging.getLogger("kerasbert")

# What ends the names of classes in `architectures`, and of PaddleNLP's in `init_class`.
_CLASSES = {
    "ForSequenceClassification": SEQUENCE,
    "ForTokenClassification": TOKENS,
    "ForQuestionAnswering": ANSWER,
    "ForQuestionAnsweringSimple": ANSWER,
    "ForMultipleChoice": CHOICE,
}
# Tensors that only heads have; those of a head that is loaded must all be used.
OF_HEADS = (
    r"(classifier|qa_outputs|logits_proj|sequence_summary|start_logits|end_logits|answer_class"
    r"|score|multiple_choice_head)\..*"
    r"|output_(weights|bias)|cls/squad/.*|task_specific/.*"
    r"|model/(classification|regression)_[^/]*/.*|(start_logits|end_logits|answer_class)/.*"
)
_POOLER = r"(.*\.)?pooler\.(dense\.)?weight"


@dataclass(frozen=True)
class Head:
    """A head that a file holds.

    Attributes:
        task: what it is for.
        form: its layers.
    """

    task: Task
    form: HeadForm


def find_head(
    shapes: Shapes, config: Mapping[str, Any], family: str, kind: str | None = None
) -> Head | None:
    """The head of a fine-tuned checkpoint.

    Args:
        shapes: of its tensors, in the names of the families' tables.
        config: the content of its json; may be empty.
        family: our name of the body's family.
        kind: of the task, if the caller knows; None infers it.

    Returns:
        The head; None where there is none, or none that is built here.

    Raises:
        ValueError: ``kind`` is no task or not that of the head, or there are several heads.
        ConfigError: a head of a form that is not built here.
    """
    if kind is not None and kind not in TASKS:
        raise ValueError(f"task must be one of {', '.join(TASKS)}. Received: {kind!r}")
    form = google_form(shapes, kind)
    if form is None:
        kind = kind or kind_of(shapes, config)
        form = huggingface_form(family, kind, shapes, config) if kind else None
    count = form.outputs(shapes) if form else None
    if count is None:
        return None
    return Head(_task(form.kind, count, config), form)


def _task(kind: str, count: int, config: Mapping[str, Any]) -> Task:
    named = kind in (SEQUENCE, TOKENS)
    labels = label_names(config, count) if named else ()
    given = config.get("id2label")
    if named and isinstance(given, Mapping) and len(given) != count:
        logger.warning(
            "the configuration names %d labels, but the file's head has %d outputs: they are called"
            " LABEL_0 to LABEL_%d.",
            *(len(given), count, count - 1),
        )
    problem = config.get("problem_type") if kind == SEQUENCE else None
    return Task(kind, count, labels, problem if problem in PROBLEMS else None)


def kind_of(shapes: Shapes, config: Mapping[str, Any]) -> str | None:
    """The task of a file whose tensors have Hugging Face's names; None where it has no head.

    Args:
        shapes: of the tensors.
        config: the content of ``config.json``.
    """
    classes = config.get("architectures") or [config.get("init_class")]
    for name in classes if isinstance(classes, list) else []:
        suffix = re.search(r"For[A-Z]\w*$", str(name))
        if suffix and suffix[0] in _CLASSES:
            return _CLASSES[suffix[0]]
    if "qa_outputs.weight" in shapes:
        return ANSWER
    if "sequence_summary.summary.weight" in shapes and "classifier.weight" in shapes:
        return CHOICE
    if {"logits_proj.weight", "classifier.out_proj.weight"} & shapes.keys():
        return SEQUENCE
    if "classifier.weight" not in shapes:
        return None
    if not any(re.fullmatch(_POOLER, name) for name in shapes):
        return TOKENS
    labels = config.get("id2label")
    names = map(str, labels.values()) if isinstance(labels, Mapping) else ()
    kind = TOKENS if any(name.startswith(("B-", "I-")) for name in names) else SEQUENCE
    # Until 2020 models for tokens had a pooler as well, which they did not use.
    logger.info("task=%r is assumed: the configuration has no `architectures`", kind)
    return kind


def head_note(
    shapes: Shapes, config: Mapping[str, Any] | None, family: str, model: str = "..."
) -> str | None:
    """What to tell a person who loads the body of a fine-tuned checkpoint without its head.

    Args:
        shapes: of the tensors.
        config: the content of its json.
        family: our name of the body's family.
        model: how the checkpoint is called, for the sentence.

    Returns:
        A sentence; None where the file has no head.
    """
    if not any(re.fullmatch(OF_HEADS, name) for name in shapes):
        return None
    try:
        head = find_head(shapes, config or {}, family)
    except ValueError:  # ConfigError too
        head = None
    if head is None:
        return "it holds a head of fine-tuning, which is not loaded."
    what = head.task.kind.replace("_", " ")
    labels = ""
    if head.task.labels:
        shown = ", ".join(head.task.labels[:5]) + (", ..." if head.task.num_labels > 5 else "")
        labels = f" with {head.task.num_labels} label(s) ({shown})"
    return (
        f"it holds a head for {what}{labels}, which is not loaded: "
        f"kerasbert.tasks.load_fine_tuned({model!r}) loads the model with it."
    )
