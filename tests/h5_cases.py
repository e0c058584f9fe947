"""HDF5 files for tests: how one is opened, and written as Keras 2 writes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import h5py
import numpy as np

from kerasbert import build_transformer_model
from kerasbert.checkpoints import keras3_file, keras_h5, tf_h5_names
from kerasbert.checkpoints.h5_file import H5Tensors
from kerasbert.models.weights import load_weights


def adapted(path: Path):
    """A file's tensors under known names."""
    archive = path.suffix == keras3_file.SUFFIX
    source = keras3_file.KerasArchive(path) if archive else H5Tensors(path)
    for naming in (tf_h5_names, keras_h5, keras3_file):
        if naming.recognise(source):
            return naming.adapt(source)
    raise AssertionError(f"{path} is of no kind that is known")


def loaded(source, config: Mapping, **options):
    """A transformer with the weights of a source."""
    transformer = build_transformer_model(dict(config), return_keras_model=False, **options)
    load_weights(transformer, source, "the file")
    return transformer


def values(source) -> dict[str, np.ndarray]:
    """All tensors of a source."""
    return {name: value.numpy() for name, value in source.read(list(source.shapes)).items()}


Layers = Mapping[str, Sequence[tuple[str, np.ndarray]]]


def write_layers(path: Path, layers: Layers, root: str = "", texts: str = "bytes") -> Path:
    """Writes what ``save_weights`` of Keras 2 does.

    Args:
        path: the file.
        layers: by the name of a layer the names and values of its weights.
        root: group that ``model.save`` puts the layers in.
        texts: "bytes" as Keras 2.3 writes lists, "str" as tf.keras does.
    """

    def listed(names):
        coded = [name.encode() for name in names] if texts == "bytes" else list(names)
        return np.array(coded) if texts == "bytes" else np.array(coded, dtype=h5py.string_dtype())

    with h5py.File(path, "w") as file:
        top = file.require_group(root) if root else file
        top.attrs["layer_names"] = listed(layers)
        for layer, weights in layers.items():
            group = top.create_group(layer)
            group.attrs["weight_names"] = listed([name for name, _ in weights])
            for name, value in weights:
                group[name] = value
    return path
