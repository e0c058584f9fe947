"""A run: many steps in the graph per call, with logs, evaluations, checkpoints and exports between.

Keras' ``fit`` is not used: under tf.distribute it clips gradients on each replica, and in Keras 3
it has neither accumulation nor several steps per execution there.
"""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from pretraining import work
from pretraining.exporting import export
from pretraining.host_loop import HostLoop
from pretraining.parts import Parts
from pretraining.state import State, keep_settings
from pretraining.watching import Interval, Watch


class Training:
    """A run in its output folder, from its beginning or from where it was interrupted.

    Args:
        parts: of the run.
        quiet: no progress bar.

    Attributes:
        step: steps done.

    Raises:
        ValueError: ``output`` is not set, or the folder holds something else.
    """

    def __init__(self, parts: Parts, quiet: bool = False):
        settings = parts.settings
        if not settings.output:
            raise ValueError("output is needed: a folder of checkpoints, logs and exports.")
        self.parts, self.settings = parts, settings
        self.folder = Path(settings.output).expanduser()
        keep_settings(self.folder, settings, parts.facts(), parts.chief)
        self.interval, self.host = Interval(), HostLoop(parts.step)
        kept = {
            "model": parts.objective.model,
            "optimizer": parts.optimizer,
            "average": parts.average,
            "loss_scale": parts.loss_scale,
            "interval": self.interval.variable,
        }
        kept = {name: part for name, part in kept.items() if part is not None}
        self.state = State(self.folder, settings.keep, parts.chief, **kept)
        self.step = self._saved = self.state.restore()
        self.interval.restore()
        self.watch = None
        if parts.chief:
            self.watch = Watch(self.folder, self.step, settings.steps, settings.tensorboard, quiet)
            self._limit = self._operations_per_second()
        self._counted, self._since = self.step, time.perf_counter()

    def run(self) -> dict[str, float]:
        """Trains to the end, or until Ctrl-C or SIGTERM, which leave a checkpoint.

        Returns:
            The last line of the log, with ``step``, and ``done`` 1 for a complete run, else 0.

        Raises:
            FloatingPointError: the loss is not a number; the last good checkpoint is there.
            OSError: a checkpoint could not be written; the one before is there.
        """
        try:
            with _noted_signals() as received:
                return self._run(received)
        finally:
            if self.watch:
                self.watch.close()

    def _run(self, received: list[int]) -> dict[str, float]:
        settings, batches = self.settings, self.parts.batches
        end = min(settings.steps, self.step + (settings.stop_after or settings.steps))
        iterator, row = None, {}
        while self.step < end and not self.host.any(bool(received)):
            place = self.step % batches.steps_per_epoch
            if iterator is None or place == 0:
                iterator = self.host.iterator(batches, self.step)
            count = min(end - self.step, batches.steps_per_epoch - place, *self._distances())
            reports = self.host.steps(iterator, self.step, count)
            self._check(reports)
            self.interval.add(reports)
            self.step += count
            if self.watch:
                self.watch.bar.update(count)
            if self.step % settings.log_every == 0 or self.step == settings.steps:
                row = self._line()
            with self._clock_stopped():
                self._between()
        if self._saved != self.step:
            self._save()
        done = self.step == settings.steps
        if done:
            self._finish()
        elif self.watch:
            self.watch.bar.write(f"stopped after step {self.step}: the same command goes on.")
        return {**row, "step": self.step, "done": float(done)}

    def _distances(self) -> list[int]:
        """Steps to whatever is due next."""
        settings = self.settings
        every = [settings.log_every, settings.save_every, settings.export_every]
        every.append(settings.evaluate_every if self.parts.held_out else None)
        distances = [number - self.step % number for number in every if number]
        return [settings.steps_per_call, *distances]

    def _between(self) -> None:
        """What is due after a step besides its log."""
        settings = self.settings
        last = self.step == settings.steps
        if self.parts.held_out and (last or self._due(settings.evaluate_every)):
            self._evaluate()
        if self._due(settings.save_every):
            self._save()
        if self._due(settings.export_every) and not last:
            self._export(self.folder / "exports" / f"step-{self.step}")

    def _due(self, every: int | None) -> bool:
        return bool(every) and self.step % every == 0

    def _check(self, reports: Mapping[str, np.ndarray]) -> None:
        wrong = np.flatnonzero(~np.isfinite(reports["loss"]))
        if wrong.size and self.parts.loss_scale is None:
            raise FloatingPointError(
                f"The loss of step {self.step + wrong[0]} is {reports['loss'][wrong[0]]}. The last "
                f"good checkpoint is {self.state.latest()}. Try a lower learning_rate, a longer "
                "warmup, or clip_norm."
            )

    def _line(self) -> dict[str, float]:
        """Shows and keeps the numbers since the last line."""
        numbers = self.interval.take()
        tokens = numbers.pop("tokens")
        steps, seconds = self.step - self._counted, time.perf_counter() - self._since
        self._counted, self._since = self.step, time.perf_counter()
        parts = self.parts
        applied = int(parts.optimizer.iterations.numpy())  # fewer where a loss scale left steps out
        row = {"step": self.step, **numbers}
        row["learning_rate"] = float(parts.schedule(max(applied - 1, 0)))
        row["tokens_per_second"] = tokens / seconds
        if parts.loss_scale is not None:
            row["loss_scale"] = float(parts.loss_scale.scale.numpy())
        if self.watch:
            if self._limit:
                row["share_of_limit"] = parts.operations * steps / seconds / self._limit
            self.watch.line(row)
        return row

    def _operations_per_second(self) -> float:
        """What the devices' matrix products could do; 0 where it is not known."""
        strategy = self.parts.strategy
        if self.settings.strategy == "tpu":
            return 0.0
        dtype = self.settings.precision.replace("mixed_", "")
        replicas = (
            1
            if self.settings.strategy == "mirrored" and work.on_cpu()
            else (strategy.num_replicas_in_sync)
        )
        return work.matmul_limit(dtype) * replicas

    def _evaluate(self) -> None:
        """Evaluates on the held-out corpus, with the same masks every time."""
        batches = self.parts.held_out
        count = min(batches.steps_per_epoch, self.settings.evaluation_steps or sys.maxsize)
        with self._averaged():
            row = self.host.evaluate(self.host.iterator(batches, 0), count)
        if self.watch:
            self.watch.evaluated({"step": self.step, **row})

    def _save(self) -> None:
        self.state.step.assign(self.step)
        self.interval.keep()
        self.state.save()
        self._saved = self.step

    def _finish(self) -> None:
        self._export(self.folder / "export")
        if self.watch:
            self.watch.plot()

    def _export(self, folder: Path) -> None:
        parts = self.parts
        with self._averaged():
            if parts.chief:
                export(parts.objective, folder, parts.corpus.tokenizer(), self.settings.export_zip)

    def _averaged(self):
        """Within it the model has the averaged weights, if there are such."""
        average = self.parts.average
        return average.swapped() if average is not None else contextlib.nullcontext()

    @contextlib.contextmanager
    def _clock_stopped(self) -> Iterator[None]:
        """Leaves out of the rate what is no training."""
        begin = time.perf_counter()
        yield
        self._since += time.perf_counter() - begin


@contextlib.contextmanager
def _noted_signals() -> Iterator[list[int]]:
    """Notes Ctrl-C and SIGTERM instead of dying of them; a second Ctrl-C interrupts at once."""
    received: list[int] = []

    def note(number, frame):
        if received and number == signal.SIGINT:
            raise KeyboardInterrupt
        received.append(number)

    if threading.current_thread() is not threading.main_thread():  # no handlers elsewhere
        yield received
        return
    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
