"""Corpus preparation on Apache Beam: the same shards, to the byte, made on a cluster.

``python -m pretraining.beam_corpus`` takes the options of ``python -m pretraining.corpus`` and
those of Beam, such as ``--runner DataflowRunner``; see docs/pretraining_corpus.md. Inputs and
output may be whatever Beam's file systems read, such as gs://bucket/texts/*.txt.gz.

The work is that of :mod:`pretraining.phases`: files become chunks, each chunk becomes records by
the pure function of :mod:`pretraining.sequences`, records are dealt to shards. A worker holds one
chunk, or the records of one shard, in memory.
"""

from __future__ import annotations

import hashlib
import sys
import uuid
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

try:
    import apache_beam as beam
    from apache_beam.io.filesystems import FileSystems
    from apache_beam.options.pipeline_options import PipelineOptions
except ImportError as error:
    raise ImportError(
        "this needs Apache Beam: run `pip install apache-beam` (apache-beam[gcp] for Dataflow), or "
        "prepare the corpus on one machine with `python -m pretraining.corpus`."
    ) from error

from pretraining import corpus, manifest, preparing, reading, sequences, shards
from pretraining.phases import Finished
from pretraining.records import MANIFEST

_RAW = beam.io.filesystem.CompressionTypes.UNCOMPRESSED
_COUNTS, _PROBLEMS = "counts", "problems"


def _open(path: str):
    return FileSystems.open(path, compression_type=_RAW)


def find_inputs(patterns: Sequence[str]) -> list[reading.Source]:
    """The files that patterns stand for, by Beam's file systems.

    Raises:
        FileNotFoundError: nothing is there for a pattern.
    """
    found: dict[str, int] = {}
    for pattern, match in zip(patterns, FileSystems.match(list(patterns))):
        if not match.metadata_list:
            raise FileNotFoundError(f"there is no file for the input {pattern!r}.")
        files = sorted((file.path, file.size_in_bytes) for file in match.metadata_list)
        found.update({path: size for path, size in files if path not in found})
    return [reading.Source(path, size) for path, size in found.items()]


class _ReadChunks(beam.DoFn):
    """Groups of files to chunks; what is wrong with files goes to an output of its own."""

    def __init__(self, chunk_bytes):
        self._chunk_bytes = chunk_bytes

    def process(self, group):
        problems = []
        for chunk in reading.read_chunks(group, self._chunk_bytes, problems, _open):
            yield (chunk.group, chunk.number), tuple(chunk)
        if problems:
            yield beam.pvalue.TaggedOutput(_PROBLEMS, (group.number, problems))


class _FindDigests(beam.DoFn):
    """A chunk to the hashes of its documents, each with its place."""

    def __init__(self, recipe):
        self._recipe = recipe

    def process(self, element):
        key, chunk = element
        for at, digest in enumerate(sequences.find_digests(self._recipe, reading.Chunk(*chunk))):
            yield int(digest).to_bytes(8, "little"), (*key, at)


class _Prepare(beam.DoFn):
    """A chunk, and the places of its documents that stay or None, to framed records."""

    def __init__(self, recipe):
        self._recipe = recipe

    def process(self, element):
        key, (chunk, kept) = element
        chunk = reading.Chunk(*chunk)
        keep = None
        if kept is not None:
            keep = np.zeros(len(sequences.find_digests(self._recipe, chunk)), bool)
            keep[list(kept)] = True
        prepared = sequences.prepare_chunk(self._recipe, chunk, keep)
        yield beam.pvalue.TaggedOutput(_COUNTS, (key, len(prepared.records), dict(prepared.counts)))
        yield key, [shards.frame(record) for record in prepared.records]


class _Deal(beam.DoFn):
    """A chunk's records to its part for every shard; ``layout`` is that of :func:`_layout`."""

    def __init__(self, count):
        self._count = count

    def process(self, element, layout):
        key, records = element
        place, offset = layout[key]
        for at in range(min(self._count, len(records))):
            yield (offset + at) % self._count, (place, records[at :: self._count])


