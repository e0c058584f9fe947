"""The families that ``model=`` may name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from kerasbert.checkpoints.keras_names import TOKEN_TABLE

if TYPE_CHECKING:
    from kerasbert.models.transformer import Transformer

_FAMILIES: dict[str, tuple[type[Transformer], dict[str, Any]]] = {}


def register_model(name: str, family: type[Transformer], **defaults) -> None:
    """Makes a family known to ``build_transformer_model`` under a name.

    Args:
        name: the value of ``model=``; case does not matter.
        family: a subclass of ``Transformer``.
        **defaults: options that the name stands for, such as ``application="unilm"``.
    """
    _FAMILIES[name.lower()] = (family, defaults)


def list_models() -> list[str]:
    """The names that ``model=`` may have, in alphabetical order."""
    return sorted(_FAMILIES)


def find_model(name: str) -> tuple[type[Transformer], dict[str, Any]]:
    """The family of a name and the options that the name stands for.

    Raises:
        ValueError: for a name that is not registered, with the nearest that are.
    """
    if not isinstance(name, str) or name.lower() not in _FAMILIES:
        near = difflib.get_close_matches(str(name).lower(), _FAMILIES, n=3)
        hint = f" Did you mean {' or '.join(near)}?" if near else ""
        raise ValueError(f"Unknown model {name!r}.{hint} Registered: {', '.join(list_models())}.")
    return _FAMILIES[name.lower()]


def recognize(names: Iterable[str], config: Mapping[str, Any]) -> str | None:
    """The name of the family that tensor names, or without tensors a json's values, point to.

    Families registered later are asked first.
    """
    names = list(names)
    if TOKEN_TABLE in names:  # Keras' files have the same names in all families
        said = config.get("model_type")
        if isinstance(said, str) and said in _FAMILIES:
            return said
    for name, (family, defaults) in reversed(_FAMILIES.items()):
        if not defaults and family.recognizes(names, config):
            return family.family if family.family in _FAMILIES else name
    return None


def families() -> list[type[Transformer]]:
    """Every registered class, once."""
    return list(dict.fromkeys(family for family, _ in _FAMILIES.values()))
