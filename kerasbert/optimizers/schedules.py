"""Learning rate schedules."""

from __future__ import annotations

import math
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
    warmup_steps = _warmup_steps(warmup, total_steps)
    return PiecewiseLinear(learning_rate, {warmup_steps: 1.0, total_steps: 0.0})


class _WarmupDecay(keras.optimizers.schedules.LearningRateSchedule):
    """Up in a line to the highest rate, then down along a curve of the subclass."""

    def __init__(
        self,
        learning_rate: float,
        total_steps: int,
        warmup: int | float = 0.1,
        end_learning_rate: float = 0.0,
        name: str | None = None,
    ):
        super().__init__()
        self.learning_rate = float(learning_rate)
        self.total_steps = int(total_steps)
        self.warmup_steps = _warmup_steps(warmup, self.total_steps)
        self.end_learning_rate = float(end_learning_rate)
        self.name = name

    def _fall(self, done: tf.Tensor) -> tf.Tensor:
        """From 1 to 0, the rest of the way to the end when a share ``done`` of it is gone."""
        raise NotImplementedError

    def _decayed(self, done: tf.Tensor) -> tf.Tensor:
        span = self.learning_rate - self.end_learning_rate
        return self.end_learning_rate + span * self._fall(tf.clip_by_value(done, 0.0, 1.0))

    def __call__(self, step):
        """The learning rate, a float32 scalar, of a step (0 is the first)."""
        step = tf.cast(step, tf.float32)
        rate = self._decayed((step - self.warmup_steps) / (self.total_steps - self.warmup_steps))
        if not self.warmup_steps:
            return rate
        rising = self.learning_rate * step / self.warmup_steps
        return tf.where(step < self.warmup_steps, rising, rate)

    def get_config(self) -> dict:
        return {
            "learning_rate": self.learning_rate,
            "total_steps": self.total_steps,
            "warmup": self.warmup_steps,
            "end_learning_rate": self.end_learning_rate,
            "name": self.name,
        }


@serializable
class WarmupCosineDecay(_WarmupDecay):
    """Up in a line to the highest rate, then down along half a cosine.

    Args:
        learning_rate: the highest rate.
        total_steps: steps of the whole training.
        warmup: steps of warm-up, or, below 1, their share of ``total_steps``.
        end_learning_rate: rate at and after the end.
        name: name of the schedule.

    Raises:
        ValueError: when the warm-up is not shorter than the training.
    """

    def _fall(self, done: tf.Tensor) -> tf.Tensor:
        return 0.5 * (1.0 + tf.cos(math.pi * done))


@serializable
class WarmupPolynomialDecay(_WarmupDecay):
    """Up in a line to the highest rate, then down along a power of the steps that are left.

    Args:
        learning_rate: the highest rate.
        total_steps: steps of the whole training.
        warmup: steps of warm-up, or, below 1, their share of ``total_steps``.
        power: 1 for a line.
        end_learning_rate: rate at and after the end.
        form: how warm-up and decay meet. "restart": the decay begins where the warm-up ends
            (NEZHA, Hugging Face). "bert": the decay counts from step 0, so that the rate drops to
            it after the warm-up (``create_optimizer`` of BERT and ALBERT). "electra": the decay
            counts from step 0 and is multiplied by the warm-up.
        warmup_start: step at which the warm-up begins (ALBERT's ``start_warmup_step``; earlier
            steps have rates below 0 there), for "bert" only.
        name: name of the schedule.

    Raises:
        ValueError: when the warm-up is not shorter than the training, or for an unknown form.
    """

    forms = ("restart", "bert", "electra")

    def __init__(
        self,
        learning_rate: float,
        total_steps: int,
        warmup: int | float = 0.1,
        power: float = 1.0,
        end_learning_rate: float = 0.0,
        form: str = "restart",
        warmup_start: int = 0,
        name: str | None = None,
    ):
        super().__init__(learning_rate, total_steps, warmup, end_learning_rate, name)
        if form not in self.forms:
            raise ValueError(f"form must be one of {', '.join(self.forms)}. Received: {form!r}")
        if warmup_start and form != "bert":
            raise ValueError(f'warmup_start needs form="bert". Received: form={form!r}')
        self.power = float(power)
        self.form = form
        self.warmup_start = int(warmup_start)

    def _fall(self, done: tf.Tensor) -> tf.Tensor:
        return tf.pow(1.0 - done, self.power)

    def __call__(self, step):
        """The learning rate, a float32 scalar, of a step (0 is the first)."""
        if self.form == "restart":
            return super().__call__(step)
        step = tf.cast(step, tf.float32)
        rate = self._decayed(step / self.total_steps)
        if not self.warmup_steps:
            return rate
        warm = (step - self.warmup_start) / self.warmup_steps
        if self.form == "electra":
            return rate * tf.minimum(warm, 1.0)
        return tf.where(warm < 1.0, self.learning_rate * warm, rate)

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "power": self.power,
            "form": self.form,
            "warmup_start": self.warmup_start,
        }


def _warmup_steps(warmup: int | float, total_steps: int) -> int:
    """Steps of a warm-up that is given in steps or, below 1, as a share of ``total_steps``."""
    steps = round(warmup * total_steps) if warmup < 1 else int(warmup)
    if not 0 <= steps < total_steps:
        raise ValueError(
            f"The warm-up must be shorter than the training. Received: warmup={warmup} "
            f"({steps} steps), total_steps={total_steps}"
        )
    return steps
