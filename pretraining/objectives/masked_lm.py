"""Masked language models, alone (RoBERTa) or with a question about two segments (BERT, ALBERT)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

from kerasbert import save_weights_as_checkpoint
from kerasbert.backend import tf
from pretraining.masking import mask_tokens
from pretraining.objectives import scores
from pretraining.objectives.base import CorpusFacts, Export, Objective, Ratios, Sums
from pretraining.objectives.building import ModelSource, arguments, training_model
from pretraining.objectives.mask_settings import masking_config
from pretraining.objectives.records import candidates, segments
from pretraining.synonyms import SynonymTable


@dataclasses.dataclass(frozen=True)
class MaskedLMOptions:
    """Options of a masked language model.

    Attributes:
        share_of: what ``masked_lm_prob`` is a share of: "tokens" are all of a row with [CLS] and
            [SEP], as in Google's program; "candidates" those that may be chosen.
        synonyms: similar words to put in the place of [MASK], as MacBERT does; needs
            ``replace_by`` "word" or "unit" in the masking.

    Raises:
        ValueError: for another ``share_of``.
    """

    share_of: str = "tokens"
    synonyms: SynonymTable | None = None

    def __post_init__(self):
        if self.share_of not in ("tokens", "candidates"):
            raise ValueError(
                f"share_of must be 'tokens' or 'candidates'. Received: {self.share_of!r}"
            )


class MaskedLM(Objective):
    """RoBERTa's: the tokens behind masks (Liu et al. 2019, arXiv:1907.11692).

    Args:
        corpus: what the records are.
        source: where the model comes from.
        masking: fields of :class:`pretraining.masking.MaskingConfig`.
        options: see there.
    """

    name = "roberta"
    styles = ("roberta", "short", "bert", "albert")
    options_class: ClassVar[type] = MaskedLMOptions
    mask_defaults: ClassVar[Mapping[str, Any]] = {}

    def __init__(
        self,
        corpus: CorpusFacts,
        source: ModelSource,
        masking: Mapping[str, Any],
        options: MaskedLMOptions,
    ):
        super().__init__(corpus)
        self.options = options
        self.masking = masking_config(corpus, masking, **self.mask_defaults)
        self.loss_weights = {"mlm": 1.0}
        self.transformer = source.build(corpus, with_mlm="linear", **self.heads())
        self.model = training_model(
            self.transformer, self.masking.max_predictions, pooled=bool(self.heads())
        )

    def heads(self) -> dict[str, Any]:
        """Further heads, as arguments of ``build_transformer_model``."""
        return {}

    def prepare(self, batch: Mapping[str, tf.Tensor], seed: tf.Tensor) -> dict[str, tf.Tensor]:
        counted = batch["length"] if self.options.share_of == "tokens" else None
        masked = mask_tokens(
            batch["token_ids"],
            batch["word_starts"],
            candidates(batch, self.corpus),
            seed,
            self.masking,
            token_counts=counted,
            synonyms=self.options.synonyms,
        )
        return {"segment_ids": segments(batch), **masked._asdict()}

    def weights(self, inputs: Mapping[str, tf.Tensor]) -> Sums:
        return {"mlm": tf.reduce_sum(inputs["weights"])}

    def sums(self, inputs: Mapping[str, tf.Tensor], training: bool) -> tuple[Sums, Ratios]:
        logits = self.run(inputs, training)
        answers = inputs["labels"], logits, inputs["weights"]
        metrics = {"mlm_accuracy": (scores.correct(*answers), tf.reduce_sum(inputs["weights"]))}
        return {"mlm": scores.cross_entropy(*answers)}, metrics

    def run(self, inputs: Mapping[str, tf.Tensor], training: bool):
        """What the model says."""
        names = ("token_ids", "segment_ids", "positions")
        given = arguments(self.transformer, *(inputs[name] for name in names))
        return self.model(given, training=training)

    def exports(self) -> list[Export]:
        def write(path, tokenizer=None) -> str:
            return save_weights_as_checkpoint(self.transformer, path, vocab=tokenizer)

        return [Export("bert_model", write)]
