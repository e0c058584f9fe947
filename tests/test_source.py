"""Finding prefix, config and vocabulary in every shape in which checkpoints are published."""

import io
import json
import logging
import re
import shutil
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from kerasbert import hub
from kerasbert.checkpoints import google
from kerasbert.checkpoints.errors import CheckpointFormatError, CheckpointNotFoundError
from kerasbert.checkpoints.formats import FORMATS
from kerasbert.checkpoints.loading import open_tensors
from kerasbert.checkpoints.source import find_checkpoint
from tests import pickles

SHARED = Path(__file__).resolve().parents[2] / "shared"
GOLDEN = SHARED / "golden" / "google"
PUBLISHED = SHARED / "published" / "published.json"

CONFIG = {"hidden_size": 4, "num_hidden_layers": 1, "vocab_size": 3}
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 411529768\n"
DATA = ".data-00000-of-00001"
WEIGHTS = {"bert/embeddings/word_embeddings": np.arange(12, dtype="float32").reshape(3, 4)}


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("KERASBERT_HOME", str(tmp_path / "home"))


@pytest.fixture(scope="session")
def pair(tmp_path_factory):
    """The bytes of a real, tiny checkpoint: (index, data). Its name is not part of them."""
    prefix = google.write(tmp_path_factory.mktemp("tiny") / "x", WEIGHTS)
    return Path(prefix + ".index").read_bytes(), Path(prefix + DATA).read_bytes()


@pytest.fixture
def content(pair):
    """What stands in a file of this name."""

    def of(name):
        name = name.rsplit("/", 1)[-1]
        if name.endswith(".index"):
            return pair[0]
        if ".data-" in name:
            return pair[1]
        if name == "tokenizer_config.json":
            return b'{"do_lower_case": false, "model_max_length": 512}'
        if name == "special_tokens_map.json":
            return b'{"pad_token": "[PAD]"}'
        if name in ("vocab.json", "tokenizer.json"):
            return b'{"hidden_size": "##size", "a": 1}'
        if name.endswith(".json"):
            return json.dumps({**CONFIG, "file": name}).encode()
        if name == "checkpoint":
            return b'model_checkpoint_path: "/cns/yo-d/home/albert/exported/model.ckpt-best"\n'
        return b"[PAD]\n[UNK]\n[CLS]\n"

    return of


@pytest.fixture
def build(tmp_path, content):
    """Makes a folder, zip or tar.gz of the listed files and returns its path."""

    def make(names, kind="folder", name="release", **replaced):
        files = {n: replaced.get(n.rsplit("/", 1)[-1], content(n)) for n in names}
        if kind == "folder":
            for file, data in files.items():
                path = tmp_path / name / file
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
            return tmp_path / name
        path = tmp_path / f"{name}.{kind}"
        if kind == "zip":
            with zipfile.ZipFile(path, "w") as archive:
                for file, data in files.items():
                    archive.writestr(file, data)
        else:
            with tarfile.open(path, "w:gz") as archive:
                for file, data in files.items():
                    info = tarfile.TarInfo(file)
                    info.size = len(data)
                    archive.addfile(info, io.BytesIO(data))
        return path

    return make


def names(found):
    return (
        found.prefix and Path(found.prefix).name,
        found.config_path and found.config_path.name,
        found.vocab_path and found.vocab_path.name,
    )


def weights_of(found):
    return google.GoogleCheckpoint(found.prefix).read()


# ----------------------------------------------------------------------------- every shape

BERT = ["bert_model.ckpt" + DATA, "bert_model.ckpt.index", "bert_config.json", "vocab.txt"]

