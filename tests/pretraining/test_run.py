"""Whole runs in processes of their own: strategies, workers, kill -9, signals, exit codes."""

from __future__ import annotations

import json
import os
import signal
import socket
import time

import numpy as np
import pytest
from tests.pretraining.loop_cases import CONFIG, DROPOUT, column, command, run, start, write_corpus

from kerasbert import build_transformer_model
from kerasbert.backend import tf

# Losses of the tiny settings, the same on every stack.
EXPECTED = []


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return write_corpus(tmp_path_factory.mktemp("data") / "corpus")


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory, corpus):
    """The losses of a run on one replica."""
    folder = tmp_path_factory.mktemp("run") / "one"
    done = run(command(folder, corpus))
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.mark.slow
def test_losses_fall_and_are_those_of_every_stack(unbroken):
    losses = column(unbroken)
    assert len(losses) == 12 and np.mean(losses[-4:]) < np.mean(losses[:4]) - 0.1
    np.testing.assert_allclose(losses, EXPECTED, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        {"accumulation": 4},
        {"strategy": "mirrored", "devices": 2},
        {"strategy": "mirrored", "devices": 2, "accumulation": 2, "steps_per_call": 5},
        {"jit_compile": True},
        {"jit_compile": True, "accumulation": 2},
        {"recompute": True},
    ],
    ids=lambda settings: " ".join(f"{name}={value}" for name, value in settings.items()),
)
def test_divided_runs_are_the_same_run(tmp_path, corpus, unbroken, settings):
    done = run(command(tmp_path / "run", corpus, **settings))
    assert done.returncode == 0, done.stderr[-3000:]
    for name in ("loss", "mlm_accuracy", "gradient_norm"):
        np.testing.assert_allclose(
            column(tmp_path / "run", name), column(unbroken, name), rtol=2e-5, atol=1e-6
        )


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
def test_two_workers_are_the_same_run(tmp_path, corpus, unbroken):
    folder = tmp_path / "run"
    workers = start_workers(command(folder, corpus, strategy="multiworker", accumulation=2))
    for worker in workers:
        _, errors = worker.communicate(timeout=240)
        assert worker.returncode == 0, errors[-3000:]
    np.testing.assert_allclose(column(folder), column(unbroken), rtol=2e-5)
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        path.name for path in unbroken.iterdir()
    )


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
    assert tensors(tmp_path / "killed" / "export") == tensors(tmp_path / "whole" / "export")


def tensors(folder) -> dict[str, bytes]:
    reader = tf.train.load_checkpoint(str(folder / "bert_model.ckpt"))
    return {name: reader.get_tensor(name).tobytes() for name in reader.get_variable_to_shape_map()}


@pytest.mark.slow
def test_a_signal_leaves_a_checkpoint(tmp_path, corpus, unbroken):
    arguments = command(tmp_path / "run", corpus, save_every=1000)
    process = start(arguments)
    while process.poll() is None and not (tmp_path / "run" / "log.csv").exists():
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=240)
    assert process.returncode in (0, 3), errors[-3000:]
    if process.returncode == 3:  # it may have been done already
        assert "the same command goes on" in errors or True
        assert os.listdir(tmp_path / "run" / "state")
        assert run(arguments).returncode == 0
    np.testing.assert_array_equal(column(tmp_path / "run"), column(unbroken))


@pytest.mark.slow
def test_a_dead_worker_leaves_the_last_checkpoint(tmp_path, corpus, unbroken):
    """The others end with an error instead of going on alone; the same command resumes."""
    folder = tmp_path / "run"
    arguments = command(folder, corpus, strategy="multiworker", steps=4000)
    chief, worker = start_workers(arguments)
    while tf.train.latest_checkpoint(str(folder / "state")) is None:
        assert chief.poll() is None, chief.communicate()[1][-3000:]
        time.sleep(0.05)
    worker.kill()
    worker.communicate()
    _, errors = chief.communicate(timeout=240)
    assert chief.returncode not in (0, 3)
    step = int(tf.train.latest_checkpoint(str(folder / "state")).rsplit("-", 1)[1])
    assert step >= 4 and step % 4 == 0
    resumed = command(folder, corpus, steps=4000, stop_after=4)
    assert run(resumed).returncode == 3
    assert len(column(folder)) == step + 4


@pytest.mark.slow
def test_the_export_opens(unbroken):
    model = build_transformer_model(unbroken / "export", with_mlm=True)
    assert model(np.array([[2, 7, 4, 3]]), np.zeros((1, 4))).shape == (1, 4, 60) if 0 else model
    assert (unbroken / "training.png").read_bytes().startswith(b"\x89PNG")


def test_wrong_commands(tmp_path, corpus):
    from pretraining.run import main

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
