"""Spellings of tensor names that mean the same, brought to one before anything is looked up.

Only names with dots, as PyTorch's modules give them, have such variants; names with slashes, those
of TensorFlow's graphs, are left alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

# What a program that wrapped the model put in front of every name: DataParallel, torch.compile,
# Lightning, sentence-transformers.
_WRAPPERS = re.compile(r"(module|_orig_mod|model|0|auto_model|state_dict)\.")
# The affine parameters of layer normalisation until 2019.
_OLD_ENDINGS = {".gamma": ".weight", ".beta": ".bias"}


def usual_names(names: Iterable[str]) -> dict[str, str]:
    """The usual spelling of every tensor name.

    Args:
        names: of all tensors of a checkpoint: a wrapper's name counts where all begin with it.

    Returns:
        The name in the checkpoint by usual name, in the same order.
    """
    stored = list(names)
    usual = list(stored)
    while usual:
        first = _WRAPPERS.match(usual[0])
        if not first or not all(name.startswith(first[0]) for name in usual):
            break
        usual = [name[len(first[0]) :] for name in usual]
    taken = set(usual)
    for i, name in enumerate(usual):
        stem, dot, ending = name.rpartition(".")
        modern = stem + _OLD_ENDINGS.get(dot + ending, dot + ending)
        if modern not in taken:
            usual[i] = modern
    return dict(zip(usual, stored))


class RenamedTensors:
    """A source of tensors under other names.

    Args:
        source: shapes by name, and tensors by name with ``read``.
        names: the name in the source by the name here.
    """

    def __init__(self, source, names: Mapping[str, str]):
        self._source = source
        self._names = names
        self.shapes = {name: source.shapes[stored] for name, stored in names.items()}

    def read(self, names: Iterable[str]) -> dict:
        """The tensors of those names, as the source stores them."""
        wanted = {self._names[name]: name for name in names}
        found = self._source.read(list(wanted))
        return {wanted[stored]: tensor for stored, tensor in found.items()}
