import json
from itertools import islice

import numpy as np
import pytest

from kerasbert.backend import keras
from kerasbert.data import DataGenerator, sequence_padding


class Items(DataGenerator):
    """Batches of the items themselves."""

    def __iter__(self, random=False):
        batch = []
        for is_end, item in self.sample(random):
            batch.append(item)
            if len(batch) == self.batch_size or is_end:
                yield batch
                batch = []


class Pairs(DataGenerator):
    """What bert4keras scripts do: lists of inputs, a label in a list of its own."""

    def __iter__(self, random=False):
        token_ids, segment_ids, labels = [], [], []
        for is_end, (ids, label) in self.sample(random):
            token_ids.append(ids)
            segment_ids.append([0] * len(ids))
            labels.append([label])
            if len(token_ids) == self.batch_size or is_end:
                yield (
                    [sequence_padding(token_ids), sequence_padding(segment_ids)],
                    sequence_padding(labels),
                )
                token_ids, segment_ids, labels = [], [], []


class Stream:
    """Data without a length that can be read again and again."""

    def __init__(self, items):
        self.items = items

    def __iter__(self):
        return iter(self.items)


def tiny_model():
    token_ids = keras.Input((None,), dtype="int32")
    segment_ids = keras.Input((None,), dtype="int32")
    x = keras.layers.Embedding(30, 4)(token_ids)
    x = keras.layers.Add()([x, keras.layers.Embedding(2, 4)(segment_ids)])
    x = keras.layers.GlobalAveragePooling1D()(x)
    model = keras.Model([token_ids, segment_ids], keras.layers.Dense(2)(x))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.05), loss, metrics=["accuracy"])
    return model


def pairs(count=20):
    """Ids whose first says the label, of many lengths."""
    return [([i % 2 + 1, *range(3, 4 + i % 7)], i % 2) for i in range(count)]


def test_length_and_batches_as_recorded_from_bert4keras():
    generator = Items(list(range(7)), batch_size=3)
    assert len(generator) == generator.steps == 3
    assert list(generator) == [[0, 1, 2], [3, 4, 5], [6]]
    np.random.seed(0)
    assert list(generator.__iter__(random=True)) == [[6, 2, 1], [3, 0, 5], [4]]


def test_recorded_batches(shared):
    recorded = json.loads((shared / "golden/bert4keras/text.json").read_text(encoding="utf-8"))
    generator = Items(list(range(7)), batch_size=3)
    np.random.seed(0)
    assert [len(generator), list(generator), list(generator.__iter__(True))] == [
        recorded["datagen"][name] for name in ("len", "batches", "random_batches")
    ]


def test_sample_marks_the_end():
    assert list(DataGenerator("ab").sample()) == [(False, "a"), (True, "b")]


def test_data_without_length():
    generator = Items(Stream(range(5)), batch_size=2)
    assert generator.steps is None
    assert list(generator) == [[0, 1], [2, 3], [4]]
    with pytest.raises(TypeError, match="steps_per_epoch"):
        len(generator)


@pytest.mark.parametrize("buffer_size", [1, 4, 100, None])
def test_the_shuffle_buffer_gives_every_item_once(buffer_size):
    np.random.seed(1)
    generator = Items(Stream(range(50)), batch_size=7, buffer_size=buffer_size)
    items = [item for batch in generator.__iter__(random=True) for item in batch]
    assert sorted(items) == list(range(50))
    assert (items == list(range(50))) == (buffer_size == 1)


def test_the_shuffle_buffer_holds_no_more_than_its_size():
    read = []

    def watched():
        for i in range(50):
            read.append(i)
            yield i

    samples = DataGenerator(watched(), buffer_size=4).sample(random=True)
    next(samples)
    assert len(read) == 6  # the buffer, one in exchange, one to see whether it is the end


@pytest.mark.parametrize("data", [[], iter([])])
@pytest.mark.parametrize("random", [False, True])
def test_no_data(data, random):
    with pytest.raises(ValueError, match="gave no examples"):
        next(DataGenerator(data).sample(random))


def test_a_generator_that_has_been_read_does_not_hang_forfit():
    batches = Items((i for i in range(4)), batch_size=2).forfit(random=False)
    assert next(batches) is not None
    assert next(batches) is not None
    with pytest.raises(ValueError, match="read before"):
        next(batches)


def test_iter_must_be_written():
    with pytest.raises(NotImplementedError, match="must define __iter__"):
        list(DataGenerator([1]))


