"""Tensors of a file that no model of ours holds: what they are, and where they go in another."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from kerasbert.backend import tf
from kerasbert.checkpoints.loading import OPTIMIZER_STATE
from kerasbert.checkpoints.mapping import ALL_TOKENS, NameTable, Row, on_load, on_save
from kerasbert.models.weights import Loaded

# The heads of Google's run_classifier.py and run_squad.py, and what Hugging Face calls them.
_GOOGLE_HEADS = {
    "output_weights": "classifier.weight",
    "output_bias": "classifier.bias",
    "cls/squad/output_weights": "qa_outputs.weight",
    "cls/squad/output_bias": "qa_outputs.bias",
}
_HEADS = {
    "google": _GOOGLE_HEADS,
    "huggingface": {theirs: ours for ours, theirs in _GOOGLE_HEADS.items()},
}
# Copies of tied tensors, and our path of what they are a copy of.
_COPIES = (
    (r"(cls\.predictions|lm_head|predictions)\.decoder\.weight", "Embedding-Token/embeddings"),
    (r"(generator_lm_head|lm_loss|lm_head)\.weight", "Embedding-Token/embeddings"),
    (r"(encoder|decoder)\.embed_tokens\.weight", "Embedding-Token/embeddings"),
    (r"encoder\.lm_head\.weight", "Embedding-Token/embeddings"),
    (r"(cls\.predictions|lm_head|predictions)\.decoder\.bias", "MLM-Bias/bias"),
)
_CONSTANTS = re.compile(
    r"(.*\.)?(position_ids|token_type_ids|embed_positions\.(weight|_float_tensor)|version)"
    r"|Embedding-Relative-Position/embeddings"  # NEZHA's, where bert4keras saved it
    r"|decoder\.block\.0\.layer\.1\.EncDecAttention\.relative_attention_bias\.weight"
)


@dataclass
class LeftOver:
    """What becomes of the tensors that were not loaded.

    Attributes:
        carried: tensors that go into the new file, by their names there.
        sources: of each of those, its name in the old file.
        variables: our paths of those that have one.
        left_out: names in the old file, and why each stays behind.
    """

    carried: dict[str, tf.Tensor] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    variables: list[str] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)

    def carry(self, name: str, stored: str, value: tf.Tensor) -> None:
        """Takes a tensor along.

        Args:
            name: in the new file.
            stored: name in the old one.
            value: as the new file has it.
        """
        self.carried[name], self.sources[name] = value, stored


def sort_left_over(
    loaded: Loaded,
    target: str,
    table: NameTable | None,
    rows: Sequence[Row],
    values: Mapping[str, object],
) -> LeftOver:
    """Sorts the tensors that were not loaded.

    Args:
        loaded: what was.
        target: the naming of the new file: "google", "huggingface" or "keras".
        table: of that naming; None for Keras'.
        rows: of that table, written out.
        values: our variables by path, for what copies are compared with.
    """
    found = LeftOver()
    naming = naming_of(loaded.table)
    here = {row.tensor: row for row in loaded.rows}
    there = {row.variable: row for row in rows}
    for name in [*loaded.report.ignored, *(name for name, _ in loaded.report.unexpected)]:
        needless = _needless(name, loaded, values)
        row = here.get(name)
        if needless is not None:
            found.left_out[name] = needless
        elif row is not None and row.variable in there:
            value = on_load(row.op, _read(loaded, name), ALL_TOKENS, row.block)
            new = there[row.variable]
            found.carry(new.tensor, name, on_save(new.op, value))
            found.variables.append(row.variable)
        elif naming == target and target in _HEADS:
            found.carry(name, name, _read(loaded, name))
        elif table is not None and _allows(table, _HEADS.get(naming, {}).get(name)):
            found.carry(_HEADS[naming][name], name, _read(loaded, name))
        else:
            found.left_out[name] = _no_place(name, target)
    return found


def _allows(table: NameTable, name: str | None) -> bool:
    """Whether files of this naming may hold such a head."""
    return name is not None and any(re.fullmatch(pattern, name) for pattern in table.optional)


def naming_of(table: NameTable) -> str:
    """The kind of names ("google", "huggingface", ...), by the name of a family's table."""
    if table.name.startswith("huggingface"):
        return "huggingface"
    return "google" if table.name in ("google", "mesh", "mesh_ungated") else table.name


def _needless(name: str, loaded: Loaded, values: Mapping[str, object]) -> str | None:
    """Why a tensor is not needed, if so."""
    if OPTIMIZER_STATE.fullmatch(name):
        return "state of the optimizer"
    if _CONSTANTS.fullmatch(name):
        return "a constant, computed anew"
    for pattern, path in _COPIES:
        if re.fullmatch(pattern, name) and path in values:
            own = np.asarray(tf.convert_to_tensor(values[path]))
            value = tf.cast(_read(loaded, name), own.dtype).numpy()
            if np.array_equal(value, own):
                return f"a copy of {path}, which is written"
            if path.startswith("Embedding-Token") and value.shape == own.shape:
                return f"an output layer that is not {path}: no model here has both"
    return None


def _no_place(name: str, target: str) -> str:
    if name.startswith(("generator", "discriminator", "electra/")):
        return "of ELECTRA's other network: convert that one as well, by model="
    titles = {"google": "Google's format", "keras": "the model of the family"}
    return f"{titles.get(target, 'the new file')} has no name for it"


def _read(loaded: Loaded, name: str) -> tf.Tensor:
    return loaded.source.read([name])[name]
