import subprocess
import sys
import textwrap

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasbert.backend import keras, tf
from kerasbert.data import batches, stream_batches
from kerasbert.tokenizers import Tokenizer

TOKENIZER = Tokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefgh"])


def rows(lengths):
    """Examples that tell their number by their first id (and are told by it)."""
    return [[1 + i, *[9999] * (length - 1)] for i, length in enumerate(lengths)]


def gamma_lengths(count, mean=25, longest=128):
    """Lengths spread as those of real texts are."""
    lengths = np.random.default_rng(0).gamma(4, mean / 4, count).astype(int)
    return np.clip(lengths, 3, longest).tolist()


def numbers(dataset):
    """The numbers of the examples, batch by batch."""
    return [(ids.numpy()[:, 0] - 1).tolist() for (ids, *_), *_ in dataset]


def flat(nested):
    return [item for inner in nested for item in inner]


def padding(dataset):
    """The part of all token positions that is padding."""
    masks = [ids.numpy() != 0 for (ids, *_), *_ in dataset]
    return 1 - sum(mask.sum() for mask in masks) / sum(mask.size for mask in masks)


# What is in a batch.


def test_the_given_order_is_kept_and_each_batch_padded_to_its_longest():
    dataset = batches(
        ([[5, 6], [7], [8, 9, 10]], [[0, 1], [0], [0, 0, 1]]), [1, 0, 1], batch_size=2
    )
    (first, second), labels = next(iter(dataset))
    assert first.numpy().tolist() == [[5, 6], [7, 0]]
    assert second.numpy().tolist() == [[0, 1], [0, 0]]
    assert labels.numpy().tolist() == [1, 0]
    assert (first.dtype, second.dtype, labels.dtype) == (tf.int32, tf.int32, tf.int32)
    assert [y.numpy().tolist() for _, y in dataset] == [[1, 0], [1]]


def test_without_labels_an_element_is_a_tuple_of_the_inputs():
    # Keras would take (token_ids, segment_ids) for inputs and labels.
    (element,) = batches([[5, 6]])
    assert len(element) == 1
    assert [tensor.numpy().tolist() for tensor in element[0]] == [[[5, 6]], [[0, 0]]]


def test_inputs_to_choose_from():
    (element,) = batches([[5, 6], [7]], inputs=("token_ids", "attention_mask"))
    assert element[0][1].numpy().tolist() == [[1, 1], [1, 0]]
    (element,) = batches([[5, 6], [7]], inputs="token_ids")
    assert element[0].numpy().tolist() == [[5, 6], [7, 0]]


def test_the_padding_id():
    (element,) = batches([[5, 6], [7]], pad_id=3)
    assert element[0][0].numpy().tolist() == [[5, 6], [7, 3]]
    assert element[0][1].numpy().tolist() == [[0, 0], [0, 0]]


@pytest.mark.parametrize("labels", [[[0.5, 1.0], [2.0, 3.0]], {"a": [0, 1], "b": [[1, 2], [3, 4]]}])
def test_labels_of_any_shape(labels):
    ((_, taken),) = batches([[5], [6]], labels)
    if isinstance(labels, dict):
        assert {name: values.numpy().tolist() for name, values in taken.items()} == labels
    else:
        assert taken.numpy().tolist() == labels


def test_labels_per_token():
    ((_, labels),) = batches([[5, 6], [7]], [[1, 2], [3]], token_label_pad=-100)
    assert labels.numpy().tolist() == [[1, 2], [3, -100]]


def test_texts_and_pairs():
    texts = ["a b c", "d"]
    dataset = batches(texts, [0, 1], tokenizer=TOKENIZER, max_length=4)
    ((ids, _), labels) = next(iter(dataset))
    assert ids.numpy().tolist() == TOKENIZER(texts, max_length=4)["token_ids"].tolist()
    assert labels.numpy().tolist() == [0, 1]
    (((ids, segments),),) = batches([("a b c", "d"), ("a", "b")], tokenizer=TOKENIZER)
    encoding = TOKENIZER(["a b c", "a"], ["d", "b"])
    assert ids.numpy().tolist() == encoding["token_ids"].tolist()
    assert segments.numpy().tolist() == encoding["segment_ids"].tolist()


def test_what_the_tokenizer_returns_padded_is_taken_as_it_is():
    texts = ["a b c d e f g h", "a", "b c"]
    padded = batches(TOKENIZER(texts, padding="max_length", max_length=64), batch_size=2)
    assert [ids.shape[1] for ((ids, _),) in padded] == [10, 4]


