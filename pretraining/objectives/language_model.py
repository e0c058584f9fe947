"""Language models from left to right: every token from those before it (GPT)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

from kerasbert.backend import tf
from kerasbert.models.gpt import GPT
from pretraining.objectives import scores
from pretraining.objectives.base import CorpusFacts, Export, Objective, Ratios, Sums
from pretraining.objectives.building import ModelSource, export_of, model_inputs, training_model
from pretraining.objectives.next_token import before, check_width, next_tokens
from pretraining.objectives.records import real_tokens, segments


@dataclasses.dataclass(frozen=True)
class LanguageModelOptions:
    """Options of a language model.

    Attributes:
        max_predictions: most predictions of a row, any subset of its tokens; None is all.

    Raises:
        ValueError: for a number below 1.
    """

    max_predictions: int | None = None

    def __post_init__(self):
        check_width(self.max_predictions)


class LanguageModel(Objective):
    """Next tokens, of all families with an MLM head (as application "lm") and of GPTs.

    Args:
        corpus: what the records are.
        source: where the model comes from.
        masking: nothing: no token is masked.
        options: see there.

    Raises:
        ValueError: for settings of masks.
    """

    name = "lm"
    styles = ("roberta", "short")
    options_class: ClassVar[type] = LanguageModelOptions

    def __init__(
        self,
        corpus: CorpusFacts,
        source: ModelSource,
        masking: Mapping[str, Any],
        options: LanguageModelOptions,
    ):
        super().__init__(corpus)
        no_masking(self.name, masking)
        self.width = min(options.max_predictions or corpus.max_length, corpus.max_length - 1)
        self.loss_weights = {"lm": 1.0}
        self.metric_names = ("lm_accuracy",)
        head = "final_activation" if issubclass(source.family(), GPT) else "with_mlm"
        self.transformer = source.build(corpus, application="lm", **{head: "linear"})
        self.model = training_model(self.transformer, self.width)
        self.networks = [(self.transformer, self.width)]

    def prepare(self, batch: Mapping[str, tf.Tensor], seed: tf.Tensor) -> dict[str, tf.Tensor]:
        token_ids = batch["token_ids"]
        following = next_tokens(token_ids, before(real_tokens(batch)), self.width, seed)
        return {"token_ids": token_ids, "segment_ids": segments(batch), **following._asdict()}

    def weights(self, inputs: Mapping[str, tf.Tensor]) -> Sums:
        return {"lm": tf.reduce_sum(inputs["weights"])}

    def sums(self, inputs: Mapping[str, tf.Tensor], training: bool) -> tuple[Sums, Ratios]:
        logits = self.model(model_inputs(self.transformer, inputs), training=training)
        loss, accuracy = scores.of_labels(inputs["labels"], logits, inputs["weights"])
        return {"lm": loss}, {"lm_accuracy": accuracy}

    def exports(self) -> list[Export]:
        return [export_of(self.transformer)]


def no_masking(name: str, masking: Mapping[str, Any]) -> None:
    """Raises ValueError for settings of masks in an objective without any."""
    if masking:
        raise ValueError(
            f"the objective {name!r} masks nothing: leave out masking. Received: {dict(masking)}"
        )
