"""Tokens and ids: the vocabulary, its special tokens, and those that are added to it."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping, Sequence

from kerasbert.tokenizers.special_tokens import KeptTokens


class TokenTable:
    """The part of a tokenizer that knows its tokens; arguments are those of ``BaseTokenizer``.

    Attributes:
        start_id, end_id, unk_id, pad_id, mask_id: ids of the special tokens, or None.
        added_tokens: the tokens that were added to the vocabulary.
    """

    mask_takes_space_before = False  # whether a kept mask token takes in the white space before it

    # The attribute names of bert4keras, which scripts read.
    _token_start_id = property(lambda self: self.start_id)
    _token_end_id = property(lambda self: self.end_id)
    _token_unk_id = property(lambda self: self.unk_id)
    _token_pad_id = property(lambda self: self.pad_id)
    _token_mask_id = property(lambda self: self.mask_id)
    _vocab_size = property(lambda self: self.vocab_size)

    def __init__(
        self,
        tokens: Sequence[str | None],
        token_dict: Mapping[str, int],
        token_start: str | None,
        token_end: str | None,
        token_unk: str | None,
        token_pad: str | None,
        token_mask: str | None,
        keep_special_tokens: bool | Sequence[str],
        added_tokens: Sequence[str],
    ):
        self._tokens, self._token_dict = list(tokens), dict(token_dict)
        self._token_start, self._token_end = token_start, token_end
        self._token_unk, self._token_pad, self._token_mask = token_unk, token_pad, token_mask
        self.start_id = self._required("token_start", token_start)
        self.end_id = self._required("token_end", token_end)
        self.unk_id = self._required("token_unk", token_unk)
        self._keep_special_tokens, self._new_tokens = keep_special_tokens, 0
        self.added_tokens: list[str] = []
        self.add_tokens(added_tokens)
        self.pad_id = self._token_dict.get(token_pad)
        self.mask_id = self._token_dict.get(token_mask)

    @property
    def stop_id(self) -> int | None:
        """Id of the token that a model writes when its text has ended; None where there is none."""
        return self.end_id

    @property
    def vocab_size(self) -> int:
        """Number of ids, which is the number of rows of a matching embedding table."""
        return len(self._tokens)

    @property
    def token_dict(self) -> dict[str, int]:
        """Token to id."""
        return self._token_dict

    def __len__(self) -> int:
        return self.vocab_size

    def add_tokens(self, tokens: Iterable[str]) -> int:
        """Adds tokens with new ids after the last one, to be kept whole wherever a text has them.

        The model needs a row for each: ``compound_tokens=[[id], ...]`` of
        ``build_transformer_model`` starts each row as the mean of the rows of the ids listed. A
        token that the vocabulary holds already keeps its id.

        Args:
            tokens: such as ``["<e1>", "</e1>"]``.

        Returns:
            How many tokens are new.
        """
        if isinstance(tokens, str):
            raise TypeError(f"tokens must be a list of tokens, got the text {tokens!r}.")
        before = len(self._tokens)
        for token in tokens:
            if not isinstance(token, str) or not token.strip():
                raise ValueError(f"a token to add must be a text that is not empty, got {token!r}.")
            if token not in self._token_dict:
                self._token_dict[token] = len(self._tokens)
                self._tokens.append(token)
            if token not in self.added_tokens:
                self.added_tokens.append(token)
        self._kept = self._find_kept_tokens()
        self._new_tokens += len(self._tokens) - before
        return len(self._tokens) - before

    @property
    def all_tokens(self) -> list[str | None]:
        """The tokens by id, those that were added last; None where an id has no token."""
        return list(self._tokens)

    @property
    def _own_tokens(self) -> list[str | None]:
        """The tokens by id without those that were added."""
        return self._tokens[: len(self._tokens) - self._new_tokens]

    @property
    def kept_tokens(self) -> list[str]:
        """The tokens that stay whole in texts, the longest first."""
        return self._kept.names if self._kept else []

    def token_to_id(self, token: str) -> int:
        """The id of a token, the unknown id for one that is not in the vocabulary."""
        return self._token_dict.get(token, self.unk_id)

    def tokens_to_ids(self, tokens: Iterable[str]) -> list[int]:
        """The ids of tokens."""
        return [self.token_to_id(token) for token in tokens]

    def id_to_token(self, i: int) -> str:
        """The token of an id."""
        try:
            at = operator.index(i)
        except TypeError:
            raise TypeError(
                f"an id must be a whole number, got {i!r} ({type(i).__name__}). Of a batch, give "
                "the ids of one text at a time."
            ) from None
        token = self._tokens[at] if 0 <= at < len(self._tokens) else None
        if token is None:
            raise ValueError(
                f"id {i} has no token: the vocabulary's ids run from 0 to {len(self._tokens) - 1}."
            )
        return token

    def ids_to_tokens(self, ids: Iterable[int]) -> list[str]:
        """The tokens of ids."""
        return [self.id_to_token(i) for i in ids]

    def _find_kept_tokens(self) -> KeptTokens | None:
        """The tokens to keep whole in texts; None for none."""
        kept, names = self._keep_special_tokens, set(self.added_tokens)
        if kept:
            further = [] if isinstance(kept, bool) else list(kept)
            missing = [token for token in further if token not in self._token_dict]
            if missing:
                raise ValueError(
                    "keep_special_tokens names tokens that the vocabulary does not hold: "
                    f"{missing}."
                )
            names |= {*further, *(t for t in self._special_tokens() if t in self._token_dict)}
        if not names:
            return None
        ids = {name: self._id_of_kept(name) for name in names}
        return KeptTokens(ids, [self._token_mask] if self.mask_takes_space_before else [])

    def _special_tokens(self) -> list[str]:
        """The tokens that ``keep_special_tokens=True`` keeps, if the vocabulary holds them."""
        names = [self._token_start, self._token_end, self._token_unk]
        return [name for name in (*names, self._token_pad, self._token_mask) if name is not None]

    def _id_of_kept(self, token: str) -> int:
        """The id that a token kept whole in a text gives."""
        return self._token_dict[token]

    def _required(self, name: str, token: str | None) -> int | None:
        if token is None:
            return None
        if token not in self._token_dict:
            near = [
                t for t in self._token_dict if t.strip("[]<>").lower() == token.strip("[]").lower()
            ]
            raise ValueError(
                f"the vocabulary of {len(self._token_dict)} tokens does not hold {name} {token!r}"
                + (f", but {near[:3]}" if near else "")
                + f": is it the right file? Otherwise name the token it uses with {name}=..."
            )
        return self._token_dict[token]
