"""Weights into a model from any source, and out of it in Google's format, by the same rows."""

from __future__ import annotations

import json
import logging
import os
import re
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kerasbert.backend import keras, tf, variable_path
from kerasbert.checkpoints import google
from kerasbert.checkpoints.loading import TensorSource, assign, bind
from kerasbert.checkpoints.mapping import (
    NameTable,
    Op,
    TokenSelection,
    choose_table,
    condition_rows,
    on_save,
)
from kerasbert.checkpoints.report import LoadReport
from kerasbert.config import TransformerConfig
from kerasbert.models import hints, registry
from kerasbert.tokenizers.base import BaseTokenizer
from kerasbert.tokenizers.checking import check_size
from kerasbert.tokenizers.vocabulary import read_tokens, vocabulary_lines, write_whole

if TYPE_CHECKING:
    from kerasbert.models.transformer import Transformer

logger = logging.getLogger("kerasbert")


def variables_by_path(layers: Mapping[str, keras.layers.Layer]) -> dict[str, Any]:
    """The variables of named layers, by path: ``Embedding-Norm/gamma``, ...

    Paths are made of the given names, the sublayers' names and the variables' own: the full names
    that Keras gives differ with the prefix, with the model around, and after ``load_model``.

    Args:
        layers: layers by the names that paths shall begin with.
    """
    found = {}
    for name, layer in layers.items():
        sublayers = [part for part in vars(layer).values() if isinstance(part, keras.layers.Layer)]
        inner = variables_by_path({f"{name}/{part.name}": part for part in sublayers})
        found.update(inner)
        claimed = {id(variable) for variable in inner.values()}
        for variable in layer.weights:
            if id(variable) not in claimed:
                found[f"{name}/{variable_path(variable).rsplit('/', 1)[-1]}"] = variable
    return found


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
    table = choose_table(transformer.tables, source.shapes)
    optional = [*table.optional, *transformer.unused_tensors(table)]
    shortened = overrides & {"num_hidden_layers", "num_decoder_layers"}
    if shortened:
        first = min(getattr(config, name) for name in shortened)
        optional.append(_blocks_from(table, first))
    if config.type_vocab_size == 0:
        optional += [
            re.escape(row.tensor)
            for row in table.rows
            if row.variable.startswith("Embedding-Segment/")
        ]
    cuttable = {
        "max_position_embeddings": "Embedding-Position",
        "type_vocab_size": "Embedding-Segment",
    }
    tokens = TokenSelection(transformer.keep_tokens, transformer.compound_tokens)
    variables = variables_by_path(transformer.layers)
    rows = transformer.rows(table, config, transformer.layers)
    report, plan = bind(
        variables,
        [*rows, *condition_rows(variables, rows)],
        source,
        tokens=tokens,
        optional=optional,
        cut=frozenset(f"{layer}/embeddings" for key, layer in cuttable.items() if key in overrides),
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


def _blocks_from(table: NameTable, first: int) -> str:
    """A regular expression of the tensors of blocks from ``first`` on."""
    patterns = set()
    for row in table.rows:
        field = re.search(r"\{i[^}]*\}", row.tensor)  # {i} or {i:02d}
        if field:
            above = "|".join(field[0].format(i=i) for i in range(first, 1000))
            before, after = row.tensor[: field.start()], row.tensor[field.end() :]
            patterns.add(f"{re.escape(before)}(?:{above}){re.escape(after)}")
    return "|".join(sorted(patterns))


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
    files = {} if vocab is None else _vocabulary_files(vocab, described.vocab_size)
    settings = described.to_dict() if config is None else config
    return _write(path, tensors, {family.config_name: _config_json(settings), **files})


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
        files[name] = _config_json(described.to_dict())
    if vocab is not None:
        files.update(_vocabulary_files(vocab, described.vocab_size))
    return _write(path, tensors, files)


def published_tensors(
    model, *, prefix: str = "", dtype: str | None = None
) -> tuple[type[Transformer], TransformerConfig, dict[str, tf.Tensor]]:
    """The family of a model, its configuration, and its tensors by their published names.

    Args:
        model: as of :func:`save_weights_as_checkpoint`.
        prefix: as there.
        dtype: as there.
    """
    layers = _layers_by_name(model, prefix)
    family = _family_of(model, layers, prefix)
    described = family.describe(layers)
    variables = variables_by_path(layers)
    tensors: dict[str, tf.Tensor] = {}
    rows = family.rows(family.tables[0], described, layers)
    for row in [*rows, *condition_rows(variables, rows)]:
        if row.variable in variables:
            value = on_save(row.op, tf.convert_to_tensor(variables[row.variable]))
            value = value if dtype is None else tf.cast(value, dtype)
            if row.op is Op.STACKED and row.block > 0:
                value = tf.concat([tensors[row.tensor], value], axis=0)
            tensors[row.tensor] = value
    return family, described, tensors


def _config_json(settings: Mapping[str, Any]) -> bytes:
    """The content of a json file."""
    return (json.dumps(dict(settings), indent=2, ensure_ascii=False) + "\n").encode()


def _write(
    path: str | os.PathLike, tensors: Mapping[str, tf.Tensor], files: Mapping[str, bytes]
) -> str:
    """Writes a checkpoint and what lies beside it, or all of it as an archive."""
    target = Path(path).expanduser()
    if target.suffix == ".zip":
        _write_archive(target, tensors, files)
    else:
        google.write(target, tensors)
        for name, content in files.items():
            write_whole(target.parent / name, content)
    logger.info("%d tensors written to %s", len(tensors), target)
    return str(target)


def _layers_by_name(model, prefix: str) -> dict[str, keras.layers.Layer]:
    """Every layer of a model and of models inside it, by name without prefix."""
    if not isinstance(model, keras.layers.Layer):  # a Transformer
        return dict(model.layers)
    found = {}
    for layer in model.layers:
        if layer.name.startswith(prefix):
            found[layer.name[len(prefix) :]] = layer
        if hasattr(layer, "layers"):
            found.update(_layers_by_name(layer, prefix))
    return found


def _family_of(model, layers: Mapping[str, keras.layers.Layer], prefix: str) -> type[Transformer]:
    """The registered family that the token table names; of several, whose rows name most layers."""
    if not isinstance(model, keras.layers.Layer):  # a Transformer
        return type(model)

    def count(family):
        names = {row.variable.split("/")[0].replace("{i}", "0") for row in family.tables[0].rows}
        return len(names & layers.keys())

    named = getattr(layers.get("Embedding-Token"), "family", None)
    families = registry.families()
    best = max([f for f in families if f.family == named] or families, key=count)
    if count(best) < 3:
        where = f" under the prefix {prefix!r}" if prefix else ""
        raise ValueError(
            f"No transformer of this package was found in the model{where}. Its layers: "
            f"{', '.join(list(layers)[:8])}, ... If it was built with a prefix, pass the same "
            "prefix=... here."
        )
    return best


def _vocabulary_files(vocab, rows: int) -> dict[str, bytes]:
    """A vocabulary in any form as files, checked against the embedding."""
    if isinstance(vocab, BaseTokenizer):
        check_size(vocab, rows)
        tokens, files = vocab.all_tokens, {}
        try:
            files = vocab.files()
        except TypeError as error:  # a trained model is not to be lost for the sake of a setting
            logger.warning("only the vocabulary is written: %s", error)
        if files and "vocab.txt" not in files:
            return files
        # Other readers of this format know no second file of added tokens.
        files.pop("added_tokens.json", None)
    else:
        tokens, files = read_tokens(vocab), {}
    if len(tokens) != rows:
        raise ValueError(
            f"The vocabulary has {len(tokens)} tokens but the embedding {rows} rows: this is not "
            "the vocabulary that the model was built for (with keep_tokens, pass the simplified "
            "one)."
        )
    return {**files, "vocab.txt": vocabulary_lines(tokens)}


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


def describe(model, prefix: str = "") -> TransformerConfig:
    """The configuration that a model's layers amount to."""
    layers = _layers_by_name(model, prefix)
    return _family_of(model, layers, prefix).describe(layers)
