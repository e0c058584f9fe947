"""``.weights.h5`` and ``.keras`` of our own models, of every family."""

from __future__ import annotations

import json
import shutil
import sys
import zipfile

import h5py
import numpy as np
import pytest

from kerasbert import build_transformer_model
from kerasbert.backend import keras, variable_path
from kerasbert.checkpoints import keras3_file, keras_config
from kerasbert.checkpoints.errors import CheckpointFormatError, UnsafeArchiveError
from kerasbert.checkpoints.h5_file import H5Tensors
from kerasbert.checkpoints.report import CheckpointMismatchError
from kerasbert.models import registry
from kerasbert.models.extraction import variables_by_path
from tests import tiny
from tests.h5_cases import adapted, loaded, values

# The fewest options that make every layer of a family that has weights.
HEADS = {
    "electra": {"with_discriminator": True},
    **{
        name: {"with_mlm": True}
        for name in ("roformer_v2", "electra_generator", "xlnet", "rembert", "xlm_roberta_xl")
    },
    **{name: {} for name in ("gpt", "gpt2", "gpt2_ml", "t5", "t5_encoder", "t5_decoder")},
}
QUICK = ("bert", "albert", "xlnet")
FAMILIES = sorted({family.family for family in registry.families()})


@pytest.fixture(autouse=True)
def here(monkeypatch):
    """The listing in this process, which takes less time."""
    monkeypatch.setattr(sys, "executable", "")


def built(name: str = "bert", **options):
    """A transformer with random weights."""
    options = {**HEADS.get(name, {"with_mlm": True, "with_nsp": True}), **options}
    transformer = build_transformer_model(
        tiny.CONFIG, model=name, return_keras_model=False, **options
    )
    rng = np.random.default_rng(0)
    for variable in transformer.model.weights:
        variable.assign(rng.standard_normal(variable.shape))
    return transformer


def arrays_of(transformer) -> dict[str, np.ndarray]:
    found = variables_by_path(transformer.layers)
    return {path: variable.numpy() for path, variable in found.items()}


def without_names(path):
    """A copy of a file without what layers it is of: as Keras 2.15 and early Keras 3 write it."""
    copy = path.with_name(f"nameless-{path.name}")
    shutil.copy(path, copy)
    with h5py.File(copy, "a") as file:
        file.visititems(lambda _, item: item.attrs.pop("name", None) and None)
        file.attrs.pop("name", None)
    return copy


def same(source, arrays: dict) -> None:
    read = values(source)
    assert read.keys() == arrays.keys()
    for path, array in arrays.items():
        np.testing.assert_array_equal(read[path], array, err_msg=path)


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=() if n in QUICK else pytest.mark.slow) for n in FAMILIES],
)
def test_every_family(tmp_path, name):
    transformer = built(name)
    arrays, model = arrays_of(transformer), transformer.model
    weights = tmp_path / "x.weights.h5"
    model.save_weights(weights)
    nameless = adapted(without_names(weights))
    assert isinstance(nameless, keras3_file.UnnamedWeights)
    same(nameless.for_model(model), arrays)
    model.save(tmp_path / "x.keras")
    archive = adapted(tmp_path / "x.keras")
    same(archive, arrays)
    assert archive.config["model_type"] == transformer.family
    described = transformer.describe(transformer.layers).to_dict()
    assert archive.config == {**described, "model_type": transformer.family}
    assert registry.recognize(archive.shapes, archive.config) == transformer.family
    model.save(tmp_path / "x.h5")
    same(adapted(tmp_path / "x.h5"), arrays)
    named = adapted(weights)
    if isinstance(named, keras3_file.Keras3Weights):
        same(named, arrays)
    else:  # what wrote it is older than the version that is known to write names
        assert tuple(map(int, getattr(keras, "__version__", "2.0").split(".")[:2])) < (3, 15)


@pytest.mark.parametrize("name", ["bert", "albert"])
def test_loaded_into_a_new_model(tmp_path, name):
    transformer = built(name)
    transformer.model.save(tmp_path / "x.keras")
    transformer.model.save_weights(tmp_path / "x.weights.h5")
    options = {"model": name, **HEADS.get(name, {"with_mlm": True, "with_nsp": True})}
    for path in (tmp_path / "x.keras", without_names(tmp_path / "x.weights.h5")):
        again = loaded(adapted(path), tiny.CONFIG, **options)
        for variable, value in variables_by_path(again.layers).items():
            np.testing.assert_array_equal(value.numpy(), arrays_of(transformer)[variable])


@pytest.mark.parametrize("nested", [False, True])
def test_a_head_of_ones_own(tmp_path, nested):
    transformer = built(with_mlm=False, with_nsp=False, prefix="Mine-")
    inputs = transformer.model.inputs
    outputs = transformer.model.output
    if nested:
        inputs = [keras.Input((None,), dtype="int32", name=f"in{i}") for i in range(2)]
        outputs = transformer.model(inputs)
    normed = keras.layers.LayerNormalization(name="their-norm")(outputs)
    model = keras.Model(inputs, keras.layers.Dense(3, name="head")(normed))
    model.save(tmp_path / "x.keras")
    source = adapted(tmp_path / "x.keras")
    arrays = arrays_of(transformer)
    read = values(source)
    for path, array in arrays.items():
        np.testing.assert_array_equal(read.pop(path), array)
    assert sorted(read) == ["head/bias", "head/kernel", "their-norm/beta", "their-norm/gamma"]
    np.testing.assert_array_equal(read["their-norm/gamma"], 1)
    np.testing.assert_array_equal(read["head/kernel"], model.get_layer("head").get_weights()[0])
    # Of a file without names the layers before the head are still known.
    model.save_weights(tmp_path / "x.weights.h5")
    again = loaded(adapted(without_names(tmp_path / "x.weights.h5")), tiny.CONFIG, model="bert")
    for path, variable in variables_by_path(again.layers).items():
        np.testing.assert_array_equal(variable.numpy(), arrays[path])


