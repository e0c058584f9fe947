"""``DataGenerator``: bert4keras's base class for batches written in Python."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from kerasbert.backend import tf


class DataGenerator:
    """Base class of generators; a subclass says how samples become batches::

        class Pairs(DataGenerator):
            def __iter__(self, random=False):
                token_ids, segment_ids, labels = [], [], []
                for is_end, (text, label) in self.sample(random):
                    ids, segments = tokenizer.encode(text, maxlen=128)
                    token_ids.append(ids)
                    segment_ids.append(segments)
                    labels.append([label])
                    if len(token_ids) == self.batch_size or is_end:
                        inputs = sequence_padding(token_ids), sequence_padding(segment_ids)
                        yield inputs, sequence_padding(labels)
                        token_ids, segment_ids, labels = [], [], []

        generator = Pairs(data, batch_size=32)
        model.fit(generator.forfit(), steps_per_epoch=len(generator), epochs=3)

    :func:`kerasbert.data.batches` does the same for texts and ids that fit into memory, faster: its
    batches have examples of similar length.

    Args:
        data: a list or anything else with a length and indices; or an iterable without, which
            should start anew each time it is iterated (a generator object can be read only once).
        batch_size: examples per batch.
        buffer_size: how many examples of data without a length are held to shuffle it; the default
            is 1000 batches.

    Attributes:
        steps: batches per epoch, the last one may be smaller; None if ``data`` has no length.
    """

    def __init__(self, data: Iterable, batch_size: int = 32, buffer_size: int | None = None):
        if batch_size < 1:
            raise ValueError(f"batch_size must be a positive whole number, got {batch_size}.")
        self.data = data
        self.batch_size = batch_size
        self.buffer_size = buffer_size or batch_size * 1000
        self.steps = -(-len(data) // batch_size) if hasattr(data, "__len__") else None

    def __len__(self) -> int:
        if self.steps is None:
            raise TypeError(
                "the number of batches is not known, because data has no length: give "
                "steps_per_epoch a number of your own."
            )
        return self.steps

    def sample(self, random: bool = False) -> Iterator[tuple[bool, object]]:
        """Goes through the data once.

        Args:
            random: in random order, drawn from numpy's global random state. Data without a length
                is shuffled within a buffer.

        Yields:
            (is_end, example); ``is_end`` is True for the last one.

        Raises:
            ValueError: there is no data.
        """
        if not random:
            examples = iter(self.data)
        elif self.steps is None:
            examples = self._shuffled()
        else:
            examples = (self.data[i] for i in np.random.permutation(len(self.data)).tolist())
        try:
            current = next(examples)
        except StopIteration:
            raise ValueError(
                "the data gave no examples: it is empty, or a generator that has been read before "
                "(give a list, or an object whose __iter__ starts anew)."
            ) from None
        for following in examples:
            yield False, current
            current = following
        yield True, current

    def _shuffled(self) -> Iterator:
        """A random example of the buffer gives its place to the next one of the data."""
        buffer = []
        for example in self.data:
            if len(buffer) < self.buffer_size:
                buffer.append(example)
                continue
            i = np.random.randint(len(buffer))
            yield buffer[i]
            buffer[i] = example
        for i in np.random.permutation(len(buffer)).tolist():
            yield buffer[i]

    def __iter__(self, random: bool = False) -> Iterator:
        raise NotImplementedError(
            f"{type(self).__name__} must define __iter__(self, random=False), which makes batches "
            "of self.sample(random)."
        )

    def forfit(self, random: bool = True) -> Iterator:
        """Batches without end, for ``model.fit(..., steps_per_epoch=len(generator))``.

        Args:
            random: shuffle the data anew in each epoch.

        Yields:
            What ``__iter__`` yields; lists of arrays as tuples, because Keras 3 refuses lists.
        """
        while True:
            for batch in self.__iter__(random):
                yield as_tuples(batch)

    def fortest(self, random: bool = False) -> Iterator[tuple]:
        """The inputs of each batch once, for ``model.predict``.

        Args:
            random: shuffle the data.

        Yields:
            (inputs,): Keras takes a tuple of two for inputs and labels, so that the inputs, which
            are often two, are put into a tuple of one.
        """
        for batch in self.__iter__(random):
            yield (as_tuples(batch[0]),)

    def to_dataset(
        self,
        types,
        shapes,
        names: str | Sequence | None = None,
        padded_batch: bool = False,
    ) -> tf.data.Dataset:
        """An endless tf.data.Dataset for a subclass whose ``__iter__`` yields single examples.

        Args:
            types: the dtype of each part of an example, in the structure of the examples.
            shapes: the shape of each part, such as ``[None]``.
            names: makes dicts of the parts: a name, a sequence of names, or a sequence of those for
                examples of several tuples.
            padded_batch: pad each batch to its longest example; otherwise all must have one shape.

        Returns:
            The dataset, in batches of ``batch_size``. It runs this Python code, so it cannot leave
            the process.
        """

        def named(parts):
            parts = _arranged_as(types, parts)
            if names is None:
                return parts
            if isinstance(names, str):
                return {names: parts}
            if isinstance(names[0], str):
                return dict(zip(names, parts))
            return tuple(dict(zip(keys, values)) for keys, values in zip(names, parts))

        def examples():
            while True:
                yield from map(named, self.__iter__(random=True))

        dataset = tf.data.Dataset.from_generator(
            examples, output_types=named(types), output_shapes=named(shapes)
        )
        if padded_batch:
            return dataset.padded_batch(self.batch_size, named(shapes))
        return dataset.batch(self.batch_size)


def _arranged_as(structure, parts):
    """The parts of an example in tuples wherever the structure has lists or tuples."""
    if not isinstance(structure, (list, tuple)):
        return parts
    if len(structure) != len(parts):
        raise ValueError(f"an example has {len(parts)} parts, but types names {len(structure)}.")
    return tuple(_arranged_as(inner, part) for inner, part in zip(structure, parts))


def as_tuples(batch):
    """A batch with tuples for its lists of arrays, and arrays for its lists of numbers."""
    if not isinstance(batch, (list, tuple)):
        return batch
    if isinstance(batch, tuple) or any(_has_arrays(part) for part in batch):
        return tuple(as_tuples(part) for part in batch)
    return np.asarray(batch)


def _has_arrays(part) -> bool:
    if isinstance(part, (list, tuple)):
        return any(_has_arrays(inner) for inner in part)
    return isinstance(part, dict) or (hasattr(part, "shape") and part.shape != ())
