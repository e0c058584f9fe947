"""Weights out of a model as a folder that the Transformers library opens."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import tempfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kerasbert.backend import keras, tf
from kerasbert.checkpoints import safetensors_writing
from kerasbert.layers.activations import canonical_names
from kerasbert.models import huggingface_classes as classes
from kerasbert.models.extraction import Extracted, extract
from kerasbert.models.huggingface_classes import Architecture, architecture_of
from kerasbert.models.huggingface_config import huggingface_config, kept_keys
from kerasbert.models.huggingface_tensors import LazyTensor, huggingface_table, tensors_of
from kerasbert.models.registry import find_model
from kerasbert.models.task_head import TaskHead, activation_of, find_task_head
from kerasbert.models.vocabulary_files import as_tokenizer, huggingface_files, json_file

logger = logging.getLogger("kerasbert")

CONFIG_NAME = "config.json"
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


def save_as_huggingface(
    model,
    folder: str | os.PathLike,
    *,
    vocab=None,
    config: Mapping[str, Any] | None = None,
    task: str | None = None,
    prefix: str = "",
    dtype: str | None = None,
    max_shard_size: int | str | None = None,
) -> str:
    """Saves a model as a folder that the Transformers library opens: safetensors and json.

    Works on any model that holds a transformer of ours, as :func:`save_weights_as_checkpoint`
    does. A head that a class of that library has as well is saved with it: one Dense layer on the
    pooled vector or on the hidden states. Load and save again is bit-exact.

    Args:
        model: a ``keras.Model`` or ``Transformer``.
        folder: is made. One that is there keeps its other files; those of the same names are
            replaced one by one, ``config.json`` last.
        vocab: a tokenizer, written in the files that the library makes the same one of; or a
            vocabulary file, a folder, a list of tokens or a dict of ids. None writes none.
        config: further keys of ``config.json``, such as ``id2label``, or other values. Of families
            whose graph is the same, ``model_type`` chooses: "xlm-roberta" and "camembert" for
            "roberta", "mt5" for "t5".
        task: what the model's own head is for: "sequence_classification",
            "token_classification", "question_answering" or "multiple_choice"; None is the first
            of a pooled vector and the second of all tokens.
        prefix: the prefix that the transformer was built with.
        dtype: stored dtype, "float16", "bfloat16" or "float32"; None keeps that of the variables.
        max_shard_size: bytes in one file, or a text such as "2GB"; None is 5 GB.

    Returns:
        The folder, as text.

    Raises:
        ValueError: no transformer is found in the model, the library has no class for it, or the
            vocabulary is too large. Nothing is written then.
        OSError: the files could not be written.
    """
    tokenizer = None if vocab is None else as_tokenizer(vocab)
    likely = "xlm-roberta" if getattr(tokenizer, "flavour", None) == "xlm_roberta" else None
    export = plan_export(
        model, config=config, task=task, prefix=prefix, dtype=dtype, model_type=likely
    )
    for note in export.notes:
        logger.warning("%s", note)
    write_export(export, folder, vocab=tokenizer, max_shard_size=max_shard_size)
    return str(Path(folder).expanduser())


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
    notes = _differences(found, architecture, parts, gelu)

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
        **(_labels(head) if task_class else {}),
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
    if family == "nezha" and not config.use_relative_position:
        other = find_model("bert")[0]
        return dataclasses.replace(found, family=other), classes.BERT
    return found, architecture_of(family, model_type)


def _parts(found: Extracted) -> set[str]:
    """The parts that the model has beside its body."""
    return {part for layer, part in classes.PARTS.items() if layer in found.layers}


def _is_causal(found: Extracted) -> bool:
    return getattr(found.layers.get("Attention-LM-Mask"), "pattern", None) == "lm"


def _differences(
    found: Extracted, architecture: Architecture, parts: set[str], gelu: str
) -> list[str]:
    """What the library's classes compute in another way; raises where nothing could be right."""
    layers, family = found.layers, found.family.family
    attention = [layer for name, layer in layers.items() if name.endswith("SelfAttention")]
    refused = None
    if any(getattr(layer, "residual_scores", False) for layer in attention):
        refused = "residual_attention_scores"
    elif "Embedding-Token-Segment" in layers and "Embedding-Segment" not in layers:
        refused = "shared_segment_embeddings"
    elif _has_cross_bias(layers.get("Decoder-Embedding-Relative-Position")):
        refused = "cross_position_bias"
    if refused:
        raise ValueError(
            f"the Transformers library has no model of the family {family!r} with {refused}. Save "
            "it in Google's format (save_weights_as_checkpoint) or as a Keras model."
        )
    activation = canonical_names(found.config.hidden_act, gelu=gelu)
    if architecture.fixed_gelu and "mlm" in parts and activation != "gelu_erf":
        raise ValueError(
            f"the MLM head of {architecture.stem} is always gelu (the exact form) in the "
            f"Transformers library, but this model's is {activation!r}. Build it without with_mlm "
            "to save its body."
        )
    notes = []
    pooler = layers.get("Pooler-Dense")
    if pooler is not None and activation_of(pooler) != "tanh":
        notes.append(
            f"the pooler is {activation_of(pooler)!r} here and always tanh there: only the hidden "
            "states are the same."
        )
    if "Attention-UniLM-Mask" in layers:
        notes.append(
            "the mask of UniLM is not saved: there, every token sees every other unless a mask "
            "(batch, length, length) is passed."
        )
    if "Decoder-Output-Scale" in layers and "lm" not in parts:
        notes.append("the decoder's hidden states are multiplied by hidden_size ** -0.5 here only.")
    if family == "nezha":
        notes.append("NEZHA is in transformers 4 (such as 4.41) and no longer in 5.")
    return notes


