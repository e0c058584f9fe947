"""The command line: ``python -m benchmarks [ROW ...]`` (see README.md beside this file)."""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import report, texts, weights
from benchmarks.cases import Case
from benchmarks.settings import Settings, default_interpreters, make_assets
from benchmarks.specs import BASELINE, ROWS, SIDES, Contender, parse_rows, parse_sizes
from benchmarks.workers import ROOT

_PATH_OPTIONS = ("--data", "--assets", "--results", "--python")
_INSTRUCTION_SETS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "asimd", "bf16")


def cpu() -> dict[str, object]:
    """What the processor is and can do; no name of the machine."""
    facts: dict[str, object] = {"name": platform.machine(), "instruction_sets": []}
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    for line in lines:
        key, _, value = (part.strip() for part in line.partition(":"))
        if key == "model name":
            facts["name"] = value
        elif key in ("flags", "Features"):
            facts["instruction_sets"] = [n for n in _INSTRUCTION_SETS if n in value.split()]
    return facts


def shown_command(arguments: Sequence[str]) -> str:
    """The command as the results files tell it: without the paths of this machine."""
    shown, hide = [], False
    for argument in arguments:
        option, equals, value = argument.partition("=")
        if hide:
            side, equals, _ = argument.partition("=")
            shown.append(f"{side}=PYTHON" if equals and side in SIDES else "DIR")
        elif option in _PATH_OPTIONS and equals:
            side = value.partition("=")[0]
            shown += [option, f"{side}=PYTHON" if option == "--python" else "DIR"]
        else:
            shown.append(argument)
        hide = argument in _PATH_OPTIONS
    return shlex.join(["python", "-m", "benchmarks", *shown])


def parse_interpreter(text: str) -> tuple[str, str]:
    """Reads ``side=python``.

    Raises:
        argparse.ArgumentTypeError: for anything else.
    """
    side, equals, python = text.partition("=")
    if side not in SIDES or not equals or not python:
        raise argparse.ArgumentTypeError(
            f"expected SIDE=PYTHON with one of {', '.join(SIDES)}, received {text!r}"
        )
    return side, python


def parser() -> argparse.ArgumentParser:
    """The options."""
    options = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Runs kerasbert and its peers on the same work, interleaved.",
    )
    add = options.add_argument
    add("rows", nargs="*", metavar="ROW", help=f"all (default), {', '.join(ROWS)}")
    add("--quick", action="store_true", help="small sizes and few rounds: does it run at all?")
    add("--set", action="append", default=[], metavar="NAME=N", help="a size, e.g. rounds=5")
    add("--variants", help="comma-separated, e.g. float32 or long_text,questions")
    add("--contenders", help="comma-separated SIDE or SIDE:MODE, in place of the row's own")
    add("--model", choices=weights.MODELS, default="base")
    add("--threads", type=int, default=os.cpu_count(), help="cores of every side (all)")
    add("--clock", choices=("wall", "cpu"), default="wall", help="cpu: on a shared machine")
    add("--data", type=Path, metavar="DIR", help="real texts: lcqmc/train.tsv, ... (synthetic)")
    add("--assets", type=Path, metavar="DIR", default=ROOT / "benchmarks" / ".assets")
    add("--results", type=Path, metavar="DIR", help="benchmarks/results, or its folder quick")
    add(
        "--python",
        type=parse_interpreter,
        action="append",
        default=[],
        metavar="SIDE=PYTHON",
        help="the interpreter of one side (.venv-bench-SIDE/bin/python)",
    )
    add("--plot-only", action="store_true", help="draw the plot of the results that are there")
    return options


def write_row(folder: Path, row: str, cases: list[dict]) -> None:
    """Writes ``<row>.json``; variants that were not run again are kept, each with its own date."""
    path = folder / f"{row}.json"
    variants = {case["variant"] for case in cases}
    if path.exists():
        kept = [case for case in report.read_results(folder) if case["row"] == row]
        cases = [case for case in kept if case["variant"] not in variants] + cases
    order = ROWS[row].variants if row in ROWS else ()
    cases = sorted(cases, key=lambda case: [*order, case["variant"]].index(case["variant"]))
    report.write_json(path, {"cases": cases})


def draw(folder: Path) -> None:
    """Draws ``ratios.png`` of the results in a folder, or says why not."""
    try:
        cases = report.read_results(folder)
        order = [*ROWS, *(case["row"] for case in cases)]
        cases.sort(key=lambda case: order.index(case["row"]))
        report.plot(cases, folder / "ratios.png")
    except ImportError:
        print("No plot: matplotlib is not installed.", file=sys.stderr)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the rows asked for; returns 1 when the baseline failed in any of them."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    options = parser()
    chosen = options.parse_args(arguments)
    results = chosen.results or ROOT / "benchmarks" / "results" / ("quick" if chosen.quick else "")
    if chosen.plot_only:
        draw(results)
        return 0
    try:
        rows = parse_rows(chosen.rows)
        sizes = {row.name: parse_sizes(row, chosen.quick, chosen.set) for row in rows}
        named = [Contender.parse(text) for text in (chosen.contenders or "").split(",") if text]
    except ValueError as error:
        options.error(str(error))
    if chosen.clock == "cpu" and any(row.cold for row in rows):
        options.error("a cold process is timed by the wall clock: leave out its row or --clock cpu")
    published = chosen.data and texts.read_member(chosen.data, "bert_zh_21128_vocab.txt")
    kind = f"{chosen.model}-{'published' if published else 'synthetic'}-vocabulary"
    interpreters = default_interpreters(ROOT, os.environ)
    settings = Settings(
        interpreters={**interpreters, **dict(chosen.python)},
        assets=chosen.assets.resolve() / kind,
        model=chosen.model,
        data=chosen.data and chosen.data.resolve(),
        threads=chosen.threads,
        clock=chosen.clock,
    )
    about = {
        "command": shown_command(arguments),
        "cpu": cpu(),
        "threads": chosen.threads,
        "clock": chosen.clock,
        "model": chosen.model,
        "texts": "real" if chosen.data else "synthetic",
    }
    failed = False
    for row in rows:
        cases = []
        for variant in row.variants:
            if chosen.variants and variant not in chosen.variants.split(","):
                continue
            contenders = named or list(row.default_contenders(variant))
            make_assets(settings, {contender.side for contender in contenders})
            case = Case(row, variant, contenders, sizes[row.name], settings).run()
            date = datetime.datetime.now(datetime.timezone.utc).date().isoformat()
            cases.append({**case, **about, "date": date})
            print(report.table(cases[-1]) + "\n", flush=True)
            failed |= "problem" in case["contenders"].get(BASELINE, {})
            write_row(results, row.name, cases)
    draw(results)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
