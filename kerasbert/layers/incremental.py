"""Reading a text a few tokens at a time, with the keys and values of those before in a cache.

A generated token costs one pass over one token instead of one over the whole text, which is why
the same layers, with the same weights, must know in such a pass what they cannot see: where the
tokens stand, and what the others' keys and values were. A pass is therefore announced with
:meth:`Pass.reading`, and inside it the few layers in which tokens meet (attention, masks,
positions) ask :func:`current` for it. All other layers treat every token alike and know nothing.
"""

from __future__ import annotations

import abc
import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence

from kerasbert.backend import tf

_active = threading.local()


def current() -> Pass | None:
    """The pass that is going on in this thread, or None: a whole text is read."""
    return getattr(_active, "reading", None)


def current_step() -> Step | None:
    """The pass that is going on, if it is one over new tokens."""
    reading = current()
    return reading if isinstance(reading, Step) else None


def weight(layer, variable) -> tf.Tensor:
    """A layer's matrix in the dtype that it computes in.

    Args:
        layer: the layer.
        variable: its variable, which Keras would cast at each use.
    """
    dtype, reading = tf.as_dtype(layer.compute_dtype), current()
    if reading is None or dtype == tf.as_dtype(layer.variable_dtype):
        return tf.cast(variable, dtype)
    return reading.weight(layer, lambda: tf.cast(variable, dtype))


class Pass(abc.ABC):
    """One pass over tokens. Layers are told apart by the order in which they ask.

    Attributes:
        weights: matrices that had to be cast, by layer.
    """

    weights: dict[str, tf.Tensor]

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """While it lasts, models that this thread calls read in this pass."""
        before = current()
        _active.reading = self
        try:
            yield
        finally:
            _active.reading = before

    @abc.abstractmethod
    def remember(self, key: tf.Tensor, value: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """All keys and values that this pass's queries may see, given those of its tokens.

        Args:
            key: (batch, heads, tokens, key size).
            value: (batch, heads, tokens, head size).
        """

    @abc.abstractmethod
    def once(self, make: Callable[[], tuple[tf.Tensor, ...]]) -> tuple[tf.Tensor, ...]:
        """What ``make`` gave for the prompt: tensors that do not change from token to token."""

    def weight(self, layer, make: Callable[[], tf.Tensor]) -> tf.Tensor:
        """A layer's matrix in the dtype that it computes in, cast once and not for each token."""
        key = f"{layer.name}-{id(layer)}"
        if key not in self.weights:
            self.weights[key] = make()
        return self.weights[key]

    def wanted(self, hidden: tf.Tensor) -> tf.Tensor:
        """The vectors whose next tokens are wanted, of (batch, tokens, width)."""
        return hidden


class Prompt(Pass):
    """The first pass: reads the prompts as training does, and fills the cache.

    Args:
        lengths: int32 (batch,): tokens of each prompt; only the last one's scores are wanted.

    Attributes:
        keys, values: of each attention layer that generated tokens will look back at, in order.
        constants: what :meth:`Pass.once` made, in order.
    """

    def __init__(self, lengths: tf.Tensor):
        self.lengths = lengths
        self.keys: list[tf.Tensor] = []
        self.values: list[tf.Tensor] = []
        self.constants: list[tuple[tf.Tensor, ...]] = []
        self.weights = {}

    def remember(self, key, value):
        self.keys.append(key)
        self.values.append(value)
        return key, value

    def once(self, make):
        self.constants.append(make())
        return self.constants[-1]

    def wanted(self, hidden):
        return tf.gather(hidden, self.lengths[:, None] - 1, batch_dims=1)


class Step(Pass):
    """A pass over one new token of each of several continuations of a text.

    The continuations stand side by side where a text's tokens usually do: the tokens of a pass are
    (batch, continuations). All share the prompt's keys and values, and each one's own are in the
    same cache, told apart by the mask: nothing is copied when beams change places.

    Args:
        positions: int32 (batch, tokens): where the new tokens stand in their texts.
        key_positions: int32 (batch, slots): where the tokens of the cache stand.
        visible: bool (batch, tokens, slots): which slots of the cache each new token sees, its own
            among them.
        slot: int32 scalar: the first of the slots that the new tokens' keys and values go to.
        keys: caches (batch * heads * slots, size), one for each attention layer.
        values: likewise.
        constants: what the prompt's pass has left.
        weights: matrices that it has cast.
        in_place: whether the caches may be overwritten. XLA has no such operation, and needs none.
    """

    def __init__(
        self,
        positions: tf.Tensor,
        key_positions: tf.Tensor,
        visible: tf.Tensor,
        slot: tf.Tensor,
        keys: Sequence[tf.Tensor],
        values: Sequence[tf.Tensor],
        constants: Sequence[tuple[tf.Tensor, ...]],
        weights: dict[str, tf.Tensor],
        in_place: bool = True,
    ):
        self.positions = positions
        self.key_positions = key_positions
        self.visible = visible
        self.slot = slot
        self.keys = list(keys)
        self.values = list(values)
        self.constants = list(constants)
        self.weights = dict(weights)
        self.in_place = in_place
        self._layer = self._constant = 0
        self._rows: tf.Tensor | None = None

    def remember(self, key, value):
        index, self._layer = self._layer, self._layer + 1
        self.keys[index], keys = self._write(self.keys[index], key)
        self.values[index], values = self._write(self.values[index], value)
        return keys, values

    def _write(self, cache: tf.Tensor, new: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The cache with the new tokens in it, flat and as (batch, heads, slots, size)."""
        slots = tf.shape(self.visible)[2]
        batch, heads, tokens = (_size(new, axis) for axis in range(3))
        if self._rows is None:  # the same for all layers
            texts = tf.range(batch * heads)[:, None] * slots
            self._rows = tf.reshape(texts + self.slot + tf.range(tokens), [-1])
        new = tf.cast(tf.reshape(new, [-1, new.shape[3]]), cache.dtype)
        if self.in_place:
            cache = tf.raw_ops.InplaceUpdate(x=cache, i=self._rows, v=new)
        else:
            cache = tf.tensor_scatter_nd_update(cache, self._rows[:, None], new)
        return cache, tf.reshape(cache, [batch, heads, slots, new.shape[1]])

    def once(self, make):
        index, self._constant = self._constant, self._constant + 1
        return self.constants[index]

    def attention_bias(self, dtype: tf.DType) -> tf.Tensor:
        """The additive mask of the new tokens, (batch, 1, tokens, slots)."""
        hidden = tf.constant(dtype.min / 2, dtype)
        return tf.where(self.visible[:, None], tf.zeros((), dtype), hidden)


def _size(x: tf.Tensor, axis: int):
    return x.shape[axis] if x.shape[axis] is not None else tf.shape(x)[axis]
