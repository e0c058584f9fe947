"""What a caller may ask of generation, checked before anything is computed."""

from __future__ import annotations

import dataclasses
import numbers
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from kerasbert.keywords import check_keywords


@dataclass(frozen=True)
class GenerationOptions:
    """How texts are generated.

    Attributes:
        max_new_tokens: most tokens of a generated text, its end token counted; 0 gives empty texts.
        min_new_tokens: the end token is forbidden before so many others.
        num_beams: width of the beam search; 1 is greedy, or with ``do_sample`` sampling.
        do_sample: whether tokens are drawn; otherwise the likeliest is taken.
        top_k: drawn are only the ``top_k`` likeliest tokens; 0 is no limit.
        top_p: drawn are only the fewest tokens whose probabilities sum to ``top_p`` or more
            (Holtzman et al. 2019, arXiv:1904.09751).
        temperature: logits are divided by it before tokens are drawn.
        length_penalty: a text that has ended in a beam search scores the sum of its
            log-probabilities divided by its number of tokens to this power. 0 is the plain sum, as
            in bert4keras; Hugging Face's default is 1.
        early_stopping: when a row's beam search ends, once it has ``num_beams`` texts: False as
            soon as the best unfinished one, scored at its present length, is not better than the
            worst of them; True at once; "never" when none could become better. (Hugging Face's
            three.)
        repetition_penalty: a logit of a token that was generated already is divided by it, a
            negative one multiplied (Keskar et al. 2019, arXiv:1909.05858). Tokens of the prompt
            count for models that continue it, not for those that answer a source.
        no_repeat_ngram: no sequence of so many tokens is generated twice; 0 is no rule.
        num_return_sequences: texts for each input: samples, or the best of the beams.
        seed: of the samples; None is a new one at each call. A text's samples do not depend on the
            other texts of the call.
        stop: further texts, or lists of token ids, at which generation ends; they are not part of
            the result.
        constraints: functions of log-probabilities (batch, continuations, vocab_size), the tokens
            so far (batch, continuations, max_new_tokens), padded, and the int32 number of tokens so
            far, each a tensor; they return the log-probabilities to go on with, -inf where a token
            is forbidden. TensorFlow operations only.

    Raises:
        ValueError: an option is out of its range, or options do not fit each other.
        TypeError: an option is of the wrong type, or unknown.
    """

    max_new_tokens: int = 32
    min_new_tokens: int = 0
    num_beams: int = 1
    do_sample: bool = False
    top_k: int = 0
    top_p: float = 1.0
    temperature: float = 1.0
    length_penalty: float = 0.0
    early_stopping: bool | str = False
    repetition_penalty: float = 1.0
    no_repeat_ngram: int = 0
    num_return_sequences: int = 1
    seed: int | None = None
    stop: str | Sequence | None = None
    constraints: Callable | Sequence[Callable] = ()

    @classmethod
    def of(cls, options: dict) -> GenerationOptions:
        """Options by keyword; an unknown one is refused with the nearest known names."""
        check_keywords(options, {field.name for field in dataclasses.fields(cls)}, "generate")
        return cls(**options)

    def __post_init__(self):
        lowest = {"max_new_tokens": 0, "min_new_tokens": 0, "num_beams": 1, "top_k": 0,
                  "no_repeat_ngram": 0, "num_return_sequences": 1}  # fmt: skip
        for name, low in lowest.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, numbers.Integral):
                raise TypeError(f"{name} must be a whole number. Received: {value!r}")
            if value < low:
                raise ValueError(f"{name} must be {low} or more. Received: {value}")
        for name in ("top_p", "temperature", "length_penalty", "repetition_penalty"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, numbers.Real):
                raise TypeError(f"{name} must be a number. Received: {value!r}")
            if not abs(value) < float("inf"):
                raise ValueError(f"{name} must be finite. Received: {value}")
        for name in ("temperature", "repetition_penalty", "top_p"):
            if getattr(self, name) <= 0:
                hint = " For the likeliest token: do_sample=False." if name == "temperature" else ""
                raise ValueError(f"{name} must be above 0. Received: {getattr(self, name)}.{hint}")
        if self.top_p > 1:
            raise ValueError(f"top_p is a probability, at most 1. Received: {self.top_p}")
        if self.seed is not None and (
            isinstance(self.seed, bool)
            or not isinstance(self.seed, numbers.Integral)
            or self.seed < 0
        ):
            raise ValueError(f"seed must be a whole number from 0 on. Received: {self.seed!r}")
        if self.early_stopping not in (True, False, "never"):
            raise ValueError(
                f'early_stopping must be True, False or "never". Received: {self.early_stopping!r}'
            )
        if self.min_new_tokens > self.max_new_tokens:
            raise ValueError(
                f"min_new_tokens ({self.min_new_tokens}) is more than max_new_tokens "
                f"({self.max_new_tokens})."
            )
        if self.do_sample and self.num_beams > 1:
            raise ValueError(
                "do_sample draws tokens and num_beams searches for the likeliest text: give one of "
                "the two. For several samples of a text: num_return_sequences."
            )
        if not self.do_sample and self.num_return_sequences > self.num_beams:
            raise ValueError(
                f"num_return_sequences ({self.num_return_sequences}) is more than num_beams "
                f"({self.num_beams}): a search returns at most the texts of its beams. For "
                "different texts draw them: do_sample=True."
            )
        ignored = [
            name
            for name, default in (("top_k", 0), ("top_p", 1.0), ("temperature", 1.0))
            if getattr(self, name) != default
        ]
        if ignored and not self.do_sample:
            raise ValueError(f"{', '.join(ignored)}: of use only with do_sample=True.")
        if callable(self.constraints):
            object.__setattr__(self, "constraints", (self.constraints,))
        wrong = [f for f in self.constraints if not callable(f)]
        if wrong:
            raise TypeError(f"constraints must be functions. Received: {wrong[0]!r}")
        object.__setattr__(self, "constraints", tuple(self.constraints))

    @property
    def width(self) -> int:
        """How many continuations of a text are generated side by side."""
        return self.num_return_sequences if self.do_sample else self.num_beams
