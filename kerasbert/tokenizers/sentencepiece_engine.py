"""Who splits text into pieces: the ``sentencepiece`` library, or tensorflow-text without it.

The library is about forty times as fast on a single short text, as it does without TensorFlow's
eager calls. Both are made of the same C++ code, in different versions: where two ways to split a
text are equally likely ("000" as "0 00" or as "00 0"), tensorflow-text may take the other one.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import chain

import numpy as np

from kerasbert.tokenizers.ragged import Ragged
from kerasbert.tokenizers.sentencepiece_model import read_varint

_SURROGATE = re.compile("[\ud800-\udfff]")
_SPACES = np.array([code for code in range(0x3001) if chr(code).isspace()], np.uint32)
_PROBES = ("", "a", " The 2 cats, \u4eca\u5929\u5929\u6c14\u4e0d\u9519 ")
_PARALLEL = 4096  # characters below which starting threads takes longer than it saves
_CHUNK = 1 << 22  # characters handled at once, as the library's lists take many times that space


def make_engine(model: bytes):
    """The best engine that is installed.

    Args:
        model: the content of a model file, a valid one.

    Raises:
        ImportError: there is none.
    """
    try:
        return LibraryEngine(model)
    except ImportError:
        try:
            return TensorFlowTextEngine(model)
        except ImportError as error:
            raise ImportError(
                "SentencePiece tokenizers need the sentencepiece library: run "
                "`pip install sentencepiece`. (tensorflow-text, which would do, is not there "
                f"either: {error})"
            ) from error


class LibraryEngine:
    """Splits by the ``sentencepiece`` library.

    Args:
        model: the content of a model file.
    """

    def __init__(self, model: bytes):
        from sentencepiece import SentencePieceProcessor

        try:
            processor = SentencePieceProcessor(model_proto=model)
        except RuntimeError as error:
            raise ValueError(f"the sentencepiece library cannot read the model: {error}") from error
        self._encode = processor.encode
        self._encode_one = _quick_encode(processor)

    def encode(self, text: str) -> list[int]:
        """The ids of one text."""
        return self._encode_one(_encodable(text))

    def encode_lists(self, texts: list[str]) -> list[list[int]]:
        """The ids of many texts, on all cores."""
        joined = "".join(texts)
        if _encodable(joined) is not joined:
            texts = [_encodable(text) for text in texts]
        return self._encode(texts, num_threads=1 if len(joined) < _PARALLEL else -1)

    def encode_batch(self, texts: list[str]) -> Ragged:
        """:meth:`encode_lists` as arrays."""
        parts = [Ragged.from_rows(self.encode_lists(chunk)) for chunk, _ in _chunks(texts)]
        return Ragged.concatenate(parts)

    def encode_with_offsets(self, texts: list[str]) -> Ragged:
        """The ids of many texts, and where each token starts and ends, white space left out."""
        parts = []
        for chunk, size in _chunks(texts):
            threads = 1 if size < _PARALLEL else -1
            chunk = [_encodable(text) for text in chunk]
            rows = self._encode(chunk, out_type="serialized_proto", num_threads=threads)
            columns = [_columns(row) for row in rows]
            lengths = [len(ids) for ids, _, _ in columns]
            ids, starts, ends = (
                np.fromiter(chain.from_iterable(column), np.int64, sum(lengths))
                for column in (zip(*columns) if columns else ((), (), ()))
            )
            parts.append(_in_characters(chunk, ids, lengths, starts, ends))
        return Ragged.concatenate(parts)


class TensorFlowTextEngine:
    """Splits by tensorflow-text, with the same interface.

    Args:
        model: the content of a model file.
    """

    def __init__(self, model: bytes):
        import tensorflow_text

        self._tokenizer = tensorflow_text.SentencepieceTokenizer(model)

    def encode(self, text: str) -> list[int]:
        """The ids of one text."""
        return self._tokenizer.tokenize(_encodable(text)).numpy().tolist()

    def encode_lists(self, texts: list[str]) -> list[list[int]]:
        """The ids of many texts."""
        return self.encode_batch(texts).to_lists()

    def encode_batch(self, texts: list[str]) -> Ragged:
        """:meth:`encode_lists` as arrays."""
        if not texts:
            return Ragged.from_rows([])
        ids = self._tokenizer.tokenize([_encodable(text) for text in texts])
        return Ragged(ids.values.numpy(), ids.row_splits.numpy())

    def encode_with_offsets(self, texts: list[str]) -> Ragged:
        """The ids of many texts, and where each token starts and ends, white space left out."""
        if not texts:
            return Ragged.from_rows([], [], [])
        texts = [_encodable(text) for text in texts]
        ids, starts, ends = self._tokenizer.tokenize_with_offsets(texts)
        return _in_characters(
            texts,
            ids.values.numpy(),
            ids.row_lengths().numpy(),
            starts.values.numpy(),
            ends.values.numpy(),
        )


def _quick_encode(processor) -> Callable[[str], list[int]]:
    """``encode`` for one text, without the time it takes to read its options.

    That is half the time of a short text. What ``encode`` ends up with is no part of the library's
    interface, so it is used only where it is found, and gives the same.
    """
    options = False, -1, 0.1, False, False, False  # no sampling, nothing added, not reversed
    try:
        encode = processor._processor._EncodeAsIds
        if all(encode(text, *options) == processor.encode(text) for text in _PROBES):
            return lambda text: encode(text, *options)
    except (AttributeError, TypeError, ValueError, RuntimeError):
        pass
    return processor.encode


def _encodable(text: str) -> str:
    """The text without lone surrogates, for which there is no UTF-8; lengths stay."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return _SURROGATE.sub("\ufffd", text)
    return text


