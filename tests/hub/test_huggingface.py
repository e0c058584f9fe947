"""Repositories of Hugging Face, with a hub on this machine."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerasbert import hub
from kerasbert.hub import huggingface
from tests.hub.server import serving

SHA = "a" * 40
FILES = {
    "config.json": b'{"model_type": "bert"}',
    "vocab.txt": b"[PAD]\n",
    "model.safetensors": b"weights",
    "pytorch_model.bin": b"the same weights",
    "README.md": b"words",
    "onnx/model.onnx": b"other weights",
}


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("hf://user/name", ("user/name", None, None)),
        ("hf://user/name/", ("user/name", None, None)),
        ("hf://user/na.me-1_2@main", ("user/na.me-1_2", "main", None)),
        ("hf://user/name@refs%2Fpr%2F1", ("user/name", "refs/pr/1", None)),
        ("hf://user/name/model.safetensors", ("user/name", None, "model.safetensors")),
        ("hf://user/name@v1/a/b.bin", ("user/name", "v1", "a/b.bin")),
        ("hf://gpt2", ("gpt2", None, None)),
    ],
)
def test_addresses(address, expected):
    found = huggingface.parse(address)
    assert (found.name, found.revision, found.file) == expected


@pytest.mark.parametrize(
    "address", ["hf://", "hf://a b/c", "hf://u/n/../x", "hf://u/n//x", "hf://u/n@", "https://u/n"]
)
def test_what_is_no_address(address):
    with pytest.raises(ValueError, match="hf://user/name@revision"):
        huggingface.parse(address)


@given(st.text(max_size=30))
def test_any_address_is_read_or_refused(text):
    try:
        found = huggingface.parse("hf://" + text)
    except ValueError:
        return
    assert ".." not in (found.file or "").split("/")


def chosen(*names: str, file: str | None = None) -> list[str]:
    return huggingface.choose_files(names, file)


def test_one_kind_of_weights_is_chosen():
    found = chosen(
        *FILES, "tokenizer_config.json", "spiece.model", "tf_model.h5", "flax_model.msgpack"
    )
    assert found == [
        *("config.json", "model.safetensors", "spiece.model", "tokenizer_config.json", "vocab.txt")
    ]


def test_shards_come_together():
    shards = [f"model-0000{i}-of-00002.safetensors" for i in (1, 2)]
    index = "model.safetensors.index.json"
    assert chosen("config.json", *shards, index) == ["config.json", *shards, index]
    assert chosen("config.json", *shards, index, file=index) == ["config.json", *shards, index]


@pytest.mark.parametrize(
    "names",
    [
        ["pytorch_model.bin"],
        ["tf_model.h5"],
        ["model_state.pdparams"],
        ["bert_model.ckpt.data-00000-of-00001", "bert_model.ckpt.index"],
        ["adapter.safetensors"],
    ],
)
def test_weights_of_other_kinds(names):
    assert chosen("README.md", *names) == names


def test_a_file_that_was_asked_for():
    names = ("config.json", "a/config.json", "a/x.bin", "model.safetensors")
    assert chosen(*names, file="a/x.bin") == ["a/config.json", "a/x.bin"]


@pytest.mark.parametrize(
    ("names", "file"), [(["README.md"], None), (["x.bin"], "y.bin"), ([], None)]
)
def test_nothing_to_choose(names, file):
    with pytest.raises(hub.DownloadError, match="It holds: "):
        chosen(*names, file=file)


def answer(handler, content: bytes) -> None:
    """A hub with one repository, ``user/name``."""
    path = unquote(urlsplit(handler.path).path)
    if "/gated/" in path:
        handler.head(403, X_Error_Code="GatedRepo", Content_Length=0)
        return
    if not path.startswith(("/api/models/user/name", "/user/name/resolve/")):
        handler.head(404, X_Error_Code="RepoNotFound", Content_Length=0)
        return
    revision = path.removeprefix("/api/models/user/name/revision/")
    if path.startswith("/api") and "/tree/" in path:
        body = [
            {"type": "file", "path": name, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}
            for name, data in FILES.items()
        ]
    elif path.startswith("/api"):
        if revision not in (path, "main", SHA):
            handler.head(404, X_Error_Code="RevisionNotFound", Content_Length=0)
            return
        siblings = [{"rfilename": name} for name in FILES]
        body = {"id": "user/name", "modelId": "user/name", "sha": SHA, "siblings": siblings}
    else:
        data = FILES[path.split("/resolve/")[1].split("/", 1)[1]]
        etag = f'"{hashlib.sha1(data).hexdigest()}"'
        handler.head(200, Content_Length=len(data), ETag=etag, X_Repo_Commit=SHA)
        if handler.command == "GET":
            handler.wfile.write(data)
        return
    data = json.dumps(body).encode()
    handler.head(200, Content_Type="application/json", Content_Length=len(data))
    if handler.command == "GET":
        handler.wfile.write(data)


@pytest.fixture
def store(tmp_path, monkeypatch) -> Path:
    """Hugging Face's cache."""
    constants = pytest.importorskip("huggingface_hub.constants")
    folder = tmp_path / "store"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder))
    monkeypatch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    return folder


