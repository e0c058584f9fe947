"""What every objective is to the training loop."""

from __future__ import annotations

import abc
import dataclasses
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, ClassVar, Protocol

from kerasbert.backend import keras, tf

if TYPE_CHECKING:
    from kerasbert.models.transformer import Transformer

Sums = dict[str, tf.Tensor]
Ratios = dict[str, tuple[tf.Tensor, tf.Tensor]]


class CorpusFacts(Protocol):
    """What an objective must know of the records; :class:`pretraining.records.Corpus` has it.

    Attributes:
        style: how documents were made to records.
        max_length: of a record in tokens.
        special_ids: ids of "pad", "unk", "cls", "sep" and "mask".
        vocab_size: number of tokens of the vocabulary.
    """

    style: str
    max_length: int
    special_ids: Mapping[str, int]
    vocab_size: int


@dataclasses.dataclass(frozen=True)
class Export:
    """A checkpoint in the published format that an objective leaves.

    Attributes:
        name: of the file, such as "bert_model".
        write: writes it. Takes a prefix (``out/bert_model.ckpt``) or the name of a zip, and a
            tokenizer or None; returns the path.
    """

    name: str
    write: Callable[[str | os.PathLike, object], str]


class Objective(abc.ABC):
    """What is predicted: from records to losses.

    A loop asks :meth:`prepare` for the inputs of a step, adds up :meth:`weights` over all rows of
    the step, and minimises the sum over losses of ``loss_weights[k] * sums[k] / weights[k]`` (0
    where nothing has a weight). So a step is the same in one piece and in many.

    Attributes:
        name: in the settings of a run.
        styles: styles of the corpora that it reads.
        loss_weights: factor of each loss in the total.
        metric_names: of the metrics that :meth:`sums` returns.
        rows: rows of the model for each record.
        splittable: whether the rows of a batch are independent of each other, so that it may be
            computed in parts.
        model: holds every variable that is trained.
        networks: the transformers in it, each with the number of positions of a row at which it
            scores the vocabulary.
    """

    name: ClassVar[str]
    styles: ClassVar[tuple[str, ...]]
    rows: ClassVar[int] = 1
    splittable: ClassVar[bool] = True

    loss_weights: dict[str, float]
    metric_names: tuple[str, ...]
    model: keras.Model
    networks: list[tuple[Transformer, int]]

    def __init__(self, corpus: CorpusFacts):
        if corpus.style not in self.styles:
            raise ValueError(
                f"the objective {self.name!r} reads corpora of the styles "
                f"{', '.join(self.styles)}. Received: {corpus.style!r}. Choose another objective, "
                "or prepare the texts again in one of these styles."
            )
        self.corpus = corpus

    @abc.abstractmethod
    def prepare(self, batch: Mapping[str, tf.Tensor], seed: tf.Tensor) -> dict[str, tf.Tensor]:
        """The inputs of a step from parsed records, a pure function in the graph.

        Args:
            batch: token_ids int32 (batch, length), word_starts bool (batch, length), first_length,
                length and label int32 (batch,).
            seed: int32 (2,), another one for every batch.

        Returns:
            Numeric tensors whose first axis is batch * rows; their shapes are static where the
            batch's are.
        """

    @abc.abstractmethod
    def weights(self, inputs: Mapping[str, tf.Tensor]) -> Sums:
        """What each loss is divided by, float32 scalars, summed over the rows given."""

    @abc.abstractmethod
    def sums(self, inputs: Mapping[str, tf.Tensor], training: bool) -> tuple[Sums, Ratios]:
        """Losses and metrics of some rows.

        Args:
            inputs: of :meth:`prepare`, or an equal part of it.
            training: whether to drop out.

        Returns:
            Float32 scalars: the sum of each loss, and for each metric a sum and what it is to be
            divided by.
        """

    @abc.abstractmethod
    def exports(self) -> list[Export]:
        """The checkpoints to publish."""
