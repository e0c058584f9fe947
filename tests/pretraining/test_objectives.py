"""Objectives: rows from records, losses against plain arithmetic, models, exports."""

from __future__ import annotations

import dataclasses

import numpy as np

from kerasbert.backend import tf
from pretraining.objectives import make_objective

LENGTH, VOCABULARY = 12, 50
PAD, UNK, CLS, SEP, MASK = range(5)
CONFIG = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "max_position_embeddings": 20,
    "type_vocab_size": 2,
    "vocab_size": VOCABULARY,
}


@dataclasses.dataclass
class Facts:
    style: str = "roberta"
    max_length: int = LENGTH
    vocab_size: int = VOCABULARY
    special_ids: dict = dataclasses.field(
        default_factory=lambda: {"pad": PAD, "unk": UNK, "cls": CLS, "sep": SEP, "mask": MASK}
    )


def records(rows=4, pairs=False, seed=0, length=LENGTH):
    """Parsed records: the last row is short."""
    random = np.random.RandomState(seed)
    token_ids = random.randint(MASK + 1, VOCABULARY, (rows, length)).astype(np.int32)
    ends = random.randint(6, length, rows)
    ends[0] = length - 1
    firsts = ends + 1
    for row, end in enumerate(ends):
        token_ids[row, end + 1 :] = PAD
        token_ids[row, [0, end]] = CLS, SEP
        if pairs:
            firsts[row] = random.randint(3, end)
            token_ids[row, firsts[row] - 1] = SEP
    return {
        "token_ids": tf.constant(token_ids),
        "word_starts": tf.constant((random.rand(rows, length) < 0.6) & (token_ids != PAD)),
        "first_length": tf.constant(firsts, tf.int32),
        "length": tf.constant(ends + 1, tf.int32),
        "label": tf.constant(random.randint(0, 2, rows), tf.int32),
    }


def objective(name="roberta", style="roberta", **settings):
    settings = {"config": CONFIG, "seed": 1, **settings}
    return make_objective(name, Facts(style), **settings)


def gradients(task, inputs, jit=False):
    variables = task.model.trainable_variables

    @tf.function(jit_compile=jit)
    def compute(inputs):
        with tf.GradientTape() as tape:
            sums, metrics = task.sums(inputs, training=True)
            weights = task.weights(inputs)
            loss = tf.add_n(
                [task.loss_weights[k] * tf.math.divide_no_nan(sums[k], weights[k]) for k in sums]
            )
        return loss, metrics, [tf.convert_to_tensor(g) for g in tape.gradient(loss, variables)]

    return compute(inputs)


def test_works():
    task = objective()
    inputs = task.prepare(records(), tf.constant([1, 2]))
    loss, metrics, found = gradients(task, inputs)
    assert np.isfinite(loss) and len(found) == len(task.model.trainable_variables)
    again, _, _ = gradients(task, inputs, jit=True)
    full = task.transformer.model([inputs["token_ids"], inputs["segment_ids"]])
    np.testing.assert_allclose(
        task.run(inputs, False), tf.gather(full, inputs["positions"], batch_dims=1), atol=1e-5
    )
    print(loss, again, metrics)
