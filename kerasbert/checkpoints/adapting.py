"""Tensors that are made of stored ones: other names, other layouts, several in one.

Files of UER-py, fairseq, Paddle and Keras are brought in this way to the names and the layout that
the families' tables have. Nothing is read before a tensor is asked for.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from kerasbert.backend import tf
from kerasbert.checkpoints.errors import CheckpointFormatError
from kerasbert.checkpoints.google import local_cpu

if TYPE_CHECKING:
    from kerasbert.checkpoints.loading import TensorSource


@dataclass(frozen=True)
class Part:
    """How a tensor is made of a stored one, in the order of the attributes.

    Attributes:
        stored: name of the stored tensor.
        rows: the first row taken and the one after the last (None: to the end; negative: counted
            from the end), before anything else happens; None takes all.
        transpose: whether the two axes of a matrix change places.
        zero_rows: rows of zeros that are put in front.
        shape: what the result is reshaped to; None leaves it.
    """

    stored: str
    transpose: bool = False
    rows: tuple[int, int | None] | None = None
    shape: tuple[int, ...] | None = None
    zero_rows: int = 0

    def shape_of(self, stored: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of the result.

        Args:
            stored: shape of the stored tensor.

        Raises:
            CheckpointFormatError: it is none that this can be made of.
        """
        found = tuple(stored)
        if self.rows is not None:
            self._need(len(found) > 0, stored, "it has no rows")
            start, stop, _ = slice(*self.rows).indices(found[0])
            wanted = [bound for bound in self.rows if bound is not None]
            inside = all(-found[0] <= bound <= found[0] for bound in wanted) and start <= stop
            self._need(inside, stored, f"rows {self.rows} are not in it")
            found = (stop - start, *found[1:])
        if self.transpose:
            self._need(len(found) == 2, stored, "it is no matrix")
            found = found[::-1]
        if self.zero_rows:
            self._need(len(found) > 0, stored, "it has no rows")
            found = (found[0] + self.zero_rows, *found[1:])
        if self.shape is not None:
            fits = math.prod(self.shape) == math.prod(found)
            self._need(fits, stored, f"it cannot be reshaped to {self.shape}")
            found = tuple(self.shape)
        return found

    def _need(self, condition: bool, shape: tuple[int, ...], reason: str) -> None:
        if not condition:
            raise CheckpointFormatError(
                f"the tensor {self.stored!r} of shape {tuple(shape)} is not what its name says: "
                f"{reason}. The file is damaged, or of a model that is not known."
            )

    def take(self, value: tf.Tensor) -> tf.Tensor:
        """The result, of the stored tensor, in its dtype."""
        if self.rows is not None:
            value = value[slice(*self.rows)]
        if self.transpose:
            value = tf.transpose(value)
        if self.zero_rows:
            zeros = tf.zeros((self.zero_rows, *value.shape[1:]), value.dtype)
            value = tf.concat([zeros, value], axis=0)
        return value if self.shape is None else tf.reshape(value, self.shape)


class AdaptedTensors:
    """A source of tensors that are made of another's.

    Args:
        source: shapes by name, and tensors by name with ``read``.
        parts: by the name here, how each is made; an array is a constant that no stored tensor
            is needed for.
        config: settings of the model under Hugging Face's names, where the file or the naming says
            some.

    Attributes:
        shapes: shape of every tensor by name, in the order of ``parts``.
        config: those settings, or None.

    Raises:
        CheckpointFormatError: a stored tensor has a shape that does not fit.
        KeyError: a part names a tensor that the source does not have.
    """

    def __init__(
        self,
        source: TensorSource,
        parts: Mapping[str, Part | np.ndarray],
        config: Mapping[str, Any] | None = None,
    ):
        self.config = None if config is None else dict(config)
        self._source = source
        self._parts = dict(parts)
        self.shapes: dict[str, tuple[int, ...]] = {
            name: part.shape_of(source.shapes[part.stored])
            if isinstance(part, Part)
            else tuple(np.shape(part))
            for name, part in self._parts.items()
        }

    def __repr__(self) -> str:
        return f"AdaptedTensors({self._source!r}, {len(self.shapes)} tensors)"

    def read(self, names: Iterable[str]) -> dict[str, tf.Tensor]:
        """Reads tensors in the dtypes that they are stored in, each stored one once.

        Args:
            names: which tensors.
        """
        wanted: dict[str, list[str]] = {}
        found = {}
        with tf.init_scope(), local_cpu():
            for name in names:
                part = self._parts[name]
                if isinstance(part, Part):
                    wanted.setdefault(part.stored, []).append(name)
                else:
                    found[name] = tf.convert_to_tensor(part)
            stored = self._source.read(list(wanted))
            for tensor, members in wanted.items():
                value = stored.pop(tensor)  # let go of before the next is transposed
                found.update((name, self._parts[name].take(value)) for name in members)
                del value
        return found


# Patterns of whole names, and what a name becomes: a template as of `re.Match.expand`.
Rules = Sequence[tuple[str, str]]


def rewrite(name: str, rules: Rules) -> str | None:
    """The name by the first rule whose pattern is the whole of it; None where there is no rule."""
    for pattern, template in rules:
        match = re.fullmatch(pattern, name)
        if match:
            return match.expand(template)
    return None


def put(parts: dict, name: str | None, part: Part) -> None:
    """Adds a part under a name, or under the stored one where there is none or it is taken.

    So no tensor is lost: what is left under a name of its own is reported as unexpected.
    """
    name = part.stored if name is None or name in parts else name
    while name in parts:
        name += " again"
    parts[name] = part
