"""What is measured: the rows, their sizes, and the contenders of each."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

SIDES = {
    "kerasbert": "this package",
    "huggingface": "transformers on PyTorch",
    "keras_hub": "keras-hub on TensorFlow",
    "bert4keras": "bert4keras on TensorFlow 1.15 (Python 3.7)",
    "tf_text": "tensorflow-text's FastBertTokenizer alone: a reference, it returns no lists",
}
BASELINE = "kerasbert"  # ratios are the seconds of a contender over the seconds of this one


@dataclasses.dataclass(frozen=True, order=True)
class Contender:
    """One way to do the work: a side and, where it has several, a mode (``side:mode``)."""

    side: str
    mode: str = ""

    def __str__(self) -> str:
        return f"{self.side}:{self.mode}" if self.mode else self.side

    @classmethod
    def parse(cls, text: str) -> Contender:
        """Reads ``side`` or ``side:mode``.

        Raises:
            ValueError: for a side that does not exist.
        """
        side, _, mode = text.strip().partition(":")
        if side not in SIDES:
            raise ValueError(f"Unknown side in {text!r}. Choose from: {', '.join(SIDES)}.")
        return cls(side, mode)


@dataclasses.dataclass(frozen=True)
class Row:
    """One kind of work.

    Attributes:
        name: what the command line and the results file call it.
        what: one line for the table's head; ``str.format`` fills in the sizes.
        variants: the precisions, or kinds of text, that are measured one after another.
        contenders: who takes part, by variant; ``""`` holds for the variants not named.
        sizes: the full sizes; a full run's numbers are the ones to quote.
        quick: the sizes of ``--quick``.
        cold: every round is a whole new process.
        counted: what is counted by the second, and the sizes whose product is a round's number.
        limit: a contender that only shows what the machine can do; its time over that of another
            one is the other's share of that.
    """

    name: str
    what: str
    variants: tuple[str, ...]
    contenders: Mapping[str, tuple[str, ...]]
    sizes: Mapping[str, int]
    quick: Mapping[str, int]
    cold: bool = False
    counted: tuple[str, tuple[str, ...]] | None = None
    limit: str = ""

    def default_contenders(self, variant: str) -> tuple[Contender, ...]:
        """The contenders of one variant, this package first."""
        names = self.contenders.get(variant, self.contenders.get("", ()))
        return tuple(Contender.parse(name) for name in names)


PRECISIONS = ("float32", "bfloat16")
# Of checkpoints; the peers read two of them at most.
FORMATS = ("google", "safetensors", "bin", "tf_h5", "pdparams")
# How texts are generated, and how many at once.
GENERATION = ("greedy_1", "beam3_1", "greedy_16", "beam3_16")
# What is masked, and how many tokens a sequence has.
MASKS = ("plain_128", "plain_512", "whole_word_128", "whole_word_512")
TEXTS = ("long_text", "reviews", "questions", "single_call")
_TEXT_SIZES = {"characters": 90_000, "rounds": 9, "warmup": 1}
_FEW_TEXTS = {"characters": 20_000, "rounds": 2, "warmup": 1}

ROWS = {
    row.name: row
    for row in (
        Row(
            "load",
            "cold process: import, load, first output of {batch} x {length} tokens",
            ("float32",),
            {"": ("kerasbert", "kerasbert:predict", "huggingface", "keras_hub", "bert4keras")},
            {"batch": 1, "length": 128, "rounds": 7, "warmup": 1},
            {"batch": 1, "length": 32, "rounds": 2, "warmup": 0},
            cold=True,
        ),
        Row(
            "load_formats",
            "cold process: import, load, first output of {batch} x {length} tokens",
            FORMATS,
            {
                "google": ("kerasbert", "bert4keras"),
                "safetensors": ("kerasbert", "huggingface"),
                "bin": ("kerasbert", "huggingface"),
                "": ("kerasbert",),
            },
            {"batch": 1, "length": 128, "rounds": 5, "warmup": 1},
            {"batch": 1, "length": 32, "rounds": 1, "warmup": 0},
            cold=True,
        ),
        Row(
            "forward",
            "forward of {batch} x {length} tokens",
            PRECISIONS,
            {
                "float32": (
                    "kerasbert",
                    "kerasbert:predict",
                    "huggingface",
                    "keras_hub",
                    "keras_hub:predict",
                    "bert4keras",
                ),
                "": (
                    "kerasbert",
                    "kerasbert:predict",
                    "huggingface",
                    "keras_hub",
                    "keras_hub:predict",
                ),
            },
            {"batch": 16, "length": 128, "rounds": 15, "warmup": 2},
            {"batch": 4, "length": 32, "rounds": 3, "warmup": 1},
        ),
        Row(
            "train_step",
            "one training step of {batch} x {length} tokens, AdamW, dropout 0.1",
            PRECISIONS,
            {
                "float32": ("kerasbert", "huggingface", "keras_hub", "bert4keras"),
                "": ("kerasbert", "huggingface", "keras_hub"),
            },
            {"batch": 32, "length": 128, "rounds": 5, "warmup": 1},
            {"batch": 4, "length": 32, "rounds": 2, "warmup": 1},
        ),
        Row(
            "finetune_epoch",
            "one epoch of {examples} sentence pairs at their real lengths, batches of {batch}",
            PRECISIONS,
            {
                "float32": (
                    "kerasbert",
                    "huggingface",
                    "huggingface:group_by_length",
                    "keras_hub",
                    "bert4keras",
                ),
                "": ("kerasbert", "huggingface", "huggingface:group_by_length", "keras_hub"),
            },
            {"examples": 640, "batch": 32, "rounds": 3, "warmup": 1},
            {"examples": 64, "batch": 16, "rounds": 1, "warmup": 1},
        ),
        Row(
            "encode",
            "{questions} questions to sentence vectors (mean of the tokens, length 1)",
            PRECISIONS,
            {"": ("kerasbert", "huggingface")},
            {"questions": 1000, "rounds": 3, "warmup": 1},
            {"questions": 64, "rounds": 2, "warmup": 1},
        ),
        Row(
            "generate",
            "{new_tokens} tokens after {length} (left to right, vocabulary {vocabulary})",
            GENERATION,
            {
                variant: (
                    "kerasbert",
                    "kerasbert:bfloat16",
                    "huggingface",
                    "huggingface:bfloat16",
                    *(("bert4keras",) if variant.endswith("_1") else ()),
                )
                for variant in GENERATION
            },
            {"length": 128, "new_tokens": 32, "vocabulary": 13584, "rounds": 7, "warmup": 1},
            {"length": 16, "new_tokens": 4, "vocabulary": 2000, "rounds": 2, "warmup": 1},
        ),
        Row(
            "masking",
            "{sequences} Chinese sequences masked in batches of {batch}",
            MASKS,
            {
                "": (
                    "kerasbert",
                    "kerasbert:records",
                    "huggingface",
                    "huggingface:pt",
                    "huggingface:workers",
                    "huggingface:function",
                )
            },
            {"sequences": 8192, "batch": 256, "rounds": 5, "warmup": 1},
            {"sequences": 128, "batch": 16, "rounds": 2, "warmup": 1},
            counted=("sequences", ("sequences",)),
        ),
        Row(
            "pretrain_step",
            "one step of masked language modelling, {batch} x {length} tokens, {predictions} "
            "predictions a row, AdamW, no dropout",
            PRECISIONS,
            {
                "": (
                    "kerasbert",
                    "kerasbert:limit",
                    "huggingface",
                    "huggingface:gathered",
                    "keras_hub",
                )
            },
            {"batch": 32, "length": 128, "predictions": 20, "rounds": 5, "warmup": 1},
            {"batch": 4, "length": 32, "predictions": 5, "rounds": 2, "warmup": 1},
            counted=("tokens", ("batch", "length")),
            limit="kerasbert:limit",
        ),
        Row(
            "tokenise",
            "new texts of {characters} characters to token ids",
            TEXTS,
            {
                "": (
                    "kerasbert",
                    "kerasbert:ids",
                    "kerasbert:arrays",
                    "huggingface",
                    "huggingface:tokenizers",
                    "keras_hub",
                    "bert4keras",
                    "tf_text",
                )
            },
            _TEXT_SIZES,
            _FEW_TEXTS,
        ),
        Row(
            "tokenise_bpe",
            "new English texts of {characters} characters to ids of byte-level BPE",
            TEXTS,
            {
                "": (
                    "kerasbert",
                    "kerasbert:ids",
                    "kerasbert:arrays",
                    "huggingface",
                    "huggingface:tokenizers",
                )
            },
            _TEXT_SIZES,
            _FEW_TEXTS,
        ),
        Row(
            "tokenise_sentencepiece",
            "new texts of {characters} characters to ids of SentencePiece (XLM-R)",
            TEXTS,
            {
                "": (
                    "kerasbert",
                    "kerasbert:ids",
                    "kerasbert:arrays",
                    "huggingface",
                    "huggingface:sentencepiece",
                    "huggingface:pieces",
                )
            },
            _TEXT_SIZES,
            _FEW_TEXTS,
        ),
    )
}


def parse_rows(names: Iterable[str]) -> list[Row]:
    """The rows of these names, in the table's order; none or ``all`` means every row.

    Raises:
        ValueError: for a row that does not exist.
    """
    wanted = set(names) or {"all"}
    unknown = wanted - set(ROWS) - {"all"}
    if unknown:
        raise ValueError(f"Unknown rows {sorted(unknown)}. Choose from: all, {', '.join(ROWS)}.")
    return [row for row in ROWS.values() if "all" in wanted or row.name in wanted]


def parse_sizes(row: Row, quick: bool, changes: Iterable[str]) -> dict[str, int]:
    """The sizes of a row: the full or quick ones, changed by ``name=number`` settings.

    A setting that this row does not know is left to the rows that do.

    Raises:
        ValueError: for a setting that is not ``name=positive number``, or that no row knows.
    """
    sizes = dict(row.quick if quick else row.sizes)
    known = {name for other in ROWS.values() for name in other.sizes}
    for change in changes:
        name, _, number = change.partition("=")
        least = 0 if name == "warmup" else 1
        if name not in known or not number.isdecimal() or int(number) < least:
            raise ValueError(
                f"Expected one of {sorted(known)} and a number of at least {least}, "
                f"such as rounds=5. Received: {change!r}"
            )
        if name in sizes:
            sizes[name] = int(number)
    return sizes
