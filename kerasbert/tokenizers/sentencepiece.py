"""The SentencePiece tokenizer of ALBERT, XLNet, XLM-R, RemBERT, DeBERTa-v2, T5 and mT5."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from kerasbert.tokenizers.base import BaseTokenizer
from kerasbert.tokenizers.padding import Template
from kerasbert.tokenizers.ragged import Ragged
from kerasbert.tokenizers.segmentation import as_segmenter, segmenter_config
from kerasbert.tokenizers.sentencepiece_engine import make_engine
from kerasbert.tokenizers.sentencepiece_flavours import find_flavour
from kerasbert.tokenizers.sentencepiece_model import read_model
from kerasbert.tokenizers.sentencepiece_numbers import number_pieces, split_again
from kerasbert.tokenizers.sentencepiece_text import (
    Origins,
    TextRules,
    join_words,
    to_origins,
)
from kerasbert.tokenizers.sentencepiece_vocabulary import SENTINEL, read_vocabulary
from kerasbert.tokenizers.wordpiece import Pieces

AS_FLAVOUR = "as the flavour has it"  # the default of the special tokens, as None means "none"

_CHINESE = (
    "[\u3000-\u303f\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff00-\uffef\U00020000-\U0003134f]"
)
_SPACE_AT_CHINESE = re.compile(f"(?<={_CHINESE}) | (?={_CHINESE})")


class SentencePieceTokenizer(BaseTokenizer):
    """SentencePiece (Kudo and Richardson, 2018), with the special tokens and ids of a family.

    Ids are those of the ``sentencepiece`` library, or, where that is not installed, of
    tensorflow-text. A lone surrogate, which no UTF-8 can hold, is read as U+FFFD.

    Args:
        model: a ``.model`` file (``spiece.model``, ``sentencepiece.bpe.model``,
            ``30k-clean.model``, ...) or its content.
        flavour: whose rules to follow. "albert" (text rules, ``[CLS] a [SEP] b [SEP]``), "xlnet"
            (text rules, ``a <sep> b <sep> <cls>``, padding on the left), "xlm_roberta" (the ids of
            fairseq, ``<s> a </s></s> b </s>``), "rembert", "deberta_v2", "t5" (``a </s>``,
            sentinels ``<extra_id_0>``, ...; for mT5 as well), or "plain": the model as it is.
        token_start: put before every text; None for none. By default, like those below, that of the
            flavour; "plain" has ``[CLS]`` and ``[SEP]`` if the model holds them.
        token_end: put after every text; None for none.
        token_unk: stands for what the vocabulary does not hold.
        token_pad: fills short rows; a vocabulary may lack it.
        token_mask: stands for a word to guess; a vocabulary may lack it.
        do_lower_case: whether to lower-case; like the next three, None is as the flavour does.
        keep_accents: False decomposes characters (NFKD) and strips accents.
        remove_space: whether every run of white space becomes one space.
        replace_quotes: whether two backticks or apostrophes become one quotation mark.
            Google's ALBERT code does not do that, while the Transformers library does.
        pre_tokenize: cuts texts into words, which are tokenized with spaces between them (CPM):
            "jieba", "rjieba", "auto", or a function of a text that returns its words.
        token_translate: tokens to use in place of others.
        keep_tokens: ids to keep of the full vocabulary; a token's id is its place in this list.
            Text is split into these alone. For ``build_transformer_model(..., keep_tokens=...)``.
        extra_ids: how many sentinels follow the pieces. None: 100 for "t5" if the model itself
            holds none, else 0.
        keep_special_tokens: whether a special token in a text is one token, so that "[MASK]" in a
            text is a mask; a list names further tokens to keep whole. False splits them like any
            other text.
        added_tokens: tokens with ids after the vocabulary's.
        padding_side: "right" or "left"; None is the side of the flavour.
        model_max_length: most tokens that the model takes.

    Attributes:
        flavour: as given.
        model: the content of a model file to encode with: as given, or with other ids.
        pre_tokenize: the function given, or None.
        piece_count: how many pieces the model holds.
        id_of_piece: the id for each piece of the model, or None where that is the piece's number.
        number_pieces: for pieces that are split again the pieces to take instead, and the number of
            characters of each.
        rules: what is done to a text first.

    Raises:
        ValueError: the file is no SentencePiece model, or lacks the flavour's special tokens.
        ImportError: neither of the two libraries is installed.
    """

    mask_takes_space_before = True

    def __init__(
        self,
        model: str | os.PathLike | bytes,
        flavour: str = "plain",
        token_start: str | None = AS_FLAVOUR,
        token_end: str | None = AS_FLAVOUR,
        token_unk: str | None = AS_FLAVOUR,
        token_pad: str | None = AS_FLAVOUR,
        token_mask: str | None = AS_FLAVOUR,
        do_lower_case: bool | None = None,
        keep_accents: bool | None = None,
        remove_space: bool | None = None,
        replace_quotes: bool | None = None,
        pre_tokenize: str | Mapping | Callable[[str], Iterable[str]] | None = None,
        token_translate: Mapping[str, str] | None = None,
        keep_tokens: Sequence[int] | None = None,
        extra_ids: int | None = None,
        keep_special_tokens: bool | Sequence[str] = True,
        added_tokens: Sequence[str] = (),
        padding_side: str | None = None,
        model_max_length: int | None = None,
    ):
        family = find_flavour(flavour)
        given = read_model(model)
        keep_tokens = None if keep_tokens is None else [int(at) for at in keep_tokens]
        vocabulary = read_vocabulary(given, family, extra_ids, keep_tokens)
        held = vocabulary.token_dict
        if flavour == "plain":
            family = replace(
                family,
                token_start=_first_of(("[CLS]",), held),
                token_end=_first_of(("[SEP]",), held),
                token_pad=_first_of(("<pad>", "[PAD]"), held),
                token_mask=_first_of(("<mask>", "[MASK]"), held),
            )
        names = [
            own if name == AS_FLAVOUR else name
            for name, own in (
                (token_start, family.token_start),
                (token_end, family.token_end),
                (token_unk, vocabulary.unknown),
                (token_pad, family.token_pad),
                (token_mask, family.token_mask),
            )
        ]
        self.flavour, self._family = flavour, family
        self._special, self._bytes = vocabulary.special, vocabulary.bytes
        self._token_translate = dict(token_translate or {})
        self._translated = {
            held[token]: held.get(other, held[vocabulary.unknown])
            for token, other in self._token_translate.items()
            if token in held
        }
        super().__init__(
            vocabulary.tokens,
            held,
            *names,
            keep_special_tokens=keep_special_tokens,
            added_tokens=added_tokens,
            padding_side=padding_side,
            model_max_length=model_max_length,
        )
        self.pre_tokenize = as_segmenter(pre_tokenize)
        self.rules = TextRules(
            *(
                own if given is None else given
                for given, own in (
                    (remove_space, family.rules.squeeze_spaces),
                    (replace_quotes, family.rules.replace_quotes),
                    (
                        None if keep_accents is None else not keep_accents,
                        family.rules.strip_accents,
                    ),
                    (do_lower_case, family.rules.lower),
                )
            )
        )
        self._has_rules = bool(self.rules)
        self._extra_ids, self._keep_tokens, self._given_model = extra_ids, keep_tokens, given
        self.model = vocabulary.model
        self._engine = make_engine(self.model)
        pieces = vocabulary.pieces.names
        self.piece_count = len(pieces)
        self.number_pieces = {}
        if family.splits_numbers:
            unknown = pieces.index(vocabulary.unknown)
            self.number_pieces = number_pieces(pieces, self._engine.encode, unknown)
        self.id_of_piece = vocabulary.id_of_piece
        if self._translated:
            own = self.id_of_piece or range(self.piece_count)
            self.id_of_piece = [self._translated.get(at, at) for at in own]
        self._has_tables = bool(self.number_pieces) or self.id_of_piece is not None

    def get_config(self) -> dict[str, Any]:
        """Every argument, with the model itself (base64) in place of a path."""
        return {
            "model": base64.b64encode(self._given_model).decode(),
            "flavour": self.flavour,
            "do_lower_case": self.rules.lower,
            "keep_accents": not self.rules.strip_accents,
            "remove_space": self.rules.squeeze_spaces,
            "replace_quotes": self.rules.replace_quotes,
            "pre_tokenize": segmenter_config(self.pre_tokenize),
            "token_translate": dict(self._token_translate),
            "keep_tokens": self._keep_tokens and list(self._keep_tokens),
            "extra_ids": self._extra_ids,
            **super().get_config(),
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> SentencePieceTokenizer:
        """The tokenizer that :meth:`get_config` describes."""
        return cls(**{**config, "model": base64.b64decode(config["model"])})

    def _vocabulary_files(self) -> dict[str, tuple[str, bytes]]:
        return {"model": (self._family.file_name, self._given_model)}

    @property
    def huggingface_class(self) -> str | None:
        """The name of this tokenizer in the Transformers library, for saved files."""
        return self._family.huggingface_class

    @property
    def template(self) -> Template:
        """What stands around a text and a pair of texts."""
        last = self._family.token_last
        last_id = None if last is None else self._required("the token", last)
        return self._family.template(self.start_id, self.end_id, last_id)

    @property
    def sentinel_ids(self) -> list[int]:
        """The ids of ``<extra_id_0>``, ``<extra_id_1>``, ... (T5)."""
        found = {token: at for token, at in self._token_dict.items() if SENTINEL.match(token)}
        return [found[f"<extra_id_{n}>"] for n in range(len(found)) if f"<extra_id_{n}>" in found]

    def as_layer(
        self, max_length: int | None = None, return_attention_mask: bool = False, **kwargs
    ):
        """This tokenizer as a Keras layer: see :class:`SentencePieceLayer`."""
        from kerasbert.tokenizers.sentencepiece_layer import SentencePieceLayer

        return SentencePieceLayer(self, max_length, return_attention_mask, **kwargs)

    # Text to ids.

    def _encode_text(self, text: str) -> list[int]:
        if self.pre_tokenize is not None:
            text = " ".join(self.pre_tokenize(text))
        if self._has_rules:
            text = self.rules.apply(text)
        pieces = self._engine.encode(text)
        return self._to_ids(pieces) if self._has_tables else pieces

    def _to_ids(self, pieces: list[int]) -> list[int]:
        """The ids of the pieces of a text."""
        numbers, table = self.number_pieces, self.id_of_piece
        if numbers and not numbers.keys().isdisjoint(pieces):
            parts = (numbers[at][0] if at in numbers else (at,) for at in pieces)
            pieces = [part for some in parts for part in some]
        return pieces if table is None else [table[at] for at in pieces]

    def _encode_lists(self, texts: list[str]) -> list[list[int]]:
        rows = self._engine.encode_lists(self._prepare_all(texts))
        return list(map(self._to_ids, rows)) if self._has_tables else rows

    def _prepare_all(self, texts: list[str]) -> list[str]:
        """The texts for SentencePiece."""
        if self.pre_tokenize is not None:
            texts = [" ".join(self.pre_tokenize(text)) for text in texts]
        return self.rules.apply_all(texts) if self._has_rules else texts

    def _encode_with_offsets(self, text: str) -> Pieces:
        rows = self._encode_batch([text], with_offsets=True)
        return Pieces(rows.ids.tolist(), rows.starts.tolist(), rows.ends.tolist())

    def _encode_batch(self, texts: list[str], with_offsets: bool) -> Ragged:
        origins: Sequence[Origins] = ()
        if not with_offsets:
            rows = self._engine.encode_batch(self._prepare_all(texts))
        elif texts and (self._has_rules or self.pre_tokenize is not None):
            texts, origins = zip(*map(self._prepare, texts))
            rows = self._engine.encode_with_offsets(list(texts))
        else:
            rows = self._engine.encode_with_offsets(texts)
        if self.number_pieces:
            rows = split_again(rows, self.number_pieces)
        if origins:
            rows = to_origins(rows, origins)
        if self.id_of_piece is None:
            return rows
        return rows._replace(ids=np.array(self.id_of_piece, np.int32)[rows.ids])

    def _prepare(self, text: str) -> tuple[str, Origins]:
        """The text for SentencePiece, and where its characters were."""
        before = None
        if self.pre_tokenize is not None:
            text, before = join_words(text, list(self.pre_tokenize(text)))
        text, origins = self.rules.apply_with_origins(text)
        return text, origins.through(before)

    def _special_tokens(self) -> list[str]:
        return [*super()._special_tokens(), *sorted(self._special)]

    def _id_of_kept(self, token: str) -> int:
        token_id = super()._id_of_kept(token)
        return self._translated.get(token_id, token_id)

    # Ids to text.

    def decode(self, ids: Iterable[int], tokens: Sequence[str] | None = None) -> str:
        """The text of ids, without special and unknown tokens.

        Spaces are where the text had them, so that Chinese has none. With ``pre_tokenize`` those
        beside Chinese characters, which its words brought in, are taken out.

        Args:
            ids: token ids; not looked at when ``tokens`` are given.
            tokens: the tokens themselves.
        """
        tokens = self.ids_to_tokens(ids) if tokens is None else tokens
        original = {other: token for token, other in self._token_translate.items()}
        found = bytearray()
        for token in tokens:
            token = original.get(token, token)
            if token in self._special:
                continue
            if token in self._bytes:
                found.append(int(token[3:5], 16))
            else:
                found += token.replace("▁", " ").encode("utf-8", "replace")
        text = found.decode("utf-8", "replace")
        text = text[1:] if text[:1] == " " else text
        return text if self.pre_tokenize is None else _SPACE_AT_CHINESE.sub("", text)


def _first_of(names: Sequence[str], held: Mapping[str, int]) -> str | None:
    """The first of the names that the vocabulary holds."""
    return next((name for name in names if name in held), None)
