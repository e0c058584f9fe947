"""What a checkpoint's names give away: its family, and why it does not fit."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from kerasbert.checkpoints.loading import TensorSource
from kerasbert.checkpoints.report import LoadReport
from kerasbert.models.registry import list_models

# A pattern that some tensor of the family matches and no other family's does; first match wins.
FAMILY_MARKS = (
    (r"(electra|generator|discriminator_predictions)/.*", "electra"),
    (r"bert/encoder/(transformer/group_0|layer_shared)/.*", "albert"),
    (r"model/transformer/.*", "xlnet"),
    (r"encoder/block_000/.*", "t5"),
    (r"(newslm|gpt)/.*", "gpt"),
    (r"bert/embeddings/position_embeddings", "bert"),
    (r"bert/.*", "without absolute positions"),
)


def family_of(names: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    """The family that tensor names, or without tensors the configuration, point to.

    Args:
        names: tensor names of the checkpoint (keys); may be empty.
        config: values of the json; may be empty.

    Returns:
        A family's name; "bert" where nothing points elsewhere.
    """
    for pattern, family in FAMILY_MARKS:
        if any(re.fullmatch(pattern, name) for name in names):
            if family == "without absolute positions":
                return "nezha" if config.get("use_relative_position") else "roformer"
            return family
    if not names:
        if "num_hidden_groups" in config:
            return "albert"
        if config.get("use_relative_position"):
            return "nezha"
        if config.get("model_type") in ("electra", "xlnet", "roformer", "albert", "nezha", "t5"):
            return config["model_type"]
    return "bert"


def for_report(report: LoadReport, source: TensorSource, transformer) -> list[str]:
    """Sentences on the likely causes of a mismatch.

    Args:
        report: what did not fit.
        source: the checkpoint.
        transformer: the model.
    """
    found = []
    object_graph = getattr(source, "hint", lambda: None)()
    if object_graph:
        return [object_graph]
    family = family_of(source.shapes, transformer.config.extra)
    if family != "bert" and family != transformer.family:
        known = family in list_models()
        found.append(
            f"the variables look like those of the family {family!r}"
            + (f": try model={family!r}." if known else ", which this version cannot build yet.")
        )
    missing = [tensor for _, tensor in report.missing]
    if missing and not any(_fits(name, source) for name in ("bert/", "electra/", "cls/")):
        found.append("no variable has a published name; the first in the file are "
                     f"{', '.join(list(source.shapes)[:3])}.")  # fmt: skip
    if "bert/embeddings/token_type_embeddings" in missing:
        found.append("the file has no segment table: pass segment_vocab_size=0.")
    for part, tensors, option in (
        ("MLM head", "cls/predictions/", "with_mlm"),
        ("next sentence head", "cls/seq_relationship/", "with_nsp"),
        ("pooler", "bert/pooler/", "with_pool"),
    ):
        if any(tensor.startswith(tensors) for tensor in missing):
            found.append(
                f"this file has no {part}: it was left out when it was published, or removed by "
                f"fine-tuning. Build without {option}, or take another release."
            )
    if any(name in source.shapes for name in ("output_weights", "cls/squad/output_weights")):
        found.append("this is a fine-tuned checkpoint (it holds a task's output layer), not a "
                     "pretrained one.")  # fmt: skip
    found += _size_hints(report, transformer)
    return found


def _fits(prefix: str, source: TensorSource) -> bool:
    return any(name.startswith(prefix) for name in source.shapes)


def _size_hints(report: LoadReport, transformer) -> list[str]:
    found = []
    config = transformer.config
    for path, tensor, ours, theirs in report.mismatched:
        if path == "Embedding-Token/embeddings" and ours[1:] == theirs[1:]:
            found.append(
                f"the vocabulary sizes differ: {tensor} has {theirs[0]} rows, the config says "
                f"{config.vocab_size}. If the vocabulary file has {theirs[0]} lines, pass "
                f"vocab_size={theirs[0]}."
            )
        if path == "Embedding-Position/embeddings" and ours[1:] == theirs[1:]:
            found.append(
                f"the position table has {theirs[0]} rows, the config says "
                f"{config.max_position_embeddings}: pass max_position_embeddings={theirs[0]}."
            )
        if path == "Embedding-Segment/embeddings" and ours[1:] == theirs[1:]:
            found.append(
                f"the segment table has {theirs[0]} rows, the config says "
                f"{config.type_vocab_size}: pass type_vocab_size={theirs[0]}."
            )
    blocks = [int(m[1]) for name, _ in report.unexpected if (m := re.search(r"layer_(\d+)/", name))]
    if blocks:
        found.append(
            f"the file has {max(blocks) + 1} blocks, the config says {config.num_hidden_layers}. "
            f"To load the first {config.num_hidden_layers} only, pass "
            f"num_hidden_layers={config.num_hidden_layers}; to load all, {max(blocks) + 1}."
        )
    return found
