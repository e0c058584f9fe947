"""RoFormer and RoFormer v2 against bert4keras and Hugging Face; Zhuiyi's releases."""

from __future__ import annotations

from pathlib import Path

from kerasbert import build_transformer_model
from tests import huggingface_cases
from tests.families import bert, nezha
from tests.golden_cases import Case, compare_bert4keras, find_cases
from tests.published import entries

TINY = [
    {
        "model": "roformer",
        **bert.SIZES,
        "with_pool": True,
        "with_mlm": True,
        "embedding_size": 8,
        "rotary_value": True,
    },
    {
        "model": "roformer",
        **bert.SIZES,
        "application": "unilm",
        "with_pool": "linear",
        "custom_position_ids": True,
    },
    {"model": "roformer_v2", **bert.SIZES, "application": "lm", "embedding_size": 8},
    {"model": "roformer_v2", **bert.SIZES, "hidden_act": "relu", "attention_key_size": 6},
]


def golden_cases() -> list[Case]:
    """The recorded cases of this family."""
    found = find_cases(("roformer", "roformer_v2"))
    return [*found, *huggingface_cases.find("roformer_*")]


def compare(case: Case, **options) -> float:
    """The largest absolute difference between our outputs and the recorded ones."""
    if case.kind == "huggingface":
        return nezha.compare_huggingface(case, **options)
    return compare_bert4keras(case, **options)


def published() -> list[dict]:
    """The released checkpoints of this family."""
    families = ("zhuiyi_roformer", "zhuiyi_roformer_sim", "zhuiyi_roformer_v2")
    return entries(families, ("tensorflow1",))


def load_published(entry: dict, folder: Path):
    """Writes the entry in small and loads it strictly, with all heads that it has."""
    tensors = nezha.write_small(entry, folder)
    heads = {"with_mlm": True}
    if "bert/pooler/dense/kernel" in tensors:
        heads = {"application": "unilm", "with_pool": "linear"}  # as RoFormer-Sim is used
    model = build_transformer_model(folder, **heads)
    assert model.name == ("roformer_v2" if "-v2-" in entry["name"] else "roformer")
    return model
