# ruff: noqa: RUF009 (the defaults are fields)
"""What a run is: every setting with its default, from presets, files and the command line."""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kerasbert.keywords import check_keywords
from pretraining.presets import PRESETS

STRATEGIES = ("one", "mirrored", "multiworker", "tpu")
PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
SCHEDULES = ("linear", "polynomial", "cosine", "constant")
# What changes neither the numbers of a run nor what they depend on: free in a resumed run.
FREE = frozenset(
    [
        *("output", "strategy", "tpu", "devices", "accumulation", "steps_per_call", "jit_compile"),
        *("recompute", "log_every", "save_every", "keep", "export_every", "export_zip"),
        *("evaluation", "evaluate_every", "evaluation_steps", "tensorboard", "stop_after"),
    ]
)


def _setting(default: Any, help: str, choices: tuple[str, ...] | None = None) -> Any:
    metadata = {"help": help, "choices": choices}
    if isinstance(default, dict):
        return dataclasses.field(default_factory=dict, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True)
class Settings:
    """The settings of a run; their meaning is in the help of ``python -m pretraining.run``.

    Raises:
        ValueError: for a value that cannot be, or ones that do not go together.
    """

    corpus: str | None = _setting(None, "folder made by pretraining.corpus")
    output: str | None = _setting(None, "folder of checkpoints, logs and exports")
    objective: str = _setting(
        "roberta", "what is predicted: roberta, bert, albert, electra, unilm, simbert or lm"
    )
    objective_options: dict = _setting({}, "of the objective, such as {max_predictions: 64}")
    masking: dict = _setting({}, "mode, masked_lm_prob, max_predictions, ... of the masks")

    config: str | dict | None = _setting(
        None, "bert_config.json, or its content, to begin with random weights"
    )
    checkpoint: str | None = _setting(None, "checkpoint to go on from, as published")
    model: str | None = _setting(None, "family, where it is not to be found out")
    model_options: dict = _setting(
        {}, "further arguments of build_transformer_model, such as {num_hidden_layers: 3}"
    )

    batch_size: int = _setting(32, "records of a step, over all replicas and micro-batches")
    accumulation: int = _setting(1, "micro-batches that a replica's share is computed in")
    steps: int = _setting(1000, "steps of the whole training, also of the schedule")
    stop_after: int | None = _setting(None, "end this process after so many steps of it")
    seed: int = _setting(1, "of weights, order, masks and dropout")
    lanes: int | None = _setting(None, "how shards are dealt out; hosts must divide it")
    shuffle_buffer: int = _setting(10_000, "records held to draw from")

    optimizer: str = _setting(
        "adamw", "update rule", ("adamw", "adam_weight_decay", "lamb", "nezha_lamb", "adafactor")
    )
    learning_rate: float = _setting(1e-4, "highest learning rate")
    schedule: str = _setting("linear", "how the rate falls after the warm-up", SCHEDULES)
    warmup: float = _setting(0.1, "steps, or, below 1, share of the steps, in which it rises")
    end_learning_rate: float = _setting(0.0, "rate at the end")
    power: float = _setting(1.0, "of the polynomial schedule")
    weight_decay: float = _setting(0.01, "not for biases and normalisation")
    clip_norm: float | None = _setting(1.0, "most global norm of the gradients; null is any")
    optimizer_options: dict = _setting({}, "further arguments of the optimizer, such as beta_2")
    average: float | None = _setting(
        None, "decay of an average of the weights that is evaluated and exported, such as 0.999"
    )

    strategy: str = _setting("one", "where to compute", STRATEGIES)
    tpu: str | None = _setting(None, "name or address of the TPU; 'local' on its own machine")
    devices: int | None = _setting(None, "replicas for mirrored on CPUs; null is every GPU")
    precision: str = _setting("float32", "dtype policy", PRECISIONS)
    recompute: bool = _setting(False, "less memory for a second forward pass")
    jit_compile: bool = _setting(False, "compile the step by XLA (a TPU always does)")
    steps_per_call: int = _setting(10, "steps in the graph between looks at the clock")

    log_every: int = _setting(100, "steps between lines of the log")
    save_every: int = _setting(1000, "steps between checkpoints to resume from")
    keep: int = _setting(2, "how many of them are kept")
    export_every: int | None = _setting(
        None, "steps between exports in Google's format; null is at the end only"
    )
    export_zip: bool = _setting(False, "export as one zip instead of a folder")
    evaluation: str | None = _setting(None, "folder of a held-out corpus")
    evaluate_every: int | None = _setting(
        None, "steps between evaluations; null is at the end only"
    )
    evaluation_steps: int | None = _setting(None, "batches of an evaluation; null is all")
    tensorboard: bool = _setting(False, "write logs for TensorBoard into OUTPUT/tensorboard")

    def __post_init__(self) -> None:
        at_least = {"batch_size": 1, "accumulation": 1, "steps": 1, "steps_per_call": 1, "keep": 1,
                    "log_every": 1, "save_every": 1, "export_every": 1, "evaluate_every": 1,
                    "evaluation_steps": 1, "stop_after": 1, "devices": 1, "shuffle_buffer": 1,
                    "warmup": 0, "learning_rate": 0, "weight_decay": 0}  # fmt: skip
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value is None and "None" in field.type:
                continue
            wanted = _types(field)
            if float in wanted and isinstance(value, int) and not isinstance(value, bool):
                object.__setattr__(self, field.name, float(value))
                value = float(value)
            if not isinstance(value, wanted) or (isinstance(value, bool) and bool not in wanted):
                names = " or ".join(kind.__name__ for kind in wanted)
                raise ValueError(f"{field.name} must be {names}. Received: {value!r}")
            choices = field.metadata["choices"]
            if choices and value not in choices:
                raise ValueError(
                    f"{field.name} must be one of {', '.join(choices)}. Received: {value!r}"
                )
            if field.name in at_least and value < at_least[field.name]:
                raise ValueError(
                    f"{field.name} must be at least {at_least[field.name]}. Received: {value!r}"
                )
        if self.average is not None and not 0 < self.average < 1:
            raise ValueError(f"average must be between 0 and 1. Received: {self.average!r}")
        if self.batch_size % self.accumulation:
            raise ValueError(
                "accumulation must divide batch_size. Received: "
                f"batch_size={self.batch_size}, accumulation={self.accumulation}"
            )
        if self.tpu is not None and self.strategy != "tpu":
            raise ValueError(f"tpu={self.tpu!r} needs strategy 'tpu'. Received: {self.strategy!r}")

    def to_dict(self) -> dict[str, Any]:
        """All settings by name, as JSON holds them."""
        return json.loads(json.dumps(dataclasses.asdict(self)))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], source: str = "the settings") -> Settings:
        """Settings from a mapping, whose ``preset`` gives what it leaves out.

        Raises:
            ValueError: for an unknown preset or a wrong value.
            TypeError: for an unknown name.
        """
        values = dict(values)
        preset = values.pop("preset", None)
        if preset is not None:
            if preset not in PRESETS:
                raise ValueError(
                    f"preset must be one of {', '.join(PRESETS)}. Received: {preset!r}"
                )
            values = {**PRESETS[preset].settings, **values}
        check_keywords(values, {field.name for field in dataclasses.fields(cls)}, source)
        return cls(**values)

    def difference(self, other: Mapping[str, Any]) -> list[str]:
        """Lines for the settings in which a run differs from what it resumes, free ones apart."""
        ours = self.to_dict()
        return [
            f"{name}: {other.get(name)!r} then, {value!r} now"
            for name, value in ours.items()
            if name not in FREE and other.get(name) != value
        ]


