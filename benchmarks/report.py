"""Ratios, the table on the terminal, the JSON files and the plot."""

from __future__ import annotations

import json
import os
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.specs import BASELINE, SIDES


def ratio(peer: Sequence[float], baseline: Sequence[float]) -> dict[str, float]:
    """How many times as long as the baseline a peer takes: the median over rounds, with its spread.

    Each round's own ratio is taken first, since what slows a round slows both.

    Args:
        peer: seconds of each round.
        baseline: seconds of the same rounds.

    Raises:
        ValueError: when the rounds differ in number, or there is none.
    """
    if not peer or len(peer) != len(baseline):
        raise ValueError(f"Expected equally many rounds. Received: {len(peer)}, {len(baseline)}")
    each = [ours / theirs for ours, theirs in zip(peer, baseline)]
    return {"median": statistics.median(each), "lowest": min(each), "highest": max(each)}


def compare(arrays: Mapping[str, np.ndarray], reference: Mapping[str, np.ndarray]) -> dict:
    """How far two outputs are apart.

    Args:
        arrays: ``hidden`` or ``logits`` (floats), or ``ids`` and ``lengths`` (token ids).
        reference: the same of the baseline.

    Returns:
        For token ids ``texts`` and ``texts_that_differ``; else ``largest_difference`` and
        ``mean_difference``, absolute.

    Raises:
        ValueError: when names or shapes differ, so that it was not the same work.
    """
    if set(arrays) != set(reference):
        raise ValueError(f"Expected outputs {sorted(reference)}. Received: {sorted(arrays)}")
    if "ids" in arrays:
        rows, expected = _split(arrays), _split(reference)
        if len(rows) != len(expected):
            raise ValueError(f"Expected {len(expected)} texts. Received: {len(rows)}")
        differ = sum(not np.array_equal(*both) for both in zip(rows, expected))
        return {"texts": len(rows), "texts_that_differ": differ}
    (name,) = arrays
    if arrays[name].shape != reference[name].shape:
        shapes = f"{reference[name].shape}. Received: {arrays[name].shape}"
        raise ValueError(f"Expected {name} of shape {shapes}")
    apart = np.abs(arrays[name].astype(np.float64) - reference[name].astype(np.float64))
    return {"largest_difference": float(apart.max()), "mean_difference": float(apart.mean())}


