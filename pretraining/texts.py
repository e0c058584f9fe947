"""The text of the input files, for programs that read all of it once and keep no corpus."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator

from tqdm.auto import tqdm

from pretraining.documents import read_documents
from pretraining.reading import choose_chunk_bytes, find_inputs, make_groups, read_chunks

Pieces = tuple  # of the kind ("text" or "json") and the content of parts of files


class Texts:
    """The files that patterns stand for, read as ``pretraining.corpus`` reads them.

    Args:
        inputs: as for :func:`pretraining.reading.find_inputs`.
        text_field: of the objects in JSON lines.
        progress: whether to show how many bytes of the files were read.

    Attributes:
        text_field: as given.
        problems: messages about files that are empty or damaged, as they are met.
        counts: numbers of what was wrong in them, by name, as :func:`read_documents` counts.

    Raises:
        FileNotFoundError: nothing is there for a pattern.
    """

    def __init__(
        self,
        inputs: str | os.PathLike | Iterable[str | os.PathLike],
        text_field: str = "text",
        progress: bool = False,
    ):
        self._sources = find_inputs(inputs)
        self._progress = progress
        self.text_field = text_field
        self.problems: list[str] = []
        self.counts: Counter = Counter()

    def chunks(self) -> Iterator[Pieces]:
        """Parts of the files at a bounded size, which depends on the files alone."""
        total = sum(source.bytes for source in self._sources)
        size = choose_chunk_bytes(self._sources)
        bar = tqdm(
            total=total, unit="B", unit_scale=True, desc="reading", disable=not self._progress
        )
        with bar:
            for group in make_groups(self._sources, size):
                for chunk in read_chunks(group, size, self.problems):
                    self.counts["cut_documents"] += chunk.cuts
                    yield chunk.pieces
                    bar.update(chunk.read)

    def __iter__(self) -> Iterator[str]:
        """The documents, their lines joined by line feeds."""
        for pieces in self.chunks():
            for document in read_documents(pieces, self.counts, self.text_field):
                yield "\n".join(document)

    def complaints(self) -> list[str]:
        """What was wrong with the text read so far, for people; empty where nothing was."""
        counts = [f"{n:,} {name.replace('_', ' ')}" for name, n in self.counts.items() if n]
        return [*self.problems, *counts]
