"""Predictions in the order of the examples, computed in the order of their lengths."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from kerasbert.backend import keras, tf
from kerasbert.data.batching import INPUTS, batches
from kerasbert.tokenizers.checking import check_vocabulary


def predict(
    model: keras.Model,
    examples,
    *,
    batch_size: int = 32,
    tokenizer: Callable | None = None,
    max_length: int | None = None,
    pad_to: int | Sequence[int] | None = None,
    pad_to_multiple_of: int = 1,
    pad_id: int | None = None,
    inputs: str | Sequence[str] = INPUTS,
    verbose: int = 1,
):
    """Predicts for texts or token ids, longest first and with hardly any padding computed.

    Args:
        model: a functional Keras model.
        examples: texts or token ids, as for :func:`kerasbert.data.batches`.
        batch_size: examples per batch.
        tokenizer: turns texts into ids.
        max_length: most tokens of an example. Longer texts are truncated, longer ids are an error.
        pad_to: the length or lengths to choose from: each batch is padded to the next one.
        pad_to_multiple_of: lengths are rounded up to a multiple of this.
        pad_id: id of the padding token; by default the tokenizer's, or 0.
        inputs: the model's inputs in order, as for :func:`kerasbert.data.batches`.
        verbose: 1 shows a progress bar, 0 does not.

    Returns:
        An array (examples, ...), or where the model has several outputs their structure of arrays.
        An output that is as long as its text, such as (batch, length, hidden_size), is a list of
        arrays, one per example, without padding.

    Raises:
        TypeError: ids are not numbers, or texts come without a tokenizer.
        ValueError: no examples, or an example that is too long; or the tokenizer has more tokens
            than the model has embedding rows.
    """
    inputs = (inputs,) if isinstance(inputs, str) else tuple(inputs)
    if tokenizer is not None:
        check_vocabulary(model, tokenizer)
    count = _count(examples)
    # The labels are the numbers of the examples, the mask says their lengths.
    dataset = batches(
        examples,
        np.arange(count),
        batch_size=batch_size,
        sort=True,
        tokenizer=tokenizer,
        max_length=max_length,
        pad_to=pad_to,
        pad_to_multiple_of=pad_to_multiple_of,
        pad_id=pad_id,
        inputs=(*inputs, "attention_mask"),
    )
    progress = keras.utils.Progbar(count, verbose=verbose, unit_name="example")
    rows, lengths, outputs = [], [], []
    for (*batch, mask), numbers in dataset:
        outputs.append(model.predict_on_batch(tuple(batch) if len(batch) > 1 else batch[0]))
        rows.append(numbers.numpy())
        lengths.append(mask.numpy().sum(axis=1))
        progress.add(len(rows[-1]))

    order = np.argsort(np.concatenate(rows))
    lengths = np.concatenate(lengths)
    # Keras keeps outputs flat in the order in which tf.nest flattens their structure.
    flat = [
        _join(parts, output.shape, order, lengths)
        for parts, output in zip(zip(*map(tf.nest.flatten, outputs)), model.outputs)
    ]
    return tf.nest.pack_sequence_as(outputs[0], flat)


def _count(examples) -> int:
    """The number of examples, before they are read."""
    if isinstance(examples, Mapping):
        examples = examples.get("token_ids", ())
    elif isinstance(examples, tuple) and examples:
        examples = examples[0]
    return examples.shape[0] if hasattr(examples, "shape") else len(examples)


def _join(parts: Sequence[np.ndarray], shape, order: np.ndarray, lengths: np.ndarray):
    """Puts one output of all batches together, its rows in the given order.

    Args:
        parts: the output of each batch.
        shape: its symbolic shape; None beyond the first axis is the length.
        order: the place in ``parts`` of each example.
        lengths: tokens of each row of ``parts``.
    """
    growing = [axis for axis, size in enumerate(shape) if size is None and axis > 0]
    if not growing:
        return np.concatenate(parts)[order]
    rows = [row for part in parts for row in part]
    cropped = []
    for at in order:
        crop = [slice(None)] * rows[at].ndim
        for axis in growing:
            crop[axis - 1] = slice(lengths[at])
        cropped.append(rows[at][tuple(crop)])
    return cropped
