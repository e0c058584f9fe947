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
            with _fixed_seeds(seed):
                return function(*arguments, training=training)

        return tf.recompute_grad(run)(*(tensors[index] for index in present))

    def get_config(self) -> dict:
        return {**super().get_config(), "recompute": self.recompute}


def draw_seed() -> tf.Tensor:
    """Two int32 numbers for a stateless generator: new ones, or those of a recomputed layer."""
    if getattr(_seeds, "base", None) is None:
        return tf.random.uniform([2], tf.int32.min, tf.int32.max, tf.int32)
    _seeds.count += 1
    return _seeds.base + tf.constant([0, _seeds.count])


@contextlib.contextmanager
def _fixed_seeds(seed: tf.Tensor) -> Iterator[None]:
    """Makes :func:`draw_seed` a function of ``seed``, in the order of its calls."""
    before = getattr(_seeds, "base", None), getattr(_seeds, "count", 0)
    _seeds.base, _seeds.count = seed, 0
    try:
        yield
    finally:
        _seeds.base, _seeds.count = before
