"""The optimizer and its schedule that the settings ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kerasbert import optimizers
from kerasbert.optimizers import WarmupCosineDecay, WarmupPolynomialDecay

if TYPE_CHECKING:
    from pretraining.settings import Settings

OPTIMIZERS = {
    "adamw": "AdamW",
    "adam_weight_decay": "AdamWeightDecay",
    "lamb": "lamb",
    "nezha_lamb": "NezhaLAMB",
    "adafactor": "Adafactor",
}


def make_schedule(settings: Settings):
    """The learning rate by step: a Keras schedule."""
    rate, steps, warmup = settings.learning_rate, settings.steps, settings.warmup
    warmup = warmup if warmup < 1 else int(warmup)
    if settings.schedule == "cosine":
        return WarmupCosineDecay(rate, steps, warmup, settings.end_learning_rate)
    power, end = settings.power, settings.end_learning_rate
    if settings.schedule == "linear":
        power = 1.0
    if settings.schedule == "constant":
        end = rate  # up in the warm-up, and level from there on
    return WarmupPolynomialDecay(rate, steps, warmup, power, end)


def make_optimizer(settings: Settings):
    """The optimizer, which neither clips nor averages: the loop does.

    Raises:
        ValueError: for options that the optimizer does not take.
    """
    options: dict[str, Any] = {"weight_decay": settings.weight_decay, **settings.optimizer_options}
    make = getattr(optimizers, OPTIMIZERS[settings.optimizer])
    taken = {"clipnorm", "clipvalue", "global_clipnorm", "use_ema"} & set(options)
    if taken:
        raise ValueError(
            f"optimizer_options must not hold {', '.join(sorted(taken))}: clip_norm and average "
            "of the run do that over all replicas."
        )
    try:
        return make(make_schedule(settings), **options)
    except (TypeError, ValueError) as error:
        raise ValueError(f"optimizer_options do not fit {settings.optimizer!r}: {error}") from None
