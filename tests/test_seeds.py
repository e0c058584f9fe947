"""Seeds: dropout that repeats exactly, in every way of running it."""

from __future__ import annotations

import numpy as np
import pytest

from kerasbert import build_transformer_model
from kerasbert.backend import tf
from kerasbert.layers import Dropout, MultiHeadSelfAttention
from kerasbert.layers.recompute import draw_seed, seeded

SEED = (20, -7)
RECORDED = [
    "0100100011110111000011110100110110001011",
    "1100010111000101100000001101111001011100",
    "0001110010100011000010001010011011010101",
]


def masks(seed, draws=3):
    """What dropout keeps of vectors of 40, as a bool array (draws, 40)."""
    layer, ones = Dropout(0.5), tf.ones([40])
    with seeded(seed):
        return tf.stack([layer(ones, training=True) > 0 for _ in range(draws)])


def run(function, how, *arguments):
    """The result of a function of tensors, eagerly, as a graph or compiled by XLA."""
    if how != "eager":
        function = tf.function(function, jit_compile=how == "xla")
    return np.asarray(function(*map(tf.constant, arguments)))


@pytest.mark.parametrize("how", ["eager", "graph", "xla"])
def test_the_masks_are_recorded_ones(how):
    """The same on every stack: these bits were recorded once."""
    found = run(masks, how, SEED)
    assert ["".join(map(str, row.astype(int))) for row in found] == RECORDED


def test_a_seed_repeats_and_another_does_not():
    first, again = run(masks, "graph", SEED), run(masks, "graph", SEED)
    np.testing.assert_array_equal(first, again)
    for other in ((20, -6), (21, -7), (-7, 20)):
        assert not np.array_equal(first, run(masks, "graph", other))


def test_every_draw_and_every_context_is_another():
    """Neighbouring seeds, and contexts within contexts, share none of their draws."""
    drawn = []

    def draw_some(depth):
        for _ in range(4):
            drawn.append(draw_seed())
            if depth:
                with seeded(draw_seed()):
                    draw_some(depth - 1)

    for seed in ((1, 1), (1, 2), (1, 3), (2, 1)):
        with seeded(seed):
            draw_some(2)
    distinct = {tuple(seed.numpy()) for seed in drawn}
    assert len(distinct) == len(drawn) == 4 * (4 + 4 * 4 + 4 * 4 * 4)


def test_a_context_inside_does_not_move_the_one_around_it():
    with seeded(SEED):
        draw_seed()
        expected = draw_seed()
    with seeded(SEED):
        draw_seed()
        with seeded((0, 0)):
            draw_seed()
        found = draw_seed()
    np.testing.assert_array_equal(found, expected)


def test_the_context_ends_even_after_an_exception():
    with pytest.raises(KeyError), seeded(SEED):
        raise KeyError
    assert not np.array_equal(draw_seed(), draw_seed())


@pytest.mark.parametrize("how", ["eager", "graph", "xla"])
def test_recomputed_layers_repeat_and_differ_from_each_other(how):
    layer = MultiHeadSelfAttention(2, 4, 8, dropout=0.5, recompute=True)
    inputs = tf.random.stateless_normal([2, 5, 8], [1, 2], alg="philox")
    layer(inputs)
    rng = np.random.default_rng(0)
    layer.set_weights([rng.standard_normal(w.shape) for w in layer.get_weights()])

    def step(seed):
        """Outputs of two calls, and the gradients of both."""
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(inputs)
            with seeded(seed):
                outputs = [layer(inputs, training=True) for _ in range(2)]
        return tf.stack([*outputs, *(tape.gradient(output, inputs) for output in outputs)])

    first = run(step, how, SEED)
    np.testing.assert_allclose(first, run(step, "eager", SEED), atol=1e-4)
    assert np.abs(first[0] - first[1]).max() > 0.1
    assert np.abs(first[2] - first[3]).max() > 0.1
    assert np.abs(run(step, "eager", (20, -6)) - first).max() > 0.1


@pytest.mark.slow
def test_a_whole_model_repeats():
    model = build_transformer_model(
        vocab_size=30, hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=24, max_position_embeddings=16, with_pool=True,
        dropout_rate=0.5, attention_dropout_rate=0.5,
    )  # fmt: skip
    ids = tf.constant([[2, 5, 6, 3]])

    def outputs(seed):
        with seeded(seed):
            return model([ids, ids * 0], training=True)

    first = run(outputs, "graph", SEED)
    np.testing.assert_allclose(run(outputs, "eager", SEED), first, atol=1e-5)
    assert np.abs(run(outputs, "graph", (3, 3)) - first).max() > 0.01


def test_replicas_have_masks_of_their_own_seeds():
    strategy = tf.distribute.MirroredStrategy(["CPU:0"])

    @tf.function
    def step(seed):
        return strategy.run(masks, (seed,))

    np.testing.assert_array_equal(step(tf.constant(SEED)), run(masks, "eager", SEED))


def test_a_function_that_does_not_enter_the_context_is_refused():
    """Its first call would fix the masks of all the others."""
    step = tf.function(lambda x: Dropout(0.5)(x, training=True))
    with seeded(SEED), pytest.raises(RuntimeError, match="outside of the tf"):
        step(tf.ones([4]))


@pytest.mark.parametrize("seed", [1, (1, 2, 3), (1.0, 2.0)])
def test_other_seeds_are_refused(seed):
    with pytest.raises(ValueError, match="must be an integer tensor of shape"), seeded(seed):
        pass
