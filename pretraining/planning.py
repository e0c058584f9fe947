"""``--dry-run``: what a run would do, checked as far as this machine can."""

from __future__ import annotations

import dataclasses

import numpy as np
import tensorflow as tf

from pretraining.host_loop import HostLoop
from pretraining.parts import Parts
from pretraining.settings import Settings


def plan(settings: Settings) -> list[str]:
    """Builds all parts, reads a batch, lowers the step to XLA, and says what would run.

    Nothing is trained or written. The TPU and other workers are not asked: the step of one of
    their replicas is made here, with its share of the batch.

    Args:
        settings: of the run.

    Returns:
        Lines of text.

    Raises:
        ValueError: whatever the run itself would raise before its first step; or a step that XLA
            cannot compile, where it would have to.
    """
    replicas = _replicas(settings)
    if settings.batch_size % (replicas * settings.accumulation):
        raise ValueError(
            f"batch_size must be a multiple of replicas x accumulation, {replicas} x "
            f"{settings.accumulation}. Received: {settings.batch_size}"
        )
    one = dataclasses.replace(settings, strategy="one", tpu=None)
    parts = Parts(one)
    share = Parts.batches_of(
        dataclasses.replace(one, batch_size=settings.batch_size // replicas, lanes=None),
        parts.corpus,
        parts.objective,
    )
    inputs = next(HostLoop(parts.step).iterator(share, 0))
    compiled = settings.strategy == "tpu" or settings.jit_compile
    return [
        *_corpus(parts),
        *_model(parts),
        *_batch(parts, replicas, inputs),
        *_schedule(parts),
        f"step: {_lowered(parts, inputs, compiled)}",
        *_outputs(settings),
    ]


def _replicas(settings: Settings) -> int:
    """How many replicas the run would have; ``devices`` says it for what is not at hand."""
    if settings.strategy == "one":
        return 1
    if settings.strategy == "multiworker":
        from pretraining.strategies import workers

        return workers() * max(1, len(tf.config.list_physical_devices("GPU")))
    if settings.devices:
        return settings.devices
    return 8 if settings.strategy == "tpu" else len(tf.config.list_physical_devices("GPU")) or 1


def _corpus(parts: Parts) -> list[str]:
    corpus, batches = parts.corpus, parts.batches
    epochs = parts.settings.steps / batches.steps_per_epoch
    lines = [
        f"corpus: {corpus.folder}, style {corpus.style}, {corpus.examples:,} sequences of at most "
        f"{corpus.max_length} tokens, {corpus.tokens:,} tokens in {len(corpus.shards)} shards",
        f"epochs: {epochs:.2f} of {batches.steps_per_epoch:,} steps, in {batches.lanes} lanes",
    ]
    if parts.held_out:
        lines.append(f"held out: {parts.evaluation.examples:,} sequences")
    return lines


def _model(parts: Parts) -> list[str]:
    weights = parts.objective.model.trainable_variables
    count = sum(int(np.prod(variable.shape)) for variable in weights)
    start = parts.settings.checkpoint or "random weights"
    state = 4 * count * (3 + (parts.average is not None) + 1)  # weights, moments, gradients
    return [
        f"objective: {parts.objective.name}, losses {', '.join(parts.objective.loss_weights)}",
        f"model: {parts.objective.model.name}, {count:,} parameters, from {start}",
        f"memory: {state / 2**30:.2f} GiB of weights, moments and gradients on each replica",
    ]


def _batch(parts: Parts, replicas: int, inputs) -> list[str]:
    settings = parts.settings
    shapes = ", ".join(f"{name} {tuple(x.shape)}" for name, x in sorted(inputs.items()))
    part = settings.batch_size // replicas // settings.accumulation
    return [
        f"batch: {settings.batch_size} = {replicas} replicas x {settings.accumulation} "
        f"micro-batches x {part} sequences; {parts.operations / 1e12:,.2f} TFLOP a step, "
        f"{parts.operations * settings.steps / 1e15:,.1f} PFLOP in all",
        f"inputs of a replica: {shapes}",
    ]


def _schedule(parts: Parts) -> list[str]:
    settings = parts.settings
    steps = sorted({0, *(round(settings.steps * share) for share in (0.05, 0.1, 0.5, 1))})
    rates = ", ".join(f"{float(parts.schedule(step)):.3g} at {step:,}" for step in steps)
    return [f"optimizer: {settings.optimizer}, learning rate {rates}"]


def _lowered(parts: Parts, inputs, needed: bool) -> str:
    """Whether XLA takes the step; what it says otherwise."""
    step = tf.function(parts.step.of_replica, jit_compile=True)
    try:
        lines = step.experimental_get_compiler_ir(inputs, tf.constant(0, tf.int64))(stage="hlo")
    except (tf.errors.OpError, ValueError) as error:
        message = f"XLA cannot compile it: {str(error).splitlines()[0]}"
        if needed:
            raise ValueError(message) from error
        return message
    return f"XLA takes it ({len(lines.splitlines()):,} lines of HLO for a replica)"


def _outputs(settings: Settings) -> list[str]:
    exports = f"every {settings.export_every:,} steps and " if settings.export_every else ""
    return [
        f"output: {settings.output or '(not given)'}, a checkpoint every {settings.save_every:,} "
        f"steps (the last {settings.keep} are kept), exports {exports}at the end",
    ]
