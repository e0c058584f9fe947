"""The batcher: what is computed together, what is refused, what happens to errors."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from kerasbert.serving.batching import Batcher
from kerasbert.serving.errors import RequestError


class Work:
    """A function that notes its calls and can be held up."""

    def __init__(self):
        self.calls = []
        self.go = threading.Event()
        self.go.set()

    def __call__(self, items, key):
        self.calls.append((list(items), key))
        assert self.go.wait(30)
        if "bad" in items:
            raise ValueError("bad item")
        return [f"{item}!" for item in items]


def run(scenario, work=None, **options):
    """Runs ``scenario(batcher)`` in a loop of its own and returns what it returns."""
    work = work or Work()

    async def main():
        with ThreadPoolExecutor(1) as thread:
            batcher = Batcher(work, thread, **options)
            batcher.start()
            try:
                return await scenario(batcher)
            finally:
                work.go.set()
                await batcher.stop()

    return asyncio.run(main())


async def wait_until(condition):
    while not condition():
        await asyncio.sleep(0.001)


def test_requests_that_wait_together_share_a_call():
    work = Work()

    async def scenario(batcher):
        return await asyncio.gather(*(batcher.submit([i, i + 100]) for i in range(5)))

    assert run(scenario, work, max_wait=0.05) == [[f"{i}!", f"{i + 100}!"] for i in range(5)]
    assert len(work.calls) == 1


def test_what_arrives_while_the_model_works_is_the_next_batch():
    work = Work()
    work.go.clear()

    async def scenario(batcher):
        first = asyncio.ensure_future(batcher.submit(["a"]))
        await wait_until(lambda: work.calls)
        others = [asyncio.ensure_future(batcher.submit([name])) for name in "bcd"]
        await wait_until(lambda: batcher.waiting == 3)
        work.go.set()
        return await asyncio.gather(first, *others)

    assert run(scenario, work, max_wait=1e-6) == [["a!"], ["b!"], ["c!"], ["d!"]]
    assert work.calls == [(["a"], None), (["b", "c", "d"], None)]


def test_no_batch_is_larger_than_allowed_and_none_waits_when_full():
    work = Work()

    async def scenario(batcher):
        return await asyncio.gather(*(batcher.submit([i]) for i in range(10)))

    run(scenario, work, max_batch=4, max_wait=0.05)
    assert [len(items) for items, _ in work.calls] == [4, 4, 2]


def test_a_large_request_is_a_batch_of_its_own():
    work = Work()

    async def scenario(batcher):
        return await asyncio.gather(batcher.submit(list("abcdef")), batcher.submit(["z"]))

    assert run(scenario, work, max_batch=4) == [[f"{c}!" for c in "abcdef"], ["z!"]]
    assert [len(items) for items, _ in work.calls] == [6, 1]


def test_different_keys_are_never_mixed():
    work = Work()

    async def scenario(batcher):
        return await asyncio.gather(*(batcher.submit([i], key=i % 2) for i in range(6)))

    assert run(scenario, work, max_wait=0.02) == [[f"{i}!"] for i in range(6)]
    assert work.calls == [([0, 2, 4], 0), ([1, 3, 5], 1)]


def test_an_error_is_that_of_its_own_request():
    work = Work()

    async def scenario(batcher):
        jobs = [batcher.submit([name]) for name in ("a", "bad", "c")]
        return await asyncio.gather(*jobs, return_exceptions=True)

    good, bad, other = run(scenario, work, max_wait=0.02)
    assert (good, other) == (["a!"], ["c!"])
    assert isinstance(bad, ValueError)


def test_a_full_queue_refuses_and_recovers():
    work = Work()
    work.go.clear()

    async def scenario(batcher):
        jobs = [asyncio.ensure_future(batcher.submit(["first"]))]
        await wait_until(lambda: work.calls)
        jobs.append(asyncio.ensure_future(batcher.submit(["a", "b"])))
        await asyncio.sleep(0)
        with pytest.raises(RequestError, match="2 texts are waiting") as refused:
            await batcher.submit(["c", "d"])
        assert (refused.value.status, refused.value.headers["Retry-After"]) == (429, "1")
        work.go.set()
        await asyncio.gather(*jobs)
        return await batcher.submit(["c", "d"]), batcher.waiting

    assert run(scenario, work, max_queue=3) == (["c!", "d!"], 0)


def test_what_nobody_waits_for_is_not_computed():
    work = Work()
    work.go.clear()

    async def scenario(batcher):
        first = asyncio.ensure_future(batcher.submit(["a"]))
        await wait_until(lambda: work.calls)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(batcher.submit(["given up"]), 0.01)
        work.go.set()
        await first
        await batcher.submit(["b"])
        return batcher.waiting

    assert run(scenario, work) == 0
    assert [items for items, _ in work.calls] == [["a"], ["b"]]


def test_stopping_tells_those_who_wait():
    work = Work()
    work.go.clear()

    async def scenario(batcher):
        first = asyncio.ensure_future(batcher.submit(["a"]))
        await wait_until(lambda: work.calls)
        second = asyncio.ensure_future(batcher.submit(["b"]))
        await asyncio.sleep(0)
        stop = asyncio.ensure_future(batcher.stop())
        with pytest.raises(RequestError, match="stopping"):
            await second
        work.go.set()
        await stop
        with pytest.raises(RequestError, match="stopping"):
            await batcher.submit(["c"])
        first.cancel()

    run(scenario, work)


def test_a_function_that_loses_results_is_an_error():
    async def scenario(batcher):
        with pytest.raises(RuntimeError, match="2 items gave 1 results"):
            await batcher.submit(["a", "b"])

    async def main():
        with ThreadPoolExecutor(1) as thread:
            batcher = Batcher(lambda items, key: items[:1], thread)
            batcher.start()
            await scenario(batcher)
            await batcher.stop()

    asyncio.run(main())


def test_nothing_is_nothing():
    async def scenario(batcher):
        return await batcher.submit([])

    work = Work()
    assert run(scenario, work) == []
    assert work.calls == []
