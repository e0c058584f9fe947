"""``kerasbert encode``: texts to vectors."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from kerasbert.cli import models, options, reading, writing

_EXAMPLES = """\
examples:
  kerasbert encode chinese_simbert_L-12_H-768_A-12.zip --model unilm texts.txt -o vectors.npy
  kerasbert encode bert-base-uncased --pooling mean --format jsonl < texts.txt
  kerasbert encode bert-base-uncased reviews.jsonl --field text -o vectors.jsonl
"""


def add_parser(subparsers) -> argparse.ArgumentParser:
    """Adds the subcommand's options."""
    parser = subparsers.add_parser(
        "encode",
        help="vectors of texts",
        description="Computes a vector for each line, in their order. In JSON lines it stands in "
        "`vector` beside the text, or beside all fields of a line that was JSON already.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    options.add_model(parser)
    reading.add_arguments(parser)
    add_encoding(parser)
    parser.add_argument(
        "--no-normalize", action="store_true", help="leave vectors as they are, not of length 1"
    )
    writing.add_arguments(parser, "the numbers, with spaces", ("text", "jsonl", "npy"))
    return parser


def add_encoding(parser: argparse.ArgumentParser) -> None:
    """Adds how texts become vectors."""
    add = parser.add_argument
    add(
        "--pooling",
        help="pooler, cls, mean, max, last_token, first_last_avg or last2avg; by default the "
        "pooler where the checkpoint has one (linear for unilm, as SimBERT), or else the mean",
    )
    add("--max-length", type=options.positive, metavar="N", help="tokens of a text; the rest is "
        "left out")  # fmt: skip
    add("--batch-size", type=options.positive, metavar="N", help="texts computed at once; by "
        "default as many as suit their lengths")  # fmt: skip


def run(arguments: argparse.Namespace) -> int:
    """Encodes all lines."""
    kind = writing.format_of(arguments)
    reading.check_files(arguments.files)
    encoder = models.load_encoder(
        arguments, arguments.pooling, arguments.max_length, not arguments.no_normalize
    )
    lists = reading.read_entries(arguments.files, arguments.field)
    total = reading.count_lines(arguments.files)
    if kind == "npy":
        with writing.make_progress(total) as progress:
            encoder.encode(
                _texts(lists, progress),
                batch_size=arguments.batch_size,
                show_progress_bar=False,
                output=arguments.output,
            )
        return 0
    with writing.open_output(arguments.output) as file, writing.make_progress(total) as progress:
        for entries in lists:
            vectors = encoder.encode(
                [entry.text for entry in entries],
                batch_size=arguments.batch_size,
                show_progress_bar=False,
            )
            for entry, vector in zip(entries, vectors):
                numbers = writing.short_numbers(vector)
                if kind == "text":
                    line = " ".join(numbers)
                else:
                    record = writing.json_line(entry.fields or {"text": entry.text})
                    line = f'{record[:-1]}, "vector": [{", ".join(numbers)}]}}'
                file.write(f"{line}\n")
            file.flush()
            progress.update(len(entries))
    return 0


def _texts(lists, progress) -> Iterator[str]:
    """The texts one after the other: the encoder reads them as it needs them."""
    for entries in lists:
        for entry in entries:
            yield entry.text
        progress.update(len(entries))
