"""The safetensors format: every layout that is published, and nothing that is broken or hostile."""

from __future__ import annotations

import json
import logging
import re
import struct
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from kerasbert import build_transformer_model, save_weights_as_checkpoint
from kerasbert.backend import tf
from kerasbert.checkpoints import google, safetensors_file
from kerasbert.checkpoints.errors import CheckpointFormatError, CheckpointNotFoundError
from kerasbert.checkpoints.renaming import RenamedTensors, usual_names
from kerasbert.checkpoints.report import CheckpointMismatchError
from kerasbert.checkpoints.safetensors_file import SafetensorsCheckpoint
from kerasbert.checkpoints.source import find_checkpoint
from kerasbert.config import ConfigError
from tests import huggingface_cases
from tests.families import ernie, huggingface_bert, rembert, roberta
from tests.tiny import CONFIG, bert_tensors, inputs, write_checkpoint

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 411529768\n"
SHARDS = [f"model-0000{i}-of-00003.safetensors" for i in (1, 2, 3)]


def named_by_huggingface(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Google's tensors as `BertForPreTraining` stores them."""
    renamed = {}
    for name, value in tensors.items():
        if name.endswith("/kernel"):
            name, value = name.replace("/kernel", "/weight"), value.T
        for ours, theirs in (
            ("/gamma", "/weight"),
            ("/beta", "/bias"),
            ("_embeddings", "_embeddings/weight"),
            ("predictions/output_bias", "predictions/bias"),
            ("relationship/output_bias", "relationship/bias"),
            ("output_weights", "weight"),
            ("layer_", "layer/"),
        ):
            name = re.sub(f"{ours}$" if ours != "layer_" else ours, theirs, name)
        renamed[name.replace("/", ".")] = np.ascontiguousarray(value)
    return renamed


TENSORS = named_by_huggingface(bert_tensors())
TABLE = "bert.embeddings.word_embeddings.weight"


def expected(**options) -> np.ndarray:
    """What the same values give under Google's names."""
    return np.asarray(build_transformer_model(CONFIG, bert_tensors(), **options)(inputs()))


def check(checkpoint, **options) -> None:
    model = build_transformer_model(CONFIG, checkpoint, **options)
    np.testing.assert_array_equal(np.asarray(model(inputs())), expected(**options))


def write_raw(path: Path, header, body: bytes = b"") -> Path:
    """A file with any header, valid or not."""
    header = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + body)
    return path


def entry(dtype: str, shape: list, begin: int, end: int) -> dict:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def write_cast(path: Path, dtype: str, short: str) -> dict[str, np.ndarray]:
    """Writes the model in another dtype, and returns what was written."""
    cast = {name: tf.cast(value, dtype).numpy() for name, value in TENSORS.items()}
    header, body = {}, b""
    for name, value in cast.items():
        header[name] = entry(short, list(value.shape), len(body), len(body) + value.nbytes)
        body += value.tobytes()
    write_raw(path, header, body)
    return cast


@pytest.fixture
def file(tmp_path) -> Path:
    """A model in one file."""
    return huggingface_cases.write(tmp_path / "release", CONFIG, TENSORS) / "model.safetensors"


@pytest.fixture
def sharded(tmp_path) -> Path:
    """A model in three shards with an index; returns the index."""
    folder = tmp_path / "sharded"
    folder.mkdir()
    names = sorted(TENSORS)
    listed = {}
    for i, shard in enumerate(SHARDS):
        listed |= dict.fromkeys(names[i::3], shard)
        save_file({name: TENSORS[name] for name in names[i::3]}, folder / shard)
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": listed}))
    (folder / "config.json").write_text(json.dumps(CONFIG))
    return index


# ----------------------------------------------------------------------------- the reader


