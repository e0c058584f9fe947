"""Many steps per call: the loop over steps is in the graph, as TPUs want it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf

from pretraining.inputs import Batches

if TYPE_CHECKING:
    from collections.abc import Callable

    from pretraining.step import Step


class HostLoop:
    """Runs steps and evaluations, many in one call of a ``tf.function``.

    Args:
        step: of the run.
    """

    def __init__(self, step: Step):
        self.step, self.strategy = step, step.strategy
        self._names: dict[str, list[str]] = {}
        self._steps = tf.function(self._many_steps, autograph=False)
        self._evaluations = tf.function(self._many_evaluations, autograph=False)

    def iterator(self, batches: Batches, step: int):
        """An iterator over the batches from a step to the end of its epoch, on all hosts."""

        def of_host(context) -> tf.data.Dataset:
            hosts = context.num_input_pipelines
            replicas = context.num_replicas_in_sync // hosts
            epoch = batches.epoch(
                step, host=context.input_pipeline_id, hosts=hosts, replicas=replicas
            )
            # read to its end only; of what may end, several workers do not keep static shapes
            return epoch.repeat()

        return iter(self.strategy.distribute_datasets_from_function(of_host))

    def steps(self, iterator, first: int, count: int) -> dict[str, np.ndarray]:
        """Takes so many steps.

        Args:
            iterator: of :meth:`iterator`.
            first: number of the first step.
            count: how many; the iterator must have as many batches left.

        Returns:
            What :meth:`Step.run` reports, float32 (count,) by name.
        """
        reports = self._steps(iterator, tf.constant(first, tf.int64), tf.constant(count))
        return dict(zip(self._names["run"], reports.numpy().T))

    def evaluate(self, iterator, count: int) -> dict[str, float]:
        """Means of losses and metrics over so many batches, by name."""
        sums = self._evaluations(iterator, tf.constant(count)).numpy()
        sums = dict(zip(self._names["evaluate"], sums.tolist()))
        means = {}
        for name, value in sums.items():
            metric, _, part = name.partition(":")
            if part == "sum":
                weight = sums[f"{metric}:weight"]
                means[metric] = value / weight if weight else 0.0
        return means

    def any(self, flag: bool) -> bool:
        """Whether the flag is set on any host: they have to stop after the same step."""
        if self.strategy.num_replicas_in_sync == 1 or not _several_hosts(self.strategy):
            return flag
        flags = self.strategy.experimental_distribute_values_from_function(
            lambda _: tf.constant(float(flag))
        )
        return bool(self.strategy.reduce(tf.distribute.ReduceOp.SUM, flags, axis=None) > 0)

    def _many_steps(self, iterator, first: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
        return self._many(
            "run", count, lambda done: self.step.run(iterator.get_next(), first + done)
        )

    def _many_evaluations(self, iterator, count: tf.Tensor) -> tf.Tensor:
        reports = self._many("evaluate", count, lambda _: self.step.evaluate(iterator.get_next()))
        return tf.reduce_sum(tf.cast(reports, tf.float64), axis=0)

    def _many(self, name: str, count: tf.Tensor, make: Callable) -> tf.Tensor:
        """The reports of calls one after the other, (count, numbers)."""

        def body(done, reports):
            report = make(tf.cast(done, tf.int64))
            self._names[name] = sorted(report)
            line = tf.stack([report[key] for key in self._names[name]])
            return done + 1, reports.write(done, line)

        reports = tf.TensorArray(tf.float32, size=count, element_shape=[None])
        _, reports = tf.while_loop(
            lambda done, _: done < count, body, (tf.constant(0), reports), parallel_iterations=1
        )
        return reports.stack()


def _several_hosts(strategy: tf.distribute.Strategy) -> bool:
    return isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)
