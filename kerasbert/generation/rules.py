"""Rules on next tokens: penalties, what is forbidden, and where a text ends.

Each works on float32 (batch, continuations, vocab_size), inside a compiled loop.
"""

from __future__ import annotations

from collections.abc import Sequence

from kerasbert.backend import tf
from kerasbert.generation.language_models import Continuations, Prompts

FORBIDDEN = float("-inf")


def penalize_repetition(
    logits: tf.Tensor, seen: tf.Tensor, is_token: tf.Tensor, penalty: tf.Tensor
) -> tf.Tensor:
    """Divides logits of tokens that were seen by the penalty, multiplies negative ones.

    After Keskar et al. 2019, arXiv:1909.05858, in Hugging Face's form.

    Args:
        logits: (batch, width, vocab_size).
        seen: int32 (batch, width, n): token ids.
        is_token: bool, as ``seen``: False where it holds padding.
        penalty: float32 scalar.
    """
    indices = _indices(seen)
    old = tf.gather_nd(logits, indices)
    # By minimum and maximum, which have no order: a token that was seen twice is penalised once,
    # and padding changes nothing.
    new = tf.where(old > 0, old / penalty, old * penalty)
    lower = tf.tensor_scatter_nd_min(logits, indices, tf.where(is_token, new, old))
    higher = tf.tensor_scatter_nd_max(logits, indices, tf.where(is_token, new, old))
    return tf.where(lower < logits, lower, higher)


def forbid_repeated_ngrams(scores: tf.Tensor, written: Continuations, size: int) -> tf.Tensor:
    """Forbids tokens that would complete a sequence of ``size`` tokens for the second time."""
    tokens, count = written.tokens, written.count
    room = tokens.shape[2] if tokens.shape[2] is not None else tf.shape(tokens)[2]
    if size == 1:
        return _forbid(scores, tokens, tf.range(room) < count)
    # Which of the sequences of size - 1 tokens are the one at the end.
    starts = room - size + 1
    last = tf.gather(tokens, tf.maximum(count - size + 1 + tf.range(size - 1), 0), axis=2)
    same = tf.ones_like(tokens[:, :, : tf.maximum(starts, 0)], tf.bool)
    for offset in range(size - 1):
        part = tokens[:, :, offset : offset + tf.maximum(starts, 0)]
        same &= tf.equal(part, last[:, :, offset, None])
    followers = tokens[:, :, size - 1 :]
    complete = tf.range(tf.maximum(starts, 0)) + size - 1 < count
    return _forbid(scores, followers, same & complete)


def _forbid(scores: tf.Tensor, token_ids: tf.Tensor, where: tf.Tensor) -> tf.Tensor:
    """Forbids tokens of (batch, width, n) where told; ``where`` broadcasts."""
    where = tf.broadcast_to(where, tf.shape(token_ids))
    values = tf.where(where, FORBIDDEN, float("inf"))
    return tf.tensor_scatter_nd_min(scores, _indices(token_ids), values)


def forbid_end(
    scores: tf.Tensor, end_ids: tf.Tensor, count: tf.Tensor, min_new_tokens: tf.Tensor
) -> tf.Tensor:
    """Forbids end tokens before there are ``min_new_tokens`` others."""
    is_end = tf.reduce_any(tf.equal(tf.range(scores.shape[-1])[:, None], end_ids[None]), axis=1)
    return tf.where(is_end & (count < min_new_tokens), FORBIDDEN, scores)


def ends(
    token_ids: tf.Tensor,
    before: tf.Tensor,
    count: tf.Tensor,
    end_ids: tf.Tensor,
    stop: Sequence[Sequence[int]],
) -> tf.Tensor:
    """Whether texts end with a new token.

    Args:
        token_ids: int32 (batch, n): the new tokens.
        before: int32 (batch, n, max_new_tokens): those before them.
        count: int32 scalar: how many are before.
        end_ids: int32 (any number,): tokens that end a text.
        stop: sequences of tokens that do.

    Returns:
        bool (batch, n).
    """
    ended = tf.reduce_any(tf.equal(token_ids[..., None], end_ids), axis=-1)
    for sequence in stop:
        matches = tf.equal(token_ids, sequence[-1]) & (count >= len(sequence) - 1)
        for distance, token in enumerate(reversed(sequence[:-1]), 1):
            place = tf.maximum(count - distance, 0)
            matches &= tf.equal(tf.gather(before, place, axis=2), token)
        ended |= matches
    return ended


def seen_tokens(
    prompts: Prompts, written: Continuations, with_prompt: bool
) -> tuple[tf.Tensor, tf.Tensor]:
    """The tokens that count as repeated, int32 (batch, width, n), and which of them are real."""
    tokens = written.tokens
    real = tf.broadcast_to(tf.range(tf.shape(tokens)[2]) < written.count, tf.shape(tokens))
    if not with_prompt:
        return tokens, real
    width = tokens.shape[1]
    prompt = tf.repeat(prompts.token_ids[:, None], width, axis=1)
    places = tf.range(tf.shape(prompts.token_ids)[1])
    in_prompt = tf.repeat((places < prompts.lengths[:, None])[:, None], width, axis=1)
    return tf.concat([prompt, tokens], axis=2), tf.concat([in_prompt, real], axis=2)


def _indices(token_ids: tf.Tensor) -> tf.Tensor:
    """(batch, width, n) token ids as indices (batch, width, n, 3) into scores."""
    shape = tf.shape(token_ids)
    rows = tf.broadcast_to(tf.range(shape[0])[:, None, None], shape)
    columns = tf.broadcast_to(tf.range(shape[1])[None, :, None], shape)
    return tf.stack([rows, columns, token_ids], axis=-1)