SHAPES = {  # what is in it, and the prefix, config and vocabulary to be found
    "flat, no meta": (BERT, "bert_model.ckpt", "bert_config.json", "vocab.txt"),
    "folder, meta": (
        [f"chinese_L-12_H-768_A-12/{n}" for n in [*BERT, "bert_model.ckpt.meta"]],
        *("bert_model.ckpt", "bert_config.json", "vocab.txt"),
    ),
    "publish": ([f"publish/{n}" for n in BERT], "bert_model.ckpt", "bert_config.json", "vocab.txt"),
    "nested twice": (
        [f"a/b/{n}" for n in BERT],
        "bert_model.ckpt",
        "bert_config.json",
        "vocab.txt",
    ),
    "macOS": (
        [*(f"publish/{n}" for n in BERT), "publish/.DS_Store"]
        + [f"__MACOSX/publish/._{n}" for n in BERT],
        *("bert_model.ckpt", "bert_config.json", "vocab.txt"),
    ),
    "Google ALBERT": (
        [f"albert_base/{n}" for n in ("model.ckpt-best" + DATA, "model.ckpt-best.index")]
        + ["albert_base/model.ckpt-best.meta", "albert_base/checkpoint"]
        + [
            f"albert_base/{n}" for n in ("albert_config.json", "30k-clean.model", "30k-clean.vocab")
        ],
        *("model.ckpt-best", "albert_config.json", "30k-clean.model"),
    ),
    "Google ALBERT zh": (
        [f"albert_base/{n}" for n in ("model.ckpt-best" + DATA, "model.ckpt-best.index")]
        + [f"albert_base/{n}" for n in ("albert_config.json", "vocab_chinese.txt")],
        *("model.ckpt-best", "albert_config.json", "vocab_chinese.txt"),
    ),
    "BioBERT": (
        ["b/model.ckpt-1000000" + DATA, "b/model.ckpt-1000000.index", "b/bert_config.json"]
        + ["b/vocab.txt"],
        *("model.ckpt-1000000", "bert_config.json", "vocab.txt"),
    ),
    "BERTimbau": (
        ["bert_model.ckpt-1000000" + DATA, "bert_model.ckpt-1000000.index", "bert_config.json"],
        *("bert_model.ckpt-1000000", "bert_config.json", None),
    ),
    "RBT4": (
        ["bert_model.ckpt" + DATA, "bert_model.ckpt.index", "bert_config_rbt4.json", "vocab.txt"],
        *("bert_model.ckpt", "bert_config_rbt4.json", "vocab.txt"),
    ),
    "MacBERT": (
        ["chinese_macbert_base.ckpt" + DATA, "chinese_macbert_base.ckpt.index"]
        + ["macbert_base_config.json", "vocab.txt"],
        *("chinese_macbert_base.ckpt", "macbert_base_config.json", "vocab.txt"),
    ),
    "ELECTRA": (
        ["electra_small" + DATA, "electra_small.index", "discriminator.json", "generator.json"]
        + ["vocab.txt", "checkpoint"],
        *("electra_small", "discriminator.json", "vocab.txt"),
    ),
    "HFL ELECTRA": (
        ["electra_180g_base.ckpt" + DATA, "electra_180g_base.ckpt.index", "vocab.txt"]
        + ["base_generator_config.json", "base_discriminator_config.json"],
        *("electra_180g_base.ckpt", "base_discriminator_config.json", "vocab.txt"),
    ),
    "ELECTRA without json": (
        ["e/electra_large" + DATA, "e/electra_large.index", "e/vocab.txt"],
        *("electra_large", None, "vocab.txt"),
    ),
    "XLNet": (
        ["x/xlnet_model.ckpt" + DATA, "x/xlnet_model.ckpt.index", "x/xlnet_config.json"]
        + ["x/spiece.model"],
        *("xlnet_model.ckpt", "xlnet_config.json", "spiece.model"),
    ),
    "NEZHA": (
        ["model.ckpt" + DATA, "model.ckpt.index", "bert_config.json", "vocab.txt"],
        *("model.ckpt", "bert_config.json", "vocab.txt"),
    ),
    "TF-Hub export": (
        ["variables/variables" + DATA, "variables/variables.index", "saved_model.pb"]
        + ["tfhub_module.pb", "assets/albert_config.json", "assets/30k-clean.model"],
        *("variables", "albert_config.json", "30k-clean.model"),
    ),
    "foreign jsons": (
        [*BERT, "tokenizer_config.json", "special_tokens_map.json", "vocab.json", "tokenizer.json"]
        + ["config.json"],
        *("bert_model.ckpt", "bert_config.json", "vocab.txt"),
    ),
    "config above": (
        ["bert_config.json", "vocab.txt", "weights/m.ckpt" + DATA, "weights/m.ckpt.index"],
        *("m.ckpt", "bert_config.json", "vocab.txt"),
    ),
    "older ones below": (
        [*BERT, "old/bert_model.ckpt" + DATA, "old/bert_model.ckpt.index", "old/bert_config.json"],
        *("bert_model.ckpt", "bert_config.json", "vocab.txt"),
    ),
    "one beside a config": (
        [f"good/{n}" for n in BERT] + ["slots/adam.ckpt" + DATA, "slots/adam.ckpt.index"],
        *("bert_model.ckpt", "bert_config.json", "vocab.txt"),
    ),
    "an index of something else": (
        [*BERT, "faiss.index"],
        *("bert_model.ckpt", "bert_config.json", "vocab.txt"),
    ),
    "odd vocabulary name": (
        ["m.ckpt" + DATA, "m.ckpt.index", "bert_config.json", "my_vocab_8021.txt", "README.txt"],
        *("m.ckpt", "bert_config.json", "my_vocab_8021.txt"),
    ),
}


