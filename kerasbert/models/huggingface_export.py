"""Weights out of a model as a folder that the Transformers library opens."""

from __future__ import annotations

import contextlib
import logging
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kerasbert.checkpoints import safetensors_writing
from kerasbert.models.huggingface_plan import Export, plan_export
from kerasbert.models.vocabulary_files import as_tokenizer, huggingface_files, json_file

logger = logging.getLogger("kerasbert")

CONFIG_NAME = "config.json"


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
    files, config = dict(files or {}), dict(export.config)
    if vocab is not None:
        vocab = as_tokenizer(vocab)
        files.update(huggingface_files(vocab, config["vocab_size"], _max_length(config)))
        if config.get("eos_token_id", 0) is None:  # of GPT: where a text ends, and begins
            config["eos_token_id"] = vocab.stop_id
            config["bos_token_id"] = vocab.stop_id if vocab.start_id is None else vocab.start_id
    safetensors_writing.parse_size(max_shard_size)  # before anything is made
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as temporary:
        whole = Path(temporary) / target.name
        whole.mkdir(mode=0o755)
        written = safetensors_writing.write(whole, export.tensors, max_shard_size)
        for name, content in {**files, CONFIG_NAME: json_file(config)}.items():
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
    length = config.get("max_position_embeddings", config.get("n_positions"))
    if length is None or config["model_type"] in ("nezha", "xlnet"):
        return None
    first = {"roberta", "xlm-roberta", "camembert", "xlm-roberta-xl"}
    return length - config["pad_token_id"] - 1 if config["model_type"] in first else length
