"""Vectors with their texts, to search, to save and to map into memory again."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from kerasbert.embedding import search as searching

_FORMAT = "kerasbert-vector-index"
_ROWS = 65_536  # vectors that are written, or checked, at once
_DTYPES = {"F32": np.dtype("<f4"), "I64": np.dtype("<i8"), "U8": np.dtype("u1")}


class IndexFormatError(ValueError):
    """A file that is no index of vectors, or a damaged one."""


class StoredTexts(Sequence):
    """Texts in one array of UTF-8 bytes: a text becomes a ``str`` when it is asked for.

    Args:
        content: uint8 (bytes,), all texts one after the other.
        ends: int64 (texts,), one past each one's last byte.
    """

    def __init__(self, content: np.ndarray, ends: np.ndarray):
        self.content, self.ends = content, ends

    @classmethod
    def of(cls, texts: Iterable[str]) -> StoredTexts:
        """Packs texts."""
        encoded = [text.encode("utf-8", "surrogatepass") for text in texts]
        ends = np.cumsum(np.fromiter(map(len, encoded), np.int64, len(encoded)))
        return cls(np.frombuffer(b"".join(encoded), np.uint8), ends)

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, place):
        if isinstance(place, slice):
            return [self[at] for at in range(*place.indices(len(self)))]
        place = range(len(self))[place]
        start = self.ends[place - 1] if place else 0
        return bytes(self.content[start : self.ends[place]]).decode("utf-8", "surrogatepass")


class VectorIndex:
    """Vectors, scaled to length 1, and their texts: searched exactly, by their cosine.

    Args:
        vectors: floating (number, dimension).
        texts: one for each vector; None for none.

    Attributes:
        vectors: float32 (number, dimension), each of length 1 (or zero).
        texts: a sequence of the texts, or None.

    Raises:
        TypeError: a text is none.
        ValueError: not vectors, not finite, or another number of texts.
    """

    def __init__(self, vectors: np.ndarray, texts: Sequence[str] | None = None):
        vectors = searching.check_vectors(vectors, "vectors")
        if texts is not None and len(texts) != len(vectors):
            raise ValueError(f"got {len(vectors)} vectors, but {len(texts)} texts.")
        self.vectors = np.empty(vectors.shape, np.float32)
        for rows in _blocks(len(vectors)):
            self.vectors[rows] = searching.unit(vectors[rows])
        _check_finite(self.vectors)
        self.texts = texts if texts is None or isinstance(texts, StoredTexts) else _texts(texts)

    def __len__(self) -> int:
        return len(self.vectors)

    def __repr__(self) -> str:
        kept = "with" if self.texts is not None else "without"
        return f"VectorIndex({len(self)} vectors of {self.vectors.shape[1]}, {kept} texts)"

    def add(self, vectors: np.ndarray, texts: Sequence[str] | None = None) -> None:
        """Puts further vectors after those that are there.

        Args:
            vectors: floating (number, dimension).
            texts: one for each, if those that are there have texts.
        """
        if (texts is None) != (self.texts is None):
            raise ValueError("texts must be given for all vectors of an index or for none.")
        new = VectorIndex(vectors, texts)
        searching.check_dimensions(new.vectors, self.vectors, "the new vectors", "those there")
        self.vectors = np.concatenate([self.vectors, new.vectors])
        if texts is not None:
            self.texts = _texts([*self.texts, *new.texts])

    def search(self, queries: np.ndarray, top_k: int = 10) -> tuple[np.ndarray, np.ndarray]:
        """The most similar vectors; see :func:`kerasbert.embedding.search`.

        Args:
            queries: floating (queries, dimension), or one vector (dimension,).
            top_k: how many for each.

        Returns:
            Cosines and places, (queries, top_k), the highest first.
        """
        return searching.search(queries, self.vectors, top_k, normalized=True)

    def save(self, path: str | os.PathLike) -> Path:
        """Saves to one file, whole or not at all.

        It is in the safetensors format: a JSON header and numbers, without anything to execute.

        Args:
            path: of the file; ".safetensors" is its usual ending.

        Returns:
            The path.
        """
        arrays = {"vectors": self.vectors}
        if self.texts is not None:
            stored = self.texts
            stored = stored if isinstance(stored, StoredTexts) else StoredTexts.of(stored)
            arrays.update(text_ends=stored.ends, texts=stored.content)
        _write(Path(path), arrays)
        return Path(path)

    @classmethod
    def load(cls, path: str | os.PathLike, in_memory: bool = False) -> VectorIndex:
        """Loads what :meth:`save` saved.

        Args:
            path: of the file.
            in_memory: False maps the file: it is read as it is needed, and several processes share
                its memory. True reads it at once.

        Raises:
            IndexFormatError: the file is something else, or damaged.
        """
        arrays = _map(Path(path))
        vectors = arrays["vectors"]
        # A look at the first ones: to read them all would take its time, and a search notices
        # numbers that are not finite.
        lengths = np.sqrt(np.square(vectors[:1024], dtype=np.float64).sum(axis=1))
        if not (np.isclose(lengths, 1, atol=1e-3) | (lengths == 0)).all():
            raise IndexFormatError(f"{path} holds vectors that are not of length 1.")
        index = cls.__new__(cls)
        index.vectors = np.array(vectors) if in_memory else vectors
        index.texts = None
        if "texts" in arrays:
            ends = np.array(arrays["text_ends"])
            starts = np.concatenate([[0], ends[:-1]])
            if (ends < starts).any() or (len(ends) and ends[-1] != len(arrays["texts"])):
                raise IndexFormatError(f"{path} holds texts that do not lie one after the other.")
            content = np.array(arrays["texts"]) if in_memory else arrays["texts"]
            index.texts = StoredTexts(content, ends)
        return index


def _texts(texts: Sequence[str]) -> list[str]:
    wrong = next((at for at, text in enumerate(texts) if not isinstance(text, str)), None)
    if wrong is not None:
        raise TypeError(f"texts[{wrong}] must be a str, got {texts[wrong]!r}.")
    return list(texts)


def _check_finite(vectors: np.ndarray) -> None:
    for rows in _blocks(len(vectors)):
        bad = np.flatnonzero(~np.isfinite(vectors[rows]).all(axis=1))
        if len(bad):
            raise ValueError(f"vector {rows.start + bad[0]} holds numbers that are not finite.")


def _blocks(count: int) -> Iterator[slice]:
    return (slice(start, min(start + _ROWS, count)) for start in range(0, count, _ROWS))


def _write(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Writes a safetensors file in blocks: the vectors may be larger than the memory."""
    names = {dtype: name for name, dtype in _DTYPES.items()}
    header: dict = {"__metadata__": {"format": _FORMAT, "version": "1"}}
    place = 0
    for name, array in arrays.items():
        header[name] = {
            "dtype": names[array.dtype.newbyteorder("<")],
            "shape": list(array.shape),
            "data_offsets": [place, place + array.nbytes],
        }
        place += array.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-(8 + len(text)) % 64)  # the vectors begin at a multiple of 64 bytes
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(len(text).to_bytes(8, "little") + text)
            for array in arrays.values():
                for rows in _blocks(len(array)):
                    file.write(array[rows].astype(array.dtype.newbyteorder("<")).tobytes())
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)  # mkstemp makes files that only the owner may read
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def _map(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a file, mapped into memory; the safetensors library checks the header first."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
        with open(path, "rb") as file:
            size = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(size))
    except (SafetensorError, ValueError) as error:
        raise IndexFormatError(
            f"{path} is no index of vectors, or it is damaged: {error}. VectorIndex.save writes one"
        ) from error
    if metadata.get("format") != _FORMAT or metadata.get("version") != "1":
        raise IndexFormatError(
            f"{path} is a safetensors file, but no index of vectors of version 1: "
            f"its metadata is {metadata}."
        )
    expected = {"vectors": ("F32", 2)}
    if "texts" in header or "text_ends" in header:
        expected.update(text_ends=("I64", 1), texts=("U8", 1))
    arrays = {}
    for name, (dtype, rank) in expected.items():
        entry = header.get(name)
        if entry is None or entry["dtype"] != dtype or len(entry["shape"]) != rank:
            raise IndexFormatError(f"{path} must hold {name!r} as {dtype} of rank {rank}: {entry}.")
        start, stop = entry["data_offsets"]
        shape = tuple(entry["shape"])
        arrays[name] = (
            np.memmap(path, _DTYPES[dtype], "r", 8 + size + start, shape)
            if stop > start
            else np.zeros(shape, _DTYPES[dtype])
        )
    if not arrays["vectors"].shape[1]:
        raise IndexFormatError(f"{path} holds vectors of no dimension.")
    if "texts" in arrays and len(arrays["text_ends"]) != len(arrays["vectors"]):
        raise IndexFormatError(f"{path} holds another number of texts than of vectors.")
    return arrays
