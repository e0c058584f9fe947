"""Learning rate schedules."""

from __future__ import annotations

from collections.abc import Mapping

from kerasbert.backend import keras, serializable, tf


@serializable
class PiecewiseLinear(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate that runs in straight lines between given points.

    The multiplier is bert4keras' ``piecewise_linear``: between two points it is interpolated,
    after the last it stays. Without a point at step 0 it starts from 0, so that the first step
    changes nothing.

    Args:
        learning_rate: what the multipliers multiply.
        points: multiplier by step, such as ``{1000: 1.0, 10000: 0.0}`` for a warm-up of 1,000 steps
            and a decay to 0 at step 10,000.
        name: name of the schedule.

    Raises:
        ValueError: for no points or negative steps.
    """

    def __init__(self, learning_rate: float, points: Mapping[int, float], name: str | None = None):
        super().__init__()
        self.learning_rate = float(learning_rate)
        self.points = {int(step): float(rate) for step, rate in points.items()}
        if not self.points or min(self.points) < 0:
            raise ValueError(f"points must name steps of at least 0. Received: {dict(points)}")
        self.name = name

    def __call__(self, step):
        """The learning rate, a float32 scalar, of a step (0 is the first)."""
        points = sorted({**({} if 0 in self.points else {0: 0.0}), **self.points}.items())
        step = tf.cast(step, tf.float32)
        rate = tf.constant(points[-1][1], tf.float32)
        for (start, low), (end, high) in reversed(list(zip(points, points[1:]))):
            slope = (high - low) / (end - start)
            rate = tf.where(step < end, low + slope * (step - start), rate)
        return self.learning_rate * rate

    def get_config(self) -> dict:
        # Keys of json objects are text; __init__ reads both.
        points = {str(step): rate for step, rate in self.points.items()}
        return {"learning_rate": self.learning_rate, "points": points, "name": self.name}


def warmup_linear_decay(
    learning_rate: float, total_steps: int, warmup: int | float = 0.1
) -> PiecewiseLinear:
    """The fine-tuning schedule of the BERT papers: up in a line, then down in a line to 0.

    Args:
        learning_rate: the highest rate.
        total_steps: steps of the whole training.
        warmup: steps of warm-up, or, below 1, their share of ``total_steps``.

    Raises:
        ValueError: when the warm-up is not shorter than the training.
    """
    warmup_steps = round(warmup * total_steps) if warmup < 1 else int(warmup)
    if not 0 <= warmup_steps < total_steps:
        raise ValueError(
            f"The warm-up must be shorter than the training. Received: warmup={warmup} "
            f"({warmup_steps} steps), total_steps={total_steps}"
        )
    return PiecewiseLinear(learning_rate, {max(warmup_steps, 0): 1.0, total_steps: 0.0})