@pytest.mark.parametrize("kind", ["folder", "zip", "tar.gz"])
@pytest.mark.parametrize("shape", SHAPES)
def test_finds_every_shape(build, shape, kind):
    files, *expected = SHAPES[shape]
    path = build(files, kind)
    found = find_checkpoint(str(path))
    assert names(found) == tuple(expected)
    assert found.name == path.name
    assert list(weights_of(found)) == list(WEIGHTS)
    if expected[1]:
        assert found.config["file"] == expected[1]
        assert found.config_path in found.configs
    else:
        assert found.config is None and found.configs == ()
    assert find_checkpoint(config=path) == found, "as the only argument, under either name"


def test_electra_gives_both_configs(build):
    files, *_ = SHAPES["HFL ELECTRA"]
    found = find_checkpoint(build(files))
    assert [path.name for path in found.configs] == [
        "base_discriminator_config.json",
        "base_generator_config.json",
    ]


@pytest.mark.parametrize(
    "given",
    [
        "bert_model.ckpt",
        "bert_model.ckpt.index",
        "bert_model.ckpt" + DATA,
        "bert_model.ckpt.meta",  # need not exist
        "checkpoint",
        "",
    ],
)
@pytest.mark.parametrize("kind", [str, Path])
def test_every_way_to_name_a_prefix(build, given, kind):
    folder = build([*BERT, "checkpoint"])
    found = find_checkpoint(kind(folder / given))
    assert found.prefix == str(folder / "bert_model.ckpt")
    assert found.config["file"] == "bert_config.json"
    assert found.vocab_path == folder / "vocab.txt"


def test_relative_paths_and_home(build, monkeypatch):
    folder = build(BERT)
    monkeypatch.chdir(folder)
    assert find_checkpoint("bert_model.ckpt").prefix == str(folder / "bert_model.ckpt")
    assert find_checkpoint(".").prefix == str(folder / "bert_model.ckpt")
    monkeypatch.setenv("HOME", str(folder.parent))
    found = find_checkpoint("~/release/bert_model.ckpt", "~/release/bert_config.json")
    assert found.prefix == str(folder / "bert_model.ckpt")


def test_odd_folder_names(build):
    path = build(BERT, name="模型 [旧] *?")
    found = find_checkpoint(path)
    assert list(weights_of(found)) == list(WEIGHTS)


def test_prefix_and_folder_of_one_name(build):
    folder = build(["electra" + DATA, "electra.index", *(f"electra/{n}" for n in BERT)])
    assert find_checkpoint(folder / "electra").prefix == str(folder / "electra")
    found = find_checkpoint(f"{folder}/electra/")
    assert found.prefix == str(folder / "electra" / "bert_model.ckpt")


def test_saved_model_file_and_prefix(build):
    folder = build(SHAPES["TF-Hub export"][0])
    for given in ("saved_model.pb", "variables/variables"):
        found = find_checkpoint(folder / given)
        assert names(found) == ("variables", "albert_config.json", "30k-clean.model")


def test_a_prefix_does_not_take_the_config_of_the_folder_above(build):
    folder = build(["bert_config.json", "weights/m.ckpt" + DATA, "weights/m.ckpt.index"])
    assert find_checkpoint(folder / "weights" / "m.ckpt").config is None


