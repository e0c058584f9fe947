"""Processes: results of all tasks, errors that are told, and nobody left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

import kerasbert
from pretraining.workers import Workers
from tests.conftest import CHECKOUT


def add(state, number):
    return state + number


def fail(state, number):
    if number == 3:
        raise ArithmeticError(f"{number} is too much")
    return number


def what_is_imported(state, number):
    names = {"tensorflow", "kerasbert"}
    return type(state).__module__, names & set(sys.modules)


def use_all_of_kerasbert(state):
    import kerasbert
    from kerasbert import tokenizers  # a module of it

    before = "tensorflow" in sys.modules
    from kerasbert import TransformerConfig

    return before, kerasbert.__version__, TransformerConfig.__name__, tokenizers.__name__


def die(state):
    os.kill(os.getpid(), signal.SIGKILL)


def test_one_worker_is_this_process():
    with Workers(1, 10) as workers:
        found = dict(workers.run(add, ((at, (at,)) for at in range(5))))
        assert not workers.pending and workers.idle
    assert found == {at: 10 + at for at in range(5)}


def test_one_worker_takes_tasks_only_when_results_are_taken():
    taken = []

    def tasks():
        for at in range(5):
            taken.append(at)
            yield at, (at,)

    with Workers(1, 0) as workers:
        results = workers.run(add, tasks())
        assert next(results) == (0, 0)
        assert len(taken) == 2  # one ahead


@pytest.mark.slow
def test_two_workers_apply_what_one_does():
    taken = []

    def tasks():
        for at in range(40):
            taken.append(at)
            yield at, (at,)

    with Workers(2, 100) as workers:
        results = workers.run(add, tasks())
        found = dict([next(results)])
        assert len(taken) <= 4  # tasks are made when a process is free
        found.update(results)
    assert found == {at: 100 + at for at in range(40)}


@pytest.mark.slow
def test_processes_import_tensorflow_only_when_it_is_needed():
    from kerasbert.tokenizers import Tokenizer

    state = Tokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "天"])
    with Workers(2, state) as workers:
        ((_, found),) = workers.run(what_is_imported, [(0, (0,))])
        ((_, later),) = workers.run(use_all_of_kerasbert, [(0, ())])
    assert found == ("kerasbert.tokenizers.tokenizer", {"kerasbert"})
    assert not later[0]
    assert later[1:] == (kerasbert.__version__, "TransformerConfig", "kerasbert.tokenizers")


@pytest.mark.slow
def test_an_error_in_a_process_is_told_with_its_place():
    with pytest.raises(RuntimeError, match=r"(?s)in fail.*ArithmeticError: 3 is too much"):
        with Workers(2, 0) as workers:
            list(workers.run(fail, ((at, (at,)) for at in range(10))))


@pytest.mark.slow
def test_a_process_that_dies_is_told():
    with pytest.raises(RuntimeError, match=r"died \(exit code -9\).*fewer workers"):
        with Workers(2, 0) as workers:
            list(workers.run(die, [(0, ())]))


# Without a guard against being run in every process.
PARENT = """
import sys, time
from pretraining.workers import Workers
workers = Workers(2, 0).__enter__()
print(*(process.pid for process in workers._processes.values()), flush=True)
time.sleep(100)
"""


@pytest.mark.slow
def test_processes_end_when_their_parent_is_killed(tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    parent = subprocess.Popen(
        [sys.executable, str(script)], env=environment, stdout=subprocess.PIPE, text=True
    )
    pids = list(map(int, parent.stdout.readline().split()))
    assert len(pids) == 2
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 60
    while any(map(is_running, pids)):
        assert time.monotonic() < deadline, "processes outlive their parent"
        time.sleep(0.1)


def is_running(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False
