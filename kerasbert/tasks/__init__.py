"""What a task needs besides a model: losses, trainings that can go on, and measures of texts."""

from kerasbert.tasks.in_batch import InBatchSimilarityLoss
from kerasbert.tasks.loss_layer import Loss
from kerasbert.tasks.next_token import NextTokenLoss
from kerasbert.tasks.resuming import Resume
from kerasbert.tasks.text_metrics import characters, text_metrics

__all__ = [
    "InBatchSimilarityLoss",
    "Loss",
    "NextTokenLoss",
    "Resume",
    "characters",
    "text_metrics",
]
