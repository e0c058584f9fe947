"""UniLM: one network that reads both ways, from left to right, and continues what it has read.

Dong et al. 2019, arXiv:1905.03197. Each row becomes, by chance, one of three tasks; what tells the
network which one is its attention mask, made of the segments (0 is read both ways, each 1 begins a
step from left to right):

=============  ============================  ==========  =====================================
loss           row                           segments    predicted
=============  ============================  ==========  =====================================
"mlm"          [CLS] a b c d [SEP]           0 0 0 0 0 0 tokens behind masks
"lm"           [CLS] a b c d [SEP]           1 1 1 1 1 1 the token after each
"seq2seq"      [CLS] a b [SEP] c d [SEP]     0 0 0 0 1 1 1 each token after the first [SEP]
=============  ============================  ==========  =====================================
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any, ClassVar

from kerasbert.backend import tf
from pretraining.masking import mask_tokens
from pretraining.objectives import scores
from pretraining.objectives.base import CorpusFacts, Export, Objective, Ratios, Sums
from pretraining.objectives.building import ModelSource, export_of, model_inputs, training_model
from pretraining.objectives.draws import random_fractions, random_keys, seeds
from pretraining.objectives.mask_settings import masking_config
from pretraining.objectives.next_token import before, check_width, next_tokens
from pretraining.objectives.records import candidates, real_tokens

TASKS = ("mlm", "lm", "seq2seq")


@dataclasses.dataclass(frozen=True)
class UniLMOptions:
    """Options of UniLM.

    Attributes:
        shares: of rows that are read both ways, from left to right, and as source and target; they
            are also the weights of the losses. Made to sum to 1.
        max_predictions: most predictions of a row, of whatever task; None is its length. Of more, a
            random subset is taken.

    Raises:
        ValueError: for a value outside its range.
    """

    shares: Sequence[float] = (1.0, 1.0, 1.0)
    max_predictions: int | None = None

    def __post_init__(self):
        shares = self.shares
        if (
            not isinstance(shares, (list, tuple))
            or len(shares) != len(TASKS)
            or not all(isinstance(share, Real) and share >= 0 for share in shares)
            or sum(shares) <= 0
        ):
            raise ValueError(
                "shares must be three numbers, none negative and not all 0, of rows read both "
                f"ways, from left to right, and as source and target. Received: {shares!r}"
            )
        total = float(sum(shares))
        object.__setattr__(self, "shares", tuple(share / total for share in shares))
        check_width(self.max_predictions)


class UniLM(Objective):
    """UniLM's; see the module's description.

    Args:
        corpus: what the records are.
        source: where the model comes from.
        masking: fields of :class:`pretraining.masking.MaskingConfig`, for "mlm".
        options: see there.

    Raises:
        ValueError: for masks that predict more than the options allow.
    """

    name = "unilm"
    styles = ("roberta", "short")
    options_class: ClassVar[type] = UniLMOptions

    def __init__(
        self,
        corpus: CorpusFacts,
        source: ModelSource,
        masking: Mapping[str, Any],
        options: UniLMOptions,
    ):
        super().__init__(corpus)
        self.options = options
        self.width = options.max_predictions or corpus.max_length
        self.masking = masking_config(corpus, masking, width=self.width)
        self.loss_weights = dict(zip(TASKS, options.shares))
        self.metric_names = tuple(f"{task}_accuracy" for task in TASKS)
        self.transformer = source.build(corpus, application="unilm", with_mlm="linear")
        self.model = training_model(self.transformer, self.width)
        self.networks = [(self.transformer, self.width)]

    def prepare(self, batch: Mapping[str, tf.Tensor], seed: tf.Tensor) -> dict[str, tf.Tensor]:
        task_seed, mask_seed, split_seed, choice_seed = seeds(seed, 4)
        task = draw_task(tf.shape(batch["token_ids"])[:1], self.options.shares, task_seed)
        free = candidates(batch, self.corpus)
        split, can_split = draw_split(free, batch["word_starts"], split_seed)
        task = tf.where((task == 2) & ~can_split, 1, task)
        masked = mask_tokens(
            *(batch["token_ids"], batch["word_starts"], free, mask_seed, self.masking),
            token_counts=batch["length"],
        )
        token_ids, segment_ids = self._read_forward(batch, task, split)
        following = next_tokens(token_ids, before(segment_ids == 1), self.width, choice_seed)
        both_ways = (task == 0)[:, None]
        more = [[0, 0], [0, self.width - self.masking.max_predictions]]
        predictions = {
            name: tf.where(both_ways, tf.pad(getattr(masked, name), more), value)
            for name, value in following._asdict().items()
        }
        token_ids = tf.where(both_ways, masked.token_ids, token_ids)
        return {"token_ids": token_ids, "segment_ids": segment_ids, "task": task, **predictions}

    def _read_forward(
        self, batch: Mapping[str, tf.Tensor], task: tf.Tensor, split: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Tokens, with [SEP] inserted where a row is split, and segments; (rows, length) each."""
        token_ids, length = batch["token_ids"], batch["token_ids"].shape[1]
        places, divided = tf.range(length), (task == 2)[:, None]
        split = split[:, None]
        later = tf.pad(token_ids[:, :-1], [[0, 0], [1, 0]])
        with_target = tf.where(places < split, token_ids, later)
        with_target = tf.where(places == split, self.corpus.special_ids["sep"], with_target)
        grown = tf.minimum(batch["length"] + 1, length)[:, None]
        target = divided & (places > split) & (places < grown)
        forward = (task == 1)[:, None] & real_tokens(batch)
        return tf.where(divided, with_target, token_ids), tf.cast(target | forward, tf.int32)

    def weights(self, inputs: Mapping[str, tf.Tensor]) -> Sums:
        return {
            name: tf.reduce_sum(self._weights_of(inputs, number))
            for number, name in enumerate(TASKS)
        }

    @staticmethod
    def _weights_of(inputs: Mapping[str, tf.Tensor], task: int) -> tf.Tensor:
        return inputs["weights"] * tf.cast(inputs["task"] == task, tf.float32)[:, None]

    def sums(self, inputs: Mapping[str, tf.Tensor], training: bool) -> tuple[Sums, Ratios]:
        logits = self.model(model_inputs(self.transformer, inputs), training=training)
        entropies, right = scores.per_label(inputs["labels"], logits)
        losses, metrics = {}, {}
        for number, name in enumerate(TASKS):
            weights = self._weights_of(inputs, number)
            losses[name] = tf.reduce_sum(entropies * weights)
            metrics[f"{name}_accuracy"] = tf.reduce_sum(right * weights), tf.reduce_sum(weights)
        return losses, metrics

    def exports(self) -> list[Export]:
        return [export_of(self.transformer)]


def draw_task(shape: tf.Tensor, shares: Sequence[float], seed: tf.Tensor) -> tf.Tensor:
    """Numbers of tasks, int32 of this shape, drawn with these probabilities."""
    fractions = random_fractions(shape, seed)
    limits = [sum(shares[: number + 1]) for number in range(len(shares) - 1)]
    return tf.add_n([tf.cast(fractions >= limit, tf.int32) for limit in limits])


def draw_split(
    free: tf.Tensor, word_starts: tf.Tensor, seed: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Where the target of each row begins: at any of its words but the first.

    Args:
        free: bool (rows, length), True where a token is none of the special ones.
        word_starts: bool (rows, length).
        seed: int32 (2,).

    Returns:
        Positions, int32 (rows,), and whether there is one, bool (rows,).
    """
    previous = tf.pad(free, [[0, 0], [1, 0]])[:, :-1]
    begins = free & (word_starts | ~previous)
    begins &= tf.cumsum(tf.cast(free, tf.int32), -1, exclusive=True) > 0
    keys = random_keys(tf.shape(free), seed)
    split = tf.argmax(tf.where(begins, keys, -1), -1, output_type=tf.int32)
    return split, tf.reduce_any(begins, -1)
