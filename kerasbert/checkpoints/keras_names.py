"""How Keras names the weights of bert4keras' models and of ours: by layer, and order inside it.

The layers have the same names in both, on purpose. Inside them bert4keras' projections are called
``dense_1``, ``dense_2``, ... (numbered through the whole program in Keras 2.3, through the layer in
tf.keras), so that only their order says which is which; ours have names of their own.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping, Sequence

from kerasbert.checkpoints.adapting import Part
from kerasbert.checkpoints.mapping import NameTable, Op, Row

TABLE = "keras"

# What any of the families' files hold at least, and where it lies in every one.
TOKEN_TABLE = "Embedding-Token/embeddings"

# The projections of a layer in the order that bert4keras makes them, by the layer's name and their
# number; and what it calls the attributes that hold them.
_PROJECTIONS = (
    (r".*Attention", {4: ("query", "key", "value", "output")}),
    (r".*FeedForward", {2: ("intermediate", "output"), 3: ("intermediate", "gate", "output")}),
    (
        r".*Norm(-\d+)?",
        {
            2: ("condition/offset", "condition/scale"),
            3: ("condition/hidden", "condition/offset", "condition/scale"),
        },
    ),
)
_ATTRIBUTES = {
    "q_dense": "query",
    "k_dense": "key",
    "v_dense": "value",
    "o_dense": "output",
    "i0_dense": "intermediate",
    "i1_dense": "gate",
    "hidden_dense": "condition/hidden",
    "beta_dense": "condition/offset",
    "gamma_dense": "condition/scale",
    "output_dense": "output",  # ours
}
_NUMBERED = re.compile(r"dense(_\d+)?")

# Layers that a user put on top of a model have other names than these.
_OWN = r"(Encoder-|Decoder-)?(Embedding|Transformer|Output|MLM|NSP|Pooler|LM|Discriminator)(-|/)"
_OPTIONAL = (
    r"(MLM|NSP|Pooler|LM|Discriminator)-.*",  # heads that were not asked for
    r"Embedding-Relative-Position/embeddings",  # NEZHA's, which are computed
    rf"(?!{_OWN}).*",
)


def is_own(name: str) -> bool:
    """Whether a path is of a layer that belongs to a pretrained model, by its name."""
    return re.match(_OWN, name) is not None


def paths_in_layer(layer: str, weights: Sequence[str]) -> list[str]:
    """Paths of a layer's weights, as ours has them.

    Args:
        layer: its name, without a model's prefix.
        weights: their names in it, in order: ``dense_5/kernel``, ``query/kernel``, ``beta``.
    """
    inner = list(dict.fromkeys(name.rpartition("/")[0] for name in weights if "/" in name))
    names = {name: _ATTRIBUTES.get(name, name) for name in inner}
    if inner and all(_NUMBERED.fullmatch(name) for name in inner):
        for pattern, by_number in _PROJECTIONS:
            if re.fullmatch(pattern, layer) and len(inner) in by_number:
                names = dict(zip(inner, by_number[len(inner)]))
                break
    paths: list[str] = []
    for name in weights:
        sublayer, slash, kind = name.rpartition("/")
        kind = _kind(layer, kind)
        path = f"{layer}/{names.get(sublayer, sublayer)}{slash}{kind}"
        number = 1
        while path in paths:
            path, number = (
                f"{layer}/{names.get(sublayer, sublayer)}{slash}{kind}_{number}",
                number + 1,
            )
        paths.append(path)
    return paths


def parts_of_layers(
    layers: Mapping[str, Sequence[tuple[str, str]]], prefix: str
) -> dict[str, Part]:
    """How the tensors of our paths are made of those of layers.

    Args:
        layers: by a layer's name, the names of its weights in it, in order, and where each lies.
        prefix: what the model's layers have in front of their names.
    """
    parts: dict[str, Part] = {}
    for layer, weights in layers.items():
        name = layer[len(prefix) :] if layer.startswith(prefix) else layer
        for path, (_, stored) in zip(paths_in_layer(name, [w for w, _ in weights]), weights):
            part = Part(stored)
            if path == "Decoder-Output-LM/kernel":  # bert4keras' is a Dense
                path, part = "Decoder-Output-LM/embeddings", Part(stored, transpose=True)
            parts.setdefault(path, part)
    return parts


def _kind(layer: str, kind: str) -> str:
    kind = kind.split(":")[0]
    return "bias" if (layer, kind) == ("MLM-Bias", "beta") else kind


def common_prefix(layers: Iterable[str]) -> str:
    """What a model's ``prefix=`` put in front of its layers' names; "" when there are several.

    Args:
        layers: names of a file's layers.
    """
    found = {name[: -len("Embedding-Token")] for name in layers if name.endswith("Embedding-Token")}
    return found.pop() if len(found) == 1 else ""


def keras_table(tables: Sequence[NameTable]) -> NameTable:
    """The table of files whose tensors have the names of a family's variables.

    Args:
        tables: the family's, for files of other kinds.
    """
    rows = {}
    for table in tables:
        for row in table.rows:
            op = Op.TOKENS if row.op in (Op.TOKENS, Op.TOKEN_COLUMNS) else Op.IDENTITY
            own = Row(row.variable, row.variable, op, optional=row.optional)
            if op is Op.TOKENS or own.variable not in rows:
                rows[own.variable] = own
    return NameTable(TABLE, tuple(rows.values()), _OPTIONAL)


def rows_of_variables(table: NameTable, paths: Iterable[str]) -> list[Row]:
    """The rows of a :func:`keras_table` for a model: every variable is the tensor of its name.

    Args:
        table: the family's.
        paths: of the model's variables.
    """
    known = {row.variable: row for row in table.rows}
    return [
        dataclasses.replace(known.get(path, Row(path, path)), variable=path, tensor=path)
        for path in paths
        if not re.search(r"/condition/\w+/kernel$", path)  # see mapping.condition_rows
    ]