def test_layers_that_are_not_those_of_the_file(tmp_path):
    built(with_nsp=False).model.save_weights(tmp_path / "x.weights.h5")
    source = adapted(without_names(tmp_path / "x.weights.h5"))
    with pytest.raises(CheckpointMismatchError, match="does not say which layers they are"):
        loaded(source, tiny.CONFIG, model="bert", with_pool=True)  # another Dense than MLM-Dense's
    with pytest.raises(CheckpointMismatchError, match="does not say which layers they are"):
        loaded(source, tiny.CONFIG, model="bert", with_mlm=True, with_nsp=True)


def test_kinds_are_those_of_the_layers():
    """What files call ``vars/0``, ``vars/1`` is known from the classes that are there now."""
    condition = keras.Input((4,))
    gated = {**tiny.CONFIG, "hidden_act": ["gelu", "linear"]}
    models = [built(name) for name in ("bert", "xlnet", "roberta", "t5_encoder", "albert_zh")]
    models.append(
        build_transformer_model(
            gated, model="bert", return_keras_model=False, layer_norm_cond=condition,
            additional_input_layers=condition, layer_norm_cond_hidden_size=3,
        )
    )  # fmt: skip

    def check(layer, inside: bool) -> None:
        parts = {k: v for k, v in vars(layer).items() if isinstance(v, keras.layers.Layer)}
        claimed = {id(weight) for part in parts.values() for weight in part.weights}
        own = [weight for weight in layer.weights if id(weight) not in claimed]
        if own:
            made_of = keras_config.snake_case(type(layer).__name__)
            names = [variable_path(weight).rsplit("/", 1)[-1] for weight in own]
            assert keras3_file.KINDS[made_of][: len(names)] == tuple(names)
            assert not inside or names[0] == "kernel"
        for attribute, part in parts.items():
            if part.weights:
                assert keras3_file.ATTRIBUTES.get(attribute, attribute) == part.name
            check(part, True)

    for transformer in models:
        for layer in transformer.layers.values():
            check(layer, False)


def archive(path, **members: bytes):
    with zipfile.ZipFile(path, "w") as file:
        for name, content in members.items():
            file.writestr(name.replace("__", "."), content)
    return path


def test_hostile_archives(tmp_path):
    path = tmp_path / "x.keras"
    with pytest.raises(CheckpointFormatError, match=r"model\.weights\.h5"):
        adapted(archive(path, config__json=b"{}"))
    with pytest.raises(CheckpointFormatError, match="not an HDF5 file"):
        adapted(archive(path, model__weights__h5=b"<html>"))
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("../model.weights.h5", b"")
    with pytest.raises(UnsafeArchiveError):
        adapted(path)
    path.write_bytes(b"no archive")
    assert not keras3_file.is_keras_archive(path)
    with pytest.raises(CheckpointFormatError):
        adapted(path)


def test_a_configuration_that_is_none(tmp_path):
    transformer = built(with_mlm=False, with_nsp=False)
    transformer.model.save(tmp_path / "x.keras")
    with zipfile.ZipFile(tmp_path / "x.keras") as file:
        weights = file.read("model.weights.h5")
        described = json.loads(file.read("config.json"))
    (tmp_path / "w.weights.h5").write_bytes(weights)
    weights = without_names(tmp_path / "w.weights.h5").read_bytes()
    for config in (b"", b"\xff", b"[" * 100_000, b'{"config": {"layers": 3}}'):
        source = adapted(archive(tmp_path / "y.keras", model__weights__h5=weights,
                                 config__json=config))  # fmt: skip
        assert isinstance(source, keras3_file.UnnamedWeights)
    # What is described are other layers than those of the weights.
    described["config"]["layers"] = described["config"]["layers"][:4]
    source = adapted(archive(tmp_path / "y.keras", model__weights__h5=weights,
                             config__json=json.dumps(described).encode()))  # fmt: skip
    assert isinstance(source, keras3_file.UnnamedWeights)


def test_a_file_alone_is_enough(tmp_path):
    transformer = built(with_mlm=False, with_nsp=False)
    for name in ("x.keras", "x.h5"):
        transformer.model.save(tmp_path / name)
        again = build_transformer_model(checkpoint=tmp_path / name, return_keras_model=False)
        assert again.config.hidden_size == transformer.config.hidden_size
        for path, array in arrays_of(transformer).items():
            np.testing.assert_array_equal(arrays_of(again)[path], array)
        (tmp_path / name).unlink()


def test_other_files(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["optimizer/vars/0"] = np.zeros(3)
        file["vars/0"] = np.zeros(3)
    assert not keras3_file.recognise(H5Tensors(tmp_path / "x.h5"))
