"""Which heads a checkpoint holds, as the options that a model with all of them is built with."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from kerasbert.checkpoints.mapping import NameTable, choose_table

if TYPE_CHECKING:
    from kerasbert.models.factory import Inspected
    from kerasbert.models.transformer import Transformer

# What each option needs, by the beginnings of variables' paths.
_HEADS = {
    "with_pool": ("Pooler-Dense/",),
    "with_nsp": ("Pooler-Dense/", "NSP-Proba/"),
    "with_mlm": ("MLM-",),
    "with_discriminator": ("Discriminator-",),
}
_TITLES = {
    "with_pool": "pooler",
    "with_nsp": "next sentence",
    "with_mlm": "masked language model",
    "with_discriminator": "discriminator",
    "with_lm": "language model",
}
_QUERIES = "Embedding-Mask/"  # of XLNet's language model


def heads_in(
    names: Iterable[str],
    family: type[Transformer],
    config: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The options by which ``build_transformer_model`` makes all heads that a file holds whole.

    Args:
        names: of the file's tensors.
        family: the class that builds it.
        config: values of its json; T5's says whether the token table is the output layer.

    Returns:
        Such as ``{"with_pool": True, "with_mlm": True}``; XLNet's language model, with the vector
        that its queries start from, is ``{"application": "permutation"}``.
    """
    names = set(names)
    table = choose_table(family.tables, names)
    accepted = family.accepted_options()
    found = {
        option: True
        for option, layers in _HEADS.items()
        if option in accepted and all(_is_whole(table, layer, names) for layer in layers)
    }
    if "with_mlm" in found and "permutation" in family.applications:
        if _is_whole(table, _QUERIES, names):
            del found["with_mlm"]
            found["application"] = "permutation"
    elif "with_mlm" in found and (config or {}).get("is_decoder"):
        found["application"] = "lm"
    if "with_lm" in accepted:
        found["with_lm"] = _has_output_layer(table, names, family, config or {})
    return found


def pooler_options(found: Inspected) -> dict[str, Any] | None:
    """Options that build the pooler of a checkpoint as it was trained; None where it has none.

    Args:
        found: the checkpoint.
    """
    shapes = found.source.shapes if found.source else ()
    if not heads_in(shapes, found.family, found.files.config).get("with_pool"):
        return None
    if found.files.published is not None:
        return {"with_pool": True, **found.files.published.options}
    # SimBERT's pooler has no activation, all others have tanh.
    return {"with_pool": "linear" if found.preset.get("application") == "unilm" else True}


def titles(options: Mapping[str, Any]) -> list[str]:
    """The heads that options of :func:`heads_in` stand for, in words."""
    found = [title for option, title in _TITLES.items() if options.get(option)]
    return [*found, "language model"] if options.get("application") == "permutation" else found


def _is_whole(table: NameTable, layers: str, names: set[str]) -> bool:
    """Whether a file has all tensors of layers, and there are any."""
    rows = [row for row in table.rows if row.variable.startswith(layers) and not row.optional]
    return bool(rows) and all(row.tensor in names for row in rows)


def _has_output_layer(
    table: NameTable, names: set[str], family: type[Transformer], config: Mapping[str, Any]
) -> bool:
    """Whether a T5 has an output layer: a table of its own, or the token table."""
    if _is_whole(table, "Decoder-Output-LM/", names):
        return True
    values = {family.config_class.canonical_key(key): value for key, value in config.items()}
    architectures = " ".join(map(str, values.get("architectures") or ()))
    if re.search(r"T5Model|EncoderModel", architectures):
        return False
    gated = any("wi_1" in name for name in names)
    tied = values.get("tie_word_embeddings")
    return bool(not gated if tied is None else tied)
