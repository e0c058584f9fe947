"""``kerasbert similar``: cosines of pairs, and the most similar texts of many."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from kerasbert.cli import models, options, reading, writing
from kerasbert.cli.encode import add_encoding

_EXAMPLES = """\
examples:
  kerasbert similar simbert_base --model unilm pairs.tsv
  kerasbert similar simbert_base --model unilm questions.txt --candidates corpus.txt --top-k 5
  kerasbert similar simbert_base --model unilm questions.txt --candidates corpus.txt \\
      --save-index corpus.safetensors
  kerasbert similar simbert_base --model unilm --candidates corpus.safetensors < questions.txt
"""


def add_parser(subparsers) -> argparse.ArgumentParser:
    """Adds the subcommand's options."""
    parser = subparsers.add_parser(
        "similar",
        help="cosines of pairs of texts, or the most similar of many texts",
        description="Without --candidates each line is two texts with a TAB between, and gets "
        "their cosine. With it each line is a query, and gets the most similar candidates, found "
        "exactly.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    options.add_model(parser)
    reading.add_arguments(parser)
    add = parser.add_argument
    add(
        "--candidates",
        "-c",
        type=Path,
        metavar="FILE",
        help="texts, one a line, or an index that --save-index wrote",
    )
    add("--top-k", "-k", type=options.positive, default=10, metavar="K", help="candidates for a "
        "query; 10")  # fmt: skip
    add("--save-index", type=Path, metavar="FILE", help="write the candidates with their vectors, "
        "to search again without encoding them")  # fmt: skip
    add_encoding(parser)
    writing.add_arguments(
        parser, "cosine and both texts, or query, rank, cosine and candidate, with TABs"
    )
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Compares all lines."""
    kind = writing.format_of(arguments)
    searches = arguments.candidates is not None
    if arguments.save_index and not searches:
        raise ValueError("--save-index writes an index of --candidates: give them as well.")
    candidates = _read_candidates(arguments.candidates) if searches else None
    reading.check_files(arguments.files)
    encoder = models.load_encoder(arguments, arguments.pooling, arguments.max_length, True)
    settings = {"batch_size": arguments.batch_size, "show_progress_bar": False}
    index = _index(encoder, candidates, arguments) if searches else None
    lists = reading.read_entries(arguments.files, arguments.field, pairs=not searches)
    total = reading.count_lines(arguments.files)
    with writing.open_output(arguments.output) as file, writing.make_progress(total) as progress:
        for entries in lists:
            if searches:
                lines = _searched(encoder, index, entries, arguments.top_k, settings, kind)
            else:
                lines = _compared(encoder, entries, settings, kind)
            file.writelines(f"{line}\n" for line in lines)
            file.flush()
            progress.update(len(entries))
    return 0


def _compared(encoder, entries, settings, kind: str) -> list[str]:
    """The lines of pairs; that of an empty line is empty."""
    full = [entry for entry in entries if not entry.is_empty]
    # Each text once: queries are often repeated beside several others.
    texts = list(dict.fromkeys(text for entry in full for text in (entry.text, entry.pair)))
    places = {text: at for at, text in enumerate(texts)}
    vectors = encoder.encode(texts, **settings)
    lines = []
    for entry in entries:
        if entry.is_empty:
            lines.append("" if kind == "text" else writing.json_line({"score": None}))
            continue
        score = float(vectors[places[entry.text]] @ vectors[places[entry.pair]])
        if kind == "text":
            lines.append(f"{score:.6f}\t{_cell(entry.text)}\t{_cell(entry.pair)}")
        else:
            record = entry.fields or {"text": entry.text, "pair": entry.pair}
            lines.append(writing.json_line({**record, "score": round(score, 7)}))
    return lines


def _searched(encoder, index, entries, top_k: int, settings, kind: str) -> list[str]:
    """The lines of queries: in text one for each candidate, in JSON one for each query."""
    full = [entry for entry in entries if entry.text.strip()]
    scores, places = index.search(encoder.encode([entry.text for entry in full], **settings), top_k)
    found = dict(zip(map(id, full), zip(scores, places)))
    lines = []
    for entry in entries:
        rows = [
            {"index": int(place), "text": index.texts[place], "score": round(float(score), 7)}
            for score, place in zip(*found.get(id(entry), ((), ())))
        ]
        if kind == "jsonl":
            record = entry.fields or {"text": entry.text}
            lines.append(writing.json_line({**record, "results": rows}))
        elif not rows:
            lines.append("")
        else:
            query = _cell(entry.text)
            lines += [
                f"{query}\t{rank}\t{row['score']:.6f}\t{_cell(row['text'])}"
                for rank, row in enumerate(rows, 1)
            ]
    return lines


def _cell(text: str) -> str:
    """A text as one column."""
    return writing.one_line(text).replace("\t", " ")


def _read_candidates(path: Path) -> Sequence[str] | None:
    """The texts of a file; None of an index."""
    if _is_index(path):
        return None
    texts = [
        entry.text
        for entries in reading.read_entries([str(path)])
        for entry in entries
        if not entry.is_empty
    ]
    if not texts:
        raise ValueError(f"{path} has no texts.")
    return texts


def _is_index(path: Path) -> bool:
    return path.suffix == ".safetensors"


def _index(encoder, candidates: Sequence[str] | None, arguments: argparse.Namespace):
    from kerasbert.embedding import VectorIndex

    if candidates is None:
        index = VectorIndex.load(arguments.candidates)
        if index.texts is None:
            raise ValueError(f"{arguments.candidates} holds vectors without their texts.")
        if index.vectors.shape[1] != encoder.dimension:
            raise ValueError(
                f"{arguments.candidates} holds vectors of {index.vectors.shape[1]} numbers, those "
                f"of the model have {encoder.dimension}: it was made with another model."
            )
    else:
        vectors = encoder.encode(
            candidates, batch_size=arguments.batch_size, show_progress_bar=None
        )
        index = VectorIndex(vectors, candidates)
    if arguments.save_index:
        index.save(arguments.save_index)
    return index
