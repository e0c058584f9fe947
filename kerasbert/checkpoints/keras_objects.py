"""Weights of tf.keras in TensorFlow's format: ``save_weights('x.ckpt')``, ``model.save(folder)``.

Tensors are named by their place in the program that wrote them (``layer_with_weights-4/q_dense/
kernel/.ATTRIBUTES/VARIABLE_VALUE``). A graph of objects beside them says which variable each was.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from kerasbert.backend import tf
from kerasbert.checkpoints.adapting import AdaptedTensors, Part
from kerasbert.checkpoints.errors import CheckpointFormatError
from kerasbert.checkpoints.keras_names import TOKEN_TABLE, common_prefix, paths_in_layer

if TYPE_CHECKING:
    from kerasbert.checkpoints.loading import TensorSource

GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"
_SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"
_STATE = re.compile(r"(.*/)?(optimizer|keras_api|_?save_counter)(/.*)?|.*/\.OPTIMIZER_SLOT/.*")
_MAX_NODES = 1_000_000


def recognise(source: TensorSource) -> bool:
    """Whether a TensorFlow checkpoint is one of objects."""
    return GRAPH in source.shapes


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
    for key, variable in _variables(source):
        layer, slash, rest = variable.partition("/")
        if not slash or key not in source.shapes or _STATE.fullmatch(key):
            continue
        # The attribute says what a sublayer is, where the variable's name has but a number.
        *sublayers, kind = rest.split("/")
        held = key[: -len(_SUFFIX)].split("/")[-1 - len(sublayers) : -1]
        found.setdefault(layer, []).append(("/".join([*(held or sublayers), kind]), key))
    prefix = common_prefix(found)
    parts: dict[str, Part] = {}
    for layer, weights in found.items():
        name = layer[len(prefix) :] if layer.startswith(prefix) else layer
        for path, (_, key) in zip(paths_in_layer(name, [w for w, _ in weights]), weights):
            part = Part(key)
            if path == "Decoder-Output-LM/kernel":  # bert4keras' is a Dense
                path, part = "Decoder-Output-LM/embeddings", Part(key, transpose=True)
            parts.setdefault(path, part)
    return AdaptedTensors(source, parts) if TOKEN_TABLE in parts else source


def _variables(source: TensorSource) -> list[tuple[str, str]]:
    """Key and full name of every variable, in the order of the graph."""
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf import trackable_object_graph_pb2

    graph = trackable_object_graph_pb2.TrackableObjectGraph()
    try:
        graph.ParseFromString(source.read([GRAPH])[GRAPH].numpy())
        if len(graph.nodes) > _MAX_NODES:
            raise ValueError(f"{len(graph.nodes):,} objects")
    except (DecodeError, ValueError, TypeError, tf.errors.OpError) as error:
        raise CheckpointFormatError(
            f"the graph of objects in {source!r} is damaged: {error}. Save or download it again."
        ) from error
    return [
        (attribute.checkpoint_key, attribute.full_name)
        for node in graph.nodes
        for attribute in node.attributes
        if attribute.full_name and attribute.checkpoint_key.endswith(_SUFFIX)
    ]
