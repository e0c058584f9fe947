"""Approximate search in large corpora with FAISS, and how much of the exact result it finds."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np

from kerasbert.embedding import search as searching

_ROWS = 65_536  # vectors that are added at once


class FaissIndex:
    """Vectors in a FAISS index, searched by their cosine, fast and approximately::

        index = FaissIndex(vectors)                          # kerasbert[faiss]
        print(index.recall(queries, vectors, top_k=10))      # say it with every result
        scores, places = encoder.search(texts, index, top_k=10)

    Args:
        vectors: floating (number, dimension); may be a memory-mapped file.
        description: FAISS' own: "HNSW32,Flat" (a graph: fast, all vectors in memory),
            "IVF1024,Flat" (clusters), "IVF1024,PQ64" (compressed: less memory, less recall),
            "Flat" (exact).
        effort: how much is looked at: neighbours kept in a graph (efSearch), or clusters searched
            (nprobe). More is slower and finds more.
        training: most vectors that clusters are learned from.

    Attributes:
        faiss_index: the FAISS object.

    Raises:
        ImportError: FAISS is not installed.
        ValueError: not vectors, not finite, or a description that FAISS does not know.
    """

    def __init__(
        self,
        vectors: np.ndarray,
        description: str = "HNSW32,Flat",
        effort: int = 64,
        training: int = 200_000,
    ):
        faiss = _faiss()
        vectors = searching.check_vectors(vectors, "vectors")
        try:
            self.faiss_index = faiss.index_factory(
                vectors.shape[1], description, faiss.METRIC_INNER_PRODUCT
            )
        except RuntimeError as error:
            raise ValueError(f"FAISS knows no index {description!r}: {error}") from error
        self.effort = effort
        if not self.faiss_index.is_trained:
            step = max(1, len(vectors) // training)
            self.faiss_index.train(_unit(vectors[::step]))
        for start in range(0, len(vectors), _ROWS):
            self.faiss_index.add(_unit(vectors[start : start + _ROWS]))

    def __len__(self) -> int:
        return self.faiss_index.ntotal

    @property
    def effort(self) -> int:
        """How much is looked at in a search."""
        return self._effort

    @effort.setter
    def effort(self, value: int) -> None:
        self._effort = searching.check_top_k(value)
        for name in ("efSearch", "nprobe"):
            try:
                _faiss().ParameterSpace().set_index_parameter(self.faiss_index, name, value)
            except RuntimeError:  # an index has one of them at most
                continue

    def search(self, queries: np.ndarray, top_k: int = 10) -> tuple[np.ndarray, np.ndarray]:
        """The most similar vectors that are found.

        Args:
            queries: floating (queries, dimension), or one vector (dimension,).
            top_k: how many for each.

        Returns:
            Cosines, float32 (queries, top_k), the highest first, and the numbers of the vectors,
            int64. Where fewer are found the last are -inf and -1.
        """
        queries = searching.check_vectors(queries, "queries")
        if queries.shape[1] != self.faiss_index.d:
            raise ValueError(
                f"queries have {queries.shape[1]} dimensions, the index {self.faiss_index.d}."
            )
        top_k = min(searching.check_top_k(top_k), max(1, len(self)))
        scores, places = self.faiss_index.search(_unit(queries), top_k)
        return np.where(places < 0, -np.inf, scores).astype(np.float32), places

    def recall(self, queries: np.ndarray, vectors: np.ndarray, top_k: int = 10) -> float:
        """The share of the exact result that this index finds, from 0 to 1.

        Args:
            queries: floating (queries, dimension), of the kind that will be asked.
            vectors: those that the index was made of.
            top_k: how many of each query's best are looked for.
        """
        if len(vectors) != len(self):
            raise ValueError(f"the index was made of {len(self)} vectors, not of {len(vectors)}.")
        _, exact = searching.search(queries, vectors, top_k)
        _, found = self.search(queries, top_k)
        hits = (exact[:, :, None] == found[:, None, :]).any(axis=2)
        return float(hits.mean())

    def save(self, path: str | os.PathLike) -> Path:
        """Saves in FAISS' own format, whole or not at all."""
        path = Path(path)
        handle, temporary = tempfile.mkstemp(
            dir=path.parent, prefix=f".{path.name}.", suffix=".part"
        )
        os.close(handle)
        try:
            _faiss().write_index(self.faiss_index, temporary)
            os.chmod(temporary, 0o644)
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise
        return path

    @classmethod
    def load(cls, path: str | os.PathLike, effort: int = 64) -> FaissIndex:
        """Loads what :meth:`save` saved.

        FAISS' reader trusts what it reads: load your own files only, and take
        :class:`VectorIndex` for those of others.

        Args:
            path: of the file.
            effort: as for the constructor.
        """
        if not Path(path).is_file():
            raise FileNotFoundError(f"there is no file {path}")
        faiss = _faiss()
        index = cls.__new__(cls)
        try:
            index.faiss_index = faiss.read_index(os.fspath(path))
        except RuntimeError as error:
            raise ValueError(f"{path} is no FAISS index, or it is damaged: {error}") from error
        index.effort = effort
        return index


def _unit(vectors: np.ndarray) -> np.ndarray:
    vectors = np.ascontiguousarray(searching.unit(vectors))
    if not np.isfinite(vectors).all():
        raise ValueError("vectors hold numbers that are not finite.")
    return vectors


def _faiss():
    try:
        import faiss
    except ImportError as error:
        raise ImportError(
            "FaissIndex needs FAISS: run `pip install 'kerasbert[faiss]'` (or conda's faiss-gpu)."
        ) from error
    return faiss
