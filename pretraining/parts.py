"""The parts of a run, built from its settings: corpus, strategy, objective, optimizer, step."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

import tensorflow as tf

from kerasbert.backend import IS_KERAS3, keras
from kerasbert.layers.initializers import initialize
from kerasbert.optimizers import LossScale, WeightAverage
from kerasbert.optimizers.applying import create_state
from pretraining.inputs import Batches
from pretraining.objectives import Objective, make_objective
from pretraining.optimization import make_optimizer, make_schedule
from pretraining.records import Corpus
from pretraining.settings import Settings
from pretraining.step import Step
from pretraining.strategies import is_chief, make_strategy
from pretraining.work import training_flops


class Parts:
    """Everything of a run, built but not begun.

    Args:
        settings: of the run; ``corpus`` is needed.
        strategy: instead of the one that the settings name.

    Attributes:
        corpus, evaluation: the records; the second may be None.
        strategy: where it computes; ``chief`` is whether this process writes.
        objective: model, losses, exports.
        optimizer, schedule: of the weights.
        loss_scale, average: for the settings that want them, else None.
        step: of the training.
        batches, held_out: of the two corpora.

    Raises:
        ValueError: for settings that do not fit each other, the corpus or the machine.
    """

    def __init__(self, settings: Settings, strategy: tf.distribute.Strategy | None = None):
        if not settings.corpus:
            raise ValueError("corpus is needed: a folder made by `python -m pretraining.corpus`.")
        if settings.config is None and settings.checkpoint is None:
            raise ValueError(
                "Nothing says what to train: give checkpoint to go on from one, or config to begin "
                "with random weights."
            )
        self.settings = settings
        self.strategy = strategy or make_strategy(
            settings.strategy, tpu=settings.tpu, devices=settings.devices
        )
        self.chief = is_chief(self.strategy)
        self.corpus = Corpus.open(settings.corpus)
        self.evaluation = Corpus.open(settings.evaluation) if settings.evaluation else None
        keras.utils.set_random_seed(settings.seed)
        with self.strategy.scope():
            self.objective = self._make_objective()
            self.optimizer = make_optimizer(settings)
            variables = self.objective.model.trainable_variables
            create_state(self.optimizer, variables)
            scaled = settings.precision == "mixed_float16"
            self.loss_scale = LossScale() if scaled else None
            self.average = WeightAverage(variables, settings.average) if settings.average else None
            self.step = Step(
                self.objective,
                self.optimizer,
                seed=settings.seed,
                accumulation=settings.accumulation,
                clip_norm=settings.clip_norm,
                loss_scale=self.loss_scale,
                average=self.average,
                jit_compile=settings.jit_compile,
            )
        self.schedule = make_schedule(settings)
        self.batches = self.batches_of(settings, self.corpus, self.objective)
        self.held_out = self._held_out_batches() if self.evaluation else None
        self._check_division()

    def _make_objective(self) -> Objective:
        settings = self.settings
        objective = make_objective(
            settings.objective,
            self.corpus,
            config=settings.config,
            checkpoint=settings.checkpoint,
            model=settings.model,
            dtype=settings.precision,
            recompute=settings.recompute,
            masking=settings.masking,
            options=settings.objective_options,
            model_options=settings.model_options,
        )
        if settings.checkpoint is None:
            initialize(objective.model, settings.seed)
        return objective

    @staticmethod
    def batches_of(settings: Settings, corpus: Corpus, objective: Objective) -> Batches:
        """The batches of a corpus as the settings want them."""
        return Batches(
            corpus,
            objective,
            batch_size=settings.batch_size,
            seed=settings.seed,
            lanes=settings.lanes,
            shuffle_buffer=settings.shuffle_buffer,
        )

    def _held_out_batches(self) -> Batches:
        for name in ("style", "max_length", "vocab_size", "special_ids"):
            ours, theirs = getattr(self.corpus, name), getattr(self.evaluation, name)
            if ours != theirs:
                raise ValueError(
                    f"The held-out corpus must be made as the corpus is: {name} is {theirs!r} in "
                    f"{self.evaluation.folder}, and {ours!r} in {self.corpus.folder}."
                )
        settings = dataclasses.replace(self.settings, lanes=None)
        return self.batches_of(settings, self.evaluation, self.objective)

    def _check_division(self) -> None:
        replicas, parts = self.strategy.num_replicas_in_sync, self.settings.accumulation
        if self.settings.batch_size % (replicas * parts):
            raise ValueError(
                f"batch_size must be a multiple of replicas x accumulation, {replicas} x {parts}. "
                f"Received: {self.settings.batch_size}"
            )

    @property
    def operations(self) -> int:
        """Operations of the matrix products of a step."""
        return self.settings.batch_size * training_flops(self.objective)

    def facts(self) -> dict[str, object]:
        """What the numbers of a run depend on besides its settings."""
        manifest = (Path(self.corpus.folder) / "manifest.json").read_bytes()
        return {
            "corpus_sha256": hashlib.sha256(manifest).hexdigest(),
            "lanes_used": self.batches.lanes,
            "keras": 3 if IS_KERAS3 else 2,
        }
