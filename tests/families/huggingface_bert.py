"""BERT under Hugging Face's names: recorded outputs, SpanBERT and Mengzi."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from kerasbert import build_transformer_model
from tests import huggingface_cases
from tests.golden_cases import Case
from tests.published import entries

TINY: list[dict] = []  # tests/families/bert.py has them

CASES = (
    "bert_model", "bert_mlm", "bert_pretraining", "bert_seqcls", "bert_seqcls_reg", "bert_tokcls",
    "bert_qa", "bert_mc", "bert_formats",
)  # fmt: skip


def golden_cases() -> list[Case]:
    """The recorded cases; of the one in several formats, each format."""
    found = huggingface_cases.find(*CASES)
    for case in list(found):
        if case.name.endswith("bert_formats"):
            for dtype in ("bf16", "fp16"):
                found.append(
                    dataclasses.replace(
                        case,
                        name=f"{case.name}_{dtype}",
                        record=case.folder / f"model.{dtype}.safetensors",
                        arrays=case.folder / f"golden.{dtype}.npz",
                    )
                )
            index = case.folder / "sharded" / "model.safetensors.index.json"
            found.append(dataclasses.replace(case, name=f"{case.name}_sharded", record=index))
    return found


def compare(case: Case, **options) -> float:
    """The largest absolute difference between our outputs and the recorded ones."""
    return huggingface_cases.compare(case, model="bert", **options)


def published() -> list[dict]:
    """The released checkpoints of BERT that exist under these names alone."""
    return entries(("spanbert", "mengzi"), ("pytorch_hf",))


def load_published(entry: dict, folder: Path):
    """Writes the entry in small and loads it strictly, with all heads that it has."""
    config, tensors = huggingface_cases.shrink(
        entry, entry["config"], entry["config"]["num_attention_heads"]
    )
    tensors["cls.predictions.decoder.weight"] = tensors["bert.embeddings.word_embeddings.weight"]
    huggingface_cases.write(folder, config, tensors)
    nsp = "cls.seq_relationship.weight" in tensors
    transformer = build_transformer_model(
        folder, with_pool=True, with_mlm=True, with_nsp=nsp, return_keras_model=False
    )
    assert transformer.family == "bert"
    return transformer.model
