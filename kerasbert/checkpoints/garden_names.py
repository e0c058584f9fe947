"""How TensorFlow's Model Garden names BERT and ALBERT, brought to Google's names.

Its object checkpoints (``tf.train.Checkpoint(encoder=...)`` or ``(model=...)``) and SavedModels on
TensorFlow Hub record the name that every variable had in the program
(``transformer/layer_0/self_attention/query/kernel``); the first converted ones have another root
(``bert_model/encoder/layer_0/...``). Kernels of attention are split by head, (hidden_size, heads,
size of a head): the number of heads is read off them. Modules of TensorFlow 1 have Google's own
names, with ``module/`` in front where a program saved itself around one.

"gelu" is the tanh form in all of Model Garden's code, also in a ``bert_config.json`` beside it;
its layer normalisations have Google's epsilon, 1e-12. Both are in the ``config`` of what
:func:`adapt` returns.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from kerasbert.checkpoints import saved_model
from kerasbert.checkpoints.adapting import AdaptedTensors, Part, put
from kerasbert.checkpoints.errors import CheckpointFormatError
from kerasbert.checkpoints.garden_rules import (
    BLOCK,
    BUILT,
    EMBEDDINGS,
    foreign_encoder,
    google_names,
    layout,
    rewritten,
)
from kerasbert.checkpoints.loading import OPTIMIZER_STATE
from kerasbert.checkpoints.object_graph import ObjectGraph, ObjectVariable

if TYPE_CHECKING:
    from kerasbert.checkpoints.loading import TensorSource

logger = logging.getLogger(__name__)

_MODULE = "module/"  # a program's scope around a module of TensorFlow 1
_HEAD = "cls/other/"  # families ignore what is below `cls/` and not asked for


def recognise(source: TensorSource) -> bool:
    """Whether tensors are named as Model Garden's are, or are those of a TensorFlow Hub module.

    Args:
        source: of a TensorFlow checkpoint.

    Raises:
        CheckpointFormatError: the checkpoint's graph of objects is damaged.
    """
    names = [variable.name for variable in _variables(source, _graph(source))]
    words = any(rewritten(EMBEDDINGS[:1], name) for name in names)
    positions = any(rewritten(EMBEDDINGS[2:3], name) for name in names)
    return (words and positions) or bool(foreign_encoder(names)) or _is_module(source)


def adapt(source: TensorSource, config: Mapping[str, Any] | None = None) -> AdaptedTensors:
    """The tensors under Google's names, with kernels of attention as matrices.

    Heads of tasks have names below ``cls/``, which models leave unread.

    Args:
        source: one that :func:`recognise` accepts.
        config: what lies beside it, as ``bert_config.json`` names it.

    Returns:
        The tensors. Their ``config`` is the given one, completed by what the tensors show
        (``num_attention_heads``) and what a SavedModel says, with "gelu" told apart.

    Raises:
        CheckpointFormatError: another of Model Garden's encoders, or several encoders in one file.
    """
    graph = _graph(source)
    variables = _variables(source, graph)
    if _is_module(source):
        names = [variable.name for variable in variables]
        parts = {name[name.startswith(_MODULE) and len(_MODULE) :]: Part(name) for name in names}
        return _with_config(source, parts, config, {}, "gelu")
    foreign = foreign_encoder([variable.name for variable in variables])
    if foreign:
        raise CheckpointFormatError(f"the checkpoint holds {foreign}, which is not built. {BUILT}")
    pretrainer = None if graph is None else graph.find_with(*_NETWORKS)
    if pretrainer is not None:
        discriminator = graph.children(pretrainer)[_NETWORKS[1]]
        variables = list(graph.below(discriminator))
    found = google_names(variables)
    taken = {variable.key for variable in found.values()}
    parts = {name: Part(v.key, **layout(name, v.shape)) for name, v in found.items()}
    if pretrainer is not None:
        parts = _as_electra(parts, graph, pretrainer)
    others = [variable for variable in variables if variable.key not in taken and variable.shape]
    for variable in others:
        put(parts, _HEAD + variable.name, Part(variable.key))
    if others:
        logger.info("heads that are not read: %s", ", ".join(v.name for v in others))
    heads = infer_config({variable.name: variable.shape for variable in variables})
    return _with_config(source, parts, config, heads, "gelu_tanh")


def infer_config(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, int]:
    """What the shapes of Model Garden's kernels say that those of matrices do not.

    Args:
        shapes: by the names of variables.

    Returns:
        ``num_attention_heads``, and ``attention_head_size`` where it is unusual.
    """
    for name, shape in shapes.items():
        match = BLOCK.fullmatch(name)
        if match and match["part"] == "self_attention/query/kernel" and len(shape) == 3:
            hidden_size, heads, size = shape
            usual = heads * size == hidden_size
            return {
                "num_attention_heads": heads,
                **({} if usual else {"attention_head_size": size}),
            }
    return {}


# ---- names --------------------------------------------------------------------------------------


def _graph(source: TensorSource) -> ObjectGraph | None:
    return ObjectGraph.read(source) if getattr(source, "is_object_graph", False) else None


def _variables(source: TensorSource, graph: ObjectGraph | None) -> list[ObjectVariable]:
    """The variables of a checkpoint; where it has no graph of objects, its tensors."""
    if graph is not None:
        return list(graph.variables)
    names = (name for name in source.shapes if not OPTIMIZER_STATE.fullmatch(name))
    return [ObjectVariable(name, name, name, tuple(source.shapes[name])) for name in names]


def _is_module(source: TensorSource) -> bool:
    """Whether the names are Google's, and there is more to be said of them."""
    table = "bert/embeddings/word_embeddings"
    in_folder = saved_model.folder_of(getattr(source, "prefix", "")) is not None
    return _MODULE + table in source.shapes or (table in source.shapes and in_folder)


