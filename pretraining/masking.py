"""Which tokens the model has to predict, drawn anew for every batch inside the graph.

``mask_tokens`` is a pure function of a batch and a seed: TensorFlow operations on static shapes, no
loop over rows, the same result eagerly, in ``tf.data`` and compiled by XLA. All modes are one
procedure: tokens form words, words form units, the units are put in random order, and their words
are taken until the row's budget is used up.

=============  =====================  ==================================================  ==========
mode           word                   unit                                                replace_by
=============  =====================  ==================================================  ==========
"plain"        one token              one token                                           "token"
"whole_word"   ``word_starts``        one word                                            "token"
"ngram"        ``word_starts``        1 to 4 words, 40 / 30 / 20 / 10 %                    "word"
"span"         ``word_starts``        1 to 10 words, geometric (p = 0.2), renormalised    "unit"
=============  =====================  ==================================================  ==========

The budget and the first two modes follow create_pretraining_data.py of google-research/bert, whose
rule BERT-wwm (HFL), albert_zh and roberta_zh use as well: a word that would exceed the budget is
skipped and the search goes on, and 80/10/10 is drawn for each token even within a word. N-grams
follow MacBERT (Cui et al. 2020, arXiv:2004.13922), spans SpanBERT (Joshi et al. 2020,
arXiv:1907.10529). Where the published programs differ:

* Google takes the share of all tokens, [CLS] and [SEP] included: pass ``token_counts`` for that.
* Google, albert_zh and roberta_zh draw random tokens from the whole vocabulary, special and unused
  ones included: that is ``random_ids=(0, vocabulary_size)``.
* albert_zh and roberta_zh leave ``##`` before the labels of Chinese characters inside a word; here
  labels are the ids of the text.
* bert4keras takes each word independently with probability 0.15, so that a row has no fixed number
  of predictions; here it has a budget.
* ALBERT and SpanBERT draw n-grams one by one at random places, so that words beside the ends of a
  row have another chance than others; here a row is first divided into n-grams, from a random word
  on and around, which gives every word the same. An n-gram that meets a special token or the end of
  the row goes on behind it. All shorten the n-gram at the end of the budget, SpanBERT within a
  word; here it is shortened by whole words.
"""

from __future__ import annotations

import dataclasses
from numbers import Integral, Real
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from pretraining.synonyms import SynonymTable, draw_similar
from pretraining.word_selection import choose_tokens, choose_words, draw_units, number_words

FEW_SKIPPED = 12  # words that are skipped in the usual search for the last ones that fit

# what 80/10/10 is drawn for, unless the configuration says otherwise
REPLACED = {"plain": "token", "whole_word": "token", "ngram": "word", "span": "unit"}


