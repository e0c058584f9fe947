"""``kerasbert hub``: facts, and files that are on this machine already."""

from __future__ import annotations

import json
import shutil

import pytest

from kerasbert import hub


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """An empty cache, and no network."""
    monkeypatch.setenv("KERASBERT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("KERASBERT_OFFLINE", "1")
    return tmp_path / "home"


@pytest.fixture
def placed(checkpoint):
    """A tiny model in the place of RBT3."""
    folder = hub.folder_of(hub.find("RBT3"))
    folder.mkdir(parents=True)
    return shutil.copy(checkpoint, folder / "chinese_rbt3_L-3_H-768_A-12.zip")


def test_list(succeed, placed):
    head, *lines = succeed("hub", "list")
    assert head.split() == ["NAME", "FAMILY", "LANGUAGE", "PARAMETERS", "LICENCE", "HERE"]
    assert [line.split()[0] for line in lines] == [model.name for model in hub.models()]
    (line,) = [line for line in lines if line.startswith("rbt3 ")]
    assert line.endswith("yes") and "39,091,594" in line
    few = succeed("hub", "list", "--family", "electra", "--licence", "apache-2.0")
    assert 1 < len(few) < len(lines)
    records = json.loads("".join(succeed("hub", "list", "--family", "electra", "--json")))
    assert {record["family"] for record in records} == {"electra"}


def test_show(succeed, placed):
    text = "\n".join(succeed("hub", "show", "hfl/rbt3"))
    for said in ("rbt3\n", "Apache-2.0", "extraction code", "@misc{", str(placed)):
        assert said in text
    record = json.loads("".join(succeed("hub", "show", "RBT3", "--json")))
    assert record["path"] == str(placed) and record["citation"]["year"] >= 2019


def test_non_commercial_licences_are_said(succeed):
    model = next(model for model in hub.models() if model.non_commercial)
    assert "not for commercial use" in "\n".join(succeed("hub", "show", model.name))


def test_download(succeed, fail, placed, tmp_path):
    assert succeed("hub", "download", "RBT3") == [str(placed)]
    copy = tmp_path / "to" / "chinese_rbt3_L-3_H-768_A-12.zip"
    command = ("hub", "download", "RBT3", "--to", tmp_path / "to")
    assert succeed(*command) == [str(copy)]
    assert copy.read_bytes() == placed.read_bytes()
    assert "--force" in fail(*command)
    assert [path.name for path in copy.parent.iterdir()] == [copy.name]


def test_a_folder_is_copied_whole(tmp_path):
    from kerasbert.cli.hub import _copy

    source = tmp_path / "a" / "model"
    (source / "x").mkdir(parents=True)
    (source / "x" / "y").write_text("1")
    target = _copy(source, tmp_path / "b", False)
    (source / "x" / "y").write_text("2")
    (target / "old").write_text("")
    assert _copy(source, tmp_path / "b", True) == target
    assert [str(p.relative_to(target)) for p in sorted(target.rglob("*"))] == ["x", "x/y"]
    assert (target / "x" / "y").read_text() == "2"
    assert _copy(source, tmp_path / "a", False) == source
    assert [path.name for path in (tmp_path / "b").iterdir()] == ["model"]


def test_what_is_not_there(fail):
    assert "Did you mean" in fail("hub", "show", "RBT33")
    assert "KERASBERT_OFFLINE" in fail("hub", "download", "RBT3")
    assert "no model has licence='Beer'" in fail("hub", "list", "--licence", "Beer")
    assert "required: ACTION" in fail("hub", status=2)


def test_names_are_models(succeed, placed):
    """Their family and settings are those of the registry."""
    lines = succeed("tokenize", "hfl/rbt3", stdin="我爱".encode())
    assert lines == ["[CLS] 我 爱 [SEP]"]
    assert succeed("info", "RBT3")[0] == placed.name
    vectors = succeed("encode", "RBT3", "--pooling", "mean", stdin=b"hello\n")
    assert len(vectors[0].split()) == 16
