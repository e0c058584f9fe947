"""The tokenizers' own files for the rows ``tokenise_bpe`` and ``tokenise_sentencepiece``.

``python -m benchmarks.vocabularies FOLDER --data DIR`` writes

* ``roberta/``: ``vocab.json`` and ``merges.txt``, RoBERTa's if the data has them,
* ``xlmr/``: ``sentencepiece.bpe.model``, a published one if the data has it,

and otherwise made up ones of a like kind. It needs the library ``tokenizers``.
"""

from __future__ import annotations

import argparse
import json
import shutil
import struct
from collections.abc import Iterable
from pathlib import Path

from benchmarks import texts

_ROBERTA_SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
_UNKNOWN, _CONTROL, _NORMAL = 2, 3, 1  # kinds of SentencePiece's pieces
_XLMR_SPECIAL = [("<unk>", _UNKNOWN), ("<s>", _CONTROL), ("</s>", _CONTROL)]


def learn_bpe(size: int) -> tuple[dict[str, int], list[str]]:
    """A byte-level BPE vocabulary and its merges, learned from synthetic English texts."""
    from tokenizers import ByteLevelBPETokenizer

    learner = ByteLevelBPETokenizer()
    (made,) = texts.text_sets("reviews", None, 1_000_000, 1, seed=1, language="en")
    learner.train_from_iterator(made, size, 2, False, _ROBERTA_SPECIAL)
    model = json.loads(learner.to_str())["model"]
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]]
    return model["vocab"], merges


def unigram_model(pieces: Iterable[tuple[str, float, int]]) -> bytes:
    """A SentencePiece model (protocol buffer ModelProto) of (piece, score, kind)."""
    made = bytearray()
    for piece, score, kind in pieces:
        name = piece.encode("utf-8")
        body = b"\x0a" + bytes([len(name)]) + name + b"\x15" + struct.pack("<f", score)
        body += b"\x18" + bytes([kind])
        made += b"\x0a" + bytes([len(body)]) + body
    return bytes(made)


def made_up_unigram_model() -> bytes:
    """Chinese characters, pairs of the most common ones, and what else the texts hold."""
    marks = [chr(code) for code in range(0x21, 0x7F)] + [*"，。！？、：；"]
    characters = [chr(code) for code in range(0x4E00, 0x4E00 + 20_902)]
    pairs = [first + second for first in characters[:100] for second in characters[:100]]
    names = ["▁", *marks, *characters, *pairs]
    pieces = [(name, 0.0, kind) for name, kind in _XLMR_SPECIAL]
    pieces += [(name, -8.0 - 1e-4 * at, _NORMAL) for at, name in enumerate(names)]
    return unigram_model(pieces)


def write_all(folder: Path, data: Path | None) -> None:
    """Writes both folders; each appears only when it is complete."""
    vocabulary, merges = (texts.read_member(data, f"roberta/{n}") for n in _BPE_FILES)
    if vocabulary is None or merges is None:
        made, lines = learn_bpe(30_000)
        vocabulary = json.dumps(made, ensure_ascii=False)
        merges = "\n".join(["#version: 0.2", *lines, ""])
    files = dict(zip(_BPE_FILES, (vocabulary.encode("utf-8"), merges.encode("utf-8"))))
    _write(folder / "roberta", {**files, **_settings("RobertaTokenizer")})

    found = sorted(data.rglob("xlmr/sentencepiece.bpe.model")) if data else []
    model = found[0].read_bytes() if found else made_up_unigram_model()
    files = {"sentencepiece.bpe.model": model, **_settings("XLMRobertaTokenizer")}
    _write(folder / "xlmr", files)


_BPE_FILES = ("vocab.json", "merges.txt")


def _settings(name: str) -> dict[str, bytes]:
    return {"tokenizer_config.json": json.dumps({"tokenizer_class": name}).encode()}


def _write(folder: Path, files: dict[str, bytes]) -> None:
    unfinished = folder.with_name(folder.name + ".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    for name, content in files.items():
        (unfinished / name).write_bytes(content)
    shutil.rmtree(folder, ignore_errors=True)
    unfinished.rename(folder)


def main() -> None:
    """The command line of this module; the harness runs it in this package's environment."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--data", type=Path)
    arguments = parser.parse_args()
    write_all(arguments.folder, arguments.data)


if __name__ == "__main__":
    main()
