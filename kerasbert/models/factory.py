"""``build_transformer_model``: from a published checkpoint to a ``keras.Model`` in one call."""

from __future__ import annotations

import contextlib
import difflib
import logging
import re
from collections.abc import Callable, Mapping
from typing import Any

from kerasbert.checkpoints.google import GoogleCheckpoint
from kerasbert.checkpoints.loading import ArrayTensors, TensorSource, assign, bind
from kerasbert.checkpoints.mapping import TokenSelection, expand
from kerasbert.checkpoints.report import LoadReport
from kerasbert.checkpoints.source import CheckpointFiles, find_checkpoint
from kerasbert.config import ALIASES, FIELD_NAMES, ConfigError, TransformerConfig, check_keywords
from kerasbert.layers import skip_initialization
from kerasbert.models import hints
from kerasbert.models.bert import BERT
from kerasbert.models.transformer import Transformer

logger = logging.getLogger("kerasbert")

_FAMILIES: dict[str, tuple[type[Transformer], dict[str, Any]]] = {}


def register_model(name: str, family: type[Transformer], **defaults) -> None:
    """Makes a family known to :func:`build_transformer_model` under a name.

    Args:
        name: the value of ``model=``; lower case.
        family: a subclass of ``Transformer``.
        **defaults: options that the name stands for, such as ``application="unilm"``.
    """
    _FAMILIES[name.lower()] = (family, defaults)


def list_models() -> list[str]:
    """The names that ``model=`` may have."""
    return sorted(_FAMILIES)


register_model("bert", BERT)
# Chinese "RoBERTa" checkpoints (HFL wwm-ext, roberta_zh, Zhuiyi) are BERT in names and graph.
register_model("roberta", BERT)
register_model("unilm", BERT, application="unilm")


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
        config: path of the json, a dict, a folder or archive (then also the checkpoint, unless one is
            given), or None: then it is looked for beside the checkpoint.
        checkpoint: a prefix such as ``.../bert_model.ckpt``, one of its files, a folder, a ``.zip`` or
            ``.tar.gz``, a dict of arrays by checkpoint name, or None for untrained weights.
        model: the family, one of :func:`list_models`, or a subclass of ``Transformer``; None infers it
            from the checkpoint's variables and says so in a log line.
        application: "encoder" (default), "lm" (left to right) or "unilm" (seq2seq mask); the last two
            have the MLM head always.
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
        A functional ``keras.Model`` with inputs [token_ids, segment_ids] (integer, (batch, length)).

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

    if checkpoint is None and config is None:
        files = CheckpointFiles()
    else:
        files = find_checkpoint(checkpoint, config)
    source = _open(files)
    family, preset = _family(model, files, source)
    for key, value in preset.items():
        if options.setdefault(key, value) != value:
            raise ValueError(
                f"model={model!r} means {key}={value!r}. Received: {key}={options[key]!r}"
            )

    check_keywords(
        options, family.accepted_options() | FIELD_NAMES | set(ALIASES), "build_transformer_model()"
    )
    overrides = {
        ALIASES.get(k, k): v for k, v in options.items() if ALIASES.get(k, k) in FIELD_NAMES
    }
    structure = {k: v for k, v in options.items() if ALIASES.get(k, k) not in FIELD_NAMES}
    settings = _settings(family, files, source, overrides)

    transformer = family(settings, **structure)
    # Initial values are only needed where not every variable is sure to be assigned.
    with skip_initialization() if source is not None and strict else contextlib.nullcontext():
        transformer.build()
    if source is not None:
        load_weights(transformer, source, files.name, strict=strict, overrides=frozenset(overrides))
    return transformer.model if return_keras_model else transformer


