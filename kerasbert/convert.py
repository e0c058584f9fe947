"""From any format that is read to any that is written, with everything that a file holds."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kerasbert.backend import tf
from kerasbert.checkpoints.errors import CheckpointNotFoundError
from kerasbert.checkpoints.mapping import NameTable, Row
from kerasbert.models.extraction import extract, google_tensors
from kerasbert.models.factory import build_inspected, inspect_checkpoint
from kerasbert.models.google_export import write_checkpoint
from kerasbert.models.heads import heads_in, titles
from kerasbert.models.huggingface_classes import ANSWER, PARTS, SEQUENCE, TOKENS, Architecture
from kerasbert.models.huggingface_export import write_export
from kerasbert.models.huggingface_plan import export_target, plan_export
from kerasbert.models.huggingface_tensors import huggingface_table, lazy
from kerasbert.models.keras_export import save_as_keras
from kerasbert.models.left_over import LeftOver, sort_left_over
from kerasbert.models.registry import find_model, recognize
from kerasbert.models.vocabulary_files import as_tokenizer, google_files, json_file
from kerasbert.tokenizers.base import BaseTokenizer

logger = logging.getLogger("kerasbert")

FORMATS = ("google", "huggingface", "keras")


@dataclass
class ConversionReport:
    """What a conversion did.

    Attributes:
        source: what was read.
        target: what was written.
        to: its format.
        family: our name of the architecture.
        class_name: the class of the Transformers library that opens it; None for other formats.
        heads: that the file holds, in words.
        options: by which ``build_transformer_model`` builds a model with them.
        written: names of the tensors in the new file.
        carried: of these, those that no model of ours holds, with their names in the old file.
        left_out: tensors of the old file that are not in the new one, and why.
        files: that were written beside the weights.
        notes: sentences on what is not the same in the new format.
    """

    source: str
    target: str
    to: str
    family: str
    class_name: str | None = None
    heads: list[str] = field(default_factory=list)
    options: dict[str, Any] = field(default_factory=dict)
    written: list[str] = field(default_factory=list)
    carried: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    files: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        what = f"{self.family}, {self.class_name}" if self.class_name else self.family
        lines = [
            f"{self.source} -> {self.target} ({self.to}; {what})",
            f"  heads: {', '.join(self.heads) or 'none'}",
            f"  {len(self.written)} tensors written",
        ]
        if self.carried:
            lines.append(f"  of these carried over as they are: {', '.join(self.carried)}")
        reasons: dict[str, list[str]] = {}
        for name, reason in self.left_out.items():
            reasons.setdefault(reason, []).append(name)
        for reason, names in reasons.items():
            more = f", ... ({len(names)} in all)" if len(names) > 3 else ""
            lines.append(f"  left out, {reason}: {', '.join(names[:3])}{more}")
        if self.files:
            lines.append(f"  beside them: {', '.join(self.files)}")
        return "\n".join([*lines, *(f"  note: {note}" for note in self.notes)])


def convert(
    source,
    target: str | os.PathLike,
    to: str = "google",
    *,
    config=None,
    model: str | None = None,
    vocab=None,
    dtype: str | None = None,
    max_shard_size: int | str | None = None,
    **options,
) -> ConversionReport:
    """Converts a checkpoint of any format that is read.

    All heads that the file holds go with it. A tensor is left out only for a reason, which the
    report names: optimizer state, copies of tied tables, constants, and heads that the new format
    has no name for.

    Args:
        source: as ``checkpoint`` of :func:`build_transformer_model`.
        target: for "google" a folder (the files are ``bert_model.ckpt`` and its json in it), a
            prefix that ends in ``.ckpt``, or a ``.zip``; for "huggingface" a folder; for "keras"
            a file that ends in ``.weights.h5`` or ``.keras``.
        to: "google", "huggingface" or "keras".
        config: as of :func:`build_transformer_model`.
        model: the family, as there; None is inferred.
        vocab: the vocabulary that is written beside the weights, as of
            :func:`save_as_huggingface`; None is the one that lies beside the source.
        dtype: stored dtype, such as "float16" or "bfloat16"; None is float32, which holds the
            values of smaller ones exactly.
        max_shard_size: bytes in one file of safetensors, or a text such as "2GB".
        **options: further ones of :func:`build_transformer_model`, such as ``hidden_act``.

    Returns:
        What was written, what was left out and why.

    Raises:
        ValueError: an unknown format, a target that does not fit it, or a model that it cannot
            hold. Nothing is written then.
        CheckpointNotFoundError: there is no such source.
        CheckpointMismatchError: the source does not fit its family.
        OSError: the files could not be written.
    """
    path = _check_target(target, to)
    found = inspect_checkpoint(config, source, model, **options)
    if found.source is None:
        raise CheckpointNotFoundError(
            f"{found.files.name or source} holds a configuration but no weights to convert."
        )
    heads = heads_in(found.source.shapes, found.family, found.files.config)
    if dtype in ("float16", "bfloat16"):
        options.setdefault("dtype", dtype)  # half the memory
    transformer = build_inspected(
        found, said=model, return_keras_model=False, **{**heads, **options}
    )
    report = ConversionReport(
        source=found.files.name or "arrays",
        target=str(path),
        to=to,
        family=transformer.family,
        heads=titles(heads),
        options={key: value for key, value in {**heads, **options}.items() if key != "dtype"},
    )
    tokenizer = _tokenizer(vocab, source, report)
    writers = {"google": _to_google, "huggingface": _to_huggingface, "keras": _to_keras}
    writers[to](transformer, path, tokenizer, dtype or "float32", max_shard_size, report)
    logger.info("%s", report)
    return report


def _check_target(target: str | os.PathLike, to: str) -> Path:
    if to not in FORMATS:
        raise ValueError(f"to must be one of {', '.join(FORMATS)}. Received: {to!r}")
    path = Path(target).expanduser()
    if to == "keras" and not path.name.endswith((".weights.h5", ".keras")):
        raise ValueError(
            f"a Keras file ends in .weights.h5 (weights alone) or .keras. Received: {target!r}"
        )
    if to == "huggingface" and path.suffix in (".zip", ".safetensors", ".bin", ".ckpt"):
        raise ValueError(f"for Hugging Face's format give a folder. Received: {target!r}")
    if to == "google" and path.suffix not in (".zip", ".ckpt"):
        path = path / "bert_model.ckpt"
    return path


def _tokenizer(vocab, source, report: ConversionReport) -> BaseTokenizer | None:
    """The vocabulary to write, if there is one."""
    if vocab is not None:
        return as_tokenizer(vocab)
    if isinstance(source, Mapping):
        return None
    try:
        return BaseTokenizer.from_pretrained(source)
    except CheckpointNotFoundError:
        report.notes.append("no vocabulary lies beside the source: none is written.")
    except (ImportError, TypeError, ValueError) as error:
        report.notes.append(f"no vocabulary is written: {error}")
    return None


def _to_google(transformer, path, tokenizer, dtype, _, report: ConversionReport) -> None:
    found = extract(transformer)
    tensors = google_tensors(found, dtype)
    table = found.family.tables[0]
    rows = found.family.rows(table, found.config, found.layers)
    left = _left_over(transformer, "google", table, rows, report)
    tensors.update({name: _cast(value, dtype) for name, value in left.carried.items()})
    # Keys of Google's json that mean nothing here are kept; those of Hugging Face's are not.
    extra = transformer.config.extra
    extra = {} if {"model_type", "architectures"} & extra.keys() else dict(extra)
    settings = {**extra, **found.config.to_dict()}
    inferred = find_model(recognize(tensors, settings) or "bert")[0]
    if inferred.family != found.family.family:
        report.notes.append(
            f"its names are those of {inferred.family!r}: read it with model={report.family!r}."
        )
    files = {found.family.config_name: json_file(settings)}
    files.update(_vocabulary(tokenizer, found.config.vocab_size, report))
    write_checkpoint(path, tensors, files)
    report.written, report.files = sorted(tensors), sorted(files)


def _to_huggingface(
    transformer, path, tokenizer, dtype, max_shard_size, report: ConversionReport
) -> None:
    likely = "xlm-roberta" if getattr(tokenizer, "flavour", None) == "xlm_roberta" else None
    likely = transformer.config.extra.get("model_type") or likely
    found, architecture = export_target(extract(transformer), likely)
    table = huggingface_table(found.family, found.config)
    rows = found.family.rows(table, found.config, found.layers)
    left = _left_over(transformer, "huggingface", table, rows, report)
    parts = {PARTS.get(path.split("/")[0]) for path in left.variables} - {None}
    class_name, settings = _task_class(transformer, architecture, left.carried)
    export = plan_export(
        transformer,
        config=settings,
        dtype=dtype,
        class_name=class_name,
        model_type=likely,
        further_parts=parts,
    )
    carried = {}
    for name, value in left.carried.items():
        name = name[len(export.root) :] if name.startswith(export.root) else name
        carried[name] = lazy(value, dtype=dtype)
    export.tensors.update(carried)
    report.notes += export.notes
    report.files = write_export(export, path, vocab=tokenizer, max_shard_size=max_shard_size)
    report.class_name, report.written = export.class_name, sorted(export.tensors)


def _to_keras(transformer, path, tokenizer, dtype, _, report: ConversionReport) -> None:
    found = extract(transformer)
    _left_over(transformer, "keras", None, [], report)
    files = {found.family.config_name: json_file(found.config.to_dict())}
    files.update(_vocabulary(tokenizer, found.config.vocab_size, report))
    save_as_keras(transformer.model, path, files)
    report.written, report.files = sorted(found.variables), sorted(files)
    report.notes.append(f"built with {report.options or 'no options'}")


def _left_over(
    transformer, to: str, table: NameTable | None, rows: list[Row], report: ConversionReport
) -> LeftOver:
    """What becomes of the tensors that the model has not, also noted in the report."""
    left = sort_left_over(transformer.loaded, to, table, rows, extract(transformer).variables)
    report.carried, report.left_out = left.sources, left.left_out
    return left


def _task_class(
    transformer, architecture: Architecture, carried: Mapping[str, tf.Tensor]
) -> tuple[str | None, dict[str, Any]]:
    """The class for a task's head that is carried over, and what its configuration needs."""
    names = " ".join(carried)
    if not any(word in names for word in ("classifier.", "qa_outputs.", "logits_proj.")):
        return None, {}
    said = (transformer.config.extra.get("architectures") or [""])[0]
    if said.startswith(architecture.stem):
        return said, {}
    pooled = "Pooler-Dense" in transformer.layers or "out_proj" in names or "logits_proj" in names
    task = ANSWER if "qa_outputs." in names else SEQUENCE if pooled else TOKENS
    name = architecture.stem + architecture.tasks[task].suffix
    labels = carried.get("classifier.weight")
    if labels is None or "id2label" in transformer.config.extra:
        return name, {}
    numbered = {str(i): f"LABEL_{i}" for i in range(labels.shape[0])}
    return name, {"id2label": numbered, "label2id": {v: int(k) for k, v in numbered.items()}}


def _vocabulary(tokenizer, rows: int, report: ConversionReport) -> dict[str, bytes]:
    """The files of a vocabulary, also of one that is shorter than the embedding."""
    if tokenizer is None:
        return {}
    try:
        return google_files(tokenizer, rows)
    except ValueError as error:
        report.notes.append(f"the vocabulary does not fill the embedding: {error}")
        return tokenizer.files()


def _cast(value: tf.Tensor, dtype: str) -> tf.Tensor:
    return tf.cast(value, dtype) if value.dtype.is_floating else value
