"""Keras' description of the layers in a SavedModel: the settings of Model Garden's encoders.

A JSON text for every layer lies in ``keras_metadata.pb``, until TensorFlow 2.4 among the objects of
``saved_model.pb``. Layers are not built from it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)

_METADATA = "keras_metadata.pb"
_MAX_BYTES = 512_000_000

# Names that Model Garden's versions have had for what a configuration says.
_SETTINGS = {
    "vocab_size": ("vocab_size",),
    "hidden_size": ("hidden_size",),
    "num_hidden_layers": ("num_layers", "num_hidden_layers"),
    "num_attention_heads": ("num_attention_heads",),
    "intermediate_size": ("inner_dim", "intermediate_size"),
    "embedding_size": ("embedding_width", "embedding_size"),
    "max_position_embeddings": ("max_sequence_length", "max_position_embeddings"),
    "type_vocab_size": ("type_vocab_size",),
    "hidden_dropout_prob": ("output_dropout", "dropout_rate", "hidden_dropout_prob"),
    "attention_probs_dropout_prob": (
        "attention_dropout",
        "attention_dropout_rate",
        "attention_probs_dropout_prob",
    ),
}
_ACTIVATION_KEYS = ("inner_activation", "activation", "hidden_activation", "hidden_act")
_RATES = ("hidden_dropout_prob", "attention_probs_dropout_prob")


def described(folder: Path, graph) -> tuple[str, Mapping[str, Any]]:
    """Class and settings of the encoder in Keras' description; empty where there is none.

    Args:
        folder: the SavedModel's.
        graph: the ``MetaGraphDef`` of its ``saved_model.pb``.
    """
    for text in (*_keras_metadata(folder), *_object_metadata(graph)):
        if "num_attention_heads" not in text:
            continue
        try:
            waiting: list[Any] = [json.loads(text)]
        except (ValueError, RecursionError):
            continue
        while waiting:  # nested models are described inside their wrappers
            value = waiting.pop(0)
            if not isinstance(value, dict):
                waiting += value if isinstance(value, list) else []
                continue
            settings = value.get("config")
            if isinstance(settings, dict) and _is_encoder(settings):
                return str(value.get("class_name", "")), settings
            waiting += value.values()
    return "", {}


def _is_encoder(settings: Mapping[str, Any]) -> bool:
    sizes = [settings.get(key) for key in ("vocab_size", "hidden_size", "num_attention_heads")]
    layers = next((settings[k] for k in _SETTINGS["num_hidden_layers"] if k in settings), None)
    return all(type(size) is int for size in (*sizes, layers))


def _object_metadata(graph) -> Iterator[str]:
    """Keras' descriptions among the objects, where it left them until TensorFlow 2.4."""
    for node in graph.object_graph_def.nodes:
        if node.WhichOneof("kind") == "user_object" and node.user_object.metadata:
            yield node.user_object.metadata


def _keras_metadata(folder: Path) -> Iterator[str]:
    """Keras' descriptions in their own file, where it leaves them since TensorFlow 2.5."""
    path = folder / _METADATA
    if not path.is_file() or path.stat().st_size > _MAX_BYTES:
        return
    try:  # of every node (field 1) the text (field 5); TensorFlow exposes no class for it
        for node in _messages(path.read_bytes(), 1):
            for text in _messages(node, 5):
                yield text.decode("utf-8", "replace")
    except (ValueError, IndexError):
        logger.warning("%s is damaged, and is not read", path)


def _messages(data: bytes, wanted: int) -> Iterator[bytes]:
    """The values of one field, of those with a length, in a serialized message."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        kind = tag & 7
        if kind == 0:
            _, at = _varint(data, at)
            continue
        size, at = _varint(data, at) if kind == 2 else ({1: 8, 5: 4}.get(kind), at)
        if size is None or at + size > len(data):
            raise ValueError("no message")
        if kind == 2 and tag >> 3 == wanted:
            yield data[at : at + size]
        at += size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for i in range(10):
        value |= (data[at + i] & 0x7F) << (7 * i)
        if data[at + i] < 0x80:
            return value, at + i + 1
    raise ValueError("no number")


def settings_of(layers: Mapping[str, Any]) -> dict[str, Any]:
    """An encoder's settings under the names of ``bert_config.json``."""
    found = {}
    for name, keys in _SETTINGS.items():
        value = next((layers[key] for key in keys if layers.get(key) is not None), None)
        kinds = (int, float) if name in _RATES else (int,)
        if type(value) in kinds:
            found[name] = value
    if found.get("embedding_size") == found.get("hidden_size"):
        found.pop("embedding_size", None)
    return found


def activation_of(layers: Mapping[str, Any]) -> str | None:
    """The activation by its name: ``gelu`` is Model Garden's, the tanh form."""
    name = next((layers[key] for key in _ACTIVATION_KEYS if isinstance(layers.get(key), str)), "")
    name = name.rsplit(">", 1)[-1]
    return "gelu_tanh" if "gelu" in name else name or None
