"""Weights of Keras 2 in HDF5: ``save_weights`` and ``model.save``, of bert4keras and of ours.

Each layer is a group with the names of its weights, in order. Nothing of a saved model's program
is ever run: a ``Lambda`` layer in it is Python's bytecode.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kerasbert.checkpoints.adapting import AdaptedTensors
from kerasbert.checkpoints.errors import CheckpointFormatError
from kerasbert.checkpoints.h5_file import H5Tensors
from kerasbert.checkpoints.keras_config import beside, settings_of
from kerasbert.checkpoints.keras_names import common_prefix, parts_of_layers

_ROOT = "model_weights"  # where `model.save` puts what `save_weights` has at the top


def recognise(source: H5Tensors) -> bool:
    """Whether a file says which layers it has, as those of Keras 2 do and ``.h5`` of Keras 3."""
    return any("layer_names" in source.texts.get(root, ()) for root in ("", _ROOT))


def adapt(source: H5Tensors, config: Mapping[str, Any] | None = None) -> KerasLayers:
    """The weights under the paths of our variables.

    Args:
        source: a file that :func:`recognise` takes.
        config: what lies beside it.

    Raises:
        CheckpointFormatError: weights that are listed are not there.
    """
    return KerasLayers(source, config)


class KerasLayers(AdaptedTensors):
    """The weights of a Keras 2 file under the paths of our variables.

    Those of layers that are not ours keep their names: ``dense_90/kernel``.

    Args:
        source: the file.
        config: what lies beside it; None for nothing.

    Attributes:
        config: the same, and what the file says of the model besides the shapes.
    """

    def __init__(self, source: H5Tensors, config: Mapping[str, Any] | None = None):
        root = _ROOT if "layer_names" in source.texts.get(_ROOT, ()) else ""
        layers = source.texts[root]["layer_names"]
        found: dict[str, list[tuple[str, str]]] = {}  # (name in the layer, dataset) by layer
        for group in layers:
            place = f"{root}/{group}" if root else group
            for weight in source.texts.get(place, {}).get("weight_names", ()):
                stored = f"{place}/{weight}"
                if stored not in source.shapes:
                    raise CheckpointFormatError(
                        f"{source!r} lists the weight {weight!r} of layer {group!r}, which is not "
                        "in it: the file is damaged. Download it again."
                    )
                layer, name = _split(group, weight)
                found.setdefault(layer, []).append((name, stored))
        prefix = common_prefix([*found, *layers])
        super().__init__(source, parts_of_layers(found, prefix))
        names = [name[len(prefix) :] for name in (*layers, *found) if name.startswith(prefix)]
        described = source.texts.get("", {}).get("model_config", ("",))[0]
        self.config = beside(settings_of(names, described, prefix), config)


def _split(group: str, weight: str) -> tuple[str, str]:
    """The layer of a weight, which may be one of a model inside the model, and its name there."""
    if weight.startswith(f"{group}/"):
        return group, weight[len(group) + 1 :]
    layer, slash, name = weight.partition("/")
    return (layer, name) if slash else (group, weight)
