"""Weights of tf.keras in TensorFlow's format: ``save_weights('x.ckpt')``, ``model.save(folder)``.

Tensors are named by their place in the program that wrote them (``layer_with_weights-4/q_dense/
kernel/.ATTRIBUTES/VARIABLE_VALUE``). A graph of objects beside them says which variable each was.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from kerasbert.checkpoints.adapting import AdaptedTensors
from kerasbert.checkpoints.keras_names import TOKEN_TABLE, common_prefix, parts_of_layers
from kerasbert.checkpoints.object_graph import GRAPH_KEY, VALUE_SUFFIX, ObjectGraph

if TYPE_CHECKING:
    from kerasbert.checkpoints.loading import TensorSource

_STATE = re.compile(r"(.*/)?(optimizer|keras_api|_?save_counter)(/.*)?|.*/\.OPTIMIZER_SLOT/.*")


def recognise(source: TensorSource) -> bool:
    """Whether a TensorFlow checkpoint is one of objects."""
    return GRAPH_KEY in source.shapes


def adapt(source: TensorSource, config: Mapping[str, Any] | None = None) -> TensorSource:
    """The weights under the paths of our variables.

    Args:
        source: a checkpoint that :func:`recognise` takes.
        config: not needed.

    Returns:
        The checkpoint itself when it holds no model of bert4keras or of ours.

    Raises:
        CheckpointFormatError: the graph of objects is damaged.
    """
    found: dict[str, list[tuple[str, str]]] = {}  # (name in the layer, tensor) by layer
    for variable in ObjectGraph.read(source).variables:
        layer, slash, rest = variable.name.partition("/")
        if not slash or _STATE.fullmatch(variable.key):
            continue
        # The attribute says what a sublayer is, where the variable's name has but a number.
        *sublayers, kind = rest.split("/")
        held = variable.key[: -len(VALUE_SUFFIX)].split("/")[-1 - len(sublayers) : -1]
        found.setdefault(layer, []).append(("/".join([*(held or sublayers), kind]), variable.key))
    parts = parts_of_layers(found, common_prefix(found))
    return AdaptedTensors(source, parts) if TOKEN_TABLE in parts else source