def test_dict_of_arrays():
    found = find_checkpoint(WEIGHTS, CONFIG)
    assert found.tensors is WEIGHTS
    assert found.config == CONFIG and found.config is not CONFIG
    assert found.prefix is None
    assert found.name == "a dict of 1 arrays"
    assert find_checkpoint(WEIGHTS).config is None
    for bad in ({}, {1: 2}):
        with pytest.raises(ValueError, match="variable names as its keys"):
            find_checkpoint(bad)


# ----------------------------------------------------------------------------------- config


def test_config_given_apart(build):
    weights = build(["m.ckpt" + DATA, "m.ckpt.index"], name="weights")
    other = build(["my_config.json", "vocab.txt"], name="other")
    for config in (other, other / "my_config.json", build(["a/my_config.json"], "zip", "config")):
        found = find_checkpoint(weights, config)
        assert found.config["file"] == "my_config.json"
        assert found.prefix == str(weights / "m.ckpt")
    assert find_checkpoint(weights, other).vocab_path == other / "vocab.txt"
    assert find_checkpoint(weights, CONFIG).config == CONFIG


def test_a_given_config_wins(build):
    folder = build(BERT)
    found = find_checkpoint(folder, {"hidden_size": 9})
    assert found.config == {"hidden_size": 9}
    assert found.config_path is None


def test_config_without_weights(build):
    folder = build(["bert_config.json", "vocab.txt"])
    found = find_checkpoint(None, folder / "bert_config.json")
    assert names(found) == (None, "bert_config.json", "vocab.txt")
    assert find_checkpoint(config=CONFIG).config == CONFIG
    with pytest.raises(ValueError, match="neither a checkpoint nor a config"):
        find_checkpoint()


def test_a_folder_without_weights_is_not_taken_for_a_config(build):
    with pytest.raises(CheckpointNotFoundError, match="holds neither a TensorFlow checkpoint"):
        find_checkpoint(config=build(["bert_config.json"]))


def test_byte_order_mark(build):
    folder = build(BERT, **{"bert_config.json": b"\xef\xbb\xbf" + json.dumps(CONFIG).encode()})
    assert find_checkpoint(folder).config == CONFIG


@pytest.mark.parametrize(
    "text", [b"", b"{", b"[1]", b"\xff\xfe", b"<html>", b"[" * 100_000, b'{"hidden_size": 4,}']
)
def test_broken_config(build, text):
    folder = build(BERT, **{"bert_config.json": text})
    for arguments in ((folder,), (folder, folder / "bert_config.json")):
        with pytest.raises(CheckpointFormatError, match=r"bert_config.json is not a model config"):
            find_checkpoint(*arguments)


def test_several_configs(build):
    weights = ["m.ckpt" + DATA, "m.ckpt.index"]
    folder = build([*weights, "albert_config_tiny.json", "albert_config_large.json"])
    with pytest.raises(CheckpointNotFoundError, match="2 different configurations") as caught:
        find_checkpoint(folder)
    assert str(folder / "albert_config_large.json") in str(caught.value)
    found = find_checkpoint(folder, folder / "albert_config_tiny.json")
    assert found.config["file"] == "albert_config_tiny.json"


def test_several_configs_that_say_the_same(build):
    same = {f"{n}.json": json.dumps(CONFIG).encode() for n in ("a_config", "b_config")}
    folder = build(["m.ckpt" + DATA, "m.ckpt.index", *same], **same)
    assert find_checkpoint(folder).config == CONFIG


# ------------------------------------------------------------------------- several prefixes

STEPS = [f"model.ckpt-{step}{end}" for step in (9, 10, 200) for end in (".index", DATA)]


def test_several_checkpoints_are_not_guessed(build):
    folder = build([*STEPS, "bert_config.json"])
    with pytest.raises(CheckpointNotFoundError, match="holds 3 checkpoints") as caught:
        find_checkpoint(folder)
    listed = str(caught.value).splitlines()[1:]
    assert [Path(line.strip()).name for line in listed] == [
        "model.ckpt-9",
        "model.ckpt-10",
        "model.ckpt-200",
    ]
    assert find_checkpoint(listed[1].strip()).prefix == str(folder / "model.ckpt-10")