def _types(field: dataclasses.Field) -> tuple[type, ...]:
    """The types that a setting may have, None apart."""
    kinds = (str, dict, bool, int, float)
    return tuple(kind for kind in kinds if kind.__name__ in field.type)


def read_file(path: str | Path) -> dict[str, Any]:
    """The settings in a .yaml or .json file.

    Raises:
        ValueError: it is none, or holds something else than names and values.
        FileNotFoundError: it is not there.
        ImportError: PyYAML is needed and not installed.
    """
    path = Path(path).expanduser()
    text = path.read_text(encoding="utf-8-sig")
    try:
        if path.suffix == ".json":
            values = json.loads(text)
        else:
            values = _yaml().safe_load(text)
    except ValueError as error:
        raise ValueError(f"{path} is not a JSON file: {error}") from None
    except Exception as error:
        if type(error).__module__.partition(".")[0] != "yaml":
            raise
        raise ValueError(f"{path} is not a YAML file: {error}") from None
    if not isinstance(values, dict):
        raise ValueError(f"{path} must hold lines of `name: value`. Received: {text[:80]!r}")
    return values


def _yaml():
    try:
        import yaml
    except ImportError:
        raise ImportError(
            "Reading YAML needs PyYAML: run `pip install pyyaml`, or write the settings as .json."
        ) from None
    return yaml


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds a flag for every setting; what is not given stays out of the result."""
    for field in dataclasses.fields(Settings):
        kinds = _types(field)
        default = field.default if field.default is not dataclasses.MISSING else {}
        shown = "" if default in (None, {}, False) else f" (default {default})"
        flag = "--" + field.name.replace("_", "-")
        options: dict[str, Any] = {"dest": field.name, "default": argparse.SUPPRESS}
        options["help"] = field.metadata["help"].replace("%", "%%") + shown
        if kinds == (bool,):
            parser.add_argument(flag, action=argparse.BooleanOptionalAction, **options)
        else:
            name = field.name.rsplit("_", 1)[-1].upper()
            options["metavar"] = "{" + ",".join(field.metadata["choices"] or (name,)) + "}"
            if not field.metadata["choices"]:
                options["metavar"] = name
            parser.add_argument(flag, type=lambda text, kinds=kinds: _value(text, kinds), **options)


def _value(text: str, kinds: tuple[type, ...]) -> Any:
    """What a flag's text means: a number or JSON where that is wanted, else the text."""
    if text in ("null", "none", "None"):
        return None
    for kind in (int, float):
        if kind in kinds:
            try:
                return kind(text)
            except ValueError:
                continue
    if dict in kinds and (str not in kinds or text.lstrip().startswith("{")):
        try:
            return json.loads(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"not JSON: {error}") from None
    if str not in kinds:
        names = " or ".join(kind.__name__ for kind in kinds)
        raise argparse.ArgumentTypeError(f"{text!r} is no {names}")
    return text
