"""The WordPiece tokenizer of BERT and its relatives, with bert4keras's interface."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np

from kerasbert.tokenizers import characters
from kerasbert.tokenizers.base import BaseTokenizer
from kerasbert.tokenizers.detokenize import find_tokens, join_tokens
from kerasbert.tokenizers.inputs import as_text
from kerasbert.tokenizers.ragged import Ragged
from kerasbert.tokenizers.segmentation import as_segmenter, segmenter_config
from kerasbert.tokenizers.vocabulary import (
    parse_vocabulary,
    read_tokens,
    token_ids,
    vocabulary_lines,
)
from kerasbert.tokenizers.wordpiece import Pieces, WordPiece
from kerasbert.tokenizers.words import number_words


class Tokenizer(BaseTokenizer):
    """WordPiece, equal to the original BERT code on every text.

    ``tokenizer(texts, ...)`` turns a text or a batch into arrays for a model
    (:meth:`BaseTokenizer.__call__`); ``encode``, ``tokenize``, ``decode`` and ``rematch`` are those
    of bert4keras, apart from its defects: a word that the vocabulary cannot spell is ``[UNK]`` (not
    the word itself), token lists passed in stay as they are, positions count in the original text.

    Args:
        token_dict: a ``vocab.txt``, a dict of token to id, or the tokens in order.
        do_lower_case: lower-case (and strip accents), as uncased and Chinese checkpoints want.
        word_maxlen: words of more characters are unknown.
        token_start: put before every text; None for none.
        token_end: put after every text; None for none.
        pre_tokenize: cuts texts into words: "jieba", "rjieba" or "auto" as for
            :func:`~kerasbert.tokenizers.segmentation.segmenter`, its arguments as a dict, or a
            function of a text that returns its words. Words in the vocabulary become one token,
            others are tokenized as usual (WoBERT, RoFormer).
        token_translate: tokens to use in place of others.
        token_unk: name of the unknown token.
        token_pad: name of the padding token.
        token_mask: name of the mask token.
        keep_special_tokens: True makes the special tokens in a text one token each, so that
            "[MASK]" in a text is a mask; a list names further tokens to keep whole. False, as in
            the original code, splits them like any other text.
        strip_accents: None strips accents when lower-casing; True or False whatever the case.
        tokenize_chinese_chars: whether each Chinese character is a word.
        added_tokens: as for :meth:`~BaseTokenizer.add_tokens`.
        padding_side: "right" or "left"; None is "right".
        model_max_length: the length that rows are truncated to when a call names none.

    Attributes:
        pre_tokenize: the function that cuts into words, or None.
        translated_ids: ids that ``token_translate`` replaces, and by what.
    """

    huggingface_class = "BertTokenizer"

    def __init__(
        self,
        token_dict: str | os.PathLike | Mapping[str, int] | Sequence[str],
        do_lower_case: bool = False,
        word_maxlen: int = 200,
        token_start: str | None = "[CLS]",
        token_end: str | None = "[SEP]",
        pre_tokenize: str | Mapping | Callable[[str], Iterable[str]] | None = None,
        token_translate: Mapping[str, str] | None = None,
        token_unk: str = "[UNK]",
        token_pad: str | None = "[PAD]",
        token_mask: str | None = "[MASK]",
        keep_special_tokens: bool | Sequence[str] = False,
        strip_accents: bool | None = None,
        tokenize_chinese_chars: bool = True,
        added_tokens: Sequence[str] = (),
        padding_side: str | None = None,
        model_max_length: int | None = None,
    ):
        tokens = read_tokens(token_dict)
        vocabulary = token_ids(tokens)
        self._token_translate = dict(token_translate or {})
        super().__init__(
            tokens,
            vocabulary,
            token_start,
            token_end,
            token_unk,
            token_pad,
            token_mask,
            keep_special_tokens,
            added_tokens,
            padding_side,
            model_max_length,
        )
        self._word_maxlen = word_maxlen
        self._do_lower_case, self._strip_accents = do_lower_case, strip_accents
        self._split_cjk = tokenize_chinese_chars
        self.pre_tokenize = as_segmenter(pre_tokenize)
        self.translated_ids = {
            self._token_dict[token]: self.token_to_id(other)
            for token, other in self._token_translate.items()
            if token in self._token_dict
        }
        strips = do_lower_case if strip_accents is None else strip_accents
        self.rules = characters.Rules(do_lower_case, strips, tokenize_chinese_chars)
        self._wordpiece = WordPiece(
            vocabulary, self.unk_id, self.rules, word_maxlen, self.translated_ids
        )

    def get_config(self) -> dict:
        """Every argument, with the tokens themselves in place of a path."""
        return {
            "token_dict": list(self._own_tokens),
            "do_lower_case": self._do_lower_case,
            "word_maxlen": self._word_maxlen,
            "pre_tokenize": segmenter_config(self.pre_tokenize),
            "token_translate": dict(self._token_translate),
            "strip_accents": self._strip_accents,
            "tokenize_chinese_chars": self._split_cjk,
            **super().get_config(),
        }

    def _vocabulary_files(self) -> dict[str, tuple[str, bytes]]:
        tokens = self._own_tokens
        content = vocabulary_lines(tokens)
        # A file cannot hold everything that a list can: then the list goes into the configuration.
        is_exact = content is not None and parse_vocabulary(content) == tokens
        return {"token_dict": ("vocab.txt", content)} if is_exact else {}

    def as_layer(
        self, max_length: int | None = None, return_attention_mask: bool = False, **kwargs
    ):
        """This tokenizer as a Keras layer: see :class:`TokenizerLayer`."""
        from kerasbert.tokenizers.layer import TokenizerLayer

        return TokenizerLayer(self, max_length, return_attention_mask, **kwargs)

    # Text to ids.

    def _encode_text(self, text: str) -> list[int]:
        if self.pre_tokenize is None:
            return self._wordpiece.encode(text)
        return self._encode_with_offsets(text).ids

    def _encode_batch(self, texts: list[str], with_offsets: bool) -> Ragged:
        if self.pre_tokenize is None:
            return self._wordpiece.encode_batch(texts, with_offsets)
        if not with_offsets:
            return super()._encode_batch(texts, with_offsets)
        rows, words = [], []
        for text in texts:
            pieces, numbers = Pieces([], [], []), []
            for number, word in enumerate(self._words(text)):
                pieces.add_all(word, 0)
                numbers += [number] * len(word.ids)
            rows.append(pieces)
            words.append(numbers)
        rows = Ragged.from_rows(*([row[column] for row in rows] for column in range(3)), words)
        # A word may have had no token, and leave no gap.
        begins = np.ones(len(rows.ids), np.bool_)
        np.not_equal(rows.words[1:], rows.words[:-1], out=begins[1:])
        return rows._replace(words=number_words(begins, rows.splits))

    def _encode_with_offsets(self, text: str) -> Pieces:
        if self.pre_tokenize is None:
            return self._wordpiece.reference(text)
        pieces = Pieces([], [], [])
        for word in self._words(text):
            pieces.add_all(word, 0)
        return pieces

    def _words(self, text: str) -> Iterator[Pieces]:
        """The tokens of each word that ``pre_tokenize`` cuts out."""
        cursor = 0
        for word in self.pre_tokenize(text):
            at = text.find(word, cursor)
            if at < 0:  # a segmenter that changes the text: place the word where we are
                at = cursor
            cursor = min(at + len(word), len(text))
            normal, pieces = self._normalize(word), Pieces([], [], [])
            if normal in self._wordpiece:
                pieces.add(self._id_of_kept(normal), at, cursor)
            else:
                pieces.add_all(self._wordpiece.reference(word), at)
            yield pieces

    def _begin_words(self, rows: Ragged, texts: list[str]) -> np.ndarray:
        return self._wordpiece.begins_word(rows.ids)

    def _id_of_kept(self, token: str) -> int:
        return self.token_to_id(self._token_translate.get(token, token))

    def _normalize(self, text: str) -> str:
        text = text.lower() if self.rules.lower else text
        return characters.strip_accents(text) if self.rules.strip_accents else text

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
        pieces = self._pieces(text)
        own = self.ids_to_tokens(pieces.ids.tolist())
        for skipped in (0, max(len(own) - len(given), 0)):  # whole, or truncated at either side
            if own[skipped : skipped + len(given)] == given:
                spans = zip(pieces.starts[skipped:].tolist(), pieces.ends[skipped:].tolist())
                found = [self._visible(text, *span) for span, _ in zip(spans, given)]
                break
        else:
            stems = ["" if self._is_special(t) else self.stem(self._original(t)) for t in given]
            found = find_tokens(text, stems, self.rules)
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
            and not (self.rules.strip_accents and not characters.strip_accents(text[at]))
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
