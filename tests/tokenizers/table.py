"""Prints how many recorded lines every tokenizer class tokenizes as recorded: equal / lines.

    python -m tests.tokenizers.table [folder of recordings]

Reads ``../shared/golden`` beside the checkout. "python" is a call per text, "batch" one call with
all texts, "offsets" one that asks for offsets as well, "graph" the layer inside a tf.function.
"""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from kerasbert.tokenizers import BaseTokenizer, Tokenizer

MODES = ("python", "batch", "offsets", "graph")
GOLDEN = Path(__file__).resolve().parents[3] / "shared" / "golden"


class Recording(NamedTuple):
    """Recorded lines, and the tokenizer that is to give their ids.

    Attributes:
        name: of the recording.
        make: makes the tokenizer, of the folder ``golden``.
        lines: the file of the lines, below that folder.
        truth: the ids of a line, without or with special tokens.
        with_specials: which of the two.
    """

    name: str
    make: Callable[[Path], BaseTokenizer]
    lines: str
    truth: Callable[[dict], list[int]]
    with_specials: bool = True


def _google(name: str, vocabulary: str, lower: bool) -> Recording:
    def make(golden: Path) -> BaseTokenizer:
        return Tokenizer(golden / "google/tokenization" / vocabulary, do_lower_case=lower)

    path = f"google/tokenization/{name}.jsonl.gz"
    return Recording(f"google {name}", make, path, lambda line: line["ids"], False)


def _google_albert(golden: Path) -> BaseTokenizer:
    from kerasbert.tokenizers import SentencePieceTokenizer

    model = golden / "google/albert_hub/30k-clean.model"
    return SentencePieceTokenizer(model, "albert", replace_quotes=False, keep_special_tokens=False)


def _huggingface(kind: str, truth: Callable[[dict], list[int]]) -> Recording:
    folder = f"huggingface/tokenizers/{kind}"

    def make(golden: Path) -> BaseTokenizer:
        return Tokenizer.from_pretrained(golden / folder, keep_special_tokens=True)

    return Recording(f"huggingface {kind}", make, f"{folder}/cases.jsonl.gz", truth)


def _bert(line: dict) -> list[int]:
    """Google's code is the truth; of special tokens in the text, which it splits, the library."""
    is_special = any(f"[{name}]" in line["text"] for name in ("PAD", "UNK", "CLS", "SEP", "MASK"))
    return line["ids"] if is_special else line.get("ids_google", line["ids"])


def _slow(line: dict) -> list[int]:
    """SentencePiece itself."""
    return line.get("ids_slow", line["ids"])


RECORDINGS = [
    *(
        _google(f"bert_{name}_{case}", vocabulary, case == "lower")
        for name, vocabulary in (
            ("zh21128", "vocab_zh_21128.txt"),
            ("en30522", "vocab_en_uncased_30522.txt"),
        )
        for case in ("lower", "cased")
    ),
    Recording(
        "google albert_spm",
        _google_albert,
        "google/tokenization/albert_spm.jsonl.gz",
        lambda line: line["ids"],
        False,
    ),
    *(_huggingface(kind, _bert) for kind in ("bert_zh", "bert_en", "bert_cased")),
    _huggingface("roberta", lambda line: line["ids"]),
    *(_huggingface(kind, _slow) for kind in ("albert", "xlnet", "xlmr", "t5")),
]


def encode(tokenizer: BaseTokenizer, texts: list[str], mode: str) -> Iterator[list[int]]:
    """The ids of each text, special tokens among them."""
    if mode == "python":
        return (tokenizer(text, return_tensors=None)["token_ids"] for text in texts)
    if mode in ("batch", "offsets"):
        options = {"return_offsets": mode == "offsets", "padding": False}
        return iter(tokenizer(texts, return_tensors=None, **options)["token_ids"])
    from kerasbert.backend import tf

    layer = tf.function(tokenizer.as_layer(return_attention_mask=True))
    ids, _, mask = layer(tf.constant([text.encode("utf-8", "replace") for text in texts]))
    return (row[kept == 1].tolist() for row, kept in zip(ids.numpy(), mask.numpy()))


def compare(recording: Recording, golden: Path, modes: Sequence[str] = MODES) -> Iterator[tuple]:
    """For each mode its name, the lines whose ids are not the recorded ones, and all lines."""
    tokenizer = recording.make(golden)
    template = tokenizer.template
    around = slice(len(template.start), -len(template.end) or None)
    with gzip.open(golden / recording.lines, "rt", encoding="utf-8") as file:
        lines = [json.loads(line) for line in file]
    texts = [line["text"] for line in lines]
    for mode in modes:
        found = encode(tokenizer, texts, mode)
        if not recording.with_specials:
            found = (ids[around] for ids in found)
        differ = [at for at, ids in enumerate(found) if ids != recording.truth(lines[at])]
        yield mode, differ, lines


def main(golden: Path) -> None:
    """Prints the table."""
    print(f"{'recording':28} {'class':24} " + " ".join(f"{mode:>13}" for mode in MODES))
    for recording in RECORDINGS:
        kind, cells = type(recording.make(golden)).__name__, []
        for mode in MODES:
            try:
                ((_, differ, lines),) = compare(recording, golden, [mode])
                cells.append(f"{len(lines) - len(differ)} / {len(lines)}")
            except ImportError:
                cells.append("not installed")
        print(f"{recording.name:28} {kind:24} " + " ".join(f"{cell:>13}" for cell in cells))


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else GOLDEN)
