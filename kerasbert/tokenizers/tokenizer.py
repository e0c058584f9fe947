"""The WordPiece tokenizer of BERT and its relatives, with bert4keras's interface."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence

from kerasbert.tokenizers import characters
from kerasbert.tokenizers.base import BaseTokenizer
from kerasbert.tokenizers.detokenize import find_tokens, join_tokens
from kerasbert.tokenizers.inputs import as_text
from kerasbert.tokenizers.ragged import Ragged
from kerasbert.tokenizers.vocabulary import read_tokens, token_ids
from kerasbert.tokenizers.wordpiece import Pieces, WordPiece

# A word with a capital; neither "[CLS]" nor the "<S>" of the Chinese vocabulary is one.
_CAPITAL = re.compile(r"(?:##)?[A-Za-z]*[A-Z][A-Za-z]*$").match


class Tokenizer(BaseTokenizer):
    """WordPiece, equal to the original BERT code on every text.

    ``tokenizer(texts, ...)`` turns a text or a batch into arrays for a model
    (:meth:`BaseTokenizer.__call__`); ``encode``, ``tokenize``, ``decode`` and ``rematch`` are those
    of bert4keras, apart from its defects: a word that the vocabulary cannot spell is ``[UNK]`` (not
    the word itself), token lists passed in stay as they are, positions count in the original text.

    Args:
        token_dict: a ``vocab.txt``, a dict of token to id, or the tokens in order.
        do_lower_case: lower-case and strip accents, as uncased and Chinese checkpoints want.
        word_maxlen: words of more characters are unknown.
        token_start: put before every text; None for none.
        token_end: put after every text; None for none.
        pre_tokenize: a function of a text that returns its words (``jieba.lcut``). Words in the
            vocabulary become one token, others are tokenized as usual (WoBERT).
        token_translate: tokens to use in place of others.
        token_unk: name of the unknown token.
        token_pad: name of the padding token.
        token_mask: name of the mask token.
        keep_special_tokens: True makes the special tokens in a text one token each, so that
            "[MASK]" in a text is a mask; a list names further tokens to keep whole. False, as in
            the original code, splits them like any other text.

    Attributes:
        pre_tokenize: the function given, or None.
        kept_tokens: the tokens that stay whole in texts, the longest first.
        translated_ids: ids that ``token_translate`` replaces, and by what.
    """

    def __init__(
        self,
        token_dict: str | os.PathLike | Mapping[str, int] | Sequence[str],
        do_lower_case: bool = False,
        word_maxlen: int = 200,
        token_start: str | None = "[CLS]",
        token_end: str | None = "[SEP]",
        pre_tokenize: Callable[[str], Iterable[str]] | None = None,
        token_translate: Mapping[str, str] | None = None,
        token_unk: str = "[UNK]",
        token_pad: str | None = "[PAD]",
        token_mask: str | None = "[MASK]",
        keep_special_tokens: bool | Sequence[str] = False,
    ):
        tokens = read_tokens(token_dict)
        super().__init__(
            tokens, token_ids(tokens), token_start, token_end, token_unk, token_pad, token_mask
        )
        self._do_lower_case = do_lower_case
        self._word_maxlen = word_maxlen
        self.pre_tokenize = pre_tokenize
        self._token_translate = dict(token_translate or {})
        self._keep_special_tokens = keep_special_tokens
        self.kept_tokens = self._find_kept_tokens()
        self._kept = (
            re.compile("|".join(map(re.escape, self.kept_tokens))) if self.kept_tokens else None
        )
        self.translated_ids = {
            self._token_dict[token]: self.token_to_id(other)
            for token, other in self._token_translate.items()
            if token in self._token_dict
        }
        self._wordpiece = WordPiece(
            self._token_dict, self.unk_id, do_lower_case, word_maxlen, self.translated_ids
        )

    def get_config(self) -> dict:
        """Every argument, with the tokens themselves in place of a path."""
        kept = self._keep_special_tokens
        return {
            "token_dict": list(self._tokens),
            "do_lower_case": self._do_lower_case,
            "word_maxlen": self._word_maxlen,
            "token_start": self._token_start,
            "token_end": self._token_end,
            "pre_tokenize": self.pre_tokenize,
            "token_translate": dict(self._token_translate),
            "token_unk": self._token_unk,
            "token_pad": self._token_pad,
            "token_mask": self._token_mask,
            "keep_special_tokens": kept if isinstance(kept, bool) else list(kept),
        }

    def as_layer(
        self, max_length: int | None = None, return_attention_mask: bool = False, **kwargs
    ):
        """This tokenizer as a Keras layer: see :class:`TokenizerLayer`."""
        from kerasbert.tokenizers.layer import TokenizerLayer

        return TokenizerLayer(self, max_length, return_attention_mask, **kwargs)

    @classmethod
    def from_config(cls, config: Mapping) -> Tokenizer:
        """The tokenizer that :meth:`get_config` describes."""
        return cls(**config)

    @classmethod
    def from_pretrained(
        cls, checkpoint: str | os.PathLike, do_lower_case: bool | None = None, **options
    ) -> Tokenizer:
        """The tokenizer of a published checkpoint: its vocabulary, and its rule on case.

        Args:
            checkpoint: an archive, a folder or a prefix, as ``build_transformer_model`` takes it.
            do_lower_case: None reads it off the vocabulary, since no published file says it: one
                in which a word has a capital letter (A to Z) is of a cased model.
            **options: as the constructor.

        Raises:
            CheckpointNotFoundError: no vocabulary is there.
        """
        from kerasbert.checkpoints.source import CheckpointNotFoundError, find_checkpoint

        files = find_checkpoint(checkpoint)
        if files.vocab_path is None or files.vocab_path.suffix == ".model":
            raise CheckpointNotFoundError(
                f"No WordPiece vocabulary (vocab.txt) lies with {files.name}. Found: "
                f"{files.vocab_path}. Give its path: Tokenizer('path/to/vocab.txt')."
            )
        tokens = read_tokens(files.vocab_path)
        if do_lower_case is None:
            do_lower_case = not any(map(_CAPITAL, tokens))
        return cls(tokens, do_lower_case=do_lower_case, **options)

    def __reduce__(self):
        # Tables and caches are made anew: a pickle for a worker process holds the arguments only.
        return _from_config, (type(self), self.get_config())

    # Text to ids.

    def _encode_text(self, text: str) -> list[int]:
        if self.pre_tokenize is not None:
            return self._encode_with_offsets(text).ids
        if self._kept is None:
            return self._wordpiece.encode(text)
        ids: list[int] = []
        start = 0
        for match in self._kept.finditer(text):
            ids += self._wordpiece.encode(text[start : match.start()])
            ids.append(self._whole(match.group()))
            start = match.end()
        return ids + self._wordpiece.encode(text[start:])

    def _encode_batch(self, texts: list[str], with_offsets: bool) -> Ragged:
        if self.pre_tokenize is None and not (self._kept and any(map(self._kept.search, texts))):
            return self._wordpiece.encode_batch(texts, with_offsets)
        return super()._encode_batch(texts, with_offsets)

    def _encode_with_offsets(self, text: str) -> Pieces:
        pieces = Pieces([], [], [])
        start = 0
        for match in self._kept.finditer(text) if self._kept else ():
            self._encode_part(text[start : match.start()], start, pieces)
            pieces.add(self._whole(match.group()), *match.span())
            start = match.end()
        self._encode_part(text[start:], start, pieces)
        return pieces

    def _encode_part(self, text: str, offset: int, pieces: Pieces) -> None:
        if self.pre_tokenize is None:
            pieces.add_all(self._wordpiece.reference(text), offset)
            return
        cursor = 0
        for word in self.pre_tokenize(text):
            at = text.find(word, cursor)
            if at < 0:  # a segmenter that changes the text: place the word where we are
                at = cursor
            cursor = min(at + len(word), len(text))
            normal = self._normalize(word)
            if normal in self._token_dict:
                pieces.add(self._whole(normal), offset + at, offset + cursor)
            else:
                pieces.add_all(self._wordpiece.reference(word), offset + at)

    def _whole(self, token: str) -> int:
        """The id, as translated, of a token that is not to be split."""
        token_id = self._token_dict[token]
        return self.translated_ids.get(token_id, token_id)

    def _normalize(self, text: str) -> str:
        return characters.strip_accents(text.lower()) if self._do_lower_case else text

    def _find_kept_tokens(self) -> list[str]:
        """The tokens to keep whole in texts, the longest first."""
        kept = self._keep_special_tokens
        if not kept:
            return []
        further = [] if isinstance(kept, bool) else list(kept)
        missing = [token for token in further if token not in self._token_dict]
        if missing:
            raise ValueError(
                f"keep_special_tokens names tokens that the vocabulary does not hold: {missing}."
            )
        special = [self._token_start, self._token_end, self._token_unk]
        special += [self._token_pad, self._token_mask]
        names = {*further, *(token for token in special if token in self._token_dict)}
        return sorted(names, key=lambda token: (-len(token), token))

    # Tokens to text and to positions.

    def decode(self, ids: Iterable[int], tokens: Sequence[str] | None = None) -> str:
        """The text of ids: without ``[...]`` tokens, words joined as the language at hand wants.

        Args:
            ids: token ids; not looked at when ``tokens`` are given.
            tokens: the tokens themselves.

        Returns:
            Text without spaces between Chinese characters, with one after Latin words.
        """
        tokens = self.ids_to_tokens(ids) if tokens is None else tokens
        return join_tokens([token for token in tokens if not self._is_special(token)])

    def rematch(self, text: str, tokens: Sequence[str]) -> list[list[int]]:
        """For each token, the positions in ``text`` of the characters it was made of.

        Args:
            text: the original text.
            tokens: its tokens as ``tokenize`` gives them, perhaps truncated.

        Returns:
            A list of positions for each token; empty for ``[CLS]``, ``[SEP]`` and the like.

        Raises:
            ValueError: the tokens are not those of the text.
        """
        text, tokens = as_text(text), list(tokens)
        begin, end = self._inner(tokens)
        given = tokens[begin:end]
        pieces = self._encode_with_offsets(text)
        own = self.ids_to_tokens(pieces.ids)
        for skipped in (0, max(len(own) - len(given), 0)):  # whole, or truncated at either side
            if own[skipped : skipped + len(given)] == given:
                spans = zip(pieces.starts[skipped:], pieces.ends[skipped:])
                found = [self._visible(text, *span) for span, _ in zip(spans, given)]
                break
        else:
            stems = ["" if self._is_special(t) else self.stem(self._original(t)) for t in given]
            found = find_tokens(text, stems, self._do_lower_case)
        return [[] for _ in tokens[:begin]] + found + [[] for _ in tokens[end:]]

    def _inner(self, tokens: list[str]) -> tuple[int, int]:
        """Where the tokens of the text itself begin and end."""
        begin, end = 0, len(tokens)
        if tokens[:1] == [self._token_start]:
            begin = 1
        while end > begin and tokens[end - 1] == self._token_pad:
            end -= 1
        if end > begin and tokens[end - 1] == self._token_end:
            end -= 1
        return begin, end

    def _original(self, token: str) -> str:
        """The token that ``token_translate`` turned into this one."""
        inverse = {other: name for name, other in self._token_translate.items()}
        return inverse.get(token, token)

    def _visible(self, text: str, start: int, end: int) -> list[int]:
        """The positions from start to end without the characters that normalisation removes."""
        return [
            at
            for at in range(start, end)
            if not characters.is_dropped(text[at])
            and not (self._do_lower_case and not characters.strip_accents(text[at]))
        ]

    @staticmethod
    def stem(token: str) -> str:
        """The token without the ``##`` that marks the inside of a word."""
        return token[2:] if token[:2] == "##" else token

    @staticmethod
    def _is_special(token: str) -> bool:
        return len(token) > 1 and token[0] == "[" and token[-1] == "]"

    _is_cjk_character = staticmethod(characters.is_cjk)
    _is_punctuation = staticmethod(characters.is_punctuation)


def _from_config(cls: type[Tokenizer], config: dict) -> Tokenizer:
    return cls.from_config(config)
