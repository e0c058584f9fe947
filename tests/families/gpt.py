"""GPT, GPT-2 and GPT2_ML against recorded outputs of bert4keras.

Cases other than ``gpt`` were recorded for this project with bert4keras 0.11.5 on TensorFlow 1.15,
random weights, in the layout of the others.
"""

from __future__ import annotations

from tests.golden_cases import Case, compare_bert4keras, find_cases

SIZES = {
    "vocab_size": 50,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 32,
}
TINY = [
    {"model": "gpt", **SIZES},
    {"model": "gpt", **SIZES, "shared_segment_embeddings": True, "final_activation": "linear"},
    {"model": "gpt2", **SIZES},
    {"model": "gpt2_ml", **SIZES, "final_activation": "linear"},
]


def golden_cases() -> list[Case]:
    """The recorded cases of these families."""
    return find_cases(("gpt", "gpt2", "gpt2_ml"))


def compare(case: Case, **options) -> float:
    """The largest absolute difference between our outputs and the recorded ones."""
    return compare_bert4keras(case, **options)


def published() -> list[dict]:
    """None: no list of variables of a released file has been recorded."""
    return []
