"""The optimizer that BERT and ELECTRA were trained with."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from kerasbert.backend import serializable
from kerasbert.optimizers.moments import NO_DECAY, DecayInUpdate, patterns


@serializable
class AdamWeightDecay(DecayInUpdate):
    """Google's ``AdamWeightDecayOptimizer`` (google-research/bert, optimization.py).

    Not quite AdamW: the moments are not corrected for their start at 0, so that the first steps
    are larger, and the decay is a part of the update. Google clips gradients to a global norm of
    1 before: ``global_clipnorm=1.0``. For new work `AdamW` is as good, and faster on CPU.

    Args:
        learning_rate: a number or a schedule, such as `WarmupPolynomialDecay`.
        weight_decay: rate of decay, multiplied by the learning rate.
        beta_1: decay of the first moment.
        beta_2: decay of the second moment.
        epsilon: added to the root of the second moment.
        exclude_from_weight_decay: regular expressions of paths of variables that are not decayed;
            by default biases and normalisation.
        rate_multipliers: what multiplies the learning rate of a variable, by regular expression of
            its path, the first that is found; ELECTRA's layer-wise rates (times 0.8 for every
            block further down) are written so. Others have a multiplier of 1.
        **kwargs: as Keras' optimizers (``global_clipnorm``, ``use_ema``, ...).

    Raises:
        ValueError: for what is no list of regular expressions.
    """

    def __init__(
        self,
        learning_rate=2e-5,
        weight_decay: float = 0.01,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-6,
        exclude_from_weight_decay: Sequence[str] | None = NO_DECAY,
        rate_multipliers: Mapping[str, float] | None = None,
        **kwargs,
    ):
        super().__init__(
            learning_rate,
            weight_decay,
            beta_1,
            beta_2,
            epsilon,
            exclude_from_weight_decay,
            bias_correction=False,
            **kwargs,
        )
        multipliers = dict(rate_multipliers or {})
        patterns("rate_multipliers", list(multipliers))
        self.rate_multipliers = tuple((key, float(value)) for key, value in multipliers.items())

    def scale(self, path, weights, update, first, second) -> float:
        """The first multiplier whose regular expression is found in the path, or 1."""
        return next((rate for key, rate in self.rate_multipliers if re.search(key, path)), 1.0)

    def get_config(self) -> dict:
        # Pairs, because their order counts; __init__ reads both.
        multipliers = [list(pair) for pair in self.rate_multipliers]
        return {**super().get_config(), "rate_multipliers": multipliers}