def test_values_are_read_as_they_are_stored(file):
    checkpoint = SafetensorsCheckpoint(file)
    assert checkpoint.shapes == {name: value.shape for name, value in TENSORS.items()}
    assert repr(checkpoint).endswith(f"{len(TENSORS)} tensors)")
    for name, value in checkpoint.read(list(TENSORS)).items():
        assert value.dtype == tf.float32
        np.testing.assert_array_equal(value.numpy(), TENSORS[name])


@pytest.mark.parametrize(
    ("dtype", "name"),
    [
        *(("float16", "F16"), ("bfloat16", "BF16"), ("float64", "F64")),
        *(("int64", "I64"), ("uint8", "U8"), ("bool", "BOOL")),
    ],
)
def test_dtypes(tmp_path, dtype, name):
    value = tf.cast([[1.5, 0.0, 2.0]], dtype)
    data = value.numpy().tobytes()
    path = write_raw(tmp_path / "a.safetensors", {"x": entry(name, [1, 3], 0, len(data))}, data)
    found = SafetensorsCheckpoint(path).read(["x"])["x"]
    assert found.dtype == value.dtype
    np.testing.assert_array_equal(found.numpy(), value.numpy())


@pytest.mark.parametrize("shape", [(1000,), (7, 30), (3, 2, 5), (400, 1)])
@pytest.mark.parametrize("dtype", ["float32", "float16", "float64", "int64", "uint8", "int32"])
def test_large_tensors_are_read_in_parts(tmp_path, monkeypatch, dtype, shape):
    monkeypatch.setattr(safetensors_file, "_LARGE", 25)
    value = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    save_file({"small": value[:1, ...].ravel()[:20], "x": value}, tmp_path / "a.safetensors")
    found = SafetensorsCheckpoint(tmp_path / "a.safetensors").read(["x", "small"])
    assert found["x"].dtype == dtype
    np.testing.assert_array_equal(found["x"].numpy(), value)
    variable = tf.Variable(found["x"])
    del found
    variable.assign_add(tf.ones(shape, dtype))  # its memory is its own
    np.testing.assert_array_equal(variable.numpy(), value + np.ones((), dtype))


def test_large_bfloat16(file, monkeypatch):
    half = write_cast(file, "bfloat16", "BF16")
    monkeypatch.setattr(safetensors_file, "_LARGE", 100)
    for name, value in SafetensorsCheckpoint(file).read(list(TENSORS)).items():
        assert value.dtype == tf.bfloat16
        np.testing.assert_array_equal(value.numpy(), half[name])


@pytest.mark.parametrize(
    ("dtype", "short"), [("float16", "F16"), ("bfloat16", "BF16"), ("float64", "F64")]
)
def test_other_floats_are_cast(tmp_path, dtype, short):
    cast = write_cast(tmp_path / "model.safetensors", dtype, short)
    model = build_transformer_model(CONFIG, tmp_path / "model.safetensors")
    table = np.asarray(model.get_layer("Embedding-Token").embeddings)
    np.testing.assert_array_equal(table, cast[TABLE].astype("float32"))


def test_shards(sharded):
    check(sharded)
    check(sharded.parent)
    check(sharded.parent / SHARDS[1])
    sharded.unlink()
    check(sharded.parent)


def test_a_shard_is_missing(sharded):
    (sharded.parent / SHARDS[2]).unlink()
    for path in (sharded, sharded.parent, sharded.parent / SHARDS[0]):
        with pytest.raises(CheckpointNotFoundError, match=r"1 of the 3 shards .* model-00003-of"):
            build_transformer_model(CONFIG, path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "weight_map"),
        ({"weight_map": {}}, "is empty"),
        ({"weight_map": []}, "is empty"),
        ([], "weight_map"),
        ({"weight_map": {"a": "../a.safetensors"}}, "no file name"),
        ({"weight_map": {"a": "/etc/passwd"}}, "no file name"),
        ({"weight_map": {"a": "pytorch_model.bin"}}, "no file name"),
        ({"weight_map": {"a": 5}}, "no file name"),
    ],
)
def test_broken_index(tmp_path, content, message):
    path = tmp_path / "model.safetensors.index.json"
    path.write_text(json.dumps(content))
    with pytest.raises(CheckpointFormatError, match=message):
        SafetensorsCheckpoint(path)


