"""Runs one case, that is one row in one variant: inputs, workers, checks, rounds."""

from __future__ import annotations

import contextlib
import functools
import json
import math
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import formats, report, sequences, texts, weights
from benchmarks.settings import Settings
from benchmarks.specs import BASELINE, Contender, Row
from benchmarks.workers import Worker, WorkerError, busy_share, interleave


def write_inputs(
    row: Row, variant: str, sizes: Mapping[str, int], settings: Settings
) -> tuple[Path, int | None]:
    """Writes what every side reads for a case.

    Returns:
        The file, and for rows of texts the UTF-8 bytes of a round's texts, on average.
    """
    folder = settings.assets / "inputs"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{row.name}-{variant}.json"
    if "characters" in sizes:
        count = 1 + sizes["warmup"] + sizes["rounds"]  # the first set is compared
        language = "en" if row.name == "tokenise_bpe" else "zh"
        sets = texts.text_sets(
            variant, settings.data, sizes["characters"], count, language=language
        )
        path.write_text(json.dumps(sets), encoding="utf-8")
        return path, sum(len("".join(one).encode()) for one in sets) // count
    if row.name == "encode":
        questions = [pair[0] for pair in texts.pairs(settings.data, sizes["questions"])]
        path.write_text(json.dumps(questions), "utf-8")
        return path, None
    if row.name == "finetune_epoch":
        path.write_text(json.dumps(texts.pairs(settings.data, sizes["examples"])), "utf-8")
        return path, None
    if row.name == "load_formats" and variant != "google":
        formats.folder_of(settings.assets, variant)
    generator = np.random.default_rng(0)
    if row.name == "generate":
        shape = (int(variant.rsplit("_", 1)[1]), sizes["length"])
        prompts = generator.integers(200, sizes["vocabulary"], shape)
        path.write_text(json.dumps(prompts.tolist()), "utf-8")
        return path, None
    highest = weights.config_for(settings.model)["vocab_size"]
    if row.name in ("masking", "pretrain_step"):
        special = sequences.special_ids(settings.assets / "google" / "vocab.txt")
        if row.name == "masking":
            count, length = sizes["sequences"], int(variant.rsplit("_", 1)[1])
            arrays = sequences.make_sequences(count, length, special, highest, generator)
        else:
            arrays = sequences.make_masked_batches(sizes, special, highest, generator)
        path = path.with_suffix(".npz")
        np.savez(path, vocab_size=highest, **arrays)
        return path, None
    shape = (sizes["batch"], sizes["length"])
    token_ids = generator.integers(1000, highest, shape, dtype=np.int32)
    segment_ids = np.zeros(shape, np.int32)
    segment_ids[:, shape[1] // 2 :] = 1
    labels = generator.integers(0, 2, shape[0], dtype=np.int32)
    path = path.with_suffix(".npz")
    np.savez(path, token_ids=token_ids, segment_ids=segment_ids, labels=labels)
    return path, None


class Case:
    """One row in one variant, on its way from contenders to results.

    Args:
        row: what is measured.
        variant: a precision, or a kind of text.
        contenders: who takes part; without this package the first one is the baseline.
        sizes: batch, length, rounds and so on.
        settings: what all cases share.
    """

    def __init__(
        self,
        row: Row,
        variant: str,
        contenders: list[Contender],
        sizes: Mapping[str, int],
        settings: Settings,
    ) -> None:
        self.row, self.variant, self.sizes, self.settings = row, variant, dict(sizes), settings
        self.contenders = {str(contender): contender for contender in contenders}
        self.baseline = BASELINE if BASELINE in self.contenders else next(iter(self.contenders))
        self.results: dict[str, dict[str, Any]] = {name: {} for name in self.contenders}
        self.inputs, self.text_bytes = write_inputs(row, variant, sizes, settings)
        self.others_busy: list[float] = []
        self._references: dict[str | None, Mapping[str, np.ndarray]] = {}

    def run(self) -> dict[str, Any]:
        """Measures the case and returns it as the results file holds it."""
        self.settings.echo(f"{self.row.name}, {self.variant}")
        if self.row.cold:
            timed = {name: functools.partial(self._cold, name) for name in self.contenders}
            self._interleave(timed)
            for name, result in self.results.items():
                if "problem" not in result:
                    self._summarise_cold(name)
        else:
            with contextlib.ExitStack() as stack:
                timed = {}
                for name in self.contenders:
                    with self._noting_problems(name):
                        worker = stack.enter_context(self.settings.start(self.contenders[name]))
                        self._prepare(worker, name)
                        timed[name] = functools.partial(self._round, worker, name)
                self._interleave(timed)
        case = {
            "row": self.row.name,
            "variant": self.variant,
            "what": self.row.what.format(**self.sizes),
            "sizes": self.sizes,
            "baseline": self.baseline,
            "others_busy": self.others_busy,
            "contenders": self.results,
        }
        if self.text_bytes is not None:
            case["text_bytes"] = self.text_bytes
        report.add_ratios(case)
        if self.row.counted:
            unit, names = self.row.counted
            number = math.prod(self.sizes[name] for name in names)
            report.add_rates(case, unit, number, self.row.limit)
        return case

    @contextlib.contextmanager
    def _noting_problems(self, name: str) -> Iterator[None]:
        try:
            yield
        except WorkerError as error:
            self.results[name] = {"problem": str(error)}
            self.settings.echo(f"  {name}: {error}")

    def _interleave(self, timed: Mapping[str, Callable[[], float]]) -> None:
        self._note_others()

        def guarded(name: str, function: Callable[[], float]) -> float:
            try:
                return function()
            except WorkerError as error:
                self.results[name] = {"problem": str(error)}
                raise

        seconds = interleave(
            {name: functools.partial(guarded, name, timed[name]) for name in timed},
            self.sizes["rounds"],
            self.sizes["warmup"],
            self.settings.echo,
        )
        for name, times in seconds.items():
            self.results[name]["seconds"] = times
        self._note_others()

    def _note_others(self) -> None:
        """Notes how busy the machine is while no contender computes."""
        share = busy_share()
        if share is None:
            return
        self.others_busy.append(round(share, 3))
        if share > 0.05:
            advice = ": do not quote this" if self.settings.clock == "wall" else ""
            self.settings.echo(f"  other programs use {share:.0%} of the machine{advice}")

    def _job(self, contender: Contender, **more: Any) -> dict[str, Any]:
        return {
            "row": self.row.name,
            "variant": self.variant,
            "mode": contender.mode,
            "clock": self.settings.clock,
            "dtype": self.variant if self.variant == "bfloat16" else "float32",
            "sizes": self.sizes,
            "assets": str(self.settings.assets),
            "inputs": str(self.inputs),
            **more,
        }

    def _prepare(self, worker: Worker, name: str) -> None:
        """Imports, loads, and compares the first output with the baseline's."""
        result = self.results[name]
        result["versions"] = worker.ask("import")["versions"]
        prepared = worker.ask("prepare", job=self._job(self.contenders[name]))
        result["info"] = prepared["info"]
        arrays, reply = self._output(worker)
        result["first_call"] = reply["seconds"]
        self._check(name, arrays)

    def _round(self, worker: Worker, name: str) -> float:
        reply = worker.ask("round")
        if reply["value"] is not None:
            self.results[name].setdefault("losses", []).append(reply["value"])
        return reply["seconds"]

    def _cold(self, name: str) -> float:
        """One whole process; returns the seconds from its start to its first output."""
        started = time.perf_counter()
        with self.settings.start(self.contenders[name]) as worker:
            imported = worker.ask("import")
            prepared = worker.ask("prepare", job=self._job(self.contenders[name]))
            arrays, reply = self._output(worker)
            elapsed = time.perf_counter() - started
        result = self.results[name]
        if not result:
            result.update(versions=imported["versions"], info=prepared["info"])
            self._check(name, arrays)
        peak = None
        if reply["peak_bytes"] is not None:
            peak = reply["peak_bytes"] - imported["resident_bytes"]
        for key, value in (
            ("import_seconds", imported["seconds"]),
            ("load_seconds", prepared["seconds"]),
            ("first_output_seconds", reply["seconds"]),
            ("peaks", peak),
        ):
            result.setdefault(key, []).append(value)
        return elapsed

    def _summarise_cold(self, name: str) -> None:
        """Peak memory, as the median over all processes, also in units of the weights."""
        result = self.results[name]
        config = weights.config_for(self.settings.model)
        shapes = weights.shapes(config).items()
        size = 4 * sum(int(np.prod(shape)) for key, shape in shapes if key.startswith("bert/"))
        peaks = [peak for peak in result.pop("peaks") if peak is not None]
        result["peak_over_import"] = int(statistics.median(peaks)) if peaks else None
        result["peak_over_weights"] = statistics.median(peaks) / size if peaks else None

    def _output(self, worker: Worker) -> tuple[Mapping[str, np.ndarray], dict[str, Any]]:
        path = self.settings.assets / "inputs" / "output.npz"
        reply = worker.ask("output", path=str(path))
        with np.load(path) as arrays:
            found = dict(arrays)
        path.unlink()
        return found, reply

    def _check(self, name: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Compares an output with the baseline's, in the activation that the contender has."""
        if name == self.baseline:
            self._references[None] = arrays
            return
        if name == self.row.limit:  # it has no output
            return
        activation = self.results[name]["info"].get("hidden_act")
        if self.baseline != BASELINE:  # only ours can be asked for another activation
            activation = None
        if not self._references:  # the baseline failed; its own problem is told already
            return
        if activation not in self._references:
            self._references[activation] = self._reference(activation)
        try:
            check = report.compare(arrays, self._references[activation])
        except ValueError as error:
            raise WorkerError(f"{name} did other work: {error}") from error
        self.results[name]["check"] = check

    def _reference(self, activation: str) -> Mapping[str, np.ndarray]:
        """The baseline's output with another activation, from a process of its own."""
        contender = Contender(BASELINE)
        with self.settings.start(contender) as worker:
            worker.ask("import")
            worker.ask("prepare", job=self._job(contender, hidden_act=activation))
            return self._output(worker)[0]
