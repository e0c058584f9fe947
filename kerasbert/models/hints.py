"""Why a checkpoint does not fit: sentences on the likely causes."""

from __future__ import annotations

import re
from collections.abc import Iterable

from kerasbert.checkpoints.loading import TensorSource
from kerasbert.checkpoints.report import LoadReport
from kerasbert.models.registry import find_model, recognize

# Architectures that are not built here, by a tensor that only they have.
_FOREIGN = (
    ("DeBERTa", r"(deberta\.)?encoder\.rel_embeddings\.weight"),
    ("DistilBERT", r"(distilbert\.)?transformer\.layer\.0\.attention\.q_lin\.weight"),
    ("BART", r"(model\.)?(encoder|decoder)\.layers\.0\.self_attn\.k_proj\.weight"),
    ("GPT-J or GPT-Neo", r"(transformer\.)?h\.0\.attn\.(attention\.)?q_proj\.weight"),
    ("BigBird or Longformer", r"(.*\.)?encoder\.layer\.0\.attention\.self\.query_global\.weight"),
)


def foreign_family(names: Iterable[str]) -> str | None:
    """The name of an architecture that this package does not build, if the tensors are of one."""
    names = list(names)
    for family, mark in _FOREIGN:
        if any(re.fullmatch(mark, name) for name in names):
            return family
    return None


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
    foreign = foreign_family(source.shapes)
    if foreign:
        return [f"the variables are those of {foreign}, which this package does not build."]
    family = recognize(source.shapes, transformer.config.extra)
    own = (transformer.family, *transformer.published_with)
    if family is not None and find_model(family)[0].family not in own:
        found.append(
            f"the variables look like those of the family {family!r}: try model={family!r}."
        )
    found += transformer.hints(report, source.shapes)
    missing = [tensor for _, tensor in report.missing]
    if missing and family is None and not (report.loaded or report.mismatched):
        found.append("no variable has a published name; the first in the file are "
                     f"{', '.join(list(source.shapes)[:3])}.")  # fmt: skip
    if any(variable == "Embedding-Segment/embeddings" for variable, _ in report.missing):
        found.append("the file has no segment table: pass segment_vocab_size=0.")
    for part, layers, option in (
        ("MLM head", "MLM-", "with_mlm"),
        ("next sentence head", "NSP-", "with_nsp"),
        ("pooler", "Pooler-", "with_pool"),
    ):
        if any(variable.startswith(layers) for variable, _ in report.missing):
            found.append(
                f"this file has no {part}: it was left out when it was published, or removed by "
                f"fine-tuning. Build without {option}, or take another release."
            )
    if any(name in source.shapes for name in ("output_weights", "cls/squad/output_weights")):
        found.append("this is a fine-tuned checkpoint (it holds a task's output layer), not a "
                     "pretrained one.")  # fmt: skip
    found += _size_hints(report, transformer)
    return found


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
    numbers = (re.search(r"(?:block|layers?)[._]?(\d+)[/.]", name) for name, _ in report.unexpected)
    blocks = [int(match[1]) for match in numbers if match]
    if blocks:
        found.append(
            f"the file has {max(blocks) + 1} blocks, the config says {config.num_hidden_layers}. "
            f"To load the first {config.num_hidden_layers} only, pass "
            f"num_hidden_layers={config.num_hidden_layers}; to load all, {max(blocks) + 1}."
        )
    return found