@pytest.fixture
def local_hub(store, monkeypatch):
    with serving(answer, content=b"") as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url("").rstrip("/"))
        yield server


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_snapshot_of_what_is_read(local_hub, store):
    folder = hub.fetch("hf://user/name")
    assert store in folder.parents
    assert names_in(folder) == {"config.json", "vocab.txt", "model.safetensors"}
    assert (folder / "model.safetensors").read_bytes() == b"weights"
    assert hub.fetch(f"hf://user/name@{SHA}") == folder
    file = hub.fetch("hf://user/name@main/pytorch_model.bin")
    assert file.read_bytes() == b"the same weights"


def test_without_the_network_the_cache_is_used(local_hub, monkeypatch):
    folder = hub.fetch("hf://user/name")
    asked = len(local_hub.requests)
    for name in ("KERASBERT_OFFLINE", "HF_HUB_OFFLINE"):
        monkeypatch.setenv(name, "1")
        assert hub.fetch("hf://user/name") == folder
        with pytest.raises(hub.ModelNotAvailableError, match="forbids the network"):
            hub.fetch("hf://user/other")
        monkeypatch.delenv(name)
    assert len(local_hub.requests) == asked


def test_a_hub_that_is_gone_leaves_the_cache(local_hub, monkeypatch, caplog):
    folder = hub.fetch("hf://user/name")

    def gone(self, *arguments, **options):
        raise OSError("no connection")

    monkeypatch.setattr("huggingface_hub.HfApi.list_repo_files", gone)
    assert hub.fetch("hf://user/name") == folder
    assert "what the cache holds is used" in caplog.text
    with pytest.raises(hub.DownloadError, match="no connection"):
        hub.fetch("hf://user/other")


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("hf://user/none", "no such repository, or it is private"),
        ("hf://user/name@none", "no such revision"),
        ("hf://gated/name", "licence must be accepted"),
        ("hf://user/name/none.bin", "holds no file 'none.bin'"),
    ],
)
def test_refusals(local_hub, address, message):
    with pytest.raises(hub.DownloadError, match=message):
        hub.fetch(address)


def test_a_name_of_the_registry(local_hub, home, monkeypatch):
    from kerasbert.hub import registry
    from kerasbert.hub.registry import Address, Archive
    from tests.hub.test_fetch import replace

    archive = Archive("user/name", "repository", "", (Address("hf://user/name", "huggingface"),))
    model = replace(hub.find("rbt3"), name="tiny", archives=(archive,))
    monkeypatch.setattr(registry, "get", lambda name: model)
    folder = hub.fetch("tiny")
    assert "model.safetensors" in names_in(folder)
    asked = len(local_hub.requests)
    assert hub.fetch("tiny") == folder
    assert len(local_hub.requests) == asked  # its weights are what they were
    monkeypatch.setenv("KERASBERT_OFFLINE", "1")
    assert hub.fetch("tiny") == folder
