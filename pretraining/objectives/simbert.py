"""SimBERT: one network that writes similar sentences and gives vectors to find them by.

Su 2020, github.com/ZhuiyiTechnology/simbert. A record of two similar sentences becomes two rows,
from each to the other, side by side: rows 2 k and 2 k + 1 belong to record k.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from numbers import Real
from typing import Any, ClassVar

from kerasbert.backend import tf
from kerasbert.tasks.in_batch import partner_logits, partner_losses
from pretraining.objectives import scores
from pretraining.objectives.base import CorpusFacts, Export, Objective, Ratios, Sums
from pretraining.objectives.building import ModelSource, export_of, model_inputs, training_model
from pretraining.objectives.language_model import no_masking
from pretraining.objectives.next_token import before, check_width, next_tokens
from pretraining.objectives.records import number_of_rows, segments


@dataclasses.dataclass(frozen=True)
class SimBERTOptions:
    """Options of SimBERT.

    Attributes:
        max_predictions: most predictions of a row, any subset of its target; None is its length.
        scale: what cosine similarities are multiplied by.
        similarity_weight: factor of that loss in the total.

    Raises:
        ValueError: for a value outside its range.
    """

    max_predictions: int | None = None
    scale: float = 30.0
    similarity_weight: float = 1.0

    def __post_init__(self):
        check_width(self.max_predictions)
        if not isinstance(self.scale, Real) or self.scale <= 0:
            raise ValueError(f"scale must be above 0. Received: {self.scale!r}")
        if not isinstance(self.similarity_weight, Real) or self.similarity_weight < 0:
            raise ValueError(
                f"similarity_weight must be 0 or more. Received: {self.similarity_weight!r}"
            )


class SimBERT(Objective):
    """SimBERT's: the tokens of the other sentence, and which row of the batch it is.

    The pooled vectors of all rows are compared, over all replicas; each row has to find the other
    row of its record. Further rows of the same group count as right as well.

    Args:
        corpus: what the records are; their labels are numbers of groups.
        source: where the model comes from.
        masking: nothing: no token is masked.
        options: see there.

    Raises:
        ValueError: for settings of masks.
    """

    name = "simbert"
    styles = ("simbert",)
    rows = 2
    splittable = False
    options_class: ClassVar[type] = SimBERTOptions

    def __init__(
        self,
        corpus: CorpusFacts,
        source: ModelSource,
        masking: Mapping[str, Any],
        options: SimBERTOptions,
    ):
        super().__init__(corpus)
        no_masking(self.name, masking)
        self.options = options
        self.loss_weights = {"seq2seq": 1.0, "similarity": float(options.similarity_weight)}
        self.metric_names = ("seq2seq_accuracy", "similarity_accuracy")
        self.width = min(options.max_predictions or corpus.max_length, corpus.max_length - 1)
        heads = {"with_pool": "linear", "with_mlm": "linear"}
        self.transformer = source.build(corpus, application="unilm", **heads)
        self.model = training_model(self.transformer, self.width, pooled=True)
        self.networks = [(self.transformer, self.width)]

    def prepare(self, batch: Mapping[str, tf.Tensor], seed: tf.Tensor) -> dict[str, tf.Tensor]:
        both = _interleaved(batch, _reversed(batch))
        segment_ids = segments(both)
        following = next_tokens(both["token_ids"], before(segment_ids == 1), self.width, seed)
        return {
            "token_ids": both["token_ids"],
            "segment_ids": segment_ids,
            "groups": both["label"],
            **following._asdict(),
        }

    def weights(self, inputs: Mapping[str, tf.Tensor]) -> Sums:
        return {
            "seq2seq": tf.reduce_sum(inputs["weights"]),
            "similarity": number_of_rows(inputs),
        }

    def sums(self, inputs: Mapping[str, tf.Tensor], training: bool) -> tuple[Sums, Ratios]:
        given = model_inputs(self.transformer, inputs)
        vectors, logits = self.model(given, training=training)
        loss, accuracy = scores.of_labels(inputs["labels"], logits, inputs["weights"])
        similarity, found = self._similarity(inputs["groups"], tf.cast(vectors, tf.float32))
        metrics = {
            "seq2seq_accuracy": accuracy,
            "similarity_accuracy": (found, number_of_rows(inputs)),
        }
        return {"seq2seq": loss, "similarity": similarity}, metrics

    def _similarity(self, groups: tf.Tensor, vectors: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The sum of the rows' losses, and the number of rows whose nearest one is a partner."""
        first, *batch = rows_of_all_replicas(groups, vectors)
        logits, partners = partner_logits(groups, vectors, self.options.scale, batch, first)
        losses, _ = partner_losses(logits, partners)  # every row has a partner
        nearest = tf.argmax(logits, -1, output_type=tf.int32)
        found = tf.gather(partners, nearest, batch_dims=1)
        return tf.reduce_sum(losses), tf.reduce_sum(tf.cast(found, tf.float32))

    def exports(self) -> list[Export]:
        return [export_of(self.transformer)]


def _reversed(batch: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """[CLS] a [SEP] b [SEP] as [CLS] b [SEP] a [SEP]."""
    length = batch["length"][:, None]
    second = length - batch["first_length"][:, None]  # with its [SEP]
    places = tf.range(batch["token_ids"].shape[1])
    from_second = places + batch["first_length"][:, None] - 1
    from_first = places - second
    order = tf.where(places <= second, from_second, from_first)
    order = tf.where((places == 0) | (places >= length), places, order)
    return {
        **batch,
        "token_ids": tf.gather(batch["token_ids"], order, batch_dims=1),
        "first_length": second[:, 0] + 1,
    }


def _interleaved(*batches: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """The rows of batches in turn, so that parts of the result hold whole records."""
    names = ("token_ids", "first_length", "length", "label")
    return {
        name: tf.reshape(
            tf.stack([batch[name] for batch in batches], 1), [-1, *batches[0][name].shape[1:]]
        )
        for name in names
    }


def rows_of_all_replicas(
    groups: tf.Tensor, vectors: tf.Tensor
) -> tuple[int | tf.Tensor, tf.Tensor, tf.Tensor]:
    """Gathers rows from every replica; gradients flow back to where each came from.

    Every replica puts its rows into zeros, and these are added up: a sum over replicas has a
    gradient under every strategy.

    Args:
        groups: int32 (rows,), as many on every replica.
        vectors: float32 (rows, width).

    Returns:
        Where the rows of this replica begin; groups (replicas * rows,) and vectors
        (replicas * rows, width).
    """
    context = tf.distribute.get_replica_context()
    replicas = 1 if context is None else context.num_replicas_in_sync
    if replicas == 1:
        return 0, groups, vectors
    rows, width = vectors.shape
    replica = tf.cast(context.replica_id_in_sync_group, tf.int32)
    mine = tf.one_hot(replica, replicas)
    placed = tf.reshape(mine[:, None, None] * vectors, [replicas * rows, width])
    places = tf.reshape(tf.cast(mine, tf.int32)[:, None] * groups, [replicas * rows])
    everything = context.all_reduce(tf.distribute.ReduceOp.SUM, placed)
    return replica * rows, context.all_reduce(tf.distribute.ReduceOp.SUM, places), everything
