"""The transformer inside a model: its layers, family, configuration, and tensors by any names."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kerasbert.backend import keras, tf, variable_path
from kerasbert.checkpoints.mapping import JOINED, Op, Row, condition_rows, on_save
from kerasbert.config import TransformerConfig
from kerasbert.models import registry

if TYPE_CHECKING:
    from kerasbert.models.transformer import Transformer


@dataclass(frozen=True)
class Extracted:
    """What was found in a model.

    Attributes:
        family: the class of the transformer.
        layers: every layer of the model by its name without prefix.
        config: the configuration that the layers amount to.
        variables: of the layers, by path.
    """

    family: type[Transformer]
    layers: Mapping[str, keras.layers.Layer]
    config: TransformerConfig
    variables: Mapping[str, Any]

    def google_rows(self) -> list[Row]:
        """The rows of the variables that are there, by the names of the family's own format."""
        rows = self.family.rows(self.family.tables[0], self.config, self.layers)
        rows = [*rows, *condition_rows(self.variables, rows)]
        return [row for row in rows if row.variable in self.variables]


def extract(model, prefix: str = "") -> Extracted:
    """Finds the transformer in a model.

    Args:
        model: a ``keras.Model`` that holds one, at any depth; or a ``Transformer``.
        prefix: the prefix that it was built with.

    Raises:
        ValueError: there is none.
    """
    layers = layers_by_name(model, prefix)
    family = _family_of(model, layers, prefix)
    config = family.describe(layers)
    if not isinstance(model, keras.layers.Layer) and "Embedding-Position" not in layers:
        # Of relative positions only the configuration knows how far the releases went.
        length = model.config.max_position_embeddings
        config = dataclasses.replace(config, max_position_embeddings=length)
    return Extracted(family, layers, config, variables_by_path(layers))


def describe(model, prefix: str = "") -> TransformerConfig:
    """The configuration that a model's layers amount to."""
    layers = layers_by_name(model, prefix)
    return _family_of(model, layers, prefix).describe(layers)


def published_tensors(
    model, *, prefix: str = "", dtype: str | None = None
) -> tuple[type[Transformer], TransformerConfig, dict[str, tf.Tensor]]:
    """The family of a model, its configuration, and its tensors by their published names.

    Args:
        model: as of :func:`extract`.
        prefix: as there.
        dtype: of the tensors; None is that of the variables.
    """
    found = extract(model, prefix)
    return found.family, found.config, google_tensors(found, dtype)


def google_tensors(found: Extracted, dtype: str | None = None) -> dict[str, tf.Tensor]:
    """The tensors of a model by the names of its family's own format.

    Args:
        found: the transformer.
        dtype: as of :func:`published_tensors`.
    """
    tensors: dict[str, tf.Tensor] = {}
    for row in found.google_rows():
        value = saved_value(row.op, found.variables[row.variable], dtype)
        if row.op in JOINED and row.tensor in tensors:
            value = tf.concat([tensors[row.tensor], value], axis=JOINED[row.op])
        tensors[row.tensor] = value
    return tensors


def saved_value(op: Op, variable, dtype: str | None = None) -> tf.Tensor:
    """A variable's value as a file has it."""
    value = on_save(op, tf.convert_to_tensor(variable))
    return value if dtype is None else tf.cast(value, dtype)


def variables_by_path(layers: Mapping[str, keras.layers.Layer]) -> dict[str, Any]:
    """The variables of named layers, by path: ``Embedding-Norm/gamma``, ...

    Paths are made of the given names, the sublayers' names and the variables' own: the full names
    that Keras gives differ with the prefix, with the model around, and after ``load_model``.

    Args:
        layers: layers by the names that paths shall begin with.
    """
    found = {}
    for name, layer in layers.items():
        sublayers = [part for part in vars(layer).values() if isinstance(part, keras.layers.Layer)]
        inner = variables_by_path({f"{name}/{part.name}": part for part in sublayers})
        found.update(inner)
        claimed = {id(variable) for variable in inner.values()}
        for variable in layer.weights:
            if id(variable) not in claimed:
                found[f"{name}/{variable_path(variable).rsplit('/', 1)[-1]}"] = variable
    return found


def layers_by_name(model, prefix: str = "") -> dict[str, keras.layers.Layer]:
    """Every layer of a model and of models inside it, by name without prefix."""
    if not isinstance(model, keras.layers.Layer):  # a Transformer, perhaps with a head on top
        around = {} if model.model is None else layers_by_name(model.model, model.prefix)
        return {**around, **model.layers}
    found = {}
    for layer in model.layers:
        if layer.name.startswith(prefix):
            found[layer.name[len(prefix) :]] = layer
        if hasattr(layer, "layers"):
            found.update(layers_by_name(layer, prefix))
    return found


def _family_of(model, layers: Mapping[str, keras.layers.Layer], prefix: str) -> type[Transformer]:
    """The registered family that the token table names; of several, whose rows name most layers."""
    if not isinstance(model, keras.layers.Layer):  # a Transformer
        return type(model)

    def count(family):
        names = {row.variable.split("/")[0].replace("{i}", "0") for row in family.tables[0].rows}
        return len(names & layers.keys())

    named = getattr(layers.get("Embedding-Token"), "family", None)
    families = registry.families()
    best = max([f for f in families if f.family == named] or families, key=count)
    if count(best) < 3:
        where = f" under the prefix {prefix!r}" if prefix else ""
        raise ValueError(
            f"No transformer of this package was found in the model{where}. Its layers: "
            f"{', '.join(list(layers)[:8])}, ... If it was built with a prefix, pass the same "
            "prefix=... here."
        )
    return best
