"""Raw text to a corpus for pretraining: ``python -m pretraining.corpus``.

See docs/pretraining_corpus.md.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from kerasbert.tokenizers import BaseTokenizer, Tokenizer
from kerasbert.tokenizers.vocabulary import write_whole
from pretraining import manifest, preparing, reading
from pretraining.packing import DOCUMENTS
from pretraining.records import MANIFEST, STYLES, Corpus
from pretraining.segmentation import make_segmenter
from pretraining.sequences import Recipe, special_ids

_UNFINISHED = "unfinished"
_SETTINGS = "settings.json"
_SHARD_BYTES = 1 << 28  # of text
_FEWEST_SHARDS = 8


def prepare(
    inputs: str | os.PathLike | Iterable[str | os.PathLike],
    vocab: str | os.PathLike | BaseTokenizer,
    output: str | os.PathLike,
    style: str = "roberta",
    max_length: int = 512,
    segmenter: str = "auto",
    *,
    hmm: bool = True,
    shards: int | None = None,
    workers: int = 1,
    seed: int = 1,
    deduplicate: bool = False,
    documents: str = "separated",
    repeats: int = 1,
    short_seq_prob: float = 0.1,
    text_field: str = "text",
    every_line: bool = False,
    chunk_bytes: int | None = None,
    progress: bool = True,
) -> Corpus:
    """Makes a corpus of texts, or goes on with one that was interrupted.

    The shards depend on the arguments but not on ``workers``, to the byte.

    Args:
        inputs: files, folders, or patterns such as "texts/*.txt.gz"; see
            :func:`pretraining.reading.find_inputs`. Names that end in .jsonl, .ndjson or .json hold
            JSON lines, others text; .gz, .bz2, .xz and .zst are unpacked.
        vocab: a tokenizer, or a vocabulary, folder or checkpoint, as for
            ``Tokenizer.from_pretrained``.
        output: folder, made if it is not there.
        style: how sequences are made: one of :data:`pretraining.records.STYLES`.
        max_length: most tokens of a sequence, special tokens counted.
        segmenter: "auto", "rjieba", "jieba", "none" or "package.module:function".
        hmm: whether jieba guesses words that its dictionary lacks.
        shards: number of shards; None is one for 256 MB of text, at least 8.
        workers: processes. Each imports TensorFlow first; 1 works in this process.
        seed: of all that is drawn.
        deduplicate: leave out documents that occurred before (white space does not count).
        documents: in style "roberta", what stands between two documents in a sequence: "separated"
            by [SEP], "joined" by nothing, or "apart", that is never in one sequence.
        repeats: how often documents are gone through, paired otherwise each time ("bert", "albert",
            "simbert").
        short_seq_prob: share of documents that are cut into shorter sequences ("bert", "albert").
        text_field: of the objects in JSON lines.
        every_line: whether each line of a text is a document.
        chunk_bytes: of text that is prepared at once; None is a 256th of the input, from 256 KB to
            4 MB. Memory grows with it, and each chunk has one short sequence at its end.
        progress: whether to show progress bars.

    Returns:
        The corpus.

    Raises:
        FileNotFoundError: there is no input or no vocabulary.
        ImportError: a segmenter or zstandard is not installed.
        ValueError: an argument is wrong, nothing came of the input, or the folder holds something
            else.
        RuntimeError: a process died.
    """
    _check(style, max_length, shards, workers, documents, repeats, short_seq_prob, chunk_bytes)
    paths = reading.find_inputs(inputs)
    tokenizer = vocab if isinstance(vocab, BaseTokenizer) else Tokenizer.from_pretrained(vocab)
    special_ids(tokenizer)
    segment, segmenter = make_segmenter(segmenter, hmm)
    recipe = Recipe(
        tokenizer,
        segment,
        style,
        max_length,
        seed,
        documents,
        repeats,
        short_seq_prob,
        text_field,
        every_line,
    )
    chunk_bytes = chunk_bytes or reading.choose_chunk_bytes(paths)
    shards = shards or max(_FEWEST_SHARDS, -(-reading.text_bytes(paths) // _SHARD_BYTES))
    settings = manifest.describe(recipe, segmenter, paths, shards, chunk_bytes, deduplicate)
    folder = Path(output).expanduser()
    unfinished = folder / _UNFINISHED
    if (folder / MANIFEST).exists():
        corpus = Corpus.open(folder)
        _refuse(folder, manifest.differences(corpus.manifest["settings"], settings))
        shutil.rmtree(unfinished, ignore_errors=True)
        return corpus
    unfinished.mkdir(parents=True, exist_ok=True)
    _begin(unfinished / _SETTINGS, folder, {**settings, "modified": _modified(paths)})
    job = preparing.Job(
        recipe,
        unfinished,
        [folder / f"corpus-{at:05}-of-{shards:05}.tfrecord.gz" for at in range(shards)],
        reading.make_groups(paths, chunk_bytes),
        chunk_bytes,
        deduplicate,
    )
    finished = preparing.run(job, workers, progress)
    tokenizer.save(folder)
    manifest.write_manifest(folder, recipe, settings, finished)
    shutil.rmtree(unfinished)
    return Corpus.open(folder)


def _check(style, max_length, shards, workers, documents, repeats, short_seq_prob, chunk_bytes):
    rules = [
        ("style", style, style in STYLES, f"one of {', '.join(STYLES)}"),
        ("max_length", max_length, max_length >= 8, "8 or more"),
        ("shards", shards, shards is None or shards >= 1, "1 or more"),
        ("workers", workers, workers >= 1, "1 or more"),
        ("documents", documents, documents in DOCUMENTS, f"one of {', '.join(DOCUMENTS)}"),
        ("repeats", repeats, repeats >= 1, "1 or more"),
        ("short_seq_prob", short_seq_prob, 0 <= short_seq_prob <= 1, "from 0 to 1"),
        ("chunk_bytes", chunk_bytes, chunk_bytes is None or chunk_bytes >= 1, "1 or more"),
    ]
    for name, value, is_valid, wanted in rules:
        if not is_valid:
            raise ValueError(f"{name} must be {wanted}. Received: {value!r}")
    if repeats > 1 and style in ("roberta", "short"):
        raise ValueError(
            f"repeats={repeats} would write the same sequences again in style {style!r}, as masks "
            "are drawn anew in every epoch anyway: leave it at 1."
        )


def _begin(path: Path, folder: Path, settings: dict) -> None:
    """Begins in a folder, or makes sure that it was begun with the same settings."""
    if path.exists():
        _refuse(folder, manifest.differences(json.loads(path.read_text("utf-8")), settings))
        for stray in (*folder.glob("*.part"), *path.parent.glob("*.part")):
            stray.unlink()
        return
    strange = [found.name for found in folder.glob("*.tfrecord*")]
    if strange:
        raise ValueError(
            f"{folder} holds {strange[0]} but no {MANIFEST}: give another folder for the output."
        )
    write_whole(path, json.dumps(settings, ensure_ascii=False).encode("utf-8", "surrogateescape"))


def _refuse(folder: Path, differences: str) -> None:
    if differences:
        raise ValueError(
            f"{folder} was begun with other settings ({differences}): give the same command again, "
            "another folder for the output, or delete this one."
        )


def _modified(paths: Sequence[Path]) -> list[int]:
    return [path.stat().st_mtime_ns for path in paths]


def _parser() -> argparse.ArgumentParser:
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
    add("--quiet", action="store_true", help="no progress bars")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit status: 0, 1 (failed), 130 (interrupted)."""
    given = _parser().parse_args(argv)
    try:
        corpus = prepare(
            given.input,
            given.vocab,
            given.output,
            given.style,
            given.max_length,
            given.segmenter,
            hmm=not given.no_hmm,
            shards=given.shards,
            workers=given.workers,
            seed=given.seed,
            deduplicate=given.deduplicate,
            documents=given.documents,
            repeats=given.repeats,
            short_seq_prob=given.short_seq_prob,
            text_field=given.text_field,
            every_line=given.every_line,
            chunk_bytes=given.chunk_bytes,
            progress=not given.quiet,
        )
    except KeyboardInterrupt:
        print("interrupted: the same command goes on from here.", file=sys.stderr)
        return 130
    except (ImportError, OSError, RuntimeError, ValueError) as error:
        print(f"pretraining.corpus: error: {error}", file=sys.stderr)
        return 1
    print(_summary(corpus))
    return 0


def _summary(corpus: Corpus) -> str:
    counts = corpus.manifest["counts"]
    lines = [f"{corpus.folder}: {len(corpus.shards)} shards of style {corpus.style}"]
    lines += [f"{name.replace('_', ' '):>16} {count:>15,}" for name, count in counts.items()]
    return "\n".join(lines + corpus.manifest["problems"])


if __name__ == "__main__":
    sys.exit(main())
