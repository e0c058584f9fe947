"""RemBERT against recorded outputs, and both of its releases."""

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
    {
        **{"model": "rembert", **SIZES, "embedding_size": 6, "output_embedding_size": 10},
        **{"with_pool": True, "with_mlm": True},
    },
    {"model": "rembert", **SIZES, "embedding_size": 16},
]


def golden_cases() -> list[Case]:
    """The recorded cases of this family."""
    return huggingface_cases.find("rembert_mlm")


def compare(case: Case, **options) -> float:
    """The largest absolute difference between our outputs and the recorded ones."""
    taps = ("Embedding-Mapping", huggingface_cases.TAPS[1])
    return huggingface_cases.compare(case, taps, **options)


def published() -> list[dict]:
    """The released checkpoints of this family."""
    return entries(("rembert",), ("pytorch_hf", "tensorflow1"))


def load_published(entry: dict, folder: Path):
    """Writes the entry in small and loads it strictly, with all heads that it has."""
    config, tensors = huggingface_cases.shrink(entry, entry["config"], 18)
    with_mlm = entry["framework"] == "pytorch_hf"
    if with_mlm:
        huggingface_cases.write(folder, config, tensors)
    else:
        google.write(folder / "model.ckpt", tensors)
        (folder / "config.json").write_text(json.dumps(config))
    transformer = build_transformer_model(
        folder, with_pool=True, with_mlm=with_mlm, return_keras_model=False
    )
    assert transformer.family == "rembert"
    return transformer.model
