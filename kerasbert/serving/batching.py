"""Dynamic batching: requests that arrive together, or while the model works, share one call."""

from __future__ import annotations

import asyncio
import collections
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

from kerasbert.serving.errors import busy, stopping


@dataclass(eq=False)
class _Job:
    items: list
    key: Hashable
    result: asyncio.Future

    @property
    def abandoned(self) -> bool:
        """Whether nobody waits any longer: the client's time was up."""
        return self.result.done()


class Batcher:
    """Collects the items of several requests into one call of a function.

    A batch is started when it is full, or when its first item has waited for ``max_wait``, but
    never while the one before it is still computed. Items of one request stay together; a request
    of more than ``max_batch`` items is a batch of its own.

    Args:
        function: from a list of items and the key that they share to a sequence of as many results.
            It runs in the executor.
        executor: one thread is what a model needs.
        max_batch: items per call.
        max_wait: seconds.
        max_queue: items that may wait; further requests are refused.

    Attributes:
        waiting: items in the queue.
        batches: calls so far.
        computed: items computed so far.
    """

    def __init__(
        self,
        function: Callable[[list, Any], Sequence],
        executor: Executor,
        *,
        max_batch: int = 32,
        max_wait: float = 0.005,
        max_queue: int = 1024,
    ):
        self._function, self._executor = function, executor
        self._max_batch, self._max_wait, self._max_queue = max_batch, max_wait, max_queue
        self._jobs: collections.deque[_Job] = collections.deque()
        self._arrived: asyncio.Event | None = None  # made inside the loop that it belongs to
        self._worker: asyncio.Task | None = None
        self.waiting = self.batches = self.computed = 0

    def start(self) -> None:
        """Begins to work, in the running event loop."""
        self._arrived = asyncio.Event()
        self._worker = asyncio.get_running_loop().create_task(self._work())

    async def stop(self) -> None:
        """Ends; whoever still waits is told so."""
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.cancel()
            await asyncio.gather(worker, return_exceptions=True)
        for job in self._jobs:
            if not job.abandoned:
                job.result.set_exception(stopping())
        self._jobs.clear()

    async def submit(self, items: Sequence, key: Hashable = None) -> list:
        """The results of items; those of one key may be computed with other requests'.

        Raises:
            RequestError: 429 where the queue is full, 503 where the batcher stops.
        """
        if self._worker is None:
            raise stopping()
        if not items:
            return []
        if self.waiting + len(items) > self._max_queue:
            raise busy(
                f"{self.waiting} texts are waiting already, and at most {self._max_queue} may: "
                "try again later."
            )
        job = _Job(list(items), key, asyncio.get_running_loop().create_future())
        self._jobs.append(job)
        self.waiting += len(job.items)
        self._arrived.set()
        try:
            return await job.result
        except asyncio.CancelledError:  # the request's time was up
            if job in self._jobs:
                self._jobs.remove(job)
                self.waiting -= len(job.items)
            raise

    async def _work(self) -> None:
        while True:
            await self._arrived.wait()
            await self._fill()
            jobs = self._take()
            if jobs:
                await self._compute(jobs)
            if not self._jobs:
                self._arrived.clear()

    async def _fill(self) -> None:
        """Waits until the batch is full or its time has come."""
        loop = asyncio.get_running_loop()
        end = loop.time() + self._max_wait
        while self.waiting < self._max_batch and (left := end - loop.time()) > 0:
            self._arrived.clear()
            try:
                await asyncio.wait_for(self._arrived.wait(), left)
            except asyncio.TimeoutError:
                break
        self._arrived.set()

    def _take(self) -> list[_Job]:
        """The next batch: the oldest job, and with it those of its key that there is room for."""
        taken: list[_Job] = []
        left: list[_Job] = []
        room = self._max_batch
        while self._jobs:
            job = self._jobs.popleft()
            if not taken or (job.key == taken[0].key and len(job.items) <= room):
                taken.append(job)
                room -= len(job.items)
                self.waiting -= len(job.items)
            else:
                left.append(job)
            if room <= 0:
                break
        self._jobs.extendleft(reversed(left))
        return taken

    async def _compute(self, jobs: list[_Job]) -> None:
        items = [item for job in jobs for item in job.items]
        call = asyncio.get_running_loop().run_in_executor
        try:
            results = list(await call(self._executor, self._function, items, jobs[0].key))
            if len(results) != len(items):
                raise RuntimeError(f"{len(items)} items gave {len(results)} results")
        except Exception as error:
            if len(jobs) == 1:
                if not jobs[0].abandoned:
                    jobs[0].result.set_exception(error)
                return
            for job in jobs:  # whose fault it was is not known: each for itself
                if not job.abandoned:
                    await self._compute([job])
            return
        self.batches += 1
        self.computed += len(items)
        start = 0
        for job in jobs:
            end = start + len(job.items)
            if not job.abandoned:
                job.result.set_result(results[start:end])
            start = end
