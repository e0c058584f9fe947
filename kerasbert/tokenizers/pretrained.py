"""Which tokenizer a published checkpoint wants, and with what arguments: read off its files."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterable, Mapping
from typing import Any

from kerasbert.checkpoints.errors import CheckpointNotFoundError
from kerasbert.tokenizers.characters import is_cjk
from kerasbert.tokenizers.pretrained_files import TokenizerFiles, content_of, find_files
from kerasbert.tokenizers.saving import CONFIG_NAME, OWN_SECTION, SPECIAL_TOKENS
from kerasbert.tokenizers.vocabulary import read_tokens

logger = logging.getLogger(__name__)

_MAX_LENGTH = 1_000_000  # the Transformers library writes 1e30 for "any"

# A word with a capital; neither "[CLS]" nor the "<S>" of the Chinese vocabulary is one.
_CAPITAL = re.compile(r"(?:##)?[A-Za-z]*[A-Z][A-Za-z]*$").match
_USUAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "<s>", "</s>", "<unk>", "<pad>", "<mask>")
_USUAL += ("<cls>", "<sep>", "<eod>", "<eop>", "<|endoftext|>")
_SENTINEL = re.compile(r"<extra_id_\d+>$").match  # of T5
_MANY_WORDS = 1000  # of several Chinese characters: a vocabulary of words (WoBERT, RoFormer)

# SentencePiece: whose rules, by the class or the model type that a configuration names, by what
# only its sizes are called, and by the name of the model file.
_FLAVOUR_OF_TYPE = {
    "albert": "albert",
    "xlnet": "xlnet",
    "xlmroberta": "xlm_roberta",
    "xlmrobertaxl": "xlm_roberta",
    "rembert": "rembert",
    "debertav2": "deberta_v2",
    "t5": "t5",
    "mt5": "t5",
    "umt5": "t5",
    "longt5": "t5",
}
_FLAVOUR_OF_KEY = {"num_hidden_groups": "albert", "untie_r": "xlnet", "d_kv": "t5"}
_FLAVOUR_OF_FILE = {
    "sentencepiece.bpe.model": "xlm_roberta",
    "30k-clean.model": "albert",
    "spm.model": "deberta_v2",
}


def load_tokenizer(checkpoint: str | os.PathLike, cls: type, options: Mapping[str, Any]):
    """The tokenizer of a checkpoint: see :meth:`Saving.from_pretrained`.

    Args:
        checkpoint: as for :func:`find_files`.
        cls: the class that was asked. ``BaseTokenizer`` and ``Tokenizer`` stand for any.
        options: arguments that come before what the files say.
    """
    from kerasbert.tokenizers.base import BaseTokenizer
    from kerasbert.tokenizers.tokenizer import Tokenizer

    files = find_files(checkpoint)
    own = files.read(CONFIG_NAME).get(OWN_SECTION)
    if isinstance(own, Mapping):
        chosen, arguments = _saved(files, own)
    else:
        chosen, arguments = _published(files, options)
    if issubclass(cls, chosen):
        chosen = cls
    elif cls not in (BaseTokenizer, Tokenizer):
        raise ValueError(
            f"{files.name} is of a {chosen.__name__} ({files.vocabulary.name}), not of a "
            f"{cls.__name__}: call Tokenizer.from_pretrained, which takes the class that fits."
        )
    if "config" in arguments:  # saved without files
        return chosen.from_config({**arguments["config"], **options})
    tokenizer = chosen(**{**arguments, **options})
    if not isinstance(own, Mapping):
        _check_ids(tokenizer, files)
    return tokenizer


def _classes() -> dict[str, type]:
    from kerasbert import tokenizers

    names = ("Tokenizer", "SentencePieceTokenizer", "ByteLevelBPETokenizer")
    return {name: getattr(tokenizers, name) for name in names}


def _saved(files: TokenizerFiles, own: Mapping[str, Any]) -> tuple[type, dict[str, Any]]:
    """Class and arguments as :meth:`Saving.save` wrote them."""
    chosen, config = _classes().get(own.get("class")), own.get("config")
    if chosen is None or not isinstance(config, dict):
        raise ValueError(
            f"{files.beside(CONFIG_NAME)} names the class {own.get('class')!r}: known are "
            f"{list(_classes())}. For a class of your own call its from_config."
        )
    named = own.get("files", {})
    for name in named.values():
        if os.path.basename(name) != name or not files.beside(name).is_file():
            raise CheckpointNotFoundError(f"{name!r} does not lie in {files.vocabulary.parent}.")
    if not named:
        return chosen, {"config": config}
    return chosen, {**config, **{key: files.beside(name) for key, name in named.items()}}


def _published(files: TokenizerFiles, options: Mapping[str, Any]) -> tuple[type, dict[str, Any]]:
    """Class and arguments for the files of a published checkpoint."""
    classes, name = _classes(), files.vocabulary.name
    settings = files.settings()
    arguments: dict[str, Any] = {"added_tokens": _added_tokens(files, settings)}
    length = settings.get("model_max_length")
    if isinstance(length, (int, float)) and 0 < length < _MAX_LENGTH:
        arguments["model_max_length"] = int(length)
    if settings.get("padding_side") in ("left", "right"):
        arguments["padding_side"] = settings["padding_side"]

    kind = files.read("tokenizer.json").get("model", {}) if name == "tokenizer.json" else {}
    if name.endswith(".model"):
        chosen = classes["SentencePieceTokenizer"]
        arguments.update(_sentencepiece(files, settings, options.get("flavour")))
    elif name.endswith(".txt") or _is_wordpiece(kind):
        chosen = classes["Tokenizer"]
        arguments.update(_wordpiece(files, settings, kind, options))
    elif kind.get("type") == "Unigram":
        raise ValueError(
            f"{files.name} holds a SentencePiece model as tokenizer.json only: the *.model file is "
            "needed (spiece.model or sentencepiece.bpe.model of the same checkpoint)."
        )
    else:
        chosen = classes["ByteLevelBPETokenizer"]
        arguments.update(_bytelevel(files))
    return chosen, arguments


def _bytelevel(files: TokenizerFiles) -> dict[str, Any]:
    from kerasbert.tokenizers.bytelevel_bpe import GPT2_TOKENS
    from kerasbert.tokenizers.bytelevel_files import read_folder

    found = read_folder(files.vocabulary.parent)
    is_gpt2 = "<s>" not in found.vocabulary and "<|endoftext|>" in found.vocabulary
    names = GPT2_TOKENS if is_gpt2 else {}
    return {"vocab": found.vocabulary, "merges": found.merges, **names, **found.options}


def _is_wordpiece(model: Mapping[str, Any]) -> bool:
    is_old = "type" not in model and "max_input_chars_per_word" in model
    return model.get("type") == "WordPiece" or is_old


def _wordpiece(
    files: TokenizerFiles,
    settings: Mapping[str, Any],
    model: Mapping[str, Any],
    options: Mapping[str, Any],
) -> dict[str, Any]:
    found = {
        own: settings[name] for name, own in SPECIAL_TOKENS.items() if _is_text(settings, name)
    }
    if model:
        tokens = read_tokens(model.get("vocab") or {})
        if isinstance(model.get("max_input_chars_per_word"), int):
            found["word_maxlen"] = model["max_input_chars_per_word"]
        if isinstance(model.get("unk_token"), str):
            found["token_unk"] = model["unk_token"]
    else:
        tokens = read_tokens(files.vocabulary)
    normalizer = files.read("tokenizer.json").get("normalizer") or {}
    for own, name in (
        ("do_lower_case", "lowercase"),
        ("strip_accents", "strip_accents"),
        ("tokenize_chinese_chars", "handle_chinese_chars"),
    ):
        for value in (settings.get(own), normalizer.get(name)):
            if isinstance(value, bool):
                found[own] = value
                break
    if "do_lower_case" not in found:
        found["do_lower_case"] = not is_cased(tokens)
    if "pre_tokenize" not in options and _holds_words(tokens):
        logger.info("%s: a vocabulary of Chinese words, so texts are cut into words", files.name)
        found["pre_tokenize"] = "auto"
    return {"token_dict": tokens, **found}


def is_cased(tokens: Iterable[str | None]) -> bool:
    """Whether a WordPiece vocabulary is of a cased model: a word in it has a capital letter."""
    return any(_CAPITAL(token) for token in tokens if token)


def _holds_words(tokens: list[str | None]) -> bool:
    words = (token for token in tokens if token and len(token) > 1 and all(map(is_cjk, token)))
    return sum(1 for _ in words) >= _MANY_WORDS


def _sentencepiece(
    files: TokenizerFiles, settings: Mapping[str, Any], flavour: str | None
) -> dict[str, Any]:
    flavour = flavour or _flavour(files, settings)
    found: dict[str, Any] = {"model": files.vocabulary, "flavour": flavour}
    names = {"unk_token": "token_unk", "pad_token": "token_pad"}
    if flavour == "t5":
        names["eos_token"] = "token_end"
    else:
        names.update(sep_token="token_end", mask_token="token_mask")
    if flavour not in ("t5", "xlnet"):
        names["cls_token"] = "token_start"
    found.update({own: settings[name] for name, own in names.items() if _is_text(settings, name)})
    for name in ("do_lower_case", "keep_accents", "remove_space"):
        if isinstance(settings.get(name), bool):
            found[name] = settings[name]
    if flavour == "t5" and isinstance(settings.get("extra_ids"), int):
        found["extra_ids"] = settings["extra_ids"]
    return found


def _flavour(files: TokenizerFiles, settings: Mapping[str, Any]) -> str:
    """Whose rules a SentencePiece model is used by."""
    from kerasbert.tokenizers.sentencepiece_model import read_model, read_pieces

    config, named = files.model_config, str(settings.get("tokenizer_class", ""))
    named = re.sub("(Tokenizer)?(Fast)?$", "", named)
    for name in (named, str(config.get("model_type", ""))):
        flavour = _FLAVOUR_OF_TYPE.get(re.sub("[-_]", "", name.lower()))
        if flavour:
            return flavour
    for key, flavour in _FLAVOUR_OF_KEY.items():
        if key in config:
            return flavour
    name = files.vocabulary.name
    if name in _FLAVOUR_OF_FILE:
        return _FLAVOUR_OF_FILE[name]
    pieces = read_pieces(read_model(files.vocabulary)).names
    if {"<cls>", "<sep>"} <= set(pieces):
        return "xlnet"
    if {"[CLS]", "[SEP]", "[MASK]"} <= set(pieces):
        return "rembert" if name == "sentencepiece.model" else "albert"
    return "t5" if pieces[:2] == ["<pad>", "</s>"] else "plain"


def _ids_of_added(files: TokenizerFiles) -> dict[str, int]:
    """The tokens that files list beside the vocabulary, and their ids."""
    ids = {name: at for name, at in files.read("added_tokens.json").items() if type(at) is int}
    decoder = files.read(CONFIG_NAME).get("added_tokens_decoder")
    for at, token in decoder.items() if isinstance(decoder, Mapping) else ():
        if str(at).isdecimal() and _text(token) is not None:
            ids[_text(token)] = int(at)
    for token in files.read("tokenizer.json").get("added_tokens") or ():
        if isinstance(token, Mapping) and type(token.get("id")) is int and _text(token) is not None:
            ids[_text(token)] = token["id"]
    return ids


def _added_tokens(files: TokenizerFiles, settings: Mapping[str, Any]) -> list[str]:
    """Tokens that are not of the usual kinds, in the order of their ids."""
    ids, usual = _ids_of_added(files), set(_USUAL)
    usual |= {_text(value) for name, value in settings.items() if name.endswith("_token")}
    further = settings.get("additional_special_tokens") or ()
    names = [*sorted(ids, key=ids.__getitem__), *filter(None, map(_text, further))]
    return [name for name in dict.fromkeys(names) if name not in usual and not _SENTINEL(name)]


def _check_ids(tokenizer, files: TokenizerFiles) -> None:
    """Refuses files that give a token another id than the vocabulary leaves it."""
    for token, at in _ids_of_added(files).items():
        if tokenizer.token_dict.get(token, at) != at:
            raise ValueError(
                f"{files.name} lists {token!r} with id {at}, but with {files.vocabulary.name} it "
                f"is {tokenizer.token_dict[token]}: these files are not of the same tokenizer."
            )


def _text(token) -> str | None:
    token = content_of(token)
    return token if isinstance(token, str) else None


def _is_text(settings: Mapping[str, Any], name: str) -> bool:
    return isinstance(settings.get(name), str)
