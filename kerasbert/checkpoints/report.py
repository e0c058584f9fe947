"""What became of a checkpoint's tensors and a model's variables: one table, and hints."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field


class CheckpointMismatchError(ValueError):
    """A checkpoint that does not fit the model exactly."""


@dataclass
class LoadReport:
    """The outcome of binding a checkpoint to a model.

    Attributes:
        loaded: (variable, tensor) pairs that were assigned.
        missing: (variable, tensor) pairs whose tensor the checkpoint lacks.
        mismatched: (variable, tensor, shape in the model, shape in the checkpoint).
        unexpected: tensors that no variable uses and that are not known to be ignorable.
        ignored: tensors left out on purpose: optimizer slots, heads not asked for, cut layers.
        initial: variables that keep their initial values on purpose: a condition's projections.
        hints: sentences on the likely cause.
    """

    loaded: list[tuple[str, str]] = field(default_factory=list)
    missing: list[tuple[str, str]] = field(default_factory=list)
    mismatched: list[tuple[str, str, tuple, tuple]] = field(default_factory=list)
    unexpected: list[tuple[str, tuple]] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    initial: list[str] = field(default_factory=list)
    hints: list[str] = field(default_factory=list)

    @property
    def exact(self) -> bool:
        """Whether every variable was found, with its shape, and every tensor accounted for."""
        return not (self.missing or self.mismatched or self.unexpected)

    def summary(self) -> str:
        """One line for the log."""
        counts = [f"{len(self.loaded)} tensors loaded"]
        for name in ("missing", "mismatched", "unexpected", "ignored", "initial"):
            if getattr(self, name):
                counts.append(f"{len(getattr(self, name))} {name}")
        return ", ".join(counts)

    def table(self) -> str:
        """The differences, one line per kind and tensor, with block indices merged."""
        lines = [("MISSING", tensor, f"for {variable}") for variable, tensor in self.missing]
        lines += [
            ("MISMATCHED", tensor, f"checkpoint {_shape(theirs)}, model {_shape(ours)}")
            for _, tensor, ours, theirs in self.mismatched
        ]
        lines += [("UNEXPECTED", name, f"checkpoint {_shape(shape)}")
                  for name, shape in self.unexpected]  # fmt: skip
        merged = merge_indices(lines)
        width = max((len(row[1]) for row in merged), default=0)
        return "\n".join(f"  {kind:<11} {name:<{width}}  {note}" for kind, name, note in merged)

    def error(self, checkpoint: str, model: str) -> CheckpointMismatchError:
        """The error that says all of it."""
        parts = [f"{checkpoint} does not fit the {model} model ({self.summary()}):", self.table()]
        parts += [f"Hint: {hint}" for hint in self.hints]
        parts.append("To load what fits all the same, pass strict=False.")
        return CheckpointMismatchError("\n".join(parts))


def _shape(shape: tuple) -> str:
    return "x".join(map(str, shape)) if shape else "scalar"


def merge_indices(rows: Iterable[tuple[str, str, str]]) -> list[tuple[str, str, str]]:
    """Rows that differ only in a block's index become one, with the range of indices."""
    groups: dict[tuple, dict[int | None, tuple]] = {}
    for kind, name, note in rows:
        pattern = re.compile(
            r"(?<=layer[_.])\d+|(?<=layers\.)\d+|(?<=\bh\.)\d+|(?<=Transformer-)\d+"
        )
        index = pattern.search(name) or pattern.search(note)  # a tensor of all blocks has none
        key = (kind, pattern.sub("{}", name), pattern.sub("{}", note))
        # Variables that share a tensor say the same of it: once is enough.
        members = groups.setdefault(key, {})
        members.setdefault(int(index[0]) if index else None, (kind, name, note))
    merged = []
    for (kind, name, note), members in groups.items():
        if len(members) == 1:
            merged.extend(members.values())
        else:
            indices = _ranges(sorted(members))
            merged.append((kind, name.replace("{}", indices), note.replace("{}", indices)))
    return merged


def _ranges(numbers: list[int]) -> str:
    """[0, 1, 2, 5] as "{0-2,5}"."""
    spans: list[list[int]] = []
    for number in numbers:
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return "{" + ",".join(str(a) if a == b else f"{a}-{b}" for a, b in spans) + "}"
