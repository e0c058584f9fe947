"""Averages of the weights over the steps of a custom loop."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from kerasbert.backend import tensorflow_variable, tf
from kerasbert.distribution import strategy_of


class WeightAverage(tf.Module):
    """An exponential moving average of variables (Polyak & Juditsky 1992), beside the model.

    Each update moves every average to ``decay * average + (1 - decay) * variable``. Averages are
    float32 and lie where the variables lie, a copy on every replica; ``tf.train.Checkpoint`` saves
    them. With ``optimizer.use_ema`` Keras averages too, but in the dtype of the variables, and
    without a way to look at the averages during the training.

    Args:
        variables: of Keras or TensorFlow; the averages begin with their values.
        decay: share of the average that stays, from 0 to below 1, such as 0.999.
        warmup: whether the decay of update t (0 is the first) is at most (1 + t) / (10 + t), so
            that the beginning is soon forgotten, as in ``tf.train.ExponentialMovingAverage``.

    Attributes:
        averages: ``tf.Variable``, one for each variable, in the same order.
        updates: how many there were, an int64 scalar ``tf.Variable``.

    Raises:
        ValueError: for another decay, or no variables.
    """

    def __init__(self, variables: Sequence, decay: float, warmup: bool = False):
        super().__init__(name="weight_average")
        if not 0 <= decay < 1:
            raise ValueError(f"decay must be from 0 to below 1. Received: {decay!r}")
        weights = [tensorflow_variable(variable) for variable in variables]
        if not weights:
            raise ValueError(f"There must be variables to average. Received: {variables!r}")
        self.decay, self.warmup = float(decay), bool(warmup)
        # Not by setattr: checkpoints would track the weights here too.
        vars(self)["_weights"] = weights
        vars(self)["_strategy"] = strategy_of(weights[0])
        with self._strategy.scope():
            self.averages = [
                tf.Variable(
                    lambda w=weight: tf.cast(w.read_value(), tf.float32),
                    trainable=False,
                    dtype=tf.float32,
                    name=f"average_{index}",
                )
                for index, weight in enumerate(weights)
            ]
            self.updates = tf.Variable(
                0,
                dtype=tf.int64,
                trainable=False,
                name="updates",
                aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
            )

    def update(self) -> None:
        """Moves the averages; outside of ``strategy.run``, eagerly or in ``tf.function``."""
        decay = tf.constant(self.decay, tf.float32)
        if self.warmup:
            updates = tf.cast(self.updates.read_value(), tf.float32)
            decay = tf.minimum(decay, (1.0 + updates) / (10.0 + updates))

        def move(average, weight, decay):
            weight = tf.cast(weight.read_value(), tf.float32)
            average.assign_sub((1.0 - decay) * (average.read_value() - weight), read_value=False)

        change = self._strategy.extended.update
        for average, weight in zip(self.averages, self._weights):
            change(average, move, args=(weight, decay))
        change(self.updates, lambda updates: updates.assign_add(1, read_value=False))

    def reset(self) -> None:
        """Begins anew with the present values of the variables, such as those of a checkpoint."""
        change = self._strategy.extended.update
        for average, weight in zip(self.averages, self._weights):
            change(
                average,
                lambda average, weight: average.assign(tf.cast(weight.read_value(), tf.float32)),
                args=(weight,),
            )
        change(self.updates, lambda updates: updates.assign(0))

    @contextlib.contextmanager
    def swapped(self) -> Iterator[None]:
        """Inside this context the variables hold the averages: to evaluate, or to export.

        Afterwards they hold what they held before, also after an exception. Neither train nor
        save checkpoints of the training inside.
        """
        before = [tf.identity(weight.read_value()) for weight in self._weights]
        try:
            self._fill([average.read_value() for average in self.averages])
            yield
        finally:
            self._fill(before)

    def _fill(self, values: Sequence[tf.Tensor]) -> None:
        with self._strategy.scope():
            for weight, value in zip(self._weights, values):
                weight.assign(tf.cast(value, weight.dtype))
