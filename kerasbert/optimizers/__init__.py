"""Optimizers and schedules for fine-tuning and pretraining, usable with any Keras model."""

from kerasbert.optimizers.adafactor import Adafactor, RelativeStep
from kerasbert.optimizers.adam_weight_decay import AdamWeightDecay
from kerasbert.optimizers.adamw import AdamW
from kerasbert.optimizers.applying import apply_reduced_gradients, create_state
from kerasbert.optimizers.lamb import LAMB, NezhaLAMB, lamb
from kerasbert.optimizers.loss_scale import LossScale
from kerasbert.optimizers.moments import NO_DECAY
from kerasbert.optimizers.schedules import (
    PiecewiseLinear,
    WarmupCosineDecay,
    WarmupPolynomialDecay,
    warmup_linear_decay,
)
from kerasbert.optimizers.weight_average import WeightAverage

__all__ = [
    "LAMB",
    "NO_DECAY",
    "Adafactor",
    "AdamW",
    "AdamWeightDecay",
    "LossScale",
    "NezhaLAMB",
    "PiecewiseLinear",
    "RelativeStep",
    "WarmupCosineDecay",
    "WarmupPolynomialDecay",
    "WeightAverage",
    "apply_reduced_gradients",
    "create_state",
    "lamb",
    "warmup_linear_decay",
]
