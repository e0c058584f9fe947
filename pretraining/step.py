"""One training step: the same numbers however it is divided among replicas and micro-batches.

The loss of a step is, for each part, the sum over all its predictions divided by their number, over
the whole batch, and not a mean of means: the number is summed over micro-batches, replicas and
hosts before any gradient is computed. Gradients are summed over micro-batches, then once over
replicas, clipped by their global norm, and applied on every replica alike.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import tensorflow as tf

from kerasbert.layers.recompute import seeded
from kerasbert.optimizers.applying import apply_reduced_gradients
from pretraining.inputs import split_rows

if TYPE_CHECKING:
    from pretraining.objectives import Objective

SUM = tf.distribute.ReduceOp.SUM


class Step:
    """The graph of a step, and of an evaluation of a batch.

    Args:
        objective: model, losses and metrics.
        optimizer: applies the gradients.
        seed: of dropout and sampling.
        accumulation: micro-batches of a replica's share.
        clip_norm: the most global norm of the gradients, or None.
        loss_scale: for mixed_float16; None for other precisions.
        average: of the weights, or None.
        jit_compile: whether XLA compiles it: gradients and update as one where there is one
            replica, else the gradients of each replica.

    Raises:
        ValueError: for an objective whose batches cannot be divided: micro-batches, or XLA with
            several replicas.
    """

    def __init__(
        self,
        objective: Objective,
        optimizer,
        *,
        seed: int,
        accumulation: int = 1,
        clip_norm: float | None = None,
        loss_scale=None,
        average=None,
        jit_compile: bool = False,
    ):
        if accumulation > 1 and not objective.splittable:
            raise ValueError(
                f"objective {objective.name!r} compares the rows of a batch with each other, so "
                f"that micro-batches would change it: accumulation must be 1, not {accumulation}."
            )
        self.objective, self.optimizer = objective, optimizer
        self.variables = list(objective.model.trainable_variables)
        self.seed = seed % 2**31
        self.accumulation, self.clip_norm = accumulation, clip_norm
        self.loss_scale, self.average = loss_scale, average
        self.strategy = tf.distribute.get_strategy()
        self.loss_names = sorted(objective.loss_weights)
        self.metric_names = sorted(objective.metric_names)
        self._replicas = self.strategy.num_replicas_in_sync
        self._whole, self._gradients = self.of_replica, self._gradients_of_replica
        if jit_compile and self._replicas == 1 and loss_scale is None:
            self._whole = tf.function(self._whole, jit_compile=True)
        elif jit_compile and not objective.splittable:
            raise ValueError(
                f"objective {objective.name!r} compares rows of all replicas, which XLA cannot do "
                "here: leave jit_compile out with several replicas (a TPU compiles all the same)."
            )
        elif jit_compile:
            self._gradients = tf.function(self._gradients, jit_compile=True)

    # ---- in every replica -----------------------------------------------------------------------

    def of_replica(self, inputs, number: tf.Tensor) -> tf.Tensor:
        gradients, report = self._summed_gradients(inputs, number, None)
        norm = self._apply(gradients)
        return self._packed({**report, "gradient_norm": norm / self._replicas})

    def _summed_gradients(self, inputs, number: tf.Tensor, scale: tf.Tensor | None):
        """Gradients summed over replicas, and the replica's part of the report."""
        weights = self.objective.weights(inputs)
        totals = self._summed(tf.stack([weights[name] for name in self.loss_names]))
        totals = dict(zip(self.loss_names, tf.unstack(totals)))
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        gradients, report = self._gradients(inputs, totals, number, replica, scale)
        return self._summed(gradients), report

    def _summed(self, tensors):
        """The sum over replicas, on each of them."""
        if self._replicas == 1:
            return tensors
        return tf.distribute.get_replica_context().all_reduce(SUM, tensors)

    def _gradients_of_replica(self, inputs, totals, number, replica, scale):
        """The gradients of the replica's rows, micro-batch by micro-batch, and the report."""
        if self.accumulation == 1:
            return self._gradients_of_rows(inputs, totals, number, replica, 0, scale)
        parts = split_rows(inputs, self.accumulation)

        def add(part, gradients, report):
            rows = {name: tensor[part] for name, tensor in parts.items()}
            more, numbers = self._gradients_of_rows(rows, totals, number, replica, part, scale)
            gradients = [one + other for one, other in zip(gradients, more)]
            return part + 1, gradients, {name: report[name] + numbers[name] for name in report}

        _, gradients, report = tf.while_loop(
            lambda part, *_: part < self.accumulation,
            add,
            (
                tf.constant(0),
                [tf.zeros(variable.shape) for variable in self.variables],
                {name: tf.zeros([]) for name in self._report_names()},
            ),
            maximum_iterations=self.accumulation,
        )
        return gradients, report

    def _gradients_of_rows(self, rows, totals, number, replica, part, scale):
        with tf.GradientTape() as tape, seeded(self._drawn_seed(number, replica, part)):
            sums, metrics = self.objective.sums(rows, training=True)
            losses = {
                name: tf.math.divide_no_nan(sums[name], totals[name]) for name in self.loss_names
            }
            loss = tf.add_n([self.objective.loss_weights[name] * losses[name] for name in losses])
            scaled = loss if scale is None else loss * scale
        gradients = [
            tf.zeros(variable.shape)
            if gradient is None
            else tf.cast(tf.convert_to_tensor(gradient), tf.float32)  # that of a lookup is sparse
            for gradient, variable in zip(tape.gradient(scaled, self.variables), self.variables)
        ]
        real = rows["token_ids"] != self.objective.corpus.special_ids["pad"]
        report = {"loss": loss, "tokens": tf.reduce_sum(tf.cast(real, tf.float32))}
        report.update({f"{name}_loss": value for name, value in losses.items()})
        return gradients, {**report, **_pairs(metrics)}

    def _report_names(self) -> list[str]:
        losses = [f"{name}_loss" for name in self.loss_names]
        return ["loss", "tokens", *losses, *_pairs(dict.fromkeys(self.metric_names, (0, 0)))]

    def _drawn_seed(self, number, replica, part) -> tf.Tensor:
        """A seed for dropout and sampling: a pure function of run, step, replica, micro-batch."""
        place = tf.cast(replica, tf.int32) * self.accumulation + part
        seed = tf.stack([tf.bitwise.bitwise_xor(self.seed, place), tf.cast(number, tf.int32)])
        return tf.random.stateless_uniform([2], seed, None, None, tf.int32, alg="philox")

    def _apply(self, gradients) -> tf.Tensor:
        """Clips and applies summed gradients; returns their norm before."""
        norm = tf.linalg.global_norm(gradients)
        if self.clip_norm is not None:
            gradients, _ = tf.clip_by_global_norm(gradients, self.clip_norm, norm)
        apply_reduced_gradients(self.optimizer, gradients, self.variables)
        return norm

    def _packed(self, report: dict[str, tf.Tensor]) -> tf.Tensor:
        """Scalars as one vector, so that one reduction adds them up over replicas."""
        self.names = sorted(report)
        return tf.stack([tf.cast(report[name], tf.float32) for name in self.names])

    # ---- over all replicas ----------------------------------------------------------------------

    def run(self, inputs, number: tf.Tensor) -> dict[str, tf.Tensor]:
        """A step, to be called within ``tf.function`` and outside of ``strategy.run``.

        Args:
            inputs: of every replica, as the distributed dataset gives them.
            number: of the step, a scalar: what all random numbers of it are made of.

        Returns:
            float32 scalars by name: ``loss``, each ``<name>_loss``, ``<metric>:sum`` and
            ``<metric>:weight``, ``tokens`` and ``gradient_norm`` (not finite for a step that the
            loss scale left out).
        """
        if self.loss_scale is None:
            report = self._added(self.strategy.run(self._whole, args=(inputs, number)))
        else:
            report = self._run_scaled(inputs, number)
        if self.average is not None:
            self.average.update()
        return report

    def _run_scaled(self, inputs, number) -> dict[str, tf.Tensor]:
        """With a loss scale: gradients that are not finite change no weight."""
        scale = tf.identity(self.loss_scale.scale)

        def gradients_of_replica(inputs, number, scale):
            gradients, report = self._summed_gradients(inputs, number, scale)
            gradients = [gradient / scale for gradient in gradients]
            finite = tf.reduce_all([tf.reduce_all(tf.math.is_finite(x)) for x in gradients])
            return gradients, finite, self._packed(report)

        gradients, finite, report = self.strategy.run(
            gradients_of_replica, args=(inputs, number, scale)
        )
        report = self._added(report)
        finite = self._first(finite)
        norm = tf.cond(
            finite,
            lambda: self._first(self.strategy.run(self._apply, args=(gradients,))),
            lambda: tf.constant(float("nan")),
        )
        self.loss_scale.update(finite)
        return {**report, "gradient_norm": norm}

    def evaluate(self, inputs) -> dict[str, tf.Tensor]:
        """A batch without dropout or training.

        Args:
            inputs: as in :meth:`run`.

        Returns:
            float32 scalars by name: ``<name>:sum`` and ``<name>:weight`` of every loss
            (``<name>_loss``) and metric, to be added up over batches.
        """

        def of_replica(inputs):
            weights = self.objective.weights(inputs)
            sums, metrics = self.objective.sums(inputs, training=False)
            losses = {f"{name}_loss": (sums[name], weights[name]) for name in self.loss_names}
            return self._packed(_pairs({**losses, **metrics}))

        return self._added(self.strategy.run(of_replica, args=(inputs,)))

    def _added(self, vectors) -> dict[str, tf.Tensor]:
        """The scalars of all replicas, added up."""
        vector = self.strategy.reduce(SUM, vectors, axis=None)
        return dict(zip(self.names, tf.unstack(vector, num=len(self.names))))

    def _first(self, value) -> tf.Tensor:
        return self.strategy.experimental_local_results(value)[0]


def _pairs(metrics) -> dict[str, tf.Tensor]:
    """Sum and weight of every metric, by name."""
    pairs = {}
    for name, (value, weight) in metrics.items():
        pairs[f"{name}:sum"] = tf.cast(value, tf.float32)
        pairs[f"{name}:weight"] = tf.cast(weight, tf.float32)
    return pairs
