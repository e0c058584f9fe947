"""Adafactor: second moments in the memory of two vectors."""

from __future__ import annotations

from collections.abc import Sequence

from kerasbert.backend import IS_KERAS3, keras, serializable, tensorflow_variable, tf, variable_path
from kerasbert.optimizers.moments import NO_DECAY, found, patterns


@serializable
class RelativeStep(keras.optimizers.schedules.LearningRateSchedule):
    """The rate of Adafactor and T5: level for 10,000 steps, then falling as 1 / sqrt(step).

    Args:
        highest: the level; 0.01 makes it the smaller one of 0.01 and 1 / sqrt(step).
        name: name of the schedule.
    """

    def __init__(self, highest: float = 0.01, name: str | None = None):
        super().__init__()
        self.highest = float(highest)
        self.name = name

    def __call__(self, step):
        """The learning rate, a float32 scalar, of a step (0 is the first)."""
        return self.highest * tf.minimum(1.0, 100.0 * tf.math.rsqrt(tf.cast(step, tf.float32) + 1))

    def get_config(self) -> dict:
        return {"highest": self.highest, "name": self.name}


@serializable
class Adafactor(keras.optimizers.Adafactor):
    """Adafactor with the numbers of Google's code (Shazeer & Stern 2018, arXiv:1804.04235).

    What T5 was trained with: instead of Adam's two moments, as large as the weights each, it keeps
    the means of the squared gradients over rows and over columns. A step of a matrix w with
    gradient g, where t counts from 1::

        rows, columns move towards the means of g^2 + epsilon_1, by t^beta_2_decay of the way
        update = g / sqrt(rows * columns / mean(rows))
        update /= max(1, rms(update) / clip_threshold)
        w -= rate * max(rms(w), epsilon_2) * update

    as in tensor2tensor, mesh_tensorflow, optax and bert4keras (whose momentum, though, averages
    updates before they are scaled). Keras's own class has these numbers with its defaults, but
    keeps a second moment as large as the weights all the same, limits any rate to 1 / sqrt(t),
    always scales by the weights, and always factors the last two dimensions. Weights narrower
    than float32 are computed with in float32, and the state is float32.

    Args:
        learning_rate: a number or a schedule, relative to the size of the weights if
            ``parameter_scale``. None for `RelativeStep`, at most 0.01, or a twentieth of it
            without ``parameter_scale``.
        weight_decay: rate of decay, multiplied by the learning rate, apart from the update.
        beta_1: decay of an average of the steps, kept only if it is not 0.
        beta_2_decay: exponent by which the memory of squared gradients grows.
        epsilon_1: added to squared gradients.
        epsilon_2: the least size of weights that ``parameter_scale`` sees.
        clip_threshold: the greatest root mean square of an update, or None.
        parameter_scale: whether steps are multiplied by the root mean square of the weights.
        min_dim_size_to_factor: variables are factored along their two largest dimensions if both
            are at least this size; others keep a second moment of their own size. 128 in
            bert4keras, 32 in mesh_tensorflow.
        exclude_from_weight_decay: regular expressions of paths of variables that are not decayed;
            by default biases and normalisation.
        **kwargs: as Keras' optimizers (``global_clipnorm``, ``use_ema``, ``name``, ...).

    Raises:
        ValueError: for what is no list of regular expressions.
    """

    def __init__(
        self,
        learning_rate=None,
        weight_decay: float = 0.0,
        beta_1: float = 0.0,
        beta_2_decay: float = -0.8,
        epsilon_1: float = 1e-30,
        epsilon_2: float = 1e-3,
        clip_threshold: float | None = 1.0,
        parameter_scale: bool = True,
        min_dim_size_to_factor: int = 128,
        exclude_from_weight_decay: Sequence[str] | None = NO_DECAY,
        **kwargs,
    ):
        if learning_rate is None:
            learning_rate = RelativeStep(0.01 if parameter_scale else 0.0005)
        kwargs.setdefault("name", "Adafactor")
        super().__init__(
            learning_rate,
            beta_2_decay=beta_2_decay,
            epsilon_1=epsilon_1,
            epsilon_2=epsilon_2,
            clip_threshold=clip_threshold,
            relative_step=False,
            **kwargs,
        )
        self.weight_decay = float(weight_decay or 0.0)
        self.beta_1 = float(beta_1)
        self.parameter_scale = bool(parameter_scale)
        self.min_dim_size_to_factor = int(min_dim_size_to_factor)
        self.exclude_from_weight_decay_patterns = patterns(
            "exclude_from_weight_decay", exclude_from_weight_decay
        )

    def factored_axes(self, shape: Sequence[int]) -> tuple[int, int] | None:
        """The two largest dimensions, the larger one first, or None where nothing is factored."""
        axes = sorted(range(len(shape)), key=lambda axis: -shape[axis])[:2]
        if len(axes) < 2 or shape[axes[1]] < self.min_dim_size_to_factor:
            return None
        return tuple(axes)

    def build(self, variables):
        """Creates the state: (rows, columns) or (second,), and a momentum if there is one."""
        if getattr(self, "built" if IS_KERAS3 else "_built", False):
            return
        super(keras.optimizers.Adafactor, self).build(variables)
        self._built = True
        self._seconds, self._momentums, places = [], [], []
        for variable in variables:
            shape = tuple(variable.shape)
            axes = self.factored_axes(shape)
            places.append(len(self._seconds))
            names = ("second",) if axes is None else ("rows", "columns")
            for name, axis in zip(names, axes or (None,)):
                kept = tuple(1 if index == axis else size for index, size in enumerate(shape))
                self._seconds.append(self._state(variable, name, kept))
            if self.beta_1:
                self._momentums.append(self._state(variable, "momentum", shape))
        self._places = tuple(places)  # of the first state of each variable

    def _state(self, variable, name: str, shape: tuple[int, ...]):
        name = f"{variable_path(variable).replace('/', '_')}_{name}"
        return self.add_variable(shape=shape, dtype="float32", initializer="zeros", name=name)

    def _apply_weight_decay(self, variables):
        """Nothing: it is a part of `update_step`, which sees the weights before the step."""

    def update_step(self, gradient, variable, learning_rate=None):
        """Updates one variable and its state in place."""
        index = (
            self._get_variable_index(variable)
            if IS_KERAS3
            else self._index_dict[self._var_key(variable)]
        )
        path = variable_path(variable)
        variable = tensorflow_variable(variable)
        rate = self.learning_rate if learning_rate is None else learning_rate
        rate = tf.cast(tf.convert_to_tensor(rate), tf.float32)
        # That of a lookup is sparse, and becomes dense without a known shape.
        gradient = tf.ensure_shape(tf.convert_to_tensor(gradient), variable.shape)
        gradient = tf.cast(gradient, tf.float32)
        weights = tf.cast(tf.convert_to_tensor(variable), tf.float32)
        update, factor = self._scaled(index, gradient), rate
        if self.clip_threshold is not None:
            factor /= tf.maximum(1.0, _rms(update) / self.clip_threshold)
        if self.parameter_scale:
            factor *= tf.maximum(_rms(weights), self.epsilon_2)
        if self.beta_1:
            update = _follow(self._momentums[index], factor * update, 1.0 - self.beta_1)
            factor = tf.ones([])
        if self.weight_decay and not found(self.exclude_from_weight_decay_patterns, path):
            update = factor * update + rate * self.weight_decay * weights
            factor = tf.ones([])
        if variable.dtype == tf.float32:  # in one pass over memory
            tf.raw_ops.ResourceApplyGradientDescent(var=variable.handle, alpha=factor, delta=update)
        else:
            variable.assign(tf.cast(weights - factor * update, variable.dtype))

    def _scaled(self, index: int, gradient: tf.Tensor) -> tf.Tensor:
        """The gradient over the root of the second moment, after the latter has moved."""
        share = tf.pow(tf.cast(self.iterations + 1, tf.float32), self.beta_2_decay)
        squares, place = tf.square(gradient), self._places[index]
        axes = self.factored_axes(gradient.shape.as_list())
        if axes is None:
            second = _follow(self._seconds[place], squares + self.epsilon_1, share)
            return gradient * tf.math.rsqrt(second)
        rows, columns = (
            _follow(
                self._seconds[place + side],
                tf.reduce_mean(squares, axis, keepdims=True) + self.epsilon_1,
                share,
            )
            for side, axis in enumerate(axes)
        )
        # One after the other: the product of two tiny moments would be 0 in float32.
        rows /= tf.reduce_mean(rows, axes[1], keepdims=True)
        return gradient * tf.math.rsqrt(rows) * tf.math.rsqrt(columns)

    def get_config(self) -> dict:
        config = super().get_config()
        del config["relative_step"]
        return {
            **config,
            "weight_decay": self.weight_decay,
            "beta_1": self.beta_1,
            "parameter_scale": self.parameter_scale,
            "min_dim_size_to_factor": self.min_dim_size_to_factor,
            "exclude_from_weight_decay": list(self.exclude_from_weight_decay_patterns),
        }


def _rms(tensor: tf.Tensor) -> tf.Tensor:
    """Root mean square, a scalar."""
    # The kernel that needs no memory for the squares.
    return tf.sqrt(tf.nn.l2_loss(tensor) * (2.0 / tensor.shape.num_elements()))


def _follow(state, target: tf.Tensor, share: tf.Tensor | float) -> tf.Tensor:
    """Moves a state by a share of the way to its target, and returns it."""
    state = tensorflow_variable(state)
    value = (1.0 - share) * tf.convert_to_tensor(state) + share * target
    state.assign(value)
    return value
