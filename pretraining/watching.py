"""What a run shows: a progress bar, log.csv, evaluation.csv, TensorBoard, and a plot at the end."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf
from tqdm.auto import tqdm

from kerasbert.tokenizers.vocabulary import write_whole

# What tf.summary.scalar writes, which needs TensorBoard installed.
_SCALAR = tf.compat.v1.SummaryMetadata(data_class=1)
_SCALAR.plugin_data.plugin_name = "scalars"
LOG, EVALUATION, PLOT = "log.csv", "evaluation.csv", "training.png"


class Table:
    """Lines of numbers by step in a CSV file, which a resumed run goes on from.

    Args:
        path: of the file.
        last: lines of later steps than this are dropped.

    Attributes:
        rows: of numbers by name, ``step`` among them, in order.
    """

    def __init__(self, path: Path, last: int = 0):
        self.path = path
        self.rows: list[dict[str, float]] = []
        if path.exists():
            with path.open(encoding="utf-8", newline="") as file:
                for row in csv.DictReader(file):
                    try:
                        numbers = {name: float(text) for name, text in row.items() if text}
                        step = int(numbers["step"])
                    except (TypeError, ValueError, KeyError):
                        continue  # a line that was cut
                    if step <= last:
                        self.rows.append({**numbers, "step": step})
            self._write()

    def add(self, row: Mapping[str, float]) -> None:
        """Appends a line; a name that is new rewrites the file."""
        known = set().union(*self.rows) if self.rows else set()
        self.rows.append(dict(row))
        if set(row) <= known:
            with self.path.open("a", encoding="utf-8", newline="") as file:
                csv.DictWriter(file, self._names()).writerow(_texts(row))
        else:
            self._write()

    def _names(self) -> list[str]:
        return list(dict.fromkeys(name for row in self.rows for name in row))

    def _write(self) -> None:
        buffer = io.StringIO(newline="")
        writer = csv.DictWriter(buffer, self._names())
        writer.writeheader()
        writer.writerows(map(_texts, self.rows))
        write_whole(self.path, buffer.getvalue().encode())


def _texts(row: Mapping[str, float]) -> dict[str, str]:
    return {name: f"{value:.7g}" if name != "step" else str(value) for name, value in row.items()}


class Interval:
    """Numbers of the steps since the last line, kept in checkpoints as well.

    Attributes:
        sums: of the reports, by name.
        variable: what checkpoints hold of them.
    """

    def __init__(self):
        self.variable = tf.Variable("{}", trainable=False)
        self.sums: dict[str, float] = {}

    def add(self, reports: Mapping[str, np.ndarray]) -> None:
        """Adds the numbers of some steps, arrays (steps,) by name."""
        for name, values in reports.items():
            self.sums[name] = self.sums.get(name, 0.0) + float(values.sum(dtype=np.float64))
        steps = len(next(iter(reports.values())))
        self.sums["steps"] = self.sums.get("steps", 0.0) + steps

    def take(self) -> dict[str, float]:
        """Means since the last call, ``<metric>:sum`` over ``:weight`` as the metric."""
        sums, self.sums = self.sums, {}
        steps = sums.pop("steps", 0.0)
        means = {}
        for name, value in sums.items():
            metric, _, part = name.partition(":")
            if part == "sum":
                weight = sums[f"{metric}:weight"]
                means[metric] = value / weight if weight else 0.0
            elif not part and name != "tokens":
                means[name] = value / max(steps, 1)
        return {**means, "tokens": sums.get("tokens", 0.0)}

    def keep(self) -> None:
        """Puts the numbers into the variable, before a checkpoint is written."""
        self.variable.assign(json.dumps(self.sums))

    def restore(self) -> None:
        """Takes them out of it, after a checkpoint was read."""
        self.sums = json.loads(self.variable.numpy())


class Watch:
    """The outputs of a run that people look at; of the chief only.

    Args:
        folder: of the run.
        step: steps done so far.
        steps: of the whole run.
        tensorboard: whether to write for TensorBoard too.
        quiet: no progress bar.
    """

    def __init__(self, folder: Path, step: int, steps: int, tensorboard: bool, quiet: bool = False):
        self.folder = folder
        self.log = Table(folder / LOG, step)
        self.evaluation = Table(folder / EVALUATION, step)
        self.bar = tqdm(total=steps, initial=step, unit="step", disable=quiet, dynamic_ncols=True)
        self.writer = (
            tf.summary.create_file_writer(str(folder / "tensorboard")) if tensorboard else None
        )

    def line(self, row: Mapping[str, float]) -> None:
        """Shows and keeps the numbers of an interval."""
        self.log.add(row)
        shown = {"loss": f"{row['loss']:.3f}"}
        shown.update({name: f"{row[name]:.3f}" for name in row if name.endswith("accuracy")})
        shown["lr"] = f"{row['learning_rate']:.2e}"
        shown["tokens/s"] = f"{row['tokens_per_second']:,.0f}"
        if row.get("share_of_limit"):
            shown["limit"] = f"{row['share_of_limit']:.0%}"
        self.bar.set_postfix(shown)
        self._summarize("training", row)

    def evaluated(self, row: Mapping[str, float]) -> None:
        """Shows and keeps the numbers of an evaluation."""
        self.evaluation.add(row)
        numbers = ", ".join(f"{name} {value:.4f}" for name, value in row.items() if name != "step")
        self.bar.write(f"step {row['step']}: held out {numbers}")
        self._summarize("evaluation", row)

    def _summarize(self, group: str, row: Mapping[str, float]) -> None:
        if self.writer is None:
            return
        with self.writer.as_default(step=int(row["step"])):
            for name, value in row.items():
                if name != "step":
                    tf.summary.write(f"{group}/{name}", float(value), metadata=_SCALAR)
        self.writer.flush()

    def close(self) -> None:
        """Ends the bar and the files."""
        self.bar.close()
        if self.writer is not None:
            self.writer.close()

    def plot(self) -> Path | None:
        """Draws loss, accuracy and learning rate; None where matplotlib is not installed."""
        try:
            from matplotlib.backends.backend_agg import FigureCanvasAgg
            from matplotlib.figure import Figure
        except ImportError:
            return None
        panels = [
            ("loss", [n for n in self._columns() if n.endswith("loss")]),
            ("accuracy", [n for n in self._columns() if n.endswith("accuracy")]),
            ("learning rate", ["learning_rate"]),
            ("tokens per second", ["tokens_per_second"]),
        ]
        panels = [(title, names) for title, names in panels if names]
        figure = Figure(figsize=(9, 2.4 * len(panels)), layout="constrained")
        FigureCanvasAgg(figure)
        for place, (title, names) in enumerate(panels):
            axes = figure.add_subplot(len(panels), 1, place + 1)
            for name in names:
                axes.plot(*_curve(self.log.rows, name), label=name, linewidth=1)
                held_out = _curve(self.evaluation.rows, name)
                if held_out[0]:
                    axes.plot(*held_out, "o-", markersize=3, label=f"{name}, held out")
            axes.set_ylabel(title)
            if title in ("loss", "accuracy"):
                axes.legend(fontsize="small")
        axes.set_xlabel("step")
        buffer = io.BytesIO()
        figure.savefig(buffer, dpi=110, format="png")
        write_whole(self.folder / PLOT, buffer.getvalue())
        return self.folder / PLOT

    def _columns(self) -> list[str]:
        return list(dict.fromkeys(name for row in self.log.rows for name in row))


def _curve(rows: list[dict[str, float]], name: str) -> tuple[list[float], list[float]]:
    found = [row for row in rows if name in row]
    return [row["step"] for row in found], [row[name] for row in found]
