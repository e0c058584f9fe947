"""A model as the Transformers library will have it: class, configuration, tensors, differences."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from kerasbert.backend import keras, tf
from kerasbert.layers.activations import canonical_names
from kerasbert.layers.permutation import LastToken
from kerasbert.models import huggingface_classes as classes
from kerasbert.models.extraction import Extracted, extract
from kerasbert.models.huggingface_classes import Architecture, architecture_of
from kerasbert.models.huggingface_config import huggingface_config, kept_keys
from kerasbert.models.huggingface_differences import differences
from kerasbert.models.huggingface_tensors import LazyTensor, huggingface_table, tensors_of
from kerasbert.models.registry import find_model
from kerasbert.models.task_head import TaskHead, find_task_head

_PROBLEMS = {
    "softmax": "single_label_classification",
    "sigmoid": "multi_label_classification",
}


@dataclass
class Export:
    """A model as the Transformers library has it, before it is written.

    Attributes:
        class_name: of the class that opens it.
        config: the content of ``config.json``.
        tensors: by name.
        missing: parts that the class has and the model has not: it makes them anew.
        unused: parts of the model that the class leaves unused; they are written all the same.
        notes: sentences on what is not the same there.
        root: what the names have in front that a class for heads has and this one has not.
    """

    class_name: str
    config: dict[str, Any]
    tensors: dict[str, LazyTensor]
    missing: list[str]
    unused: list[str]
    notes: list[str]
    root: str = ""


def plan_export(
    model,
    *,
    config: Mapping[str, Any] | None = None,
    task: str | None = None,
    prefix: str = "",
    dtype: str | None = None,
    class_name: str | None = None,
    model_type: str | None = None,
    further_parts: Collection[str] = (),
) -> Export:
    """What :func:`save_as_huggingface` will write.

    Args:
        model: as there.
        config: as there.
        task: as there.
        prefix: as there.
        dtype: as there.
        class_name: of the class that opens it; None is the one that fits best.
        model_type: which one of several with the same graph, where ``config`` does not say.
        further_parts: that will be in the file beside those of the model.

    Raises:
        ValueError: as there.
    """
    if dtype is not None and not tf.as_dtype(dtype).is_floating:
        raise ValueError(f"dtype must be a floating one, such as 'float16'. Received: {dtype!r}")
    found = extract(model, prefix)
    settings = dict(config or {})
    if not isinstance(model, keras.layers.Layer):  # a Transformer knows what layers do not show
        settings = {**kept_keys(model.config.extra), **settings}
        model_type = model_type or model.config.extra.get("model_type")
    gelu = found.family.gelu
    asked = settings.pop("model_type", None)
    found, architecture = export_target(found, asked or model_type)
    if asked not in (None, architecture.model_type):
        raise ValueError(
            f"model_type={asked!r} is not the graph of this model, which is "
            f"{architecture.model_type!r} there. Leave it out of config."
        )
    head = find_task_head(model, found, prefix, task)
    parts = _parts(found) | set(further_parts)
    notes = differences(found, architecture, parts, gelu)

    task_class, wanted = None, set()
    if head is not None:
        task_class = _task_class(head, found, architecture, gelu)
        if task_class is None and task is not None:
            raise ValueError(
                f"the Transformers library has no class for task={task!r} of a model like this: "
                f"its {architecture.stem} classes have other layers in the head."
            )
    if task_class is not None:
        suffix, wanted = task_class.suffix, set(task_class.parts)
    else:
        suffix = architecture.choose(parts, causal=_is_causal(found))
        wanted = architecture.classes.get(suffix, {"mlm"})
        notes += _left_out(model, found, head)
    base_class = class_name is None and suffix in ("Model", "EncoderModel")
    table = huggingface_table(found.family, found.config)
    tensors = tensors_of(
        found,
        architecture,
        table.without_root() if base_class else table,
        task_rows=task_class.rows if task_class else (),
        task_variables=head.variables if task_class else None,
        dtype=dtype,
    )
    name = class_name or architecture.stem + suffix
    described = found.config
    if "decoder" in parts and "lm" not in parts:  # nothing is scaled where there is no output layer
        tied = described.tie_word_embeddings
        described = dataclasses.replace(described, scale_decoder_outputs=tied)
    values = huggingface_config(architecture.model_type, described, gelu, found.family.family)
    if values.get("type_vocab_size") == 0:
        values["type_vocab_size"] = 1
    floats = {tensor.dtype for tensor in tensors.values() if "float" in tensor.dtype}
    values = {
        "architectures": [name],
        **values,
        **({"is_decoder": True} if suffix == architecture.causal else {}),
        "torch_dtype": floats.pop() if len(floats) == 1 else "float32",
        **(_labels(head, found) if task_class else {}),
        **settings,
    }
    missing, unused = sorted(wanted - parts), sorted(parts - wanted)
    if missing and class_name is None:
        notes.append(
            f"the model has no {' and no '.join(missing)}, which {name} has: it is made anew there."
        )
    if unused and class_name is None:
        notes.append(f"{name} leaves unused: {', '.join(unused)}. It is in the file all the same.")
    root = table.root if base_class else ""
    return Export(name, values, tensors, missing, unused, notes, root)


def export_target(
    found: Extracted, model_type: str | None = None
) -> tuple[Extracted, Architecture]:
    """The model as one of a family that the library has, where its graph is the same.

    Args:
        found: the transformer.
        model_type: which one of several with the same graph.

    Raises:
        ValueError: the library has none.
    """
    family, config = found.family.family, found.config
    if family == "bert" and config.maps_embeddings:
        # BERT has no projection there, but RemBERT has the same one.
        other = find_model("rembert")[0]
        config = other.config_class(
            **{**vars(config), "output_embedding_size": config.embedding_width, "extra": {}}
        )
        return dataclasses.replace(found, family=other, config=config), classes.REMBERT
    if family == "albert" and _groups_there(config) != config.groups:
        config = dataclasses.replace(
            config, num_hidden_groups=config.num_hidden_layers, layer_groups=None
        )
        found = dataclasses.replace(found, config=config)
    if family == "nezha" and not config.use_relative_position:
        other = find_model("bert")[0]
        return dataclasses.replace(found, family=other), classes.BERT
    return found, architecture_of(family, model_type)


def _groups_there(config) -> tuple[int, ...]:
    """The group of each layer of an ALBERT by the library's rule, which rounds a division twice.

    For some numbers, such as 14 groups of 18 layers, it is not what exact numbers give.
    """
    layers, groups = config.num_hidden_layers, config.num_hidden_groups
    return tuple(int(i / (layers / groups)) for i in range(layers))


def _parts(found: Extracted) -> set[str]:
    """The parts that the model has beside its body."""
    return {part for layer, part in classes.PARTS.items() if layer in found.layers}


def _is_causal(found: Extracted) -> bool:
    return getattr(found.layers.get("Attention-LM-Mask"), "pattern", None) == "lm"


def _task_class(head: TaskHead, found: Extracted, architecture: Architecture, gelu: str):
    """The class for a head, or None where its layers are others."""
    chosen = architecture.tasks.get(head.task)
    if chosen is None:
        return None
    wanted = chosen.pooler_activation
    if architecture.model_type == "roformer" and wanted == "":
        wanted = canonical_names(found.config.hidden_act, gelu=gelu)
    same_layers = any(path.startswith(classes.TASK_DENSE) for path in head.variables) == any(
        row.variable.startswith(classes.TASK_DENSE) for row in chosen.rows
    )
    return chosen if same_layers and head.pooler == wanted else None


def _labels(head: TaskHead, found: Extracted) -> dict[str, Any]:
    """The keys of ``config.json`` about a head's outputs."""
    if head.task in (classes.ANSWER, classes.CHOICE):
        return {}
    values = {
        "id2label": {str(i): label for i, label in enumerate(head.labels)},
        "label2id": {label: i for i, label in enumerate(head.labels)},
    }
    if head.task == classes.SEQUENCE:
        usual = "regression" if len(head.labels) == 1 else _PROBLEMS.get(head.activation)
        problem = head.problem_type or usual
        values.update({"problem_type": problem} if problem else {})
        pooler = found.layers.get("Pooler")
        if found.family.family == "xlnet" and pooler is not None:
            last = isinstance(pooler, LastToken)
            values["summary_type"] = "last" if last else "first"
    return values


def _left_out(model, found: Extracted, head: TaskHead | None) -> list[str]:
    """What of the model is not the transformer's and is therefore not written."""
    known = {row.variable for row in found.google_rows()}
    others = {
        path.split("/")[0]
        for path in found.variables
        if path not in known and not hasattr(found.layers[path.split("/")[0]], "layers")
    }
    others |= set(head.layers) if head else set()
    if not others:
        return []
    return [
        "only the transformer is written: the library's classes have nothing like "
        f"{', '.join(sorted(others))}."
    ]
