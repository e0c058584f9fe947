"""Groups of similar sentences: made from pairs, and in batches as SimBERT is trained on them."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence

import numpy as np

from kerasbert.backend import tf
from kerasbert.data.pipeline import positive
from kerasbert.data.seq2seq import IGNORE_ID


def similar_groups(pairs: Iterable[tuple[Hashable, Hashable]]) -> list[list]:
    """Joins pairs to groups: a and b similar, b and c similar, then a, b and c are a group.

    Args:
        pairs: of sentences (or anything hashable) that are similar.

    Returns:
        The connected components, each at least two different sentences, in the order in which they
        first come.
    """
    parents: dict = {}

    def root(sentence):
        parents.setdefault(sentence, sentence)
        while parents[sentence] != sentence:
            parents[sentence] = parents[parents[sentence]]  # halves the way for the next time
            sentence = parents[sentence]
        return sentence

    for first, second in pairs:
        parents[root(second)] = root(first)
    groups: dict = {}
    for sentence in parents:
        groups.setdefault(root(sentence), []).append(sentence)
    return [group for group in groups.values() if len(group) > 1]


def similar_batches(
    groups: Sequence[Sequence[str]],
    *,
    tokenizer: Callable,
    batch_size: int = 64,
    max_length: int = 32,
    shuffle: bool = False,
    seed: int | None = None,
    drop_remainder: bool = True,
    ignore_id: int = IGNORE_ID,
) -> tf.data.Dataset:
    """Batches for SimBERT: of each group two sentences, one from the other and back::

        train = data.similar_batches(groups, tokenizer=tokenizer, batch_size=128, shuffle=True)
        model = build_transformer_model(
            checkpoint, model="unilm", with_pool="linear", with_mlm="linear"
        )
        model.compile(AdamW(2e-6), [InBatchSimilarityLoss(), NextTokenLoss()])
        model.fit(train, epochs=10)

    Row 2k is [CLS] a [SEP] b [SEP], row 2k + 1 is [CLS] b [SEP] a [SEP]. Lengths are not sorted
    (:func:`kerasbert.data.batches` does so): the rows of a batch are each other's negatives, and
    should not be told apart by their length.

    Args:
        groups: lists of at least two similar sentences each.
        tokenizer: of texts.
        batch_size: rows of a batch, an even number: twice the groups in it.
        max_length: most tokens of a sentence, [CLS] and [SEP] counted; more are cut off.
        shuffle: groups in another order and other sentences of each in every epoch. Otherwise the
            first two sentences of each.
        seed: makes every run the same.
        drop_remainder: leave out the last groups if they do not fill a batch.
        ignore_id: the label of the positions that predict nothing.

    Returns:
        A dataset of known cardinality with elements ``((token_ids, segment_ids), (numbers,
        labels))``, int32: (batch, length) each, and the number of its group (batch,), which the
        similarity loss compares.

    Raises:
        ValueError: a group of less than two sentences, an odd batch size, or no whole batch.
    """
    positive("batch_size", batch_size)
    if batch_size % 2:
        raise ValueError(f"batch_size must be even (two rows for each group), got {batch_size}.")
    for number, group in enumerate(groups):
        if isinstance(group, str) or len(group) < 2:
            raise ValueError(f"group {number} must be a list of two sentences or more: {group!r}")
    per_batch = batch_size // 2
    count = len(groups) // per_batch if drop_remainder else -(-len(groups) // per_batch)
    if count == 0:
        raise ValueError(
            f"{len(groups)} groups do not fill a batch of {batch_size} rows: give a batch_size of "
            f"at most {2 * len(groups)}, or more groups."
        )
    texts = [sentence for group in groups for sentence in group]
    rows = tokenizer(texts, max_length=positive("max_length", max_length), padding=False)
    rows = rows["token_ids"]
    assemble = _Pairs(
        np.concatenate(rows).astype(np.int32),
        _splits(len(row) for row in rows),
        _splits(len(group) for group in groups),
        tokenizer.pad_id,
        ignore_id,
        shuffle,
    )

    def epoch(epoch_seed):
        numbers = tf.range(len(groups), dtype=tf.int64)
        if shuffle:
            numbers = tf.random.experimental.stateless_shuffle(numbers, epoch_seed)
        starts = tf.data.Dataset.range(0, count * per_batch, per_batch)
        return starts.map(
            lambda start: assemble(
                _take(numbers, start, per_batch, drop_remainder), epoch_seed + start
            ),
            num_parallel_calls=2,
        )

    if shuffle:
        seeds = tf.data.Dataset.random(seed=seed, rerandomize_each_iteration=True)
        seeds = seeds.batch(2, drop_remainder=True).take(1)
    else:
        seeds = tf.data.Dataset.from_tensors(np.zeros(2, np.int64))
    options = tf.data.Options()
    options.autotune.enabled = False  # see kerasbert.data.pipeline.padded_batches
    dataset = seeds.flat_map(epoch).with_options(options)
    return dataset.apply(tf.data.experimental.assert_cardinality(count)).prefetch(2)


def _splits(lengths: Iterable[int]) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(list(lengths))]).astype(np.int64)


def _take(numbers: tf.Tensor, start: tf.Tensor, count: int, whole: bool) -> tf.Tensor:
    taken = numbers[start : start + count]
    return tf.ensure_shape(taken, [count]) if whole else taken


class _Pairs:
    """Draws two sentences of each group, and puts them together.

    Args:
        token_ids: of all sentences, [CLS] and [SEP] in them, one after the other, (tokens,).
        splits: sentence i is ``token_ids[splits[i]:splits[i + 1]]``.
        groups: group g has the sentences ``groups[g]`` to ``groups[g + 1]``.
        pad_id: id of the padding.
        ignore_id: label of positions that predict nothing.
        draw: whether sentences are drawn; otherwise the first two are taken.
    """

    def __init__(self, token_ids, splits, groups, pad_id: int, ignore_id: int, draw: bool):
        self.token_ids, self.splits, self.groups = map(tf.constant, (token_ids, splits, groups))
        self.pad_id, self.ignore_id, self.draw = pad_id, ignore_id, draw

    def __call__(self, numbers: tf.Tensor, seed: tf.Tensor) -> tuple:
        """Makes the batch of groups of these numbers, int64 (groups of the batch,)."""
        begin = tf.gather(self.groups, numbers)
        size = tf.gather(self.groups, numbers + 1) - begin
        first, step = tf.zeros_like(size), tf.ones_like(size)
        if self.draw:
            share = tf.random.stateless_uniform([2, tf.size(numbers)], seed, dtype=tf.float64)
            first = tf.cast(share[0] * tf.cast(size, tf.float64), tf.int64)
            step += tf.cast(share[1] * tf.cast(size - 1, tf.float64), tf.int64)
        second = begin + (first + step) % size
        first = begin + first
        sources = tf.reshape(tf.stack([first, second], axis=1), [-1])
        targets = tf.reshape(tf.stack([second, first], axis=1), [-1])
        inputs, labels = self._rows(sources, targets)
        return inputs, (tf.repeat(tf.cast(numbers, tf.int32), 2), labels)

    def _rows(self, sources: tf.Tensor, targets: tf.Tensor) -> tuple:
        """Inputs and labels of sentences of these numbers, int64 (batch,) each."""
        start, length = self._place(sources)
        target_start, target_length = self._place(targets)
        target_start, target_length = target_start + 1, target_length - 1  # without its [CLS]
        place = tf.range(tf.reduce_max(length + target_length))
        in_source = place < length[:, None]
        is_token = place < (length + target_length)[:, None]
        index = tf.where(
            in_source, start[:, None] + place, target_start[:, None] + place - length[:, None]
        )
        token_ids = tf.gather(self.token_ids, tf.where(is_token, index, 0))
        token_ids = tf.where(is_token, token_ids, self.pad_id)
        in_target = is_token & ~in_source
        labels = tf.where(in_target, token_ids, self.ignore_id)
        labels = tf.pad(labels[:, 1:], [[0, 0], [0, 1]], constant_values=self.ignore_id)
        return (token_ids, tf.cast(in_target, tf.int32)), labels

    def _place(self, sentences: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        start = tf.gather(self.splits, sentences)
        return start, tf.gather(self.splits, sentences + 1) - start
