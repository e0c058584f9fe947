"""The byte-level BPE tokenizer of RoBERTa, GPT-2 and their relatives."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from kerasbert.tokenizers.base import BaseTokenizer
from kerasbert.tokenizers.bytelevel import ByteLevelBPE
from kerasbert.tokenizers.bytelevel_files import (
    read_merges,
    read_tokenizer_json,
    read_vocabulary,
)
from kerasbert.tokenizers.bytelevel_words import byte_characters
from kerasbert.tokenizers.padding import Template
from kerasbert.tokenizers.ragged import Ragged
from kerasbert.tokenizers.wordpiece import Pieces

# GPT-2 has one special token, which stands between documents.
GPT2_TOKENS = {
    "token_start": None,
    "token_end": None,
    "token_unk": "<|endoftext|>",
    "token_pad": None,
    "token_mask": None,
}


class ByteLevelBPETokenizer(BaseTokenizer):
    """Byte-level BPE (Radford et al., 2019): any text, to the byte, without unknown words.

    The defaults are RoBERTa's: ``<s> a </s>`` and ``<s> a </s></s> b </s>``, all with segment id 0.
    For GPT-2: ``ByteLevelBPETokenizer(vocab, merges, **GPT2_TOKENS)``, which puts nothing around a
    text. Needs the library ``tokenizers`` (``pip install 'kerasbert[bpe]'``), and gives its ids
    and offsets. A lone surrogate, which no UTF-8 can hold, is read as U+FFFD.

    Args:
        vocab: a ``vocab.json`` or ``encoder.json``, or a mapping of token to id; or, without
            ``merges``, a ``tokenizer.json``.
        merges: a ``merges.txt`` or ``vocab.bpe``, its lines, or pairs of tokens.
        token_start: put before a text; None for none.
        token_end: put after a text, twice between the texts of a pair; None for none.
        token_unk: stands for tokens that the vocabulary does not hold.
        token_pad: fills short rows; a vocabulary may lack it.
        token_mask: stands for a word to guess; a vocabulary may lack it.
        add_prefix_space: True treats a text's first word like all others, that is as if a space
            were before it; False, as RoBERTa and GPT-2 were trained, tells the two apart.
        trim_offsets: whether the space before a word lies outside of its token's offsets.
        keep_special_tokens: True, as in Hugging Face's library, makes the special tokens in a text
            one token each, so that "<mask>" in a text is a mask (which takes in the white space
            before it); a list names further tokens to keep whole. False splits them like any
            other text.
        added_tokens: as for :meth:`add_tokens`.
        padding_side: "right" or "left"; None is right.
        model_max_length: most tokens that the model takes; None for any number.

    Raises:
        ImportError: the library is not installed.
        ValueError: vocabulary, merges and special tokens do not fit each other.
    """

    mask_takes_space_before = True

    def __init__(
        self,
        vocab: str | os.PathLike | Mapping[str, int],
        merges: str | os.PathLike | Sequence[str | Sequence[str]] | None = None,
        token_start: str | None = "<s>",
        token_end: str | None = "</s>",
        token_unk: str | None = "<unk>",
        token_pad: str | None = "<pad>",
        token_mask: str | None = "<mask>",
        add_prefix_space: bool = False,
        trim_offsets: bool = True,
        keep_special_tokens: bool | Sequence[str] = True,
        added_tokens: Sequence[str] = (),
        padding_side: str | None = None,
        model_max_length: int | None = None,
    ):
        if merges is None:
            if not isinstance(vocab, (str, os.PathLike)):
                raise ValueError("a vocabulary alone is not enough: give its merges as well.")
            vocab, merges, _ = read_tokenizer_json(vocab)
        token_dict, self._merges = read_vocabulary(vocab), read_merges(merges)
        tokens: list[str | None] = [None] * (1 + max(token_dict.values(), default=-1))
        for token, at in token_dict.items():
            tokens[at] = token
        super().__init__(
            tokens,
            token_dict,
            token_start,
            token_end,
            token_unk,
            token_pad,
            token_mask,
            keep_special_tokens=keep_special_tokens,
            added_tokens=added_tokens,
            padding_side=padding_side,
            model_max_length=model_max_length,
        )
        self._add_prefix_space, self._trim_offsets = add_prefix_space, trim_offsets
        self._bpe = ByteLevelBPE(
            token_dict, self._merges, token_unk, add_prefix_space, trim_offsets
        )
        self._byte_of = {char: byte for byte, char in enumerate(byte_characters())}

    @property
    def huggingface_class(self) -> str:
        """Of the two classes there, the one that puts the same tokens around a text."""
        return "RobertaTokenizer" if self._is_enclosing else "GPT2Tokenizer"

    @property
    def stop_id(self) -> int | None:
        """The end token's id; of GPT-2, which puts none after a text, its only special token's."""
        return self.end_id if self._is_enclosing else self.unk_id

    @property
    def _is_enclosing(self) -> bool:
        return self.start_id is not None or self.end_id is not None

    def get_config(self) -> dict[str, Any]:
        """Every argument, with vocabulary and merges themselves in place of paths."""
        own = enumerate(self._own_tokens)
        return {
            "vocab": {token: at for at, token in own if token is not None},
            "merges": [" ".join(pair) for pair in self._merges],
            "add_prefix_space": self._add_prefix_space,
            "trim_offsets": self._trim_offsets,
            **super().get_config(),
        }

    def _vocabulary_files(self) -> dict[str, tuple[str, bytes]]:
        config = self.get_config()
        merges = "\n".join(["#version: 0.2", *config["merges"], ""])
        return {
            "vocab": ("vocab.json", json.dumps(config["vocab"], ensure_ascii=False).encode()),
            "merges": ("merges.txt", merges.encode()),
        }

    def as_layer(
        self, max_length: int | None = None, return_attention_mask: bool = False, **kwargs
    ):
        """This tokenizer as a Keras layer: see :class:`ByteLevelBPELayer`."""
        from kerasbert.tokenizers.bytelevel_layer import ByteLevelBPELayer

        return ByteLevelBPELayer(self, max_length, return_attention_mask, **kwargs)

    @property
    def merges(self) -> list[tuple[str, str]]:
        """The pairs of tokens that are joined, the first ones first."""
        return list(self._merges)

    @property
    def template(self) -> Template:
        """``<s> a </s>`` and ``<s> a </s></s> b </s>``, of one segment."""
        start = () if self.start_id is None else (self.start_id,)
        end = () if self.end_id is None else (self.end_id,)
        return Template(start, end + end, end, segments=(0, 0))

    # Text to ids.

    def _encode_text(self, text: str) -> list[int]:
        return self._bpe.encode(text)

    def _encode_batch(self, texts: list[str], with_offsets: bool) -> Ragged:
        if with_offsets:
            return self._bpe.encode_with_offsets(texts)
        return self._bpe.encode_batch(texts)

    def _encode_with_offsets(self, text: str) -> Pieces:
        found = self._bpe.encode_with_offsets([text])
        return Pieces(found.ids.tolist(), found.starts.tolist(), found.ends.tolist())

    # Ids to text.

    def decode(self, ids: Iterable[int], tokens: Sequence[str] | None = None) -> str:
        """The text of ids, to the byte, without special tokens.

        Args:
            ids: token ids; not looked at when ``tokens`` are given.
            tokens: the tokens themselves.

        Returns:
            The text that was tokenized, with the space that ``add_prefix_space`` put before it.
            Bytes that are no UTF-8, such as half a character, are U+FFFD.
        """
        tokens = self.ids_to_tokens(ids) if tokens is None else tokens
        special, found = set(self._special_tokens()), bytearray()
        for token in tokens:
            if token in special:
                continue
            try:
                found += bytes([self._byte_of[char] for char in token])
            except KeyError:  # a token added later, which is written as it is
                found += token.encode("utf-8")
        return found.decode("utf-8", "replace")
