"""What is chosen at each step: greedy search and sampling, or a beam search.

Both work on a :class:`Progress` and differ in what they make of the log-probabilities.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from kerasbert.backend import tf
from kerasbert.generation.language_models import Continuations
from kerasbert.generation.rules import ends
from kerasbert.generation.sampling import draw, likeliest

_NEVER = -1e9


class Found(NamedTuple):
    """Texts that have ended.

    Attributes:
        tokens: int32 (batch, width, max_new_tokens), the end token included, padded.
        scores: float32 (batch, width), the best first; -1e9 where there is none yet.
        lengths: int32 (batch, width): tokens.
        ended: bool (batch, width): whether by an end token; otherwise cut at max_new_tokens.
    """

    tokens: tf.Tensor
    scores: tf.Tensor
    lengths: tf.Tensor
    ended: tf.Tensor


class Progress(NamedTuple):
    """How far generation has come.

    Attributes:
        written: the continuations.
        scores: float32 (batch, width): sums of log-probabilities.
        done: bool (batch,): whether nothing more is to come of a text.
        sound: bool (batch,): False where no token was possible, or logits were not numbers.
        found: texts that have ended.
        uniform: float32 (batch, width, max_new_tokens): the random numbers of samples.
    """

    written: Continuations
    scores: tf.Tensor
    done: tf.Tensor
    sound: tf.Tensor
    found: Found
    uniform: tf.Tensor


@dataclass(frozen=True)
class Ending:
    """When texts end: end tokens, further sequences, and what fills rows behind the end."""

    end_ids: tuple[int, ...]
    stop: tuple[tuple[int, ...], ...]
    pad_id: int

    def reached(self, token_ids, before: Continuations):
        """Whether new tokens (batch, n), after ``before.tokens`` (batch, n, ...), end a text."""
        end_ids = tf.constant(self.end_ids, tf.int32, [len(self.end_ids)])
        return ends(token_ids, before.tokens, before.count, end_ids, self.stop)


class Sampling:
    """Each continuation takes its own next token: the likeliest, or one that is drawn.

    A text's score is the sum of its tokens' log-probabilities under the model, whatever they were
    drawn from.
    """

    def __init__(self, ending: Ending, do_sample: bool, top_k: int, settings):
        self.ending, self.do_sample, self.top_k = ending, do_sample, top_k
        self.settings = settings

    def choose(
        self, state: Progress, model_scores: tf.Tensor, log_probabilities: tf.Tensor
    ) -> Progress:
        """The progress by one token.

        Args:
            state: so far.
            model_scores: log-probabilities under the model, (batch, 1 or width, vocab_size).
            log_probabilities: of the same shape, with the rules applied.
        """
        written, found = state.written, state.found
        width, count = written.tokens.shape[1], written.count
        if log_probabilities.shape[1] != width:  # the first token: all continue the prompt
            log_probabilities = tf.repeat(log_probabilities, width, axis=1)
            model_scores = tf.repeat(model_scores, width, axis=1)
        if self.do_sample:
            uniform = tf.gather(state.uniform, count, axis=2)
            top_p = self.settings.top_p
            tokens = draw(log_probabilities, uniform, self.settings.temperature, self.top_k, top_p)
        else:
            tokens = likeliest(log_probabilities)
        open_ = ~found.ended & ~state.done[:, None]
        gained = tf.gather(model_scores, tokens, batch_dims=2)
        tokens = tf.where(open_, tokens, self.ending.pad_id)
        scores = state.scores + tf.where(open_, gained, 0.0)
        ended = found.ended | (open_ & self.ending.reached(tokens, written))
        lengths = found.lengths + tf.cast(open_, tf.int32)
        places = tf.range(width)[None] + tf.zeros_like(tokens)
        written = Continuations(
            _put(written.tokens, count, tokens), _put(written.lanes, count, places), count + 1
        )
        return state._replace(
            written=written,
            scores=scores,
            done=state.done | tf.reduce_all(ended, axis=1),
            found=Found(written.tokens, scores, lengths, ended),
        )


class BeamSearch:
    """Keeps the ``width`` likeliest beginnings of a text, and every text that has ended.

    At each step the ``2 width`` likeliest continuations are looked at. Those among the first
    ``width`` that end go to the texts found, of which the best ``width`` stay, each scored by the
    sum of its log-probabilities divided by its number of tokens to the power of
    ``length_penalty``; the best ``width`` of the others go on. At ``max_new_tokens`` all end.
    These are the rules of Hugging Face's transformers 5, so that results can be compared.
    """

    def __init__(self, ending: Ending, early_stopping: bool | str, settings):
        self.ending, self.early_stopping, self.settings = ending, early_stopping, settings

    def choose(
        self, state: Progress, model_scores: tf.Tensor, log_probabilities: tf.Tensor
    ) -> Progress:
        """The progress by one token; as :meth:`Sampling.choose`, scored with the rules applied."""
        written, found = state.written, state.found
        width, room = written.tokens.shape[1], tf.shape(written.tokens)[2]
        count, vocab_size = written.count, log_probabilities.shape[-1]
        sums = state.scores[:, : log_probabilities.shape[1], None] + log_probabilities
        flat = tf.reshape(sums, [-1, log_probabilities.shape[1] * vocab_size])
        sums, places = tf.math.top_k(flat, k=2 * width)
        parents, tokens = places // vocab_size, places % vocab_size
        candidates = Continuations(
            tf.gather(written.tokens, parents, batch_dims=1),
            tf.gather(written.lanes, parents, batch_dims=1),
            count,
        )
        possible = sums > _NEVER / 2
        at_end = self.ending.reached(tokens, candidates)
        full = count + 1 >= room
        sequences = _put(candidates.tokens, count, tokens)

        # Texts that end here.
        penalty = self.settings.length_penalty
        length = tf.cast(count + 1, tf.float32) ** penalty
        enters = (at_end | full) & possible & (tf.range(2 * width) < width) & ~state.done[:, None]
        if self.early_stopping is True:
            enters &= ~tf.reduce_all(found.scores > _NEVER / 2, axis=1, keepdims=True)
        new = Found(
            sequences,
            tf.where(enters, sums / length, _NEVER),
            tf.zeros_like(tokens) + count + 1,
            at_end,
        )
        both = [tf.concat(pair, axis=1) for pair in zip(found, new)]
        _, order = tf.math.top_k(both[1], k=width)
        found = Found(*(tf.gather(x, order, batch_dims=1) for x in both))

        # Beginnings that go on.
        running = tf.where(at_end | full | ~possible, _NEVER, sums)
        scores, order = tf.math.top_k(running, k=width)
        lanes = tf.gather(candidates.lanes, order, batch_dims=1)
        places = tf.range(width)[None] + tf.zeros_like(order)
        written = Continuations(
            tf.gather(sequences, order, batch_dims=1), _put(lanes, count, places), count + 1
        )

        done = state.done | ~self._may_improve(scores, found, count + 1, room)
        return state._replace(written=written, scores=scores, done=done, found=found)

    def _may_improve(self, scores, found: Found, count, room) -> tf.Tensor:
        """Whether a beginning may still become a text that is better than one found."""
        full = tf.reduce_all(found.scores > _NEVER / 2, axis=1)
        going = scores[:, 0] > _NEVER / 2
        if self.early_stopping is True:
            return going & ~full
        penalty = self.settings.length_penalty
        length = tf.cast(count, tf.float32)
        if self.early_stopping == "never":
            length = tf.where(penalty > 0, tf.cast(room, tf.float32), length)
        best = scores[:, 0] / length**penalty
        return going & (~full | (best > tf.reduce_min(found.scores, axis=1)))


def begin(
    batch: tf.Tensor,
    width: int,
    room: tf.Tensor,
    pad_id: int,
    is_beam_search: bool,
    uniform: tf.Tensor,
) -> Progress:
    """The progress before the first token."""
    tokens = tf.fill([batch, width, room], tf.constant(pad_id, tf.int32))
    zeros = tf.zeros([batch, width])
    nothing = zeros + _NEVER if is_beam_search else zeros
    found = Found(tokens, nothing, tf.zeros([batch, width], tf.int32), zeros > 0)
    done = tf.zeros([batch], tf.bool)
    written = Continuations(tokens, tf.zeros_like(tokens), tf.constant(0))
    return Progress(written, zeros, done, ~done, found, uniform)


def _put(rows: tf.Tensor, count: tf.Tensor, new: tf.Tensor) -> tf.Tensor:
    """(batch, n, room) with (batch, n) at the place ``count``."""
    here = tf.range(tf.shape(rows)[2]) == count
    return tf.where(here, new[..., None], rows)
