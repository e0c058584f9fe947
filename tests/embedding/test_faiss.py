"""The FAISS path: exact where it is asked to be, and honest about its recall."""

from __future__ import annotations

import builtins

import numpy as np
import pytest

from kerasbert.embedding import FaissIndex, search

generator = np.random.default_rng(0)
VECTORS = generator.normal(size=(600, 8)).astype("float32")
QUERIES = generator.normal(size=(20, 8)).astype("float32")


def test_without_faiss_the_extra_is_named(monkeypatch):
    real = builtins.__import__

    def refuse(name, *args, **kwargs):
        if name == "faiss":
            raise ImportError("no faiss")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(ImportError, match=r"kerasbert\[faiss\]"):
        FaissIndex(VECTORS)


class TestWithFaiss:
    @pytest.fixture(autouse=True)
    def faiss(self):
        return pytest.importorskip("faiss")

    def test_flat_is_exact(self):
        index = FaissIndex(VECTORS, "Flat")
        scores, places = index.search(QUERIES, 5)
        expected, order = search(QUERIES, VECTORS, 5)
        np.testing.assert_array_equal(places, order)
        np.testing.assert_allclose(scores, expected, atol=1e-5)
        assert index.recall(QUERIES, VECTORS, 5) == 1

    def test_more_effort_finds_more(self):
        index = FaissIndex(VECTORS, "IVF16,Flat", effort=1)
        low = index.recall(QUERIES, VECTORS, 10)
        index.effort = 16
        assert low < index.recall(QUERIES, VECTORS, 10) == 1

    def test_a_graph_is_saved_and_loaded(self, tmp_path):
        index = FaissIndex(VECTORS)
        assert index.recall(QUERIES, VECTORS) > 0.95
        path = index.save(tmp_path / "graph.faiss")
        assert [file.name for file in tmp_path.iterdir()] == ["graph.faiss"]
        again = FaissIndex.load(path)
        assert len(again) == 600
        np.testing.assert_array_equal(again.search(QUERIES)[1], index.search(QUERIES)[1])

    def test_what_does_not_fit(self, tmp_path):
        with pytest.raises(ValueError, match="knows no index 'Graph'"):
            FaissIndex(VECTORS, "Graph")
        with pytest.raises(ValueError, match="not finite"), np.errstate(invalid="ignore"):
            FaissIndex(VECTORS * np.nan)
        index = FaissIndex(VECTORS, "Flat")
        with pytest.raises(ValueError, match="3 dimensions, the index 8"):
            index.search(QUERIES[:, :3])
        with pytest.raises(ValueError, match="made of 600 vectors, not of 10"):
            index.recall(QUERIES, VECTORS[:10])
        (tmp_path / "bad").write_bytes(b"nothing")
        with pytest.raises(ValueError, match="no FAISS index"):
            FaissIndex.load(tmp_path / "bad")
        with pytest.raises(FileNotFoundError):
            FaissIndex.load(tmp_path / "none")
