"""What all tokenizers share: batches, pairs, truncation, padding, special tokens, token and id."""

from __future__ import annotations

import abc
import dataclasses
import functools
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from kerasbert.tokenizers.assembling import assemble, assemble_ids, assemble_lists, assemble_one
from kerasbert.tokenizers.checking import check_vocabulary
from kerasbert.tokenizers.inputs import as_list, as_text, as_texts, unzip_pairs
from kerasbert.tokenizers.options import Options, check_options, known_options
from kerasbert.tokenizers.padding import Shape, Template
from kerasbert.tokenizers.ragged import Ragged
from kerasbert.tokenizers.saving import Saving
from kerasbert.tokenizers.single_text import SingleText
from kerasbert.tokenizers.token_table import TokenTable
from kerasbert.tokenizers.windows import split_into_windows
from kerasbert.tokenizers.words import number_words, words_by_offsets


class BaseTokenizer(TokenTable, SingleText, Saving):
    """Text to model inputs and back.

    A subclass says how a text becomes ids (:meth:`_encode_with_offsets`; also :meth:`_encode_text`,
    :meth:`_encode_batch` and :meth:`_encode_lists` where it can be faster), how tokens become text
    (:meth:`decode`), what stands around texts (:attr:`template`), and what it was made with
    (:meth:`get_config`).

    Args:
        tokens: the tokens by id; None where an id has no token.
        token_dict: token to id.
        token_start: put before every text; None for none.
        token_end: put after every text; None for none.
        token_unk: stands for what the vocabulary does not hold.
        token_pad: fills short rows; a vocabulary may lack it.
        token_mask: stands for a word to guess; a vocabulary may lack it.
        keep_special_tokens: True makes the special tokens in a text one token each, so that
            "[MASK]" in a text is a mask; a list names further tokens to keep whole. False splits
            them like any other text.
        added_tokens: as for :meth:`add_tokens`.
        padding_side: "right" or "left"; None is the usual side of the class.
        model_max_length: most tokens that the model takes: rows are truncated to it when a call
            names no ``max_length``. None for any number.

    Attributes:
        start_id, end_id, unk_id, pad_id, mask_id: ids of the special tokens, or None.
        kept_tokens: the tokens that stay whole in texts, the longest first.
        added_tokens: the tokens that were added to the vocabulary.
        model_max_length: as given.
    """

    def __init__(
        self,
        tokens: Sequence[str | None],
        token_dict: Mapping[str, int],
        token_start: str | None,
        token_end: str | None,
        token_unk: str | None,
        token_pad: str | None,
        token_mask: str | None,
        keep_special_tokens: bool | Sequence[str] = False,
        added_tokens: Sequence[str] = (),
        padding_side: str | None = None,
        model_max_length: int | None = None,
    ):
        super().__init__(
            tokens,
            token_dict,
            token_start,
            token_end,
            token_unk,
            token_pad,
            token_mask,
            keep_special_tokens,
            added_tokens,
        )
        self._padding_side = padding_side
        self.model_max_length = model_max_length

    def check(self, model) -> None:
        """Checks that a model has an embedding row for every id: see :func:`check_vocabulary`."""
        check_vocabulary(model, self)

    # Text to ids: what a subclass says, and around it the tokens that stay whole.

    @abc.abstractmethod
    def _encode_with_offsets(self, text: str) -> tuple[list[int], list[int], list[int]]:
        """The ids of one text without special tokens, and where each token starts and ends."""

    def _encode_text(self, text: str) -> list[int]:
        """The ids of one text, without special tokens."""
        return self._encode_with_offsets(text)[0]

    def _encode_batch(self, texts: list[str], with_offsets: bool) -> Ragged:
        """The ids of many texts, without special tokens, and where the tokens lie if asked."""
        if not with_offsets:
            return Ragged.from_rows([self._encode_text(text) for text in texts])
        rows = [self._encode_with_offsets(text) for text in texts]
        return Ragged.from_rows(*([row[column] for row in rows] for column in range(3)))

    def _encode_lists(self, texts: list[str]) -> list[list[int]]:
        """The ids of many texts, without special tokens, as lists."""
        return self._encode_batch(texts, with_offsets=False).to_lists()

    @property
    def template(self) -> Template:
        """What stands around a text and a pair of texts; subclasses of other families override it.

        Asked once.
        """
        start = () if self.start_id is None else (self.start_id,)
        end = () if self.end_id is None else (self.end_id,)
        return Template(start, end, end)

    @functools.cached_property
    def _template(self) -> Template:
        template = self.template
        if self._padding_side is None:
            return template
        return dataclasses.replace(template, padding_side=self._padding_side)

    def _ids(self, text: str) -> list[int]:
        """The ids of one text, kept tokens among them."""
        if self._kept is None or not self._kept.are_in(text):
            return self._encode_text(text)
        return self._kept.encode(text, self._encode_text)

    def _pieces(self, text: str) -> Ragged:
        """The tokens of one text with their offsets, kept tokens among them, as one row."""
        return self._rows([text], with_offsets=True)

    def _rows(self, texts: list[str], with_offsets: bool, with_words: bool = False) -> Ragged:
        """The tokens of many texts, kept tokens among them."""

        def encode(texts):
            rows = self._encode_batch(texts, with_offsets or with_words)
            if not with_words or rows.words is not None:
                return rows
            return rows._replace(words=number_words(self._begin_words(rows, texts), rows.splits))

        if self._kept is None or not self._kept.are_in_any(texts):
            return encode(texts)
        return self._kept.encode_batch(texts, encode)

    def _lists(self, texts: list[str]) -> list[list[int]]:
        """The ids of many texts, kept tokens among them, as lists."""
        if self._kept is None or not self._kept.are_in_any(texts):
            return self._encode_lists(texts)
        return self._rows(texts, with_offsets=False).to_lists()

    def _begin_words(self, rows: Ragged, texts: list[str]) -> np.ndarray:
        """Whether each token is the first of its word; rows have offsets, no kept tokens."""
        return words_by_offsets(rows, texts)

    def __call__(
        self,
        texts: str | bytes | Iterable,
        pairs: str | bytes | Iterable | None = None,
        *,
        max_length: int | None = None,
        truncation: bool | str = True,
        padding: bool | str = True,
        pad_to_multiple_of: int | None = None,
        truncate_from: str = "right",
        stride: int = 0,
        return_overflowing: bool = False,
        return_offsets: bool = False,
        return_word_ids: bool = False,
        return_tensors: str | None = "np",
    ) -> dict:
        """Tokenizes one text or a batch to model inputs.

        Args:
            texts: one text; or a batch: a list, tuple, numpy array or pandas Series of texts, or of
                (first, second) pairs. Bytes are read as UTF-8, invalid bytes left out.
            pairs: the second text, or as many second texts as there are first ones.
            max_length: most tokens in a row, special tokens counted; None is the tokenizer's
                ``model_max_length``, and where there is none any number.
            truncation: which text of a pair gives way to ``max_length``: True or "longest_first"
                (token by token the longer one, as bert4keras does), "only_first", "only_second";
                or False to leave long rows long.
            padding: True or "longest" pads to the longest row, "max_length" to ``max_length``,
                False not at all.
            pad_to_multiple_of: round the padded length up, for fewer shapes to compile.
            truncate_from: the side that loses tokens, "right" or "left".
            stride: tokens that a window shares with the one before it.
            return_overflowing: cut texts that are too long into windows, each a row of its own.
                Of pairs ``truncation`` must say which text: "only_second" or "only_first".
            return_offsets: also give where each token starts and ends.
            return_word_ids: also give the word that each token belongs to.
            return_tensors: "np" for numpy arrays, "tf" for tensors, None for lists.

        Returns:
            A dict of int32 arrays (texts, length): ``token_ids``; ``segment_ids``, for BERT 0 for
            the first text with its special tokens and 1 for the second; ``attention_mask``, 0 where
            padded. If asked also ``offsets`` (texts, length, 2) in characters of the original text,
            (0, 0) for special tokens; ``word_ids``, counted from 0 in each text of a pair, -1 for
            special tokens; and of windows ``overflow_to_sample`` (windows,), the text that each row
            is of. For a single text without the first axis, unless it is cut into windows. Without
            padding, a batch gives a list of one array per text ("np") or ragged tensors ("tf").

        Raises:
            TypeError: something in the batch is not a text; the message says where.
            ValueError: the arguments do not fit each other.
        """
        if max_length is None and truncation:
            max_length = self.model_max_length
        arguments = (
            max_length,
            truncation,
            padding,
            pad_to_multiple_of,
            truncate_from,
            stride,
            return_overflowing,
            return_offsets,
            return_word_ids,
            return_tensors,
        )
        try:
            options = known_options(*arguments)
        except TypeError:
            options = check_options(*arguments)
        if not isinstance(texts, (str, bytes)):
            return self._batch(texts, pairs, options)
        if pairs is not None and not isinstance(pairs, (str, bytes)):
            raise TypeError(
                f"texts is one text, so pairs must be one as well, got {type(pairs).__name__}."
            )
        if not options.is_plain:
            encoding = self._batch([texts], None if pairs is None else [pairs], options)
            if return_overflowing:
                return encoding
            return {name: rows[0] for name, rows in encoding.items()}
        first = self._ids(texts if isinstance(texts, str) else as_text(texts))
        second = None if pairs is None else self._ids(as_text(pairs))
        encoding = assemble_one(first, second, self._template, options.shape, self.pad_id)
        if return_tensors is None:
            return encoding
        encoding = {name: np.array(row, np.int32) for name, row in encoding.items()}
        return encoding if return_tensors == "np" else _to_tensors(encoding)

    def encode_ids(
        self,
        texts: str | bytes | Iterable,
        pairs: str | bytes | Iterable | None = None,
        max_length: int | None = None,
    ) -> list[int] | list[list[int]]:
        """The token ids of a call and nothing else, which is the quickest way to them.

        Args:
            texts: as in a call of the tokenizer.
            pairs: as in a call of the tokenizer.
            max_length: most tokens in a row, special tokens counted; None is the tokenizer's
                ``model_max_length``, and where there is none any number.

        Returns:
            The ids of one text or pair, or a list of them for a batch, with special tokens,
            without padding.
        """
        if max_length is None:
            max_length = self.model_max_length
        if pairs is None and isinstance(texts, str):
            template = self._template
            ids = [*template.start, *self._ids(texts), *template.end]
            if max_length is None or len(ids) <= max_length:
                return ids
        if not isinstance(texts, (str, bytes)):
            texts, pairs = _read_batch(texts, pairs)
            if pairs is None:
                shape = Shape(max_length, padding=False)
                return assemble_ids(self._lists(texts), self._template, shape)
        found = self(texts, pairs, max_length=max_length, padding=False, return_tensors=None)
        return found["token_ids"]

    def _batch(self, texts, pairs, options: Options) -> dict:
        texts, pairs = _read_batch(texts, pairs)
        shape, tensors = options.shape, options.tensors
        if pairs is None and tensors is None and options.is_plain and not shape.padding:
            return assemble_lists(self._lists(texts), self._template, shape)
        encoding = self._arrays(texts, pairs, options)
        if tensors == "np":
            return encoding
        return _to_tensors(encoding) if tensors == "tf" else _to_lists(encoding)

    def _arrays(self, texts: list[str], pairs: list[str] | None, options: Options) -> dict:
        """The arrays of a batch, or lists of an array for each text."""
        shape, template = options.shape, self._template
        first = self._rows(texts, options.with_offsets, options.with_words)
        second = None
        if pairs is not None:
            second = self._rows(pairs, options.with_offsets, options.with_words)
        if options.stride is None:
            encoding = assemble(first, second, template, shape, self.pad_id)
        else:
            special = template.count(second is not None)
            first, second, samples = split_into_windows(
                first, second, special, shape, options.stride
            )
            encoding = assemble(first, second, template, shape, self.pad_id)
            encoding["overflow_to_sample"] = samples
        if not options.with_offsets:
            encoding.pop("offsets", None)
        return encoding


def _read_batch(texts, pairs) -> tuple[list[str], list[str] | None]:
    """The first and the second texts of a batch, checked."""
    texts = as_list(texts, "texts")
    if pairs is None and texts and not isinstance(texts[0], (str, bytes)):
        texts, pairs = unzip_pairs(texts)
    texts = as_texts(texts, "texts")
    if pairs is not None:
        pairs = as_texts(as_list(pairs, "pairs"), "pairs")
        if len(pairs) != len(texts):
            raise ValueError(f"got {len(texts)} texts but {len(pairs)} pairs.")
    return texts, pairs


def _to_lists(encoding: dict) -> dict:
    return {
        name: [row.tolist() for row in rows] if isinstance(rows, list) else rows.tolist()
        for name, rows in encoding.items()
    }


def _to_tensors(encoding: dict) -> dict:
    return {name: _to_tensor(rows) for name, rows in encoding.items()}


def _to_tensor(rows: np.ndarray | list[np.ndarray]):
    import tensorflow as tf

    if not isinstance(rows, list):
        return tf.constant(rows)
    flat = np.concatenate(rows) if rows else np.zeros(0, np.int32)
    return tf.RaggedTensor.from_row_lengths(flat, [len(row) for row in rows])
