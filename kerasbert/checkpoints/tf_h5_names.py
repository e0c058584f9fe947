"""Hugging Face's TensorFlow models in HDF5 (``tf_model.h5``), named as its PyTorch models are.

A weight is ``<layer>/<scope>/bert/encoder/layer_._0/attention/self/query/kernel:0``: the layer and
the scope are those of the class that was saved. Heads that score by the embeddings hold a copy of
them. Large models lie in several files, without layers and scope.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from kerasbert.checkpoints.adapting import AdaptedTensors, Part
from kerasbert.checkpoints.errors import CheckpointFormatError

if TYPE_CHECKING:
    from kerasbert.checkpoints.loading import TensorSource

_SEPARATOR = "_._"  # between the name of a list and the number in it
_ALIAS = re.compile(r"[^/]*___")  # `mlm___cls` is the second layer that PyTorch calls `cls`
_KINDS = {"kernel": "weight", "gamma": "weight", "embeddings": "weight", "beta": "bias"}


def recognise(source: TensorSource) -> bool:
    """Whether tensors are named as in ``tf_model.h5``."""
    return any(_SEPARATOR in name and name.endswith(":0") for name in source.shapes)


def adapt(source: TensorSource, config: Mapping[str, Any] | None = None) -> AdaptedTensors:
    """The weights under the names that Hugging Face's PyTorch models have, and in their layout.

    Args:
        source: a file.
        config: not needed.

    Raises:
        CheckpointFormatError: two tensors of one name differ in their shape.
    """
    inside_layers = _inside_layers(source.shapes)
    parts: dict[str, Part] = {}
    for stored, shape in source.shapes.items():
        name, transpose = pytorch_name(stored, inside_layers)
        part = Part(stored, transpose=transpose and len(shape) == 2)
        if name.endswith(".bias") and len(shape) == 2 and shape[0] == 1:  # GPT's are of one row
            part = Part(stored, shape=shape[1:])
        known = parts.setdefault(name, part)
        if source.shapes[known.stored] != shape:
            raise CheckpointFormatError(
                f"two tensors of the file are {name!r}, {known.stored!r} of shape "
                f"{source.shapes[known.stored]} and {stored!r} of shape {shape}: it is damaged, or "
                "no file of Hugging Face's."
            )
        if stored.split("/")[0] == name.split(".")[0]:  # rather the layer's own than a head's copy
            parts[name] = part
    return AdaptedTensors(source, parts)


def pytorch_name(stored: str, inside_layers: bool = True) -> tuple[str, bool]:
    """The name of a weight in the PyTorch model, and whether it is transposed there.

    Args:
        stored: path of the dataset.
        inside_layers: whether the path begins with a layer and a scope.
    """
    parts = stored.split(":")[0].split("/")
    if inside_layers:
        parts = parts[1:] or parts
        parts = parts[1:] if len(parts) > 2 else parts  # what a user added has no scope
    *modules, kind = [_ALIAS.sub("", part) for part in parts]
    modules = "/".join(modules).replace(_SEPARATOR, "/").split("/") if modules else []
    return ".".join([*modules, _KINDS.get(kind, kind)]), kind == "kernel"


def _inside_layers(names: Iterable[str]) -> bool:
    """Whether datasets lie below layers and scopes, which repeat the layer's name."""
    paths = [name.split("/") for name in names if _SEPARATOR in name]
    return any(path[0] in path[1:3] for path in paths)
