"""Logs that go on after an interruption, means of intervals, the plot, and the work of a step."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerasbert import build_transformer_model
from kerasbert.backend import tf
from pretraining import work
from pretraining.watching import Interval, Table, Watch
from tests.pretraining.loop_cases import CONFIG


def test_a_table_goes_on(tmp_path):
    table = Table(tmp_path / "log.csv")
    for step in (10, 20, 30):
        table.add({"step": step, "loss": 1 / step})
    with (tmp_path / "log.csv").open("a") as file:
        file.write("40,0.0")  # cut in the middle of a line
        file.write("x")
    table = Table(tmp_path / "log.csv", last=20)
    table.add({"step": 30, "loss": 7.0, "accuracy": 0.5})
    with (tmp_path / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["10", "20", "30"]
    assert [row["accuracy"] for row in rows] == ["", "", "0.5"] and rows[0]["loss"] == "0.1"


def test_a_new_run_forgets_an_old_table(tmp_path):
    (tmp_path / "log.csv").write_text("step,loss\n5,1\n")
    assert Table(tmp_path / "log.csv", last=0).rows == []


@given(st.lists(st.integers(1, 4), min_size=1, max_size=4), st.integers(0, 2**31))
def test_an_interval_has_the_means_of_its_steps(counts, seed):
    rng = np.random.default_rng(seed)
    interval, losses, right, total = Interval(), [], [], []
    for count in counts:
        reports = {
            "loss": rng.random(count).astype("f"),
            "tokens": np.full(count, 3.0, "f"),
            "accuracy:sum": rng.integers(0, 5, count).astype("f"),
            "accuracy:weight": np.full(count, 5.0, "f"),
        }
        interval.add(reports)
        interval.keep()
        other = Interval()
        other.variable.assign(interval.variable)
        other.restore()  # as a resumed run does
        interval = other
        losses += reports["loss"].tolist()
        right += reports["accuracy:sum"].tolist()
        total += [5.0] * count
    found = interval.take()
    assert found["loss"] == pytest.approx(np.mean(losses))
    assert found["accuracy"] == pytest.approx(sum(right) / sum(total))
    assert found["tokens"] == 3.0 * sum(counts) and interval.sums == {}


def test_nothing_counted_is_no_accuracy():
    interval = Interval()
    interval.add({"loss": np.ones(1), "a:sum": np.zeros(1), "a:weight": np.zeros(1)})
    assert interval.take()["a"] == 0.0


def test_watch_writes_csv_tensorboard_and_a_plot(tmp_path):
    watch = Watch(tmp_path, 0, 2, tensorboard=True, quiet=True)
    for step in (1, 2):
        row = {"step": step, "loss": 3.0 / step, "mlm_accuracy": 0.1 * step}
        watch.line({**row, "learning_rate": 1e-4, "tokens_per_second": 5e3, "share_of_limit": 0.5})
    watch.evaluated({"step": 2, "mlm_accuracy": 0.15})
    assert watch.plot().read_bytes().startswith(b"\x89PNG")
    watch.close()
    (events,) = (tmp_path / "tensorboard").iterdir()
    tags = set()
    for record in tf.compat.v1.train.summary_iterator(str(events)):
        tags |= {(record.step, value.tag) for value in record.summary.value}
    assert (2, "training/loss") in tags and (2, "evaluation/mlm_accuracy") in tags


@pytest.mark.parametrize(
    "config",
    [
        CONFIG,
        {**CONFIG, "embedding_size": 8, "num_hidden_layers": 3},
        {**CONFIG, "attention_head_size": 4, "attention_key_size": 6},
    ],
)
def test_operations_are_those_of_the_graph(config):
    """TensorFlow's own count of the matrix products of the forward pass."""
    length, rows = 12, 3
    transformer = build_transformer_model(
        config, with_mlm="linear", sequence_length=length, return_keras_model=False
    )
    function = tf.function(lambda *inputs: transformer.model(list(inputs), training=False))
    spec = tf.TensorSpec([rows, length], tf.int32)
    graph = function.get_concrete_function(spec, spec).graph
    counted = 0
    for operation in graph.get_operations():
        if operation.type in ("MatMul", "BatchMatMulV2", "Einsum"):
            counted += products(operation)
    assert rows * work.forward_flops(transformer, length, predictions=length) == counted


def products(operation) -> int:
    """2 m n k for each product."""
    left, right = (each.shape.as_list() for each in operation.inputs)
    output = operation.outputs[0].shape.as_list()
    if operation.type == "MatMul":
        inner = left[0] if operation.get_attr("transpose_a") else left[1]
        return 2 * int(np.prod(output)) * inner
    if operation.type == "BatchMatMulV2":
        inner = left[-2] if operation.get_attr("adj_x") else left[-1]
        return 2 * int(np.prod(output)) * inner
    equation = operation.get_attr("equation").decode()
    first, rest = equation.split(",")
    second, out = rest.split("->")
    sizes = {**dict(zip(first, left)), **dict(zip(second, right))}
    return 2 * int(np.prod([sizes[axis] for axis in set(first + second)])) if out else 0


def test_the_limit_is_measured():
    assert work.matmul_limit("float32", size=64, seconds=0.01) > 0
