"""From a name to files: what is tried, in which order, and what is said when nothing works."""

from __future__ import annotations

import io
import logging
import sys
import tarfile
import warnings
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from kerasbert import hub
from kerasbert.checkpoints.errors import CheckpointNotFoundError
from kerasbert.hub import addresses, fetching, huggingface, registry
from kerasbert.hub.registry import Address, Archive, RecordedFile
from tests.hub.server import file, page, serving, status

MODEL = hub.find("rbt3")
CONFIG = b'{"hidden_size": 16, "num_hidden_layers": 2}'


def zipped(**files: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in {"bert_config.json": CONFIG, **files}.items():
            archive.writestr(zipfile.ZipInfo(name), content)  # with no time: always the same bytes
    return buffer.getvalue()


def tarred() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        member = tarfile.TarInfo("albert_base/albert_config.json")
        member.size = len(CONFIG)
        archive.addfile(member, io.BytesIO(CONFIG))
    return buffer.getvalue()


@pytest.fixture
def publish(monkeypatch, home):
    """Puts a model with the given archives into the registry, as ``tiny``."""
    monkeypatch.setattr(fetching, "_said", set())
    monkeypatch.setattr("kerasbert.hub.transfer.time.sleep", lambda seconds: None)

    def put(*archives: Archive, **changes) -> registry.PublishedModel:
        model = replace(MODEL, name="tiny", archives=archives, **changes)
        monkeypatch.setattr(
            registry, "get", lambda name: model if name.casefold() == "tiny" else None
        )
        return model

    return put


def packed(*found: Address, name: str = "tiny.zip", **further) -> Archive:
    return Archive(name, "zip", "TensorFlow checkpoint", found, **further)


def at(server, path: str = "tiny.zip") -> Address:
    return Address(server.url(path), "direct")


def test_a_model_is_downloaded_once(publish, home):
    with serving(file(), content=zipped()) as server:
        publish(packed(at(server)))
        path = hub.fetch("TINY")
        assert path == home / "models" / "tiny" / "tiny.zip"
        assert hub.fetch("tiny") == path
        assert len(server.requests) == 1
        hub.fetch("tiny", force=True)
    assert len(server.requests) == 2
    assert path.read_bytes() == zipped()


def test_a_name_resolves_and_a_path_does_not(publish):
    with serving(file(), content=zipped()) as server:
        publish(packed(at(server)))
        assert hub.resolve("tiny") == hub.fetch("tiny")
    assert hub.resolve("models/bert_model.ckpt") is None
    assert hub.resolve("user/name") is None


def test_an_unknown_name(publish):
    publish()
    with pytest.raises(hub.UnknownModelError):
        hub.fetch("nobody")


def test_addresses_are_tried_in_order(publish, caplog):
    with serving(status(404), file(), content=zipped()) as server:
        publish(packed(at(server, "gone.zip"), at(server, "here.zip")))
        hub.fetch("tiny")
    assert [path for path, _ in server.requests] == ["/gone.zip", "/here.zip"]
    assert "404" in caplog.text


def test_a_mirror_is_tried_first(publish, monkeypatch):
    with serving(file(), content=zipped()) as server:
        publish(packed(Address("https://storage.googleapis.com/a/tiny.zip", "direct")))
        monkeypatch.setenv("KERASBERT_MIRROR", server.url("mirror"))
        hub.fetch("tiny")
    assert server.requests[0][0] == "/mirror/storage.googleapis.com/a/tiny.zip"


def test_after_a_mirror_without_it_comes_the_address(publish, monkeypatch):
    with serving(status(404), file(), content=zipped()) as server:
        publish(packed(at(server, "a/tiny.zip")))
        monkeypatch.setenv("KERASBERT_MIRROR", server.url("mirror"))
        hub.fetch("tiny")
    assert server.requests[1][0] == "/a/tiny.zip"


@pytest.mark.parametrize(
    "content",
    [zipped()[:-30], b"PK\x03\x04" + b"x" * 200, b"something else"],
    ids=["cut", "a zip at first sight", "something else"],
)
def test_a_damaged_archive_is_deleted(publish, home, content):
    with serving(file(), content=content) as server:
        publish(packed(at(server)))
        with pytest.raises(
            hub.ModelNotAvailableError, match=r"no whole archive and is deleted: .*tiny"
        ):
            hub.fetch("tiny")
    assert not (home / "models" / "tiny" / "tiny.zip").exists()


def test_a_tar_is_checked_too(publish):
    with serving(file(), content=tarred()) as server:
        publish(packed(at(server), name="tiny.tar.gz"))
        assert hub.fetch("tiny").name == "tiny.tar.gz"
    with serving(file(), content=tarred()[:-12]) as server:
        publish(packed(at(server), name="tiny.tar.gz"))
        with pytest.raises(hub.ModelNotAvailableError):
            hub.fetch("tiny", force=True)


def test_the_archive_may_have_a_recorded_hash(publish):
    with serving(file(), content=zipped()) as server:
        publish(packed(at(server), sha256="0" * 64))
        with pytest.raises(hub.ModelNotAvailableError, match="sha256"):
            hub.fetch("tiny")


def test_another_file_than_the_recorded_one_is_said(publish, caplog):
    files = {"bert_config.json": RecordedFile("0" * 64, len(CONFIG)), "vocab.txt": RecordedFile()}
    with serving(file(), content=zipped(**{"vocab.txt": b"a"})) as server:
        publish(packed(at(server), files=files))
        assert hub.fetch("tiny").exists()
    assert "bert_config.json in tiny.zip is another file" in caplog.text
    assert "vocab.txt in" not in caplog.text


DRIVE = Address("https://drive.google.com/file/d/1aB/view", "drive")
FORM = """<html><form id="download-form" action="/download"><input type="hidden" name="id"
value="1aB"><input type="hidden" name="uuid" value="u"></form></html>"""


@pytest.fixture
def drive(monkeypatch):
    """Google Drive on this machine."""

    def point(server):
        monkeypatch.setattr(addresses, "DRIVE_DOWNLOAD", server.url("download"))
        monkeypatch.setattr(addresses, "DRIVE_HOSTS", ("127.0.0.1",))

    return point


def test_a_large_file_of_google_drive(publish, drive):
    with serving(page(FORM), file(), content=zipped()) as server:
        drive(server)
        publish(packed(DRIVE))
        assert hub.fetch("tiny").read_bytes() == zipped()
    assert [path for path, _ in server.requests] == [
        "/download?id=1aB&export=download&confirm=t",
        "/download?id=1aB&uuid=u",
    ]


def test_an_exceeded_quota_of_google_drive(publish, drive):
    quota = "<html><title>Google Drive - Quota exceeded</title></html>"
    with serving(page(quota), content=b"") as server:
        drive(server)
        publish(packed(DRIVE))
        with pytest.raises(hub.ModelNotAvailableError, match="Quota exceeded"):
            hub.fetch("tiny")


def test_google_drive_comes_last(publish, drive):
    with serving(file(), content=zipped()) as server:
        drive(server)
        publish(packed(DRIVE), packed(at(server, "other.zip"), name="other.zip"))
        hub.fetch("tiny")
    assert [path for path, _ in server.requests] == ["/other.zip"]


SHARE = Address("https://pan.baidu.com/s/1x", "share", "ab12")


def test_a_share_is_for_a_person(publish, home):
    publish(packed(SHARE))
    with pytest.raises(CheckpointNotFoundError) as caught:
        hub.fetch("tiny")
    message = str(caught.value)
    assert "https://pan.baidu.com/s/1x (extraction code ab12)" in message
    assert f"Put tiny.zip (as it is, or unpacked) into {home / 'models' / 'tiny'}" in message
    (home / "models" / "tiny").mkdir(parents=True)
    (home / "models" / "tiny" / "tiny.zip").write_bytes(zipped())
    assert hub.fetch("tiny").name == "tiny.zip"


def test_every_share_of_the_registry_says_its_code(home):
    only_by_hand = [
        model
        for model in hub.models()
        if (addresses := [a for archive in model.archives for a in archive.addresses])
        and all(address.by_hand for address in addresses)
    ]
    assert len(only_by_hand) > 8
    for model in only_by_hand:
        with pytest.raises(hub.ModelNotAvailableError) as caught:
            hub.fetch(model.name)
        message = str(caught.value)
        assert str(home / "models" / model.name) in message
        for archive in model.archives:
            for address in archive.addresses:
                assert address.url in message
                assert not address.code or address.code in message


def test_offline_nothing_is_asked_for(publish, home, monkeypatch):
    monkeypatch.setenv("KERASBERT_OFFLINE", "1")
    with serving(file(), content=zipped()) as server:
        publish(packed(at(server), SHARE))
        with pytest.raises(hub.ModelNotAvailableError, match="KERASBERT_OFFLINE") as caught:
            hub.fetch("tiny")
        assert server.requests == []
        assert server.url("tiny.zip") in str(caught.value)
        path = home / "models" / "tiny" / "tiny.zip"
        path.parent.mkdir(parents=True)
        path.write_bytes(zipped())
        assert hub.fetch("tiny") == path
        assert hub.resolve("tiny") == path
    assert server.requests == []


def test_a_model_without_an_address(publish):
    publish()
    with pytest.raises(hub.ModelNotAvailableError, match="No address of it is known"):
        hub.fetch("tiny")


def test_without_huggingface_hub_other_addresses_are_tried(publish, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    repository = Archive("u/n", "repository", "", (Address("hf://u/n", "huggingface"),))
    with serving(file(), content=zipped()) as server:
        publish(repository, packed(at(server)))
        assert hub.fetch("tiny").name == "tiny.zip"
    publish(repository)
    with pytest.raises(hub.ModelNotAvailableError, match=r"pip install 'kerasbert\[hub\]'"):
        hub.fetch("tiny", force=True)
    with pytest.raises(ImportError, match=r"kerasbert\[hub\]"):
        hub.fetch("hf://u/n")
    assert not huggingface.is_installed()


def test_a_licence_that_forbids_commerce_is_said_once(publish):
    with serving(file(), content=zipped()) as server:
        publish(packed(at(server)), licence="CC-BY-NC-4.0", non_commercial=True)
        with pytest.warns(UserWarning, match=r"CC-BY-NC-4\.0: it may not be used commercially"):
            hub.fetch("tiny")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            hub.fetch("tiny", force=True)


def test_a_licence_that_is_not_stated_is_said(publish, caplog):
    caplog.set_level(logging.WARNING)
    with serving(file(), content=zipped()) as server:
        publish(packed(at(server)), licence="not stated", licence_note="no LICENSE file")
        hub.fetch("tiny")
    assert "states no licence (no LICENSE file)" in caplog.text


def test_a_mirror_that_is_no_address_is_said(publish, monkeypatch):
    monkeypatch.setenv("KERASBERT_MIRROR", "mirror.example")
    publish(packed(Address("https://127.0.0.1:1/tiny.zip", "direct")))
    with pytest.raises(hub.ModelNotAvailableError, match="KERASBERT_MIRROR holds"):
        hub.fetch("tiny")


def test_download_of_any_file(tmp_path: Path):
    with serving(file(), content=b"abc") as server:
        path = hub.download(server.url(), tmp_path / "x.bin", size=3, progress=False)
    assert path.read_bytes() == b"abc"