class _WriteShard(beam.DoFn):
    """A shard's records to its file; gives number, records, bytes and SHA-256."""

    def __init__(self, paths, seed):
        self._paths, self._seed = paths, seed

    def process(self, element):
        number, parts = element
        parts = [part for _, part in sorted(parts, key=lambda item: item[0])]
        path = self._paths[number]
        digest, size = hashlib.sha256(), 0
        temporary = f"{path}.{uuid.uuid4().hex}.part"  # the same shard may be written twice
        with FileSystems.create(temporary, compression_type=_RAW) as file:
            for content in shards.pack_shard(parts, number, self._seed):
                file.write(content)
                digest.update(content)
                size += len(content)
        if FileSystems.exists(path):
            FileSystems.delete([path])
        FileSystems.rename([temporary], [path])
        yield number, sum(map(len, parts)), size, digest.hexdigest()


class _WriteManifest(beam.DoFn):
    """Tokenizer and manifest, when all shards are there."""

    def __init__(self, folder, recipe, settings, paths):
        self._folder, self._recipe = folder, recipe
        self._settings, self._paths = settings, paths

    def process(self, _, written, counts, problems):
        total = Counter()
        for _, _, more in counts:
            total.update(more)
        messages = [text for _, texts in sorted(problems) for text in texts]
        if not total["examples"]:
            raise ValueError(f"no sequence came of the input ({'; '.join(messages) or 'empty'}).")
        found = [
            (self._paths[number], records, shards.Shard(size, digest))
            for number, records, size, digest in sorted(written)
        ]
        files = dict(self._recipe.tokenizer.files())
        about = manifest.compose(self._recipe, self._settings, Finished(found, total, messages))
        files[MANIFEST] = about  # the last
        for name, content in files.items():
            with FileSystems.create(
                FileSystems.join(self._folder, name), compression_type=_RAW
            ) as file:
                file.write(content)


def _layout(counts: list, seed: int) -> dict:
    """For each chunk its place in the order of all, and the number of records before it."""
    offset, found = 0, {}
    counts = sorted(counts)
    places = {at: place for place, at in enumerate(shards.order_of_chunks(len(counts), seed))}
    for at, (key, records, _) in enumerate(counts):
        found[key] = (places[at], offset)
        offset += records
    return found


def build(
    pipeline: beam.Pipeline,
    sources: list[reading.Source],
    recipe: sequences.Recipe,
    segmenter: str,
    output: str,
    count: int,
    chunk_bytes: int,
    deduplicate: bool,
) -> Any:
    """Adds corpus preparation to a pipeline.

    Args:
        pipeline: the pipeline.
        sources: of :func:`find_inputs`.
        recipe: how documents become records.
        segmenter: its name, for the manifest.
        output: folder or URL.
        count: of shards.
        chunk_bytes: as for :func:`pretraining.preparing.prepare`.
        deduplicate: the same.
    """
    settings = manifest.describe(recipe, segmenter, sources, count, chunk_bytes, deduplicate)
    names = [f"corpus-{at:05}-of-{count:05}.tfrecord.gz" for at in range(count)]
    read = (
        pipeline
        | "Groups" >> beam.Create(reading.make_groups(sources, chunk_bytes))
        | "SpreadGroups" >> beam.Reshuffle()
        | "Read" >> beam.ParDo(_ReadChunks(chunk_bytes)).with_outputs(_PROBLEMS, main="chunks")
    )
    chunks = read.chunks | "SpreadChunks" >> beam.Reshuffle()
    if deduplicate:
        kept = (
            chunks
            | "Digests" >> beam.ParDo(_FindDigests(recipe))
            | "First" >> beam.CombinePerKey(min)
            | "ByChunk" >> beam.MapTuple(lambda _, place: (tuple(place[:2]), place[2]))
        )
        chunks = (
            {"chunk": chunks, "kept": kept}
            | "Join" >> beam.CoGroupByKey()
            | "Keep"
            >> beam.MapTuple(lambda key, both: (key, (both["chunk"][0], list(both["kept"]))))
        )
    else:
        chunks = chunks | "All" >> beam.MapTuple(lambda key, chunk: (key, (chunk, None)))
    made = chunks | "Prepare" >> beam.ParDo(_Prepare(recipe)).with_outputs(_COUNTS, main="records")
    counts = beam.pvalue.AsList(made.counts)
    layout = (
        pipeline
        | "One" >> beam.Create([recipe.seed])
        | "Layout" >> beam.Map(lambda seed, counts: _layout(counts, seed), counts)
    )
    written = (
        made.records
        | "Deal" >> beam.ParDo(_Deal(count), beam.pvalue.AsSingleton(layout))
        | "ByShard" >> beam.GroupByKey()
        | "Write"
        >> beam.ParDo(_WriteShard([FileSystems.join(output, name) for name in names], recipe.seed))
    )
    return (
        pipeline
        | "Last" >> beam.Create([None])
        | "Manifest"
        >> beam.ParDo(
            _WriteManifest(output, recipe, settings, names),
            beam.pvalue.AsList(written),
            counts,
            beam.pvalue.AsList(read.problems),
        )
    )


