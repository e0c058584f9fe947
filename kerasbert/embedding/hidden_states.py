"""Where in a model its blocks' outputs are, found by the names of its layers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from kerasbert.backend import IS_KERAS3, keras, tf

_ATTENTION = re.compile(r"Transformer(-\d+)?-MultiHeadSelfAttention$")  # ALBERT's has no number
_FEED_FORWARD = re.compile(r"Transformer(-\d+)?-FeedForward")
_LAST_NORM = re.compile(r"(^|-)Output-Norm$")  # of families that normalise what enters a block
_POOLERS = ("Pooler", "Pooler-Dense")


class HiddenStates(NamedTuple):
    """The symbolic tensors of a model that sentence vectors are made of.

    Attributes:
        blocks: the output of each block, (batch, length, hidden_size), in their order; of the last
            one after the model's final normalisation, where it has one.
        first: of the pooler: the vector of [CLS] (batch, hidden_size), or None without a pooler.
        pooled: what the pooler makes of it, (batch, hidden_size), or None.
    """

    blocks: list
    first: Any = None
    pooled: Any = None


def find_hidden_states(model: keras.Model) -> HiddenStates:
    """The outputs of a model's blocks and of its pooler.

    A block ends with the last of its feed-forward layers (``Transformer-3-FeedForward-Norm`` in
    BERT); blocks that share their layers (ALBERT) are told apart by their attention.

    Args:
        model: a functional model of :func:`kerasbert.build_transformer_model`, or one that was made
            around its layers.

    Raises:
        ValueError: it has no such blocks.
    """
    if not hasattr(model, "_nodes_by_depth"):
        raise ValueError(
            "a functional Keras model is needed, as build_transformer_model makes it. "
            f"Received: {type(model).__name__}"
        )
    blocks: list = []
    poolers: dict[str, Any] = {}
    for name, output in _applications(model):
        if _ATTENTION.search(name):
            blocks.append(None)
        elif blocks and (_FEED_FORWARD.search(name) or _LAST_NORM.search(name)):
            blocks[-1] = output
        else:
            poolers.update({pooler: output for pooler in _POOLERS if name.endswith(pooler)})
    if not blocks or blocks[-1] is None:
        raise ValueError(
            f"the model {model.name!r} has no blocks whose layers are named as in "
            "build_transformer_model (Transformer-0-FeedForward-Norm, ...). If it holds such a "
            "model as a single layer, give that one: model.get_layer(...)."
        )
    return HiddenStates(blocks, poolers.get("Pooler"), poolers.get("Pooler-Dense"))


def _applications(model: keras.Model) -> Iterator[tuple[str, Any]]:
    """The name and the (first) output of each application of a layer, none before its inputs.

    Keras' own order of depths is of no use here: it moves layers that are used several times.
    """
    stack = [_node_of(output) for output in reversed(getattr(model, "outputs", None) or [])]
    entered: set[int] = set()
    left: set[int] = set()
    while stack:
        node = stack[-1]
        if id(node) in entered:
            stack.pop()
            if id(node) not in left:
                left.add(id(node))
                layer = node.operation if IS_KERAS3 else node.layer
                yield layer.name, tf.nest.flatten(node.outputs)[0]
            continue
        entered.add(id(node))
        stack.extend(parent for parent in node.parent_nodes if id(parent) not in entered)


def _node_of(tensor):
    """The application of a layer that a symbolic tensor comes from."""
    layer, node_index, _ = tensor._keras_history
    return layer._inbound_nodes[node_index]
