"""A plan of decoding as compiled functions: batches in, what was found as arrays out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from kerasbert.backend import tf
from kerasbert.generation import prompts as prompting
from kerasbert.generation.decoding import Decoding, Settings, State, keep_rows
from kerasbert.generation.language_models import Prompts
from kerasbert.generation.search import Found

# Steps between two looks at which texts have ended.
_STEPS = 16


class CompiledPlan:
    """The compiled functions of one plan.

    Args:
        decoding: the plan with its model.
    """

    def __init__(self, decoding: Decoding):
        self.decoding = decoding
        ids, row = tf.TensorSpec([None, None], tf.int32), tf.TensorSpec([None], tf.int32)
        scalar = tf.TensorSpec([], tf.float32)
        number = tf.TensorSpec([], tf.int32)
        self._signature = [
            Prompts(ids, ids, row, row),
            number,
            Settings(scalar, scalar, scalar, scalar, number),
            tf.TensorSpec([None, decoding.plan.width, None], tf.float32),
        ]
        self._begin = tf.function(self._start_and_advance, input_signature=[
            *self._signature, number])  # fmt: skip
        self._next = None

    def _start_and_advance(self, prompts, room, settings, uniform, steps):
        state = self.decoding.start(prompts, room, settings, uniform)
        return self.decoding.advance(state, steps, settings)

    def _advance(self, state: State, steps: tf.Tensor, settings: Settings) -> State:
        if self._next is None:  # its inputs are what the first part gives
            outputs = self._begin.get_concrete_function().structured_outputs
            specs = tf.nest.map_structure(lambda x: tf.TensorSpec(x.shape, x.dtype), outputs)
            signature = [specs, self._signature[1], self._signature[2]]
            self._next = tf.function(self.decoding.advance, input_signature=signature)
        return self._next(state, steps, settings)

    def _prompts(self, prompts) -> Prompts:
        parts = self.decoding.language_model.parts
        token_ids, segment_ids, lengths = prompting.pad(prompts, parts.pad_id)
        if parts.application == "lm":
            following = segment_ids[np.arange(len(lengths)), lengths - 1]
        else:
            following = np.ones_like(lengths)
        return Prompts(*map(tf.constant, (token_ids, segment_ids, lengths, following)))

    def run(self, prompts, room: int, settings: Settings, uniform, places: Sequence[int]) -> Found:
        """The texts found for prompts of a batch, as arrays.

        Texts that are done are taken out of the batch from time to time.

        Args:
            prompts: the prompts.
            room: most tokens of a text.
            settings: numbers.
            uniform: random numbers, float32 (batch, width, room).
            places: of the prompts among all, for messages.
        """
        arguments = (self._prompts(prompts), tf.constant(room), settings, tf.constant(uniform))
        if len(prompts) == 1 or room <= _STEPS:
            state = self._begin(*arguments, tf.constant(room))
            _check(state, places)
            return Found(*(x.numpy() for x in state.progress.found))
        state = self._begin(*arguments, tf.constant(_STEPS))
        rows = np.arange(len(prompts))
        results = None
        while True:
            _check(state, np.asarray(places)[rows])
            found = [x.numpy() for x in state.progress.found]
            if results is None:
                results = Found(*(x.copy() for x in found))
            for result, x in zip(results, found):
                result[rows] = x
            done = state.progress.done.numpy()
            if done.all() or int(state.progress.written.count) >= room:
                return results
            if done.sum() * 4 >= len(done):
                going = np.flatnonzero(~done)
                state, rows = keep_rows(state, tf.constant(going, tf.int32)), rows[going]
            state = self._advance(state, tf.constant(_STEPS), settings)

    def steps(self, prompts, room: int, settings: Settings, uniform) -> Iterator[Found]:
        """What is found of one text after each token."""
        state = self._begin(
            self._prompts(prompts), tf.constant(room), settings, tf.constant(uniform),
            tf.constant(0),
        )  # fmt: skip
        while True:
            _check(state, [0])
            yield Found(*(x.numpy() for x in state.progress.found))
            if state.progress.done.numpy().all() or int(state.progress.written.count) >= room:
                return
            state = self._advance(state, tf.constant(1), settings)


def _check(state: State, places) -> None:
    """Refuses results that are none."""
    sound = state.progress.sound.numpy()
    if not sound.all():
        place = int(np.asarray(places)[np.flatnonzero(~sound)[0]])
        count = int(state.progress.written.count)
        raise ValueError(
            f"No token is possible within the first {count} of text {place}: the constraints "
            "forbid every one, or the model's logits are not numbers (NaN, as weights that "
            "diverged in training give)."
        )
