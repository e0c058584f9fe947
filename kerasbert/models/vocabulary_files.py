"""The files of a vocabulary that lie beside exported weights, checked against the embedding."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from typing import Any

from kerasbert.tokenizers.base import BaseTokenizer
from kerasbert.tokenizers.checking import check_size
from kerasbert.tokenizers.pretrained import is_cased
from kerasbert.tokenizers.saving import CONFIG_NAME, OWN_SECTION, SPECIAL_TOKENS
from kerasbert.tokenizers.sentencepiece import SentencePieceTokenizer
from kerasbert.tokenizers.tokenizer import Tokenizer
from kerasbert.tokenizers.vocabulary import read_tokens, vocabulary_lines

logger = logging.getLogger("kerasbert")


def json_file(settings: Mapping[str, Any]) -> bytes:
    """The content of a json file."""
    return (json.dumps(dict(settings), indent=2, ensure_ascii=False) + "\n").encode()


def google_files(vocab, rows: int) -> dict[str, bytes]:
    """The files of a vocabulary beside a checkpoint in Google's format.

    Args:
        vocab: a path of a ``vocab.txt``, a list of tokens, a dict of ids, or a tokenizer.
        rows: of the embedding.

    Raises:
        ValueError: the sizes do not fit.
    """
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


def as_tokenizer(vocab) -> BaseTokenizer:
    """The tokenizer of a vocabulary in any form.

    Args:
        vocab: a tokenizer; a path that ``Tokenizer.from_pretrained`` takes; a list of tokens or a
            dict of ids, which is WordPiece, lower-cased unless a word in it has a capital.

    Raises:
        ValueError: it is none of these.
    """
    if isinstance(vocab, BaseTokenizer):
        return vocab
    if isinstance(vocab, (str, os.PathLike)):
        return BaseTokenizer.from_pretrained(vocab)
    tokens = read_tokens(vocab)
    return Tokenizer(tokens, do_lower_case=not is_cased(tokens))


def huggingface_files(vocab, rows: int, max_length: int | None) -> dict[str, bytes]:
    """The files by which the Transformers library makes the same tokenizer.

    Args:
        vocab: as of :func:`as_tokenizer`.
        rows: of the embedding.
        max_length: most tokens that the model takes; None for any number.

    Raises:
        ValueError: the vocabulary has more tokens than the embedding rows, or is a part of a
            SentencePiece model.
        TypeError: the tokenizer calls a function that has no name to write.
    """
    tokenizer = as_tokenizer(vocab)
    check_size(tokenizer, rows)
    files, config = tokenizer.files(), tokenizer.get_config()
    if isinstance(tokenizer, SentencePieceTokenizer) and config["keep_tokens"] is not None:
        raise ValueError(
            "the Transformers library knows SentencePiece models only as a whole, and this "
            "tokenizer keeps a part of one (keep_tokens). Leave vocab out, and save the tokenizer "
            "with tokenizer.save(folder) for this package."
        )
    if "vocab.txt" not in files and isinstance(tokenizer, Tokenizer):
        files["vocab.txt"] = vocabulary_lines(tokenizer.all_tokens)
    settings = json.loads(files[CONFIG_NAME])
    own = settings.pop(OWN_SECTION)
    # A token that the vocabulary lacks would be given an id of its own there.
    settings = {
        name: value
        for name, value in settings.items()
        if name not in SPECIAL_TOKENS or value in tokenizer.token_dict
    }
    for name in ("add_prefix_space", "trim_offsets", "keep_accents", "remove_space"):
        if name in config:
            settings[name] = config[name]
    if settings["tokenizer_class"] == "BertTokenizer" and config.get("pre_tokenize"):
        settings["tokenizer_class"] = "RoFormerTokenizer"  # the one that cuts into words first
    elif settings["tokenizer_class"] == "GPT2Tokenizer" and "unk_token" in settings:
        settings["bos_token"] = settings["eos_token"] = settings["unk_token"]
    elif settings["tokenizer_class"] == "T5Tokenizer":
        settings["eos_token"] = settings.pop("sep_token")
        pieces = tokenizer.vocab_size - len(tokenizer.added_tokens) - tokenizer.piece_count
        settings["extra_ids"] = pieces
    if max_length is not None:
        settings.setdefault("model_max_length", max_length)
    files[CONFIG_NAME] = json_file({**settings, OWN_SECTION: own})
    return files
