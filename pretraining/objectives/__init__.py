"""What models are pretrained on: records to inputs, losses and published checkpoints."""

from pretraining.objectives.base import CorpusFacts, Export, Objective
from pretraining.objectives.registry import OBJECTIVES, make_objective

__all__ = ["OBJECTIVES", "CorpusFacts", "Export", "Objective", "make_objective"]
