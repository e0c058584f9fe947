"""The part of the batching that runs in the graph, as ``tf.data`` operations without Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from kerasbert.backend import tf
from kerasbert.data.examples import TOKEN_LABELS, Examples


class Order(NamedTuple):
    """Which examples make which batch.

    Attributes:
        batch_size: examples per batch.
        shuffle: random order, sorted by length only within windows.
        sort: longest first.
        drop_remainder: leave out the batch that is not full.
        window: how many batches of examples are sorted by length together.
    """

    batch_size: int
    shuffle: bool
    sort: bool
    drop_remainder: bool
    window: int

    def batches(self, lengths: tf.Tensor, seed: tf.Tensor) -> tf.data.Dataset:
        """The numbers of the examples of each batch.

        Args:
            lengths: tokens of each example, int64 (examples,).
            seed: int64 (2,), another one in each epoch.

        Returns:
            Of vectors int64 (examples of the batch,).
        """
        count = tf.size(lengths, tf.int64)
        whole = count // self.batch_size * self.batch_size
        rows = tf.range(count)
        if self.sort:
            rows = tf.argsort(lengths, direction="DESCENDING", stable=True)
        elif self.shuffle:
            rows = tf.random.experimental.stateless_shuffle(rows, seed)
            # The remainder stays unsorted. Sorted, it would be the longest examples that are always
            # dropped, or that always weigh more for being few.
            full, rest = rows[:whole], rows[whole:]
            window = tf.range(whole) // (self.window * self.batch_size)
            key = window * (tf.reduce_max(lengths) + 1) + tf.gather(lengths, full)
            rows = tf.concat([tf.gather(full, tf.argsort(key)), rest], axis=0)
        starts = tf.range(0, whole if self.drop_remainder else count, self.batch_size, tf.int64)
        if self.shuffle:
            starts = tf.random.experimental.stateless_shuffle(starts, seed + 1)

        def cut(start):
            batch = rows[start : start + self.batch_size]
            return tf.ensure_shape(batch, [self.batch_size]) if self.drop_remainder else batch

        return tf.data.Dataset.from_tensor_slices(starts).map(cut)


class Padding(NamedTuple):
    """What a batch consists of, and how long its rows are made.

    Attributes:
        inputs: columns that the model gets, in order, and "attention_mask".
        pads: the value of padding by column, where it is not 0.
        pad_to: the lengths to choose from in ascending order; empty for any.
        multiple_of: lengths are rounded up to a multiple of this.
        token_labels: whether the labels are one per token.
    """

    inputs: tuple[str, ...]
    pads: Mapping[str, int]
    pad_to: tuple[int, ...] = ()
    multiple_of: int = 1
    token_labels: bool = False

    def batch(self, columns: Mapping, splits, labels: Mapping, rows) -> tuple:
        """Pads the examples of these numbers; for the arguments see :class:`Examples`.

        Returns:
            ``(inputs, labels)``, or ``(inputs,)`` without labels.
        """
        starts = tf.gather(splits, rows)
        lengths = tf.gather(splits, rows + 1) - starts
        place = tf.range(self._width(tf.reduce_max(lengths)))
        is_token = place < lengths[:, None]
        index = tf.where(is_token, starts[:, None] + place, 0)
        static_shape = (rows.shape[0], self.pad_to[0] if len(self.pad_to) == 1 else None)

        def padded(name):
            if name == "attention_mask":
                values = tf.cast(is_token, tf.int32)
            else:
                values = tf.where(is_token, tf.gather(columns[name], index), self.pads.get(name, 0))
            return tf.ensure_shape(values, static_shape)

        inputs = tuple(padded(name) for name in self.inputs)
        inputs = inputs if len(inputs) > 1 else inputs[0]
        if self.token_labels:
            return inputs, padded(TOKEN_LABELS)
        taken = {name: tf.gather(values, rows) for name, values in labels.items()}
        return (inputs, taken.get("", taken)) if taken else (inputs,)

    def _width(self, longest: tf.Tensor) -> tf.Tensor:
        """The padded length for a longest example, int64."""
        if not self.pad_to:
            return -(-longest // self.multiple_of) * self.multiple_of
        pad_to = tf.constant(self.pad_to, tf.int64)
        return tf.gather(pad_to, tf.searchsorted(pad_to, longest[None])[0])


def tensors(examples: Examples) -> tuple[dict, np.ndarray, dict]:
    """What the graph is given of a chunk of examples."""
    return examples.columns, examples.splits, examples.labels


def padded_batches(
    chunks: tf.data.Dataset, order: Order, padding: Padding, seed: int | None
) -> tf.data.Dataset:
    """Batches of each chunk of examples, in another order each time the dataset is iterated.

    Args:
        chunks: of :func:`tensors`.
        order: which examples make which batch.
        padding: how they are padded.
        seed: makes the order of every epoch the same in every run.

    Returns:
        Of :meth:`Padding.batch`.
    """
    if order.shuffle:
        seeds = tf.data.Dataset.random(seed=seed, rerandomize_each_iteration=True)
        seeds = seeds.batch(2, drop_remainder=True)
    else:
        seeds = tf.data.Dataset.from_tensors(np.zeros(2, np.int64)).repeat()

    def of_chunk(chunk, chunk_seed):
        columns, splits, labels = chunk
        rows = order.batches(splits[1:] - splits[:-1], chunk_seed)
        return rows.map(lambda batch_rows: padding.batch(columns, splits, labels, batch_rows))

    # There is nothing to tune, and an iterator that is given up waits for its tuner: up to 10 s at
    # the end of a `fit` (measured on TensorFlow 2.21).
    options = tf.data.Options()
    options.autotune.enabled = False
    return tf.data.Dataset.zip((chunks, seeds)).flat_map(of_chunk).with_options(options)


def positive(name: str, value) -> int:
    """The value, if it is a positive whole number."""
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool) and value > 0:
        return int(value)
    raise ValueError(f"{name} must be a positive whole number, got {value!r}.")


def check_lengths(pad_to: int | Sequence[int] | None, multiple_of: int) -> tuple[int, ...]:
    """The lengths to pad to in ascending order."""
    positive("pad_to_multiple_of", multiple_of)
    if pad_to is None:
        return ()
    if multiple_of != 1:
        raise ValueError("give one of pad_to and pad_to_multiple_of, not both.")
    pad_to = pad_to if hasattr(pad_to, "__iter__") else [pad_to]
    return tuple(sorted({positive("pad_to", length) for length in pad_to}))
