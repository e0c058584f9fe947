"""Weight initialisation, and how it is left out when a checkpoint brings the values."""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections import Counter
from collections.abc import Iterator

from kerasbert.backend import keras, serializable, tensorflow_variable, tf, variable_path
from kerasbert.distribution import strategy_of

_state = threading.local()


@contextlib.contextmanager
def skip_initialization() -> Iterator[None]:
    """Inside this context, kernels and embeddings are allocated but not filled.

    The memory of such a variable is not even touched until a checkpoint is assigned to it:
    building a model costs no random numbers, and the peak memory of loading stays near the size
    of the weights. Only for callers that assign every variable afterwards.
    """
    previous = getattr(_state, "skip", False)
    _state.skip = True
    try:
        yield
    finally:
        _state.skip = previous


@serializable
class TruncatedNormal(keras.initializers.TruncatedNormal):
    """Truncated normal with mean 0, as in Google's BERT; honours :func:`skip_initialization`.

    Give every kernel an instance of its own: in Keras 3, one unseeded instance yields the same
    values each time it is called.

    Args:
        stddev: standard deviation before truncation at two of them.
        seed: as in Keras.
    """

    def __init__(self, stddev: float = 0.02, seed: int | None = None):
        super().__init__(mean=0.0, stddev=stddev, seed=seed)

    def __call__(self, shape, dtype=None, **kwargs):
        if getattr(_state, "skip", False):
            dtype = tf.as_dtype(dtype or keras.backend.floatx())
            return tf.raw_ops.Empty(shape=tf.constant(shape, tf.int32), dtype=dtype, init=False)
        return super().__call__(shape, dtype=dtype, **kwargs)

    def get_config(self) -> dict:
        return {"stddev": self.stddev, "seed": self.seed if isinstance(self.seed, int) else None}


def initialize(model, seed: int) -> list[str]:
    """Starts a model afresh, from numbers that follow from a seed and the variables' paths alone.

    Every kernel and embedding that a truncated normal initialises gets new values with the
    standard deviation of its layer, the same on every stack, strategy and number of replicas, and
    whatever other variables the model has. Biases become 0; the rest, such as normalisation,
    stays. To spend no time on values that are overwritten, build within `skip_initialization`.

    Layers without names of their own ("dense_1") and layers of other packages that start
    otherwise than from a truncated normal are not covered: what Keras gave them stays.

    Args:
        model: built model or layer. Its name at the beginning of a path does not count. Of
            variables with the same path the second one in ``model.weights`` differs from the
            first, and so on.
        seed: any integer.

    Returns:
        Paths of the variables that were filled with random values.

    Raises:
        ValueError: for a model without such variables, such as one that is not built.
    """
    deviations = _deviations(model)
    if not deviations:
        raise ValueError(
            "No variable of this model starts from a truncated normal: call the model, or build "
            f"it, before it is initialised. Received: {model!r}"
        )
    filled, seen = [], Counter()
    for variable in model.weights:
        path = variable_path(variable)
        path = path[len(model.name) + 1 :] if path.startswith(f"{model.name}/") else path
        deviation = deviations.get(id(variable))
        if deviation is not None:
            key = f"{seed}/{path}/{seen[path]}"
            seen[path] += 1
            _assign(variable, _normal(tuple(variable.shape), deviation, key))
            filled.append(path)
        elif path.rsplit("/", 1)[-1] == "bias":
            _assign(variable, tf.zeros(variable.shape))
    return filled


def _deviations(model) -> dict[int, float]:
    """Standard deviation by id of the variables that start from a truncated normal."""
    found, known = {}, set()
    for layer in reversed(list(model._flatten_layers())):  # layers within this one come first
        for variable in layer.weights:
            if id(variable) in known:
                continue
            known.add(id(variable))
            name = variable_path(variable).rsplit("/", 1)[-1]
            initializer = getattr(layer, f"{name}_initializer", None)
            if initializer is None and name not in ("beta", "gamma", "bias"):
                initializer = layer  # of this package: has the deviation itself
            elif not isinstance(initializer, keras.initializers.TruncatedNormal):
                continue
            deviation = getattr(initializer, "stddev", None)
            if deviation is not None:
                found[id(variable)] = float(deviation)
    return found


def _normal(shape: tuple[int, ...], deviation: float, key: str) -> tf.Tensor:
    """float32 values of a truncated normal that follow from a text."""
    digest = hashlib.sha256(key.encode()).digest()
    seed = [int.from_bytes(digest[i : i + 4], "little", signed=True) for i in (0, 4)]
    with tf.device("CPU:0"):  # kernels of other devices use the random bits in another order
        return tf.random.stateless_truncated_normal(
            shape, seed, 0.0, deviation, tf.float32, alg="philox"
        )


def _assign(variable, value: tf.Tensor) -> None:
    """Sets a variable on all its replicas."""
    variable = tensorflow_variable(variable)
    with strategy_of(variable).scope():
        variable.assign(tf.cast(value, variable.dtype))
