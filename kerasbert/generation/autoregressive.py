"""bert4keras's ``AutoRegressiveDecoder``: decoding in Python, for scripts that have one.

:func:`kerasbert.generation.generate` is many times as fast, since it keeps the keys and values of
what it has read. This class is for predictions of one's own making (several models at once, words
that are ruled out step by step), and for scripts that are moving here.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import numpy as np

from kerasbert.backend import keras
from kerasbert.generation.choosing import best_continuations, draw, probabilities
from kerasbert.generation.last_token import last_token_model

TINY = 1e-12  # log(0) is that of this


class AutoRegressiveDecoder:
    """Base class of decoders; a subclass says how the next token is predicted::

        class Title(AutoRegressiveDecoder):
            @AutoRegressiveDecoder.wraps(default_rtype="probas")
            def predict(self, inputs, output_ids, states):
                token_ids, segment_ids = inputs
                token_ids = np.concatenate([token_ids, output_ids], axis=1)
                segment_ids = np.concatenate([segment_ids, np.ones_like(output_ids)], axis=1)
                return self.last_token(model).predict([token_ids, segment_ids])

        title = Title(start_id=None, end_id=tokenizer.end_id, maxlen=32)
        token_ids, segment_ids = tokenizer.encode(text, maxlen=256)
        print(tokenizer.decode(title.beam_search([token_ids, segment_ids], topk=3)))

    Args:
        start_id: what every output starts with, such as the id of a decoder's [BOS]; None where the
            source's own end starts the output (UniLM).
        end_id: what ends an output.
        maxlen: most tokens to predict.
        minlen: fewest tokens of an output, ``start_id`` and ``end_id`` counted, before an end is
            obeyed. (An end that comes earlier is a token like any other.)
        keep_finished: how beam search treats an output that ends while a better one goes on. True
            keeps it, and returns it if nothing better comes. False throws it away and goes on with
            one beam less: exactly what bert4keras does, and what its recorded results are.
        bos_token_id: another name of ``start_id``.
        eos_token_id: another name of ``end_id``.
        max_new_tokens: another name of ``maxlen``.
        min_new_tokens: ``minlen`` without ``start_id``.

    Attributes:
        first_output_ids: what outputs start with, (1, 0) or (1, 1).
    """

    def __init__(
        self,
        start_id: int | None = None,
        end_id: int | None = None,
        maxlen: int | None = None,
        minlen: int | None = None,
        *,
        keep_finished: bool = True,
        bos_token_id: int | None = None,
        eos_token_id: int | None = None,
        max_new_tokens: int | None = None,
        min_new_tokens: int | None = None,
    ):
        self.start_id = _one_of(start_id=start_id, bos_token_id=bos_token_id)
        self.end_id = _one_of(end_id=end_id, eos_token_id=eos_token_id)
        self.maxlen = _one_of(maxlen=maxlen, max_new_tokens=max_new_tokens)
        if min_new_tokens is not None:
            min_new_tokens += self.start_id is not None
        self.minlen = _one_of(minlen=minlen, min_new_tokens=min_new_tokens)
        self.minlen = 1 if self.minlen is None else self.minlen
        if self.end_id is None:
            raise ValueError("end_id is missing: the id of the token that ends an output.")
        if self.maxlen is None:
            raise ValueError("maxlen is missing: the most tokens to predict.")
        _check_positive(maxlen=self.maxlen)
        self.keep_finished = keep_finished
        start = [] if self.start_id is None else [self.start_id]
        self.first_output_ids = np.array([start], dtype=int)
        self._last_tokens: dict[int, tuple] = {}

    # ---- what a subclass says -------------------------------------------------------------------

    def predict(
        self,
        inputs: list[np.ndarray],
        output_ids: np.ndarray,
        states=None,
        temperature: float = 1,
        rtype: str = "probas",
    ):
        """Predicts the next token; a subclass defines it, best with :meth:`wraps`.

        Args:
            inputs: the source's arrays, (rows, ...) each.
            output_ids: what has been predicted for each row, (rows, tokens so far).
            states: what the last call returned; None at first. Rows that beam search or sampling
                leaves out or changes are *not* changed in it.
            temperature: what to divide logits by.
            rtype: "probas" or "logits", the logarithms of probabilities.

        Returns:
            Probabilities or their logarithms (rows, vocab_size), and the states.
        """
        raise NotImplementedError(
            f"{type(self).__name__} must define predict(self, inputs, output_ids, states) with the "
            "decorator @AutoRegressiveDecoder.wraps(...)."
        )

    @staticmethod
    def wraps(default_rtype: str = "probas", use_states: bool = False) -> Callable:
        """Decorates ``predict(self, inputs, output_ids, states)``: the rest is done around it.

        Args:
            default_rtype: what it returns, "probas" or "logits" (of any scale).
            use_states: whether it returns (prediction, states) and not only the prediction.
        """
        _check_rtype(default_rtype)

        def decorate(predict):
            @functools.wraps(predict)
            def complete(self, inputs, output_ids, states=None, temperature=1, rtype=default_rtype):
                _check_rtype(rtype)
                prediction = predict(self, inputs, output_ids, states)
                scores, states = prediction if use_states else (prediction, None)
                probas = probabilities(scores, default_rtype, temperature)
                return (probas if rtype == "probas" else np.log(probas + TINY)), states

            return complete

        return decorate

    @staticmethod
    def set_rtype(default: str = "probas") -> Callable:
        """The older name of :meth:`wraps`, for ``predict(self, inputs, output_ids, step)``.

        Args:
            default: what it returns, "probas" or "logits".
        """

        def decorate(predict):
            def with_step(self, inputs, output_ids, states):
                step = output_ids.shape[1] - self.first_output_ids.shape[1]
                return predict(self, inputs, output_ids, step)

            return AutoRegressiveDecoder.wraps(default)(functools.wraps(predict)(with_step))

        return decorate

    def last_token(self, model: keras.Model) -> keras.Model:
        """The model whose outputs are those of the last token, made once.

        Only the last position is scored where the model's end allows it, and ``predict`` has no
        fixed cost; see :func:`kerasbert.generation.last_token.last_token_model`.
        """
        if id(model) not in self._last_tokens:
            self._last_tokens[id(model)] = (model, last_token_model(model))
        return self._last_tokens[id(model)][1]

    # ---- decoding -------------------------------------------------------------------------------

    def beam_search(
        self,
        inputs: Sequence,
        topk: int,
        states=None,
        temperature: float = 1,
        min_ends: int = 1,
        *,
        return_score: bool = False,
    ) -> np.ndarray | tuple[np.ndarray, float]:
        """The most probable output that a beam search finds; ``topk=1`` is greedy.

        The score of an output is the sum of the logarithms of its tokens' probabilities, whatever
        its length. The search ends when no beam can become better than the best one that has ended.

        Args:
            inputs: the arrays of one source, without the batch axis.
            topk: number of beams.
            states: the first states of :meth:`predict`.
            temperature: what to divide logits by.
            min_ends: the number of ``end_id`` that it takes to end an output.
            return_score: whether to return the score as well.

        Returns:
            The ids of the output (tokens,), the source left out, the end and ``start_id`` in it;
            or (ids, score).
        """
        _check_positive(topk=topk, min_ends=min_ends)
        inputs = [np.array([array]) for array in inputs]
        output_ids, scores = self.first_output_ids, np.zeros(1)
        ended_ids, ended_score = None, -np.inf
        for _ in range(self.maxlen):
            steps, states = self._predicted(inputs, output_ids, states, temperature, "logits")
            # Each beam can end in one way only, so twice as many leave topk that go on.
            width = 2 * topk if self.keep_finished else topk
            parents, new_ids, scores = best_continuations(scores[:, None] + steps, width)
            output_ids = np.concatenate([output_ids[parents], new_ids], axis=1)
            ended = self._ended(output_ids, min_ends)
            if not self.keep_finished:
                if ended[0]:
                    return (output_ids[0], scores[0]) if return_score else output_ids[0]
                topk -= ended.sum()
            elif ended[:topk].any() and scores[ended.argmax()] > ended_score:
                best = ended.argmax()
                ended_ids, ended_score = output_ids[best], scores[best]
            rows = np.flatnonzero(~ended)[:topk]
            inputs = [array[parents[rows]] for array in inputs]
            output_ids, scores = output_ids[rows], scores[rows]
            if len(rows) == 0 or ended_score >= scores[0]:
                break
        if len(scores) == 0 or ended_score >= scores[0]:
            best, score = ended_ids, ended_score
        else:
            best, score = output_ids[0], scores[0]
        return (best, float(score)) if return_score else best

    def random_sample(
        self,
        inputs: Sequence,
        n: int,
        topk: int | None = None,
        topp: float | None = None,
        states=None,
        temperature: float = 1,
        min_ends: int = 1,
    ) -> list[np.ndarray]:
        """Random outputs, drawn from numpy's global random state (``np.random.seed``).

        Args:
            inputs: the arrays of one source, without the batch axis.
            n: how many outputs.
            topk: draw from the so many most probable tokens only.
            topp: draw from the fewest most probable tokens only whose probabilities reach this.
            states: the first states of :meth:`predict`.
            temperature: what to divide logits by.
            min_ends: the number of ``end_id`` that it takes to end an output.

        Returns:
            n arrays (tokens,), as :meth:`beam_search` returns one, in the order in which they end.
        """
        _check_positive(n=n, min_ends=min_ends)
        if topk is not None:
            _check_positive(topk=topk)
        if topp is not None and not topp > 0:
            raise ValueError(f"topp must be a probability above 0, got {topp!r}.")
        inputs = [np.array([array]) for array in inputs]
        output_ids = self.first_output_ids
        finished = []
        for step in range(self.maxlen):
            probas, states = self._predicted(inputs, output_ids, states, temperature, "probas")
            probas = probas / probas.sum(axis=1, keepdims=True)
            if step == 0:
                probas, output_ids, *inputs = (
                    np.repeat(array, n, axis=0) for array in (probas, output_ids, *inputs)
                )
            drawn = draw(probas, topk, topp)
            output_ids = np.concatenate([output_ids, drawn], axis=1)
            ended = self._ended(output_ids, min_ends)
            finished += list(output_ids[ended])
            inputs = [array[~ended] for array in inputs]
            output_ids = output_ids[~ended]
            if len(output_ids) == 0:
                break
        return finished + list(output_ids)

    def _predicted(self, inputs, output_ids, states, temperature, rtype) -> tuple:
        """The checked prediction, float (rows, vocab_size), and the states."""
        scores, states = self.predict(inputs, output_ids, states, temperature, rtype)
        scores = np.asarray(scores)
        if scores.ndim != 2 or len(scores) != len(output_ids):
            raise ValueError(
                f"predict must return an array (rows, vocab_size) for {len(output_ids)} rows, got "
                f"{scores.shape}. Return what belongs to the last position only (see last_token)."
            )
        if np.isnan(scores).any():
            raise ValueError("predict returned NaN: look at the model's outputs for this input.")
        return scores, states

    def _ended(self, output_ids: np.ndarray, min_ends: int) -> np.ndarray:
        """Which outputs have come to their end, bool (rows,)."""
        is_end = output_ids == self.end_id
        enough = is_end.sum(axis=1) >= min_ends
        return is_end[:, -1] & enough & (output_ids.shape[1] >= self.minlen)


def _check_rtype(rtype: str) -> None:
    if rtype not in ("probas", "logits"):
        raise ValueError(f'the type of a prediction is "probas" or "logits", got {rtype!r}.')


def _check_positive(**values) -> None:
    for name, value in values.items():
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value!r}.")


def _one_of(**values):
    """The one of several names of an argument that was given."""
    given = {name: value for name, value in values.items() if value is not None}
    if len(given) > 1:
        raise TypeError(f"give one of {' and '.join(given)}: they are the same.")
    return next(iter(given.values()), None)
