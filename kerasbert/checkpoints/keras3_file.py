"""Weights of Keras 3, and of tf.keras 2.15, in ``.weights.h5`` and in ``.keras`` archives.

A group is named after the layer's class and a number (``layers/dense_1/vars/0``). Which layer that
is a file of Keras 3 may say itself; in an archive the list of layers in its ``config.json`` says
it; of any other file only a model with the same layers can tell.
"""

from __future__ import annotations

import logging
import re
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kerasbert.checkpoints import archives
from kerasbert.checkpoints.adapting import AdaptedTensors, Part
from kerasbert.checkpoints.errors import CheckpointFormatError
from kerasbert.checkpoints.h5_file import H5Tensors
from kerasbert.checkpoints.keras_config import (
    beside,
    layer_names_by_group,
    settings_of,
    snake_case,
)
from kerasbert.checkpoints.keras_names import common_prefix, is_own

if TYPE_CHECKING:
    from kerasbert.backend import keras

logger = logging.getLogger("kerasbert")

SUFFIX = ".keras"
_WEIGHTS, _CONFIG = "model.weights.h5", "config.json"
_MAX_CONFIG = 50_000_000  # bytes
# The last layer on the way to a weight, what is inside it, and the weight's number there.
_VARIABLE = re.compile(r"((?:.*/)?layers/[^/]+)((?:/[^/]+)*)/vars/(\d{1,6})", re.DOTALL)
# The weights of a layer itself in their order, by the name that Keras makes of its class.
KINDS: Mapping[str, tuple[str, ...]] = {
    "dense": ("kernel", "bias"),
    "head_projection": ("kernel",),
    "bias": ("bias",),
    "embedding": ("embeddings",),
    "position_embedding": ("embeddings",),
    "padded_position_embedding": ("embeddings",),
    "left_padded_embedding": ("embeddings",),
    "factorized_embedding": ("projection", "embeddings"),
    "relative_position_bias": ("embeddings",),
    "relative_xl_self_attention": ("segment_embeddings",),
    "query_bias": ("content_bias", "position_bias", "segment_bias"),
    "layer_normalization": ("beta", "gamma"),
    "conditional_layer_normalization": ("beta", "gamma"),
    "rms_normalization": ("gamma",),
}
_KERAS_OWN = {**KINDS, "layer_normalization": ("gamma", "beta")}
# What our layers call the attributes that hold a layer of another name.
ATTRIBUTES = {"output_dense": "output", "output_projection": "output"}


class KerasArchive(H5Tensors):
    """The weights in a ``.keras`` archive, of whose other contents only the JSON is read, as data.

    Args:
        path: the archive.

    Attributes:
        described: the model in JSON, or "".

    Raises:
        CheckpointFormatError: damaged, or without weights in this format.
        UnsafeArchiveError: an archive that tries to write outside its folder, or that is far too
            large when unpacked.
    """

    def __init__(self, path: str | Path):
        folder = archives.extract(path)
        weights, config = folder / _WEIGHTS, folder / _CONFIG
        if not weights.is_file():
            raise CheckpointFormatError(
                f"{path} is no model that Keras saved, or one whose weights are not HDF5: it holds "
                f"no {_WEIGHTS}."
            )
        super().__init__(weights)
        self.path = Path(path)
        self.described = ""
        if config.is_file() and config.stat().st_size <= _MAX_CONFIG:
            self.described = config.read_text(encoding="utf-8", errors="replace")


def is_keras_archive(path: Path) -> bool:
    """Whether a file is an archive, and by its name one of Keras 3."""
    try:
        return path.name.endswith(SUFFIX) and zipfile.is_zipfile(path)
    except OSError:
        return False


def recognise(source: H5Tensors) -> bool:
    """Whether datasets are named as Keras 3 names them."""
    return any(_VARIABLE.fullmatch(name) for name in source.shapes)


def adapt(
    source: H5Tensors, config: Mapping[str, Any] | None = None
) -> Keras3Weights | UnnamedWeights:
    """The weights under the paths of our variables.

    Args:
        source: a file that :func:`recognise` takes.
        config: what lies beside it.

    Returns:
        What the file holds; :class:`UnnamedWeights` when nothing says which layer a group is.
    """
    described = getattr(source, "described", "")
    names = dict(layer_names_by_group(described))
    for group, texts in source.texts.items():
        if group.endswith("/vars") and texts.get("name"):
            names[group[: -len("/vars")]] = texts["name"][0]
    groups = {match[1] for match in map(_VARIABLE.fullmatch, source.shapes) if match}
    if not groups <= names.keys():
        return UnnamedWeights(source)
    return Keras3Weights(source, names, described, config)


