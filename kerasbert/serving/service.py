"""What is served: one model's vectors and generated texts, computed in batches."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from kerasbert.embedding.search import search
from kerasbert.serving.batching import Batcher
from kerasbert.serving.errors import RequestError, busy
from kerasbert.serving.limits import Limits

_END = object()


class TextService:
    """Answers requests with one model; what the model cannot do is refused with status 404.

    Vectors and generated texts have a thread each, so that a question for a vector does not wait
    for a long text. Requests of the same kind are computed together (:class:`Batcher`); streamed
    texts take turns with them, piece by piece.

    Args:
        encoder: has ``encode(texts)``, which gives vectors of length 1, (texts, size): a
            ``kerasbert.TextEncoder``. None where the model gives no vectors.
        generator: has ``generate(texts, return_details=True, **options)`` and ``stream(text,
            **options)``: a ``kerasbert.generation.TextGenerator``. None where it does not generate.
        name: of the model, for answers and the page.
        corpus: texts to search where a request names no candidates; their vectors are computed in
            :meth:`start`.
        limits: what requests may ask for.
        max_batch: texts computed in one call.
        max_wait: seconds that a text may wait for others to be computed with.
    """

    def __init__(
        self,
        encoder=None,
        generator=None,
        *,
        name: str = "model",
        corpus: Sequence[str] = (),
        limits: Limits | None = None,
        max_batch: int = 32,
        max_wait: float = 0.005,
    ):
        if encoder is None and generator is None:
            raise ValueError("nothing to serve: give an encoder, a generator or both.")
        self.encoder, self.generator, self.name = encoder, generator, name
        self.limits = limits or Limits()
        self.corpus, self._corpus_vectors = list(corpus), None
        self._threads = [
            ThreadPoolExecutor(1, f"kerasbert-{task}") for task in ("encode", "generate")
        ]
        options = {"max_batch": max_batch, "max_wait": max_wait}
        options["max_queue"] = self.limits.max_queue
        self.batchers = {
            "encode": Batcher(self._encode, self._threads[0], **options),
            "generate": Batcher(self._generate, self._threads[1], **options),
        }
        self.streams = 0
        self._alone = itertools.count()

    @property
    def tasks(self) -> list[str]:
        """What is served, by the names of the endpoints."""
        tasks = [] if self.encoder is None else ["encode", "similar"]
        return tasks if self.generator is None else [*tasks, "generate"]

    def require(self, task: str) -> None:
        """Refuses a task that the model cannot do."""
        if task not in self.tasks:
            served = " and ".join(f"/{one}" for one in self.tasks)
            raise RequestError(404, f"{self.name} does not serve /{task}; it serves {served}.")

    async def start(self) -> None:
        """Begins to work, in the running event loop."""
        for batcher in self.batchers.values():
            batcher.start()
        if self.corpus and self.encoder is not None:
            loop = asyncio.get_running_loop()
            rows = await loop.run_in_executor(self._threads[0], self._encode, self.corpus, None)
            self._corpus_vectors = np.asarray(rows, np.float32)

    async def stop(self) -> None:
        """Ends; what is computed at the moment is finished first."""
        for batcher in self.batchers.values():
            await batcher.stop()
        for thread in self._threads:
            thread.shutdown(wait=False)

    async def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Vectors of length 1, float32 (texts, size)."""
        return np.stack(await self.batchers["encode"].submit(texts))

    async def similar(
        self, queries: Sequence[str], candidates: Sequence[str] | None, top_k: int | None
    ) -> list[list[dict[str, Any]]]:
        """For every query the candidates, the most similar first, by cosine.

        Args:
            queries: texts.
            candidates: texts; None for the corpus.
            top_k: the most to return for a query; None for all.
        """
        if candidates is None:
            if self._corpus_vectors is None:
                raise RequestError(
                    400,
                    "candidates is missing: give the texts to compare with (the service was "
                    "started without a corpus of its own).",
                    "candidates",
                )
            vectors, candidates = await self.encode(queries), self.corpus
            others = self._corpus_vectors
        else:
            both = await self.encode([*queries, *candidates])
            vectors, others = both[: len(queries)], both[len(queries) :]
        count = len(candidates) if top_k is None else top_k
        all_scores, all_places = search(vectors, others, count, normalized=True)
        found = [
            [
                {"index": int(at), "text": candidates[at], "score": round(float(score), 6)}
                for score, at in zip(scores, places)
            ]
            for scores, places in zip(all_scores, all_places)
        ]
        return found

    async def generate(self, texts: Sequence[str], options: Mapping[str, Any]) -> list:
        """For every text what was generated: objects with ``text``, ``score`` and ``finished``.

        Args:
            texts: the sources.
            options: of ``TextGenerator.generate``.
        """
        key = tuple(sorted(options.items()))
        if options.get("seed") is not None:  # what is drawn depends on the whole batch
            key += (("alone", next(self._alone)),)
        return await self.batchers["generate"].submit(texts, key)

    async def stream(self, text: str, options: Mapping[str, Any]) -> AsyncIterator[str]:
        """The pieces of a generated text as they come.

        Args:
            text: the source.
            options: of ``TextGenerator.stream``.
        """
        if self.streams >= self.limits.max_streams:
            raise busy(
                f"{self.streams} answers are being streamed already, and at most "
                f"{self.limits.max_streams} may: try again later."
            )
        call, thread = asyncio.get_running_loop().run_in_executor, self._threads[1]
        self.streams += 1
        try:
            pieces = iter(await call(thread, lambda: self.generator.stream(text, **options)))
            try:
                while (piece := await call(thread, next, pieces, _END)) is not _END:
                    yield piece
            finally:
                if hasattr(pieces, "close"):
                    await asyncio.shield(call(thread, pieces.close))
        finally:
            self.streams -= 1

    # In the threads.

    def _encode(self, texts: list[str], key: None) -> np.ndarray:
        return self.encoder.encode(texts, show_progress_bar=False)

    def _generate(self, texts: list[str], key: tuple) -> list:
        options = {name: value for name, value in key if name != "alone"}
        return self.generator.generate(texts, return_details=True, **options)
