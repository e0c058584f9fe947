"""Keras 2's files, of bert4keras and of ours: weights by layer and order."""

from __future__ import annotations

import json
import logging
import sys

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerasbert import build_transformer_model
from kerasbert.backend import tf
from kerasbert.checkpoints import keras_config, keras_h5, keras_names, keras_objects
from kerasbert.checkpoints.errors import CheckpointFormatError
from kerasbert.checkpoints.google import GoogleCheckpoint, write
from kerasbert.checkpoints.h5_file import H5Tensors
from kerasbert.checkpoints.loading import ArrayTensors
from kerasbert.checkpoints.mapping import Op
from kerasbert.checkpoints.report import CheckpointMismatchError
from kerasbert.models import registry
from kerasbert.models.extraction import variables_by_path
from kerasbert.models.weights import load_weights
from tests import tiny
from tests.golden_cases import SHARED, distance
from tests.h5_cases import adapted, loaded, values, write_layers

B4K = SHARED / "huggingface"
WEIGHTS = [
    path
    for pattern in ("model.weights", "*.h5", "tfckpt.weights.index")
    for path in sorted(B4K.glob(f"b4k_*/*/{pattern}"))
]


@pytest.fixture(autouse=True)
def here(monkeypatch):
    """The listing in this process, which takes less time."""
    monkeypatch.setattr(sys, "executable", "")


# ---- names inside layers -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layer", "weights", "paths"),
    [
        ("Embedding-Norm", ["beta:0", "gamma:0"], ["beta", "gamma"]),
        ("MLM-Bias", ["beta:0"], ["bias"]),
        ("Transformer-0-FeedForward",
         ["dense_5/kernel:0", "dense_5/bias:0", "dense_6/kernel:0", "dense_6/bias:0"],
         ["intermediate/kernel", "intermediate/bias", "output/kernel", "output/bias"]),
        ("Transformer-0-FeedForward",
         ["dense/kernel:0", "dense_1/kernel:0", "dense_2/kernel:0"],
         ["intermediate/kernel", "gate/kernel", "output/kernel"]),
        ("Transformer-0-MultiHeadSelfAttention",
         ["dense_9/kernel:0", "dense_10/kernel:0", "dense_11/kernel:0", "dense_12/kernel:0"],
         ["query/kernel", "key/kernel", "value/kernel", "output/kernel"]),
        ("Transformer-0-MultiHeadSelfAttention-Norm",
         ["beta:0", "gamma:0", "dense_1/kernel:0", "dense_2/kernel:0"],
         ["beta", "gamma", "condition/offset/kernel", "condition/scale/kernel"]),
        ("Embedding-Norm",
         ["beta:0", "gamma:0", "dense/kernel:0", "dense_1/kernel:0", "dense_2/kernel:0"],
         ["beta", "gamma", "condition/hidden/kernel", "condition/offset/kernel",
          "condition/scale/kernel"]),
        # Frozen and thawed again, a layer lists its weights in another order.
        ("Transformer-0-FeedForward",
         ["dense_5/kernel:0", "dense_6/kernel:0", "dense_5/bias:0", "dense_6/bias:0"],
         ["intermediate/kernel", "output/kernel", "intermediate/bias", "output/bias"]),
        # Ours, and a user's.
        ("Transformer-0-MultiHeadSelfAttention", ["query/kernel:0", "output/bias:0"],
         ["query/kernel", "output/bias"]),
        ("dense_90", ["kernel:0", "bias:0"], ["kernel", "bias"]),
        ("crf", ["trans:0", "trans:0"], ["trans", "trans_1"]),
        ("their-FeedForward", [f"dense_{i}/kernel:0" for i in range(5)],
         [f"dense_{i}/kernel" for i in range(5)]),
    ],
)  # fmt: skip
def test_paths_in_a_layer(layer, weights, paths):
    assert keras_names.paths_in_layer(layer, weights) == [f"{layer}/{path}" for path in paths]


@given(st.text("Norm-FedAtni0_/:", max_size=30), st.lists(st.text("dense_019/:k", max_size=20)))
def test_paths_are_different(layer, weights):
    paths = keras_names.paths_in_layer(layer, weights)
    assert len(set(paths)) == len(weights)


