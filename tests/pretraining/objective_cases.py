"""Tiny records and objectives for the tests of objectives."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np

from kerasbert.backend import tf
from pretraining.objectives import make_objective

LENGTH, VOCABULARY = 14, 60
PAD, UNK, CLS, SEP, MASK = range(5)
CONFIG = {
    "attention_probs_dropout_prob": 0.0,
    "hidden_dropout_prob": 0.0,
    "hidden_size": 16,
    "initializer_range": 0.2,
    "intermediate_size": 32,
    "max_position_embeddings": 20,
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "type_vocab_size": 2,
    "vocab_size": VOCABULARY,
}
# style of the corpus for each objective
STYLES = {
    "roberta": "roberta",
    "bert": "bert",
    "albert": "albert",
    "electra": "bert",
    "unilm": "roberta",
    "simbert": "simbert",
    "lm": "roberta",
}
LOSSES = {
    "roberta": ["mlm"],
    "bert": ["mlm", "nsp"],
    "albert": ["mlm", "sop"],
    "electra": ["disc", "mlm"],
    "unilm": ["lm", "mlm", "seq2seq"],
    "simbert": ["seq2seq", "similarity"],
    "lm": ["lm"],
}
NAMES = list(STYLES)


@dataclasses.dataclass
class Facts:
    """What an objective asks of a corpus."""

    style: str = "roberta"
    max_length: int = LENGTH
    vocab_size: int = VOCABULARY
    special_ids: dict = dataclasses.field(
        default_factory=lambda: {"pad": PAD, "unk": UNK, "cls": CLS, "sep": SEP, "mask": MASK}
    )


def records(rows: int = 6, pairs: bool = False, seed: int = 0, length: int = LENGTH) -> dict:
    """Parsed records of different lengths; the first one is full."""
    random = np.random.RandomState(seed)
    token_ids = random.randint(MASK + 1, VOCABULARY, (rows, length)).astype(np.int32)
    ends = random.randint(6, length, rows)
    ends[0] = length - 1
    firsts = ends + 1
    for row, end in enumerate(ends):
        token_ids[row, end + 1 :] = PAD
        token_ids[row, [0, end]] = CLS, SEP
        if pairs:
            firsts[row] = random.randint(3, end - 1)
            token_ids[row, firsts[row] - 1] = SEP
    starts = (random.rand(rows, length) < 0.6) | (token_ids == CLS) | (token_ids == SEP)
    return {
        "token_ids": tf.constant(token_ids),
        "word_starts": tf.constant(starts & (token_ids != PAD)),
        "first_length": tf.constant(firsts, tf.int32),
        "length": tf.constant(ends + 1, tf.int32),
        "label": tf.constant(random.randint(0, 2, rows), tf.int32),
    }


def records_for(name: str, **options) -> dict:
    """Records as the objective's corpus has them."""
    found = records(pairs=STYLES[name] in ("bert", "albert", "simbert"), **options)
    if name == "simbert":
        found["label"] = tf.range(found["label"].shape[0])
    return found


def build(name: str, facts: Facts | None = None, **settings):
    """A new objective over a tiny model with random weights."""
    settings = {"config": CONFIG, "seed": 1, **settings}
    facts = facts or Facts(STYLES.get(name, "roberta"))
    return make_objective(name, facts, **settings)


@functools.cache
def shared(name: str):
    """An objective that tests share and do not change."""
    return build(name)


def numbers(values):
    """Tensors as arrays, in whatever they lie."""
    return tf.nest.map_structure(np.asarray, values)
