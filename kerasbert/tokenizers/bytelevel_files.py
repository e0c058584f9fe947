"""Reads the files of byte-level BPE: of Hugging Face, of OpenAI and of fairseq."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

Merges = list[tuple[str, str]]

_FAIRSEQ_SPECIAL = ("<s>", "<pad>", "</s>", "<unk>")  # ids 0 to 3; its dict.txt does not list them


class BPEFiles(NamedTuple):
    """What the files of a tokenizer say.

    Attributes:
        vocabulary: token to id.
        merges: pairs of tokens to join, the first ones first.
        options: arguments of ``ByteLevelBPETokenizer`` that the files settle.
    """

    vocabulary: dict[str, int]
    merges: Merges
    options: dict[str, Any]


def read_vocabulary(vocabulary: str | os.PathLike | Mapping[str, int]) -> dict[str, int]:
    """Token to id, from a ``vocab.json`` or ``encoder.json`` or as given.

    Raises:
        ValueError: the file is not JSON, or not a mapping of tokens to ids of their own.
    """
    name = "the vocabulary"
    if isinstance(vocabulary, (str, os.PathLike)):
        name = Path(vocabulary).name
        vocabulary = _read_json(Path(vocabulary))
    if not isinstance(vocabulary, Mapping) or not all(
        isinstance(token, str) and type(at) is int and 0 <= at < 1 << 31
        for token, at in vocabulary.items()
    ):
        raise ValueError(
            f"{name} must map tokens to ids (whole numbers from 0 on), as the vocab.json of "
            "RoBERTa does."
        )
    if len(set(vocabulary.values())) < len(vocabulary):
        raise ValueError(f"{name} gives the same id to several tokens.")
    return dict(vocabulary)


def read_merges(merges: str | os.PathLike | Sequence[str | Sequence[str]]) -> Merges:
    """Pairs of tokens, from a ``merges.txt`` or ``vocab.bpe``, from its lines, or as given.

    Raises:
        ValueError: something is not a pair; the message says where.
    """
    name = "merges"
    if isinstance(merges, (str, os.PathLike)):
        name = Path(merges).name
        lines = Path(merges).read_text(encoding="utf-8").split("\n")
        # Only the first line may be a comment: "# #" can be a merge.
        merges = [line for line in lines[lines[0].startswith("#version") :] if line.strip()]
    pairs = []
    for at, merge in enumerate(merges):
        pair = tuple(merge.rstrip("\r").split(" ") if isinstance(merge, str) else merge)
        if len(pair) != 2 or not all(isinstance(token, str) and token for token in pair):
            raise ValueError(f"{name} must hold pairs of tokens, but number {at} is {merge!r}.")
        pairs.append(pair)
    return pairs


def read_folder(folder: str | os.PathLike) -> BPEFiles:
    """The tokenizer of a folder, by its ``vocab.json``, ``tokenizer.json`` or fairseq's files.

    A ``tokenizer_config.json`` beside them is followed as well.

    Raises:
        FileNotFoundError: none of them is there.
        ValueError: a file does not hold what it should.
    """
    folder = Path(folder)
    if (folder / "encoder.json").is_file() and (folder / "dict.txt").is_file():
        return _read_fairseq(folder)
    for vocab, merges in (("vocab.json", "merges.txt"), ("encoder.json", "vocab.bpe")):
        if (folder / vocab).is_file() and (folder / merges).is_file():
            vocabulary = read_vocabulary(folder / vocab)
            if (folder / "added_tokens.json").is_file():
                vocabulary.update(read_vocabulary(folder / "added_tokens.json"))
            found = BPEFiles(vocabulary, read_merges(folder / merges), {})
            break
    else:
        if not (folder / "tokenizer.json").is_file():
            raise FileNotFoundError(
                f"{folder.name} has no byte-level BPE: expected vocab.json with merges.txt, "
                "tokenizer.json, or fairseq's encoder.json with vocab.bpe and dict.txt."
            )
        found = read_tokenizer_json(folder / "tokenizer.json")
    return found._replace(options={**found.options, **_read_options(folder)})


def read_tokenizer_json(path: str | os.PathLike) -> BPEFiles:
    """The tokenizer that a ``tokenizer.json`` of the ``tokenizers`` library describes.

    Raises:
        ValueError: it is of another kind than byte-level BPE with GPT-2's rule for words.
    """
    path = Path(path)
    content = _mapping(_read_json(path))
    model, words = _mapping(content.get("model")), _mapping(content.get("pre_tokenizer"))
    if (
        model.get("type", "BPE") != "BPE"
        or words.get("type") != "ByteLevel"
        or not words.get("use_regex", True)
        or content.get("normalizer") is not None
        or model.get("ignore_merges")
    ):
        raise ValueError(
            f"{path.name} is not GPT-2's or RoBERTa's kind of byte-level BPE: its model is of type "
            f"{model.get('type')!r}, its pre_tokenizer of type {words.get('type')!r}."
        )
    vocabulary = read_vocabulary(model.get("vocab"))
    for token in map(_mapping, content.get("added_tokens") or ()):
        vocabulary[token.get("content")] = token.get("id")
    options = {
        "add_prefix_space": bool(words.get("add_prefix_space")),
        "trim_offsets": bool(_mapping(content.get("post_processor")).get("trim_offsets")),
    }
    return BPEFiles(read_vocabulary(vocabulary), read_merges(model.get("merges") or ()), options)


def _read_options(folder: Path) -> dict[str, Any]:
    """What ``special_tokens_map.json`` and ``tokenizer_config.json`` say, the latter last."""
    options: dict[str, Any] = {}
    names = {"bos": "start", "eos": "end", "unk": "unk", "pad": "pad", "mask": "mask"}
    names.update(cls="start", sep="end")  # of RoBERTa the same tokens; these decide
    for file in ("special_tokens_map.json", "tokenizer_config.json"):
        if not (folder / file).is_file():
            continue
        content = _mapping(_read_json(folder / file))
        for theirs, ours in names.items():
            token = content.get(f"{theirs}_token")
            token = token.get("content") if isinstance(token, dict) else token
            if isinstance(token, str):
                options[f"token_{ours}"] = token
        for name in ("add_prefix_space", "trim_offsets"):
            if isinstance(content.get(name), bool):
                options[name] = content[name]
        if str(content.get("tokenizer_class", "")).startswith("GPT2"):
            options.update(token_start=None, token_end=None)
    return options


def _read_fairseq(folder: Path) -> BPEFiles:
    """Ids of fairseq: special tokens first, then the tokens of ``dict.txt``, GPT-2's ids."""
    of_gpt2 = {at: token for token, at in read_vocabulary(folder / "encoder.json").items()}
    tokens = list(_FAIRSEQ_SPECIAL)
    for line in (folder / "dict.txt").read_text(encoding="utf-8").splitlines():
        entry = line.rpartition(" ")[0]  # then how often it was seen
        token = of_gpt2.get(int(entry)) if entry.isdecimal() else entry
        if not token:
            raise ValueError(f"dict.txt names {entry!r}, which is not in encoder.json.")
        tokens.append(token)
    tokens.append("<mask>")
    vocabulary = read_vocabulary({token: at for at, token in enumerate(tokens)})
    return BPEFiles(vocabulary, read_merges(folder / "vocab.bpe"), {})


def _mapping(value: Any) -> Mapping[str, Any]:
    """The value if it is a mapping, else an empty one, which then lacks what is looked for."""
    return value if isinstance(value, Mapping) else {}


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # not JSON, or not UTF-8
        raise ValueError(f"{path.name} is not a JSON file: {error}") from error
