"""The files of a checkpoint's tokenizer, wherever they lie."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kerasbert.checkpoints import archives
from kerasbert.checkpoints.companions import choose_config, choose_vocab, read_config
from kerasbert.checkpoints.errors import CheckpointNotFoundError
from kerasbert.checkpoints.folders import files_below
from kerasbert.checkpoints.source import as_path, find_checkpoint
from kerasbert.tokenizers.saving import CONFIG_NAME, OWN_SECTION

_MAX_DEPTH = 5  # of folders in folders
_VOCABULARY_FILES = ("vocab.json", "encoder.json", "tokenizer.json", CONFIG_NAME)


@dataclass(frozen=True)
class TokenizerFiles:
    """The files of a tokenizer.

    Attributes:
        vocabulary: the file that decides on the class; others lie beside it.
        model_config: the configuration of the model; empty where there is none.
        name: of the checkpoint, for messages.
    """

    vocabulary: Path
    model_config: Mapping[str, Any] = field(default_factory=dict)
    name: str = ""

    def beside(self, name: str) -> Path:
        """The path of a file in the same folder."""
        return self.vocabulary.with_name(name)

    def read(self, name: str) -> dict[str, Any]:
        """The JSON object in a file of the same folder; empty if it is not there.

        Raises:
            ValueError: the file holds none.
        """
        path = self.beside(name)
        if not path.is_file():
            return {}
        try:
            content = json.loads(path.read_text(encoding="utf-8-sig"))
            if not isinstance(content, dict):
                raise ValueError(f"it holds a {type(content).__name__}")
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{path} is not a JSON object in {{}}: {error}.") from error
        return content

    def settings(self) -> dict[str, Any]:
        """What the tokenizer's configuration and its special tokens say, Hugging Face's names."""
        found = {**self.read(CONFIG_NAME), **self.read("special_tokens_map.json")}
        return {**self._of_module(), **{name: content_of(value) for name, value in found.items()}}

    def _of_module(self) -> dict[str, bool]:
        """What a module of TensorFlow Hub says of the vocabulary among its assets."""
        if self.vocabulary.parent.name != "assets":
            return {}
        from kerasbert.checkpoints import saved_model  # imports TensorFlow

        folder = self.vocabulary.parent.parent
        known = saved_model.is_saved_model(folder)
        lower = saved_model.describe(folder).do_lower_case if known else None
        return {} if lower is None else {"do_lower_case": lower}


def find_files(checkpoint: str | os.PathLike) -> TokenizerFiles:
    """The files of a checkpoint's tokenizer.

    Args:
        checkpoint: an archive, a folder (weights need not be in it), a prefix or file of a
            checkpoint, the name of a published model, or a vocabulary file.

    Raises:
        CheckpointNotFoundError: there are none.
    """
    path = as_path(checkpoint)
    if path.is_file() and (path.suffix in (".txt", ".model") or path.name in _VOCABULARY_FILES):
        return _in_groups([files_below(path.parent, 0)], path.name, path)
    try:
        found = find_checkpoint(checkpoint)
    except CheckpointNotFoundError:
        if path.is_dir():
            root = path
        elif path.is_file() and archives.is_archive(path):
            root = archives.extract(path)
        else:
            raise
        files = files_below(root, _MAX_DEPTH)
        depths = sorted({len(file.parts) for file in files})
        groups = [[file for file in files if len(file.parts) == depth] for depth in depths]
        return _in_groups(groups, path.name)
    weights = found.prefix or found.weights
    if found.vocab_path is None and weights:
        return _in_groups([files_below(Path(weights).parent, 0)], found.name)
    if found.vocab_path is None:
        raise _nothing(found.name)
    return TokenizerFiles(found.vocab_path, found.config or {}, found.name)


def _in_groups(groups, name: str, vocabulary: Path | None = None) -> TokenizerFiles:
    """The vocabulary in the first group of files that has one, and the configuration near it."""
    for files in groups:
        if vocabulary is None:
            vocabulary = choose_vocab([files])
        own = next((path for path in files if path.name == CONFIG_NAME), None)
        if vocabulary is None and own is not None and OWN_SECTION in read_config(own):
            vocabulary = own
        if vocabulary is not None:
            config, _ = choose_config([files], name)
            return TokenizerFiles(vocabulary, read_config(config) if config else {}, name)
    raise _nothing(name)


def _nothing(name: str) -> CheckpointNotFoundError:
    return CheckpointNotFoundError(
        f"No vocabulary lies with {name}: a WordPiece vocab.txt, a SentencePiece *.model, a "
        "vocab.json with merges.txt, or a tokenizer.json. Give its path: "
        "Tokenizer('path/to/vocab.txt')."
    )


def content_of(token):
    """The token itself where a file describes it by a dict."""
    return token["content"] if isinstance(token, Mapping) and "content" in token else token
