"""AdamW with BERT's habits, in one fused operation per variable."""

from __future__ import annotations

from collections.abc import Sequence

from kerasbert.backend import (
    IS_KERAS3,
    keras,
    serializable,
    tensorflow_variable,
    tf,
    variable_path,
)


@serializable
class AdamW(keras.optimizers.AdamW):
    """``keras.optimizers.AdamW``, the same numbers in a fraction of the time on CPU.

    Adam with decoupled weight decay (Loshchilov & Hutter 2017, arXiv:1711.05101). Keras writes
    the update as a dozen element-wise operations, each of which streams all weights through
    memory; here TensorFlow's one fused kernel does it. Biases and normalisation are not decayed,
    as in BERT.

    Args:
        learning_rate: a number or a schedule.
        weight_decay: rate of decay, multiplied by the learning rate.
        epsilon: added to the root of the second moment; BERT uses 1e-6.
        no_decay: last parts of the paths of variables that are not decayed.
        **kwargs: as ``keras.optimizers.AdamW`` (``beta_1``, ``beta_2``, ``global_clipnorm``, ...).
    """

    def __init__(
        self,
        learning_rate=2e-5,
        weight_decay: float = 0.01,
        epsilon: float = 1e-6,
        no_decay: Sequence[str] = ("bias", "beta", "gamma"),
        **kwargs,
    ):
        kwargs.setdefault("name", "AdamW")
        super().__init__(learning_rate, weight_decay=weight_decay, epsilon=epsilon, **kwargs)
        self.no_decay = tuple(no_decay)

    def _use_weight_decay(self, variable) -> bool:
        last = variable_path(variable).rsplit("/", 1)[-1]
        return last not in self.no_decay and super()._use_weight_decay(variable)

    def _decays_in_update(self, variable) -> bool:
        # float16 has no number small enough for what _decay does
        return bool(self.weight_decay) and not self.amsgrad and variable.dtype != "float16"

    def _apply_weight_decay(self, variables):
        super()._apply_weight_decay([v for v in variables if not self._decays_in_update(v)])

    def _decay(self, handle: tf.Tensor, gradient: tf.Tensor, rate: tf.Tensor) -> None:
        """Shrinks a variable by (1 - rate * weight_decay) in one pass over memory.

        It is the proximal step of an L2 penalty after a descent of no length: the only kernel of
        TensorFlow that scales a variable in place.
        """
        dtype = gradient.dtype
        no_length = tf.constant(2.0**-60, dtype)
        shrink = rate * tf.cast(self.weight_decay, dtype)
        tf.raw_ops.ResourceApplyProximalGradientDescent(
            var=handle,
            alpha=no_length,
            l1=tf.zeros((), dtype),
            l2=shrink / (1 - shrink) / no_length,
            delta=gradient,
        )

    def update_step(self, gradient, variable, learning_rate=None):
        """Decays and updates one variable, and updates its two moments, in place."""
        if self.amsgrad:
            arguments = (learning_rate,) if IS_KERAS3 else ()
            return super().update_step(gradient, variable, *arguments)
        dtype = tf.as_dtype(variable.dtype)
        index = (
            self._get_variable_index(variable)
            if IS_KERAS3
            else self._index_dict[self._var_key(variable)]
        )
        step = tf.cast(self.iterations + 1, dtype)
        beta_1, beta_2 = tf.cast(self.beta_1, dtype), tf.cast(self.beta_2, dtype)
        rate = tf.cast(self.learning_rate if learning_rate is None else learning_rate, dtype)
        # Converted because the gradient of a lookup is sparse.
        gradient = tf.cast(tf.convert_to_tensor(gradient), dtype)
        handle = tensorflow_variable(variable).handle
        if self._decays_in_update(variable) and self._use_weight_decay(variable):
            self._decay(handle, gradient, rate)
        tf.raw_ops.ResourceApplyAdam(
            var=handle,
            m=tensorflow_variable(self._momentums[index]).handle,
            v=tensorflow_variable(self._velocities[index]).handle,
            beta1_power=tf.pow(beta_1, step),
            beta2_power=tf.pow(beta_2, step),
            lr=rate,
            beta1=beta_1,
            beta2=beta_2,
            epsilon=tf.cast(self.epsilon, dtype),
            grad=gradient,
        )
        return None

    def get_config(self) -> dict:
        return {**super().get_config(), "no_decay": list(self.no_decay)}
