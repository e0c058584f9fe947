"""Masked language models, alone (RoBERTa) or with a question about two segments (BERT, ALBERT).

The losses are those of Google's run_pretraining.py: the cross-entropy of the chosen tokens, and
that of the two answers about the segments, each averaged over the whole batch, and added.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

from kerasbert.backend import tf
from pretraining.masking import mask_tokens
from pretraining.objectives import scores
from pretraining.objectives.base import CorpusFacts, Export, Objective, Ratios, Sums
from pretraining.objectives.building import ModelSource, export_of, model_inputs, training_model
from pretraining.objectives.mask_settings import masking_config
from pretraining.objectives.records import candidates, number_of_rows, segments
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
        self.metric_names = ("mlm_accuracy",)
        self.transformer = source.build(corpus, with_mlm="linear", **self.heads())
        self.model = training_model(
            self.transformer, self.masking.max_predictions, pooled=bool(self.heads())
        )
        self.networks = [(self.transformer, self.masking.max_predictions)]

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
        return self.sums_of_tokens(inputs, self.run(inputs, training))

    def sums_of_tokens(
        self, inputs: Mapping[str, tf.Tensor], logits: tf.Tensor
    ) -> tuple[Sums, Ratios]:
        """Loss and metric of the chosen tokens from their logits (rows, positions, vocab_size)."""
        loss, accuracy = scores.of_labels(inputs["labels"], logits, inputs["weights"])
        return {"mlm": loss}, {"mlm_accuracy": accuracy}

    def run(self, inputs: Mapping[str, tf.Tensor], training: bool):
        """What the model says."""
        return self.model(model_inputs(self.transformer, inputs), training=training)

    def exports(self) -> list[Export]:
        return [export_of(self.transformer)]


class SegmentPairs(MaskedLM):
    """A masked language model that is also asked about the two segments of a record.

    The answer is 1 where ``label`` is: where the segments do not belong together so.
    """

    question: ClassVar[str]

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.loss_weights = {"mlm": 1.0, self.question: 1.0}
        self.metric_names = ("mlm_accuracy", f"{self.question}_accuracy")

    def heads(self) -> dict[str, Any]:
        return {"with_nsp": "linear"}

    def prepare(self, batch: Mapping[str, tf.Tensor], seed: tf.Tensor) -> dict[str, tf.Tensor]:
        return {**super().prepare(batch, seed), "pair_labels": batch["label"]}

    def weights(self, inputs: Mapping[str, tf.Tensor]) -> Sums:
        return {**super().weights(inputs), self.question: number_of_rows(inputs)}

    def sums(self, inputs: Mapping[str, tf.Tensor], training: bool) -> tuple[Sums, Ratios]:
        pair_logits, logits = self.run(inputs, training)
        losses, metrics = self.sums_of_tokens(inputs, logits)
        loss, accuracy = scores.of_labels(
            inputs["pair_labels"], pair_logits, tf.ones_like(pair_logits[:, 0])
        )
        losses[self.question], metrics[f"{self.question}_accuracy"] = loss, accuracy
        return losses, metrics


class BERTObjective(SegmentPairs):
    """BERT's: masked tokens, and whether the second segment follows the first (next sentence).

    Devlin et al. 2018, arXiv:1810.04805.
    """

    name = "bert"
    styles = ("bert",)
    question = "nsp"


class ALBERTObjective(SegmentPairs):
    """ALBERT's: masked n-grams, and whether the segments were swapped (sentence order).

    Lan et al. 2019, arXiv:1909.11942. N-grams have 1 to 3 words with probabilities in proportion
    to 1, 1/2 and 1/3, and 80/10/10 is drawn for each token, as in Google's program.
    """

    name = "albert"
    styles = ("albert",)
    question = "sop"
    mask_defaults = {
        "mode": "ngram",
        "ngram_shares": (6 / 11, 3 / 11, 2 / 11),
        "replace_by": "token",
    }
