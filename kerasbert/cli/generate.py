"""``kerasbert generate``: texts from texts."""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterable, Iterator
from typing import Any

from kerasbert.cli import models, options, reading, writing
from kerasbert.cli.reading import Entry

_EXAMPLES = """\
examples:
  kerasbert generate chinese_simbert_L-12_H-768_A-12.zip --model unilm questions.txt --beams 4
  kerasbert generate uncased_gpt2 --model gpt2 --top-p 0.95 --count 3 --seed 1 < beginnings.txt
  kerasbert generate t5_folder sources.txt --max-new-tokens 64 -o answers.jsonl
"""

# Option, name in GenerationOptions, type, help.
_SETTINGS = (
    ("--max-new-tokens", options.not_negative, "most tokens of a text, its end counted; 32"),
    ("--min-new-tokens", options.not_negative, "tokens before which no text ends"),
    ("--beams", options.positive, "width of the beam search; 1 takes the likeliest token"),
    ("--count", options.positive, "texts for each line: samples, or the best of the beams"),
    ("--top-k", options.not_negative, "draw from the K likeliest tokens"),
    ("--top-p", float, "draw from the likeliest tokens of this probability together"),
    ("--temperature", float, "draw with the logits divided by this"),
    ("--length-penalty", float, "power of the length that a beam's score is divided by"),
    ("--repetition-penalty", float, "above 1 makes tokens that were used unlikelier"),
    ("--no-repeat-ngram", options.not_negative, "no sequence of so many tokens twice"),
    ("--seed", options.not_negative, "of the drawing: the same one draws the same texts"),
    ("--stop", str, "a text at which generation ends"),
)
_NAMES = {"beams": "num_beams", "count": "num_return_sequences"}
_SEEDS = 1_000_000_007
_DRAWING = ("top_k", "top_p", "temperature", "seed")


def add_parser(subparsers) -> argparse.ArgumentParser:
    """Adds the subcommand's options."""
    parser = subparsers.add_parser(
        "generate",
        help="texts that answer or continue texts",
        description="Generates a text for each line: the likeliest, or one that is drawn (--sample,"
        " or any of --top-k, --top-p, --temperature, --seed). An empty line stays empty. In JSON "
        "lines `generated` holds text, score and whether the text ended by itself.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    options.add_model(parser, generates=True)
    reading.add_arguments(parser)
    add = parser.add_argument
    add("--sample", action="store_true", help="draw tokens instead of taking the likeliest")
    for option, kind, meaning in _SETTINGS:
        add(option, type=kind, help=meaning, metavar="TEXT" if kind is str else "N")
    add("--batch-size", type=options.positive, default=16, metavar="N", help="texts at once; 16")
    writing.add_arguments(parser, r"the generated texts, --count of them for each line, \n for a "
                          "line break in them")  # fmt: skip
    return parser


def generation_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """What of the arguments is for the generator, under its names."""
    found = {}
    for option, *_ in _SETTINGS:
        name = option[2:].replace("-", "_")
        value = getattr(arguments, name)
        if value is not None:
            found[_NAMES.get(name, name)] = value
    if arguments.sample or any(name in found for name in _DRAWING):
        found["do_sample"] = True
    return found


def run(arguments: argparse.Namespace) -> int:
    """Generates for all lines."""
    kind = writing.format_of(arguments)
    wanted = generation_options(arguments)
    reading.check_files(arguments.files)
    generator = models.load_generator(arguments, wanted)
    lists = reading.read_entries(arguments.files, arguments.field)
    total = reading.count_lines(arguments.files)
    with writing.open_output(arguments.output) as file, writing.make_progress(total) as progress:
        groups = _groups(lists, 8 * arguments.batch_size, full=arguments.seed is not None)
        for number, entries in enumerate(groups):
            if arguments.seed is not None:  # other numbers than those of the group before
                wanted["seed"] = arguments.seed + number * _SEEDS
            lines = _generated(generator, entries, arguments.batch_size, wanted, kind)
            file.writelines(f"{line}\n" for line in lines)
            file.flush()
            progress.update(len(entries))
    return 0


def _groups(lists: Iterable[list[Entry]], size: int, full: bool) -> Iterator[list[Entry]]:
    """The entries in lists of at most ``size``.

    Args:
        lists: of those that are there at once.
        size: a few batches: texts of like lengths share one, and results come soon.
        full: whether to wait for so many, so that a list does not depend on how fast a pipe is.
    """
    if full:
        entries = itertools.chain.from_iterable(lists)
        while group := list(itertools.islice(entries, size)):
            yield group
    else:
        for entries in lists:
            yield from (entries[at : at + size] for at in range(0, len(entries), size))


def _generated(generator, entries, batch_size: int, wanted: dict[str, Any], kind: str) -> list[str]:
    full = [entry for entry in entries if entry.text.strip()]
    found = generator.generate(
        [entry.text for entry in full], batch_size=batch_size, return_details=True, **wanted
    )
    count = wanted.get("num_return_sequences", 1)
    by_entry = dict(zip(map(id, full), found))
    lines = []
    for entry in entries:
        texts = by_entry.get(id(entry), [])
        texts = texts if isinstance(texts, list) else [texts]
        if kind == "text":
            lines += [writing.one_line(one.text) for one in texts] or [""] * count
            continue
        generated = [
            {"text": one.text, "score": round(one.score, 6), "finished": one.finished}
            for one in texts
        ]
        record = entry.fields or {"text": entry.text}
        lines.append(writing.json_line({**record, "generated": generated}))
    return lines