@pytest.mark.parametrize("path", ["model.ckpt-10", "/root/elsewhere/model.ckpt-10"])
def test_state_file_of_a_training_folder(build, caplog, path):
    state = f'model_checkpoint_path: "{path}"\nall_model_checkpoint_paths: "model.ckpt-9"\n'
    folder = build([*STEPS, "bert_config.json", "checkpoint"], checkpoint=state.encode())
    with caplog.at_level(logging.WARNING):
        assert find_checkpoint(folder).prefix == str(folder / "model.ckpt-10")
    assert "holds 3 checkpoints; taking model.ckpt-10" in caplog.text


@pytest.mark.parametrize("state", [b"", b"\xff\xfe\0", b'model_checkpoint_path: "model.ckpt-7"'])
def test_state_file_that_does_not_help(build, state):
    with pytest.raises(CheckpointNotFoundError, match="holds 3 checkpoints"):
        find_checkpoint(build([*STEPS, "checkpoint"], checkpoint=state))


def test_several_folders(build):
    folder = build([f"{size}/{n}" for size in ("base", "large") for n in BERT])
    with pytest.raises(CheckpointNotFoundError, match="holds 2 checkpoints"):
        find_checkpoint(folder)
    assert find_checkpoint(folder / "large").prefix == str(folder / "large" / "bert_model.ckpt")


# ------------------------------------------------------------------------------ what is wrong


def test_nothing_there(build):
    folder = build(BERT)
    with pytest.raises(
        CheckpointNotFoundError, match=r"no checkpoint at .*bert_modle.ckpt"
    ) as caught:
        find_checkpoint(folder / "bert_modle.ckpt")
    assert "Found in" in str(caught.value) and "vocab.txt" in str(caught.value)
    assert "Near names: bert_model.ckpt" in str(caught.value)
    assert isinstance(caught.value, FileNotFoundError)
    with pytest.raises(CheckpointNotFoundError, match=r"folder .* does not exist"):
        find_checkpoint(folder / "a" / "b" / "bert_model.ckpt")


@pytest.mark.parametrize("name", ["bert-base-chinese", "google-bert/bert-base-chinese"])
def test_names_of_published_models(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointNotFoundError, match=r"bert_base_chinese[^*]*KERASBERT_OFFLINE"):
        find_checkpoint(name)
    where = hub.folder_of(hub.find(name))
    google.write(where / "chinese_L-12_H-768_A-12" / "bert_model.ckpt", WEIGHTS)
    found = find_checkpoint(name)
    assert found.prefix.endswith("chinese_L-12_H-768_A-12/bert_model.ckpt")
    assert found.published.name == "bert_base_chinese"
    shutil.rmtree(where)
    (tmp_path / name).mkdir(parents=True)
    with pytest.raises(CheckpointNotFoundError, match="is empty"):  # what is on the disk counts
        find_checkpoint(name)


def test_what_a_trainer_leaves_beside_the_weights_is_none(tmp_path):
    arrays = {"a.weight": np.ones(2, "float32")}
    for name in ("model.bin", "optimizer.pt", "rng_state_0.pth", "training_args.bin"):
        pickles.save(tmp_path / name, arrays)
    assert find_checkpoint(tmp_path).weights.name == "model.bin"


STARTS = (b"\x80\x02", b"PK\x03\x04", b"\x89HDF\r\n\x1a\n", b"\x08\0\0\0\0\0\0\0{", b"<html>")


@pytest.mark.parametrize("suffix", [suffix for each in FORMATS for suffix in each.suffixes])
def test_a_file_of_a_few_bytes_is_an_error(tmp_path, suffix):
    """However short, and whatever it begins like: one error, alone and in a folder."""
    path = tmp_path / "release" / f"model{suffix}"
    path.parent.mkdir()
    for start in STARTS:
        for size in range(len(start) + 1):
            path.write_bytes(start[:size])
            for given in (path, path.parent):
                with pytest.raises((CheckpointFormatError, CheckpointNotFoundError)):
                    open_tensors(find_checkpoint(given))


def test_an_archive_in_an_archive(tmp_path):
    inner, outer = io.BytesIO(), tmp_path / "outer.zip"
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("vocab.txt", "[PAD]")
    with zipfile.ZipFile(outer, "w") as archive:
        archive.writestr("model.zip", inner.getvalue())
    with pytest.raises(CheckpointNotFoundError, match=r"model\.zip in it is an archive itself"):
        find_checkpoint(outer)


