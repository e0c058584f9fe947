"""``prepare``: texts to a corpus on one machine, once, or in as many runs as it takes."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from kerasbert.tokenizers import BaseTokenizer, Tokenizer
from kerasbert.tokenizers.vocabulary import write_whole
from pretraining import manifest, phases, reading
from pretraining.packing import DOCUMENTS
from pretraining.records import MANIFEST, STYLES, Corpus
from pretraining.segmentation import make_segmenter
from pretraining.sequences import Recipe, special_ids

UNFINISHED = "unfinished"  # folder in the output folder, of a run that is not over
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
        shards: number of shards; None is one for 256 MB of text, at least 8. There are no more
            than sequences.
        workers: processes; 1 works in this process.
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
        TypeError: the tokenizer cannot be saved beside the shards.
        ValueError: an argument is wrong, nothing came of the input, or the folder holds something
            else.
        RuntimeError: a process died.
    """
    check(
        style=style,
        max_length=max_length,
        shards=shards,
        workers=workers,
        documents=documents,
        repeats=repeats,
        short_seq_prob=short_seq_prob,
        chunk_bytes=chunk_bytes,
    )
    folder = Path(output).expanduser()
    sources = reading.find_inputs(inputs)
    for source in sources:
        if folder.resolve() in Path(source.path).resolve().parents:
            raise ValueError(f"the input {source.path} lies in the output folder: give another.")
    recipe, segmenter = make_recipe(
        vocab,
        segmenter,
        hmm,
        style=style,
        max_length=max_length,
        seed=seed,
        documents=documents,
        repeats=repeats,
        short_seq_prob=short_seq_prob,
        text_field=text_field,
        every_line=every_line,
    )
    chunk_bytes = chunk_bytes or reading.choose_chunk_bytes(sources)
    shards = shards or choose_shards(sources)
    settings = manifest.describe(recipe, segmenter, sources, shards, chunk_bytes, deduplicate)
    unfinished = folder / UNFINISHED
    if (folder / MANIFEST).exists():
        corpus = Corpus.open(folder)
        _refuse(folder, manifest.differences(corpus.manifest["settings"], settings))
        shutil.rmtree(unfinished, ignore_errors=True)  # of a run that was killed at its very end
        return corpus
    unfinished.mkdir(parents=True, exist_ok=True)
    with _locked(unfinished / "lock", folder):
        _begin(unfinished / _SETTINGS, folder, {**settings, "modified": _modified(sources)})
        job = phases.Job(
            recipe,
            unfinished,
            [folder / f"corpus-{at:05}-of-{shards:05}.tfrecord.gz" for at in range(shards)],
            reading.make_groups(sources, chunk_bytes),
            chunk_bytes,
            deduplicate,
        )
        finished = phases.run(job, workers, progress)
        recipe.tokenizer.save(folder)
        write_whole(folder / MANIFEST, manifest.compose(recipe, settings, finished))
    shutil.rmtree(unfinished)
    return Corpus.open(folder)


def make_recipe(
    vocab: str | os.PathLike | BaseTokenizer, segmenter: str, hmm: bool, **settings
) -> tuple[Recipe, str]:
    """The recipe of arguments of :func:`prepare`, and the segmenter's name without "auto"."""
    tokenizer = vocab if isinstance(vocab, BaseTokenizer) else Tokenizer.from_pretrained(vocab)
    special_ids(tokenizer)
    segment, name = make_segmenter(segmenter, hmm)
    return Recipe(tokenizer, segment, **settings), name


def choose_shards(sources: list[reading.Source]) -> int:
    """A number of shards for these files."""
    size = sum(source.text_bytes for source in sources)
    return max(_FEWEST_SHARDS, -(-size // _SHARD_BYTES))


def check(
    *, style, max_length, shards, documents, repeats, short_seq_prob, chunk_bytes, workers=1, **_
) -> None:
    """Raises ValueError for an argument of :func:`prepare` outside its range."""
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
            f"repeats={repeats} would write the same sequences again in style {style!r}, whose "
            "masks are drawn anew in every epoch anyway: leave it at 1."
        )


def _begin(path: Path, folder: Path, settings: dict) -> None:
    """Begins in a folder, or makes sure that it was begun with the same settings."""
    if path.exists():
        _refuse(folder, manifest.differences(json.loads(path.read_text("utf-8")), settings))
        for stray in (*folder.glob("corpus-*.part"), *path.parent.glob("*.part")):
            stray.unlink()
        return
    strange = [found.name for found in folder.glob("*.tfrecord*")]
    if strange:
        raise ValueError(
            f"{folder} holds {strange[0]} but no {MANIFEST}: give another folder for the output."
        )
    write_whole(path, json.dumps(settings).encode())


def _refuse(folder: Path, differences: str) -> None:
    if differences:
        raise ValueError(
            f"{folder} was begun with other settings ({differences}): give the same command again, "
            "another folder for the output, or delete this one."
        )


def _modified(sources: list[reading.Source]) -> list[int]:
    return [os.stat(source.path).st_mtime_ns for source in sources]


@contextlib.contextmanager
def _locked(path: Path, folder: Path) -> Iterator[None]:
    """Keeps a second run out of the folder, where the system can; a killed run's lock is gone."""
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    with open(path, "ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(
                f"another process is preparing {folder} right now: wait for it, or give another "
                "folder for the output."
            ) from None
        yield