@pytest.mark.parametrize("text", [b"", b"{", b"\xff\xfe", b"[" * 100_000])
def test_index_that_is_no_json(tmp_path, text):
    path = tmp_path / "model.safetensors.index.json"
    path.write_bytes(text)
    with pytest.raises(CheckpointFormatError, match="is not the index"):
        SafetensorsCheckpoint(path)


def test_index_of_another_model(sharded):
    listed = json.loads(sharded.read_text())
    listed["weight_map"]["bert.extra.weight"] = SHARDS[0]
    sharded.write_text(json.dumps(listed))
    with pytest.raises(CheckpointFormatError, match=r"1 tensors .* 'bert\.extra\.weight'"):
        SafetensorsCheckpoint(sharded)


def test_a_tensor_in_two_shards(sharded):
    save_file({min(TENSORS): np.zeros(3)}, sharded.parent / SHARDS[2])
    with pytest.raises(CheckpointFormatError, match="and in another shard"):
        SafetensorsCheckpoint(sharded)


@pytest.mark.parametrize("name", ["model.safetensors", "model.safetensors.index.json", SHARDS[1]])
def test_git_lfs_pointers(tmp_path, name):
    folder = tmp_path / "clone"
    folder.mkdir()
    for shard in SHARDS if "of" in name else ():
        save_file({shard: np.zeros(1)}, folder / shard)
    (folder / name).write_bytes(LFS)
    for path in (folder / name, folder):
        with pytest.raises(CheckpointFormatError, match=rf"{re.escape(name)} is not .*git lfs"):
            build_transformer_model(CONFIG, path)


BROKEN = {
    "empty": b"",
    "short": b"\x01",
    "huge header": struct.pack("<Q", 2**63) + b"{}",
    "text": b"<html>not found</html>",
    "half a header": struct.pack("<Q", 50) + b'{"a":',
}
HEADERS = {
    "overflow": entry("F32", [2**40, 2**40], 0, 4),
    "negative size": entry("F32", [-1], 0, 4),
    "reversed": entry("F32", [1], 4, 0),
    "beyond the file": entry("F32", [2**30], 0, 2**32),
    "unknown dtype": entry("F99", [1], 0, 4),
    "other size": entry("F32", [2], 0, 4),
    "no offsets": {"dtype": "F32", "shape": [1]},
    "a list": [],
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
def test_broken_files(tmp_path, content):
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointFormatError, match=r"model\.safetensors \(\d+ bytes\) is damaged"):
        SafetensorsCheckpoint(path)


@pytest.mark.parametrize("tensor", HEADERS.values(), ids=HEADERS)
def test_hostile_headers(tmp_path, tensor):
    path = write_raw(tmp_path / "model.safetensors", {"a": tensor}, b"abcd")
    with pytest.raises(CheckpointFormatError, match="is damaged"):
        SafetensorsCheckpoint(path)


def test_truncated_file(file):
    data = file.read_bytes()
    for size in (4, 100, len(data) // 2, len(data) - 1):
        file.write_bytes(data[:size])
        with pytest.raises(CheckpointFormatError, match="is damaged"):
            build_transformer_model(file)


HEADER = json.dumps({"a": entry("F32", [2, 2], 0, 16), "b": entry("F16", [], 16, 18)}).encode()


@given(st.data())
def test_changed_bytes_are_an_error_or_a_tensor(tmp_path_factory, data):
    content = bytearray(struct.pack("<Q", len(HEADER)) + HEADER + bytes(18))
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=4)):
        content[place] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.just(len(content)) | st.integers(0, len(content)))]
    path = tmp_path_factory.mktemp("fuzz") / "model.safetensors"
    path.write_bytes(content)
    try:
        checkpoint = SafetensorsCheckpoint(path)
        found = checkpoint.read(list(checkpoint.shapes))
    except CheckpointFormatError:
        return
    assert {name: tuple(value.shape) for name, value in found.items()} == checkpoint.shapes


