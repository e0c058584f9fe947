"""The format of a prepared corpus: ``tf.train.Example`` records in shards, and a manifest.

A corpus is a folder: GZIP TFRecord shards, ``manifest.json`` (:class:`Corpus`), and the files of
the tokenizer. A record is one sequence of tokens, not yet masked and not padded:

================  ======  =====================================================================
feature (int64)   size
================  ======  =====================================================================
``token_ids``     n       [CLS] ... [SEP], or [CLS] ... [SEP] ... [SEP]; n is at most max_length
``word_starts``   n       1 where a word begins, 0 where it goes on; special tokens are 1
``first_length``  1       tokens of the first segment with its special tokens; n if there is one
``label``         1       "bert": 1 if the second segment is of another document; "albert": 1 if
                          the segments were swapped; "simbert": number of the group; else 0
================  ======  =====================================================================

Records are written here without TensorFlow: the bytes are those of ``tf.train.Example`` with its
features in alphabetical order, put together from slices of an encoded token stream.
"""

from __future__ import annotations

import dataclasses
import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import tensorflow as tf

    from kerasbert.tokenizers import BaseTokenizer

MANIFEST = "manifest.json"
FORMAT = 1  # of the folder; another number is another format
STYLES = ("roberta", "bert", "albert", "short", "simbert")


@dataclasses.dataclass(frozen=True)
class Corpus:
    """A prepared corpus, as its manifest describes it.

    Attributes:
        folder: where it lies; text for a URL such as gs://bucket/corpus.
        style: how sequences were made: one of ``STYLES``.
        max_length: most tokens of a sequence, special tokens counted.
        shards: path and number of examples of every shard.
        examples: number of sequences.
        tokens: number of tokens, special ones counted.
        special_ids: ids of "pad", "unk", "cls", "sep" and "mask".
        vocab_size: number of ids.
        manifest: everything that the manifest says.
    """

    folder: Path | str
    style: str
    max_length: int
    shards: list[tuple[Path | str, int]]
    examples: int
    tokens: int
    special_ids: dict[str, int]
    vocab_size: int
    manifest: dict[str, Any] = dataclasses.field(repr=False)

    @classmethod
    def open(cls, folder: str | os.PathLike) -> Corpus:
        """Reads and checks the manifest; sizes of the shards are compared, contents are not read.

        Args:
            folder: that ``python -m pretraining.corpus`` wrote, or a URL that TensorFlow reads.

        Raises:
            FileNotFoundError: there is no finished corpus, or a file of it is missing.
            ValueError: the manifest is damaged or of another version, or a shard has another size.
        """
        files = _Files(folder)
        path = files.place(MANIFEST)
        content = files.read(MANIFEST)
        if content is None:
            raise FileNotFoundError(
                f"{folder} holds no {MANIFEST}, which is written last: prepare the corpus with "
                "`python -m pretraining.corpus --output FOLDER ...`, or give the same command "
                "again if it was interrupted."
            )
        try:
            manifest = json.loads(content)
            if manifest["format"] != FORMAT:
                raise ValueError(f"its format is {manifest['format']!r}, known is {FORMAT}")
            if manifest["style"] not in STYLES:
                raise ValueError(f"its style is {manifest['style']!r}, known are {STYLES}")
            rows = [(row["file"], int(row["bytes"])) for row in manifest["shards"]]
            shards = [
                (files.place(row["file"]), int(row["examples"])) for row in manifest["shards"]
            ]
            corpus = cls(
                files.folder,
                manifest["style"],
                int(manifest["max_length"]),
                shards,
                int(manifest["examples"]),
                int(manifest["tokens"]),
                {name: int(at) for name, at in manifest["special_ids"].items()},
                int(manifest["vocab_size"]),
                manifest,
            )
            if corpus.examples != sum(count for _, count in shards):
                raise ValueError("the examples of its shards do not add up")
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ValueError(
                f"{path} is not the manifest of a corpus that this version reads ({error!r}): "
                "prepare the corpus anew."
            ) from error
        for name, size in rows:
            found = files.size(name)
            if found is None:
                raise FileNotFoundError(
                    f"{files.place(name)} is missing, but {path} lists it: copy it again."
                )
            if found != size:
                raise ValueError(
                    f"{files.place(name)} has {found} bytes, but {path} says {size}: it was not "
                    "copied whole, or is of another corpus."
                )
        return corpus

    def tokenizer(self) -> BaseTokenizer:
        """The tokenizer that made the sequences, from its files beside the shards."""
        from kerasbert.tokenizers import Tokenizer

        if isinstance(self.folder, Path):
            return Tokenizer.from_pretrained(self.folder)
        files = _Files(self.folder)
        with tempfile.TemporaryDirectory() as copies:
            for name in self.manifest["settings"]["tokenizer"]:
                Path(copies, name).write_bytes(files.read(name) or b"")
            return Tokenizer.from_pretrained(copies)


