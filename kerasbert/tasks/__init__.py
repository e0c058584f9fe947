"""What a task needs besides a model: heads, losses, trainings that can go on, measures of texts."""

from kerasbert.tasks.heads import build_task_model, load_fine_tuned
from kerasbert.tasks.in_batch import InBatchSimilarityLoss
from kerasbert.tasks.loss_layer import Loss
from kerasbert.tasks.next_token import NextTokenLoss
from kerasbert.tasks.resuming import Resume
from kerasbert.tasks.task import Task, task_of
from kerasbert.tasks.text_metrics import characters, text_metrics

__all__ = [
    "InBatchSimilarityLoss",
    "Loss",
    "NextTokenLoss",
    "Resume",
    "Task",
    "build_task_model",
    "characters",
    "load_fine_tuned",
    "task_of",
    "text_metrics",
]
