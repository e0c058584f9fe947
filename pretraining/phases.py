"""The two phases of corpus preparation on one machine, each in many processes and resumable.

First every chunk of the input becomes a file of records, then these files become shards. The files
in between lie in a folder of their own and are as large as the shards unpacked: about three bytes
for each token. A run that was interrupted finds what is done by the names of files.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import time
from collections import Counter, deque
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from kerasbert.tokenizers.vocabulary import write_whole
from pretraining.documents import SeenDigests
from pretraining.reading import Chunk, Group, read_chunks
from pretraining.sequences import Recipe, find_digests, prepare_chunk
from pretraining.shards import Shard, read_chunk, write_chunk, write_shard
from pretraining.workers import Workers

_NO_DIGESTS = np.zeros(0, np.uint64)
_AHEAD = 4  # chunks for each worker that wait for the duplicates of one before them
_INDEX = "index.json"


@dataclasses.dataclass(frozen=True)
class Job:
    """What the processes know.

    Attributes:
        recipe: how documents become records.
        folder: of the files in between.
        shards: path of each shard.
        groups: of input files.
        chunk_bytes: as for :func:`pretraining.reading.read_chunks`.
        deduplicate: whether documents that occurred before are left out.
    """

    recipe: Recipe
    folder: Path
    shards: list[Path]
    groups: list[Group]
    chunk_bytes: int
    deduplicate: bool

    def chunk_path(self, group: int, number: int) -> Path:
        """The file of a chunk."""
        return self.folder / f"chunk-{group:06}-{number:08}"

    def group_path(self, group: int) -> Path:
        """The file that tells that a group was read to its end."""
        return self.folder / f"group-{group:06}.json"


class Finished(NamedTuple):
    """What became of the input.

    Attributes:
        shards: path and number of records of each shard that has any, and what its file is.
        counts: sums over all chunks.
        problems: messages about files.
    """

    shards: list[tuple[Path, int, Shard]]
    counts: Counter
    problems: list[str]


def run(job: Job, workers: int, progress: bool) -> Finished:
    """Does all that is not done yet.

    Args:
        job: what to do; its folders exist.
        workers: number of processes.
        progress: whether to show bars on stderr.

    Raises:
        RuntimeError: a process failed.
        ValueError: there is no record at all.
    """
    with Workers(workers, job) as pool:
        _make_chunks(job, pool, progress)
        counts, problems = _index(job)
        records = counts["examples"]
        if not records:
            found = "; ".join([*problems, *(f"{name}: {n}" for name, n in counts.items() if n)])
            raise ValueError(f"no sequence came of the input ({found or 'nothing in it'}).")
        shards = [
            # the first ones have one record more
            (path, records // len(job.shards) + (number < records % len(job.shards)))
            for number, path in enumerate(job.shards)
        ]
        shards = [(path, size) for path, size in shards if size]
        bar = tqdm(total=len(shards), unit="shard", desc="sharding", disable=not progress)
        written = {}
        with bar:
            tasks = ((number, (number,)) for number in range(len(shards)))
            for number, shard in pool.run(_write_shard, tasks):
                written[number] = shard
                bar.update()
    return Finished(
        [(path, size, written[number]) for number, (path, size) in enumerate(shards)],
        counts,
        problems,
    )


def _make_chunks(job: Job, workers: Workers, progress: bool) -> None:
    size = sum(source.bytes for group in job.groups for source in group.sources)
    bar = tqdm(total=size, unit="B", unit_scale=True, desc="reading", disable=not progress)
    began, characters = time.monotonic(), 0
    with bar:
        chunks = _steps(job, bar)
        if job.deduplicate:
            made = _make_without_duplicates(job, workers, chunks)
        else:
            tasks = (
                (chunk.read, (chunk, None, _NO_DIGESTS)) for _, chunk in chunks if chunk is not None
            )
            made = workers.run(_make, tasks)
        for read, more in made:
            characters += more
            rate = characters / (time.monotonic() - began)
            bar.set_postfix_str(f"{rate / 1e6:.2f}M characters/s", refresh=False)
            bar.update(read)


def _steps(job: Job, bar: tqdm) -> Iterator[tuple[Path, Chunk | None]]:
    """The file of each chunk in order, and the chunk, or None where the file is there."""
    for group in job.groups:
        about = job.group_path(group.number)
        if about.exists():
            count = json.loads(about.read_text())["chunks"]
            paths = [job.chunk_path(group.number, number) for number in range(count)]
            if all(path.exists() for path in paths):
                bar.update(sum(source.bytes for source in group.sources))
                yield from ((path, None) for path in paths)
                continue
        problems: list[str] = []
        count = 0
        for chunk in read_chunks(group, job.chunk_bytes, problems):
            path = job.chunk_path(group.number, chunk.number)
            count += 1
            if path.exists():
                bar.update(chunk.read)
                yield path, None
            else:
                yield path, chunk
        write_whole(about, json.dumps({"chunks": count, "problems": problems}).encode())


def _make_without_duplicates(
    job: Job, workers: Workers, steps: Iterator[tuple[Path, Chunk | None]]
) -> Iterator[tuple[int, int]]:
    """As ``workers.run(_make, ...)``; which of equal documents stays is decided in their order."""
    seen = SeenDigests()
    found: dict[int, np.ndarray] = {}  # by number of the step: hashes, when they are known
    waiting: dict[int, Chunk] = {}  # chunks whose duplicates are not known yet
    ready: deque[tuple[Chunk, np.ndarray, np.ndarray]] = deque()
    numbered, is_over, decided = enumerate(steps), False, 0
    while True:
        while workers.idle:
            while decided in found:
                digests = found.pop(decided)
                keep = seen.add(digests)
                if decided in waiting:
                    ready.append((waiting.pop(decided), keep, digests[keep]))
                decided += 1
            if ready:
                chunk, keep, digests = ready.popleft()
                workers.submit(chunk.read, _make, chunk, keep, digests)
                continue
            if is_over or len(waiting) >= _AHEAD * workers.count:
                break
            number, (path, chunk) = next(numbered, (None, (None, None)))
            if number is None:
                is_over = True
            elif chunk is None:  # its file is there
                found[number] = read_chunk(path).digests
            else:
                waiting[number] = chunk
                workers.submit(("digests", number), _find_digests, chunk)
        if not workers.pending:
            return
        key, result = workers.result()
        if isinstance(key, tuple):
            found[key[1]] = result
        else:
            yield key, result


def _index(job: Job) -> tuple[Counter, list[str]]:
    """Lists the chunks' files for the second phase; sums of counts, and problems of files."""
    rows, problems, counts, offset = [], [], Counter(), 0
    for group in job.groups:
        about = json.loads(job.group_path(group.number).read_text())
        problems += about["problems"]
        for number in range(about["chunks"]):
            path = job.chunk_path(group.number, number)
            chunk = read_chunk(path)
            rows.append((path.name, offset))
            counts.update(chunk.counts)
            offset += chunk.records
    write_whole(job.folder / _INDEX, json.dumps(rows).encode())
    return counts, problems


# What the processes do.


def _find_digests(job: Job, chunk: Chunk) -> np.ndarray:
    return find_digests(job.recipe, chunk)


def _make(job: Job, chunk: Chunk, keep: np.ndarray | None, digests: np.ndarray) -> int:
    prepared = prepare_chunk(job.recipe, chunk, keep)
    path = job.chunk_path(chunk.group, chunk.number)
    write_chunk(path, prepared.records, len(job.shards), prepared.counts, digests)
    return prepared.counts["characters"]


def _write_shard(job: Job, number: int) -> Shard:
    path = job.folder / _INDEX
    chunks = _read_index(path, path.stat().st_mtime_ns)
    return write_shard(job.shards[number], number, len(job.shards), chunks, job.recipe.seed)


@functools.lru_cache(maxsize=1)
def _read_index(path: Path, written: int) -> list[tuple[Path, int]]:
    """The chunks' files, read once; ``written`` tells another index under the same name."""
    return [(path.with_name(name), offset) for name, offset in json.loads(path.read_text())]