def load_weights(
    transformer: Transformer,
    source: TensorSource,
    name: str,
    *,
    strict: bool = True,
    overrides: frozenset[str] = frozenset(),
) -> LoadReport:
    """Loads a source of tensors into a built transformer, exactly.

    Args:
        transformer: a family's object after ``build``.
        source: the tensors.
        name: of the checkpoint, for messages.
        strict: whether a difference is an error or a warning.
        overrides: configuration fields that the caller set by hand: a table made shorter, or fewer
            blocks than the checkpoint has, is then meant.

    Returns:
        What was loaded and what was not.

    Raises:
        CheckpointMismatchError: with ``strict``, for any difference.
    """
    config = transformer.config
    optional = list(transformer.optional_tensors)
    if "num_hidden_layers" in overrides:
        optional.append(_blocks_from(transformer, config.num_hidden_layers))
    if config.type_vocab_size == 0:
        optional += [re.escape(row.tensor) for row in transformer.rows
                     if row.variable.startswith("Embedding-Segment/")]  # fmt: skip
    tables = {
        "max_position_embeddings": "Embedding-Position",
        "type_vocab_size": "Embedding-Segment",
    }
    cut = frozenset(f"{layer}/embeddings" for key, layer in tables.items() if key in overrides)
    tokens = TokenSelection(transformer.keep_tokens, transformer.compound_tokens)
    report, plan = bind(
        transformer.variables(),
        expand(transformer.rows, config.num_hidden_layers),
        source,
        tokens=tokens,
        optional=optional,
        cut=cut,
    )
    if not report.exact:
        report.hints = hints.for_report(report, source, transformer)
        error = report.error(name, transformer.family)
        if strict:
            raise error
        logger.warning("%s", error)
    assign(plan, source, tokens)
    logger.info("%s: %s (%s)", name, report.summary(), transformer.family)
    return report


def _one_of(new, old, new_name: str, old_name: str):
    if new is not None and old is not None:
        raise TypeError(f"{old_name} is the old name of {new_name}: give only one of them.")
    return old if new is None else new


def _open(files: CheckpointFiles) -> TensorSource | None:
    if files.tensors is not None:
        return ArrayTensors(files.tensors)
    return None if files.prefix is None else GoogleCheckpoint(files.prefix)


def _family(model, files: CheckpointFiles, source: TensorSource | None):
    """The family's class and preset options."""
    if isinstance(model, type) and issubclass(model, Transformer):
        return model, {}
    if model is None:
        name = hints.family_of(source.shapes if source else {}, files.config or {})
        if name not in _FAMILIES:
            raise ValueError(
                f"{files.name or 'This configuration'} looks like a model of the family {name!r}, "
                f"which is not among the registered ones: {', '.join(list_models())}. If it is one "
                "of these all the same, say so with model=..."
            )
        logger.info("model=%r inferred for %s", name, files.name or "the configuration")
        return _FAMILIES[name]
    if not isinstance(model, str) or model.lower() not in _FAMILIES:
        near = difflib.get_close_matches(str(model).lower(), _FAMILIES, n=3)
        hint = f" Did you mean {' or '.join(near)}?" if near else ""
        raise ValueError(f"Unknown model {model!r}.{hint} Registered: {', '.join(list_models())}.")
    return _FAMILIES[model.lower()]


def _settings(family, files, source, overrides: Mapping[str, Any]) -> TransformerConfig:
    """The configuration: the caller's word, then the file's, then what the variables reveal."""
    revealed = family.infer_config(source.shapes) if source else {}
    written = {ALIASES.get(key, key): value for key, value in (files.config or {}).items()}
    if revealed.get("embedding_size") == (overrides.get("hidden_size") or written.get("hidden_size")
                                          or revealed.get("hidden_size")):  # fmt: skip
        revealed.pop("embedding_size", None)
    values = {**revealed, **{k: v for k, v in written.items() if v is not None}, **overrides}
    where = str(files.config_path or files.name or "The configuration")
    if not values:
        raise ConfigError(
            "Neither a config nor a checkpoint was given. Pass config=... (a path or a dict), "
            "checkpoint=..., or the sizes as keyword arguments (vocab_size=..., hidden_size=..., ...)."
        )
    return TransformerConfig.from_dict(values, source=where)


def _blocks_from(transformer: Transformer, first: int) -> str:
    """A regular expression of the tensors of blocks from ``first`` on."""
    patterns = {
        re.escape(row.tensor).replace(r"\{i\}", "{i}")
        for row in transformer.rows
        if "{i}" in row.tensor
    }
    above = f"(?:{'|'.join(str(i) for i in range(first, 1000))})"
    return "|".join(sorted(pattern.replace("{i}", above) for pattern in patterns))
