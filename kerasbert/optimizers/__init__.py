"""Optimizers and schedules for fine-tuning, usable with any Keras model."""

from kerasbert.optimizers.adamw import AdamW
from kerasbert.optimizers.schedules import PiecewiseLinear, warmup_linear_decay

__all__ = ["AdamW", "PiecewiseLinear", "warmup_linear_decay"]