# The length of a batch.


def test_lengths_rounded_up():
    dataset = batches(rows([3, 8, 9]), batch_size=1, pad_to_multiple_of=8)
    assert [ids.shape[1] for ((ids, _),) in dataset] == [8, 8, 16]


def test_lengths_to_choose_from():
    dataset = batches(rows([3, 8, 9, 32]), batch_size=1, pad_to=(16, 8, 32))
    assert [ids.shape[1] for ((ids, _),) in dataset] == [8, 8, 16, 32]


def test_shapes_are_open_for_one_trace_and_fixed_when_asked_for():
    def shape(**options):
        ids = batches(rows([3, 4, 5]), batch_size=2, **options).element_spec[0][0]
        return tuple(ids.shape)

    assert shape() == shape(pad_to=(4, 8)) == shape(shuffle=True) == (None, None)
    assert shape(drop_remainder=True) == (2, None)
    assert shape(drop_remainder=True, pad_to=8, shuffle=True) == (2, 8)


def test_texts_are_truncated_to_the_longest_length():
    (element,) = batches(["a b c d e f"], tokenizer=TOKENIZER, pad_to=(4, 6))
    assert element[0][0].shape == (1, 6)


# The order.


@settings(max_examples=15)
@given(
    st.lists(st.integers(1, 30), min_size=1, max_size=60),
    st.integers(1, 9),
    st.sampled_from(["given", "shuffle", "sort"]),
)
def test_every_example_once_in_full_batches_and_one_rest(lengths, batch_size, order):
    options = {} if order == "given" else {order: True}
    dataset = batches(rows(lengths), batch_size=batch_size, **options)
    for _ in range(2):
        batched = numbers(dataset)
        assert sorted(flat(batched)) == list(range(len(lengths)))
        assert len(batched) == len(dataset)
        sizes = sorted(map(len, batched), reverse=True)
        assert all(size == batch_size for size in sizes[:-1])


@pytest.mark.parametrize("order", [{}, {"shuffle": True}, {"sort": True}])
def test_drop_remainder(order):
    dataset = batches(rows(range(1, 12)), batch_size=4, drop_remainder=True, **order)
    batched = numbers(dataset)
    assert len(dataset) == len(batched) == 2
    assert [len(set(batch)) for batch in batched] == [4, 4]
    assert len(set(flat(batched))) == 8


def test_other_examples_are_dropped_in_each_epoch():
    dataset = batches(rows(range(1, 10)), batch_size=8, drop_remainder=True, shuffle=True, seed=1)
    dropped = {(set(range(9)) - set(flat(numbers(dataset)))).pop() for _ in range(12)}
    assert len(dropped) > 2


def test_sort_puts_the_longest_first():
    lengths = [3, 9, 9, 1, 5]
    assert flat(numbers(batches(rows(lengths), batch_size=2, sort=True))) == [1, 2, 4, 0, 3]


@pytest.mark.parametrize("global_seed", [False, True])
def test_a_seed_repeats_the_order_and_epochs_differ(global_seed):
    def epochs(seed):
        if global_seed:
            keras.utils.set_random_seed(seed)
        dataset = batches(
            rows(gamma_lengths(200)), batch_size=8, shuffle=True, seed=None if global_seed else seed
        )
        return [numbers(dataset) for _ in range(3)]

    first, again, other = epochs(1), epochs(1), epochs(2)
    assert first == again
    assert first != other
    assert first[0] != first[1] != first[2]


def test_shuffling_changes_which_examples_meet_and_when():
    dataset = batches(rows(range(1, 641)), batch_size=8, shuffle=True, seed=1)
    first, second = numbers(dataset), numbers(dataset)
    met = [{pair for batch in epoch for pair in zip(sorted(batch), sorted(batch)[1:])}
           for epoch in (first, second)]  # fmt: skip
    assert len(met[0] & met[1]) < 0.3 * len(met[0])
    place = [{number: at for at, batch in enumerate(epoch) for number in batch}
             for epoch in (first, second)]  # fmt: skip
    correlation = np.corrcoef([place[0][i] for i in range(640)], [place[1][i] for i in range(640)])
    assert abs(correlation[0, 1]) < 0.2


def test_batches_come_in_no_order_of_length():
    dataset = batches(rows(gamma_lengths(3200)), batch_size=16, shuffle=True, seed=1)
    widths = [ids.shape[1] for ((ids, _),) in dataset]
    assert abs(np.corrcoef(widths, np.arange(len(widths)))[0, 1]) < 0.2