def prepare(
    inputs: Sequence[str],
    vocab,
    output: str,
    style: str = "roberta",
    max_length: int = 512,
    segmenter: str = "auto",
    *,
    hmm: bool = True,
    shards: int | None = None,
    deduplicate: bool = False,
    chunk_bytes: int | None = None,
    beam_options: Sequence[str] = (),
    **settings,
) -> None:
    """:func:`pretraining.preparing.prepare` on Apache Beam.

    Args:
        inputs: files or patterns of Beam's file systems.
        vocab: as there, on this machine.
        output: folder or URL; shards that lie in it are written over.
        style: as there, like all that follow.
        max_length: as there.
        segmenter: as there; installed on the workers.
        hmm: as there.
        shards: as there.
        deduplicate: as there.
        chunk_bytes: as there.
        beam_options: Beam's own, such as ``["--runner", "FlinkRunner"]``.
        **settings: seed, documents, repeats, short_seq_prob, text_field and every_line.

    Raises:
        FileNotFoundError: there is no input or no vocabulary.
        ValueError: an argument is wrong, or the output folder holds a corpus already.
    """
    preparing.check(
        style=style, max_length=max_length, shards=shards, chunk_bytes=chunk_bytes, **settings
    )
    manifest_path = FileSystems.join(output, MANIFEST)
    if FileSystems.exists(manifest_path):
        raise ValueError(f"{output} holds a corpus already: give another folder for the output.")
    sources = find_inputs(inputs)
    recipe, segmenter = preparing.make_recipe(
        vocab, segmenter, hmm, style=style, max_length=max_length, **settings
    )
    if not FileSystems.exists(output):
        FileSystems.mkdirs(output)
    with beam.Pipeline(options=PipelineOptions(list(beam_options))) as pipeline:
        build(
            pipeline,
            sources,
            recipe,
            segmenter,
            output,
            shards or preparing.choose_shards(sources),
            chunk_bytes or reading.choose_chunk_bytes(sources),
            deduplicate,
        )


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line, whose further options are Beam's, and returns its exit status."""
    parser = corpus.make_parser()
    parser.description = "Makes a corpus on Apache Beam. Further options are Beam's own."
    given, beam_options = parser.parse_known_args(argv)
    options = corpus.arguments(given)
    del options["workers"]  # how many there are is Beam's business
    try:
        prepare(**options, beam_options=beam_options)
    except (ImportError, OSError, RuntimeError, TypeError, ValueError) as error:
        print(f"pretraining.beam_corpus: error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    from pretraining import beam_corpus  # the workers know the classes by this name

    sys.exit(beam_corpus.main())
