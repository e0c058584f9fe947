"""An index is saved whole, loaded exactly, and refuses what it did not write."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from kerasbert.embedding import VectorIndex, search
from kerasbert.embedding.index import IndexFormatError, StoredTexts

VECTORS = np.random.default_rng(0).normal(size=(20, 5)).astype("float32")
TEXTS = [f"文本 {i}" for i in range(18)] + ["", "\ud800"]  # a lone surrogate too


@pytest.fixture
def saved(tmp_path):
    return VectorIndex(VECTORS, TEXTS).save(tmp_path / "questions.safetensors")


@pytest.mark.parametrize("in_memory", [False, True])
def test_what_is_saved_is_loaded(saved, in_memory):
    index = VectorIndex.load(saved, in_memory)
    assert len(index) == 20 and list(index.texts) == TEXTS
    assert index.texts[-3:] == TEXTS[-3:] and index.texts[2] == TEXTS[2]
    np.testing.assert_array_equal(index.vectors, VectorIndex(VECTORS).vectors)
    assert isinstance(index.vectors, np.memmap) != in_memory
    assert index.vectors.ctypes.data % 64 == 0 or in_memory
    for ours, theirs in zip(index.search(VECTORS[:4], 3), search(VECTORS[:4], VECTORS, 3)):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)
    assert "20 vectors of 5, with texts" in repr(index)


def test_without_texts_and_empty(tmp_path):
    path = VectorIndex(VECTORS).save(tmp_path / "a")
    assert VectorIndex.load(path).texts is None
    path = VectorIndex(np.zeros((0, 5)), []).save(path)
    assert len(VectorIndex.load(path)) == 0 and list(VectorIndex.load(path).texts) == []


def test_adding():
    index = VectorIndex(VECTORS[:15], TEXTS[:15])
    index.add(VECTORS[15:], TEXTS[15:])
    np.testing.assert_array_equal(index.vectors, VectorIndex(VECTORS).vectors)
    assert list(index.texts) == TEXTS
    with pytest.raises(ValueError, match="for all vectors of an index or for none"):
        index.add(VECTORS)
    with pytest.raises(ValueError, match="have 4 dimensions"):
        index.add(VECTORS[:, :4], TEXTS)


def test_a_loaded_index_grows_and_replaces_its_own_file(saved):
    index = VectorIndex.load(saved)
    index.add(VECTORS[:2], ["x", "y"])
    index.save(saved)
    assert VectorIndex.load(saved).texts[-2:] == ["x", "y"]


def test_saving_is_whole_or_not_at_all(saved, monkeypatch):
    before = saved.read_bytes()

    def fail(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(KeyboardInterrupt):
        VectorIndex(VECTORS[:3]).save(saved)
    assert saved.read_bytes() == before and len(list(saved.parent.iterdir())) == 1


@pytest.mark.parametrize(
    "vectors, texts, error, message",
    [
        (VECTORS, TEXTS[:3], ValueError, "20 vectors, but 3 texts"),
        (VECTORS[:2], ["a", 5], TypeError, r"texts\[1\] must be a str"),
        (np.array([[0.0, 1.0], [np.nan, 0.0]]), None, ValueError, "vector 1 holds numbers"),
        (np.zeros(0), None, ValueError, "must be vectors"),
    ],
)
def test_what_does_not_fit(vectors, texts, error, message):
    with pytest.raises(error, match=message), np.errstate(invalid="ignore"):
        VectorIndex(vectors, texts)


# Files of others.


def rewrite(path, change):
    """Writes a valid safetensors file with changed arrays or metadata."""
    arrays, metadata = load_file(path), {"format": "kerasbert-vector-index", "version": "1"}
    change(arrays, metadata)
    save_file(arrays, path, metadata)


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda a, m: m.update(format="model"), "no index of vectors of version 1"),
        (lambda a, m: m.update(version="2"), "no index of vectors of version 1"),
        (lambda a, m: a.pop("vectors"), "must hold 'vectors'"),
        (lambda a, m: a.pop("texts"), "must hold 'texts'"),
        (lambda a, m: a.update(vectors=a["vectors"].astype("f8")), "must hold 'vectors' as F32"),
        (lambda a, m: a.update(vectors=a["vectors"].ravel()), "as F32 of rank 2"),
        (lambda a, m: a.update(vectors=a["vectors"][:3].copy()), "another number of texts"),
        (lambda a, m: a.update(vectors=a["vectors"] * 2), "not of length 1"),
        (lambda a, m: a.update(vectors=a["vectors"] * np.float32(np.nan)), "not of length 1"),
        (lambda a, m: a.update(text_ends=a["text_ends"][::-1].copy()), "one after the other"),
        (lambda a, m: a.update(text_ends=a["text_ends"] + 10**12), "one after the other"),
        (lambda a, m: a.update(text_ends=a["text_ends"] - 50), "one after the other"),
    ],
)
def test_a_file_of_another_content_is_refused(saved, change, message):
    rewrite(saved, change)
    with pytest.raises(IndexFormatError, match=message):
        VectorIndex.load(saved)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x80\x04K\x01.", b"\xff" * 40])
def test_a_file_of_another_format_is_refused(tmp_path, content):
    path = tmp_path / "index"
    path.write_bytes(content)
    with pytest.raises(IndexFormatError, match="no index of vectors, or it is damaged"):
        VectorIndex.load(path)


def test_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        VectorIndex.load(tmp_path / "none")


def test_a_truncated_file_is_refused(saved):
    content = saved.read_bytes()
    for size in (4, 20, len(content) // 2, len(content) - 1):
        saved.write_bytes(content[:size])
        with pytest.raises(IndexFormatError):
            VectorIndex.load(saved)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(place=st.integers(0, 700), value=st.integers(0, 255))
def test_any_changed_byte_is_refused_or_harmless(saved, place, value):
    content = bytearray(saved.read_bytes())
    content[place % len(content)] = value
    path = saved.with_name("changed")
    path.write_bytes(bytes(content))
    try:
        index = VectorIndex.load(path)
    except IndexFormatError:
        return
    assert len(index.search(VECTORS[:1], 3)[0][0]) == 3
    for at in range(len(index.texts or ())):
        try:
            assert isinstance(index.texts[at], str)
        except UnicodeDecodeError:
            continue


@given(st.lists(st.text()))
def test_stored_texts(texts):
    stored = StoredTexts.of(texts)
    assert list(stored) == texts and len(stored) == len(texts)
    assert stored[1:] == texts[1:]
    if texts:
        assert stored[-1] == texts[-1]
    with pytest.raises(IndexError):
        stored[len(texts)]


def test_the_header_is_plain_json(saved):
    content = saved.read_bytes()
    size = int.from_bytes(content[:8], "little")
    assert (8 + size) % 64 == 0
    assert set(json.loads(content[8 : 8 + size])) == {
        "__metadata__",
        "vectors",
        "text_ends",
        "texts",
    }
