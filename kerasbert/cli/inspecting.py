"""A checkpoint described from its names, shapes and json, as its model would be built.

The model is built without values (its variables take no memory, see ``skip_initialization``), so
that what would fit is what fits, in every family; not a weight is read.
"""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from kerasbert.checkpoints import shards
from kerasbert.checkpoints.google import GoogleCheckpoint
from kerasbert.checkpoints.loading import OPTIMIZER_STATE, TensorSource, open_tensors
from kerasbert.checkpoints.report import merge_indices
from kerasbert.checkpoints.source import CheckpointFiles, find_checkpoint
from kerasbert.layers import skip_initialization
from kerasbert.models.factory import inspect_checkpoint
from kerasbert.models.heads import heads_in, titles
from kerasbert.models.weights import compare_weights
from kerasbert.tokenizers.base import BaseTokenizer

# Tensors that are small enough to be read where a file's dtypes are not known otherwise.
_SMALL, _FEW = 65_536, 64


def inspect(path: str, model: str | None = None) -> dict[str, Any]:
    """What a checkpoint is.

    Args:
        path: in any form that ``build_transformer_model`` takes.
        model: the family; None infers it.

    Returns:
        Values for JSON. ``problem`` says why no model can be built, where none can; ``family`` and
        what follows from it are then None.

    Raises:
        CheckpointNotFoundError: there is no checkpoint.
        CheckpointFormatError: it is damaged, or of a format that is not read.
    """
    files = find_checkpoint(path)
    source = open_tensors(files)
    found: dict[str, Any] = {
        "name": files.name,
        "format": _format(files),
        "files": [{"path": str(file), "bytes": file.stat().st_size} for file in _files(files)],
        "config_path": _text(files.config_path),
        "tensors": 0 if source is None else len(source.shapes),
        "dtypes": {} if source is None else stored_dtypes(files, source),
    }
    if source is not None:
        state = [name for name in source.shapes if OPTIMIZER_STATE.fullmatch(name)]
        stored = sum(math.prod(shape) for shape in source.shapes.values())
        slots = sum(math.prod(source.shapes[name]) for name in state)
        found.update(numbers=stored, optimizer_tensors=len(state), optimizer_numbers=slots)
    found.update(_as_model(path, model))
    found["vocabulary"] = _vocabulary(path)
    return found


def _as_model(path: str, model: str | None) -> dict[str, Any]:
    """How the checkpoint becomes a model."""
    names = ("family", "config", "heads", "options", "variables", "parameters", "loads",
             "ignored", "missing", "mismatched", "unexpected")  # fmt: skip
    found: dict[str, Any] = {**dict.fromkeys(names), "hints": [], "problem": None}
    try:
        inspected = inspect_checkpoint(None, path, model)
        source, family = inspected.source, inspected.family
        found["family"] = family.family
        config = inspected.settings()
        found["config"] = {**config.to_dict(), "layer_norm_eps": config.layer_norm_eps}
        heads: dict[str, Any] = {}
        if source is not None:
            heads = heads_in(source.shapes, family, inspected.files.config)
        found["heads"], found["options"] = titles(heads), dict(heads)
        transformer = family(config, **{**inspected.preset, **heads})
        with skip_initialization():
            transformer.build()
    except (TypeError, ValueError) as error:
        found["problem"] = str(error)
        return found
    variables = transformer.model.weights
    found["variables"] = len(variables)
    found["parameters"] = sum(math.prod(variable.shape) for variable in variables)
    if source is None:
        return found
    loaded, _ = compare_weights(transformer, source)
    report = loaded.report
    found.update(
        loads=report.exact,
        ignored=list(report.ignored),
        missing=[{"variable": ours, "tensor": theirs} for ours, theirs in report.missing],
        mismatched=[
            {"variable": ours, "tensor": theirs, "model": list(wanted), "checkpoint": list(shape)}
            for ours, theirs, wanted, shape in report.mismatched
        ],
        unexpected=[{"tensor": name, "shape": list(shape)} for name, shape in report.unexpected],
        hints=list(report.hints),
    )
    return found


def stored_dtypes(files: CheckpointFiles, source: TensorSource) -> dict[str, int]:
    """The number of tensors of each stored dtype, by its name.

    Where a reader does not know it before it reads, a few small tensors are read: biases are
    stored as matrices are.
    """
    if files.prefix is not None:
        kinds: Iterable[str] = (d.name for d in GoogleCheckpoint(files.prefix).dtypes.values())
    elif files.weights is not None and files.weights.name.endswith(
        (".safetensors", ".safetensors.index.json")
    ):
        kinds = _safetensors_dtypes(files.weights)
    else:
        small = [name for name, shape in source.shapes.items() if math.prod(shape) <= _SMALL][:_FEW]
        kinds = (tensor.dtype.name for tensor in source.read(small).values())
    return dict(Counter(kinds).most_common())


