"""What the cases of one run share: interpreters, the checkpoint's folder, threads."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks.specs import BASELINE, SIDES, Contender
from benchmarks.workers import ROOT, Worker, WorkerError, environment


def _echo(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


@dataclasses.dataclass(frozen=True)
class Settings:
    """What all cases of a run share.

    Attributes:
        interpreters: the Python of every side.
        assets: folder of the checkpoint in all formats, inputs and logs.
        model: a key of ``weights.MODELS``.
        data: folder of real texts, or None for synthetic ones.
        threads: cores that every side computes with.
        clock: what times the rounds: "wall", or "cpu" for the time that a side computes in.
        echo: takes lines about the progress.
        module: ``str.format`` pattern of the worker module of a side (tests have their own).
    """

    interpreters: Mapping[str, str]
    assets: Path
    model: str
    data: Path | None
    threads: int
    clock: str = "wall"
    echo: Callable[[str], None] = _echo
    module: str = "benchmarks.sides.{side}"

    def start(self, contender: Contender) -> Worker:
        """Starts the worker of a contender.

        Raises:
            WorkerError: when its environment is missing.
        """
        python = self.interpreters.get(contender.side, "")
        if not Path(python).is_file():
            raise WorkerError(f"no environment for {contender.side}: see benchmarks/README.md")
        logs = self.assets / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        command = [python, "-m", self.module.format(side=contender.side)]
        log = logs / f"{contender.side}.log"
        return Worker(str(contender), command, log, self.threads)


def make_assets(settings: Settings, sides: set[str]) -> None:
    """Writes the checkpoint in the formats of these sides, and vocabularies, if not there yet.

    Raises:
        subprocess.CalledProcessError: when they cannot be written.
    """
    folder = settings.assets
    if not (folder / "google").exists():
        settings.echo(f"writing a random BERT ({settings.model}) in every format")
        command = [settings.interpreters[BASELINE], "-m", "benchmarks.weights", str(folder)]
        command += ["--model", settings.model]
        command += ["--data", str(settings.data)] if settings.data else []
        subprocess.run(command, cwd=ROOT, env=environment(settings.threads), check=True)
    if not ((folder / "roberta").exists() and (folder / "xlmr").exists()):
        command = [settings.interpreters[BASELINE], "-m", "benchmarks.vocabularies", str(folder)]
        command += ["--data", str(settings.data)] if settings.data else []
        subprocess.run(command, cwd=ROOT, env=environment(settings.threads), check=True)
    if "keras_hub" in sides and not (folder / "keras_hub").exists():
        try:
            with settings.start(Contender("keras_hub")) as worker:
                worker.ask("import")
                worker.ask("prepare", job={"row": "convert", "assets": str(folder)})
        except WorkerError as error:  # its rows will say so again; the others can be measured
            settings.echo(str(error))


def default_interpreters(root: Path, variables: Mapping[str, str]) -> dict[str, str]:
    """The Python of every side: ``KERASBERT_BENCH_PYTHON_<SIDE>``, or ``.venv-bench-<side>``.

    This package and ``tf_text`` run in the environment that the harness runs in.
    """
    found = {}
    for side in SIDES:
        own = side in (BASELINE, "tf_text")
        default = sys.executable if own else str(root / f".venv-bench-{side}" / "bin" / "python")
        found[side] = variables.get(f"KERASBERT_BENCH_PYTHON_{side.upper()}", default)
    return found
