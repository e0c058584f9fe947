"""What all tokenizers share: batches, pairs, truncation, padding, special tokens, token and id."""

from __future__ import annotations

import abc
from collections.abc import Iterable, Sequence

import numpy as np

from kerasbert.tokenizers.inputs import as_list, as_text, as_texts, unzip_pairs
from kerasbert.tokenizers.padding import Shape, Template, assemble, assemble_one, longest_first
from kerasbert.tokenizers.ragged import Ragged


class BaseTokenizer(abc.ABC):
    """Text to model inputs and back.

    A subclass says how a text becomes ids (:meth:`_encode_with_offsets`; also :meth:`_encode_text`
    and :meth:`_encode_batch` where it can be faster) and how tokens become text (:meth:`decode`).

    Args:
        tokens: the tokens by id; None where an id has no token.
        token_dict: token to id.
        token_start: put before every text; None for none.
        token_end: put after every text; None for none.
        token_unk: stands for what the vocabulary does not hold.
        token_pad: fills short rows; a vocabulary may lack it.
        token_mask: stands for a word to guess; a vocabulary may lack it.

    Attributes:
        start_id, end_id, unk_id, pad_id, mask_id: ids of the special tokens, or None.
    """

    def __init__(
        self,
        tokens: Sequence[str | None],
        token_dict: dict[str, int],
        token_start: str | None,
        token_end: str | None,
        token_unk: str,
        token_pad: str | None,
        token_mask: str | None,
    ):
        self._tokens, self._token_dict = list(tokens), token_dict
        self._token_start, self._token_end = token_start, token_end
        self._token_unk, self._token_pad, self._token_mask = token_unk, token_pad, token_mask
        self.start_id = self._required("token_start", token_start)
        self.end_id = self._required("token_end", token_end)
        self.unk_id = self._required("token_unk", token_unk)
        self.pad_id = token_dict.get(token_pad)
        self.mask_id = token_dict.get(token_mask)

    # The attribute names of bert4keras, which scripts read.
    _token_start_id = property(lambda self: self.start_id)
    _token_end_id = property(lambda self: self.end_id)
    _token_unk_id = property(lambda self: self.unk_id)
    _token_pad_id = property(lambda self: self.pad_id)
    _token_mask_id = property(lambda self: self.mask_id)
    _vocab_size = property(lambda self: self.vocab_size)

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

    # Text to ids.

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

    @property
    def template(self) -> Template:
        """What stands around a text and a pair of texts; subclasses of other families override it.

        Asked in every call, so that it follows the special tokens: keep it cheap.
        """
        start = () if self.start_id is None else (self.start_id,)
        end = () if self.end_id is None else (self.end_id,)
        return Template(start, end, end)

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
        return_offsets: bool = False,
        return_tensors: str | None = "np",
    ) -> dict:
        """Tokenizes one text or a batch to model inputs.

        Args:
            texts: one text; or a batch: a list, tuple, numpy array or pandas Series of texts, or of
                (first, second) pairs. Bytes are read as UTF-8, invalid bytes left out.
            pairs: the second text, or as many second texts as there are first ones.
            max_length: most tokens in a row, special tokens counted.
            truncation: which text of a pair gives way to ``max_length``: True or "longest_first"
                (token by token the longer one, as bert4keras does), "only_first", "only_second";
                or False to leave long rows long.
            padding: True or "longest" pads to the longest row, "max_length" to ``max_length``,
                False not at all.
            pad_to_multiple_of: round the padded length up, for fewer shapes to compile.
            truncate_from: the side that loses tokens, "right" or "left".
            return_offsets: also give where each token starts and ends.
            return_tensors: "np" for numpy arrays, "tf" for tensors, None for lists.

        Returns:
            A dict of int32 arrays (texts, length): ``token_ids``; ``segment_ids``, 0 for the first
            text with its special tokens and 1 for the second; ``attention_mask``, 0 where padded;
            and, if asked, ``offsets`` (texts, length, 2) in characters of the original text, (0, 0)
            for special tokens. For a single text without the first axis. Without padding, a batch
            gives a list of one array per text ("np") or ragged tensors ("tf").

        Raises:
            TypeError: something in the batch is not a text; the message says where.
            ValueError: the arguments do not fit each other.
        """
        shape = Shape(max_length, truncation, padding, pad_to_multiple_of, truncate_from)
        if return_tensors not in ("np", "tf", None):
            raise ValueError(f'return_tensors must be "np", "tf" or None, got {return_tensors!r}.')
        if isinstance(texts, (str, bytes)):
            if pairs is not None and not isinstance(pairs, (str, bytes)):
                raise TypeError(
                    f"texts is one text, so pairs must be one as well, got {type(pairs).__name__}."
                )
            if not return_offsets:
                first = self._encode_text(as_text(texts))
                second = None if pairs is None else self._encode_text(as_text(pairs))
                encoding = assemble_one(first, second, self.template, shape, self.pad_id)
                if return_tensors is None:
                    return encoding
                encoding = {name: np.array(row, np.int32) for name, row in encoding.items()}
            else:
                batch = self._batch([texts], None if pairs is None else [pairs], shape, True)
                encoding = {name: rows[0] for name, rows in batch.items()}
        else:
            encoding = self._batch(texts, pairs, shape, return_offsets)
        if return_tensors == "np":
            return encoding
        convert = _to_lists if return_tensors is None else _to_tensor
        return {name: convert(rows) for name, rows in encoding.items()}

    def _batch(self, texts, pairs, shape: Shape, with_offsets: bool) -> dict:
        texts = as_list(texts, "texts")
        if pairs is None and texts and not isinstance(texts[0], (str, bytes)):
            texts, pairs = unzip_pairs(texts)
        first = as_texts(texts, "texts")
        if pairs is None:
            second = None
        else:
            seconds = as_texts(as_list(pairs, "pairs"), "pairs")
            if len(seconds) != len(first):
                raise ValueError(f"got {len(first)} texts but {len(seconds)} pairs.")
            second = self._encode_batch(seconds, with_offsets)
        rows = self._encode_batch(first, with_offsets)
        return assemble(rows, second, self.template, shape, self.pad_id)

    def encode(
        self,
        first_text: str | Sequence[str],
        second_text: str | Sequence[str] | None = None,
        maxlen: int | None = None,
        pattern: str = "S*E*E",
        truncate_from: str | int = "right",
    ) -> tuple[list[int], list[int]]:
        """Encodes one text or pair; signature and results are bert4keras's.

        Args:
            first_text: a text, or a list of tokens (special tokens included), which is left as it
                is.
            second_text: the same, or None.
            maxlen: most tokens in all, special tokens counted. As long as there are more, the
                longer text (the first of two equally long ones) loses one.
            pattern: "S*E*E" leaves out the start token of the second text; anything else keeps it.
            truncate_from: "right" (before the end token), "left" (after the start token), or the
                index at which tokens are taken out.

        Returns:
            Token ids and segment ids (0 for the first text, 1 for the second).

        Raises:
            ValueError: ``maxlen`` cannot be reached.
        """
        first = self._ids_with_specials(first_text)
        second = None if second_text is None else self._ids_with_specials(second_text)
        joins = second is not None and pattern == "S*E*E" and self.start_id is not None
        if maxlen is not None:
            special = self.template.count(second is not None)
            if maxlen < special and truncate_from in ("right", "left"):
                raise ValueError(
                    f"maxlen={maxlen} is less than the {special} special tokens around the text."
                )
            if truncate_from == "right":
                index = -1 - (self.end_id is not None)
            elif truncate_from == "left":
                index = int(self.start_id is not None)
            else:
                index = truncate_from
            sequences = [first] if second is None else [first, second]
            _truncate(sequences, maxlen + joins, index)
        if second is None:
            return first, [0] * len(first)
        if joins:
            second = second[1:]
        return first + second, [0] * len(first) + [1] * len(second)

    def tokenize(self, text: str, maxlen: int | None = None) -> list[str]:
        """The tokens of a text with start and end token, at most ``maxlen`` in all."""
        ids = self._ids_with_specials(as_text(text))
        if maxlen is not None:
            _truncate([ids], maxlen, -1 - (self.end_id is not None))
        return self.ids_to_tokens(ids)

    def _ids_with_specials(self, text: str | bytes | Sequence[str]) -> list[int]:
        if not isinstance(text, (str, bytes)) and isinstance(text, Sequence):
            return self.tokens_to_ids(text)
        template = self.template
        return [*template.start, *self._encode_text(as_text(text)), *template.end]

    # Tokens and ids.

    def token_to_id(self, token: str) -> int:
        """The id of a token, the unknown id for one that is not in the vocabulary."""
        return self._token_dict.get(token, self.unk_id)

    def tokens_to_ids(self, tokens: Iterable[str]) -> list[int]:
        """The ids of tokens."""
        return [self.token_to_id(token) for token in tokens]

    def id_to_token(self, i: int) -> str:
        """The token of an id."""
        token = self._tokens[i] if 0 <= i < len(self._tokens) else None
        if token is None:
            raise ValueError(
                f"id {i} has no token: the vocabulary's ids run from 0 to {len(self._tokens) - 1}."
            )
        return token

    def ids_to_tokens(self, ids: Iterable[int]) -> list[str]:
        """The tokens of ids."""
        return [self.id_to_token(i) for i in ids]

    @abc.abstractmethod
    def decode(self, ids: Iterable[int], tokens: Sequence[str] | None = None) -> str:
        """The text of ids, or of ``tokens`` if given."""

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


def _truncate(sequences: list[list[int]], maxlen: int, index: int) -> None:
    """Takes elements at ``index`` out of the longest sequence until all fit ``maxlen`` together."""
    lengths = [len(sequence) for sequence in sequences]
    if len(lengths) == 1:
        kept = (min(*lengths, maxlen),)
    else:
        kept = longest_first(*lengths, maxlen, min, max)
    for sequence, length, keep in zip(sequences, lengths, kept):
        lost = length - keep
        start = index if index >= 0 else length + index + 1 - lost
        if lost and not 0 <= start <= keep:
            raise ValueError(
                f"cannot truncate to {maxlen} tokens by taking them out at index {index}: too few "
                "are left there. Give a larger maxlen."
            )
        del sequence[start : start + lost]


def _to_lists(rows: np.ndarray | list[np.ndarray]) -> list:
    return [row.tolist() for row in rows] if isinstance(rows, list) else rows.tolist()


def _to_tensor(rows: np.ndarray | list[np.ndarray]):
    import tensorflow as tf

    if not isinstance(rows, list):
        return tf.constant(rows)
    flat = np.concatenate(rows) if rows else np.zeros(0, np.int32)
    return tf.RaggedTensor.from_row_lengths(flat, [len(row) for row in rows])
