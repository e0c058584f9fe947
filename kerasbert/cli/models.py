"""From what the command line calls a model to the model, ready to work."""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kerasbert.embedding import TextEncoder
    from kerasbert.generation import TextGenerator
    from kerasbert.hub import PublishedModel


@dataclass(frozen=True)
class Located:
    """A model on this machine.

    Attributes:
        path: of the checkpoint.
        published: what is known of it; None where a path was given.
    """

    path: str
    published: PublishedModel | None = None


def is_path(text: str) -> bool:
    """Whether a word names something on this disk, rather than a published model."""
    path = os.path.expanduser(text)
    return os.path.exists(path) or os.path.exists(f"{path}.index")


def locate(text: str) -> Located:
    """A checkpoint by its path, or a published model by its name: downloaded where it is not here.

    What is neither is returned as it is: whoever opens it says best why it cannot be.

    Args:
        text: as the command line has it.

    Raises:
        ModelNotAvailableError: a published model that no address gave.
    """
    if is_path(text):
        return Located(text)
    from kerasbert import hub

    found = hub.resolve(text)
    return Located(text) if found is None else Located(str(found), hub.get(text))


def load_tokenizer(text: str, **options: Any):
    """The tokenizer of a checkpoint or of a published model; without TensorFlow.

    Args:
        text: as the command line has it.
        **options: of ``Tokenizer.from_pretrained``.
    """
    return _tokenizer(locate(text), **options)


def load_encoder(
    arguments: argparse.Namespace, pooling: str | None, max_length: int | None, normalize: bool
) -> TextEncoder:
    """The encoder that the arguments ask for.

    Args:
        arguments: with those of :func:`kerasbert.cli.options.add_model`.
        pooling: as of ``TextEncoder``; None is the pooler where the checkpoint has one, or else the
            mean.
        max_length: most tokens of a text; None is what the model can do.
        normalize: whether vectors have length 1.
    """
    from kerasbert.cli.starting import import_models

    located = locate(arguments.checkpoint)
    tokenizer = _tokenizer(located)
    import_models()
    from kerasbert.embedding import TextEncoder
    from kerasbert.models.factory import build_transformer_model, inspect_checkpoint
    from kerasbert.models.heads import heads_in

    options = _options(arguments, located)
    found = inspect_checkpoint(None, located.path, options["model"])
    if pooling is None and found.source is not None:
        heads = heads_in(found.source.shapes, found.family, found.files.config)
        pooling = "pooler" if heads.get("with_pool") else "mean"
    if pooling == "pooler":
        options["with_pool"] = True
        if located.published is not None:
            options.update(located.published.options)
        elif found.preset.get("application") == "unilm":  # SimBERT's has no activation
            options["with_pool"] = "linear"
    model = build_transformer_model(None, located.path, **options)
    encoder = TextEncoder(model, tokenizer, pooling or "mean", normalize)
    if max_length is not None and max_length < (encoder.max_length or max_length + 1):
        encoder = TextEncoder(model, tokenizer, pooling or "mean", normalize, max_length)
    return encoder


def load_generator(arguments: argparse.Namespace, wanted: dict[str, Any]) -> TextGenerator:
    """The generator that the arguments ask for.

    Args:
        arguments: with those of :func:`kerasbert.cli.options.add_model`.
        wanted: options of its calls, refused before anything is loaded if they are wrong.
    """
    from kerasbert.cli.starting import import_models

    import_models()
    from kerasbert.generation import GenerationOptions, TextGenerator
    from kerasbert.models.factory import build_transformer_model

    GenerationOptions.of(wanted)
    located = locate(arguments.checkpoint)
    tokenizer = _tokenizer(located)
    options = _options(arguments, located)
    model = build_transformer_model(
        None, located.path, application=arguments.application, **options
    )
    return TextGenerator(model, tokenizer)


def _tokenizer(located: Located, **options: Any):
    from kerasbert.tokenizers.base import BaseTokenizer

    return BaseTokenizer.from_pretrained(located.path, **options)


def _options(arguments: argparse.Namespace, located: Located) -> dict[str, Any]:
    family = arguments.model
    if family is None and located.published is not None:
        family = located.published.family
    return {"model": family, "dtype": arguments.dtype, "num_hidden_layers": arguments.layers}
