"""Whole runs in processes of their own: strategies, workers, kill -9, signals, exit codes."""

from __future__ import annotations

import json
import signal
import socket
import sys
import time

import numpy as np
import pytest

from kerasbert.backend import tf
from pretraining.loop import Training
from pretraining.parts import Parts
from pretraining.run import main
from pretraining.settings import Settings
from tests.pretraining.loop_cases import (
    CONFIG,
    DROPOUT,
    EXPECTED,
    SETTINGS,
    column,
    command,
    run,
    start,
    tensors,
    write_corpus,
)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return write_corpus(tmp_path_factory.mktemp("data") / "corpus")


MIRRORED = """
import json, sys
from pathlib import Path
from pretraining.loop import Training
from pretraining.parts import Parts
from pretraining.settings import Settings
from tests.pretraining.loop_cases import CONFIG, EXPECTED, SETTINGS, column

corpus, folder = sys.argv[1:]
shared = {"strategy": "mirrored", "devices": 2, "config": CONFIG, **SETTINGS}
for name, changes in {
    "plain": {},
    "divided": {"accumulation": 2, "steps_per_call": 5, "average": 0.5, "optimizer": "lamb"},
    "compiled": {"jit_compile": True},
    "half": {"precision": "mixed_float16"},
}.items():
    settings = {**shared, "corpus": corpus, "output": f"{folder}/{name}", **changes}
    parts = Parts(Settings(**settings))
    assert parts.strategy.num_replicas_in_sync == 2
    Training(parts, quiet=True).run()
    print(json.dumps([name, column(Path(parts.settings.output))]))
"""


@pytest.mark.smoke
@pytest.mark.slow
def test_two_replicas_are_the_same_run(tmp_path, corpus):
    done = run([sys.executable, "-c", MIRRORED, str(corpus), str(tmp_path)])
    assert done.returncode == 0, done.stderr[-3000:]
    losses = dict(json.loads(line) for line in done.stdout.splitlines() if line.startswith("["))
    np.testing.assert_allclose(losses["plain"], EXPECTED, rtol=1e-5)
    np.testing.assert_allclose(losses["compiled"], EXPECTED, rtol=1e-5)
    np.testing.assert_allclose(losses["half"], EXPECTED, atol=0.1)
    one = Settings(**{"config": CONFIG, **SETTINGS, "optimizer": "lamb", "average": 0.5},
                   corpus=str(corpus), output=str(tmp_path / "one"))  # fmt: skip
    Training(Parts(one), quiet=True).run()
    np.testing.assert_allclose(losses["divided"], column(tmp_path / "one"), rtol=1e-5)
    ours, theirs = tensors(tmp_path / "divided" / "export"), tensors(tmp_path / "one" / "export")
    assert ours.keys() == theirs.keys()
    for name in ours:
        np.testing.assert_allclose(ours[name], theirs[name], atol=2e-5, err_msg=name)


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def start_workers(arguments: list[str], count: int = 2) -> list:
    addresses = [f"127.0.0.1:{port}" for port in free_ports(count)]
    processes = []
    for index in range(count):
        task = {"type": "worker", "index": index}
        cluster = json.dumps({"cluster": {"worker": addresses}, "task": task})
        processes.append(start(arguments, TF_CONFIG=cluster))
    return processes


@pytest.mark.slow
def test_two_workers_are_the_same_run(tmp_path, corpus):
    folder = tmp_path / "run"
    workers = start_workers(command(folder, corpus, strategy="multiworker", accumulation=2))
    for worker in workers:
        _, errors = worker.communicate(timeout=240)
        assert worker.returncode == 0, errors[-3000:]
    np.testing.assert_allclose(column(folder), EXPECTED, rtol=1e-5)
    names = {path.name for path in folder.iterdir()}
    assert names == {"settings.json", "state", "log.csv", "export", "training.png"}


