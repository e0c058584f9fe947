"""The SentencePiece model file: which pieces it holds, and which of them may be used.

A model file is a protocol buffer (``sentencepiece_model.proto``). The little that is needed of it
is read here, so that a vocabulary can be looked at without the library that encodes with it.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from typing import NamedTuple

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6

_PIECES = 1  # field of the model
_PIECE, _TYPE = 1, 3  # fields of a piece
_SET_UNUSED = bytes([_TYPE << 3, UNUSED])  # of a field that is there twice the last one counts


class Pieces(NamedTuple):
    """The vocabulary of a model, by id.

    Attributes:
        names: the pieces; "▁" stands for a space.
        types: ``NORMAL``, ``UNKNOWN``, ``CONTROL``, ``USER_DEFINED``, ``UNUSED`` or ``BYTE``.
    """

    names: list[str]
    types: list[int]


def read_model(model: str | os.PathLike | bytes) -> bytes:
    """The content of a model file.

    Args:
        model: a path, or the content itself.

    Raises:
        TypeError: it is neither.
    """
    if isinstance(model, (bytes, bytearray)):
        return bytes(model)
    if not isinstance(model, (str, os.PathLike)):
        raise TypeError(
            "a SentencePiece model must be a path or the bytes of the file, got "
            f"{type(model).__name__}."
        )
    with open(model, "rb") as file:
        return file.read()


def read_pieces(model: bytes) -> Pieces:
    """The pieces of a model.

    Args:
        model: the content of a model file.

    Raises:
        ValueError: the bytes are no SentencePiece model.
    """
    names, types = [], []
    try:
        for number, value in fields(model):
            if number == _PIECES:
                piece = dict(fields(value))
                names.append(piece[_PIECE].decode("utf-8"))
                types.append(piece.get(_TYPE, NORMAL))
    except (IndexError, KeyError, ValueError, AttributeError, TypeError) as error:
        raise ValueError(_no_model(model)) from error
    if UNKNOWN not in types:
        raise ValueError(_no_model(model))
    return Pieces(names, types)


def without_pieces(model: bytes, unused: Collection[int]) -> bytes:
    """A model that never gives some of its pieces; the ids of the others stay what they are.

    Args:
        model: the content of a model file.
        unused: ids of the pieces that no text shall be split into.

    Returns:
        The content of such a model file.
    """
    parts, at, number_of_piece = [], 0, 0
    for number, value, end in _fields_with_ends(model):
        if number == _PIECES:
            if number_of_piece in unused:
                value += _SET_UNUSED
                parts += [bytes([_PIECES << 3 | 2]), _to_varint(len(value)), value]
            else:
                parts.append(model[at:end])
            number_of_piece += 1
        else:
            parts.append(model[at:end])
        at = end
    return b"".join(parts)


def in_order_of_fairseq(model: bytes) -> bytes:
    """A model whose pieces have the ids of fairseq: ``<s> <pad> </s> <unk>``, then the others.

    So ids need not be translated, which takes as long as splitting. The number of a piece is
    nothing to SentencePiece but its id.

    Args:
        model: the content of a model file that begins with ``<unk>``, ``<s>``, ``</s>``.
    """
    ends = [end for (_, _, end), _ in zip(_fields_with_ends(model), range(3))]
    unknown, start, end = (model[a:b] for a, b in zip([0, *ends], ends))
    # No text is split into the new piece. Its name has a space, which no other name has.
    body = bytes([_PIECE << 3 | 2, 6]) + b" <pad>" + bytes([_TYPE << 3, CONTROL])
    padding = bytes([_PIECES << 3 | 2, len(body)]) + body
    return b"".join([start, padding, end, unknown, model[ends[-1] :]])


def fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The fields of a protocol buffer: number, and value (an int, or bytes).

    Raises:
        ValueError: the bytes are no protocol buffer.
        IndexError: the same.
    """
    for number, value, _ in _fields_with_ends(message):
        yield number, value


def _fields_with_ends(message: bytes) -> Iterator[tuple[int, int | bytes, int]]:
    """The fields, and where each ends."""
    at, size = 0, len(message)
    while at < size:
        key, at = read_varint(message, at)
        kind = key & 7
        if kind == 0:
            value, at = read_varint(message, at)
        else:
            if kind == 2:
                length, at = read_varint(message, at)
            elif kind in (1, 5):
                length = 8 if kind == 1 else 4
            else:
                raise ValueError(f"no protocol buffer: a field of kind {kind}")
            if at + length > size:
                raise ValueError("the protocol buffer ends within a field")
            value = message[at : at + length]
            at += length
        yield key >> 3, value, at


def read_varint(message: bytes, at: int) -> tuple[int, int]:
    """The number that starts at ``at``, and where it ends."""
    byte = message[at]
    at += 1
    if byte < 0x80:
        return byte, at
    value, shift = byte & 0x7F, 7
    while True:
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("no protocol buffer: a number of more than 64 bits")


def _to_varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _no_model(model: bytes) -> str:
    is_text = model and not any(byte < 0x20 and byte not in b"\t\r\n" for byte in model[:1000])
    hint = (
        "It is text: a .vocab or vocab.txt lists the pieces only; give the .model file beside it."
        if is_text
        else "Is the file complete?"
    )
    return f"these {len(model)} bytes are no SentencePiece model. {hint}"