def _has_cross_bias(layer) -> bool:
    """Whether T5's distances were used between target and source as well."""
    nodes = getattr(layer, "_inbound_nodes", None) or ()
    for node in nodes:
        keywords = getattr(node, "call_kwargs", None)
        if keywords is None:
            keywords = node.arguments.kwargs
        if keywords.get("across"):
            return True
    return False


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


def _labels(head: TaskHead) -> dict[str, Any]:
    """The keys of ``config.json`` about a head's outputs."""
    if head.task in (classes.ANSWER, classes.CHOICE):
        return {}
    names = {str(i): f"LABEL_{i}" for i in range(head.labels)}
    values = {"id2label": names, "label2id": {name: int(i) for i, name in names.items()}}
    if head.task == classes.SEQUENCE:
        problem = "regression" if head.labels == 1 else _PROBLEMS.get(head.activation)
        values.update({"problem_type": problem} if problem else {})
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


def write_export(
    export: Export,
    folder: str | os.PathLike,
    *,
    vocab=None,
    max_shard_size: int | str | None = None,
    files: Mapping[str, bytes] | None = None,
) -> list[str]:
    """Writes what was planned: a new folder whole, or files of an old one one after the other.

    Args:
        export: of :func:`plan_export`.
        folder: as of :func:`save_as_huggingface`.
        vocab: as there.
        max_shard_size: as there.
        files: further ones, contents by name.

    Returns:
        The names of the files beside the weights.

    Raises:
        ValueError: as there.
        OSError: as there.
    """
    target = Path(folder).expanduser()
    if target.exists() and not target.is_dir():
        raise ValueError(f"{target} is a file. Give a folder, which is made if it is not there.")
    if not export.tensors:
        raise ValueError(f"there is nothing to write to {target}.")
    files = dict(files or {})
    if vocab is not None:
        rows, length = export.config["vocab_size"], _max_length(export.config)
        files.update(huggingface_files(vocab, rows, length))
    safetensors_writing.parse_size(max_shard_size)  # before anything is made
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as temporary:
        whole = Path(temporary) / target.name
        whole.mkdir(mode=0o755)
        written = safetensors_writing.write(whole, export.tensors, max_shard_size)
        for name, content in {**files, CONFIG_NAME: json_file(export.config)}.items():
            (whole / name).write_bytes(content)
        for path in whole.iterdir():
            path.chmod(0o644)  # whatever the library that wrote it thinks
        _move(whole, target, [*files, *written, CONFIG_NAME], written)
    logger.info("%d tensors written to %s (%s)", len(export.tensors), target, export.class_name)
    return sorted([*files, CONFIG_NAME])


def _move(whole: Path, target: Path, names: list[str], weights: list[str]) -> None:
    """Puts a finished folder, or its files in this order, where they belong."""
    with contextlib.suppress(OSError):  # a folder that is there and not empty
        os.replace(whole, target)
        return
    for name in names:
        os.replace(whole / name, target / name)
        if name == weights[-1]:  # what the new weights replace would be read in their place
            for path in list(target.iterdir()):
                if safetensors_writing.is_weights_file(path.name) and path.name not in weights:
                    path.unlink()


def _max_length(config: Mapping[str, Any]) -> int | None:
    """Most tokens that a model takes; None for any number."""
    length = config.get("max_position_embeddings")
    if length is None or config["model_type"] in ("nezha", "xlnet"):
        return None
    first = {"roberta", "xlm-roberta", "camembert", "xlm-roberta-xl"}
    return length - config["pad_token_id"] - 1 if config["model_type"] in first else length
