"""Batches for training: the same ones whatever the number of replicas, hosts and micro-batches.

A corpus is read in *lanes*. Lane ``i`` of ``n`` takes every ``n``-th shard (in an order drawn anew
for every epoch), shuffles within a buffer and gives the same share of every batch; a host reads
whole lanes. So each host opens only its own files, the batches of one host, two or eight are the
same, and so are their masks: their seed is made of the run's seed, the lane and the step. A step is
found again by its number alone, which is all that a resumed run has to remember.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf

from pretraining.records import parse

if TYPE_CHECKING:
    from pretraining.objectives import Objective
    from pretraining.records import Corpus

MOST_LANES = 8


class Batches:
    """The batches of a corpus for an objective.

    Args:
        corpus: the records.
        objective: what is predicted; its ``prepare`` masks the records.
        batch_size: records of a step, over all hosts and replicas.
        seed: of order and masks.
        lanes: how many lanes the shards are read in; hosts must divide them. None takes as many as
            divide the batch and have a shard each, at most 8.
        shuffle_buffer: records that are held to draw from, over all lanes.

    Attributes:
        lanes: as above.
        steps_per_epoch: whole batches of one pass; the rest of the shards is left out, another
            one in every epoch.

    Raises:
        ValueError: when lanes do not divide the batch, or the corpus is smaller than a batch.
    """

    def __init__(
        self,
        corpus: Corpus,
        objective: Objective,
        *,
        batch_size: int,
        seed: int,
        lanes: int | None = None,
        shuffle_buffer: int = 10_000,
    ):
        shards = len(corpus.shards)
        if lanes is None:
            lanes = next(n for n in range(MOST_LANES, 0, -1) if batch_size % n == 0 and n <= shards)
        if lanes < 1 or batch_size % lanes or lanes > shards:
            raise ValueError(
                f"lanes must divide batch_size and be at most the number of shards. Received: "
                f"lanes={lanes}, batch_size={batch_size}, {shards} shards in {corpus.folder}"
            )
        self.corpus, self.objective = corpus, objective
        self.batch_size, self.seed, self.lanes = batch_size, seed, lanes
        self.shuffle_buffer = max(1, shuffle_buffer // lanes)
        # traced once, and not for every lane of every epoch
        self._prepare = tf.function(self._prepare_records)
        # of any deal of the shards to lanes: the order changes with the epoch
        least = sum(sorted(count for _, count in corpus.shards)[: shards // lanes])
        self.steps_per_epoch = least // (batch_size // lanes)
        if not self.steps_per_epoch:
            raise ValueError(
                f"{corpus.folder} has too few examples for a batch: its smallest lane of "
                f"{shards // lanes} shards holds {least}, and a batch takes {batch_size // lanes} "
                f"of it. Received: batch_size={batch_size}, lanes={lanes}. Take a smaller batch."
            )

    def epoch(
        self, step: int, *, host: int = 0, hosts: int = 1, replicas: int = 1
    ) -> tf.data.Dataset:
        """The batches from a step to the end of its epoch, for one host.

        Args:
            step: of the run; 0 is the first.
            host: number of this host.
            hosts: how many read the corpus together.
            replicas: of this host; each element is the batch of one of them, in turn.

        Returns:
            A dataset of what ``objective.prepare`` returns, all shapes static.

        Raises:
            ValueError: when lanes or the batch cannot be divided so.
        """
        if self.lanes % hosts or self.batch_size % (hosts * replicas):
            raise ValueError(
                f"{hosts} hosts with {replicas} replicas each cannot share {self.lanes} lanes and "
                f"a batch of {self.batch_size}: lanes must be a multiple of the hosts, batch_size "
                "of all replicas."
            )
        number, first = divmod(step, self.steps_per_epoch)
        mine = range(host * self.lanes // hosts, (host + 1) * self.lanes // hosts)
        files = self._order(number)
        lanes = [self._lane(lane, files[lane :: self.lanes], number, first) for lane in mine]
        dataset = lanes[0] if len(lanes) == 1 else tf.data.Dataset.zip(tuple(lanes)).map(_joined)
        if replicas > 1:
            dataset = dataset.flat_map(lambda batch: _divided(batch, replicas))
        options = tf.data.Options()
        options.deterministic = True
        return dataset.with_options(options).prefetch(tf.data.AUTOTUNE)

    def _order(self, epoch: int) -> list[Path]:
        """The shards in the order of an epoch."""
        order = np.random.default_rng([self.seed % 2**32, epoch]).permutation(
            len(self.corpus.shards)
        )
        return [self.corpus.shards[place][0] for place in order]

    def _lane(self, lane: int, files: Sequence[Path], epoch: int, first: int) -> tf.data.Dataset:
        rows = self.batch_size // self.lanes
        names = tf.data.Dataset.from_tensor_slices([str(file) for file in files])
        records = names.interleave(
            lambda name: tf.data.TFRecordDataset(name, compression_type="GZIP"),
            cycle_length=min(4, len(files)),
            block_length=16,
        )
        # before the skip, so that a resumed run has the same order; it moves bytes only
        seed = int(np.random.default_rng([self.seed % 2**32, epoch, lane]).integers(2**31))
        records = records.shuffle(self.shuffle_buffer, seed=seed, reshuffle_each_iteration=False)
        records = records.skip(first * rows).batch(rows, drop_remainder=True)
        records = records.take(self.steps_per_epoch - first)
        steps = tf.data.Dataset.range(epoch * self.steps_per_epoch + first, np.iinfo(np.int64).max)
        base = tf.constant(
            np.random.default_rng([self.seed % 2**32, lane]).integers(2**31), tf.int32
        )
        return tf.data.Dataset.zip((steps, records)).map(
            lambda step, serialized: self._prepare(serialized, base, step),
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=True,
        )

    def _prepare_records(self, serialized, base, step) -> dict[str, tf.Tensor]:
        corpus = self.corpus
        batch = parse(serialized, corpus.max_length, corpus.special_ids["pad"])
        return self.objective.prepare(batch, tf.stack([base, tf.cast(step, tf.int32)]))


def _joined(*batches: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """The rows of several batches in one."""
    return {name: tf.concat([batch[name] for batch in batches], 0) for name in batches[0]}


def _divided(batch: dict[str, tf.Tensor], parts: int) -> tf.data.Dataset:
    """Equal parts of a batch, one after the other."""
    return tf.data.Dataset.from_tensor_slices(split_rows(batch, parts))


def split_rows(batch: dict[str, tf.Tensor], parts: int) -> dict[str, tf.Tensor]:
    """(rows, ...) to (parts, rows / parts, ...) in every tensor, with static shapes.

    Raises:
        ValueError: when the rows cannot be divided so.
    """
    divided = {}
    for name, tensor in batch.items():
        rows = tensor.shape[0]
        if rows % parts:
            raise ValueError(f"{rows} rows cannot be divided into {parts} equal parts.")
        divided[name] = tf.reshape(tensor, [parts, rows // parts, *tensor.shape[1:]])
    return divided