# ---- ELECTRA ------------------------------------------------------------------------------------

_NETWORKS = ("generator_network", "discriminator_network")
_HEAD_OF_ELECTRA = {"discriminator_projection": "dense", "discriminator_head": "dense_1"}


def _as_electra(parts: Mapping[str, Part], graph: ObjectGraph, pretrainer: int) -> dict[str, Part]:
    """The discriminator of Model Garden's ELECTRA under Google's names, with its head.

    The generator has position and segment tables of its own there, which Google's has not, and is
    left out. So is the pooler, which nothing has trained.
    """
    found = {}
    for name, part in parts.items():
        name = name.replace(
            "bert/encoder/embedding_hidden_mapping_in", "electra/embeddings_project"
        )
        if not name.startswith(("bert/pooler", "cls/")):
            found[re.sub("^bert/", "electra/", name)] = part
    children = graph.children(pretrainer)
    for attribute, layer in _HEAD_OF_ELECTRA.items():
        for variable in graph.below(children[attribute]) if attribute in children else ():
            found[f"discriminator_predictions/{layer}/{variable.path}"] = Part(variable.key)
    return found


# ---- settings -----------------------------------------------------------------------------------


def _with_config(
    source: TensorSource,
    parts: Mapping[str, Part],
    config: Mapping[str, Any] | None,
    heads: Mapping[str, int],
    gelu: str,
) -> AdaptedTensors:
    """The tensors with the configuration of their model.

    Args:
        source: the stored tensors.
        parts: how they are made.
        config: the given one.
        heads: what the shapes of kernels say.
        gelu: what "gelu" means where no graph shows it.
    """
    shapes = AdaptedTensors(source, parts).shapes
    folder = saved_model.folder_of(getattr(source, "prefix", ""))
    facts = saved_model.SavedModelFacts()
    if folder is not None:
        output = re.compile(r".*/attention(_1)?/output/dense/bias")
        widths = {shape[0] for name, shape in shapes.items() if output.fullmatch(name) and shape}
        facts = saved_model.describe(folder, min(widths, default=None))
    if facts.pre_norm:
        raise CheckpointFormatError(
            f"{folder} holds a BERT whose blocks normalise their inputs (norm_first), which is not "
            f"built. {BUILT}"
        )
    given = {key: value for key, value in (config or {}).items() if value is not None}
    merged = {**facts.config, **heads, **given}
    if merged.get("hidden_act", "gelu") == "gelu":
        merged["hidden_act"] = facts.config.get("hidden_act", gelu)
    return AdaptedTensors(source, parts, merged)
