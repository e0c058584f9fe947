"""What Google's optimizers share: Adam's two moments, and weight decay as part of the update."""

from __future__ import annotations

import re
from collections.abc import Sequence

from kerasbert.backend import IS_KERAS3, keras, tensorflow_variable, tf, variable_path

# Google's patterns, and the last parts of the paths of kerasbert's normalisation layers.
NO_DECAY = ("LayerNorm", "layer_norm", "bias", "beta", "gamma")


class DecayInUpdate(keras.optimizers.Adam):
    """Adam's moments with the decay added to the update: the base of `AdamWeightDecay` and `LAMB`.

    A step of a variable w with gradient g, where m and v are the moments (corrected for their
    start at 0 if ``bias_correction``)::

        update = m / (sqrt(v) + epsilon) + weight_decay * w
        w -= scale * learning_rate * update

    A subclass says in `scale` what the scale is. Weights and moments narrower than float32 are
    computed with in float32. The gradient of a lookup is taken as dense.

    Args:
        learning_rate: a number or a schedule.
        weight_decay: rate of decay, multiplied by the learning rate.
        beta_1: decay of the first moment.
        beta_2: decay of the second moment.
        epsilon: added to the root of the second moment.
        exclude_from_weight_decay: regular expressions; variables in whose path (such as
            ``Embedding-Norm/gamma``) one of them is found are not decayed.
        bias_correction: whether the moments are corrected.
        **kwargs: as Keras' optimizers (``global_clipnorm``, ``use_ema``, ``name``, ...).
    """

    def __init__(
        self,
        learning_rate,
        weight_decay: float,
        beta_1: float,
        beta_2: float,
        epsilon: float,
        exclude_from_weight_decay: Sequence[str] | None,
        bias_correction: bool,
        **kwargs,
    ):
        kwargs.setdefault("name", type(self).__name__)
        super().__init__(
            learning_rate, beta_1=beta_1, beta_2=beta_2, epsilon=epsilon, amsgrad=False, **kwargs
        )
        self.weight_decay = float(weight_decay or 0.0)
        self.exclude_from_weight_decay_patterns = patterns(
            "exclude_from_weight_decay", exclude_from_weight_decay
        )
        self.bias_correction = bool(bias_correction)

    def _apply_weight_decay(self, variables):
        """Nothing: Keras decays apart from the update, which is another method."""

    def scale(self, path, weights, update, first, second) -> tf.Tensor | float:
        """What multiplies the learning rate of one variable.

        Args:
            path: path of the variable, the same on every replica.
            weights: its value, a float tensor of any shape, as the next three.
            update: the update, decay included.
            first: the first moment, corrected if ``bias_correction``.
            second: the second moment, likewise.

        Returns:
            A number or a scalar of the dtype of ``weights``.
        """
        raise NotImplementedError

    def update_step(self, gradient, variable, learning_rate=None):
        """Updates one variable and its two moments in place."""
        index = (
            self._get_variable_index(variable)
            if IS_KERAS3
            else self._index_dict[self._var_key(variable)]
        )
        path = variable_path(variable)
        variable = tensorflow_variable(variable)
        dtype = variable.dtype if variable.dtype.size >= 4 else tf.float32
        rate = tf.cast(self.learning_rate if learning_rate is None else learning_rate, dtype)
        gradient = tf.cast(tf.convert_to_tensor(gradient), dtype)
        weights = tf.cast(tf.convert_to_tensor(variable), dtype)
        first = self._follow(self._momentums[index], gradient, self.beta_1)
        second = self._follow(self._velocities[index], tf.square(gradient), self.beta_2)
        update = first / (tf.sqrt(second) + self.epsilon)
        if self.weight_decay and not found(self.exclude_from_weight_decay_patterns, path):
            update += self.weight_decay * weights
        step = rate * self.scale(path, weights, update, first, second) * update
        variable.assign(tf.cast(weights - step, variable.dtype))

    def _follow(self, moment, target: tf.Tensor, beta: float) -> tf.Tensor:
        """Moves a moment towards its target and returns it, corrected if asked for."""
        moment = tensorflow_variable(moment)
        value = beta * tf.cast(tf.convert_to_tensor(moment), target.dtype) + (1 - beta) * target
        moment.assign(tf.cast(value, moment.dtype))
        if not self.bias_correction:
            return value
        return value / (1 - tf.pow(beta, tf.cast(self.iterations + 1, target.dtype)))

    def get_config(self) -> dict:
        config = super().get_config()
        del config["amsgrad"]
        return {
            **config,
            "weight_decay": self.weight_decay,
            "exclude_from_weight_decay": list(self.exclude_from_weight_decay_patterns),
        }


def patterns(argument: str, expressions: Sequence[str] | None) -> tuple[str, ...]:
    """Regular expressions as a tuple (of none for None), each of them checked.

    Raises:
        ValueError: for one text instead of several, or one that is no regular expression.
    """
    if isinstance(expressions, str):
        raise ValueError(
            f"{argument} takes a list of regular expressions: write [{expressions!r}]. "
            f"Received: {expressions!r}"
        )
    for expression in expressions or ():
        try:
            re.compile(expression)
        except re.error as error:
            raise ValueError(
                f"{argument} takes regular expressions. Received: {expression!r} ({error})"
            ) from None
    return tuple(expressions or ())


def found(expressions: Sequence[str], path: str) -> bool:
    """Whether one of the regular expressions is found in a path."""
    return any(re.search(expression, path) for expression in expressions)
