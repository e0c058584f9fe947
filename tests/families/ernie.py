"""ERNIE against recorded outputs, and the releases of ERNIE 1.0."""

from __future__ import annotations

import json
from pathlib import Path

from kerasbert import build_transformer_model
from kerasbert.checkpoints import google
from tests import huggingface_cases
from tests.families.bert import SIZES
from tests.golden_cases import Case
from tests.published import entries

TINY = [
    {"model": "ernie", **SIZES, "with_pool": True, "with_nsp": True, "with_mlm": True},
    {"model": "ernie", **SIZES, "use_task_id": True},
]


def golden_cases() -> list[Case]:
    """The recorded cases of this family."""
    return huggingface_cases.find("ernie_mlm", "ernie_task")


def compare(case: Case, **options) -> float:
    """The largest absolute difference between our outputs and the recorded ones."""
    return huggingface_cases.compare(case, **options)


def published() -> list[dict]:
    """The released checkpoints of this family."""
    return entries(("ernie",), ("tensorflow1", "paddle"))


def load_published(entry: dict, folder: Path):
    """Writes the entry in small and loads it strictly, with all heads that it has."""
    config, tensors = huggingface_cases.shrink(entry, entry["config"], 12)
    if entry["framework"] == "paddle":  # one file per variable, given as arrays
        heads = {"with_pool": True, "with_nsp": True, "with_mlm": True}
        found = build_transformer_model(config, tensors, return_keras_model=False, **heads)
    else:
        google.write(folder / "bert_model.ckpt", tensors)
        (folder / "bert_config.json").write_text(json.dumps(config))
        found = build_transformer_model(folder, with_pool=True, return_keras_model=False)
    assert found.family == "ernie"
    assert (found.config.layer_norm_eps, found.activation) == (1e-5, "relu")
    return found.model