def test_a_table_for_every_family():
    for family in registry.families():
        table = family.tables[-1]
        assert table.name == keras_names.TABLE
        assert [row.tensor for row in table.rows] == [row.variable for row in table.rows]
        assert {row.op for row in table.rows} <= {Op.IDENTITY, Op.TOKENS}
        ops = {row.variable: row.op for row in table.rows}
        assert ops["Embedding-Token/embeddings"] is Op.TOKENS
        assert family.tables[0].name != keras_names.TABLE  # the one that is written


# ---- files written here ------------------------------------------------------------------------


def expected(**options):
    """A tiny BERT's transformer with random weights, and these by path."""
    source = ArrayTensors(tiny.bert_tensors())
    transformer = loaded(source, tiny.CONFIG, model="bert", **options)
    return transformer, {
        path: variable.numpy() for path, variable in variables_by_path(transformer.layers).items()
    }


def as_bert4keras(arrays: dict, prefix: str = "", start: int = 1) -> dict:
    """Layers as bert4keras 0.11 on Keras 2.3 saves them, projections numbered from ``start``."""
    layers: dict = {"Input-Token": []}
    number = start - 1
    for path, array in arrays.items():
        layer, *sublayer, kind = path.split("/")
        if sublayer and kind == "kernel":
            number += 1
        inner = f"dense_{number}/{kind}" if sublayer else kind
        inner = "beta" if layer == "MLM-Bias" else inner
        name = prefix + layer
        layers.setdefault(name, []).append((f"{name}/{inner}:0", array))
    return layers


def same(transformer, arrays: dict) -> None:
    ours = variables_by_path(transformer.layers)
    assert ours.keys() == arrays.keys()
    for path, array in arrays.items():
        np.testing.assert_array_equal(ours[path].numpy(), array, err_msg=path)


@pytest.mark.parametrize(
    ("texts", "root", "prefix", "start"),
    [("bytes", "", "", 1), ("str", "model_weights", "", 73), ("bytes", "", "Mine-", 9)],
)
def test_a_bert4keras_file(tmp_path, caplog, texts, root, prefix, start):
    _, arrays = expected(with_mlm=True, with_nsp=True)
    layers = as_bert4keras(arrays, prefix, start)
    layers["dense_90"] = [("dense_90/kernel:0", np.zeros((16, 3)))]
    path = write_layers(tmp_path / "best_model.weights", layers, root, texts)
    source = adapted(path)
    assert source.shapes["dense_90/kernel"] == (16, 3)
    with caplog.at_level(logging.INFO, "kerasbert"):
        same(loaded(source, tiny.CONFIG, model="bert", with_mlm=True, with_nsp=True), arrays)
    assert "fine-tuned head, not loaded: dense_90/kernel" in caplog.text


def test_a_model_inside_a_model(tmp_path):
    _, arrays = expected()
    inner = [weight for weights in as_bert4keras(arrays).values() for weight in weights]
    layers = {"input_1": [], "model_2": inner, "head": [("head/kernel:0", np.zeros((16, 3)))]}
    source = adapted(write_layers(tmp_path / "x.h5", layers))
    assert source.shapes["head/kernel"] == (16, 3)
    same(loaded(source, tiny.CONFIG, model="bert"), arrays)


def test_tokens_that_are_kept(tmp_path):
    _, arrays = expected(with_mlm=True)
    source = adapted(write_layers(tmp_path / "x.h5", as_bert4keras(arrays)))
    kept = loaded(source, tiny.CONFIG, model="bert", with_mlm=True, keep_tokens=[0, 7, 3])
    ours = variables_by_path(kept.layers)
    for name in ("Embedding-Token/embeddings", "MLM-Bias/bias"):
        np.testing.assert_array_equal(ours[name].numpy(), arrays[name][[0, 7, 3]])


def test_sizes_are_read_from_the_shapes(tmp_path):
    _, arrays = expected()
    source = adapted(write_layers(tmp_path / "x.h5", as_bert4keras(arrays)))
    found = registry.find_model("bert")[0].infer_config(source.shapes, {})
    for key in ("hidden_size", "num_hidden_layers", "intermediate_size", "vocab_size",
                "max_position_embeddings", "type_vocab_size"):  # fmt: skip
        assert found[key] == tiny.CONFIG[key], key


