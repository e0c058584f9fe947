"""Where a run computes: one device, several of one machine, several machines, a TPU."""

from __future__ import annotations

import json
import logging
import os

import tensorflow as tf

logger = logging.getLogger("kerasbert")


def make_strategy(
    name: str, *, tpu: str | None = None, devices: int | None = None
) -> tf.distribute.Strategy:
    """The strategy of a run; to be called before anything else uses TensorFlow's devices.

    Args:
        name: "one"; "mirrored", all GPUs, or without any the CPU cut into ``devices`` logical ones
            (for tries: it is no faster than one); "multiworker", one process on each machine that
            ``TF_CONFIG`` names; "tpu", found by ``TPUClusterResolver``.
        tpu: name or grpc:// address of the TPU; "local" on a TPU VM; None lets the environment say.
        devices: replicas of "mirrored"; None is every GPU.

    Returns:
        A strategy of TensorFlow.

    Raises:
        ValueError: for what is not there: the variable, the TPU, as many devices.
    """
    if name == "one":
        return tf.distribute.get_strategy()
    if name == "mirrored":
        return tf.distribute.MirroredStrategy(_devices(devices))
    if name == "multiworker":
        if not os.environ.get("TF_CONFIG"):
            raise ValueError(
                "strategy 'multiworker' reads the addresses of all workers from the variable "
                'TF_CONFIG, such as {"cluster": {"worker": ["host1:2222", "host2:2222"]}, '
                '"task": {"type": "worker", "index": 0}}, and it is not set.'
            )
        return tf.distribute.MultiWorkerMirroredStrategy()
    if name == "tpu":
        return _tpu_strategy(tpu)
    raise ValueError(f"Unknown strategy: {name!r}")


def _devices(count: int | None) -> list[str] | None:
    """The names of so many GPUs, or of logical CPUs where there is no GPU."""
    if count is None:
        return None
    gpus = tf.config.list_physical_devices("GPU")  # logical ones could not be changed any more
    if len(gpus) >= count:
        return [f"GPU:{index}" for index in range(count)]
    if gpus:
        raise ValueError(f"devices={count} were asked for, and there are {len(gpus)} GPUs.")
    cpu = tf.config.list_physical_devices("CPU")[0]
    configured = tf.config.get_logical_device_configuration(cpu)
    if not configured or len(configured) < count:
        try:
            tf.config.set_logical_device_configuration(
                cpu, [tf.config.LogicalDeviceConfiguration()] * count
            )
        except RuntimeError:
            raise ValueError(
                f"The CPU cannot be cut into {count} devices any more, because TensorFlow is in "
                "use already: make the strategy first."
            ) from None
    return [f"CPU:{index}" for index in range(count)]


def _tpu_strategy(address: str | None) -> tf.distribute.Strategy:
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu=address)
        if address != "local":
            tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
        strategy = tf.distribute.TPUStrategy(resolver)
    except (ValueError, OSError, RuntimeError, tf.errors.OpError) as error:
        raise ValueError(
            f"No TPU could be reached at {address!r}. On a TPU VM give tpu='local' and install "
            "tensorflow-tpu instead of tensorflow; from elsewhere give its name or grpc:// address "
            f"(docs/pretraining.md). TensorFlow said: {error}"
        ) from error
    logger.info("TPU with %d replicas", strategy.num_replicas_in_sync)
    return strategy


def workers() -> int:
    """How many workers ``TF_CONFIG`` names."""
    cluster = json.loads(os.environ.get("TF_CONFIG", "{}")).get("cluster", {})
    return sum(len(cluster.get(job, ())) for job in ("chief", "worker")) or 1


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Whether this process writes logs, checkpoints and exports."""
    resolver = strategy.cluster_resolver
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return True
    spec = tf.train.ClusterSpec(resolver.cluster_spec()).as_dict()
    if resolver.task_type == "worker" and "chief" in spec:
        return False
    return resolver.task_type in (None, "", "chief") or resolver.task_id == 0
