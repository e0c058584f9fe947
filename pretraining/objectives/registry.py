"""Objectives by name."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from kerasbert.backend import keras
from kerasbert.keywords import check_keywords
from pretraining.objectives.base import CorpusFacts, Objective
from pretraining.objectives.building import ModelSource
from pretraining.objectives.electra import Electra
from pretraining.objectives.language_model import LanguageModel
from pretraining.objectives.masked_lm import ALBERTObjective, BERTObjective, MaskedLM
from pretraining.objectives.simbert import SimBERT
from pretraining.objectives.unilm import UniLM

OBJECTIVES: dict[str, type[Objective]] = {
    each.name: each
    for each in (
        *(MaskedLM, BERTObjective, ALBERTObjective, Electra, UniLM, SimBERT),
        LanguageModel,
    )
}


def make_objective(
    name: str,
    corpus: CorpusFacts,
    *,
    config=None,
    checkpoint=None,
    model: str | None = None,
    dtype=None,
    recompute: bool = False,
    masking: Mapping[str, Any] | None = None,
    options: Mapping[str, Any] | None = None,
    model_options: Mapping[str, Any] | None = None,
    seed: int | None = None,
) -> Objective:
    """Builds an objective and its model; under a strategy, call it within its scope.

    Args:
        name: "roberta", "bert", "albert", "electra", "unilm", "simbert" or "lm".
        corpus: what the records are.
        config: path or dict of the model's configuration.
        checkpoint: to go on from, in any form that ``build_transformer_model`` reads; None begins
            with random weights.
        model: the model's family; None infers it.
        dtype: dtype policy, such as "mixed_bfloat16".
        recompute: less memory for a second forward pass.
        masking: fields of :class:`pretraining.masking.MaskingConfig`.
        options: of the objective; see its ``options_class``.
        model_options: further arguments of ``build_transformer_model``, such as
            ``num_hidden_layers=3``.
        seed: of the random weights; it sets the seeds of Python, NumPy and TensorFlow. None leaves
            them alone.

    Raises:
        ValueError: for an unknown name, or settings that do not fit each other.
        TypeError: for an unknown setting; it names the nearest known ones.
    """
    if name not in OBJECTIVES:
        raise ValueError(f"objective must be one of {', '.join(OBJECTIVES)}. Received: {name!r}")
    objective, options = OBJECTIVES[name], dict(options or {})
    known = {field.name for field in dataclasses.fields(objective.options_class)}
    check_keywords(options, known, f"the objective {name!r}")
    if seed is not None:
        keras.utils.set_random_seed(seed)
    source = ModelSource(config, checkpoint, model, dtype, recompute, dict(model_options or {}))
    return objective(corpus, source, dict(masking or {}), objective.options_class(**options))