def test_unknown_names():
    with pytest.raises(CheckpointNotFoundError, match=r"no name .*\(like bert_base_chinese"):
        find_checkpoint("bert_base_chinse")


@pytest.mark.parametrize("address", ["https://x.org/bert.zip", "gs://bucket/bert_model.ckpt"])
def test_addresses(address):
    with pytest.raises(CheckpointNotFoundError, match="is an address"):
        find_checkpoint(address)


@pytest.mark.parametrize("text", ["", " ", "a\0b"])
def test_no_path_at_all(text):
    with pytest.raises(CheckpointNotFoundError, match="is no path"):
        find_checkpoint(text)


@pytest.mark.parametrize("source", [5, b"bert_model.ckpt", ["a"]])
def test_wrong_types(source):
    with pytest.raises(TypeError):
        find_checkpoint(source)


def test_config_is_not_there(build):
    folder = build(BERT)
    with pytest.raises(
        CheckpointNotFoundError, match=r"no config at .*Near names: bert_config.json"
    ):
        find_checkpoint(folder, folder / "bert_confg.json")
    with pytest.raises(CheckpointNotFoundError, match="holds no model configuration"):
        find_checkpoint(folder, build(["vocab.txt"], name="empty"))


def test_index_or_data_alone(build):
    folder = build(["a.ckpt" + DATA, "b.ckpt.index"])
    with pytest.raises(CheckpointNotFoundError, match=r"a.ckpt.index does not"):
        find_checkpoint(folder / ("a.ckpt" + DATA))
    found = find_checkpoint(folder / "b.ckpt")
    with pytest.raises(CheckpointNotFoundError, match=r"its data files .* do not"):
        google.GoogleCheckpoint(found.prefix)


@pytest.mark.parametrize(
    ("file", "kind"),
    [
        ("tf_model.h5", "HDF5"),
        ("model.keras", "neither a zip nor"),
        ("pytorch_model.bin", "PyTorch"),
        ("model.PT", "PyTorch"),
        ("model_state.pdparams", "Paddle"),
        ("model.onnx", "ONNX file, a format that is not read"),
        ("model.npz", "dict of arrays, which is accepted"),
        ("bert_config.json", "is a configuration, not weights"),
        ("model.weights.json", "shards of weights that Keras 3 saved"),
        ("vocab.txt", "no checkpoint that is known"),
    ],
)
def test_other_formats(build, file, kind):
    folder = build([file])
    with pytest.raises(CheckpointFormatError, match=kind):
        find_checkpoint(folder / file)


def test_folder_of_another_format(build):
    folder = build(["pytorch_model.bin", "config.json"])
    with pytest.raises(CheckpointFormatError, match=r"pytorch_model\.bin .*is no file of"):
        find_checkpoint(folder)
    folder = build(["model.onnx", "config.json"], name="other")
    with pytest.raises(CheckpointNotFoundError, match=r"model\.onnx\. There is an ONNX file"):
        find_checkpoint(folder)


def test_a_web_page_that_was_saved_as_the_file(build):
    folder = build(["model.bin"])
    (folder / "model.bin").write_text("\n<!DOCTYPE html><title>Sign in</title>")
    with pytest.raises(CheckpointFormatError, match="is a web page, not weights"):
        find_checkpoint(folder / "model.bin")


def test_empty_folder(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointNotFoundError, match="empty is empty"):
        find_checkpoint(tmp_path / "empty")


@pytest.mark.parametrize("file", ["bert_model.ckpt.index", "bert_config.json", "vocab.txt"])
@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_git_lfs_pointers(build, file, kind):
    with pytest.raises(CheckpointFormatError, match=rf"{re.escape(file)} is not .*git lfs pull"):
        find_checkpoint(build(BERT, kind, **{file: LFS}))


def test_git_lfs_pointers_in_data_and_archive(build):
    found = find_checkpoint(build(BERT, **{"bert_model.ckpt" + DATA: LFS}))
    with pytest.raises(CheckpointFormatError, match=r"data-00000-of-00001 is not .*git lfs pull"):
        google.GoogleCheckpoint(found.prefix)
    archive = build([], "zip")
    archive.write_bytes(LFS)
    with pytest.raises(CheckpointFormatError, match="git lfs pull"):
        find_checkpoint(archive)


