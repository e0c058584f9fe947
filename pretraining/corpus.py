"""Raw text to a corpus for pretraining: ``python -m pretraining.corpus``.

See docs/pretraining_corpus.md. From Python, call :func:`prepare`.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from pretraining.packing import DOCUMENTS
from pretraining.preparing import prepare
from pretraining.records import STYLES, Corpus

__all__ = ["main", "prepare"]


def make_parser() -> argparse.ArgumentParser:
    """The parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m pretraining.corpus",
        description="Makes a corpus for pretraining of texts. Give the same command again to go on "
        "after an interruption.",
    )
    add = parser.add_argument
    add("--input", nargs="+", required=True, help="files, folders, or patterns in quotes")
    add("--vocab", required=True, help="vocabulary, folder or checkpoint of the tokenizer")
    add("--output", required=True, help="folder for the shards")
    add("--style", choices=STYLES, default="roberta", help="how sequences are made (roberta)")
    add("--max-length", type=int, default=512, help="most tokens of a sequence (512)")
    add(
        "--segmenter",
        default="auto",
        help="auto, rjieba, jieba, none or package.module:function (auto)",
    )
    add("--no-hmm", action="store_true", help="only words of jieba's dictionary")
    add("--shards", type=int, help="number of shards (one for 256 MB of text, at least 8)")
    add("--workers", type=int, default=os.cpu_count() or 1, help="processes (all cores)")
    add("--seed", type=int, default=1, help="of all that is drawn (1)")
    add("--deduplicate", action="store_true", help="leave out documents that occurred before")
    add(
        "--documents",
        choices=DOCUMENTS,
        default="separated",
        help="in style roberta: documents of a sequence are separated by [SEP], joined, or apart",
    )
    add("--repeats", type=int, default=1, help="bert, albert, simbert: so many pairings (1)")
    add("--short-seq-prob", type=float, default=0.1, help="bert, albert: shorter sequences (0.1)")
    add("--text-field", default="text", help="of the objects in JSON lines (text)")
    add("--every-line", action="store_true", help="each line of a text is a document")
    add("--chunk-bytes", type=int, help="text prepared at once (a 256th, 256 KB to 4 MB)")
    return parser


def arguments(given: argparse.Namespace) -> dict:
    """The arguments of :func:`prepare` that a command line stands for."""
    found = dict(vars(given))
    found["inputs"] = found.pop("input")
    found["hmm"] = not found.pop("no_hmm")
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit status: 0, 1 (failed), 130 (interrupted)."""
    parser = make_parser()
    parser.add_argument("--quiet", action="store_true", help="no progress bars")
    given = arguments(parser.parse_args(argv))
    progress = not given.pop("quiet")
    try:
        corpus = prepare(**given, progress=progress)
    except KeyboardInterrupt:
        print("interrupted: the same command goes on from here.", file=sys.stderr)
        return 130
    except (ImportError, OSError, RuntimeError, TypeError, ValueError) as error:
        print(f"pretraining.corpus: error: {error}", file=sys.stderr)
        return 1
    print(summary(corpus))
    return 0


def summary(corpus: Corpus) -> str:
    """What a corpus was made of and what was wrong with it, for people."""
    counts = corpus.manifest["counts"]
    lines = [f"{corpus.folder}: {len(corpus.shards)} shards of style {corpus.style}"]
    lines += [f"{count:>18,} {name.replace('_', ' ')}" for name, count in counts.items() if count]
    return "\n".join(lines + corpus.manifest["problems"])


if __name__ == "__main__":
    sys.exit(main())
