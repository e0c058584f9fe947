"""The choice of the next token of each continuation: the likeliest, or one that is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from kerasbert.backend import tf

if TYPE_CHECKING:
    from kerasbert.generation.options import GenerationOptions


def likeliest(log_probabilities: tf.Tensor) -> tf.Tensor:
    """The likeliest tokens, int32 (...), of (..., vocab_size)."""
    return tf.argmax(log_probabilities, axis=-1, output_type=tf.int32)


def draw(
    log_probabilities: tf.Tensor,
    uniform: tf.Tensor,
    temperature: tf.Tensor | float = 1.0,
    top_k: int = 0,
    top_p: tf.Tensor | float = 1.0,
) -> tf.Tensor:
    """Draws tokens by the inverse of their cumulative distribution.

    The distribution is sharpened first, then cut to the ``top_k`` likeliest tokens, then to the
    fewest that sum to ``top_p`` of what is left (Holtzman et al. 2019, arXiv:1904.09751): the
    order of Hugging Face's. Of tokens that are equally likely, those with lower ids stay.

    Args:
        log_probabilities: float32 (..., vocab_size); -inf where a token is forbidden.
        uniform: float32 (...), evenly drawn from [0, 1).
        temperature: divides the log-probabilities.
        top_k: number of tokens; 0 is all. Python's, as it is a shape.
        top_p: probability; 1 is no cut. A Python 1 saves sorting.

    Returns:
        int32 (...).
    """
    logits = log_probabilities / temperature
    vocab_size = logits.shape[-1]
    by_rank = None
    no_cut = isinstance(top_p, float) and top_p >= 1
    if 0 < top_k < vocab_size or not no_cut:
        size = min(top_k, vocab_size) if top_k else vocab_size
        logits, by_rank = tf.math.top_k(logits, k=size)
    probabilities = tf.nn.softmax(logits)
    if not no_cut:
        before = tf.cumsum(probabilities, axis=-1, exclusive=True)
        # The likeliest token always stays: nothing is before it.
        probabilities = tf.where(before < top_p, probabilities, 0.0)
    cumulative = tf.cumsum(probabilities, axis=-1)
    threshold = uniform[..., None] * cumulative[..., -1:]
    drawn = tf.reduce_sum(tf.cast(cumulative <= threshold, tf.int32), axis=-1)
    # Rounding may put the threshold at the very end, behind tokens of probability 0.
    last = tf.reduce_sum(tf.cast(cumulative < cumulative[..., -1:], tf.int32), axis=-1)
    drawn = tf.minimum(drawn, last)
    return drawn if by_rank is None else tf.gather(by_rank, drawn, batch_dims=drawn.shape.rank)


class Uniform:
    """Random numbers of samples, which belong to a text's place and not to its batch."""

    def __init__(self, options: GenerationOptions):
        self.options = options
        self.seed = options.seed
        if options.do_sample and self.seed is None:
            self.seed = np.random.SeedSequence().entropy

    def __call__(self, rows: Sequence[int]) -> np.ndarray:
        """float32 (rows, width, max_new_tokens) from [0, 1)."""
        shape = (self.options.width, self.options.max_new_tokens)
        if not self.options.do_sample:
            return np.zeros((len(rows), *shape), np.float32)
        return np.stack(
            [np.random.default_rng([int(self.seed), int(i)]).random(shape, np.float32)
             for i in rows]
        )  # fmt: skip
