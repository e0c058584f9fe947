"""Batches of examples of similar length, padded to their own longest, as ``tf.data`` pipelines.

A model computes every token of a batch, padding too. Here examples are shuffled, sorted by length
within windows of many batches, cut into batches, and the batches shuffled (as fairseq does, and
transformers with ``group_by_length``): hardly any padding is left, and the order is still random.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice

from kerasbert.backend import tf
from kerasbert.data.examples import TOKEN_LABELS, Reader
from kerasbert.data.pipeline import (
    Order,
    Padding,
    check_lengths,
    padded_batches,
    positive,
    tensors,
)

INPUTS = ("token_ids", "segment_ids")
# Batches whose examples are sorted together: more leave less padding and less to chance. And the
# least number of such windows: sorted all together, the same examples would meet in every epoch.
WINDOW, WINDOWS = 100, 4


def batches(
    examples,
    labels=None,
    *,
    batch_size: int = 32,
    shuffle: bool = False,
    sort: bool = False,
    seed: int | None = None,
    drop_remainder: bool = False,
    tokenizer: Callable | None = None,
    max_length: int | None = None,
    pad_to: int | Sequence[int] | None = None,
    pad_to_multiple_of: int = 1,
    pad_id: int | None = None,
    token_label_pad: int | None = None,
    inputs: str | Sequence[str] = INPUTS,
) -> tf.data.Dataset:
    """Makes batches for ``fit``, ``evaluate`` and ``predict``, each padded to its own longest::

        train = data.batches(texts, labels, tokenizer=tokenizer, max_length=128, shuffle=True)
        model.fit(train, epochs=3)

    The length is None in the dataset's specification: Keras traces a model once for all lengths. A
    model compiled by XLA (on GPUs Keras 3 does so unless ``jit_compile=False``) is compiled once
    for each length, so give few lengths in ``pad_to``, and ``drop_remainder=True``; for TPUs one
    length.

    Args:
        examples: token ids, as a list of lists or arrays, a ragged tensor, or a 2-D array (without
            its padding at the end); or ``(token_ids, segment_ids)`` of these; or a dict of them,
            such as ``tokenizer(texts)`` returns, where "attention_mask" says what is padding. With
            a tokenizer: texts, or (first, second) pairs of texts.
        labels: a number or an array per example; or a dict of these by the name of the output.
        batch_size: examples per batch.
        shuffle: shuffle anew in each epoch. Otherwise examples keep their order, or are sorted.
        sort: longest examples first. For evaluation, where the order does not matter; for
            predictions use :func:`kerasbert.data.predict`, which restores it.
        seed: makes the order of every epoch the same in every run.
        drop_remainder: leave out the last examples if they do not fill a batch (with ``shuffle``
            others in each epoch). Otherwise one batch is smaller.
        tokenizer: turns texts into ids.
        max_length: most tokens of an example. Longer texts are truncated, longer ids are an error.
        pad_to: the length or lengths to choose from: each batch is padded to the next one. Also a
            limit like ``max_length``.
        pad_to_multiple_of: lengths are rounded up to a multiple of this.
        pad_id: id of the padding token; by default the tokenizer's, or 0.
        token_label_pad: says that ``labels`` are one per token, and is the label of padding.
        inputs: the model's inputs in order: "token_ids", "segment_ids" (zeros if not given),
            "attention_mask" (1 for tokens, 0 for padding), or other columns of the encoding.

    Returns:
        A dataset of known cardinality with elements ``(inputs, labels)``, without labels
        ``(inputs,)``. ``inputs`` is a tuple of int32 tensors (batch, length), or a single one.
        Labels are int32 or float32. Every example comes once in each epoch.

    Raises:
        TypeError: ids or labels are not numbers, or texts come without a tokenizer.
        ValueError: no examples, numbers that do not fit each other, or an example that is too long.
    """
    positive("batch_size", batch_size)
    if shuffle and sort:
        raise ValueError("give one of shuffle=True and sort=True, not both.")
    reader, padding = _reader_and_padding(
        inputs, tokenizer, max_length, pad_to, pad_to_multiple_of, pad_id, token_label_pad
    )
    read = reader.read(examples, labels)
    count = len(read) // batch_size if drop_remainder else -(-len(read) // batch_size)
    if count == 0:
        raise ValueError(
            f"drop_remainder=True leaves nothing of {len(read)} examples: give a batch_size of "
            f"at most {len(read)}, not {batch_size}."
        )
    order = Order(batch_size, shuffle, sort, drop_remainder, _window(count))
    chunks = tf.data.Dataset.from_tensors(tensors(read))
    dataset = padded_batches(chunks, order, padding, seed)
    return dataset.apply(tf.data.experimental.assert_cardinality(count)).prefetch(2)


def stream_batches(
    examples: Callable[[], Iterable],
    *,
    with_labels: bool = True,
    batch_size: int = 32,
    shuffle: bool = False,
    seed: int | None = None,
    buffer_size: int | None = None,
    drop_remainder: bool = False,
    tokenizer: Callable | None = None,
    max_length: int | None = None,
    pad_to: int | Sequence[int] | None = None,
    pad_to_multiple_of: int = 1,
    pad_id: int | None = None,
    token_label_pad: int | None = None,
    inputs: str | Sequence[str] = INPUTS,
) -> tf.data.Dataset:
    """:func:`batches` for examples that do not fit into memory; read there about the arguments.

    Reads ``buffer_size`` examples at a time and makes batches of similar length of these. It runs
    Python code, so it cannot leave the process, and the number of batches is not known beforehand.

    Args:
        examples: returns a new iterator over all examples each time it is called, such as a
            generator function. An example is a list of token ids, ``(token_ids, segment_ids)``, a
            dict, or with a tokenizer a text or a pair of texts; with labels, ``(example, label)``.
        with_labels: whether labels come with the examples.
        batch_size: examples per batch.
        shuffle: shuffle within the buffer. Otherwise examples keep their order.
        seed: makes the order of every epoch the same in every run.
        buffer_size: examples held at a time, a multiple of ``batch_size``; by default 400 batches.
        drop_remainder: leave out the last examples if they do not fill a batch.
        tokenizer: turns texts into ids.
        max_length: most tokens of an example.
        pad_to: the length or lengths to choose from.
        pad_to_multiple_of: lengths are rounded up to a multiple of this.
        pad_id: id of the padding token.
        token_label_pad: says that labels are one per token, and is the label of padding.
        inputs: the model's inputs in order.

    Returns:
        A dataset with the elements of :func:`batches`.

    Raises:
        TypeError: ``examples`` is not a function.
        ValueError: ``examples`` gives nothing. A bad example further on is an error of the step
            that comes to it.
    """
    if not callable(examples):
        raise TypeError(
            "examples must be a function that returns a new iterator, because every epoch starts "
            f"anew: give a generator function, not {type(examples).__name__}."
        )
    positive("batch_size", batch_size)
    buffer_size = positive("buffer_size", buffer_size or WINDOWS * WINDOW * batch_size)
    if buffer_size % batch_size:
        raise ValueError(
            f"buffer_size must be a multiple of batch_size={batch_size}, got {buffer_size}."
        )
    reader, padding = _reader_and_padding(
        inputs, tokenizer, max_length, pad_to, pad_to_multiple_of, pad_id, token_label_pad
    )

    def chunks() -> Iterator[tuple]:
        iterator = iter(examples())
        while chunk := list(islice(iterator, buffer_size)):
            labels = None
            if with_labels:
                chunk, labels = (list(column) for column in zip(*chunk))
                labels = _columns(labels)
            yield tensors(reader.read(chunk if tokenizer else _columns(chunk), labels))

    first = next(chunks(), None)
    if first is None:
        raise ValueError("there are no examples: the iterator that examples() returns is empty.")
    signature = tf.nest.map_structure(
        lambda array: tf.TensorSpec((None, *array.shape[1:]), array.dtype), first
    )
    source = tf.data.Dataset.from_generator(chunks, output_signature=signature).prefetch(1)
    window = _window(buffer_size // batch_size)
    order = Order(batch_size, shuffle, False, drop_remainder, window)
    return padded_batches(source, order, padding, seed).prefetch(2)


def _window(count: int) -> int:
    """How many of so many batches to sort together, so that the windows are equally large."""
    return -(-count // max(min(WINDOWS, count), round(count / WINDOW)))


def _columns(rows: list):
    """A list of dicts or tuples as a dict or tuple of lists."""
    if isinstance(rows[0], Mapping):
        return {name: [row[name] for row in rows] for name in rows[0]}
    return tuple(map(list, zip(*rows))) if isinstance(rows[0], tuple) else rows


def _reader_and_padding(
    inputs, tokenizer, max_length, pad_to, pad_to_multiple_of, pad_id, token_label_pad
) -> tuple[Reader, Padding]:
    """Checks the common arguments."""
    inputs = (inputs,) if isinstance(inputs, str) else tuple(inputs)
    pad_to = check_lengths(pad_to, pad_to_multiple_of)
    if max_length is not None:
        positive("max_length", max_length)
    longest = min([*pad_to[-1:], *([] if max_length is None else [max_length])], default=None)
    if pad_id is None:
        pad_id = getattr(tokenizer, "pad_id", None) or 0
    token_labels = token_label_pad is not None
    pads = {"token_ids": pad_id, TOKEN_LABELS: token_label_pad or 0}
    return (
        Reader(inputs, tokenizer, longest, pad_id, token_labels),
        Padding(inputs, pads, pad_to, pad_to_multiple_of, token_labels),
    )
