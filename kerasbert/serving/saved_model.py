"""A model with its tokenizer as a SavedModel: texts in; vectors, classes or texts out."""

from __future__ import annotations

import json
import logging
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import kerasbert
from kerasbert.backend import keras, tensorflow_variable, tf
from kerasbert.serving import signatures as made
from kerasbert.tokenizers.base import BaseTokenizer

logger = logging.getLogger("kerasbert")

OUTPUTS = ("embedding", "classes", "text")
_EXTRA = (
    "assets.extra"  # TensorFlow's name for files that belong to a model and that it never reads
)


def export_saved_model(
    model: keras.Model,
    tokenizer: BaseTokenizer,
    path: str | os.PathLike,
    output: str | Sequence[str] = "embedding",
    *,
    version: int | None = None,
    max_length: int = 128,
    pooling: Any = "pooler",
    normalize: bool = True,
    labels: Sequence[str] | None = None,
    from_logits: bool = False,
    generation: Mapping[str, Any] | None = None,
) -> str:
    """Writes a SavedModel that takes plain texts, for TensorFlow Serving and plain TensorFlow.

    The tokenizer is part of the graph. Whoever loads it needs TensorFlow and tensorflow-text (for
    the operations of WordPiece and SentencePiece; TensorFlow Serving has them built in), and not
    this package. Signatures, by their names:

    ========================  ======================================  ==============================
    output                    signatures                              results
    ========================  ======================================  ==============================
    "embedding"               encode(texts),                          embeddings
                              encode_ids(token_ids, segment_ids)
    "classes"                 classify(texts),                        probabilities, classes
                              classify_pairs(texts, pairs),
                              classify_ids(token_ids, segment_ids)
    "text"                    generate(texts),                        texts (token_ids), scores
                              generate_ids(token_ids, segment_ids)
    any                       tokenize(texts)                         token_ids, segment_ids
    ========================  ======================================  ==============================

    ``serving_default`` is the first one. All of them share one set of variables.

    Args:
        model: with the inputs of ``build_transformer_model``.
        tokenizer: of this package; a ``pre_tokenize`` function cannot be exported.
        path: the model's folder; in it a folder named by the version is made, as TensorFlow Serving
            wants it. It appears whole or not at all, so that a running server never reads half.
        output: one of "embedding", "classes" and "text", or several of them.
        version: of the folder; None is the next one.
        max_length: most tokens of a text, special tokens counted; the rest is left out.
        pooling: of "embedding", as :class:`kerasbert.TextEncoder`.
        normalize: of "embedding": whether vectors are scaled to length 1.
        labels: of "classes": their names in the order of the model's output.
        from_logits: of "classes": whether the model's output still lacks the softmax.
        generation: of "text": options of :func:`kerasbert.generation.generate`.

    Returns:
        The folder written.

    Raises:
        FileExistsError: the version is there.
        ValueError: model, tokenizer and options do not fit each other. Nothing is written then.
    """
    outputs = [output] if isinstance(output, str) else list(output)
    wrong = [one for one in outputs if one not in OUTPUTS]
    if wrong or not outputs:
        raise ValueError(
            f"output must be one or several of {', '.join(OUTPUTS)}. Received: {output!r}"
        )
    made.check(model, tokenizer, max_length)
    target = _version_folder(Path(path).expanduser(), version)
    read = made.TextInput(tokenizer, max_length)
    functions: dict[str, tf.function] = {}
    for one in outputs:
        if one == "embedding":
            functions.update(
                made.embedding_signatures(model, read, pooling=pooling, normalize=normalize)
            )
        elif one == "classes":
            functions.update(
                made.class_signatures(model, read, labels=labels, from_logits=from_logits)
            )
        else:
            functions.update(made.text_signatures(model, tokenizer, read, options=generation or {}))
    functions.update(made.tokenize_signature(read))
    for function in functions.values():  # what does not fit fails here, before anything is written
        function.get_concrete_function()
    module = _Module(model, functions)
    default = next(iter(functions))
    files = {
        "kerasbert.json": _description(outputs, default, functions, max_length, labels),
        **_tokenizer_files(tokenizer),
    }
    _write(module, {**functions, "serving_default": functions[default]}, files, target)
    logger.info("%s: %s", target, ", ".join(functions))
    return str(target)


class _Module(tf.Module):
    """Holds the variables, once, and the functions by name.

    The Keras model itself is not part of it: Keras 2 would write every layer's functions too.
    """

    def __init__(self, model: keras.Model, functions: Mapping[str, tf.function]):
        super().__init__()
        self.weights = [tensorflow_variable(weight) for weight in model.weights]
        for name, function in functions.items():
            setattr(self, name, function)


def _version_folder(folder: Path, version: int | None) -> Path:
    if folder.exists() and not folder.is_dir():
        raise FileExistsError(f"{folder} is a file: the model needs a folder of its own.")
    there = [int(p.name) for p in folder.iterdir() if p.name.isdecimal()] if folder.exists() else []
    if version is None:
        version = max(there, default=0) + 1
    if isinstance(version, bool) or not isinstance(version, int) or version < 0:
        raise ValueError(f"version must be a whole number from 0 on. Received: {version!r}")
    if version in there:
        raise FileExistsError(
            f"{folder} has a version {version} already, which servers may be using: give another "
            f"one, or none for version {max(there) + 1}."
        )
    return folder / str(version)


def _description(outputs, default, functions, max_length, labels) -> bytes:
    content = {
        "kerasbert": kerasbert.__version__,
        "outputs": outputs,
        "serving_default": default,
        "signatures": list(functions),
        "max_length": max_length,
    }
    if labels is not None:
        content["labels"] = list(labels)
    return (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()


def _tokenizer_files(tokenizer: BaseTokenizer) -> dict[str, bytes]:
    return {f"tokenizer/{name}": content for name, content in tokenizer.files().items()}


def _write(module, signatures, files: Mapping[str, bytes], target: Path) -> None:
    """The SavedModel and the files beside it, whole or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    # No server takes this for a version: the name is no number.
    temporary = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
    try:
        tf.saved_model.save(module, str(temporary), signatures=signatures)
        for name, content in files.items():
            place = temporary / _EXTRA / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
        os.chmod(temporary, 0o755)  # mkdtemp makes folders that only the owner may read
        os.rename(temporary, target)
    except AssertionError as error:  # TensorFlow's word for resources that nobody tracks
        raise ValueError(
            f"the model holds something besides variables that cannot be saved: {error}"
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
