"""Recorded outputs of the original code: where they lie, and how a case is compared.

A few cases are committed below ``tests/golden``; all of them are run when the shared folder lies
beside the checkout. ``python -m tests.golden_cases`` prints every case with its largest
difference.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kerasbert import build_transformer_model

HERE = Path(__file__).parent / "golden"
SHARED = Path(__file__).resolve().parents[2] / "shared" / "golden"


@dataclass(frozen=True)
class Case:
    """One recorded case.

    Attributes:
        name: where it comes from.
        kind: "google" (the original code's outputs), "b4k" or "bert4keras" (bert4keras' outputs),
            "huggingface".
        folder: of the checkpoint.
        record: the json that describes it.
        arrays: the npz of inputs and outputs.
        atol: the tolerance stated with it.
    """

    name: str
    kind: str
    folder: Path
    record: Path
    arrays: Path
    atol: float

    def __str__(self) -> str:
        return self.name


def _google(folder: Path) -> Case:
    record = folder / "case.json"
    atol = json.loads(record.read_text())["suggested_atol"]
    return Case(f"google/{folder.name}", "google", folder, record, folder / "golden.npz", atol)


def _probabilities(options: dict) -> bool:
    """Whether all outputs of a bert4keras case are probabilities (their tolerance is finer)."""
    heads = [options.get("with_mlm"), options.get("with_nsp")]
    mlm = options.get("application") in ("lm", "unilm") and options.get("with_mlm") is None
    return (True in heads or mlm) and "with_pool" not in options and "linear" not in heads


def find_cases(families: tuple[str, ...]) -> list[Case]:
    """Every case of model families, the committed ones and, beside the checkout, the rest."""
    cases: dict[str, Case] = {}
    for root in (HERE, SHARED):
        for folder in sorted(root.glob("google/*/")):
            if (folder / "case.json").exists():
                family = json.loads((folder / "case.json").read_text()).get("family", "")
                if family in families:
                    case = _google(folder)
                    cases.setdefault(case.name, case)
        for record in sorted(root.glob("google/b4k/*.json")):
            values = json.loads(record.read_text())
            named = isinstance(values, dict) and values.get("model") in families
            if named and record.with_suffix(".npz").exists():
                folder = record.parent.parent / Path(values["checkpoint"]).parent
                atol = 1e-6 if _probabilities(values["build_kwargs"]) else 2e-5
                name = f"google/b4k/{record.stem}"
                arrays = record.with_suffix(".npz")
                cases.setdefault(name, Case(name, "b4k", folder, record, arrays, atol))
        for record in sorted(root.glob("bert4keras/*/meta.json")):
            values = json.loads(record.read_text())
            if values["build_kwargs"].get("model", "bert") in families:
                atol = 1e-6 if _probabilities(values["build_kwargs"]) else 2e-5
                name = f"bert4keras/{record.parent.name}"
                arrays = record.parent / "io.npz"
                cases.setdefault(
                    name, Case(name, "bert4keras", record.parent, record, arrays, atol)
                )
    return sorted(cases.values(), key=lambda case: case.name)


def distance(ours, recorded) -> float:
    """The largest absolute difference of two arrays of one shape."""
    ours, recorded = np.asarray(ours, np.float64), np.asarray(recorded, np.float64)
    assert ours.shape == recorded.shape, (ours.shape, recorded.shape)
    return float(np.abs(ours - recorded).max())


def gelu_option(form: str | None, config: dict) -> str | None:
    """``hidden_act`` for the form of gelu that a case was recorded with."""
    if config.get("hidden_act", "gelu") != "gelu" or form is None:
        return None
    return f"gelu_{form}"


def checkpoint_of(case: Case) -> Path:
    """What a user would hand over: the archive where there is one, else the prefix."""
    values = json.loads(case.record.read_text())
    archives = [*case.folder.glob("*.zip"), *case.folder.glob("*.tar.gz")]
    if case.kind == "google":
        return archives[0] if archives else case.folder / values["checkpoint"]
    if case.kind == "b4k":
        return case.folder / Path(values["checkpoint"]).name
    return case.folder / "model.ckpt"


def compare_bert4keras(case: Case, **options) -> float:
    """The model's outputs against bert4keras 0.11.5's (kinds "b4k" and "bert4keras")."""
    values, arrays = json.loads(case.record.read_text()), np.load(case.arrays)
    if case.kind == "b4k":
        config = case.folder / Path(values["config"]).name
        inputs = [arrays[name] for name in values["inputs"]]
    else:
        config = case.folder / "bert_config.json"
        inputs = [arrays[name] for name in arrays.files if name.startswith("in_")]
    build = dict(values["build_kwargs"])
    build.setdefault("model", values.get("model", "bert"))
    build["hidden_act"] = gelu_option(values["gelu"], json.loads(config.read_text()))
    model = build_transformer_model(config, checkpoint_of(case), **build, **options)
    outputs = model(inputs if len(inputs) > 1 else inputs[0])
    outputs = outputs if isinstance(outputs, (list, tuple)) else [outputs]
    recorded = [arrays[name] for name in arrays.files if name.startswith("out")]
    assert len(outputs) == len(recorded)
    return max(distance(ours, theirs) for ours, theirs in zip(outputs, recorded))


def main() -> None:
    """Prints the table of all cases."""
    from tests.families import FAMILIES

    count, worst = 0, 0.0
    print("| family | case | largest difference | tolerance |\n|---|---|---|---|")
    for family in FAMILIES:
        for case in family.golden_cases():
            found = family.compare(case)
            count, worst = count + 1, max(worst, found / case.atol)
            verdict = "" if found <= case.atol else " **outside**"
            name = family.__name__.rsplit(".", 1)[-1]
            print(f"| {name} | {case.name} | {found:.1e}{verdict} | {case.atol:.0e} |", flush=True)
    print(f"\n{count} cases; the largest share of a tolerance used is {worst:.0%}.")


if __name__ == "__main__":
    main()