@pytest.mark.slow
def test_kill_and_resume_is_the_unbroken_run(tmp_path, corpus):
    """With dropout, an average of the weights, an evaluation, and whole words."""
    settings = {
        "config": {**CONFIG, **DROPOUT},
        "average": 0.9,
        "steps": 40,
        "evaluation": str(corpus),
        "evaluate_every": 8,
        "log_every": 2,
        "masking": {"mode": "whole_word", "max_predictions": 4},
    }
    whole = run(command(tmp_path / "whole", corpus, **settings))
    assert whole.returncode == 0, whole.stderr[-3000:]
    assert "absl" not in whole.stderr and "cudart" not in whole.stderr  # TensorFlow's chatter
    arguments = command(tmp_path / "killed", corpus, **settings)
    state = tmp_path / "killed" / "state"
    for minimum in (8, 20):
        process = start(arguments)
        while process.poll() is None:
            newest = tf.train.latest_checkpoint(str(state)) or "-0"
            if int(newest.rsplit("-", 1)[1]) >= minimum:
                process.send_signal(signal.SIGKILL)
                break
            time.sleep(0.01)
        process.communicate()
    done = run(arguments)
    assert done.returncode == 0, done.stderr[-3000:]
    for file, name in (("log.csv", "loss"), ("log.csv", "gradient_norm"),
                       ("evaluation.csv", "mlm_loss")):  # fmt: skip
        ours = column(tmp_path / "killed", name, file)
        np.testing.assert_array_equal(ours, column(tmp_path / "whole", name, file))
    ours, theirs = tensors(tmp_path / "killed" / "export"), tensors(tmp_path / "whole" / "export")
    for name in theirs:
        np.testing.assert_array_equal(ours[name], theirs[name], name)


@pytest.mark.either
@pytest.mark.slow
def test_a_signal_leaves_a_checkpoint(tmp_path, corpus):
    arguments = command(tmp_path / "run", corpus, save_every=10_000, steps=5000)
    process = start(arguments)
    while process.poll() is None and not (tmp_path / "run" / "log.csv").exists():
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=240)
    assert process.returncode == 3, errors[-3000:]
    steps = len(column(tmp_path / "run"))
    newest = tf.train.latest_checkpoint(str(tmp_path / "run" / "state"))
    assert newest.endswith(f"-{steps}") and steps < 5000
    assert run([*arguments, "--stop-after", "2"]).returncode == 3
    assert len(column(tmp_path / "run")) == steps + 2


@pytest.mark.either
@pytest.mark.slow
def test_a_dead_worker_leaves_the_last_checkpoint(tmp_path, corpus):
    """The others end with an error instead of going on alone; the same command resumes."""
    folder = tmp_path / "run"
    arguments = command(folder, corpus, strategy="multiworker", steps=4000)
    chief, worker = start_workers(arguments)
    while tf.train.latest_checkpoint(str(folder / "state")) is None:
        assert chief.poll() is None, chief.communicate()[1][-3000:]
        time.sleep(0.05)
    worker.kill()
    worker.communicate()
    chief.communicate(timeout=240)
    assert chief.returncode not in (0, 3)
    step = int(tf.train.latest_checkpoint(str(folder / "state")).rsplit("-", 1)[1])
    assert step >= 4 and step % 4 == 0
    resumed = command(folder, corpus, steps=4000, stop_after=4)
    assert run(resumed).returncode == 3
    assert len(column(folder)) == step + 4


def test_wrong_commands(tmp_path, corpus):
    other = write_corpus(tmp_path / "small", shards=1, rows=2)
    arguments = command(tmp_path / "run", corpus)[3:]
    for extra, code in (
        (["--corpus", str(tmp_path / "nothing")], 1),
        (["--corpus", str(other)], 1),
        (["--batch-size", "6", "--accumulation", "4"], 2),
        (["--objective", "berd"], 1),
        (["--objective", "bert"], 1),
        (["--optimizer-options", '{"clipnorm": 1}'], 1),
        (["--masking", '{"mode": "words"}'], 1),
        (["--strategy", "multiworker"], 1),
        (["--average", "2"], 2),
        (["--steps", "many"], 2),
    ):
        try:
            found = main([*arguments, *extra])
        except SystemExit as ended:
            found = ended.code
        assert found == code, extra
    assert not (tmp_path / "run").exists()
