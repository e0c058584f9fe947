"""Gradients of a custom loop: summed over the replicas by the loop, and by nothing else."""

from __future__ import annotations

from collections.abc import Sequence

from kerasbert.backend import IS_KERAS3, keras, tf
from kerasbert.distribution import strategy_of

_SUM = "_all_reduce_sum_gradients"  # Keras 3's method; checked before every use


def create_state(optimizer, variables: Sequence) -> None:
    """Creates what an optimizer keeps (moments, step), inside the strategy's scope.

    Call it before a ``tf.function`` applies gradients, and before a checkpoint is restored.

    Args:
        optimizer: of Keras, of this package or of tensorflow-addons.
        variables: all that it will ever train, in this order.
    """
    with strategy_of(next(iter(variables))).scope():
        if hasattr(optimizer, "build"):
            optimizer.build(list(variables))
        else:  # tensorflow-addons
            optimizer._create_all_weights(list(variables))
            optimizer.iterations  # noqa: B018 (creates it)


def apply_reduced_gradients(optimizer, gradients: Sequence, variables: Sequence) -> None:
    """Applies gradients that are already summed over the replicas.

    ``optimizer.apply_gradients`` would sum them once more; and in Keras 3 it clips before that
    sum, each replica for itself. Here clipping sees the gradients that are given, so that numbers
    do not depend on the replicas. Works in ``strategy.run`` and outside of it, eagerly and in
    ``tf.function``, with ``jit_compile=True`` where there is one replica.

    Args:
        optimizer: of Keras, of this package or of tensorflow-addons. Loss scaling is not its
            business: give the optimizer inside a ``LossScaleOptimizer`` unscaled gradients.
        gradients: tensors or None, the same values on every replica.
        variables: as many, those that they belong to.

    Raises:
        ValueError: when there are not as many of the ones as of the others, for none at all, or
            for a ``LossScaleOptimizer``.
        NotImplementedError: with several replicas, when this version of Keras sums gradients in
            an unknown way.
    """
    gradients, variables = list(gradients), list(variables)
    if len(gradients) != len(variables) or not variables:
        raise ValueError(
            "There must be as many gradients as variables, and at least one. "
            f"Received: {len(gradients)} gradients, {len(variables)} variables"
        )
    if isinstance(optimizer, keras.mixed_precision.LossScaleOptimizer):
        raise ValueError(
            "A LossScaleOptimizer would scale on its own: unscale the gradients and pass its "
            f"inner_optimizer. Received: {optimizer!r}"
        )

    def apply(gradients):
        if not IS_KERAS3:  # this keyword is also that of tensorflow-addons' optimizers
            pairs = zip(gradients, variables)
            optimizer.apply_gradients(pairs, experimental_aggregate_gradients=False)
            return
        _apply_on_keras3(optimizer, gradients, variables)

    strategy = strategy_of(variables[0])
    if tf.distribute.get_strategy() is strategy and tf.distribute.get_replica_context():
        apply(gradients)
    else:
        strategy.run(apply, args=(gradients,))


def _apply_on_keras3(optimizer, gradients: list, variables: list) -> None:
    """Hides the method that sums behind one that does not, on this one optimizer."""
    if not hasattr(type(optimizer), _SUM):
        if tf.distribute.get_strategy().num_replicas_in_sync > 1:
            raise NotImplementedError(
                f"Keras {keras.version()} sums gradients over replicas in a way that this version "
                "of kerasbert does not know: train on one replica, or install an older Keras."
            )
        optimizer.apply(gradients, variables)
        return
    # Set in __dict__: Keras would track it. The replicas' threads share the optimizer; they take
    # turns at each update, so that none removes it before the last one has passed the sum.
    vars(optimizer)[_SUM] = list
    try:
        optimizer.apply(gradients, variables)
    finally:
        vars(optimizer).pop(_SUM, None)
