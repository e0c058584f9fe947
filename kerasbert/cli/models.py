"""From what the command line calls a model to the model, ready to work."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from kerasbert.startup import import_models

if TYPE_CHECKING:
    from kerasbert.embedding import TextEncoder
    from kerasbert.generation import TextGenerator


def load_tokenizer(checkpoint: str, **options: Any):
    """The tokenizer of a checkpoint or of a published model.

    TensorFlow is imported only where weights of another format than its own lie with the
    vocabulary: their readers need it to know them.

    Args:
        checkpoint: as the command line has it.
        **options: of ``Tokenizer.from_pretrained``.
    """
    from kerasbert.checkpoints.folders import files_below
    from kerasbert.checkpoints.formats import FORMATS
    from kerasbert.checkpoints.source import as_path
    from kerasbert.tokenizers.base import BaseTokenizer

    path = as_path(checkpoint)
    suffixes = {suffix for each in FORMATS for suffix in each.suffixes}
    files = files_below(path, depth=5) if path.is_dir() else [path]
    if any(file.suffix.lower() in suffixes for file in files):
        import_models()

    return BaseTokenizer.from_pretrained(checkpoint, **options)


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
    tokenizer = load_tokenizer(arguments.checkpoint)
    import_models()
    from kerasbert.embedding import TextEncoder
    from kerasbert.models.factory import build_inspected, inspect_checkpoint
    from kerasbert.models.heads import pooler_options

    options = _options(arguments)
    found = inspect_checkpoint(None, arguments.checkpoint, arguments.model)
    pooler = pooler_options(found)
    pooling = pooling or ("mean" if pooler is None else "pooler")
    if pooling == "pooler":  # without one, loading says what is missing
        options.update(pooler or {"with_pool": True})
    if "pad_token_id" in found.family.config_class.nullable:  # texts of several lengths need one
        no_pad = tokenizer.pad_id is None
        options["pad_token_id"] = tokenizer.stop_id if no_pad else tokenizer.pad_id
    model = build_inspected(found, said=options.pop("model"), **options)
    encoder = TextEncoder(model, tokenizer, pooling, normalize)
    if max_length is not None and max_length < (encoder.max_length or max_length + 1):
        encoder = TextEncoder(model, tokenizer, pooling, normalize, max_length)
    return encoder


def load_generator(arguments: argparse.Namespace, wanted: dict[str, Any]) -> TextGenerator:
    """The generator that the arguments ask for.

    Args:
        arguments: with those of :func:`kerasbert.cli.options.add_model`.
        wanted: options of its calls, refused before anything is loaded if they are wrong.
    """
    import_models()
    from kerasbert.generation import GenerationOptions, TextGenerator
    from kerasbert.models.factory import build_transformer_model

    GenerationOptions.of(wanted)
    tokenizer = load_tokenizer(arguments.checkpoint)
    options = {**_options(arguments), "application": arguments.application}
    return TextGenerator(build_transformer_model(None, arguments.checkpoint, **options), tokenizer)


def _options(arguments: argparse.Namespace) -> dict[str, Any]:
    return {
        "model": arguments.model,
        "dtype": arguments.dtype,
        "num_hidden_layers": arguments.layers,
    }