@dataclasses.dataclass(frozen=True)
class MaskingConfig:
    """How tokens are chosen and replaced.

    Args:
        mask_id: id of [MASK].
        random_ids: first id and end (exclusive) of the ids that random tokens are drawn from.
        mode: "plain", "whole_word", "ngram" or "span"; see the module's description.
        masked_lm_prob: share of the tokens of a row to predict, at least one token.
        max_predictions: most tokens of a row to predict, the width of the result.
        mask_share: share of chosen tokens that become [MASK] (or a similar word).
        random_share: share of chosen tokens that become a random token; the rest stay.
        replace_by: what ``mask_share`` and ``random_share`` are drawn for: each "token", each
            "word" or each "unit"; None is the published choice for the mode.
        ngram_shares: probabilities of 1, 2, ... words in mode "ngram".
        span_p: parameter of the geometric distribution of words in mode "span".
        span_max: most words of a span; longer ones are drawn again, as SpanBERT does.

    Raises:
        ValueError: for a value outside its range.
    """

    mask_id: int
    random_ids: tuple[int, int]
    mode: str = "whole_word"
    masked_lm_prob: float = 0.15
    max_predictions: int = 20
    mask_share: float = 0.8
    random_share: float = 0.1
    replace_by: str | None = None
    ngram_shares: tuple[float, ...] = (0.4, 0.3, 0.2, 0.1)
    span_p: float = 0.2
    span_max: int = 10

    def __post_init__(self) -> None:
        if self.mode not in REPLACED:
            raise ValueError(f"mode must be one of {list(REPLACED)}. Received: {self.mode!r}")
        for name in ("random_ids", "ngram_shares"):  # lists when read from a file
            value = getattr(self, name)
            if not isinstance(value, (list, tuple)):
                raise ValueError(f"{name} must be a sequence of numbers. Received: {value!r}")
            object.__setattr__(self, name, tuple(value))
        for names, kind, wanted in (
            (("mask_id", "random_ids", "max_predictions", "span_max"), Integral, "whole numbers"),
            (
                ("masked_lm_prob", "mask_share", "random_share", "ngram_shares", "span_p"),
                Real,
                "numbers",
            ),
        ):
            for name in names:
                value = getattr(self, name)
                values = value if isinstance(value, tuple) else (value,)
                if not all(isinstance(each, kind) for each in values):
                    raise ValueError(f"{name} takes {wanted} only. Received: {value!r}")
        if self.replace_by is None:
            object.__setattr__(self, "replace_by", REPLACED[self.mode])
        low, high = self.random_ids if len(self.random_ids) == 2 else (0, 0)
        rules = [
            ("mask_id", self.mask_id >= 0, "0 or more"),
            ("random_ids", 0 <= low < high, "(first, end) with 0 <= first < end"),
            ("masked_lm_prob", 0 < self.masked_lm_prob <= 1, "above 0 and at most 1"),
            ("max_predictions", self.max_predictions >= 1, "1 or more"),
            ("mask_share", 0 <= self.mask_share <= 1, "from 0 to 1"),
            (
                "random_share",
                0 <= self.random_share <= 1 - self.mask_share + 1e-9,
                "from 0 to 1 - mask_share",
            ),
            ("replace_by", self.replace_by in ("token", "word", "unit"), "token, word or unit"),
            (
                "ngram_shares",
                min(self.ngram_shares, default=-1) >= 0 and abs(sum(self.ngram_shares) - 1) < 1e-6,
                "probabilities that sum to 1",
            ),
            ("span_p", 0 < self.span_p < 1, "between 0 and 1"),
            ("span_max", self.span_max >= 1, "1 or more"),
        ]
        for name, valid, wanted in rules:
            if not valid:
                raise ValueError(f"{name} must be {wanted}. Received: {getattr(self, name)!r}")

    def unit_shares(self) -> np.ndarray:
        """Probabilities of units of 1, 2, ... words."""
        if self.mode == "ngram":
            return np.array(self.ngram_shares)
        if self.mode == "span":
            shares = self.span_p * (1 - self.span_p) ** np.arange(self.span_max)
            return shares / shares.sum()
        return np.ones(1)

    def budget(self, tokens: int) -> int:
        """Most predictions of a row of so many tokens: Google's formula, rounded half to even."""
        return min(self.max_predictions, max(1, round(tokens * self.masked_lm_prob)))


class MaskedTokens(NamedTuple):
    """A batch to predict.

    Attributes:
        token_ids: int32 (batch, length), the input with the chosen tokens replaced.
        positions: int32 (batch, max_predictions), of the chosen tokens, ascending, then 0.
        labels: int32 (batch, max_predictions), the ids that stood there, then 0.
        weights: float32 (batch, max_predictions), 1 for a prediction, then 0.
    """

    token_ids: tf.Tensor
    positions: tf.Tensor
    labels: tf.Tensor
    weights: tf.Tensor


