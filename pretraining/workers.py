"""Processes that apply functions: started by spawn, fed one task at a time, gone with their parent.

A pool of ``multiprocessing`` would hold an unbounded queue, and leave its processes behind when the
parent is killed. Here each process has a pipe of its own: a process whose parent is gone reads the
end of its pipe and ends; a parent whose process is gone does the same and says so. Processes do not
run the parent's main module again, and do not import TensorFlow unless they need it, which saves
each of them seconds and 300 MB.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import multiprocessing
import os
import signal
import sys
import threading
import traceback
import types
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
        with _interrupts_ignored(), _no_main_module():
            for _ in range(self.count):
                ours, theirs = context.Pipe()
                process = context.Process(target=_serve, args=(theirs,), daemon=True)
                process.start()
                theirs.close()
                self._processes[ours] = process
        try:
            for connection in self._processes:
                connection.send(self._state)
            for connection in self._processes:
                self._receive(connection)  # it has imported what the state needs
                self._free.append(connection)
        except BaseException as error:
            self.__exit__(type(error))
            raise
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
        found = self._receive(connection)
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

    def _receive(self, connection: Connection) -> Any:
        try:
            error, found = connection.recv()
        except (EOFError, ConnectionResetError):
            self._died(connection)
        if error:
            raise RuntimeError(f"a worker process failed:\n{error}")
        return found

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
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # should it be imported after all
    postpone("kerasbert")
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        state = connection.recv()
        connection.send((None, None))
        while True:
            function, arguments = connection.recv()
            try:
                answer = (None, function(state, *arguments))
            except Exception:
                answer = (traceback.format_exc(), None)
            connection.send(answer)


def postpone(name: str) -> None:
    """Lets modules of a package be imported without the package's own code, until it is needed.

    Args:
        name: of a package that is not imported yet; nothing happens otherwise.
    """
    spec = None if name in sys.modules else importlib.util.find_spec(name)
    if spec is not None and spec.submodule_search_locations is not None:
        package = _PostponedPackage(name)
        package.__spec__, package.__loader__, package.__file__ = spec, spec.loader, spec.origin
        package.__path__ = spec.submodule_search_locations
        sys.modules[name] = package


class _PostponedPackage(types.ModuleType):
    """A package whose code runs when something is asked for that is none of its modules."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name != "__version__":
            raise AttributeError(name)
        if importlib.util.find_spec(f"{self.__name__}.{name}") is not None:
            return importlib.import_module(f"{self.__name__}.{name}")
        self.__class__ = types.ModuleType
        self.__spec__.loader.exec_module(self)
        return getattr(self, name)


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
def _no_main_module():
    """Processes started now know nothing of the program: a script needs no guard against them."""
    before = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = before
