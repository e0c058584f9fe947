"""Weights out of a model in Google's format, by the rows that they are loaded by."""

from __future__ import annotations

import logging
import os
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kerasbert.backend import tf
from kerasbert.checkpoints import google
from kerasbert.models.extraction import published_tensors
from kerasbert.models.vocabulary_files import google_files, json_file
from kerasbert.tokenizers.vocabulary import write_whole

if TYPE_CHECKING:
    from kerasbert.models.transformer import Transformer

logger = logging.getLogger(__name__)


def save_weights_as_checkpoint(
    model,
    path: str | os.PathLike,
    *,
    vocab=None,
    config: Mapping[str, Any] | None = None,
    prefix: str = "",
    dtype: str | None = None,
) -> str:
    """Saves the pretrained part of a model under the published names, as Google's files.

    Works on any model that holds a transformer of ours: fine-tuned, frozen, cloned, reloaded from
    ``.keras``. Layers that no published name exists for (a classifier's own head) are left out.
    TensorFlow 1.15, bert4keras and this package read the result; a round trip is bit-exact.

    Args:
        model: a ``keras.Model`` or ``Transformer``.
        path: a prefix such as ``out/bert_model.ckpt``: ``bert_config.json`` (and ``vocab.txt``) are
            written beside it. Or a name that ends in ``.zip``: all of them go into that archive.
        vocab: written as ``vocab.txt``: a path, a list of tokens or a dict of ids. Or a tokenizer,
            written with its settings (``tokenizer_config.json``), as ``Tokenizer.from_pretrained``
            reads them.
        config: the content of the json instead of what the layers say.
        prefix: the prefix that the transformer was built with.
        dtype: stored dtype, such as "float32"; None keeps that of the variables.

    Returns:
        The path written.

    Raises:
        ValueError: when no transformer is found in the model, or the vocabulary's size is not
            that of the embedding. Nothing is written then.
    """
    family, described, tensors = published_tensors(model, prefix=prefix, dtype=dtype)
    files = {} if vocab is None else google_files(vocab, described.vocab_size)
    settings = described.to_dict() if config is None else config
    return write_checkpoint(path, tensors, {family.config_name: json_file(settings), **files})


def save_networks_as_checkpoint(
    models: Mapping[str, Transformer],
    path: str | os.PathLike,
    *,
    vocab=None,
    dtype: str | None = None,
) -> str:
    """Saves several networks that share their embeddings in one checkpoint, as ELECTRA's two.

    Args:
        models: by the name of their json, such as ``discriminator.json``; where two have a tensor
            of the same name, it is the same one.
        path: as of :func:`save_weights_as_checkpoint`.
        vocab: as there.
        dtype: as there.

    Returns:
        The path written.

    Raises:
        ValueError: as there.
    """
    tensors, files = {}, {}
    for name, model in models.items():
        _, described, own = published_tensors(model, dtype=dtype)
        tensors.update(own)
        files[name] = json_file(described.to_dict())
    if vocab is not None:
        files.update(google_files(vocab, described.vocab_size))
    return write_checkpoint(path, tensors, files)


def write_checkpoint(
    path: str | os.PathLike, tensors: Mapping[str, tf.Tensor], files: Mapping[str, bytes]
) -> str:
    """Writes a checkpoint and what lies beside it, or all of it as an archive.

    Args:
        path: as of :func:`save_weights_as_checkpoint`.
        tensors: by their published names.
        files: contents by name.

    Returns:
        The path written.
    """
    target = Path(path).expanduser()
    if target.suffix == ".zip":
        _write_archive(target, tensors, files)
    else:
        google.write(target, tensors)
        for name, content in files.items():
            write_whole(target.parent / name, content)
    logger.info("%d tensors written to %s", len(tensors), target)
    return str(target)


def _write_archive(
    target: Path, tensors: Mapping[str, tf.Tensor], files: Mapping[str, bytes]
) -> None:
    """A zip laid out as the published ones: a folder of the archive's name with all files in it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as folder:
        google.write(Path(folder) / "bert_model.ckpt", tensors)
        for name, content in files.items():
            (Path(folder) / name).write_bytes(content)
        temporary = Path(folder) / target.name
        members = sorted(path for path in Path(folder).iterdir() if path.is_file())
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            for member in members:
                archive.write(member, f"{target.stem}/{member.name}")
        os.replace(temporary, target)
