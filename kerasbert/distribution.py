"""What layers and optimizers need to know of ``tf.distribute``."""

from __future__ import annotations

from kerasbert.backend import tensorflow_variable, tf


def strategy_of(variable) -> tf.distribute.Strategy:
    """The strategy that a variable was created under."""
    inner = tensorflow_variable(variable)
    return getattr(inner, "distribute_strategy", None) or tf.distribute.get_strategy()
