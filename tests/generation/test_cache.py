"""The cache changes nothing: the same tokens and scores as reading the whole text each time."""

from __future__ import annotations

import numpy as np
import pytest

from kerasbert import build_transformer_model
from kerasbert.backend import keras, tf
from kerasbert.generation import TextGenerator
from kerasbert.layers import incremental
from tests.families import FAMILIES
from tests.generation.models import SIZES, Ids, prompts, tiny

# Permutation language models write in another way.
OTHERS = ("xlnet",)


def _writes(options: dict) -> bool:
    application = options.get("application", options["model"])
    return application in ("lm", "unilm") or options["model"] in (
        "gpt", "gpt2", "gpt2_ml", "t5")  # fmt: skip


def _families() -> list:
    return [
        pytest.param({**options, "initializer_range": 0.5}, id=f"{name}{index}")
        for family in FAMILIES
        for name in [family.__name__.rsplit(".", 1)[-1]]
        if name not in OTHERS
        for index, options in enumerate(family.TINY)
        if _writes(options)
    ]


def both(model, tokenizer, texts, **options) -> list:
    """What is generated with and without a cache."""
    return [
        TextGenerator(model, tokenizer, use_cache=use_cache).generate(
            texts, return_details=True, **options
        )
        for use_cache in (True, False)
    ]


def assert_same(first, second, atol: float = 2e-5):
    assert [text.token_ids for text in first] == [text.token_ids for text in second]
    assert [text.finished for text in first] == [text.finished for text in second]
    scores = [[text.score for text in texts] for texts in (first, second)]
    np.testing.assert_allclose(*scores, atol=atol, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("options", _families())
def test_every_family(options):
    options = dict(options)
    if options["model"].startswith("t5"):  # T5 has a factor and no deviation
        options.pop("initializer_range")
    model = build_transformer_model(**options)
    cached, whole = both(model, Ids(), prompts(vocab_size=30), max_new_tokens=6, num_beams=2)
    assert_same(cached, whole)


@pytest.mark.slow
@pytest.mark.parametrize("application", ["unilm", "lm"])
@pytest.mark.parametrize("options", [{}, {"num_beams": 3}, {"do_sample": True, "seed": 1}])
def test_prompts_of_different_lengths(application, options):
    cached, whole = both(tiny(application), Ids(), prompts(5), max_new_tokens=8, **options)
    assert_same(cached, whole)


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {"hierarchical_position": True},
        {"residual_attention_scores": True},
        {"keep_tokens": list(range(30))},
        {"custom_position_ids": True},
        {"with_attention_mask": True},
        {"with_mlm": True, "with_pool": "linear"},
        {"attention_key_size": 3},
    ],
    ids=lambda options: next(iter(options)),
)
def test_options_of_models(options):
    tokenizer = Ids()
    tokenizer.vocab_size = 30
    cached, whole = both(
        tiny(**options), tokenizer, prompts(vocab_size=30), max_new_tokens=6, num_beams=2
    )
    assert_same(cached, whole)


def test_texts_beyond_the_position_table():
    model = tiny(hierarchical_position=True, max_position_embeddings=8)
    cached, whole = both(model, Ids(), prompts(), max_new_tokens=8)
    assert_same(cached, whole)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "bfloat16"])
def test_half_precision(dtype):
    """Scores within the rounding of eight bits; matrices are cast once for all tokens."""
    model = tiny(dtype=dtype, initializer_range=0.2)
    cached, whole = both(model, Ids(), prompts(1), max_new_tokens=1)
    np.testing.assert_allclose(cached[0].score, whole[0].score, atol=0.05)
    texts = TextGenerator(model, Ids()).generate(prompts(), max_new_tokens=12, num_beams=2)
    assert len(texts) == 3


@pytest.mark.slow
def test_a_loaded_model_writes_the_same(tmp_path):
    model = tiny(with_pool="linear")
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    first, second = (
        TextGenerator(one, Ids()).generate(prompts(), max_new_tokens=5, return_details=True)
        for one in (model, loaded)
    )
    assert_same(first, second, atol=0)


def test_a_model_around_the_transformer_writes_the_same():
    model = tiny()
    around = keras.Model(model.inputs, [keras.layers.Dense(2)(model.output), model.output])
    first, second = (
        TextGenerator(one, Ids()).generate(prompts(), max_new_tokens=4, return_details=True)
        for one in (model, around)
    )
    assert_same(first, second, atol=0)


def test_what_training_changes_shows_at_once():
    model = tiny()
    generator = TextGenerator(model, Ids(end_id=None))
    source = [2, 7, 8, 3]
    generator.generate([source], max_new_tokens=3)
    bias = model.get_layer("MLM-Bias")
    wanted = np.zeros(SIZES["vocab_size"], "float32")
    wanted[11] = 1e4
    bias.set_weights([wanted])
    assert generator.generate([source], max_new_tokens=3) == ["11 11 11"]


def test_no_weights_are_made():
    model = tiny()
    generator = TextGenerator(model, Ids())
    generator.generate(prompts(), max_new_tokens=3)
    ours = {id(variable) for variable in model.variables}
    assert {id(variable) for variable in generator.parts.model.variables} == ours


@keras.utils.register_keras_serializable(package="tests")
class Neighbours(keras.layers.Layer):
    """A layer in which tokens meet, of which generation knows nothing."""

    def call(self, x):
        return x + tf.concat([tf.zeros_like(x[:, :1]), x[:, :-1]], axis=1)


def test_layers_that_are_not_known_are_read_whole():
    model = tiny()
    hidden = model.get_layer("Transformer-1-FeedForward-Norm").output
    x = Neighbours()(hidden)
    for name in ("MLM-Dense", "MLM-Norm"):
        x = model.get_layer(name)(x)
    x = model.get_layer("Embedding-Token")(x, reverse=True)
    x = model.get_layer("MLM-Activation")(model.get_layer("MLM-Bias")(x))
    odd = keras.Model(model.inputs, x)
    generator = TextGenerator(odd, Ids())
    assert not generator.use_cache
    assert len(generator.generate(prompts(), max_new_tokens=3)) == 3
    with pytest.raises(ValueError, match="neighbours"):
        TextGenerator(odd, Ids(), use_cache=True)


def test_a_pass_ends_with_its_block():
    step = incremental.Prompt(tf.constant([1]))
    with pytest.raises(RuntimeError), step.reading():
        assert incremental.current() is step
        raise RuntimeError
    assert incremental.current() is None
