"""Weight initialisation, and how it is left out when a checkpoint brings the values."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from kerasbert.backend import keras, serializable, tf

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
