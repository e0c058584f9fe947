"""The head of a fine-tuned Keras model: a dense layer on the pooled vector or on every token."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from typing import Any

from kerasbert.backend import keras, tf
from kerasbert.layers import Activation, Dropout, activations
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
        labels: names of the outputs.
        layers: names of the head's layers.
        problem_type: of a head that says it, such as "regression"; None is not known.
    """

    task: str
    variables: dict[str, Any]
    pooler: str | None
    activation: str
    labels: tuple[str, ...]
    layers: tuple[str, ...]
    problem_type: str | None = None


def find_task_head(model, found: Extracted, prefix: str, task: str | None) -> TaskHead | None:
    """The head at the end of a model, if it is of a form that is known.

    Known are one dense layer on the pooler, on the hidden states of all tokens, or (ELECTRA) on a
    dense layer on the first token; dropout may lie between. The heads of ``kerasbert.tasks`` say
    what they are for.

    Args:
        model: a ``keras.Model`` or a ``Transformer``.
        found: the transformer in it.
        prefix: the prefix that it was built with.
        task: what it is for; None is what the head says, or "sequence_classification" of a pooled
            vector and "token_classification" of all tokens.

    Raises:
        ValueError: an unknown task, or a head that is not for it.
    """
    if task is not None and task not in TASKS:
        raise ValueError(f"task must be one of {', '.join(TASKS)}, or None. Received: {task!r}")
    head = _head(getattr(model, "model", model), found, prefix)
    if head is None:
        if task is not None:
            raise ValueError(
                f"task={task!r} needs a model that ends with one Dense layer on the pooled vector, "
                "or on the hidden states of all tokens. Leave it out to save the transformer alone."
            )
        return None
    on_tokens = head.task in (TOKENS, ANSWER)
    allowed = (TOKENS, ANSWER) if on_tokens else (SEQUENCE, CHOICE)
    task = task or head.task
    if task not in allowed:
        raise ValueError(
            f"task={task!r}, but the model's last layer, {head.layers[0]!r}, is on "
            f"{'all tokens' if on_tokens else 'the pooled vector'}: it can be for "
            f"{' or '.join(allowed)}."
        )
    wanted = {ANSWER: 2, CHOICE: 1}.get(task, len(head.labels))
    if len(head.labels) != wanted:
        raise ValueError(
            f"task={task!r} has {wanted} output(s) for each text or token. Received: "
            f"{len(head.labels)}, from the layer {head.layers[0]!r}"
        )
    return dataclasses.replace(head, task=task)


def _head(model, found: Extracted, prefix: str) -> TaskHead | None:
    """The head without a look at what the caller says it is for."""
    says = [layer for layer in found.layers.values() if hasattr(layer, "task")]
    if says:
        last, activation = says[-1], None
        tensor = tf.nest.flatten(last._inbound_nodes[0].input_tensors)[0]
    else:
        outputs = getattr(model, "outputs", None) or ()
        if len(outputs) != 1:
            return None
        last, tensor = _producer(outputs[0])
        activation = None
        if isinstance(last, (Activation, keras.layers.Activation)) and tensor is not None:
            activation = activation_of(last)
            last, tensor = _producer(tensor)
    if not _is_dense(last) or _own_name(last, found, prefix):
        return None
    head = TaskHead(
        task=SEQUENCE,
        variables=_variables(TASK, last),
        pooler=None,
        activation=activation or activation_of(last),
        labels=tuple(f"LABEL_{i}" for i in range(last.units)),
        layers=(last.name,),
    )
    if says:
        own = last.task
        labels, problem = own.labels or head.labels, own.problem_type
        head = dataclasses.replace(head, task=own.kind, labels=labels, problem_type=problem)
    before, below = _producer(_through_dropout(tensor))
    name = _own_name(before, found, prefix)
    if name == "Pooler-Dense":
        return dataclasses.replace(head, pooler=activation_of(before))
    if name is None and _is_dense(before):
        first, _ = _producer(_through_dropout(below))
        if _own_name(first, found, prefix) != "Pooler":
            return None
        return dataclasses.replace(
            head,
            variables={**head.variables, **_variables(TASK_DENSE, before)},
            pooler=activation_of(before),
            layers=(last.name, before.name),
        )
    if len(tensor.shape) == 3 and name is not None and _is_last(name, found):
        return head if says else dataclasses.replace(head, task=TOKENS)
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
    while below is not None and isinstance(layer, (Dropout, keras.layers.Dropout)):
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
    if name is None and isinstance(layer.activation, str):  # our layer of that name
        name = layer.activation
    if name is None:
        name = getattr(layer.activation, "__name__", str(layer.activation))
        name = "gelu_erf" if name == "gelu" else name  # Keras' default form
    try:
        return activations.canonical_name(name)
    except ValueError:
        return name