def test_blocks_that_the_configuration_does_not_have_are_reported(tmp_path):
    _, arrays = expected()
    source = adapted(write_layers(tmp_path / "x.h5", as_bert4keras(arrays)))
    with pytest.raises(CheckpointMismatchError, match=r"UNEXPECTED.*Transformer-1-"):
        loaded(source, {**tiny.CONFIG, "num_hidden_layers": 1}, model="bert")


def test_a_dense_output_of_t5(tmp_path):
    kernel = np.arange(6.0).reshape(2, 3)
    layers = {
        "Embedding-Token": [("Embedding-Token/embeddings:0", np.zeros((3, 2)))],
        "Decoder-Output-LM": [("Decoder-Output-LM/kernel:0", kernel)],
    }
    read = values(adapted(write_layers(tmp_path / "x.h5", layers)))
    np.testing.assert_array_equal(read["Decoder-Output-LM/embeddings"], kernel.T)


def test_a_weight_that_is_listed_and_not_there(tmp_path):
    path = write_layers(tmp_path / "x.h5", {"a": [("a/kernel:0", np.zeros(2))]})
    with h5py.File(path, "a") as file:
        del file["a"]["a"]["kernel:0"]
    with pytest.raises(CheckpointFormatError, match="is not in it"):
        adapted(path)


# ---- what a file says of its model -------------------------------------------------------------


def described(*layers: dict) -> str:
    return json.dumps({"class_name": "Model", "config": {"name": "m", "layers": list(layers)}})


def test_settings():
    sublayer = "P-Transformer-0-MultiHeadSelfAttention"
    settings = {"name": sublayer, "heads": 12, "head_size": 64}
    attention = {"class_name": "MultiHeadAttention", "config": settings}
    settings = {"name": "P-Transformer-0-FeedForward", "activation": "gelu"}
    forward = {"class_name": "FeedForward", "config": settings}
    bytecode = {"class_name": "Lambda", "config": {"name": "f", "function": ["4wEAAAA=", None]}}
    inner = {"class_name": "Model", "config": {"name": "inner", "layers": [attention, forward]}}
    found = keras_config.settings_of(
        ["Embedding-Rotary-Position"], described(inner, bytecode), "P-"
    )
    assert found == {"model_type": "roformer", "num_attention_heads": 12,
                     "attention_head_size": 64, "hidden_act": "gelu"}  # fmt: skip


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "3", "null", '{"config": 3}', '{"config": {"layers": [3, {"config": {}}]}}',
     '{"config": {"layers": [{"class_name": 3, "config": {"name": []}}]}}',
     '{"config": {"layers": {"a": 1}}}', "[" * 100_000],
)  # fmt: skip
def test_odd_settings(text):
    assert keras_config.settings_of([], text) == {}
    assert list(keras_config.layer_names_by_group(text)) == []


def test_models_in_models_in_models():
    model = {"class_name": "Functional", "config": {"name": "m", "layers": []}}
    for _ in range(60):
        model = {"class_name": "Functional", "config": {"name": "m", "layers": [model]}}
    assert 0 < len(list(keras_config.layer_names_by_group(json.dumps(model)))) < 60


# ---- TensorFlow's format -----------------------------------------------------------------------


def test_a_graph_of_objects(tmp_path):
    _, arrays = expected(with_mlm=True)
    root = tf.train.Checkpoint()
    layers = as_bert4keras(arrays)
    attributes = {"query": "q_dense", "key": "k_dense", "value": "v_dense", "output": "o_dense",
                  "intermediate": "i0_dense"}  # fmt: skip
    for i, (layer, weights) in enumerate(layers.items()):
        holder = tf.train.Checkpoint()
        setattr(root, f"layer_with_weights-{i}", holder)
        paths = [path for path in arrays if path.split("/")[0] == layer]
        for path, (name, array) in zip(paths, weights):
            place = holder
            for part in path.split("/")[1:-1]:
                if not hasattr(place, attributes[part]):
                    setattr(place, attributes[part], tf.train.Checkpoint())
                place = getattr(place, attributes[part])
            variable = tf.Variable(array, name=name.split(":")[0])
            setattr(place, path.rsplit("/", 1)[-1], variable)
    root.optimizer = tf.train.Checkpoint(m=tf.Variable(1.0, name="Adam/m"))
    prefix = root.write(str(tmp_path / "model.weights"))
    source = GoogleCheckpoint(prefix)
    assert keras_objects.recognise(source)
    adapted_source = keras_objects.adapt(source)
    assert adapted_source.shapes.keys() == arrays.keys()
    same(loaded(adapted_source, tiny.CONFIG, model="bert", with_mlm=True), arrays)


