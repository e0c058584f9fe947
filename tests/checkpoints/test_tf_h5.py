"""``tf_model.h5`` of Hugging Face: its names, and every recorded file against its PyTorch twin."""

from __future__ import annotations

import json
import sys

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerasbert.backend import keras
from kerasbert.checkpoints import tf_h5_names
from kerasbert.checkpoints.errors import CheckpointFormatError
from kerasbert.checkpoints.h5_file import H5Tensors
from kerasbert.checkpoints.loading import ArrayTensors
from kerasbert.checkpoints.safetensors_file import SafetensorsCheckpoint
from kerasbert.models.extraction import variables_by_path
from tests import tiny
from tests.golden_cases import SHARED, distance
from tests.h5_cases import adapted, loaded, values
from tests.huggingface_cases import ATOL, HEADS

FOLDERS = sorted(SHARED.glob("huggingface/tf_h5*/*/tf_model.h5"))
NEED_FOLDERS = pytest.mark.skipif(not FOLDERS, reason="needs the shared data")


@pytest.fixture(autouse=True)
def here(monkeypatch):
    """The listing in this process, which takes less time."""
    monkeypatch.setattr(sys, "executable", "")


def name_of(path) -> str:
    return "-".join(path.parts[-3:-1])


@pytest.mark.parametrize(
    ("stored", "name", "transposed"),
    [
        ("bert/tf_x/bert/embeddings/word_embeddings/weight:0",
         "bert.embeddings.word_embeddings.weight", False),
        ("bert/tf_x_1/bert/encoder/layer_._11/attention/self/query/kernel:0",
         "bert.encoder.layer.11.attention.self.query.weight", True),
        ("bert/tf_x/bert/encoder/layer_._0/output/LayerNorm/gamma:0",
         "bert.encoder.layer.0.output.LayerNorm.weight", False),
        ("mlm___cls/tf_x/mlm___cls/predictions/bias:0", "cls.predictions.bias", False),
        ("nsp___cls/tf_x/nsp___cls/seq_relationship/kernel:0", "cls.seq_relationship.weight", True),
        ("albert/tf_x/albert/encoder/albert_layer_groups_._0/albert_layers_._1/ffn/bias:0",
         "albert.encoder.albert_layer_groups.0.albert_layers.1.ffn.bias", False),
        ("shared/shared/shared/embeddings:0", "shared.weight", False),
        ("decoder/tf_x/decoder/block_._1/layer_._2/DenseReluDense/wi_0/kernel:0",
         "decoder.block.1.layer.2.DenseReluDense.wi_0.weight", True),
        ("transformer/tf_x/transformer/mask_emb:0", "transformer.mask_emb", False),
        ("transformer/tf_x/transformer/layer_._0/rel_attn/q:0",
         "transformer.layer.0.rel_attn.q", False),
        ("dense_3/dense_3/kernel:0", "dense_3.weight", True),  # a user's
    ],
)  # fmt: skip
def test_names(stored, name, transposed):
    assert tf_h5_names.pytorch_name(stored) == (name, transposed)


@pytest.mark.parametrize(
    ("stored", "name"),
    [
        (
            "bert/encoder/layer_._0/output/dense/kernel:0",
            "bert.encoder.layer.0.output.dense.weight",
        ),
        ("shared/embeddings:0", "shared.weight"),
        ("mlm___cls/predictions/bias:0", "cls.predictions.bias"),
    ],
)
def test_names_in_shards(stored, name):
    assert tf_h5_names.pytorch_name(stored, inside_layers=False)[0] == name


def test_copies_and_contradictions():
    table, other = np.ones((3, 2)), np.zeros((3, 2))
    block = {"bert/tf_x/bert/encoder/layer_._0/output/dense/bias:0": np.ones(2)}
    own = "bert/tf_x/bert/embeddings/word_embeddings/weight:0"
    copy = "a_head/tf_x/bert/embeddings/word_embeddings/weight:0"
    source = ArrayTensors({copy: other, own: table, **block})
    assert tf_h5_names.recognise(source)
    read = values(tf_h5_names.adapt(source))
    np.testing.assert_array_equal(read["bert.embeddings.word_embeddings.weight"], table)
    with pytest.raises(CheckpointFormatError, match="two tensors of the file"):
        tf_h5_names.adapt(ArrayTensors({copy: other[:2], own: table, **block}))


@given(st.lists(st.text("_./ab:0", min_size=1, max_size=12), min_size=1, unique=True))
def test_any_names(names):
    source = ArrayTensors({name: np.zeros(2) for name in names})
    tf_h5_names.recognise(source)
    assert tf_h5_names.adapt(source).shapes


BODY = {
    "bert/embeddings/word_embeddings/weight": "bert/embeddings/word_embeddings",
    "bert/embeddings/token_type_embeddings/embeddings": "bert/embeddings/token_type_embeddings",
    "bert/embeddings/position_embeddings/embeddings": "bert/embeddings/position_embeddings",
}


def tensorflow_names(arrays: dict) -> dict:
    """A BERT's tensors as Hugging Face's TensorFlow model names them, without scopes."""
    stored = {new: old for old, new in BODY.items()}
    found = {}
    for name, array in arrays.items():
        if name.startswith("bert/"):
            name = stored.get(name, name.replace("layer_", "layer_._"))
            found[f"{name}:0"] = array
    return found


