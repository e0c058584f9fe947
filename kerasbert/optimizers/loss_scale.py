"""The loss scale that float16 needs, for a custom loop."""

from __future__ import annotations

from kerasbert.backend import tf


class LossScale(tf.Module):
    """A factor of the loss, as large as gradients in float16 allow (Micikevicius et al. 2017).

    Gradients of ``loss * scale`` do not vanish in float16; divided by the scale they are those of
    the loss. Mixed Precision Training, arXiv:1710.03740. A step whose gradients are not finite
    must be left out, and the scale is halved; after ``growth_steps`` good ones in a row it is
    doubled. Create it in the scope of the strategy; ``tf.train.Checkpoint`` saves it.

    Args:
        initial: of the scale; a power of two keeps all bits of the gradients.
        growth_steps: good steps in a row before the scale is doubled.

    Attributes:
        scale: float32 scalar ``tf.Variable``, never below 1.
        good_steps: steps since the scale last changed, an int64 scalar ``tf.Variable``.

    Raises:
        ValueError: for a scale below 1 or no steps.
    """

    def __init__(self, initial: float = 2.0**15, growth_steps: int = 2000):
        super().__init__(name="loss_scale")
        if not 1 <= initial < float("inf"):
            raise ValueError(f"initial must be at least 1, and finite. Received: {initial!r}")
        if growth_steps < 1:
            raise ValueError(f"growth_steps must be at least 1. Received: {growth_steps!r}")
        self.growth_steps = int(growth_steps)
        options = {
            "trainable": False,
            "aggregation": tf.VariableAggregation.ONLY_FIRST_REPLICA,
        }
        vars(self)["_strategy"] = tf.distribute.get_strategy()
        self.scale = tf.Variable(initial, dtype=tf.float32, name="scale", **options)
        self.good_steps = tf.Variable(0, dtype=tf.int64, name="good_steps", **options)

    def update(self, finite: tf.Tensor) -> None:
        """Takes note of a step; outside of ``strategy.run``, eagerly or in ``tf.function``.

        Args:
            finite: whether all of its gradients, on all replicas, were finite; a bool scalar.
        """
        scale, good = self.scale.read_value(), self.good_steps.read_value() + 1
        doubled = scale * 2.0
        grows = finite & (good >= self.growth_steps)
        kept = tf.where(grows & tf.math.is_finite(doubled), doubled, scale)
        scale = tf.where(finite, kept, tf.maximum(scale / 2.0, 1.0))
        good = tf.where(finite & ~grows, good, 0)
        for variable, value in ((self.scale, scale), (self.good_steps, good)):
            self._strategy.extended.update(variable, lambda v, x: v.assign(x), args=(value,))
