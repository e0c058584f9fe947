"""RoBERTa, XLM-R and XLM-R XL against recorded outputs, and their published releases."""

from __future__ import annotations

from pathlib import Path

from kerasbert import build_transformer_model
from tests import huggingface_cases
from tests.families.bert import SIZES
from tests.golden_cases import Case
from tests.published import entries

ONE_SEGMENT = {"type_vocab_size": 1, "pad_token_id": 1}
TINY = [
    {"model": "roberta", **SIZES, **ONE_SEGMENT, "with_pool": True, "with_mlm": True},
    {"model": "roberta", **SIZES, **ONE_SEGMENT, "application": "unilm"},
    {"model": "xlm_roberta_xl", **SIZES, **ONE_SEGMENT, "with_mlm": True},
]
FAMILIES = {"roberta": "roberta", "xlm_roberta": "roberta", "xlm_roberta_xl": "xlm_roberta_xl"}
HEADS = {768: 12, 1024: 16, 2560: 32, 4096: 32}


def golden_cases() -> list[Case]:
    """The recorded cases of these families."""
    return huggingface_cases.find(
        *("roberta_model", "roberta_mlm", "roberta_seqcls", "xlmr_mlm", "xlmr_tokcls"),
        *("xlmr_xl_model", "xlmr_xl_mlm"),
    )


def compare(case: Case, **options) -> float:
    """The largest absolute difference between our outputs and the recorded ones."""
    if "xlmr_xl" in case.name:
        taps = ("Embedding-Dropout", "Transformer-{i}-FeedForward-Add")
        return huggingface_cases.compare(case, taps, last="Output-Norm", **options)
    return huggingface_cases.compare(case, model="roberta", **options)


def published() -> list[dict]:
    """The released checkpoints, as Hugging Face has them and as fairseq writes them today."""
    return entries(tuple(FAMILIES), ("pytorch_hf", "pytorch_fairseq"))


def load_published(entry: dict, folder: Path):
    """Writes the entry in small and loads it strictly, with all heads that it has."""
    names = {variable["name"]: variable["shape"] for variable in entry["variables"]}
    width = next(shape[1] for name, shape in names.items() if name.endswith("dense.weight"))
    config, tensors = huggingface_cases.shrink(entry, entry.get("config"), HEADS[width])
    huggingface_cases.write(folder, config, tensors)
    # fairseq's files have no json: the sizes are read from the tensors, but for the heads
    options = {} if "config" in entry else config
    transformer = build_transformer_model(
        folder, with_mlm=True, return_keras_model=False, **options
    )
    assert transformer.family == FAMILIES[entry["family"]]
    assert transformer.config.pad_token_id == 1
    assert transformer.config.layer_norm_eps == 1e-5
    return transformer.model
