"""The configuration of masks for a corpus."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from kerasbert.keywords import check_keywords
from pretraining.masking import MaskingConfig
from pretraining.objectives.base import CorpusFacts


def masking_config(
    corpus: CorpusFacts, settings: Mapping[str, Any], width: int | None = None, **defaults: Any
) -> MaskingConfig:
    """Completes settings with what the corpus says.

    Args:
        corpus: the ids of special tokens, the number of tokens and the length.
        settings: fields of :class:`MaskingConfig`; ``mask_id`` is the corpus's. Without
            ``max_predictions`` it is ``masked_lm_prob`` of the longest record; without
            ``random_ids`` see :func:`random_ids`.
        width: most predictions that the objective has room for; None is any number.
        **defaults: of the objective.

    Raises:
        TypeError: for an unknown setting.
        ValueError: for a wrong value, or a vocabulary without [MASK].
    """
    fields = {field.name for field in dataclasses.fields(MaskingConfig)} - {"mask_id"}
    check_keywords(settings, fields, "masking")
    mask = corpus.special_ids.get("mask")
    if mask is None:
        raise ValueError(
            "the vocabulary has no [MASK], which this objective needs: use another vocabulary, or "
            "the objective 'lm'."
        )
    values = {"random_ids": random_ids(corpus), **defaults, **settings}
    share = values.get("masked_lm_prob", MaskingConfig.masked_lm_prob)
    if "max_predictions" not in values:
        usual = max(1, round(share * corpus.max_length))
        values["max_predictions"] = usual if width is None else min(usual, width)
    config = MaskingConfig(mask_id=mask, **values)
    if width is not None and config.max_predictions > width:
        raise ValueError(
            f"masking has max_predictions={config.max_predictions}, but the objective has room "
            f"for {width} in a row: make one smaller or the other larger."
        )
    return config


def random_ids(corpus: CorpusFacts) -> tuple[int, int]:
    """The ids that random tokens are drawn from: first, and end (exclusive).

    Where the special tokens stand in the first quarter of the vocabulary, as in BERT's, those
    behind the last of them: neither they nor the unused ones between them ever stand in a text.
    Otherwise ([MASK] is last in RoBERTa's and XLM-R's) the whole vocabulary, of which a handful of
    special tokens is no share that matters.
    """
    last = max(int(i) for i in corpus.special_ids.values() if i is not None)
    first = last + 1 if 4 * last < corpus.vocab_size else 0
    return first, corpus.vocab_size