def _split(arrays: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    return np.split(arrays["ids"], np.cumsum(arrays["lengths"])[:-1])


def add_ratios(case: dict[str, Any]) -> None:
    """Adds ``ratio`` to every contender of a case that has as many rounds as the baseline."""
    contenders = case["contenders"]
    rounds = contenders[case["baseline"]].get("seconds")
    for result in contenders.values():
        if rounds and len(result.get("seconds", ())) == len(rounds):
            result["ratio"] = ratio(result["seconds"], rounds)


def add_rates(case: dict[str, Any], unit: str, number: int, limit: str = "") -> None:
    """Adds ``per_second`` to every contender, and ``share_of_limit`` where there is a limit.

    Args:
        case: as measured.
        unit: what is counted.
        number: how many of it a round has.
        limit: the contender that shows what the machine can do. Its ``info`` says how many
            ``operations`` the work has, and how many were done to show it. It has no rate.
    """
    contenders = case["contenders"]
    bound = contenders.get(limit, {})
    for name, result in contenders.items():
        seconds = result.get("seconds")
        if not seconds or name == limit:
            continue
        result["per_second"] = {unit: number / statistics.median(seconds)}
        if len(bound.get("seconds", ())) == len(seconds):
            info = bound["info"]
            share = ratio(bound["seconds"], seconds)["median"]
            result["share_of_limit"] = share * info["operations"] / info["operations_done"]


def _quantity(seconds: float) -> str:
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= scale or unit == "us":
            return f"{seconds / scale:.3g} {unit}"
    raise AssertionError


def _check(check: Mapping[str, Any]) -> str:
    if "texts" in check:
        return f"{check['texts_that_differ']} of {check['texts']} texts"
    return f"{check['largest_difference']:.1e}"


def _line(name: str, result: Mapping[str, Any]) -> dict[str, str]:
    """One contender's cells by column; what it does not have is left out."""
    cells = {"contender": name}
    if "problem" in result:
        return {**cells, "median": result["problem"]}
    cells["median"] = _quantity(statistics.median(result["seconds"]))
    if "ratio" in result:
        spread = result["ratio"]
        cells["ratio"] = f"{spread['median']:.2f}"
        cells["lowest to highest"] = f"{spread['lowest']:.2f} to {spread['highest']:.2f}"
    for unit, number in result.get("per_second", {}).items():
        cells[f"{unit}/s"] = f"{number:,.0f}"
    if "share_of_limit" in result:
        cells["of the limit"] = f"{result['share_of_limit']:.0%}"
    if "first_call" in result:
        cells["first call"] = _quantity(result["first_call"])
    if "check" in result:
        cells["differs by"] = _check(result["check"])
    for key in ("import", "load", "first output"):
        seconds = result.get(key.replace(" ", "_") + "_seconds")
        if seconds:
            cells[key] = _quantity(statistics.median(seconds))
    if result.get("peak_over_import"):
        cells["peak over import"] = f"{result['peak_over_import'] / 2**20:.0f} MiB"
        cells["/ weights"] = f"{result['peak_over_weights']:.2f}"
    return cells


def table(case: Mapping[str, Any]) -> str:
    """The table of one case: a head, and one line for every contender."""
    lines = [_line(name, result) for name, result in case["contenders"].items()]
    columns = list(dict.fromkeys(column for line in lines for column in line))
    failed = {name for name, result in case["contenders"].items() if "problem" in result}
    widths = {}
    for column in columns:
        cells = [line.get(column, "") for line in lines if line["contender"] not in failed]
        widths[column] = max(len(cell) for cell in [column, *cells])
    widths["contender"] = max(len(line["contender"]) for line in lines)
    time = "CPU time" if case.get("clock") == "cpu" else "time"
    head = f"{case['row']}, {case['variant']}: {case['what']}"
    text = [f"{head} (ratio: {time} / {case['baseline']})"]
    for line in [dict(zip(columns, columns)), *lines]:
        cells = (line.get(column, "").ljust(widths[column]) for column in columns)
        text.append("  ".join(cells).rstrip())
    return "\n".join(text)


def write_json(path: Path, content: Any) -> None:
    """Writes a JSON file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".unfinished")
    text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
    unfinished.write_text(text, encoding="utf-8")
    os.replace(unfinished, path)


def read_results(folder: Path) -> list[dict[str, Any]]:
    """The cases of every results file in a folder, in the order of the file names."""
    paths = sorted(folder.glob("*.json"))
    return [case for path in paths for case in json.loads(path.read_text("utf-8"))["cases"]]


def plot(cases: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Draws the ratios: a panel for each row of the benchmarks, a bar for each contender.

    Raises:
        ImportError: without matplotlib.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    panels: dict[str, list[tuple[str, dict | None]]] = {}
    for case in cases:
        lines = panels.setdefault(case["row"], [])
        lines.append((case["variant"], None))
        lines += [
            (name, result["ratio"])
            for name, result in case["contenders"].items()
            if "ratio" in result and name != case["baseline"]
        ]
    lengths = {row: len(lines) + 2 for row, lines in panels.items()}
    columns: list[list[str]] = [[], []]  # of about the same length
    for row in panels:
        first = sum(lengths[other] for other in columns[0])
        columns[2 * first >= sum(lengths.values())].append(row)
    columns = [column for column in columns if column]
    tallest = max(sum(lengths[row] for row in column) for column in columns)
    figure = pyplot.figure(figsize=(5.5 * len(columns), 0.19 * tallest + 0.5), layout="constrained")
    for part, column in zip(np.atleast_1d(figure.subfigures(1, len(columns))), columns):
        heights = {"height_ratios": [lengths[row] for row in column]}
        rows_of_axes = part.subplots(len(column), 1, squeeze=False, gridspec_kw=heights)
        for axes, row in zip(rows_of_axes[:, 0], column):
            _draw_panel(axes, row, panels[row])
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.stem + ".unfinished" + path.suffix)
    figure.savefig(unfinished, dpi=120)
    pyplot.close(figure)
    os.replace(unfinished, path)


def _draw_panel(axes, row: str, lines: list[tuple[str, dict | None]]) -> None:
    """One row of the benchmarks: variants as headings, bars from 1 up, or down where slower."""
    from matplotlib.ticker import LogLocator

    sides = list(SIDES)
    for place, (name, spread) in enumerate(lines):
        if spread is None:
            continue
        middle = spread["median"]
        axes.barh(
            place,
            middle - 1,
            left=1,
            color=f"C{sides.index(name.split(':')[0])}",
            xerr=[[middle - spread["lowest"]], [spread["highest"] - middle]],
            error_kw={"lw": 0.8},
        )
    axes.axvline(1.0, color="black", lw=0.8)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter("")
    axes.invert_yaxis()
    axes.set_yticks(range(len(lines)), [name for name, _ in lines], fontsize=7)
    for label, (_, spread) in zip(axes.get_yticklabels(), lines):
        label.set_fontweight("bold" if spread is None else "normal")
    axes.tick_params(labelsize=7)
    axes.set_title(f"{row}: time / {BASELINE}", fontsize=9, loc="left")
