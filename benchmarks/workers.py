"""Worker processes, one per contender, and the rounds that alternate between them."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


class WorkerError(RuntimeError):
    """A worker could not do what it was asked; the message says why in one line."""


def environment(threads: int) -> dict[str, str]:
    """The environment of every worker: equal threads, no accelerator, no network, few log lines."""
    number = str(threads)
    return {
        **os.environ,
        "BENCHMARK_THREADS": number,
        "OMP_NUM_THREADS": number,
        "MKL_NUM_THREADS": number,
        "RAYON_NUM_THREADS": number,
        "TOKENIZERS_PARALLELISM": "true",
        "CUDA_VISIBLE_DEVICES": "-1",
        "HF_HUB_OFFLINE": "1",
        "TF_CPP_MIN_LOG_LEVEL": "2",
        "PYTHONNOUSERSITE": "1",
        "PYTHONUNBUFFERED": "1",
    }


def busy_share(seconds: float = 1.0) -> float | None:
    """How much of the machine is in use just now, from 0 to 1; None where /proc is missing."""

    def ticks() -> tuple[int, int]:
        with open("/proc/stat") as lines:
            counts = [int(field) for field in next(lines).split()[1:9]]
        return sum(counts), counts[3] + counts[4]  # all, and idle or waiting for a disk

    try:
        total, idle = ticks()
        time.sleep(seconds)
        total_after, idle_after = ticks()
    except OSError:
        return None
    return 1 - (idle_after - idle) / max(1, total_after - total)


class Worker:
    """One running contender.

    Args:
        name: what error messages call it.
        command: the program and its arguments; it speaks ``benchmarks.sides.protocol``.
        log: file that takes everything else it prints.
        threads: how many cores it may use.
        timeout: seconds that one command may take.
    """

    def __init__(
        self, name: str, command: Sequence[str], log: Path, threads: int, timeout: float = 1800
    ) -> None:
        self.name, self.log, self.timeout = name, log, timeout
        self._unread = b""
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=environment(threads),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
            )

    def ask(self, command: str, **fields: Any) -> dict[str, Any]:
        """Sends one command and waits for its reply.

        Raises:
            WorkerError: when the worker reports an error, ends, or takes too long.
        """
        line = json.dumps({"command": command, **fields}) + "\n"
        try:
            self._process.stdin.write(line.encode())
            self._process.stdin.flush()
        except OSError as error:
            raise WorkerError(f"{self.name} has ended: see {self.log.name}.") from error
        reply = json.loads(self._read_line(command))
        if "error" in reply:
            with self.log.open("a", encoding="utf-8") as log:
                log.write(reply["traceback"])
            raise WorkerError(f"{self.name} failed in {command!r}: {reply['error']}")
        return reply

    def _read_line(self, command: str) -> bytes:
        deadline = time.monotonic() + self.timeout
        descriptor = self._process.stdout.fileno()
        while b"\n" not in self._unread:
            ready, _, _ = select.select([descriptor], [], [], max(0, deadline - time.monotonic()))
            if not ready:
                self.stop(patience=0)
                raise WorkerError(f"{self.name} took over {self.timeout:g} s for {command!r}.")
            received = os.read(descriptor, 65536)
            if not received:
                raise WorkerError(f"{self.name} ended during {command!r}: see {self.log.name}.")
            self._unread += received
        line, _, self._unread = self._unread.partition(b"\n")
        return line

    def stop(self, patience: float = 10) -> None:
        """Ends the worker: closes its input, and kills it if it is there ``patience`` s later."""
        self._process.stdout.close()
        with contextlib.suppress(OSError):  # a full pipe that nobody reads any more
            self._process.stdin.close()
        try:
            self._process.wait(patience)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, kind: type | None, *exception: object) -> None:
        self.stop(patience=10 if kind is None else 0)


def interleave(
    timed: Mapping[str, Callable[[], float]],
    rounds: int,
    warmup: int,
    progress: Callable[[str], None] = lambda line: None,
) -> dict[str, list[float]]:
    """Runs A B C, A B C, ... so that a slow moment of the machine meets all contenders alike.

    Args:
        timed: by contender, a function that does one round and returns its seconds.
        rounds: how many rounds count.
        warmup: how many rounds come before them and do not count.
        progress: takes one line after every round.

    Returns:
        The seconds of every counted round, by contender. A contender that fails is left out from
        then on, and its failure handed to ``progress``.
    """
    seconds: dict[str, list[float]] = {name: [] for name in timed}
    for index in range(-warmup, rounds):
        for name in list(seconds):
            try:
                elapsed = timed[name]()
            except WorkerError as error:
                progress(str(error))
                del seconds[name]
                continue
            if index >= 0:
                seconds[name].append(elapsed)
        label = f"round {index + 1} of {rounds}" if index >= 0 else "warm-up"
        last = ", ".join(f"{name} {times[-1]:.3g} s" for name, times in seconds.items() if times)
        progress(f"  {label}: {last}" if index >= 0 else f"  {label}")
    return seconds