def test_truncated_archive(build):
    path = build(BERT, "zip")
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(CheckpointFormatError, match="damaged or truncated"):
        find_checkpoint(path)


def test_too_many_files(build, monkeypatch):
    from kerasbert.checkpoints import folders

    monkeypatch.setattr(folders, "_MAX_FILES", 3)
    with pytest.raises(CheckpointNotFoundError, match="more than 3 files"):
        find_checkpoint(build(BERT))


# ------------------------------------------------------------------- what lies beside us


@pytest.mark.skipif(not GOLDEN.is_dir(), reason="golden files of the original code not present")
@pytest.mark.parametrize(
    "path",
    [
        "bert_zip/chinese_L-12_H-768_A-12.zip",
        "bert_zip_flat/chinese_wwm_ext_L-12_H-768_A-12.zip",
        "albert_tar/albert_base_v2.tar.gz",
        "albert_hub/albert_base_hub.tar.gz",
        "electra_small",
        "electra_base/electra_base",
        "bert_finetuned_classifier",
        "nezha_relative/model.ckpt-900000" + DATA,
    ],
)
def test_golden(path):
    found = find_checkpoint(GOLDEN / path)
    assert found.config and found.vocab_path
    case = json.loads((GOLDEN / path.split("/")[0] / "case.json").read_text())
    shapes = google.GoogleCheckpoint(found.prefix).shapes
    assert found.prefix.endswith(case["checkpoint"].split(" : ")[-1])
    assert {name: list(shape) for name, shape in shapes.items()} == case["variables"]


def published():
    if not PUBLISHED.is_file():
        return []
    return json.loads(PUBLISHED.read_text(encoding="utf-8"))["checkpoints"]


def real_names(patterns):
    """The file names that a list in published.json stands for (it holds notes and wildcards)."""
    for pattern in patterns:
        name = re.sub(r"\s*\(.*\)$", "", pattern).rstrip("?")
        name = name.replace("albert_config_*", "albert_config_base")
        if name.endswith(".ckpt.*"):
            yield from (name[:-2] + ".index", name[:-2] + DATA)
        else:
            yield name


@pytest.mark.skipif(not PUBLISHED.is_file(), reason="list of published checkpoints not present")
def test_every_published_file_list(build):
    """All entries with a file list, as the archive or folder that they are published as."""
    found_tf = 0
    for number, entry in enumerate(published()):
        archive = entry.get("archive") or {}
        files = list(real_names(archive.get("files") or []))
        prefixes = {name[: -len(DATA)] for name in files if name.endswith(DATA)}
        files += [f"{p}.index" for p in prefixes if f"{p}.index" not in files]
        inner = re.sub(r"\s*\(.*\)$", "", archive.get("inner_folder") or "")
        config = json.dumps(entry.get("config") or CONFIG).encode()
        configs = [n for n in files if n.endswith(".json")]
        kind = {"zip": "zip", "tar.gz": "tar.gz", "tar.gz?": "tar.gz"}.get(archive.get("format"))
        if not files:
            continue
        path = build(
            [f"{inner}/{n}" if inner else n for n in files],
            kind or "folder",
            f"entry{number}",
            **{n.rsplit("/", 1)[-1]: config for n in configs},
        )
        if not prefixes:
            with pytest.raises((CheckpointNotFoundError, CheckpointFormatError)):
                find_checkpoint(path)  # what would be weights is a few words here
            continue
        found = find_checkpoint(path)
        vocabs = [n for n in files if n.endswith((".txt", ".model"))]
        assert Path(found.prefix).name == Path(next(iter(prefixes))).name, entry["name"]
        assert (found.config_path is not None) == bool(configs), entry["name"]
        assert not configs or found.config == json.loads(config), entry["name"]
        assert found.vocab_path.name == Path(vocabs[0]).name, entry["name"]
        assert list(weights_of(found)) == list(WEIGHTS)
        found_tf += 1
    assert found_tf == 107, "all TensorFlow 1 entries with a file list; the other five have none"