def test_hardly_any_padding_is_left():
    examples = rows(gamma_lengths(6400))
    at_random = padding(batches(examples))
    assert at_random > 0.4
    assert padding(batches(examples, shuffle=True, seed=1)) < 0.06 < at_random / 6
    assert padding(batches(examples, sort=True)) < 0.01


def test_the_smaller_batch_is_not_the_one_of_the_longest():
    dataset = batches(rows([3] * 60 + [9]), batch_size=10, shuffle=True, seed=1)
    rests = {next(batch[0] for batch in numbers(dataset) if len(batch) == 1) for _ in range(10)}
    assert len(rests) > 3


# Use.


class CountingDense(keras.layers.Dense):
    """Counts how often it is traced."""

    traces = 0

    def call(self, inputs):
        type(self).traces += 1
        return super().call(inputs)


def tiny_model(outputs=1):
    ids, segments = (keras.Input((None,), dtype="int32") for _ in range(2))
    x = keras.layers.Embedding(10000, 8)(ids)
    x = keras.layers.Add()([x, keras.layers.Embedding(2, 8)(segments)])
    x = keras.layers.GlobalAveragePooling1D()(x)
    model = keras.Model([ids, segments], CountingDense(2)(x))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.05), loss, metrics=["accuracy"])
    return model


@pytest.mark.smoke
def test_fit_evaluate_and_predict_with_one_trace_for_all_lengths():
    lengths = list(range(1, 41))
    examples = [[1 + i % 2] * length for i, length in enumerate(lengths)]
    labels = [i % 2 for i in range(40)]
    model = tiny_model()
    train = batches(examples, labels, batch_size=4, shuffle=True, seed=1)
    CountingDense.traces = 0
    model.fit(train, epochs=1, verbose=0)
    traces = CountingDense.traces
    assert 1 <= traces <= 3
    history = model.fit(train, epochs=12, verbose=0)
    assert CountingDense.traces == traces
    assert history.history["loss"][-1] < 0.2
    scores = model.evaluate(batches(examples, labels, sort=True), verbose=0, return_dict=True)
    assert scores["accuracy"] == 1.0
    predicted = model.predict(batches(examples, batch_size=7), verbose=0)
    assert predicted.argmax(axis=1).tolist() == labels


def test_no_python_runs_per_batch():
    dataset = batches(rows([3, 4, 5]), [0, 1, 0], shuffle=True)
    graph = dataset._as_serialized_graph(
        external_state_policy=tf.data.experimental.ExternalStatePolicy.IGNORE
    ).numpy()
    assert b"FlatMapDataset" in graph
    assert b"PyFunc" not in graph


