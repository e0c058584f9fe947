"""What a worker says and hears: one JSON object per line on standard input and output.

The harness starts ``python -m benchmarks.sides.<side>`` once for each contender and then sends

=========  =============  =====================================================
command    fields         reply
=========  =============  =====================================================
import                    seconds, versions
prepare    job            seconds, info
round                     seconds, value (a loss, or null)
output     path           seconds, and the arrays of the first output in a file
stop                      (the worker ends)
=========  =============  =====================================================

Every reply also has ``resident_bytes`` and ``peak_bytes`` (since the import), or it is
``{"error": ..., "traceback": ...}``. This file must run on Python 3.7, the last one that
bert4keras has an environment for.
"""

from __future__ import annotations

import glob
import json
import os
import sys
import time
import traceback
from typing import Any, Callable

import numpy as np

FEW = 64  # questions whose vectors are compared
CHECKED = 3  # first steps of pretraining, whose losses are compared


class Side:
    """One side of the comparison: subclass it, then call :func:`serve`.

    A subclass has one method ``prepare_<row>`` for every row it can do. It loads what
    :attr:`job` needs, sets :attr:`work` and :attr:`result`, and may return facts worth printing.

    Attributes:
        threads: how many threads the side may compute with.
        job: what the harness asked for: row, variant, mode, dtype, sizes, assets (folder), inputs.
        work: does the timed work once, until its result is there; may return a loss.
        result: returns what must be equal on all sides: float32 arrays, or lists of token ids as
            ``rows``.
    """

    threads = 1
    job: dict[str, Any] = {}
    work: Callable[[], Any]
    result: Callable[[], dict[str, Any]]

    def imports(self) -> dict[str, str]:
        """Imports the libraries of this side, sets their threads and returns their versions."""
        raise NotImplementedError

    def prepare(self) -> dict[str, Any]:
        """Calls ``prepare_<row>``."""
        method = getattr(self, "prepare_" + self.job["row"], None)
        if method is None:
            raise NotImplementedError(f"This side does not do the row {self.job['row']!r}.")
        return method() or {}

    def read_inputs(self) -> Any:
        """The job's input file: arrays by name (.npz), or what its JSON holds."""
        path = self.job["inputs"]
        if path.endswith(".npz"):
            with np.load(path) as arrays:
                return dict(arrays)
        with open(path, encoding="utf-8") as file:
            return json.load(file)

    def tokenise_with(self, many: Callable, one: Callable, finish: Callable = list) -> None:
        """Sets :attr:`work` and :attr:`result` for the row ``tokenise``: every round has new texts.

        Args:
            many: from a list of texts to their token ids.
            one: from a single text to its token ids, for the variant ``single_call``.
            finish: from what ``many`` returned to lists, with special tokens (not timed).
        """
        sets = iter(self.read_inputs())
        first = next(sets)
        if self.job["variant"] == "single_call":

            def tokenise(texts):
                return [one(text) for text in texts]
        else:
            tokenise = many
        self.work = lambda: tokenise(next(sets))
        self.result = lambda: {"rows": finish(tokenise(first))}

    def read_head(self) -> tuple[np.ndarray, np.ndarray]:
        """Kernel (hidden_size, 2) and bias (2,) of the classifier that every side trains."""
        with np.load(self.job["assets"] + "/classifier.npz") as arrays:
            return arrays["kernel"], arrays["bias"]


def ragged(rows: list[list[int]]) -> dict[str, np.ndarray]:
    """Lists of token ids as two arrays that can be saved."""
    ids = np.array([token_id for row in rows for token_id in row], np.int64)
    return {"ids": ids, "lengths": np.array([len(row) for row in rows], np.int64)}


def memory() -> dict[str, int | None]:
    """The process's resident and highest resident memory in bytes; None where /proc is missing.

    ``ru_maxrss`` would not do: across ``exec`` it keeps the memory of the parent.
    """
    facts: dict[str, int | None] = {"resident_bytes": None, "peak_bytes": None}
    keys = {"VmRSS:": "resident_bytes", "VmHWM:": "peak_bytes"}
    try:
        with open("/proc/self/status") as lines:
            for line in lines:
                fields = line.split()
                if fields and fields[0] in keys:
                    facts[keys[fields[0]]] = 1024 * int(fields[1])
    except OSError:
        pass
    return facts


def reset_peak_memory() -> None:
    """Lets ``peak_bytes`` count from now on (Linux; a no-op elsewhere)."""
    try:
        with open("/proc/self/clear_refs", "w") as control:
            control.write("5")
    except OSError:
        pass


def pin(threads: int) -> None:
    """Pins this process to its first ``threads`` cores, so that no side can use more."""
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, cores[:threads])


def cpu_seconds() -> float:
    """CPU time of this process and, on Linux, of the processes that it has started."""
    total = time.process_time()
    for path in glob.glob("/proc/self/task/*/children"):
        with open(path) as file:
            children = file.read().split()
        for child in children:
            with open(f"/proc/{child}/stat") as file:
                fields = file.read().rpartition(")")[2].split()
            total += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return total


def _timed(
    function: Callable[[], Any], clock: Callable[[], float] = time.perf_counter
) -> tuple[Any, float]:
    """Calls a function: its value, and the seconds it took."""
    started = clock()
    value = function()
    return value, clock() - started


def _answer(side: Side, message: dict[str, Any]) -> dict[str, Any]:
    command = message["command"]
    if command == "import":
        versions, seconds = _timed(side.imports)
        return {"seconds": seconds, "versions": versions}
    if command == "prepare":
        side.job = message["job"]
        info, seconds = _timed(side.prepare)
        return {"seconds": seconds, "info": info}
    if command == "round":
        clock = cpu_seconds if side.job.get("clock") == "cpu" else time.perf_counter
        value, seconds = _timed(side.work, clock)
        return {"seconds": seconds, "value": value if isinstance(value, float) else None}
    if command == "output":
        arrays, seconds = _timed(side.result)
        reply = {"seconds": seconds, **memory()}
        np.savez(message["path"], **(ragged(arrays["rows"]) if "rows" in arrays else arrays))
        return reply
    raise ValueError(f"Unknown command {command!r}.")


def serve(side: Side) -> None:
    """Answers the harness until it says stop or closes the pipe."""
    # Libraries print to file descriptor 1 as well; the protocol gets a descriptor of its own.
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    side.threads = int(os.environ.get("BENCHMARK_THREADS", "1"))
    pin(side.threads)
    for line in sys.stdin:
        message = json.loads(line)
        if message["command"] == "stop":
            break
        try:
            reply = _answer(side, message)
            reply = {**memory(), **reply}
            if message["command"] == "import":
                reset_peak_memory()
        except Exception as error:
            text = str(error).strip() or repr(error)
            reply = {"error": f"{type(error).__name__}: {text}"[:2000]}
            reply["traceback"] = traceback.format_exc()
        replies.write(json.dumps(reply) + "\n")
        replies.flush()
