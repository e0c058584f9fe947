"""Tokenizers as configurations and as folders of files."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kerasbert.tokenizers.vocabulary import write_whole

CONFIG_NAME = "tokenizer_config.json"
OWN_SECTION = "kerasbert"  # of that file: what Hugging Face has no names for

# Hugging Face's names for the constructor's.
SPECIAL_TOKENS = {
    "cls_token": "token_start",
    "sep_token": "token_end",
    "unk_token": "token_unk",
    "pad_token": "token_pad",
    "mask_token": "token_mask",
}
_FURTHER = ("do_lower_case", "strip_accents", "tokenize_chinese_chars", "padding_side")


class Saving:
    """Configurations, pickles, saved folders; a mixin of ``BaseTokenizer``."""

    huggingface_class: str | None = None  # named in saved files, for other libraries

    def get_config(self) -> dict[str, Any]:
        """Every argument, with the vocabulary itself in place of a path.

        A subclass adds its own to these, which are those of ``BaseTokenizer``.
        """
        kept = self._keep_special_tokens
        return {
            "token_start": self._token_start,
            "token_end": self._token_end,
            "token_unk": self._token_unk,
            "token_pad": self._token_pad,
            "token_mask": self._token_mask,
            "keep_special_tokens": kept if isinstance(kept, bool) else list(kept),
            "added_tokens": list(self.added_tokens),
            "padding_side": self._padding_side,
            "model_max_length": self.model_max_length,
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]):
        """The tokenizer that :meth:`get_config` describes."""
        return cls(**config)

    def __reduce__(self):
        # Tables and caches are made anew: a pickle for a worker process holds the arguments only.
        return _from_config, (type(self), self.get_config())

    def _vocabulary_files(self) -> dict[str, tuple[str, bytes]]:
        """For arguments that may be files: the file's usual name and its content.

        What is not among them is saved as :meth:`get_config` gives it.
        """
        return {}

    def files(self) -> dict[str, bytes]:
        """The files that :meth:`save` writes, by name."""
        config, vocabulary = self.get_config(), self._vocabulary_files()
        settings = {"tokenizer_class": self.huggingface_class or type(self).__name__}
        settings.update({name: config[own] for name, own in SPECIAL_TOKENS.items()})
        settings.update({name: config[name] for name in _FURTHER if name in config})
        settings["model_max_length"] = self.model_max_length
        settings = {name: value for name, value in settings.items() if value is not None}
        settings[OWN_SECTION] = {
            "class": type(self).__name__,
            "files": {argument: name for argument, (name, _) in vocabulary.items()},
            "config": {name: value for name, value in config.items() if name not in vocabulary},
        }
        files = dict(vocabulary.values())
        files[CONFIG_NAME] = _json(settings)
        if self._new_tokens:
            new = self._tokens[len(self._own_tokens) :]
            files["added_tokens.json"] = _json({token: self._token_dict[token] for token in new})
        return files

    def save(self, folder: str | os.PathLike) -> None:
        """Writes the vocabulary and ``tokenizer_config.json``; ``from_pretrained`` reads them back.

        Each file is written whole or not at all, the configuration last.

        Args:
            folder: is made if it is not there.

        Raises:
            TypeError: the tokenizer calls a function that has no name to write (``pre_tokenize``).
        """
        files = self.files()
        target = Path(folder).expanduser()
        target.mkdir(parents=True, exist_ok=True)
        for name in sorted(files, key=lambda name: name == CONFIG_NAME):
            write_whole(target / name, files[name])

    @classmethod
    def from_pretrained(cls, checkpoint: str | os.PathLike, **options):
        """The tokenizer of a published checkpoint or a saved folder, of the class its files want.

        ``vocab.txt`` is WordPiece, a ``*.model`` SentencePiece, ``vocab.json`` with ``merges.txt``
        byte-level BPE; a ``tokenizer.json`` may stand for any. ``tokenizer_config.json``,
        ``special_tokens_map.json`` and ``added_tokens.json`` are followed. Where no file says
        whether to lower-case, the vocabulary does: one in which a word has a capital letter (A to
        Z) is of a cased model.

        Args:
            checkpoint: an archive, a folder or a prefix, as ``build_transformer_model`` takes it;
                or a vocabulary file.
            **options: as the constructor; they come before what the files say.

        Raises:
            CheckpointNotFoundError: no vocabulary is there.
            ValueError: the files do not fit together, or are not of this class.
        """
        from kerasbert.tokenizers.pretrained import load_tokenizer

        return load_tokenizer(checkpoint, cls, options)


def _json(content: Mapping[str, Any]) -> bytes:
    try:
        return (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()
    except UnicodeEncodeError:  # lone surrogates
        return (json.dumps(content, indent=2) + "\n").encode()
    except TypeError as error:
        raise TypeError(
            f"the tokenizer cannot be saved: {error}. A function given as pre_tokenize has no name "
            'to write: name a segmenter (pre_tokenize="jieba"), or save get_config() yourself.'
        ) from error


def _from_config(cls, config: dict):
    return cls.from_config(config)