def _safetensors_dtypes(path: Path) -> Iterable[str]:
    from safetensors import safe_open

    long = {"F": "float", "BF": "bfloat", "I": "int", "U": "uint"}
    for file in shards.files_of(path, ".safetensors")[0]:
        with safe_open(file, framework="numpy") as tensors:
            for name in tensors.keys():  # noqa: SIM118  (no mapping)
                kind = tensors.get_slice(name).get_dtype()
                letters = kind.rstrip("0123456789")
                yield long.get(letters, letters.lower()) + kind[len(letters) :]


def _format(files: CheckpointFiles) -> str:
    if files.prefix is not None:
        return "TensorFlow checkpoint"
    return files.format.title if files.format is not None else "configuration"


def _files(files: CheckpointFiles) -> list[Path]:
    """The files that the weights are in."""
    if files.prefix is not None:
        prefix = Path(files.prefix)
        begin = f"{prefix.name}."
        return sorted(
            file
            for file in prefix.parent.iterdir()
            if file.name == f"{begin}index" or file.name.startswith(f"{begin}data-")
        )
    if files.weights is None:
        return []
    suffixes = {Path(files.weights.name.replace(".index.json", "")).suffix}
    return shards.files_of(files.weights, suffixes.pop())[0]


def _vocabulary(path: str) -> dict[str, Any] | None:
    """What the vocabulary beside a checkpoint is; None without one."""
    from kerasbert.checkpoints.errors import CheckpointNotFoundError
    from kerasbert.tokenizers.pretrained_files import find_files

    try:
        file = find_files(path).vocabulary
    except CheckpointNotFoundError:
        return None
    try:
        tokenizer = BaseTokenizer.from_pretrained(path)
    except (ImportError, TypeError, ValueError) as error:
        return {"path": str(file), "problem": str(error)}
    config = tokenizer.get_config()
    return {
        "path": str(file),
        "kind": _KINDS.get(type(tokenizer).__name__, type(tokenizer).__name__),
        "size": tokenizer.vocab_size,
        "do_lower_case": config.get("do_lower_case"),
        "flavour": config.get("flavour"),
        "problem": None,
    }


_KINDS = {
    "Tokenizer": "WordPiece",
    "SentencePieceTokenizer": "SentencePiece",
    "ByteLevelBPETokenizer": "byte-level BPE",
}


def _text(path: os.PathLike | None) -> str | None:
    return None if path is None else str(path)


def as_lines(found: Mapping[str, Any]) -> list[str]:
    """The same for people."""
    lines = [str(found["name"])]

    def say(title: str, text: object) -> None:
        lines.append(f"  {title:<11} {text}")

    size = sum(file["bytes"] for file in found["files"])
    say("format", f"{found['format']}" + (f", {size:,} bytes" if found["files"] else ""))
    for file in found["files"]:
        say("", file["path"])
    if found["config_path"]:
        say("json", found["config_path"])
    if found["tensors"]:
        kinds = ", ".join(f"{kind} {count}" for kind, count in found["dtypes"].items())
        say("tensors", f"{found['tensors']:,} with {found['numbers']:,} numbers ({kinds})")
        if found["optimizer_tensors"]:
            say("", f"of these {found['optimizer_tensors']:,} of an optimizer")
    say("family", found["family"] or "unknown")
    if found["parameters"] is not None:
        say("parameters", f"{found['parameters']:,} in {found['variables']:,} variables")
    if found["heads"] is not None:
        options = ", ".join(f"{name}={value!r}" for name, value in found["options"].items())
        say("heads", (", ".join(found["heads"]) or "none") + (f" ({options})" if options else ""))
    for name, value in (found["config"] or {}).items():
        say("config" if name == next(iter(found["config"])) else "", f"{name} = {value!r}")
    say("vocabulary", _vocabulary_line(found["vocabulary"]))
    if found["problem"]:
        say("problem", found["problem"])
    if found["loads"] is not None:
        say("loads", "exactly" if found["loads"] else "no: see below")
        lines += _differences(found)
    lines += [f"  hint: {hint}" for hint in found["hints"]]
    return lines


def _vocabulary_line(vocabulary: Mapping[str, Any] | None) -> str:
    if vocabulary is None:
        return "none beside it"
    if vocabulary["problem"]:
        return f"{vocabulary['path']}: {vocabulary['problem']}"
    case = {True: ", lower-cases", False: ", cased"}.get(vocabulary["do_lower_case"], "")
    return f"{vocabulary['kind']}, {vocabulary['size']:,} tokens{case}: {vocabulary['path']}"


def _differences(found: Mapping[str, Any]) -> list[str]:
    rows = [("ignored", name, "") for name in found["ignored"]]
    rows += [("MISSING", one["tensor"], f"for {one['variable']}") for one in found["missing"]]
    rows += [
        ("MISMATCHED", one["tensor"], f"checkpoint {one['checkpoint']}, model {one['model']}")
        for one in found["mismatched"]
    ]
    rows += [("UNEXPECTED", one["tensor"], str(one["shape"])) for one in found["unexpected"]]
    merged = merge_indices(rows)
    shown, more = merged[:40], len(merged) - 40
    lines = [f"  {kind:<11} {name}  {note}".rstrip() for kind, name, note in shown]
    return [*lines, f"  ... and {more} more lines; all are in --json"] if more > 0 else lines
