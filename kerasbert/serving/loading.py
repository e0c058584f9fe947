"""From a checkpoint, as it was released, to a service."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path

from kerasbert.backend import keras
from kerasbert.models.factory import build_inspected, inspect_checkpoint
from kerasbert.models.heads import pooler_options
from kerasbert.serving.limits import Limits
from kerasbert.serving.service import TextService
from kerasbert.tokenizers import Tokenizer
from kerasbert.tokenizers.base import BaseTokenizer

logger = logging.getLogger("kerasbert")


def load_service(
    checkpoint: str | os.PathLike,
    *,
    model: str | None = None,
    pooling: str | None = None,
    max_length: int = 128,
    dtype: str | None = None,
    layers: int | None = None,
    name: str | None = None,
    corpus: Sequence[str] = (),
    limits: Limits | None = None,
    max_batch: int = 32,
    max_wait: float = 0.005,
) -> TextService:
    """Builds the model of a checkpoint and what can be served of it, ready to answer.

    Args:
        checkpoint: in any form that ``build_transformer_model`` takes, with its vocabulary.
        model: the family; None infers it. One that generates (unilm, gpt, t5) is served with
            ``/generate`` as well.
        pooling: how a text's vector is made: see ``kerasbert.TextEncoder``. None is the pooler
            where the checkpoint has one, or else the mean.
        max_length: most tokens of a text.
        dtype: of the computation.
        layers: the first so many blocks only.
        name: for answers; None is that of the checkpoint.
        corpus: texts that ``/similar`` searches.
        limits: what requests may ask for.
        max_batch: texts computed together.
        max_wait: seconds that a text waits for others.

    Raises:
        OSError: there is no such checkpoint.
        ValueError: it is broken, or gives neither vectors nor texts.
    """
    tokenizer = Tokenizer.from_pretrained(checkpoint)
    options = {"dtype": dtype, "num_hidden_layers": layers}
    found = inspect_checkpoint(None, checkpoint, model)
    published, pooler = found.files.published, pooler_options(found)
    pooling = pooling or ("mean" if pooler is None else "pooler")
    if pooling == "pooler":
        options.update(pooler or {})
    built = build_inspected(found, said=model, **options)
    return make_service(
        built,
        tokenizer,
        pooling=pooling,
        max_length=max_length,
        name=name or (published.name if published else _name_of(checkpoint)),
        corpus=corpus,
        limits=limits,
        max_batch=max_batch,
        max_wait=max_wait,
    )


def make_service(
    model: keras.Model,
    tokenizer: BaseTokenizer,
    *,
    pooling: str = "pooler",
    max_length: int = 128,
    **settings,
) -> TextService:
    """A service of a model at hand; its first answers are computed, so that all is compiled.

    Args:
        model: of ``build_transformer_model``, perhaps trained since.
        tokenizer: the model's.
        pooling: how a text's vector is made.
        max_length: most tokens of a text.
        **settings: as :class:`TextService`.

    Raises:
        ValueError: the model gives neither vectors nor texts.
    """
    reasons = []
    encoder = generator = None
    try:
        encoder = _make_encoder(model, tokenizer, pooling, max_length)
    except ValueError as error:
        reasons.append(f"no vectors: {error}")
    try:
        generator = _make_generator(model, tokenizer)
    except ValueError as error:
        reasons.append(f"no generated texts: {error}")
    if encoder is None and generator is None:
        raise ValueError(" ".join(["the model gives nothing to serve.", *reasons]))
    for reason in reasons:
        logger.info("%s", reason)
    return TextService(encoder, generator, **settings)


def _make_encoder(model, tokenizer, pooling: str, max_length: int):
    from kerasbert.embedding import TextEncoder

    longest = TextEncoder(model, tokenizer, pooling).max_length
    if longest is not None:
        max_length = min(max_length, longest)
    encoder = TextEncoder(model, tokenizer, pooling, max_length=max_length)
    encoder.encode(["a"])
    return encoder


def _make_generator(model, tokenizer):
    from kerasbert.generation import TextGenerator

    generator = TextGenerator(model, tokenizer)
    generator.generate(["a"], max_new_tokens=1)
    return generator


def _name_of(checkpoint) -> str:
    """The name of the archive or folder that a checkpoint is in."""
    path = Path(checkpoint)
    if path.is_dir():
        return path.resolve().name
    if path.suffix in (".zip", ".gz", ".tgz", ".tar"):
        return path.name.split(".zip")[0].split(".tar")[0].split(".tgz")[0]
    return path.resolve().parent.name
