"""The vocabulary that a family makes of a SentencePiece model: which ids, which special tokens."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from kerasbert.tokenizers.sentencepiece_flavours import Flavour
from kerasbert.tokenizers.sentencepiece_model import (
    BYTE,
    CONTROL,
    NORMAL,
    UNKNOWN,
    UNUSED,
    USER_DEFINED,
    Pieces,
    in_order_of_fairseq,
    read_pieces,
    without_pieces,
)

SENTINEL = re.compile(r"▁?(<extra_id_\d+>)$")  # mT5 writes them with a space in front
_FAIRSEQ = ["<s>", "<pad>", "</s>", "<unk>"]


@dataclass(frozen=True)
class Vocabulary:
    """Tokens, ids and pieces.

    Attributes:
        model: the content of the model file to encode with.
        pieces: what the model holds.
        tokens: the tokens by id.
        token_dict: token to id.
        id_of_piece: the id for each piece of the model, or None where that is the piece's number.
        unknown: the unknown token.
        special: tokens that stand for no text.
        bytes: tokens that stand for a byte, ``<0x00>`` to ``<0xFF>``.
    """

    model: bytes
    pieces: Pieces
    tokens: list[str]
    token_dict: dict[str, int]
    id_of_piece: list[int] | None
    unknown: str
    special: frozenset[str]
    bytes: frozenset[str]


def read_vocabulary(
    model: bytes,
    flavour: Flavour,
    sentinels: int | None = None,
    keep_tokens: Sequence[int] | None = None,
) -> Vocabulary:
    """The vocabulary of a model file.

    Args:
        model: the content of the file.
        flavour: the family's rules.
        sentinels: how many sentinels follow the pieces; None for as many as the family has, if the
            model itself holds none.
        keep_tokens: the ids to keep; the place in this list is a token's new id.

    Raises:
        ValueError: the bytes are no SentencePiece model, or not one of such a family; or
            ``keep_tokens`` does not fit the vocabulary.
    """
    pieces = read_pieces(model)
    tokens, ids = list(pieces.names), list(range(len(pieces.names)))
    if flavour.fairseq:
        if tokens[:3] != ["<unk>", "<s>", "</s>"]:
            raise ValueError(
                "a model of this flavour begins with the pieces <unk>, <s>, </s>, this one with "
                f"{', '.join(tokens[:3])}: give the flavour that it was made for."
            )
        model = in_order_of_fairseq(model)
        pieces = read_pieces(model)
        tokens, ids = _FAIRSEQ + tokens[3:], [*ids, len(ids)]
    if sentinels is None:
        sentinels = 0 if any(map(SENTINEL.match, tokens)) else flavour.sentinels
    known = set(tokens)
    appended = [token for token in flavour.appended if token not in known]
    appended += [f"<extra_id_{number}>" for number in reversed(range(sentinels))]
    tokens += appended
    unknown = pieces.names[pieces.types.index(UNKNOWN)]
    if keep_tokens is not None:
        places = _places(keep_tokens, tokens, unknown)
        text = (NORMAL, USER_DEFINED)
        unused = {n for n, at in enumerate(ids) if at not in places and pieces.types[n] in text}
        model = without_pieces(model, unused)
        ids = [places.get(at, places[tokens.index(unknown)]) for at in ids]
        tokens = [tokens[at] for at in keep_tokens]
    token_dict = {token: at for at, token in enumerate(tokens)}
    for token, at in list(token_dict.items()):
        if SENTINEL.match(token):
            token_dict[SENTINEL.match(token)[1]] = at
    named = list(zip(pieces.names, pieces.types))
    special = {name for name, kind in named if kind in (CONTROL, UNKNOWN, UNUSED)}
    special |= {*appended, *filter(SENTINEL.match, token_dict)}
    if flavour.fairseq:
        special |= set(_FAIRSEQ)
    return Vocabulary(
        model,
        pieces,
        tokens,
        token_dict,
        None if ids == list(range(len(ids))) else ids,
        unknown,
        frozenset(special),
        frozenset(name for name, kind in named if kind == BYTE),
    )


def _places(keep_tokens: Sequence[int], tokens: Sequence[str], unknown: str) -> dict[int, int]:
    """The new id of each token kept."""
    wrong = [at for at in keep_tokens if not 0 <= at < len(tokens)]
    if wrong or len(set(keep_tokens)) != len(keep_tokens):
        raise ValueError(
            f"keep_tokens must be different ids from 0 to {len(tokens) - 1}, got "
            + (f"{wrong[:3]}." if wrong else "some of them twice.")
        )
    places = {at: place for place, at in enumerate(keep_tokens)}
    if tokens.index(unknown) not in places:
        raise ValueError(
            f"keep_tokens must hold id {tokens.index(unknown)}, which is {unknown!r}, for what the "
            "other tokens cannot spell."
        )
    return places
