"""Recipes of published models as settings: ``preset: roberta_small``."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any


@dataclasses.dataclass(frozen=True)
class Preset:
    """A recipe.

    Attributes:
        what: a line on what it is, and how the corpus has to be made.
        source: where the recipe was published.
        settings: of the run; what is not here is the user's.
    """

    what: str
    source: str
    settings: Mapping[str, Any]


_CHINESE = {"vocab_size": 21128, "type_vocab_size": 2, "hidden_act": "gelu",
            "max_position_embeddings": 512, "initializer_range": 0.02,
            "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1}  # fmt: skip
_TINY = {**_CHINESE, "hidden_size": 312, "num_hidden_layers": 4, "num_attention_heads": 12,
         "intermediate_size": 1248, "embedding_size": 128}  # fmt: skip
_SMALL = {**_CHINESE, "hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12,
          "intermediate_size": 1536, "embedding_size": 128}  # fmt: skip
_BASE = {**_CHINESE, "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12,
         "intermediate_size": 3072}  # fmt: skip

_WHOLE_WORD = {"mode": "whole_word", "masked_lm_prob": 0.15}
_ZHUIYI = {
    "objective": "roberta",
    "masking": _WHOLE_WORD,
    "optimizer": "lamb",
    "learning_rate": 0.00176,
    "weight_decay": 0.01,
    "schedule": "linear",
    "warmup": 3125,
    "steps": 125_000,
    "batch_size": 3200,
    "accumulation": 4,
    "precision": "mixed_bfloat16",
}
_ZHUIYI_SOURCE = "github.com/ZhuiyiTechnology/pretrained-models; bert4keras/pretraining"
_HFL_SOURCE = "Cui et al. 2019, arXiv:1906.08101, section 3, and github.com/ymcui/Chinese-BERT-wwm"

PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        "roberta_tiny": Preset(
            "RoBERTa tiny (4 x 312): LAMB, 800 x 4 records a step, on a TPU v3-8. Corpus: roberta, "
            "512 tokens.",
            _ZHUIYI_SOURCE,
            {**_ZHUIYI, "config": _TINY},
        ),
        "roberta_small": Preset(
            "RoBERTa small (6 x 384), as roberta_tiny.",
            _ZHUIYI_SOURCE,
            {**_ZHUIYI, "config": _SMALL},
        ),
        "bert_wwm_128": Preset(
            "BERT-wwm, first part: 100k steps of 2,560 records of 128 tokens, on from Google's "
            "Chinese BERT (give it as checkpoint). Corpus: bert, 128 tokens.",
            _HFL_SOURCE,
            {
                "objective": "bert",
                "masking": {**_WHOLE_WORD, "max_predictions": 20},
                "optimizer": "adam_weight_decay",
                "learning_rate": 1e-4,
                "warmup": 10_000,
                "steps": 100_000,
                "batch_size": 2560,
                "precision": "mixed_bfloat16",
            },
        ),
        "bert_wwm_512": Preset(
            "BERT-wwm, second part: 100k steps of 384 records of 512 tokens, on from the first. "
            "Corpus: bert, 512 tokens.",
            _HFL_SOURCE,
            {
                "objective": "bert",
                "masking": {**_WHOLE_WORD, "max_predictions": 80},
                "optimizer": "adam_weight_decay",
                "learning_rate": 1e-4,
                "warmup": 10_000,
                "steps": 100_000,
                "batch_size": 384,
                "precision": "mixed_bfloat16",
            },
        ),
        "roberta_wwm_ext": Preset(
            "RoBERTa-wwm-ext: 512 tokens from the start, no NSP, 1M steps of 384 records, on from "
            "Google's Chinese BERT. Corpus: roberta, 512 tokens.",
            _HFL_SOURCE,
            {
                "objective": "roberta",
                "masking": {**_WHOLE_WORD, "max_predictions": 80},
                "optimizer": "adam_weight_decay",
                "learning_rate": 1e-4,
                "warmup": 10_000,
                "steps": 1_000_000,
                "batch_size": 384,
                "precision": "mixed_bfloat16",
            },
        ),
        "rbt3": Preset(
            "RBT3: the first three layers of RoBERTa-wwm-ext (give it as checkpoint), trained on. "
            "Corpus: roberta, 512 tokens.",
            "github.com/ymcui/Chinese-BERT-wwm, small models",
            {
                "objective": "roberta",
                "model_options": {"num_hidden_layers": 3},
                "masking": {**_WHOLE_WORD, "max_predictions": 80},
                "optimizer": "adam_weight_decay",
                "learning_rate": 1e-4,
                "warmup": 10_000,
                "steps": 1_000_000,
                "batch_size": 384,
                "precision": "mixed_bfloat16",
            },
        ),
        "simbert": Preset(
            "SimBERT: UniLM and in-batch similarity, Adam 2e-6, 64 pairs both ways round a step "
            "(128 rows), on from a pretrained BERT. Corpus: simbert.",
            "Su 2020, github.com/ZhuiyiTechnology/simbert",
            {
                "objective": "simbert",
                "optimizer": "adamw",
                "clip_norm": None,
                "learning_rate": 2e-6,
                "schedule": "constant",
                "warmup": 0,
                "steps": 100_000,
                "batch_size": 64,
            },
        ),
    }
)