def _chunks(texts: list[str]):
    """The texts in lists of not too many characters, with their number; one list at least."""
    chunk, size = [], 0
    for text in texts:
        if chunk and size + len(text) > _CHUNK:
            yield chunk, size
            chunk, size = [], 0
        chunk.append(text)
        size += len(text)
    yield chunk, size


def _columns(message: bytes) -> tuple[list[int], list[int], list[int]]:
    """The ids, first and last bytes of the pieces of a serialized ``SentencePieceText``.

    Field 1 of the message is the text, each field 2 a piece with the fields piece, id, surface,
    begin and end. Read here because the library's own way to give them changes with its version.
    """
    ids, starts, ends = [], [], []
    at, size = 0, len(message)
    while at < size and message[at] in (0x0A, 0x12):  # field 1 or 2; last comes a score
        is_piece = message[at] == 0x12
        length, at = read_varint(message, at + 1)
        stop = at + length
        if not is_piece:
            at = stop
            continue
        piece_id = start = end = 0
        while at < stop:
            key, value = message[at], message[at + 1]
            at += 2
            if value > 0x7F:
                value, at = read_varint(message, at - 1)
            if key == 0x10:
                piece_id = value
            elif key == 0x20:
                start = value
            elif key == 0x28:
                end = value
            else:  # the piece or its surface, of as many bytes
                at += value
        ids.append(piece_id)
        starts.append(start)
        ends.append(end)
    return ids, starts, ends


def _in_characters(texts, ids, lengths, starts, ends) -> Ragged:
    """Rows of tokens with places in characters, without the white space around each token.

    Args:
        texts: the texts.
        ids: the ids of all texts, one after the other.
        lengths: the number of tokens of each text.
        starts: where each token starts, in bytes of its text.
        ends: where it ends.
    """
    joined = "\n".join(texts)
    is_first = (np.frombuffer(joined.encode(), np.uint8) & 0xC0) != 0x80  # bytes of characters
    place_of_byte = np.concatenate([[0], np.cumsum(is_first)])
    byte_of_place = np.append(np.flatnonzero(is_first), len(is_first))
    sizes = np.array([len(text) + 1 for text in texts], np.int64)
    first_place = np.cumsum(sizes) - sizes
    lengths = np.asarray(lengths, np.int64)
    row_starts = np.repeat(first_place, lengths)
    byte_starts = np.repeat(byte_of_place[first_place], lengths)
    starts, ends = place_of_byte[byte_starts + starts], place_of_byte[byte_starts + ends]

    codes = np.frombuffer(joined.encode("utf-32-le"), np.uint32)
    visible, places = ~np.isin(codes, _SPACES), np.arange(len(codes))
    next_visible = np.where(visible, places, len(codes))[::-1]
    next_visible = np.append(np.minimum.accumulate(next_visible)[::-1], len(codes))
    last_visible = np.maximum.accumulate(np.append(0, np.where(visible, places + 1, 0)))
    starts = np.minimum(next_visible[starts], ends)
    ends = np.maximum(last_visible[ends], starts)
    splits = np.append(0, np.cumsum(lengths))
    return Ragged(
        ids.astype(np.int32),
        splits,
        (starts - row_starts).astype(np.int32),
        (ends - row_starts).astype(np.int32),
    )
