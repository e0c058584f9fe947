"""Gradient checkpointing: less memory in training for a second forward pass."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

from kerasbert.backend import keras, tf

_seeds = threading.local()


class RecomputableLayer(keras.layers.Layer):
    """A layer that may forget what is inside it until the backward pass needs it.

    Args:
        recompute: whether training keeps only the inputs of this layer and computes the rest again
            for the gradients (Chen et al. 2016, arXiv:1604.06174).
        **kwargs: as ``keras.layers.Layer``.
    """

    def __init__(self, recompute: bool = False, **kwargs):
        super().__init__(**kwargs)
        self.recompute = recompute

    def checkpointed(self, function: Callable, *tensors, training=None):
        """``function(*tensors, training=training)``, computed twice where that is asked for.

        Args:
            function: of tensors or None; it may use variables, and dropout of this package.
            *tensors: everything that gradients flow to, other than variables.
            training: whether gradients will be wanted.
        """
        if not (self.recompute and training):
            return function(*tensors, training=training)
        present = [index for index, tensor in enumerate(tensors) if tensor is not None]
        seed = draw_seed()  # outside: both passes must drop the same numbers

        def run(*given):
            arguments = [None] * len(tensors)
            for index, tensor in zip(present, given):
                arguments[index] = tensor
            with seeded(seed):
                return function(*arguments, training=training)

        return tf.recompute_grad(run)(*(tensors[index] for index in present))

    def get_config(self) -> dict:
        return {**super().get_config(), "recompute": self.recompute}


def draw_seed() -> tf.Tensor:
    """Two int32 numbers for a stateless generator: new ones, or the next inside `seeded`.

    Draw with ``alg="philox"``: the default is another generator in code that XLA compiles.

    Raises:
        RuntimeError: in a ``tf.function`` that is called inside `seeded` but does not enter it.
    """
    stream = getattr(_seeds, "stream", None)
    if stream is None:
        return tf.random.uniform([2], tf.int32.min, tf.int32.max, tf.int32)
    if stream.eager and not tf.executing_eagerly():
        raise RuntimeError(
            "seeded(seed) was entered outside of the tf.function that draws: every call would "
            "repeat the first seed. Pass the seed as an argument and enter seeded(seed) inside."
        )
    stream.count += 1
    return stream.key + tf.constant([0, stream.count])


class _Stream:
    """What `draw_seed` gives within one `seeded`."""

    def __init__(self, seed: tf.Tensor):
        # Hashed, so that neighbouring seeds, and a layer within a layer, share no masks.
        self.key = tf.random.stateless_uniform([2], seed, None, None, tf.int32, alg="philox")
        self.count = 0
        self.eager = tf.executing_eagerly()


@contextlib.contextmanager
def seeded(seed: tf.Tensor) -> Iterator[None]:
    """Makes every :func:`draw_seed` inside a function of ``seed`` and of how many came before.

    Dropout of this package, recomputed layers included, then repeats exactly: eagerly, in
    ``tf.function``, under XLA and on every stack. Contexts nest. Enter it where the randomness is
    used, that is inside ``tf.function``, ``strategy.run`` and the bodies of loops, with a seed
    that differs between steps, replicas and iterations.

    Args:
        seed: int32 of shape (2,); neighbouring seeds are as good as others.

    Raises:
        ValueError: for a seed of another shape or dtype.
    """
    seed = tf.convert_to_tensor(seed)
    if seed.shape != (2,) or not seed.dtype.is_integer:
        raise ValueError(
            "seed must be an integer tensor of shape (2,). "
            f"Received: shape {tuple(seed.shape)}, {seed.dtype.name}"
        )
    before = getattr(_seeds, "stream", None)
    _seeds.stream = _Stream(seed)
    try:
        yield
    finally:
        _seeds.stream = before