class Keras3Weights(AdaptedTensors):
    """The weights of a Keras 3 file under the paths of our variables.

    Those of layers that are not ours keep the layer's name: ``head/kernel``.

    Args:
        source: the file.
        names: name of the layer of every group that has weights.
        described: the model in JSON, or "".
        config: what lies beside the file; None for nothing.

    Attributes:
        config: the same, and what the file says of the model besides the shapes.
    """

    def __init__(
        self,
        source: H5Tensors,
        names: Mapping[str, str],
        described: str = "",
        config: Mapping[str, Any] | None = None,
    ):
        prefix = common_prefix(names.values())
        parts: dict[str, Part] = {}
        for stored in source.shapes:
            match = _VARIABLE.fullmatch(stored)
            if match:
                group, inside, number = match.groups()
                layer = names[group]
                layer = layer[len(prefix) :] if layer.startswith(prefix) else layer
                parts.setdefault(_path(layer, group, inside, int(number)), Part(stored))
        super().__init__(source, parts)
        layers = [name[len(prefix) :] for name in names.values() if name.startswith(prefix)]
        self.config = beside(settings_of(layers, described, prefix), config)


def _path(layer: str, group: str, inside: str, number: int) -> str:
    """The path of a weight, by the name of its layer and its place in the file."""
    sublayers = [ATTRIBUTES.get(name, name) for name in inside.split("/")[1:]]
    # What our layers have inside are projections.
    made_of = "dense" if sublayers else re.sub(r"_\d+$", "", group.rpartition("/")[2])
    kinds = (KINDS if is_own(layer) else _KERAS_OWN).get(made_of, ())
    kind = kinds[number] if number < len(kinds) else str(number)
    return "/".join([layer, *sublayers, kind])


class UnnamedWeights:
    """The weights of a file that does not say which layer is which.

    Args:
        source: the file.

    Attributes:
        shapes: shape of every tensor by its name in the file.
    """

    def __init__(self, source: H5Tensors):
        self._source = source
        self.shapes = dict(source.shapes)

    def read(self, names: Iterable[str]) -> dict:
        """The tensors of those names, as they are stored."""
        return self._source.read(names)

    def hint(self) -> str:
        """Why nothing of it has a known name, for messages."""
        return (
            "This file of Keras names its groups after classes (layers/dense_1/vars/0) and does "
            "not say which layers they are. Build the model with the options that it was saved "
            "with (model=..., with_pool, with_nsp, with_mlm), or save it as .keras, which has the "
            "list of layers."
        )

    def for_model(self, model: keras.Model, prefix: str = "") -> Keras3Weights | UnnamedWeights:
        """The same weights under the paths of a model's variables.

        Keras numbers the layers of each class in the model's order. Where a file has more layers,
        those of a head that came after, all but ``Dense`` layers are known still; and of these the
        projection of the embeddings, which is the first one.

        Args:
            model: one with the layers of the file.
            prefix: of its layers' names.

        Returns:
            Itself where the layers are not those of the file.
        """
        by_class: dict[str, list[str]] = {}
        for layer in model.layers:
            if layer.weights:
                name = layer.name[len(prefix) :] if layer.name.startswith(prefix) else layer.name
                by_class.setdefault(snake_case(type(layer).__name__), []).append(name)
        groups = {match[1] for match in map(_VARIABLE.fullmatch, self.shapes) if match}
        containers = {group.rpartition("/")[0] for group in groups}
        for container in sorted(containers, key=lambda name: name.count("/")):
            named = _matched(by_class, [g for g in groups if g.rpartition("/")[0] == container])
            if named is not None:
                logger.warning("The file names no layers: they are matched by class and order.")
                unknown = {group: group.replace("/", ".") for group in groups - named.keys()}
                return Keras3Weights(self._source, {**named, **unknown})
        return self


def _matched(by_class: Mapping[str, list[str]], groups: list[str]) -> dict[str, str] | None:
    """Names of groups; None when the layers are not those of the file."""
    found: dict[str, str] = {}
    numbered: dict[str, list[tuple[int, str]]] = {}
    for group in groups:
        match = re.fullmatch(r"(.+?)(?:_(\d+))?", group.rpartition("/")[2])
        numbered.setdefault(match[1], []).append((int(match[2] or 0), group))
    exact = {c: len(names) for c, names in by_class.items()} == {
        c: len(there) for c, there in numbered.items()
    }
    for made_of, layers in by_class.items():
        there = [group for _, group in sorted(numbered.get(made_of, ()))]
        ordered = made_of != "dense" or layers == ["Embedding-Mapping"]
        if not exact and (not ordered or len(there) < len(layers)):
            return None
        found.update(zip(there, layers))
    return found
