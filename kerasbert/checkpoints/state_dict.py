"""The state dict in what a training program saved: alone, or beside settings and an optimizer."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Union

from kerasbert.checkpoints.errors import CheckpointFormatError
from kerasbert.checkpoints.pickled_arrays import NumpyArray
from kerasbert.checkpoints.pickled_tensors import Tensor
from kerasbert.checkpoints.unpickling import Record

# Where programs put the weights, the most telling first; of these the first that holds tensors is
# taken, whatever else holds some.
_USUAL_KEYS = ("state_dict", "model_state_dict", "model", "module", "net", "network", "bert")
_OTHER_STATE = re.compile(r"optim|scheduler|scaler|(^|_)(rng|ema)(_|$)", re.IGNORECASE)
_MAX_DEPTH = 6
_SHOWN = 8

Described = Union[Tensor, NumpyArray]


def find_state_dict(loaded: Any, path: Path) -> dict[str, Described]:
    """The tensors by name; entries that are none are left out.

    Args:
        loaded: what :func:`~kerasbert.checkpoints.unpickling.unpickle` gave.
        path: of the file, for messages.

    Raises:
        CheckpointFormatError: no tensors, or several dicts of which none is the usual one.
    """
    for _ in range(_MAX_DEPTH):
        if not isinstance(loaded, dict):
            break
        if "param_groups" in loaded:
            raise CheckpointFormatError(
                f"{path} holds the state of an optimizer, not a model's weights. Give the file "
                "of the model, such as pytorch_model.bin."
            )
        inner = {key: value for key, value in loaded.items() if isinstance(value, dict)}
        usual = [key for key in _USUAL_KEYS if _holds_tensors(inner.get(key))]
        if usual:
            loaded = inner[usual[0]]
            continue
        own = {name: entry for name, value in loaded.items() if (entry := _described(value))}
        if own:
            return own
        others = [
            key
            for key, value in inner.items()
            if _holds_tensors(value) and not _OTHER_STATE.search(key)
        ]
        if len(others) > 1:
            raise CheckpointFormatError(
                f"{path} holds several dicts of tensors: {_listed(others)}. Load it in the "
                "program that wrote it, and save the `state_dict()` of one model alone."
            )
        if not others:
            break
        loaded = inner[others[0]]
    raise CheckpointFormatError(
        f"{path} holds no tensors by name, but {_summary(loaded)}. What is read is a model's "
        "`state_dict()`, alone or in a dict."
    )


def without_tensors(loaded: Any) -> dict[str, Any]:
    """The entries of what was saved that are no tensors and no dicts that hold some."""
    if not isinstance(loaded, dict):
        return {}
    return {
        key: value
        for key, value in loaded.items()
        if _described(value) is None and not _holds_tensors(value)
    }


def _described(value: Any) -> Described | None:
    if isinstance(value, tuple) and len(value) == 2:  # older Paddle: (name of its own, array)
        value = value[1]
    if isinstance(value, Tensor) or (isinstance(value, NumpyArray) and value.is_numeric):
        return value
    return None


def _holds_tensors(value: Any) -> bool:
    """Whether a dict holds tensors by name, or a dict in it does; each is looked at once."""
    seen: set[int] = set()
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if not isinstance(value, dict) or id(value) in seen:
            continue
        seen.add(id(value))
        if any(_described(entry) for entry in value.values()):
            return True
        waiting.extend(value.values())
    return False


def _listed(keys: list[str]) -> str:
    more = f" and {len(keys) - _SHOWN} more" if len(keys) > _SHOWN else ""
    return ", ".join(repr(key[:80]) for key in keys[:_SHOWN]) + more


def _summary(loaded: Any) -> str:
    if isinstance(loaded, dict):
        return f"a dict with {_listed(list(loaded))}" if loaded else "an empty dict"
    if isinstance(loaded, Record):
        return f"an object of {str(loaded.named)!r}"
    if _described(loaded):
        return "a tensor without a name"
    return f"a {type(loaded).__name__}"
