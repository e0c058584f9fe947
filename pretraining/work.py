"""How much there is to compute in a step, and how much the device could: the share of the limit."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import tensorflow as tf

if TYPE_CHECKING:
    from kerasbert.models.transformer import Transformer
    from pretraining.objectives import Objective


def forward_flops(transformer: Transformer, length: int, predictions: int) -> int:
    """Operations of the matrix products of one row's forward pass; a product of n numbers has 2n.

    Args:
        transformer: an encoder of BERT's form.
        length: tokens of a row, padding too: that is what is computed.
        predictions: positions that the vocabulary is scored at.
    """
    config = transformer.config
    hidden, width = config.hidden_size, config.embedding_width
    heads = config.num_attention_heads
    keys, values = heads * config.key_size, heads * config.head_size
    inner = config.intermediate_size * (1 if isinstance(config.hidden_act, str) else 2)
    block = hidden * (2 * keys + values) + values * hidden + 2 * hidden * inner
    attention = length * (keys + values)
    body = length * config.num_hidden_layers * (block + attention)
    if config.maps_embeddings:
        body += length * width * hidden
    head = predictions * width * (hidden + config.vocab_size)
    return 2 * (body + head)


def training_flops(objective: Objective) -> int:
    """Operations of a record's training step: the backward pass has twice those of the forward one.

    Recomputed forward passes are not counted, as they bring nothing.
    """
    length = objective.corpus.max_length
    forward = sum(forward_flops(network, length, scored) for network, scored in objective.networks)
    return 3 * objective.rows * forward


def matmul_limit(dtype: str, size: int = 1024, seconds: float = 0.3) -> float:
    """Operations per second of large matrix products on the first device, as measured now.

    Args:
        dtype: "float32", "bfloat16" or "float16".
        size: rows and columns.
        seconds: how long to measure, after a first product.
    """
    with tf.device("CPU:0" if on_cpu() else "GPU:0"):
        matrix = tf.cast(tf.random.stateless_uniform([size, size], [1, 2]), dtype)

        @tf.function
        def product(x):
            return tf.matmul(x, matrix)

        float(tf.reduce_max(product(matrix)))
        best, start = float("inf"), time.perf_counter()
        while time.perf_counter() - start < seconds:
            begin = time.perf_counter()
            float(product(matrix)[0, 0])
            best = min(best, time.perf_counter() - begin)
    return 2 * size**3 / best


def on_cpu() -> bool:
    """Whether there is no GPU."""
    return not tf.config.list_logical_devices("GPU")
