"""The loop from prompts to texts, as one compiled graph."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from kerasbert.backend import tf
from kerasbert.generation import rules
from kerasbert.generation.language_models import LanguageModel, Memory, Prompts
from kerasbert.generation.options import GenerationOptions
from kerasbert.generation.search import BeamSearch, Ending, Found, Progress, Sampling, begin


class Settings(NamedTuple):
    """Options whose value may change from call to call of one graph; float32 or int32 scalars."""

    temperature: tf.Tensor | float
    top_p: tf.Tensor | float
    length_penalty: tf.Tensor | float
    repetition_penalty: tf.Tensor | float
    min_new_tokens: tf.Tensor | int

    @classmethod
    def of(cls, options: GenerationOptions) -> Settings:
        """The settings as tensors."""
        return cls(
            *(
                tf.constant(getattr(options, name), tf.int32 if "tokens" in name else tf.float32)
                for name in cls._fields
            )
        )


@dataclass(frozen=True)
class Plan:
    """What a graph is built for: everything of the options that is not a number in it.

    Two calls with equal plans share a graph.
    """

    width: int
    is_beam_search: bool
    do_sample: bool
    top_k: int
    cuts_top_p: bool
    early_stopping: bool | str
    penalizes: bool
    no_repeat_ngram: int
    constraints: tuple[Callable, ...]
    ending: Ending
    use_cache: bool = True

    @classmethod
    def of(cls, options: GenerationOptions, ending: Ending, use_cache: bool = True) -> Plan:
        """The plan that options amount to."""
        return cls(
            width=options.width,
            is_beam_search=options.num_beams > 1,
            do_sample=options.do_sample,
            top_k=options.top_k,
            cuts_top_p=options.top_p < 1,
            early_stopping=options.early_stopping,
            penalizes=options.repetition_penalty != 1,
            no_repeat_ngram=options.no_repeat_ngram,
            constraints=options.constraints,
            ending=ending,
            use_cache=use_cache,
        )


class State(NamedTuple):
    """Everything between two steps."""

    progress: Progress
    memory: Memory


class Decoding:
    """Generation with one model by one plan; a graph's functions.

    Args:
        language_model: scores of next tokens.
        plan: what to build.
    """

    def __init__(self, language_model: LanguageModel, plan: Plan):
        self.language_model = language_model
        self.plan = plan

    def start(
        self, prompts: Prompts, room: tf.Tensor, settings: Settings, uniform: tf.Tensor
    ) -> State:
        """Reads prompts and chooses the first token of each continuation.

        Args:
            prompts: the prompts.
            room: int32 scalar: most tokens of a continuation, at least 1.
            settings: numbers.
            uniform: float32 (batch, width, room) random numbers from [0, 1), of samples.
        """
        plan = self.plan
        batch = tf.shape(prompts.token_ids)[0]
        progress = begin(batch, plan.width, room, plan.ending.pad_id, plan.is_beam_search, uniform)
        logits, memory = self.language_model.start(prompts, plan.width, room)
        return State(self._choose(progress, logits, prompts, settings), memory)

    def advance(self, state: State, steps: tf.Tensor, settings: Settings) -> State:
        """Generates up to ``steps`` tokens more, fewer where every text ends before."""
        room = tf.shape(state.progress.written.tokens)[2]
        last = tf.minimum(room, state.progress.written.count + steps)
        still, memory = state.progress.uniform, state.memory
        prompts = memory.prompts

        def go_on(progress, keys, values):
            return (progress.written.count < last) & ~tf.reduce_all(progress.done)

        def step(progress, keys, values):
            before = memory._replace(keys=keys, values=values)
            logits, after = self.language_model.step(before, progress.written)
            progress = progress._replace(uniform=still)
            progress = self._choose(progress, logits, prompts, settings)
            return progress._replace(uniform=()), after.keys, after.values

        # What does not change stays outside of the loop's variables.
        begun = (state.progress._replace(uniform=()), memory.keys, memory.values)
        progress, keys, values = tf.while_loop(go_on, step, begun)
        return State(progress._replace(uniform=still), memory._replace(keys=keys, values=values))

    def run(
        self, prompts: Prompts, room: tf.Tensor, settings: Settings, uniform: tf.Tensor
    ) -> Found:
        """Everything from the prompts to the texts."""
        state = self.start(prompts, room, settings, uniform)
        return self.advance(state, room, settings).progress.found

    def _choose(
        self, progress: Progress, logits: tf.Tensor, prompts: Prompts, settings: Settings
    ) -> Progress:
        plan, written = self.plan, progress.written
        logits = tf.cast(logits, tf.float32)
        if plan.penalizes:
            continues = self.language_model.parts.application == "lm"
            seen, real = rules.seen_tokens(prompts, written, with_prompt=continues)
            lanes = logits.shape[1]
            logits = rules.penalize_repetition(
                logits, seen[:, :lanes], real[:, :lanes], settings.repetition_penalty
            )
        of_model = tf.nn.log_softmax(logits)
        # One number that is not a number makes all of its softmax so.
        sane = tf.reduce_all(~tf.math.is_nan(of_model[..., 0]), axis=1)
        scores = rules.forbid_end(
            of_model,
            tf.constant(plan.ending.end_ids, tf.int32, [len(plan.ending.end_ids)]),
            written.count,
            settings.min_new_tokens,
        )
        if plan.no_repeat_ngram:
            seen = written._replace(tokens=written.tokens[:, : logits.shape[1]])
            scores = rules.forbid_repeated_ngrams(scores, seen, plan.no_repeat_ngram)
        for constraint in plan.constraints:
            scores = constraint(scores, written.tokens[:, : logits.shape[1]], written.count)
        possible = tf.reduce_max(scores, axis=-1) > rules.FORBIDDEN
        if plan.is_beam_search:
            rule = BeamSearch(plan.ending, plan.early_stopping, settings)
            sane &= tf.reduce_any(possible, axis=1)
        else:
            if not plan.cuts_top_p:
                settings = settings._replace(top_p=1.0)
            rule = Sampling(plan.ending, plan.do_sample, plan.top_k, settings)
            sane &= tf.reduce_all(possible | progress.found.ended, axis=1)
        sound = progress.sound & (sane | progress.done)
        progress = progress._replace(sound=sound, done=progress.done | ~sound)
        return rule.choose(progress, of_model, scores)


def keep_rows(state: State, rows: tf.Tensor) -> State:
    """The state of some of the texts: those that are done cost nothing any more."""
    count = state.progress.written.count

    def take(x):
        return x if x.shape.rank == 0 else tf.gather(x, rows)

    weights = state.memory.weights
    kept = tf.nest.map_structure(take, state._replace(memory=state.memory._replace(weights={})))
    kept = kept._replace(memory=kept.memory._replace(weights=weights))
    written = kept.progress.written._replace(count=count)
    return kept._replace(progress=kept.progress._replace(written=written))
