"""The head of a fine-tuned Keras model: a dense layer on the pooled vector or on every token."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from kerasbert.backend import keras, tf
from kerasbert.layers import activations
from kerasbert.models.extraction import Extracted
from kerasbert.models.huggingface_classes import (
    ANSWER,
    CHOICE,
    SEQUENCE,
    TASK,
    TASK_DENSE,
    TASKS,
    TOKENS,
)


@dataclass(frozen=True)
class TaskHead:
    """What was found at the end of a model.

    Attributes:
        task: one of ``TASKS``.
        variables: of the head's layers, by the paths that the classes' rows have.
        pooler: activation of the layer between the first token and the last layer, or None.
        activation: of the last layer.
        labels: number of outputs.
        layers: names of the head's layers.
    """

    task: str
    variables: dict[str, Any]
    pooler: str | None
    activation: str
    labels: int
    layers: tuple[str, ...]


def find_task_head(model, found: Extracted, prefix: str, task: str | None) -> TaskHead | None:
    """The head at the end of a model, if it is of a form that is known.

    Known are one dense layer on the pooler, on the hidden states of all tokens, or (ELECTRA) on a
    dense layer on the first token; dropout may lie between.

    Args:
        model: a ``keras.Model``; a ``Transformer`` has none.
        found: the transformer in it.
        prefix: the prefix that it was built with.
        task: what it is for; None is "sequence_classification" of a pooled vector and
            "token_classification" of all tokens.

    Raises:
        ValueError: an unknown task, or a head that is not for it.
    """
    if task is not None and task not in TASKS:
        raise ValueError(f"task must be one of {', '.join(TASKS)}, or None. Received: {task!r}")
    head = None
    if isinstance(model, keras.Model) and len(model.outputs) == 1:
        head = _head(model, found, prefix)
    if head is None:
        if task is not None:
            raise ValueError(
                f"task={task!r} needs a model that ends with one Dense layer on the pooled vector, "
                "or on the hidden states of all tokens. Leave it out to save the transformer alone."
            )
        return None
    allowed = (TOKENS, ANSWER) if head.task == TOKENS else (SEQUENCE, CHOICE)
    task = task or head.task
    if task not in allowed:
        raise ValueError(
            f"task={task!r}, but the model's last layer, {head.layers[0]!r}, is on "
            f"{'all tokens' if head.task == TOKENS else 'the pooled vector'}: it can be for "
            f"{' or '.join(allowed)}."
        )
    sizes = {ANSWER: 2, CHOICE: 1}
    if head.labels != sizes.get(task, head.labels):
        raise ValueError(
            f"task={task!r} has {sizes[task]} output(s) for each text or token. Received: "
            f"{head.labels}, from the layer {head.layers[0]!r}"
        )
    return TaskHead(task, *list(vars(head).values())[1:])


def _head(model: keras.Model, found: Extracted, prefix: str) -> TaskHead | None:
    last, tensor = _producer(model.outputs[0])
    if not _is_dense(last) or _own_name(last, found, prefix):
        return None
    before, below = _producer(_through_dropout(tensor))
    variables = _variables(TASK, last)
    common = (activation_of(last), last.units)
    name = _own_name(before, found, prefix)
    if name == "Pooler-Dense":
        pooler = activation_of(before)
        return TaskHead(SEQUENCE, variables, pooler, *common, (last.name,))
    if name is None and _is_dense(before):
        first, _ = _producer(_through_dropout(below))
        if _own_name(first, found, prefix) == "Pooler":
            variables |= _variables(TASK_DENSE, before)
            layers = (last.name, before.name)
            return TaskHead(SEQUENCE, variables, activation_of(before), *common, layers)
        return None
    if len(tensor.shape) == 3 and name is not None and _is_last(name, found):
        return TaskHead(TOKENS, variables, None, *common, (last.name,))
    return None


def _producer(tensor):
    """The layer that made a symbolic tensor, and its first input; through models inside."""
    layer, node_index = tensor._keras_history[:2]
    inputs = tf.nest.flatten(layer._inbound_nodes[node_index].input_tensors)
    if isinstance(layer, keras.Model):
        index = tensor._keras_history[2]
        return _producer(layer.outputs[index])
    return layer, inputs[0] if inputs else None


def _through_dropout(tensor):
    layer, below = _producer(tensor)
    while below is not None and isinstance(layer, keras.layers.Dropout):
        tensor = below
        layer, below = _producer(tensor)
    return tensor


def _is_dense(layer) -> bool:
    return isinstance(layer, keras.layers.Dense) and layer.built


def _own_name(layer, found: Extracted, prefix: str) -> str | None:
    """The layer's name in the transformer, if it is one of its layers."""
    name = layer.name[len(prefix) :] if layer.name.startswith(prefix) else layer.name
    known = re.match(r"(Embedding|Transformer|Pooler|Output|MLM|NSP|Discriminator)(-|$)", name)
    return name if known and found.layers.get(name) is layer else None


def _is_last(name: str, found: Extracted) -> bool:
    """Whether a layer gives the last hidden states."""
    if name.startswith("Output-"):
        return True
    blocks = [
        int(match[1])
        for match in (re.match(r"Transformer-(\d+)-", n) for n in found.layers)
        if match
    ]
    number = re.match(r"Transformer(?:-(\d+))?-FeedForward-Norm", name)
    return number is not None and int(number[1] or 0) == max(blocks, default=0)


def _variables(name: str, layer) -> dict[str, Any]:
    bias = layer.bias if layer.use_bias else tf.zeros([layer.units], layer.kernel.dtype)
    return {f"{name}/kernel": layer.kernel, f"{name}/bias": bias}


def activation_of(layer) -> str:
    """The canonical name of a dense layer's activation, or Keras' own."""
    name = getattr(layer, "activation_name", None)
    if name is None:
        name = getattr(layer.activation, "__name__", str(layer.activation))
        name = "gelu_erf" if name == "gelu" else name  # Keras' default form
    try:
        return activations.canonical_name(name)
    except ValueError:
        return name