@pytest.mark.slow
def test_fit_under_a_mirrored_strategy():
    script = textwrap.dedent(
        """
        from kerasbert.backend import keras, tf
        from kerasbert.data import batches

        cpu = tf.config.list_physical_devices("CPU")[0]
        halves = [tf.config.LogicalDeviceConfiguration()] * 2
        tf.config.set_logical_device_configuration(cpu, halves)
        strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
        examples = [[1 + i % 2] * (1 + i % 13) for i in range(100)]
        labels = [i % 2 for i in range(100)]
        dataset = batches(examples, labels, batch_size=8, shuffle=True, seed=1)
        seen = []
        for inputs, _ in strategy.experimental_distribute_dataset(dataset):
            parts = strategy.experimental_local_results(inputs[0])
            seen.append([part.shape[0] for part in parts])
        assert sum(map(sum, seen)) == 100, seen
        assert seen.count([4, 4]) == 12, seen

        with strategy.scope():
            ids, segments = (keras.Input((None,), dtype="int32") for _ in range(2))
            x = keras.layers.Embedding(3, 8)(ids)
            x = keras.layers.Add()([x, keras.layers.Embedding(2, 8)(segments)])
            x = keras.layers.GlobalAveragePooling1D()(x)
            model = keras.Model([ids, segments], keras.layers.Dense(2)(x))
            loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
            model.compile(keras.optimizers.Adam(0.05), loss)
        print(model.fit(dataset, epochs=8, verbose=0).history["loss"][-1])
        """
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert float(done.stdout.split()[-1]) < 0.2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shuffle": True, "sort": True}, "not both"),
        ({"batch_size": 0}, "batch_size must be a positive whole number, got 0"),
        ({"batch_size": 2.5}, "batch_size"),
        ({"batch_size": 4, "drop_remainder": True}, "leaves nothing of 3 examples.*at most 3"),
        ({"pad_to": 0}, "pad_to must be a positive"),
        ({"pad_to_multiple_of": None}, "pad_to_multiple_of must be a positive"),
        ({"pad_to": 8, "pad_to_multiple_of": 8}, "not both"),
        ({"max_length": 4}, "example 2 has 5 tokens, but 4 are the most"),
        ({"pad_to": (2, 4)}, "example 2 has 5 tokens, but 4 are the most"),
        ({"max_length": -1}, "max_length"),
        ({"labels": [1, 2]}, "3 examples, but 2 labels"),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        batches(rows([3, 4, 5]), **options)


# Streams.


def test_a_stream_gives_every_example_once_in_each_epoch():
    lengths = gamma_lengths(103)
    read = []

    def examples():
        read.append("again")
        yield from ((ids, number) for number, ids in enumerate(rows(lengths)))

    dataset = stream_batches(examples, batch_size=4, shuffle=True, seed=1, buffer_size=40)
    epochs = []
    for _ in range(2):
        sizes = []
        for (ids, segments), labels in dataset:
            assert (ids.numpy()[:, 0] - 1).tolist() == labels.numpy().tolist()
            assert segments.shape == ids.shape
            sizes.append(len(labels))
        epochs.append(numbers(dataset))
        assert sorted(flat(epochs[-1])) == list(range(103))
        assert sorted(sizes) == [3] + [4] * 25
    assert epochs[0] != epochs[1]
    assert len(read) >= 4


def test_a_stream_without_labels_keeps_the_order():
    dataset = stream_batches(
        lambda: iter(rows([3, 9, 4, 8])), with_labels=False, batch_size=2, buffer_size=2
    )
    assert numbers(dataset) == [[0, 1], [2, 3]]
    assert [ids.shape[1] for ((ids, _),) in dataset] == [9, 8]


def test_a_stream_sorts_within_its_buffer():
    examples = rows(gamma_lengths(6400))
    stream = stream_batches(lambda: examples, with_labels=False, shuffle=True, buffer_size=3200)
    assert padding(stream) < padding(batches(examples)) / 5


def test_a_stream_of_texts_of_tuples_and_of_dicts():
    def first(dataset):
        return next(iter(dataset))

    texts = [("a b c", 0), ("d", 1)]
    (ids, _), labels = first(stream_batches(lambda: texts, tokenizer=TOKENIZER, batch_size=2))
    assert ids.numpy().tolist() == TOKENIZER(["a b c", "d"])["token_ids"].tolist()
    assert labels.numpy().tolist() == [0, 1]

    tuples = [(([5, 6], [0, 1]), 0.5), (([7], [1]), 1.5)]
    (_, segments), labels = first(stream_batches(lambda: tuples, batch_size=2))
    assert segments.numpy().tolist() == [[0, 1], [1, 0]]
    assert labels.numpy().tolist() == [0.5, 1.5]

    dicts = [({"token_ids": [5, 6]}, {"a": 1, "b": 2.0})]
    _, labels = first(stream_batches(lambda: dicts))
    assert {name: value.numpy().tolist() for name, value in labels.items()} == {
        "a": [1],
        "b": [2.0],
    }


def test_a_stream_has_open_or_fixed_shapes():
    examples = rows([3] * 10)
    stream = stream_batches(
        lambda: examples, with_labels=False, batch_size=4, drop_remainder=True, pad_to=8
    )
    assert stream.element_spec[0][0].shape == (4, 8)
    assert [ids.shape for ((ids, _),) in stream] == [(4, 8), (4, 8)]


@pytest.mark.parametrize(
    ("examples", "options", "error", "message"),
    [
        (rows([3]), {}, TypeError, "a generator function, not list"),
        (list, {}, ValueError, "the iterator that examples.. returns is empty"),
        (lambda: rows([3]), {"buffer_size": 33}, ValueError, "multiple of batch_size=32"),
        (lambda: rows([9]), {"max_length": 4}, ValueError, "example 0 has 9 tokens"),
    ],
)
def test_bad_streams(examples, options, error, message):
    with pytest.raises(error, match=message):
        stream_batches(examples, with_labels=False, **options)


def test_a_bad_example_in_a_stream_is_told_at_its_step():
    stream = stream_batches(
        lambda: rows([3, 3, 9]), with_labels=False, batch_size=1, buffer_size=1, max_length=4
    )
    with pytest.raises(tf.errors.OpError, match="has 9 tokens, but 4 are the most"):
        list(stream)
