"""The same weights, computed with in another precision."""

from __future__ import annotations

from typing import Any

from kerasbert.backend import keras, tensorflow_variable, tf
from kerasbert.layers import skip_initialization

DTYPES = ("float32", "bfloat16", "float16")


def compute_dtype_of(model: keras.Model) -> str:
    """What most of a model computes in: the dtype of its largest layer."""
    return max(model.layers, key=lambda layer: layer.count_params()).compute_dtype


def computing_in(model: keras.Model, dtype: str | None) -> keras.Model:
    """A model that computes in another precision, with the very variables of the given one.

    Weights that are float32 stay so and are cast as they are used (Keras' mixed precision): there
    is no second copy, and what the model learns later holds for both.

    Args:
        model: a functional model.
        dtype: "float32", "bfloat16" or "float16"; None is as the model is.

    Returns:
        The model itself where it computes in that precision already.

    Raises:
        ValueError: for another dtype, or weights that are not float32.
    """
    if dtype is None or dtype == compute_dtype_of(model):
        return model
    if dtype not in DTYPES:
        raise ValueError(f"dtype must be one of {', '.join(DTYPES)}. Received: {dtype!r}")
    kept = {tf.as_dtype(weight.dtype).name for weight in model.weights}
    if kept - {"float32"}:
        raise ValueError(
            f"to compute in {dtype} the weights must be float32, and they are "
            f"{', '.join(sorted(kept))}: build the model with dtype={dtype!r}, or with "
            "dtype='float32' to choose for each call."
        )
    policy = dtype if dtype == "float32" else f"mixed_{dtype}"
    config = _with_policy(model.get_config(), policy)
    sharing = _Sharing(model)
    with skip_initialization(), tf.variable_creator_scope(sharing):
        twin = keras.Model.from_config(config)
    if sharing.holds_for(twin):
        return twin
    twin = keras.Model.from_config(config)  # a layer that makes its variables in another order
    twin.set_weights(model.get_weights())
    return twin


class _Sharing:
    """Gives a model that is made anew the variables of another one, name by name in their order."""

    def __init__(self, model: keras.Model):
        self.model = model
        self.left = [tensorflow_variable(weight) for weight in model.weights]

    def __call__(self, next_creator, **kwargs):
        for place, variable in enumerate(self.left):
            if variable.name.split(":")[0].rsplit("/", 1)[-1] == _last_part(kwargs.get("name")):
                return self.left.pop(place)
        return next_creator(**kwargs)

    def holds_for(self, twin: keras.Model) -> bool:
        """Whether every weight is the same variable as its counterpart."""
        ours, theirs = self.model.weights, twin.weights
        return len(ours) == len(theirs) and all(
            tensorflow_variable(one) is tensorflow_variable(other)
            for one, other in zip(ours, theirs)
        )


def _last_part(name: str | None) -> str:
    return (name or "").split(":")[0].rsplit("/", 1)[-1]


def _with_policy(config: Any, policy: str) -> Any:
    """A configuration in which every floating dtype is the policy."""
    if isinstance(config, dict):
        if "keras_history" in config:  # a tensor between layers, not a layer
            return config
        return {
            key: policy if key == "dtype" and _is_floating(value) else _with_policy(value, policy)
            for key, value in config.items()
        }
    if isinstance(config, (list, tuple)):
        return type(config)(_with_policy(value, policy) for value in config)
    return config


def _is_floating(dtype: Any) -> bool:
    """Whether this is the configuration of a floating dtype or policy."""
    if isinstance(dtype, dict):
        dtype = dtype.get("config", {}).get("name", "")
    return isinstance(dtype, str) and "float" in dtype