def mask_tokens(
    token_ids: tf.Tensor,
    word_starts: tf.Tensor,
    candidates: tf.Tensor,
    seed: tf.Tensor,
    config: MaskingConfig,
    token_counts: tf.Tensor | None = None,
    synonyms: SynonymTable | None = None,
) -> MaskedTokens:
    """Chooses tokens of every row and replaces them.

    Args:
        token_ids: int32 (batch, length); length must be static.
        word_starts: bool (batch, length), True where a word begins. A candidate after a token that
            is none begins a word in any case. Unused in mode "plain".
        candidates: bool (batch, length), True where a token may be chosen: no special token and no
            padding.
        seed: int (2,); the same seed gives the same masks on every device.
        config: how to choose and replace.
        token_counts: int (batch,), the number of tokens of which ``masked_lm_prob`` is taken, at
            most length; None counts the candidates.
        synonyms: similar words, put in the place of [MASK]; a word without any is replaced by
            random tokens, as in MacBERT. Needs words that are replaced as a whole.

    Returns:
        MaskedTokens.

    Raises:
        ValueError: if the shapes do not fit, or ``synonyms`` the configuration.
    """
    if synonyms is not None and (config.mode == "plain" or config.replace_by == "token"):
        raise ValueError(
            "Similar words replace whole words: choose mode 'whole_word', 'ngram' or 'span' and "
            f"replace_by='word' or 'unit'. Received: mode={config.mode!r}, "
            f"replace_by={config.replace_by!r}"
        )
    token_ids = tf.cast(token_ids, tf.int32)
    word_starts, candidates = tf.cast(word_starts, tf.bool), tf.cast(candidates, tf.bool)
    shapes = [x.shape for x in (token_ids, word_starts, candidates)]
    length = shapes[0][1] if shapes[0].rank == 2 else None
    if length is None or any(not shapes[0].is_compatible_with(shape) for shape in shapes):
        raise ValueError(
            "token_ids, word_starts and candidates must have one shape (batch, length) with a "
            f"static length. Received: {', '.join(map(str, shapes))}"
        )
    rows, width = tf.shape(token_ids)[0], config.max_predictions
    per_token = config.replace_by == "token" or config.mode == "plain"
    shares = config.unit_shares()
    columns = {
        "order": length,
        "sizes": 1 if len(shares) == 1 else length,
        "action": width if per_token else length,
        "ids": width,
        "similar": 0 if synonyms is None else length,
    }
    # drawn at once, and by name: compiled code would choose another generator by itself
    bits = tf.random.stateless_uniform(
        [rows, sum(columns.values())], seed, None, None, tf.int32, alg="philox"
    )
    bits = dict(zip(columns, tf.split(bits, list(columns.values()), axis=1)))
    if token_counts is None:
        token_counts = tf.reduce_sum(tf.cast(candidates, tf.int32), -1)
    # a table: no rounding of floats that could differ from Google's
    budget = tf.gather([config.budget(n) for n in range(length + 1)], token_counts)
    if config.mode == "plain":
        positions, valid = choose_tokens(candidates, bits["order"], budget, width)
        action = bits["action"]
    else:
        sizes = _fractions(bits["sizes"])
        words = number_words(word_starts, candidates, sizes[:, :1])
        units = draw_units(sizes[:, 1:], shares) if len(shares) > 1 else None
        keys = bits["order"] if units is None else tf.gather(bits["order"], units, batch_dims=1)
        chosen_words = choose_words(words.sizes, keys, budget, width + FEW_SKIPPED)
        chosen = candidates & tf.gather(chosen_words, words.index, batch_dims=1)
        positions, valid = _positions(chosen, width)
        action = bits["action"]
        if config.replace_by == "unit" and units is not None:
            action = tf.gather(action, units, batch_dims=1)
        if config.replace_by != "token":
            word = tf.gather(words.index, positions, batch_dims=1)
            action = tf.gather(action, word, batch_dims=1)

    places = positions + length * tf.range(rows)[:, None]
    originals = tf.gather(tf.reshape(token_ids, [-1]), places)
    low, high = config.random_ids
    random_ids = low + tf.math.floormod(bits["ids"], high - low)
    if synonyms is None:
        masks = config.mask_id
    else:
        similar, found = draw_similar(
            synonyms, token_ids, words.first, words.index, words.sizes, _fractions(bits["similar"])
        )
        similar, found = (tf.gather(x, positions, batch_dims=1) for x in (similar, found))
        masks = tf.where(found, similar, random_ids)
    action = _fractions(action)
    replaced = tf.where(action < config.mask_share + config.random_share, random_ids, originals)
    replaced = tf.where(action < config.mask_share, masks, replaced)
    # as a sum of changes, since places without a prediction all point at the first token
    changes = tf.reshape(tf.where(valid, replaced - originals, 0), [-1])
    changes = tf.math.unsorted_segment_sum(changes, tf.reshape(places, [-1]), rows * length)
    masked = token_ids + tf.reshape(changes, [rows, length])
    return MaskedTokens(
        tf.ensure_shape(masked, token_ids.shape),
        positions,
        tf.where(valid, originals, 0),
        tf.cast(valid, tf.float32),
    )


def _positions(chosen: tf.Tensor, width: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Positions of the chosen tokens, ascending, and whether they are any, both (batch, width)."""
    length = chosen.shape[1]
    ranks = tf.where(chosen, length - tf.range(length), 0)
    ranks, _ = tf.math.top_k(ranks, min(width, length))
    ranks = tf.pad(ranks, [[0, 0], [0, width - ranks.shape[1]]])
    return tf.where(ranks > 0, length - ranks, 0), ranks > 0


def _fractions(bits: tf.Tensor) -> tf.Tensor:
    """Float32 from 0 to below 1 out of 24 of the 32 random bits."""
    return tf.cast(tf.bitwise.right_shift(tf.bitcast(bits, tf.uint32), 8), tf.float32) * 2.0**-24
