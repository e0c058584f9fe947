"""What users have (ids in lists, arrays with padding, texts, labels), read into flat arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

# The column of labels that are one per token.
TOKEN_LABELS = "labels"


@dataclass(frozen=True)
class Examples:
    """Examples without padding, one after the other.

    Attributes:
        columns: values per token, int32 (tokens in all,): "token_ids", other inputs such as
            "segment_ids", and "labels" where these are one per token.
        splits: int64 (examples + 1,); example i is ``column[splits[i]:splits[i + 1]]``.
        labels: values per example, arrays with a first axis of examples: none, one under "", or
            several by the name of the model's output.
    """

    columns: dict[str, np.ndarray]
    splits: np.ndarray
    labels: dict[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.splits) - 1


class Reader(NamedTuple):
    """How examples are read.

    Attributes:
        inputs: the names of the model's inputs, in order; "attention_mask" is made when padding.
        tokenizer: for examples that are texts.
        max_length: most tokens of an example.
        pad_id: marks padding in arrays that come without an attention mask.
        token_labels: whether labels are one per token.
    """

    inputs: Sequence[str] = ("token_ids", "segment_ids")
    tokenizer: Callable | None = None
    max_length: int | None = None
    pad_id: int = 0
    token_labels: bool = False

    def read(self, examples, labels=None) -> Examples:
        """Reads and checks examples; see :func:`kerasbert.data.batches` for what they may be.

        Raises:
            TypeError: something is of the wrong kind.
            ValueError: numbers of examples, tokens and labels do not fit each other.
        """
        given = dict(self._encoding(examples))
        if "token_ids" not in given:
            raise ValueError(f"the encoding must have 'token_ids', got {sorted(given)}.")
        if self.token_labels:
            if labels is None:
                raise ValueError("token_label_pad is given, but there are no labels.")
            given[TOKEN_LABELS] = labels

        columns, splits = {}, None
        for name in self._columns(given):
            columns[name], own = _flatten(given[name], name)
            splits = own if splits is None else splits
            _check_same_lengths(splits, own, name)
        mask = columns.pop("attention_mask", None)
        if mask is None and getattr(given["token_ids"], "ndim", 1) == 2:
            mask = _before_padding(columns["token_ids"].reshape(len(splits) - 1, -1), self.pad_id)
        if mask is not None:
            mask = mask != 0
            splits = _splits_of_kept(mask, splits)
            columns = {name: column[mask] for name, column in columns.items()}
        columns = {name: column.astype(np.int32) for name, column in columns.items()}
        if "segment_ids" in self.inputs and "segment_ids" not in columns:
            columns["segment_ids"] = np.zeros(splits[-1], np.int32)

        _check_lengths(np.diff(splits), self.max_length)
        _check_not_negative(columns["token_ids"], splits)
        per_example = None if self.token_labels else labels
        return Examples(columns, splits, _read_labels(per_example, len(splits) - 1))

    def _encoding(self, examples) -> Mapping:
        """The columns by name, of texts, a mapping, a tuple or only token ids."""
        if self.tokenizer is not None:
            return self.tokenizer(examples, max_length=self.max_length, padding=False)
        if isinstance(examples, Mapping):
            return examples
        if not isinstance(examples, tuple):
            return {"token_ids": examples}
        if len(examples) != 2:
            raise ValueError(
                f"a tuple must be (token_ids, segment_ids), got {len(examples)} elements: give "
                "examples in a list, or a dict of token_ids, segment_ids and other inputs."
            )
        return dict(zip(("token_ids", "segment_ids"), examples))

    def _columns(self, given: Mapping) -> list[str]:
        """The names of what is read, token_ids first."""
        missing = set(self.inputs) - set(given) - {"segment_ids", "attention_mask"}
        if missing:
            raise ValueError(
                f"inputs asks for {sorted(missing)}, but the encoding only has {sorted(given)}."
            )
        names = ["token_ids", *self.inputs, "attention_mask", *[TOKEN_LABELS] * self.token_labels]
        return [name for name in dict.fromkeys(names) if given.get(name) is not None]


def _flatten(rows, name: str) -> tuple[np.ndarray, np.ndarray]:
    """The whole numbers of all rows one after the other, and where each row starts."""
    if hasattr(rows, "row_splits"):  # a tf.RaggedTensor
        splits = rows.row_splits.numpy().astype(np.int64)
        return _whole_numbers(rows.flat_values.numpy(), name), splits
    if hasattr(rows, "numpy"):  # a tf.Tensor
        rows = rows.numpy()
    if isinstance(rows, str) or not hasattr(rows, "__len__"):
        raise TypeError(f"{name} must be a list of examples, got {rows!r}.")
    if len(rows) == 0:
        raise ValueError(f"there are no examples: {name} is empty.")
    if isinstance(rows, np.ndarray) and rows.ndim == 2:
        splits = np.arange(len(rows) + 1, dtype=np.int64) * rows.shape[1]
        return _whole_numbers(rows.ravel(), name), splits

    rows = list(rows)
    for at, row in enumerate(rows):
        if isinstance(row, (str, bytes)):
            raise TypeError(f"example {at} is a text, {row[:20]!r}: give tokenizer=... for texts.")
        if not hasattr(row, "__len__") or getattr(row, "ndim", 1) != 1:
            raise TypeError(
                f"{name} of example {at} must be a list of numbers, got {row!r}: give one list per "
                "example, in a list also for a single example."
            )
    lengths = [len(row) for row in rows]
    splits = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    full = [row for row in rows if len(row)] if 0 in lengths else rows  # [] is float64 to numpy
    flat = np.concatenate(full) if full else np.zeros(0, np.int32)
    if flat.dtype.kind not in "iub" or flat.ndim > 1:
        for at, row in enumerate(rows):
            _whole_numbers(np.asarray(row if len(row) else [0]), name, f" of example {at}")
    return _whole_numbers(flat, name), splits


def _whole_numbers(array: np.ndarray, name: str, where: str = "") -> np.ndarray:
    fits = array.dtype.kind in "iub" and array.ndim == 1
    if fits and (not array.size or -(2**31) <= array.min() <= array.max() < 2**31):
        return array
    found = f"{array.ndim}-D {array.dtype}, such as {array.ravel()[:3].tolist()}"
    raise TypeError(f"{name}{where} must be whole numbers of 32 bits, got {found}.")


def _before_padding(token_ids: np.ndarray, pad_id: int) -> np.ndarray:
    """True up to the last token of each row that is not padding: (rows, width) to flat."""
    from_end = np.logical_or.accumulate((token_ids != pad_id)[:, ::-1], axis=1)
    return from_end[:, ::-1].ravel()


def _splits_of_kept(mask: np.ndarray, splits: np.ndarray) -> np.ndarray:
    """The splits of the flat values that a mask keeps, which must lie together in each row."""
    kept_splits = np.concatenate([[0], np.cumsum(mask)])[splits]
    kept = np.flatnonzero(mask)
    row = np.repeat(np.arange(len(splits) - 1), np.diff(kept_splits))
    holes = np.flatnonzero((np.diff(kept) > 1) & (np.diff(row) == 0))
    if len(holes):
        raise ValueError(
            f"the attention_mask of example {row[holes[0]]} has zeros between ones: only the "
            "beginning and the end of an example can be padding."
        )
    return kept_splits


def _check_same_lengths(splits: np.ndarray, own: np.ndarray, name: str) -> None:
    if len(own) != len(splits):
        raise ValueError(
            f"got {len(splits) - 1} examples of token_ids, but {len(own) - 1} of {name}."
        )
    different = np.flatnonzero(own != splits)
    if len(different):
        at = different[0] - 1
        raise ValueError(
            f"example {at} has {np.diff(splits)[at]} token_ids, but {np.diff(own)[at]} {name}: "
            "both must be of the same length."
        )


def _check_lengths(lengths: np.ndarray, max_length: int | None) -> None:
    if lengths.min() == 0:
        raise ValueError(
            f"example {lengths.argmin()} has no tokens: leave it out, or tokenize with [CLS]."
        )
    if max_length is not None and lengths.max() > max_length:
        raise ValueError(
            f"example {lengths.argmax()} has {lengths.max()} tokens, but {max_length} are the most "
            "(max_length, or the longest of pad_to): truncate when tokenizing, as "
            f"tokenizer(texts, max_length={max_length}) does, or allow more."
        )


def _check_not_negative(token_ids: np.ndarray, splits: np.ndarray) -> None:
    negative = np.flatnonzero(token_ids < 0)
    if len(negative):
        at = np.searchsorted(splits, negative[0], "right") - 1
        raise ValueError(f"example {at} has the id {token_ids[negative[0]]}: ids start at 0.")


def _read_labels(labels, count: int) -> dict[str, np.ndarray]:
    if labels is None:
        return {}
    given = labels if isinstance(labels, Mapping) else {"": labels}
    arrays = {}
    for name, values in given.items():
        title = f"labels[{name!r}]" if name else "labels"
        try:
            array = np.asarray(values)
        except ValueError:  # numpy's answer to rows of different lengths
            array = np.empty(0, object)
        if array.dtype.kind not in "iufb":
            raise TypeError(
                f"{title} must be numbers, or arrays of one shape: give each class a number; for "
                f"labels that are one per token give token_label_pad=.... Got {array.dtype}."
            )
        if array.ndim == 0 or len(array) != count:
            raise ValueError(
                f"got {count} examples, but {len(array) if array.ndim else 'a single number as'} "
                f"{title}: give one label per example."
            )
        arrays[name] = array.astype(np.float32 if array.dtype.kind == "f" else np.int32)
    return arrays