@pytest.mark.parametrize("form", ["one", "shards", "safetensors"])
def test_a_model_of_each_form(tmp_path, form):
    arrays = tiny.bert_tensors()
    stored = tensorflow_names(arrays)
    if form == "one":
        path = tmp_path / "tf_model.h5"
        with h5py.File(path, "w") as file:
            for name, array in stored.items():
                file[f"bert/tf_bert_model/{name}"] = array
            file["classifier/tf_bert_model/classifier/kernel:0"] = np.zeros((16, 3))
        source = adapted(path)
    elif form == "shards":
        listed = {}
        for i, part in enumerate((list(stored)[:5], list(stored)[5:]), 1):
            name = f"tf_model-0000{i}-of-00002.h5"
            listed.update({f"tf_bert_model/{tensor}": name for tensor in part})
            with h5py.File(tmp_path / name, "w") as file:
                file.attrs["layer_names"] = [tensor.encode() for tensor in part]
                for tensor in part:
                    file[tensor] = stored[tensor]
        path = tmp_path / "tf_model.h5.index.json"
        path.write_text(json.dumps({"metadata": {}, "weight_map": listed}))
        source = adapted(path)
    else:  # transformers wrote these as well, "format": "tf"
        source = tf_h5_names.adapt(ArrayTensors(stored))
    transformer = loaded(source, tiny.CONFIG, model="bert", with_pool=True)
    expected = loaded(ArrayTensors(arrays), tiny.CONFIG, model="bert", with_pool=True)
    ours = variables_by_path(transformer.layers)
    for path, variable in variables_by_path(expected.layers).items():
        np.testing.assert_array_equal(ours[path].numpy(), variable.numpy(), err_msg=path)


# ---- recorded files ----------------------------------------------------------------------------


@NEED_FOLDERS
@pytest.mark.parametrize("path", FOLDERS, ids=name_of)
def test_every_weight_is_that_of_the_pytorch_file(path):
    ours = values(adapted(path))
    folder = SHARED / "huggingface" / "hf" / path.parent.name
    theirs = values(SafetensorsCheckpoint(folder / "model.safetensors"))
    roots = {name.split(".")[0] for name in ours}
    bare = not roots & {name.split(".")[0] for name in theirs}  # a body that was saved alone
    root = f"{roots.pop()}." if bare else ""
    for name, array in theirs.items():
        mine = ours[root + name]
        assert mine.dtype == array.dtype
        np.testing.assert_array_equal(mine, array, err_msg=name)


def encoder_cases():
    """Files that BERT-like models are built of; all but one of each version are slow."""
    unlike = ("t5", "mt5", "xlnet", "rembert")
    for path in FOLDERS:
        if not path.parent.name.startswith(unlike):
            quick = path.parent.name == "bert_pretraining"
            marks = () if quick else pytest.mark.slow
            yield pytest.param(path, id=name_of(path), marks=marks)


@NEED_FOLDERS
@pytest.mark.parametrize("path", list(encoder_cases()))
def test_outputs(path):
    config = json.loads((path.parent / "config.json").read_text())
    recorded = np.load(path.parent / "golden.npz")
    inputs = {key[7:]: recorded[key] for key in recorded.files if key.startswith("in.pad.")}
    outputs = {key[8:]: recorded[key] for key in recorded.files if key.startswith("out.pad.")}
    model = config["model_type"].replace("xlm-", "xlm_")
    heads = {HEADS[name]: name for name in outputs if name in HEADS}
    options = {head: True if head == "with_pool" else "linear" for head in heads}
    if path.parent.name == "electra_gen":
        model = "electra_generator"
    if path.parent.name.startswith("electra_disc"):
        options["with_discriminator"], heads["with_discriminator"] = "linear", "rtd_logits"
    transformer = loaded(adapted(path), config, model=model, with_attention_mask=True, **options)
    ids = inputs["input_ids"]
    by_input = {"Input-Token": ids, "Input-Mask": inputs["attention_mask"],
                "Input-Segment": inputs.get("token_type_ids", np.zeros_like(ids))}  # fmt: skip
    given_inputs = [by_input[x.name.split(":")[0]] for x in transformer.model.inputs]
    results = keras.Model(
        transformer.model.inputs, [transformer.hidden_states, *transformer.outputs]
    )(given_inputs)
    if "hidden_states" in outputs:
        assert distance(results[0], outputs["hidden_states"][-1]) < ATOL
    order = ("with_pool", "with_nsp", "with_mlm", "with_discriminator")
    for result, head in zip(results[1:], [head for head in order if head in heads]):
        expected = outputs[heads[head]]
        assert distance(np.reshape(result, expected.shape), expected) < 1e-4, head


@pytest.mark.slow
@NEED_FOLDERS
@pytest.mark.parametrize("name", ["t5", "mt5", "rembert_mlm", "xlnet_lm"])
def test_other_families_have_the_weights_of_the_pytorch_file(shared, name):
    folder = shared / "golden" / "huggingface"
    config = json.loads((folder / "hf" / name / "config.json").read_text())
    model = {"xlnet_lm": "xlnet", "rembert_mlm": "rembert"}.get(name, "t5")
    options = {"with_mlm": True} if model in ("xlnet", "rembert") else {}
    if name == "mt5":
        options["tie_word_embeddings"] = False
    sources = (
        adapted(folder / "tf_h5" / name / "tf_model.h5"),
        SafetensorsCheckpoint(folder / "hf" / name / "model.safetensors"),
    )
    ours, theirs = (
        variables_by_path(loaded(source, config, model=model, **options).layers)
        for source in sources
    )
    assert ours.keys() == theirs.keys()
    for path, variable in theirs.items():
        np.testing.assert_array_equal(ours[path].numpy(), variable.numpy(), err_msg=path)


def test_a_listing_without_layers(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["numbers"] = np.zeros(3)
    assert not tf_h5_names.recognise(H5Tensors(tmp_path / "x.h5"))