def test_quantised_models_are_refused(tmp_path):
    path = write_raw(tmp_path / "q.safetensors", {"a": entry("F8_E4M3", [4], 0, 4)}, b"abcd")
    checkpoint = SafetensorsCheckpoint(path)
    with pytest.raises(CheckpointFormatError, match="'a' as F8_E4M3, as quantised models do"):
        checkpoint.read(["a"])


def test_tied_copies_that_the_metadata_notes(tmp_path):
    """`safetensors.torch.save_model` keeps whichever name comes first in the alphabet."""
    path = tmp_path / "model.safetensors"
    left = {"lm_head.decoder.weight": np.ones((2, 3))}
    note = {"format": "pt", "roberta.table": "lm_head.decoder.weight", "x": "no such tensor"}
    save_file(left, path, metadata=note)
    checkpoint = SafetensorsCheckpoint(path)
    assert checkpoint.shapes == {"roberta.table": (2, 3), "lm_head.decoder.weight": (2, 3)}
    np.testing.assert_array_equal(checkpoint.read(["roberta.table"])["roberta.table"], 1)


def test_several_threads_read_at_once(file):
    checkpoint = SafetensorsCheckpoint(file)
    groups = [list(TENSORS)[i::5] for i in range(5)] * 4
    with ThreadPoolExecutor(4) as pool:
        for names, found in zip(groups, pool.map(checkpoint.read, groups)):
            for name in names:
                np.testing.assert_array_equal(found[name].numpy(), TENSORS[name])


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_no_file_stays_mapped(file):
    """Mapped pages count as memory of the process: the weights would be there twice."""
    checkpoint = SafetensorsCheckpoint(file)
    checkpoint.read(list(TENSORS))
    assert str(file) not in Path("/proc/self/maps").read_text()


# ----------------------------------------------------------------------------- finding


def test_what_is_found(file):
    for path in (file, file.parent):
        found = find_checkpoint(path)
        assert (found.weights, found.prefix) == (file, None)
        assert found.config == CONFIG
    assert find_checkpoint(file).name == "release/model.safetensors"


def test_archive(file, tmp_path, monkeypatch):
    monkeypatch.setenv("KERASBERT_HOME", str(tmp_path / "home"))
    with zipfile.ZipFile(tmp_path / "release.zip", "w") as archive:
        archive.write(file, "release/model.safetensors")
        archive.write(file.with_name("config.json"), "release/config.json")
    check(tmp_path / "release.zip")


def test_a_tensorflow_checkpoint_comes_first(file, caplog):
    write_checkpoint(file.parent)
    with caplog.at_level(logging.INFO):
        found = find_checkpoint(file.parent)
    assert found.prefix == str(file.with_name("bert_model.ckpt"))
    assert "a TensorFlow checkpoint is taken, model.safetensors is not" in caplog.text
    assert find_checkpoint(file).weights == file


def test_the_upper_folder_comes_first(file):
    write_checkpoint(file.parent / "tensorflow")
    assert find_checkpoint(file.parent).weights == file


def test_several_files(file):
    for name in ("model.fp16.safetensors", "other.safetensors"):
        file.with_name(name).write_bytes(file.read_bytes())
    assert find_checkpoint(file.parent).weights == file
    file.unlink()
    with pytest.raises(CheckpointNotFoundError, match=r"holds 2 safetensors files.*\n.*fp16"):
        find_checkpoint(file.parent)


def test_the_folder_with_the_configuration(tmp_path):
    """As sentence-transformers saved models, with a projection in a folder of its own."""
    huggingface_cases.write(tmp_path / "st" / "0_Transformer", CONFIG, TENSORS)
    huggingface_cases.write(tmp_path / "st" / "2_Dense", {"in_features": 4}, {"linear": np.ones(2)})
    assert find_checkpoint(tmp_path / "st").weights.parent.name == "0_Transformer"


