"""What a fine-tuned model is for: its task and the names of its labels, kept in its last layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kerasbert.backend import keras, serializable
from kerasbert.layers import Dense
from kerasbert.models.huggingface_classes import ANSWER, CHOICE, SEQUENCE, TASKS, TOKENS

REGRESSION, SINGLE_LABEL = "regression", "single_label_classification"
MULTI_LABEL = "multi_label_classification"
PROBLEMS = (REGRESSION, SINGLE_LABEL, MULTI_LABEL)
# What the Transformers library gives to tokens that have no label.
NO_LABEL = -100
START, END = "start_logits", "end_logits"
# Tasks whose number of outputs, for each token or text, is given.
OUTPUTS = {ANSWER: 2, CHOICE: 1}


@dataclass(frozen=True)
class Task:
    """A task.

    Attributes:
        kind: "sequence_classification", "token_classification", "question_answering" or
            "multiple_choice".
        num_labels: number of classes, or of numbers in a regression.
        labels: names of the classes in the order of the outputs; none of answers and choices.
        problem_type: of texts, "regression", "single_label_classification" or
            "multi_label_classification"; None is regression where there is one label, and one of
            several classes otherwise.
    """

    kind: str
    num_labels: int
    labels: tuple[str, ...] = ()
    problem_type: str | None = None

    def __post_init__(self):
        if self.kind not in TASKS:
            raise ValueError(f"task must be one of {', '.join(TASKS)}. Received: {self.kind!r}")
        if self.problem_type not in (None, *PROBLEMS):
            raise ValueError(
                f"problem_type must be one of {', '.join(PROBLEMS)}, or None. Received: "
                f"{self.problem_type!r}"
            )
        if self.num_labels < 1 or len(self.labels) not in (0, self.num_labels):
            raise ValueError(
                f"there must be a label for each of at least one output. Received: num_labels "
                f"{self.num_labels}, labels {list(self.labels)}"
            )
        wanted = OUTPUTS.get(self.kind, self.num_labels)
        if self.num_labels != wanted:
            raise ValueError(
                f"task={self.kind!r} has {wanted} output(s) for each text or token. Received: "
                f"{self.num_labels}"
            )

    @property
    def is_regression(self) -> bool:
        """Whether the outputs are numbers to come near to."""
        if self.problem_type is not None:
            return self.problem_type == REGRESSION
        return self.kind == SEQUENCE and self.num_labels == 1

    @property
    def id2label(self) -> dict[int, str]:
        """Names of the classes by their number."""
        return dict(enumerate(self.labels))

    @property
    def label2id(self) -> dict[str, int]:
        """Numbers of the classes by their name."""
        return {label: i for i, label in enumerate(self.labels)}

    def loss(self):
        """The loss for ``compile``, computed from logits as the Transformers library computes it.

        Returns:
            A Keras loss; for answers one for each output, by its name. Labels are integers: of
            texts and choices (batch,), of tokens (batch, length), where -100 does not count, of
            answers the places (batch,) of the first and of the last token. For several labels at
            once they are 0 and 1 (batch, num_labels), for a regression numbers of the outputs'
            shape.
        """
        if self.is_regression:
            return keras.losses.MeanSquaredError()
        if self.problem_type == MULTI_LABEL:
            return keras.losses.BinaryCrossentropy(from_logits=True)
        if self.kind == TOKENS:
            return keras.losses.SparseCategoricalCrossentropy(
                from_logits=True, ignore_class=NO_LABEL
            )
        if self.kind == ANSWER:
            return {
                name: keras.losses.SparseCategoricalCrossentropy(from_logits=True)
                for name in (START, END)
            }
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


@serializable
class TaskOutput(Dense):
    """The last dense layer of a task's head, which knows the task.

    Args:
        units: number of outputs.
        task: its kind, as :attr:`Task.kind`.
        labels: names of the outputs, or none.
        problem_type: as :attr:`Task.problem_type`.
        stddev: standard deviation of the truncated normal that the kernel starts from.
        **kwargs: as :class:`kerasbert.layers.Dense`.
    """

    def __init__(
        self,
        units: int,
        task: str,
        labels: Sequence[str] = (),
        problem_type: str | None = None,
        stddev: float = 0.02,
        **kwargs,
    ):
        super().__init__(units, stddev=stddev, **{**kwargs, **new_kernel(stddev)})
        self.task = Task(task, units, tuple(labels), problem_type)

    def get_config(self) -> dict:
        task = self.task
        described = {"task": task.kind, "labels": list(task.labels)}
        return {**super().get_config(), **described, "problem_type": task.problem_type}


def new_kernel(stddev: float) -> dict[str, Any]:
    """The initializer of a head's kernel, as keyword argument.

    It draws in any case: ``skip_initialization`` is for what a checkpoint is sure to bring.
    """
    return {"kernel_initializer": keras.initializers.TruncatedNormal(stddev=stddev)}


def task_of(model: keras.Model) -> Task:
    """The task of a model that :mod:`kerasbert.tasks` made, or that was saved and loaded since.

    Args:
        model: one that holds the head, at any depth.

    Raises:
        ValueError: it has no such head.
    """
    for layer in reversed(list(model._flatten_layers())):
        if isinstance(layer, TaskOutput):
            return layer.task
    raise ValueError(
        "the model has no head that load_fine_tuned or build_task_model made. Its last layer is "
        f"{model.layers[-1].name!r}."
    )


def label_names(config: Mapping[str, Any], count: int) -> tuple[str, ...]:
    """The names of labels that a ``config.json`` has, or LABEL_0, LABEL_1, ...

    Args:
        config: with ``id2label`` or ``label2id``, or neither.
        count: how many there must be.

    Returns:
        The names in the order of the outputs; those that are made up where the file's are of
        another number.
    """
    by_number: dict[str, str] = {}
    if isinstance(config.get("id2label"), Mapping):
        by_number = {str(i): str(name) for i, name in config["id2label"].items()}
    elif isinstance(config.get("label2id"), Mapping):
        by_number = {str(i): str(name) for name, i in config["label2id"].items()}
    wanted = [str(i) for i in range(count)]
    if sorted(by_number) == sorted(wanted):
        return tuple(by_number[i] for i in wanted)
    return tuple(f"LABEL_{i}" for i in wanted)