def test_other_graphs_of_objects(tmp_path):
    prefix = tf.train.Checkpoint(a=tf.Variable(1.0, name="b/c")).write(str(tmp_path / "x"))
    source = GoogleCheckpoint(prefix)
    assert keras_objects.adapt(source) is source
    write(tmp_path / "y", {keras_objects.GRAPH_KEY: tf.constant(b"\xff\xff no graph")})
    with pytest.raises(CheckpointFormatError, match="object graph"):
        keras_objects.adapt(GoogleCheckpoint(tmp_path / "y"))
    write(tmp_path / "z", {keras_objects.GRAPH_KEY: tf.constant(3.0)})
    with pytest.raises(CheckpointFormatError, match="object graph"):
        keras_objects.adapt(GoogleCheckpoint(tmp_path / "z"))


# ---- recorded files ----------------------------------------------------------------------------


def cases():
    for path in WEIGHTS:
        name = path.parent.name
        quick = path.suffixes == [".weights"] and name in ("bert_all", "albert")
        case = "-".join((path.parts[-3][4:], name, path.name))
        yield pytest.param(path, id=case, marks=() if quick else pytest.mark.slow)


@pytest.mark.skipif(not WEIGHTS, reason="needs the shared data")
@pytest.mark.parametrize("path", list(cases()))
def test_outputs_of_bert4keras(path):
    meta = json.loads((path.parent / "meta.json").read_text())
    config = json.loads((path.parent / "bert_config.json").read_text())
    options = {**meta["build_transformer_model"]}
    options["model"] = options["model"].replace("roberta", "bert")
    if path.suffix == ".index":
        source = keras_objects.adapt(GoogleCheckpoint(path.with_suffix("")))
    else:
        source = adapted(path)
    for form in ("erf", "tanh"):
        transformer = build_transformer_model(
            {**config, "hidden_act": f"gelu_{form}"}, return_keras_model=False, **options
        )
        load_weights(transformer, source, path.name)
        recorded = np.load(path.parent / "golden.npz")
        ids = recorded["in.pad.token_ids"]
        results = transformer.model([ids, recorded["in.pad.segment_ids"]])
        results = results if isinstance(results, (list, tuple)) else [results]
        if "head/kernel" in source.shapes:  # the classifier of this file is not ours to build
            head = values(source)
            scores = results[0][:, 0].numpy() @ head["head/kernel"] + head["head/bias"]
            softmax = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
            results = [softmax]
        for i, result in enumerate(results):
            wanted = recorded[f"out.{form}.{i}"]
            real = ids != 0 if wanted.ndim == 3 else slice(None)
            assert distance(np.asarray(result)[real], wanted[real]) < 3e-5


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("b4k_keras231/nezha/model.weights", "nezha"),
        pytest.param("b4k_keras231/albert", "albert", marks=pytest.mark.slow),
        pytest.param("b4k_tfkeras215/roformer/model.h5", "roformer", marks=pytest.mark.slow),
        pytest.param("b4k_tfkeras215/bert_finetune/tfckpt.weights", "bert", marks=pytest.mark.slow),
        ("tf_h5/electra_disc", "electra"),
    ],
)
def test_by_a_path_alone(shared, name, family):
    path = shared / "golden" / "huggingface" / name
    transformer = build_transformer_model(checkpoint=path, return_keras_model=False)
    assert transformer.family == family


def test_a_file_of_another_kind(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["numbers"] = np.zeros(3)
    assert not keras_h5.recognise(H5Tensors(tmp_path / "x.h5"))