# ----------------------------------------------------------------------------- names


def rename(function):
    return {function(name): value for name, value in TENSORS.items()}


def old(name: str) -> str:
    if "LayerNorm" not in name:
        return name
    return name.replace(".weight", ".gamma").replace(".bias", ".beta")


VARIANTS = {
    "as published": TENSORS,
    "old names": rename(old),
    "DataParallel": rename("module.{}".format),
    "compiled, in Lightning": rename("model._orig_mod.{}".format),
    "old names, wrapped": rename(lambda name: f"module.{old(name)}"),
    "buffers": {
        **TENSORS,
        "bert.embeddings.position_ids": np.arange(20)[None],
        "bert.embeddings.token_type_ids": np.zeros((1, 20), "int64"),
    },
    "tied copies": {
        **TENSORS,
        "cls.predictions.decoder.weight": TENSORS[TABLE],
        "cls.predictions.decoder.bias": TENSORS["cls.predictions.bias"],
    },
}
BODY = {name[len("bert.") :]: value for name, value in TENSORS.items() if name.startswith("bert.")}


@pytest.mark.parametrize("tensors", VARIANTS.values(), ids=VARIANTS)
def test_variants_of_names(tmp_path, tensors):
    check(huggingface_cases.write(tmp_path / "model", CONFIG, tensors), with_mlm=True)


@pytest.mark.parametrize("prefix", ["", "auto_model.", "0.auto_model."])
def test_a_body_saved_alone(tmp_path, prefix):
    tensors = {prefix + name: value for name, value in BODY.items()}
    check(huggingface_cases.write(tmp_path / "model", CONFIG, tensors), with_pool=True)


@pytest.mark.parametrize(
    "head",
    [
        {"classifier.weight": np.zeros((3, 16)), "classifier.bias": np.zeros(3)},
        {"qa_outputs.weight": np.zeros((2, 16)), "qa_outputs.bias": np.zeros(2)},
    ],
)
def test_heads_of_fine_tuned_models_are_left_out(head):
    check({**TENSORS, **head})


def test_usual_names():
    assert usual_names(["a.LayerNorm.gamma", "a.LayerNorm.beta"]) == {
        "a.LayerNorm.weight": "a.LayerNorm.gamma",
        "a.LayerNorm.bias": "a.LayerNorm.beta",
    }
    both = ["x.gamma", "x.weight"]  # no layer normalisation
    assert usual_names(both) == dict(zip(both, both))
    one_of_two = ["module.a", "b"]
    assert usual_names(one_of_two) == dict(zip(one_of_two, one_of_two))
    google_names = list(bert_tensors())
    assert usual_names(google_names) == dict(zip(google_names, google_names))
    assert usual_names([]) == {}


@given(st.lists(st.text("ab.gmt", min_size=1, max_size=12), unique=True, max_size=6))
def test_every_tensor_keeps_one_name(names):
    renamed = usual_names(names)
    assert sorted(renamed.values()) == sorted(names)


def test_renamed_tensors_are_read_under_their_new_names(file):
    source = RenamedTensors(SafetensorsCheckpoint(file), {"table": TABLE})
    assert source.shapes == {"table": (50, 16)}
    np.testing.assert_array_equal(source.read(["table"])["table"], TENSORS[TABLE])


# ----------------------------------------------------------------------------- loading


def test_without_a_configuration_the_sizes_are_those_of_the_tensors(file):
    file.with_name("config.json").unlink()
    built = build_transformer_model(checkpoint=file, num_attention_heads=4)
    np.testing.assert_array_equal(np.asarray(built(inputs())), expected())