def test_a_batch_size_of_zero():
    with pytest.raises(ValueError, match="batch_size"):
        DataGenerator([1], batch_size=0)


def test_forfit_is_endless_and_gives_tuples():
    generator = Pairs(pairs(5), batch_size=2)
    batches = list(islice(generator.forfit(random=False), 7))
    (ids, segments), labels = batches[0]
    assert type(batches[0]) is type(batches[0][0]) is tuple
    assert ids.shape == segments.shape == (2, 3)
    assert labels.tolist() == [[0], [1]]
    for first, again in zip(batches, batches[3:]):
        assert np.array_equal(first[1], again[1])


def test_forfit_shuffles_anew_in_each_epoch():
    np.random.seed(0)
    generator = Pairs([([i], i) for i in range(30)], batch_size=30)
    first, second = (y.ravel().tolist() for _, y in islice(generator.forfit(), 2))
    assert first != second
    assert sorted(first) == sorted(second) == list(range(30))


def test_forfit_keeps_none_and_makes_arrays_of_lists_of_numbers():
    class Odd(DataGenerator):
        def __iter__(self, random=False):
            yield [np.ones((2, 3)), np.ones((2, 3))], None
            yield [np.ones((2, 3))], [[0], [1]]

    batches = Odd([1]).forfit()
    inputs, labels = next(batches)
    assert (type(inputs), labels) == (tuple, None)
    assert next(batches)[1].tolist() == [[0], [1]]


def test_fortest_gives_the_inputs_once():
    batches = list(Pairs(pairs(5), batch_size=2).fortest())
    assert len(batches) == 3
    ((ids, segments),) = batches[-1]
    assert ids.shape == segments.shape == (1, 6)


@pytest.mark.smoke
def test_fit_and_predict():
    keras.utils.set_random_seed(0)
    generator, model = Pairs(pairs(), batch_size=3), tiny_model()
    history = model.fit(generator.forfit(), steps_per_epoch=len(generator), epochs=6, verbose=0)
    losses = history.history["loss"]
    assert losses[-1] < losses[0] / 2
    predicted = model.predict(generator.fortest(), steps=len(generator), verbose=0)
    assert predicted.argmax(axis=1).tolist() == [label for _, label in pairs()]


class Single(DataGenerator):
    """One example at a time, for ``to_dataset``."""

    def __iter__(self, random=False):
        for _, (ids, label) in self.sample(random):
            yield [ids, [0] * len(ids)], label


def test_to_dataset_pads():
    dataset = Single(pairs(4), batch_size=4).to_dataset(
        types=(("int32", "int32"), "int32"), shapes=(([None], [None]), []), padded_batch=True
    )
    (ids, segments), labels = next(iter(dataset))
    assert ids.shape == segments.shape == (4, 5)
    assert (ids.dtype, labels.dtype) == ("int32", "int32")
    assert sorted(labels.numpy().tolist()) == [0, 0, 1, 1]


def test_to_dataset_with_names():
    class Named(DataGenerator):
        def __iter__(self, random=False):
            for _, ids in self.sample(random):
                yield ids, [0] * len(ids)

    dataset = Named([[1, 2], [3]], batch_size=2).to_dataset(
        types=("float32", "float32"),
        shapes=([None], [None]),
        names=("Input-Token", "Input-Segment"),
        padded_batch=True,
    )
    batch = next(iter(dataset))
    assert sorted(batch["Input-Token"].numpy().tolist()) == [[1, 2], [3, 0]]
    assert batch["Input-Segment"].shape == (2, 2)


def test_to_dataset_of_one_shape():
    class Fixed(DataGenerator):
        def __iter__(self, random=False):
            for _, ids in self.sample(random):
                yield {"ids": ids}

    class Bare(DataGenerator):
        def __iter__(self, random=False):
            for _, ids in self.sample(random):
                yield np.array(ids)

    shapes = [2]
    dataset = Bare([[1, 2], [1, 2]], batch_size=2).to_dataset("int32", shapes, names="ids")
    assert next(iter(dataset))["ids"].numpy().tolist() == [[1, 2], [1, 2]]


@pytest.mark.smoke
def test_fit_a_dataset():
    generator = Single(pairs(), batch_size=5)
    dataset = generator.to_dataset(
        (("int32", "int32"), "int32"), (([None], [None]), []), padded_batch=True
    )
    tiny_model().fit(dataset, steps_per_epoch=len(generator), epochs=2, verbose=0)
