"""Where files are found, whoever put them there and whatever they are called."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from kerasbert import hub
from kerasbert.hub import cache

MODEL = hub.find("rbt3")
ARCHIVE = "chinese_rbt3_L-3_H-768_A-12.zip"


def put(path: Path, content: bytes = b"x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_nothing_is_there(home):
    assert hub.locate(MODEL) is None
    assert hub.models_folder() == home / "models"
    assert hub.folder_of(MODEL) == home / "models" / "rbt3"
    assert not home.exists()


@pytest.mark.parametrize("folder", ["rbt3", "RBT3", "chinese-rbt3", "chinese_rbt3_L-3_H-768_A-12"])
@pytest.mark.parametrize(
    "name", [ARCHIVE, ARCHIVE.upper(), "chinese_rbt3_L-3_H-768_A-12 (1).zip", "whatever.zip"]
)
def test_an_archive_that_was_put_there(home, folder, name):
    path = put(home / "models" / folder / name)
    assert hub.locate(MODEL) == path


def test_a_known_name_comes_before_others(home):
    put(home / "models" / "rbt3" / "a.zip")
    path = put(home / "models" / "rbt3" / ARCHIVE)
    assert hub.locate(MODEL) == path


def test_of_several_unknown_archives_none_is_guessed(home):
    for name in ("a.zip", "b.tar.gz"):
        put(home / "models" / "rbt3" / name)
    assert hub.locate(MODEL) is None


@pytest.mark.parametrize(
    "name",
    [
        "bert_model.ckpt.index",
        "publish/bert_model.ckpt.index",
        "model.safetensors",
        "pytorch_model.bin",
        "tf_model.h5",
        "model_state.pdparams",
        "model.pt",
        "saved_model.pb",
    ],
)
def test_files_that_lie_unpacked(home, name):
    put(home / "models" / "rbt3" / name)
    assert hub.locate(MODEL) == home / "models" / "rbt3"


@pytest.mark.parametrize(
    "name", [f"{ARCHIVE}.part", f"{ARCHIVE}.part.json", f".{ARCHIVE}.lock", "vocab.txt", ".x.zip"]
)
def test_what_is_no_model(home, name):
    put(home / "models" / "rbt3" / name)
    assert hub.locate(MODEL) is None


def test_an_archive_in_the_folder_above(home):
    path = put(home / "models" / ARCHIVE)
    put(home / "models" / "other.zip")
    assert hub.locate(MODEL) == path


def test_a_name_of_two_archives_is_not_guessed_in_the_folder_above(home):
    put(home / "models" / "cased_L-12_H-768_A-12.zip")
    assert hub.locate(hub.find("bert_base_cased")) is None
    assert hub.locate(hub.find("xlnet_base_cased")) is None


def test_two_networks_share_one_archive(home):
    path = put(home / "models" / "electra_small" / "electra_small.zip")
    assert hub.locate(hub.find("electra_small")) == path
    assert hub.locate(hub.find("electra_small_generator")) == path


def test_each_model_has_its_own_files(home):
    for model in hub.models():
        put(home / "models" / model.name / "model.zip")
    for model in hub.models():
        assert hub.locate(model) == home / "models" / model.name / "model.zip"


def test_a_file_in_place_of_the_folder(home):
    put(home / "models")
    assert hub.locate(MODEL) is None


def test_the_cache_of_the_system(monkeypatch, tmp_path):
    monkeypatch.delenv("KERASBERT_HOME")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert hub.models_folder() == tmp_path / "kerasbert" / "models"


@pytest.mark.parametrize(
    ("value", "is_offline"),
    [("1", True), ("true", True), ("0", False), ("", False), ("no", False)],
)
def test_offline(monkeypatch, value, is_offline):
    monkeypatch.setenv("KERASBERT_OFFLINE", value)
    assert cache.is_offline() == is_offline


def test_a_model_is_built_from_what_lies_there(home, tmp_path):
    from kerasbert import build_transformer_model
    from tests.tiny import write_checkpoint

    folder = write_checkpoint(tmp_path / "made").parent
    path = home / "models" / "rbt3" / ARCHIVE
    path.parent.mkdir(parents=True)
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.iterdir()):
            archive.write(file, f"publish/{file.name}")
    model = build_transformer_model(hub.fetch("RBT3"))
    assert model.output_shape == (None, None, 16)