def test_first_blocks_and_kept_tokens():
    check(TENSORS, num_hidden_layers=1)
    keep = list(range(0, 50, 2))
    model = build_transformer_model(CONFIG, TENSORS, keep_tokens=keep, with_mlm=True)
    table = np.asarray(model.get_layer("Embedding-Token").embeddings)
    np.testing.assert_array_equal(table, TENSORS[TABLE][keep])
    bias = np.asarray(model.get_layer("MLM-Bias").bias)
    np.testing.assert_array_equal(bias, TENSORS["cls.predictions.bias"][keep])


def test_into_a_built_model_and_out_in_googles_format(file, tmp_path):
    heads = {"with_nsp": True, "with_mlm": True}
    transformer = build_transformer_model(CONFIG, return_keras_model=False, **heads)
    transformer.load_weights_from_checkpoint(file.parent)
    prefix = save_weights_as_checkpoint(transformer, tmp_path / "google" / "bert_model.ckpt")
    saved = google.GoogleCheckpoint(prefix).read()
    assert saved.keys() == bert_tensors().keys()
    for name, value in bert_tensors().items():
        np.testing.assert_array_equal(saved[name].numpy(), value)


@pytest.mark.parametrize(
    ("change", "options", "hint"),
    [
        ({"vocab_size": 60}, {}, "vocabulary sizes differ.*pass vocab_size=50"),
        ({"num_hidden_layers": 1}, {}, "the file has 2 blocks.*to load all, 2"),
        ({}, {"model": "electra"}, "look like those of the family 'bert'"),
    ],
)
def test_hints(change, options, hint):
    with pytest.raises(CheckpointMismatchError, match=hint):
        build_transformer_model({**CONFIG, **change}, TENSORS, **options)


@pytest.mark.parametrize(
    ("part", "head"),
    [("cls.seq", "with_nsp"), ("cls.predictions", "with_mlm"), ("bert.pooler", "with_pool")],
)
def test_hint_on_a_missing_head(part, head):
    tensors = {name: value for name, value in TENSORS.items() if not name.startswith(part)}
    with pytest.raises(CheckpointMismatchError, match=rf"this file has no .*Build without {head}"):
        build_transformer_model(CONFIG, tensors, **{head: True})


def test_merged_rows_of_the_report():
    tensors = {name: value for name, value in TENSORS.items() if "self.key.bias" not in name}
    with pytest.raises(CheckpointMismatchError, match=r"bert\.encoder\.layer\.\{0-1\}\.attention"):
        build_transformer_model(CONFIG, tensors)


def test_untied_output_tables_are_refused():
    untied = {**CONFIG, "tie_word_embeddings": False}
    with pytest.raises(ConfigError, match="tie_word_embeddings"):
        build_transformer_model(untied, TENSORS, with_mlm=True)
    build_transformer_model(untied, TENSORS)


# ----------------------------------------------------------------------------- recorded


RECORDED = [
    pytest.param(case, {} if family is not huggingface_bert else {"model": "bert"}, id=str(case))
    for family in (huggingface_bert, roberta, rembert, ernie)
    for case in family.golden_cases()
    if case.record.name == "model.safetensors"
]


def test_some_cases_are_committed():
    committed = [case.values[0].name for case in RECORDED if "tests" in case.values[0].folder.parts]
    assert len(committed) >= 4


@pytest.mark.parametrize(("case", "options"), RECORDED)
def test_key_biases_are_loaded_by_value(case, options):
    """No output shows them."""
    tensors = load_file(case.record)
    transformer = build_transformer_model(case.record, return_keras_model=False, **options)
    for i in range(transformer.config.num_hidden_layers):
        (name,) = (name for name in tensors if name.endswith(f"layer.{i}.attention.self.key.bias"))
        layer = transformer.layers[f"Transformer-{i}-MultiHeadSelfAttention"]
        np.testing.assert_array_equal(np.asarray(layer.key.bias), tensors[name])
        assert np.abs(tensors[name]).max() > 0


def test_truncated_published_file(shared):
    path = shared / "golden" / "huggingface" / "hf" / "bert_formats" / "truncated.safetensors"
    with pytest.raises(CheckpointFormatError, match="Download it again"):
        build_transformer_model(path)
