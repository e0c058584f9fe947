"""``build_transformer_model``: from a published checkpoint to a ``keras.Model`` in one call."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from kerasbert.checkpoints.adapting import AdaptedTensors
from kerasbert.checkpoints.loading import TensorSource, open_tensors
from kerasbert.checkpoints.source import CheckpointFiles, find_checkpoint
from kerasbert.config import ConfigError, TransformerConfig
from kerasbert.keywords import check_keywords
from kerasbert.layers import skip_initialization
from kerasbert.models import hints
from kerasbert.models.registry import find_model, list_models, recognize
from kerasbert.models.transformer import Transformer
from kerasbert.models.weights import load_weights

logger = logging.getLogger("kerasbert")

# What packages above this one have to say of a checkpoint that was loaded: a sentence, or None.
NOTES: list[Callable[[Inspected], str | None]] = []


def build_transformer_model(
    config=None,
    checkpoint=None,
    model: str | type[Transformer] | None = None,
    *,
    application: str | None = None,
    return_keras_model: bool = True,
    strict: bool = True,
    config_path=None,
    checkpoint_path=None,
    **options,
):
    """Builds a model and loads a published checkpoint into it, exactly.

    Args:
        config: path of the json, a dict, a folder or archive (then also the checkpoint, unless
            one is given), or None: then it is looked for beside the checkpoint.
        checkpoint: a prefix such as ``.../bert_model.ckpt``, one of its files, a file of
            safetensors, PyTorch, Keras, Hugging Face's TensorFlow or Paddle, the index of several,
            a folder, a ``.zip`` or ``.tar.gz``, a dict of arrays by checkpoint name, or None for
            untrained weights.
        model: the family, one of :func:`list_models`, or a subclass of ``Transformer``; None
            infers it from the checkpoint's variables and says so in a log line.
        application: "encoder" (default), "lm" (left to right) or "unilm" (seq2seq mask); the last
            two have the MLM head always.
        return_keras_model: False returns the ``Transformer`` with its ``model`` and ``layers``.
        strict: whether anything that does not fit is an error; otherwise it is a warning.
        config_path: bert4keras' name of ``config``.
        checkpoint_path: bert4keras' name of ``checkpoint``.
        **options: heads (``with_pool``, ``with_nsp``, ``with_mlm``), structure (``keep_tokens``,
            ``compound_tokens``, ``hierarchical_position``, ``custom_position_ids``,
            ``sequence_length``, ``dtype``, ``prefix``, ``layers``, ``name``, ...; see the family's
            class), and any key of the configuration (``num_hidden_layers=3`` loads the first three
            blocks), under its own or bert4keras' name.

    Returns:
        A functional ``keras.Model`` with inputs [token_ids, segment_ids] (integer, (batch,
        length)); families without segments have token_ids alone.

    Raises:
        CheckpointNotFoundError: nothing is there; says what was found instead.
        CheckpointMismatchError: a variable without a tensor, a tensor without a variable, or other
            shapes; says which, and the likely cause.
        ConfigError: an incomplete or contradictory configuration.
        TypeError: an unknown keyword argument.
    """
    config = _one_of(config, config_path, "config", "config_path")
    checkpoint = _one_of(checkpoint, checkpoint_path, "checkpoint", "checkpoint_path")
    options = {key: value for key, value in options.items() if value is not None}
    if application is not None:
        options["application"] = application

    found = inspect_checkpoint(config, checkpoint, model, **options)
    return build_inspected(
        found, strict=strict, return_keras_model=return_keras_model, said=model, **options
    )


def build_inspected(
    found: Inspected,
    *,
    strict: bool = True,
    return_keras_model: bool = True,
    said: str | type[Transformer] | None = None,
    **options,
):
    """Builds and loads what :func:`inspect_checkpoint` found, whose files are open already.

    Args:
        found: the checkpoint, perhaps with another class in place of its family's.
        strict: as of :func:`build_transformer_model`.
        return_keras_model: as there.
        said: the caller's ``model=``, for messages.
        **options: as there, ``application`` among them.
    """
    options = {key: value for key, value in options.items() if value is not None}
    files, source, family = found.files, found.source, found.family
    for key, value in found.preset.items():
        if options.setdefault(key, value) != value:
            raise ValueError(
                f"model={said or family.family!r} means {key}={value!r}. Received: "
                f"{key}={options[key]!r}"
            )

    fields = family.config_class.field_names()
    named = {"config", "checkpoint", "model", "application", "strict", "return_keras_model"}
    check_keywords(
        options,
        family.accepted_options() | fields | set(family.config_class.aliases) | named,
        "build_transformer_model()",
    )
    canonical = family.config_class.canonical_key
    overrides = {canonical(k): v for k, v in options.items() if canonical(k) in fields}
    structure = {k: v for k, v in options.items() if canonical(k) not in fields}

    transformer = family(found.settings(overrides), **structure)
    transformer.files = files
    # Initial values are only needed where not every variable is sure to be assigned.
    with skip_initialization() if source is not None and strict else contextlib.nullcontext():
        transformer.build()
    if source is not None:
        load_weights(transformer, source, files.name, strict=strict, overrides=frozenset(overrides))
        for note in filter(None, (look(found) for look in NOTES)):
            logger.info("%s: %s", files.name, note)
    return transformer.model if return_keras_model else transformer


@dataclass(frozen=True)
class Inspected:
    """A checkpoint before anything is built.

    Attributes:
        files: what was found, with the configuration that is meant for the family.
        source: the tensors; None when there are only settings.
        family: the class that builds it.
        preset: options that its name stands for.
    """

    files: CheckpointFiles
    source: TensorSource | None
    family: type[Transformer]
    preset: Mapping[str, Any]

    def settings(self, overrides: Mapping[str, Any] | None = None) -> TransformerConfig:
        """The configuration that it is built with.

        Args:
            overrides: fields that the caller sets by hand.

        Raises:
            ConfigError: something is missing or impossible.
        """
        overrides = overrides or {}
        settings = _settings(self.family, self.files, self.source, overrides)
        return self.family.review(settings, self.files, frozenset(overrides))


def inspect_checkpoint(config=None, checkpoint=None, model=None, **options) -> Inspected:
    """What a checkpoint is, as :func:`build_transformer_model` sees it.

    Args:
        config: as there.
        checkpoint: as there.
        model: as there.
        **options: as there; some say which of a family's forms it is.

    Raises:
        CheckpointNotFoundError: as there.
        ValueError: the tensors are of an architecture that is not built here.
    """
    if checkpoint is None and config is None:
        files = CheckpointFiles()
    else:
        files = find_checkpoint(checkpoint, config)
    if files.published is not None:
        model = model or files.published.family
        for warning in files.published.warnings_for(options):
            logger.warning("%s", warning)
    source = open_tensors(files)
    described = getattr(source, "config", None)
    # Some files describe themselves; namings give back what lies beside the file, translated.
    if described and (files.config is None or isinstance(source, AdaptedTensors)):
        files = dataclasses.replace(files, config=dict(described))
    values = {**(files.config or {}), **options}
    family, preset = _family(model, files, source, values)
    family = family.select(source.shapes if source else {}, values)
    files = family.with_own_config(files, source.shapes if source else {})
    return Inspected(files, source, family, preset)


def _one_of(new, old, new_name: str, old_name: str):
    if new is not None and old is not None:
        raise TypeError(f"{old_name} is the old name of {new_name}: give only one of them.")
    return old if new is None else new


def _family(model, files: CheckpointFiles, source: TensorSource | None, config: Mapping[str, Any]):
    """The family's class and preset options."""
    if isinstance(model, type) and issubclass(model, Transformer):
        return model, {}
    if model is not None:
        return find_model(model)
    names = source.shapes if source else ()
    foreign = hints.foreign_family(names)
    if foreign:
        raise ValueError(
            f"{files.name} holds {foreign}, which this package does not build. It builds "
            f"{', '.join(list_models())}."
        )
    name = recognize(names, config) or "bert"
    logger.info("model=%r inferred for %s", name, files.name or "the configuration")
    return find_model(name)


def _settings(family, files, source, overrides: Mapping[str, Any]) -> TransformerConfig:
    """The configuration: the caller's word, then the file's, then what the variables reveal."""
    config_class = family.config_class
    known = {**(files.config or {}), **overrides}
    revealed = family.infer_config(source.shapes, known) if source else {}
    written = {config_class.canonical_key(k): v for k, v in (files.config or {}).items()}
    said = {k: v for k, v in written.items() if v is not None or k in config_class.nullable}
    values = {**revealed, **said, **overrides}
    where = str(files.config_path or files.name or "The configuration")
    if not values:
        raise ConfigError(
            "Neither a config nor a checkpoint was given. Pass config=... (a path or a dict), "
            "checkpoint=..., or the sizes as keyword arguments (vocab_size=..., hidden_size=...)."
        )
    return config_class.from_dict(values, source=where)
