"""LAMB: layer-wise adaptive rates for large batches."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence

from kerasbert.backend import IS_KERAS3, LEGACY_KERAS, serializable, tf
from kerasbert.optimizers.moments import NO_DECAY, DecayInUpdate, found, patterns


def lamb(
    learning_rate=1e-3,
    weight_decay: float = 0.01,
    beta_1: float = 0.9,
    beta_2: float = 0.999,
    epsilon: float = 1e-6,
    exclude_from_weight_decay: Sequence[str] | None = NO_DECAY,
    exclude_from_layer_adaptation: Sequence[str] | None = None,
    **kwargs,
):
    """The LAMB of the stack at hand, with the same numbers on all of them.

    Args:
        learning_rate: a number or a schedule.
        weight_decay: rate of decay, multiplied by the learning rate.
        beta_1: decay of the first moment.
        beta_2: decay of the second moment.
        epsilon: added to the root of the second moment.
        exclude_from_weight_decay: regular expressions of paths of variables that are not decayed.
        exclude_from_layer_adaptation: regular expressions of paths of variables that keep the
            learning rate as it is; None for those of ``exclude_from_weight_decay``.
        **kwargs: ``name``, ``clipnorm``, ``clipvalue``, ``global_clipnorm``.

    Returns:
        ``tensorflow_addons.optimizers.LAMB`` where tensorflow-addons works (TensorFlow 2.15 with
        Keras 2.15) and is installed, `LAMB` everywhere else. A ``.keras`` file of Keras 2.15 does
        not keep the moments of the former, ``tf.train.Checkpoint`` does.

    Raises:
        ValueError: for what is no list of regular expressions.
    """
    decay = patterns("exclude_from_weight_decay", exclude_from_weight_decay)
    adaptation = exclude_from_layer_adaptation
    if adaptation is not None:
        adaptation = patterns("exclude_from_layer_adaptation", adaptation)
    options = {"beta_1": beta_1, "beta_2": beta_2, "epsilon": epsilon, **kwargs}
    if not addons_works():
        return LAMB(
            learning_rate,
            weight_decay,
            exclude_from_weight_decay=decay,
            exclude_from_layer_adaptation=adaptation,
            **options,
        )
    from tensorflow_addons.optimizers import LAMB as AddonsLAMB

    # There an empty list means "as for the decay": (?!) is found nowhere.
    adaptation = adaptation if adaptation is None else list(adaptation) or ["(?!)"]
    return AddonsLAMB(
        learning_rate,
        weight_decay=weight_decay,
        exclude_from_weight_decay=list(decay),
        exclude_from_layer_adaptation=adaptation,
        **options,
    )


def addons_works() -> bool:
    """Whether this is the stack of tensorflow-addons, and it is installed."""
    if IS_KERAS3 or LEGACY_KERAS:
        return False
    return importlib.util.find_spec("tensorflow_addons") is not None


@serializable
class LAMB(DecayInUpdate):
    """Adam with decay, every variable's step as long as its weights (You et al. 2019).

    Large Batch Optimization for Deep Learning, arXiv:1904.00962. The update is AdamW's with the
    decay inside it, and its scale, the trust ratio, is ||weights|| / ||update||, or 1 where one of
    the norms is 0. The numbers are those of ``tensorflow_addons.optimizers.LAMB``; Keras 3's own
    ``Lamb`` has the decay outside of the trust ratio.

    Args:
        learning_rate: a number or a schedule.
        weight_decay: rate of decay, multiplied by the learning rate.
        beta_1: decay of the first moment.
        beta_2: decay of the second moment.
        epsilon: added to the root of the second moment.
        exclude_from_weight_decay: regular expressions of paths of variables that are not decayed;
            by default biases and normalisation.
        exclude_from_layer_adaptation: regular expressions of paths of variables whose trust ratio
            is 1; None for those of ``exclude_from_weight_decay``.
        bias_correction: whether the moments are corrected for their start at 0. ALBERT's own LAMB
            (google-research/albert) does not.
        **kwargs: as Keras' optimizers (``global_clipnorm``, ``use_ema``, ...).

    Raises:
        ValueError: for what is no list of regular expressions.
    """

    def __init__(
        self,
        learning_rate=1e-3,
        weight_decay: float = 0.01,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-6,
        exclude_from_weight_decay: Sequence[str] | None = NO_DECAY,
        exclude_from_layer_adaptation: Sequence[str] | None = None,
        bias_correction: bool = True,
        **kwargs,
    ):
        super().__init__(
            learning_rate,
            weight_decay,
            beta_1,
            beta_2,
            epsilon,
            exclude_from_weight_decay,
            bias_correction,
            **kwargs,
        )
        if exclude_from_layer_adaptation is None:
            exclude_from_layer_adaptation = self.exclude_from_weight_decay_patterns
        self.exclude_from_layer_adaptation = patterns(
            "exclude_from_layer_adaptation", exclude_from_layer_adaptation
        )

    def scale(self, path, weights, update, first, second) -> tf.Tensor | float:
        """The trust ratio, a scalar; 1 for excluded variables."""
        if found(self.exclude_from_layer_adaptation, path):
            return 1.0
        return self.trust_ratio(weights, update, first, second)

    def trust_ratio(self, weights, update, first, second) -> tf.Tensor:
        """||weights|| / ||update||, a scalar; arguments as `scale`."""
        length, step = tf.norm(weights), tf.norm(update)
        return tf.where((length > 0) & (step > 0), length / step, tf.ones_like(length))

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "exclude_from_layer_adaptation": list(self.exclude_from_layer_adaptation),
            "bias_correction": self.bias_correction,
        }


@serializable
class NezhaLAMB(LAMB):
    """LAMB as NEZHA was trained with (Pretrained-Language-Model, NEZHA-TensorFlow).

    The trust ratio is at most 10, is made from first / sqrt(second + epsilon) +
    weight_decay * weights whether or not the variable is decayed, and is that of every variable
    unless ``exclude_from_layer_adaptation`` is given. Other arguments as `LAMB`.
    """

    def __init__(self, *args, exclude_from_layer_adaptation: Sequence[str] = (), **kwargs):
        super().__init__(
            *args, exclude_from_layer_adaptation=exclude_from_layer_adaptation, **kwargs
        )

    def trust_ratio(self, weights, update, first, second) -> tf.Tensor:
        """The ratio of NEZHA, a scalar from 0 to 10; arguments as `scale`."""
        update = first / tf.sqrt(second + self.epsilon) + self.weight_decay * weights
        return tf.minimum(super().trust_ratio(weights, update, first, second), 10.0)
