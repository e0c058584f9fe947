"""NEZHA against recorded outputs of Huawei's code, bert4keras and Hugging Face; its releases."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from kerasbert import build_transformer_model
from kerasbert.backend import keras
from kerasbert.checkpoints import google
from tests import huggingface_cases
from tests.families import bert
from tests.golden_cases import Case, compare_bert4keras, distance, find_cases
from tests.published import entries

TINY = [
    {"model": "nezha", **bert.SIZES, "with_pool": True, "with_nsp": True, "with_mlm": True},
    {"model": "nezha", **bert.SIZES, "use_relative_position": False, "application": "unilm"},
    {
        "model": "nezha",
        **bert.SIZES,
        "application": "lm",
        "max_relative_position": 3,
        "residual_attention_scores": True,
        "hidden_act": ["gelu", "linear"],
        "shared_segment_embeddings": True,
    },
]


def golden_cases() -> list[Case]:
    """The recorded cases of this family."""
    return [*find_cases(("nezha",)), *huggingface_cases.find("nezha_*")]


def compare(case: Case, **options) -> float:
    """The largest absolute difference between our outputs and the recorded ones."""
    if case.kind == "google":
        return bert.compare_google(case, model="nezha", **options)
    if case.kind == "huggingface":
        return compare_huggingface(case, **options)
    return compare_bert4keras(case, **options)


def compare_huggingface(case: Case, **options) -> float:
    """Every layer and every head that there is against Hugging Face's outputs."""
    config = json.loads((case.folder / "config.json").read_text())
    arrays = np.load(case.arrays)
    heads = {
        "with_pool": "out.pad.pooler_output" in arrays,
        "with_mlm": "linear" if "out.pad.mlm_logits" in arrays else False,
    }
    model = build_transformer_model(
        config, case.record, with_attention_mask=True, **heads, **options
    )
    names = [layer.name for layer in model.layers]
    entry = "Embedding-Mapping" if "Embedding-Mapping" in names else "Embedding-Dropout"
    taps = [entry, *(name for name in names if name.endswith("-FeedForward-Norm"))]
    hidden = [model.get_layer(name).output for name in taps]
    model = keras.Model(model.inputs, [*hidden, model.output])
    worst = 0.0
    for name in ("pad", "full"):
        if f"in.{name}.input_ids" not in arrays:
            continue
        ids = arrays[f"in.{name}.input_ids"]
        segments = arrays.get(f"in.{name}.token_type_ids", np.zeros_like(ids))
        mask = arrays.get(f"in.{name}.attention_mask", np.ones_like(ids))
        outputs = model([ids, segments, mask])
        recorded = [*arrays[f"out.{name}.hidden_states"]]
        assert len(outputs) == len(recorded) + 1  # and one head
        head = "pooler_output" if heads["with_pool"] else "mlm_logits"
        recorded.append(arrays[f"out.{name}.{head}"])
        worst = max(worst, *map(distance, outputs, recorded))
    return worst


def published() -> list[dict]:
    """The released checkpoints of this family."""
    found = entries(("nezha", "zhuiyi_wobert"), ("tensorflow1",))
    return [entry for entry in found if "nezha" in entry["name"].lower()]


def load_published(entry: dict, folder: Path):
    """Writes the entry in small and loads it strictly, with all heads that it has."""
    model = bert.load_published(entry, folder)
    assert model.name == "nezha"
    return model


def write_small(entry: dict, folder: Path) -> dict:
    """Writes the entry with every width made small; returns the tensors."""
    config, tensors = bert.shrink(entry)
    if "max_position_embeddings" not in entry["config"]:
        del config["max_position_embeddings"]
    google.write(folder / "bert_model.ckpt", tensors)
    (folder / "bert_config.json").write_text(json.dumps(config))
    return tensors
