"""Processes that apply functions: started by spawn, fed one task at a time, gone with their parent.

A pool of ``multiprocessing`` would hold an unbounded queue, and leave its processes behind when the
parent is killed. Here each process has a pipe of its own: a process whose parent is gone reads the
end of its pipe and ends; a parent whose process is gone does the same and says so.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection, wait
from typing import Any


class Workers:
    """Applies functions to tasks in other processes, or, if there is one worker, in this one.

    Use as a context manager. ``submit`` while :attr:`idle`, and take each result by ``result``.

    Args:
        count: of processes; 1 starts none.
        state: the first argument of every function; sent to each process once.

    Attributes:
        count: as given.
    """

    def __init__(self, count: int, state: Any):
        self._state = state
        self._done: deque[tuple[Any, Any]] = deque()  # of the one worker
        self._free: list[Connection] = []
        self._busy: dict[Connection, Any] = {}
        self._processes: dict[Connection, Any] = {}
        self.count = count

    def __enter__(self) -> Workers:
        if self.count == 1:
            return self
        context = multiprocessing.get_context("spawn")
        with _interrupts_ignored(), _quiet_tensorflow():
            for _ in range(self.count):
                ours, theirs = context.Pipe()
                process = context.Process(target=_serve, args=(theirs,), daemon=True)
                process.start()
                theirs.close()
                self._processes[ours] = process
        for connection in self._processes:
            connection.send(self._state)
            self._free.append(connection)
        return self

    def __exit__(self, *error) -> None:
        for connection, process in self._processes.items():
            connection.close()
            if error[0] is not None:
                process.terminate()
        for process in self._processes.values():
            process.join()

    @property
    def idle(self) -> bool:
        """Whether a task would begin at once."""
        return bool(self._free) if self._processes else not self._done

    @property
    def pending(self) -> int:
        """Tasks whose results have not been taken."""
        return len(self._busy) + len(self._done)

    def submit(self, key: Any, function: Callable, *arguments: Any) -> None:
        """Starts ``function(state, *arguments)``.

        Args:
            key: given back with the result.
            function: of a module.
            *arguments: can be pickled.
        """
        if not self._processes:
            self._done.append((key, function(self._state, *arguments)))
            return
        connection = self._free.pop()
        self._busy[connection] = key
        try:
            connection.send((function, arguments))
        except (BrokenPipeError, ConnectionResetError):
            self._died(connection)

    def result(self) -> tuple[Any, Any]:
        """Waits for a task: its key and what the function returned.

        Raises:
            RuntimeError: the function raised, or its process died.
        """
        if not self._processes:
            return self._done.popleft()
        connection = wait(list(self._busy))[0]
        try:
            error, found = connection.recv()
        except (EOFError, ConnectionResetError):
            self._died(connection)
        if error:
            raise RuntimeError(f"a worker process failed:\n{error}")
        self._free.append(connection)
        return self._busy.pop(connection), found

    def run(self, function: Callable, tasks: Iterator[tuple[Any, tuple]]) -> Iterator:
        """Applies a function to (key, arguments), and gives (key, result) in any order."""
        for key, arguments in tasks:
            while not self.idle:
                yield self.result()
            self.submit(key, function, *arguments)
        while self.pending:
            yield self.result()

    def _died(self, connection: Connection) -> None:
        process = self._processes[connection]
        process.join(5)
        raise RuntimeError(
            f"a worker process died (exit code {process.exitcode}), perhaps for lack of memory: "
            "give the same command again to go on, with fewer workers if it happens again."
        )


def _serve(connection: Connection) -> None:
    """What a process does: a state first, then tasks until the pipe ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears it, and ends its pipes
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        state = connection.recv()
        while True:
            function, arguments = connection.recv()
            try:
                answer = (None, function(state, *arguments))
            except Exception:
                answer = (traceback.format_exc(), None)
            connection.send(answer)


@contextlib.contextmanager
def _interrupts_ignored():
    """Processes started now are not interrupted while they import."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def _quiet_tensorflow():
    """Processes started now say nothing when they import TensorFlow."""
    before = os.environ.get("TF_CPP_MIN_LOG_LEVEL")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        yield
    finally:
        if before is None:
            del os.environ["TF_CPP_MIN_LOG_LEVEL"]
