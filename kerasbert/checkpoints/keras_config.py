"""What a saved model of Keras says about itself in JSON: read as data, never made into objects."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from types import SimpleNamespace
from typing import Any

from kerasbert.checkpoints.keras_names import is_own

_MAX_LENGTH = 50_000_000  # characters
_MAX_DEPTH = 20  # of models in models
# Layers that only one family has, by name.
_MARKS = {
    "Embedding-Rotary-Position": "roformer",
    "Embedding-Relative-Position": "nezha",
    "Transformer-MultiHeadSelfAttention": "albert",
    "Discriminator-Prediction": "electra",
}
_ATTENTION = {
    "heads": "num_attention_heads",  # bert4keras
    "num_heads": "num_attention_heads",
    "head_size": "attention_head_size",
}


def settings_of(layers: Iterable[str], described: str = "", prefix: str = "") -> dict[str, Any]:
    """What names and settings of layers say about a model's configuration.

    Args:
        layers: names of all layers, without the model's prefix.
        described: the model as Keras writes it in JSON; "" when there is none.
        prefix: of the layers' names in there.

    Returns:
        Values by the names that a configuration has.
    """
    layers = set(layers)
    found: dict[str, Any] = {}
    for mark, family in _MARKS.items():
        if mark in layers:
            found.setdefault("model_type", family)
    by_name = {
        name[len(prefix) :]: settings
        for _, _, name, settings in _walk(described)
        if name.startswith(prefix)
    }
    family = by_name.get("Embedding-Token", {}).get("family")
    if isinstance(family, str):  # a model of ours
        return {**found, **_as_family_says(family, by_name)}
    for name, settings in by_name.items():
        if is_own(name) and name.endswith("SelfAttention"):
            for theirs, ours in _ATTENTION.items():
                if isinstance(settings.get(theirs), int):
                    found.setdefault(ours, settings[theirs])
        elif is_own(name) and name.endswith("FeedForward") and settings.get("activation"):
            found.setdefault("hidden_act", settings["activation"])
    return found


def beside(found: Mapping[str, Any], config: Mapping[str, Any] | None) -> dict[str, Any]:
    """The configuration that lies beside a file, with the family that the file shows.

    Args:
        found: what :func:`settings_of` found.
        config: what lies beside it; None for nothing.
    """
    if not config:
        return dict(found)
    family = found.get("model_type")
    return {**config, **({"model_type": family} if family else {})}


def _as_family_says(family: str, layers: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The whole configuration that layers of ours amount to, by what is written of them."""
    from kerasbert.models import registry  # which needs this module

    try:
        stand_ins = {name: SimpleNamespace(**settings) for name, settings in layers.items()}
        config = registry.find_model(family)[0].describe(stand_ins).to_dict()
    except (ValueError, TypeError, LookupError, AttributeError, StopIteration, ArithmeticError):
        return {}
    return {**config, "model_type": family}


def layer_names_by_group(described: str) -> Iterator[tuple[str, str]]:
    """The group of every layer in a file of Keras 3, and the layer's name."""
    for container, made_of, name, _ in _walk(described):
        yield f"{container}/{made_of}", name


def snake_case(name: str) -> str:
    """The name that Keras makes of a class's."""
    name = re.sub(r"\W+", "", name)
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


def _walk(described: str) -> Iterator[tuple[str, str, str, Mapping[str, Any]]]:
    """Every layer of a model and of models inside it, in order.

    Yields:
        The container in a file of Keras 3, the layer's numbered class, its name, its settings.
    """
    if not described or len(described) > _MAX_LENGTH:
        return
    try:
        model = json.loads(described)
    except (ValueError, RecursionError):
        return
    pending = [("layers", model, 0)]
    while pending:
        container, model, depth = pending.pop()
        numbers: dict[str, int] = {}
        for layer in _layers(model):
            settings, class_name = layer.get("config"), layer.get("class_name")
            if not isinstance(settings, dict) or not isinstance(class_name, str):
                continue
            name = settings.get("name", layer.get("name"))
            made_of = snake_case(class_name[:200])
            number = numbers[made_of] = numbers.get(made_of, -1) + 1
            made_of = f"{made_of}_{number}" if number else made_of
            if isinstance(name, str):
                yield container, made_of, name, settings
            if isinstance(settings.get("layers"), list) and depth < _MAX_DEPTH:
                pending.append((f"{container}/{made_of}/layers", layer, depth + 1))


def _layers(model: Any) -> list[dict[str, Any]]:
    """The layers of a model, of which nothing is believed."""
    settings = model.get("config") if isinstance(model, dict) else None
    layers = settings.get("layers") if isinstance(settings, dict) else None
    return (
        [layer for layer in layers if isinstance(layer, dict)] if isinstance(layers, list) else []
    )