class _Files:
    """The files of a folder, on this machine or wherever TensorFlow can read."""

    def __init__(self, folder: str | os.PathLike):
        is_url = "://" in os.fspath(folder)
        self.folder = os.fspath(folder).rstrip("/") if is_url else Path(folder).expanduser()

    def place(self, name: str) -> Path | str:
        """The path or URL of a file."""
        is_url = isinstance(self.folder, str)
        return f"{self.folder}/{name}" if is_url else self.folder / name

    def read(self, name: str) -> bytes | None:
        """The content of a file; None if it is not there."""
        if self.size(name) is None:
            return None
        if isinstance(self.folder, Path):
            return (self.folder / name).read_bytes()
        from kerasbert.backend import tf

        with tf.io.gfile.GFile(self.place(name), "rb") as file:
            return file.read()

    def size(self, name: str) -> int | None:
        """Bytes of a file; None if it is not there."""
        if isinstance(self.folder, Path):
            path = self.folder / name
            return path.stat().st_size if path.is_file() else None
        from kerasbert.backend import tf

        try:
            return tf.io.gfile.stat(self.place(name)).length
        except tf.errors.NotFoundError:
            return None


def parse(serialized: tf.Tensor, max_length: int, pad_id: int) -> dict[str, tf.Tensor]:
    """Reads a batch of records inside the graph.

    Args:
        serialized: string (batch,), records of a shard.
        max_length: width of the result, at least the corpus's ``max_length``: longer records raise
            InvalidArgumentError.
        pad_id: fills short rows.

    Returns:
        ``token_ids`` int32 (batch, max_length); ``word_starts`` bool (batch, max_length), False
        where padded; ``first_length``, ``length`` and ``label`` int32 (batch,).
    """
    from kerasbert.backend import tf

    one = tf.io.FixedLenFeature([], tf.int64)
    features = tf.io.parse_example(
        serialized,
        {
            "token_ids": tf.io.RaggedFeature(tf.int64),
            "word_starts": tf.io.RaggedFeature(tf.int64),
            "first_length": one,
            "label": one,
        },
    )
    length = tf.cast(features["token_ids"].row_lengths(), tf.int32)

    def padded(values, fill):
        rows = tf.cast(values, tf.int32).to_tensor(fill)
        missing = max_length - tf.shape(rows)[1]  # negative, an error, for a record too long
        rows = tf.pad(rows, [[0, 0], [0, missing]], constant_values=fill)
        return tf.ensure_shape(rows, [serialized.shape[0], max_length])

    return {
        "token_ids": padded(features["token_ids"], pad_id),
        "word_starts": padded(features["word_starts"], 0) > 0,
        "first_length": tf.cast(features["first_length"], tf.int32),
        "length": tf.ensure_shape(length, serialized.shape),
        "label": tf.cast(features["label"], tf.int32),
    }


class TokenStream:
    """Tokens of many texts, encoded once, from whose slices records are put together.

    Args:
        ids: (tokens,), each from 0 to 2 ** 31 - 1.
        word_starts: bool (tokens,).
        cls_id: put before every record.
        sep_id: put after every slice.
    """

    def __init__(self, ids: np.ndarray, word_starts: np.ndarray, cls_id: int, sep_id: int):
        self._ids, self._splits = encode_varints(ids)
        self._starts = word_starts.astype(np.uint8).tobytes()
        self._cls, self._sep = _varint(cls_id), _varint(sep_id)

    def record(
        self, slices: Sequence[tuple[int, int]], first_length: int | None = None, label: int = 0
    ) -> bytes:
        """A record: [CLS], and every slice with [SEP] behind it.

        Args:
            slices: first token and end of each.
            first_length: tokens of the first segment with its special tokens; None for all.
            label: see the module's description.
        """
        ids, starts, length = [self._cls], [b"\1"], 1
        for begin, end in slices:
            ids += (self._ids[self._splits[begin] : self._splits[end]], self._sep)
            starts += (self._starts[begin:end], b"\1")
            length += end - begin + 1
        return _example(
            {
                b"first_length": _varint(length if first_length is None else first_length),
                b"label": _varint(label),
                b"token_ids": b"".join(ids),
                b"word_starts": b"".join(starts),
            }
        )


def encode_varints(values: np.ndarray) -> tuple[bytes, np.ndarray]:
    """Protocol buffers' variable-length integers of many values, 7 bits to a byte.

    Args:
        values: (n,), each from 0 to 2 ** 31 - 1.

    Returns:
        The bytes, and where each value begins in them with the end at last: int64 (n + 1,).
    """
    values = np.asarray(values, np.int64)
    sizes = np.ones(len(values), np.int64)
    for bits in (7, 14, 21, 28):
        sizes += values >= 1 << bits
    splits = np.zeros(len(values) + 1, np.int64)
    np.cumsum(sizes, out=splits[1:])
    out = np.zeros(splits[-1], np.uint8)
    for place in range(int(sizes.max(initial=0))):
        rows = np.flatnonzero(sizes > place)
        goes_on = (sizes[rows] > place + 1) << 7
        out[splits[rows] + place] = (values[rows] >> 7 * place & 127) | goes_on
    return out.tobytes(), splits


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    found.append(value)
    return bytes(found)


def _field(number: int, content: bytes) -> bytes:
    """A length-delimited field of a message."""
    return bytes((number << 3 | 2,)) + _varint(len(content)) + content


def _example(features: dict[bytes, bytes]) -> bytes:
    """A ``tf.train.Example`` of packed int64 lists: Example.features.feature map, Int64List."""
    rows = []
    for name, packed in features.items():
        value = _field(3, _field(1, packed))  # Feature.int64_list, Int64List.value
        rows.append(_field(1, _field(1, name) + _field(2, value)))  # an entry of the map
    return _field(1, b"".join(rows))
