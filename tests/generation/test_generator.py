"""What users call, and what it says to wrong calls."""

from __future__ import annotations

import logging

import numpy as np
import pytest

import kerasbert
from kerasbert import Tokenizer
from kerasbert.backend import keras, tf
from kerasbert.generation import Generation, TextGenerator, generate, stream
from tests.generation.models import END, Ids, prompts, tiny

TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"今天气很好你明去哪里我们来", "ok", "##ay"]


@pytest.fixture(scope="module")
def chinese():
    tokenizer = Tokenizer(TOKENS)
    return tiny(vocab_size=len(TOKENS)), tokenizer


def test_forms_of_calls(chinese):
    model, tokenizer = chinese
    one = generate(model, tokenizer, "今天", max_new_tokens=4)
    assert isinstance(one, str)
    assert generate(model, tokenizer, ["今天", "明天去哪里"], max_new_tokens=4)[0] == one
    ids = tokenizer("今天")["token_ids"]
    assert generate(model, tokenizer, [ids.tolist(), ids], max_new_tokens=4) == [one, one]
    several = generate(
        model, tokenizer, "今天", max_new_tokens=4, num_beams=3, num_return_sequences=2
    )
    assert len(several) == 2
    details = generate(model, tokenizer, "今天", max_new_tokens=4, return_details=True)
    assert isinstance(details, Generation)
    assert details.text == one == tokenizer.decode(details.token_ids)
    assert generate(model, tokenizer, [], max_new_tokens=4) == []
    assert generate(model, tokenizer, "", max_new_tokens=4)  # [CLS] [SEP] is a source as well
    pair = generate(model, tokenizer, [("今天", "好")], max_new_tokens=4)
    assert len(pair) == 1


def test_nothing_to_generate(chinese):
    model, tokenizer = chinese
    assert generate(model, tokenizer, ["今天", "好"], max_new_tokens=0) == ["", ""]
    assert list(stream(model, tokenizer, "今天", max_new_tokens=0)) == []


@pytest.mark.parametrize("options", [{}, {"do_sample": True, "seed": 4}])
@pytest.mark.slow
def test_a_stream_is_the_text_in_pieces(chinese, options):
    model, tokenizer = chinese
    whole = generate(model, tokenizer, ["今天很好"], max_new_tokens=9, **options)[0]
    pieces = list(stream(model, tokenizer, "今天很好", max_new_tokens=9, **options))
    assert "".join(pieces) == whole
    assert len(pieces) > 3


def test_a_stream_of_beams_is_refused(chinese):
    with pytest.raises(ValueError, match="num_beams"):
        stream(*chinese, "今天", num_beams=2)


def test_graphs_stay_with_the_model(chinese):
    model, tokenizer = chinese
    generate(model, tokenizer, "今天", max_new_tokens=3)
    generator = model._kerasbert_generator
    graphs = dict(generator._graphs)
    for options in ({"max_new_tokens": 5}, {"temperature": 1.0}, {"min_new_tokens": 2}):
        generate(model, tokenizer, ["今天", "好"], **options)
    assert model._kerasbert_generator is generator
    assert generator._graphs == graphs
    assert all(graph._begin.experimental_get_tracing_count() == 1 for graph in graphs.values())


@pytest.mark.slow
@pytest.mark.parametrize("jit_compile", [False, True], ids=["graph", "xla"])
@pytest.mark.parametrize("options", [{}, {"num_beams": 3, "num_return_sequences": 2}])
def test_a_function_is_the_same_generation(jit_compile, options):
    model = tiny()
    generator = TextGenerator(model, Ids(), max_new_tokens=6, **options)
    function = generator.function(jit_compile=jit_compile)
    texts = prompts(3)
    ids = np.zeros((3, 9), "int32")
    for row, text in enumerate(texts):
        ids[row, : len(text)] = text
    tokens, scores = function(tf.constant(ids), tf.zeros_like(ids))
    wanted = generator.generate(texts, return_details=True)
    for row, of_text in enumerate(wanted):
        for place, text in enumerate(of_text if isinstance(of_text, list) else [of_text]):
            found = tokens[row, place].numpy().tolist()
            answer = text.token_ids + [END] * text.finished
            assert found == answer + [0] * (6 - len(answer))
            assert scores[row, place].numpy() == pytest.approx(text.score, abs=1e-4)


@pytest.mark.slow
def test_a_function_in_a_saved_model(tmp_path):
    generator = TextGenerator(tiny(), Ids(), max_new_tokens=5, num_beams=2)
    module = tf.Module()
    module.model, module.generate = generator.parts.model, generator.function()
    tf.saved_model.save(module, str(tmp_path))
    ids = tf.constant([[2, 7, 8, END]])
    wanted, _ = module.generate(ids, tf.zeros_like(ids))
    loaded = tf.saved_model.load(str(tmp_path))
    found, _ = loaded.generate(ids, tf.zeros_like(ids))
    assert found.numpy().tolist() == wanted.numpy().tolist()


@pytest.mark.slow
def test_long_sources_are_cut_with_a_warning(caplog):
    generator = TextGenerator(tiny(max_position_embeddings=12), Ids(), max_new_tokens=4)
    long = [2, *range(5, 25), END]
    with caplog.at_level(logging.WARNING, "kerasbert"):
        cut = generator.generate([long, long[:6]])
    assert "1 of 2 prompts" in caplog.text
    assert cut[0] == generator.generate([*long[:7], END])
    with pytest.raises(ValueError, match="8 tokens"):
        generator.generate(long, truncation=False)
    continued = TextGenerator(tiny("lm", max_position_embeddings=12), Ids(), max_new_tokens=4)
    assert continued.generate(long) == continued.generate([long[0], *long[-7:]])
    with pytest.raises(ValueError, match="12 positions"):
        generator.generate(long, max_new_tokens=11)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_new_tokens": -1}, "max_new_tokens must be 0 or more"),
        ({"num_beams": 0}, "num_beams must be 1 or more"),
        ({"num_beams": 21}, "vocabulary has 40"),
        ({"temperature": 0.0, "do_sample": True}, "temperature must be above 0"),
        ({"temperature": float("nan"), "do_sample": True}, "finite"),
        ({"top_p": 1.5, "do_sample": True}, "at most 1"),
        ({"top_k": 3}, "do_sample=True"),
        ({"min_new_tokens": 40}, "more than max_new_tokens"),
        ({"num_return_sequences": 2}, "num_beams"),
        ({"num_beams": 2, "do_sample": True}, "one of the two"),
        ({"early_stopping": "soon"}, "early_stopping"),
        ({"stop": [[]]}, "stop must not be empty"),
        ({"batch_size": 0}, "batch_size"),
        ({"seed": -1, "do_sample": True}, "seed"),
    ],
)
def test_impossible_options(options, message):
    with pytest.raises(ValueError, match=message):
        TextGenerator(tiny(), Ids()).generate([2, 5, 3], **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_tokens": 3}, "max_new_tokens"),
        ({"num_beams": 2.0}, "whole number"),
        ({"num_beams": True}, "whole number"),
        ({"top_p": "0.9", "do_sample": True}, "must be a number"),
        ({"constraints": ["a"]}, "functions"),
    ],
)
def test_wrong_types(options, message):
    with pytest.raises(TypeError, match=message):
        TextGenerator(tiny(), Ids()).generate([2, 5, 3], **options)


def test_wrong_texts():
    generator = TextGenerator(tiny(), Ids())
    with pytest.raises(TypeError, match="at 1: float"):
        generator.generate([[2, 5, 3], 1.5])
    with pytest.raises(ValueError, match="0 to 39"):
        generator.generate([2, 40])
    with pytest.raises(ValueError, match="nothing to start from"):
        generator.generate([[2, 5], np.zeros(0, int)])


@pytest.mark.slow
def test_impossible_constraints_and_nan():
    model = tiny()
    generator = TextGenerator(model, Ids())
    for options in ({}, {"num_beams": 2}, {"do_sample": True}):
        with pytest.raises(ValueError, match="text 0: the constraints"):
            generator.generate([2, 5, 3], constraints=lambda scores, *_: scores - np.inf, **options)
    table = model.get_layer("Embedding-Token")
    table.set_weights([np.full_like(table.get_weights()[0], np.nan)])
    for options in ({}, {"num_beams": 2}, {"do_sample": True}):
        with pytest.raises(ValueError, match="NaN"):
            generator.generate([2, 5, 3], **options)


def test_models_that_cannot_generate():
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2,
             "intermediate_size": 8, "vocab_size": 40}  # fmt: skip
    build = kerasbert.build_transformer_model
    with pytest.raises(ValueError, match="no head that scores the vocabulary"):
        TextGenerator(build(**sizes, model="bert"), Ids())
    with pytest.raises(ValueError, match="in both directions"):
        TextGenerator(build(**sizes, model="bert", with_mlm=True), Ids())
    with pytest.raises(ValueError, match="without sequence_length"):
        TextGenerator(build(**sizes, model="unilm", sequence_length=8), Ids())
    with pytest.raises(TypeError, match=r"keras\.Model was expected"):
        TextGenerator("model", Ids())
    tokenizer = Ids()
    tokenizer.vocab_size = 41
    with pytest.raises(ValueError, match="41 tokens"):
        TextGenerator(tiny(), tokenizer)


def test_graphs_are_not_kept_without_end():
    generator = TextGenerator(tiny(num_hidden_layers=1), Ids(), max_new_tokens=1)
    for token in range(5, 25):
        generator._graph(kerasbert.generation.GenerationOptions(stop=[[token]]))
    kept = [plan.ending.stop[0][0] for plan in generator._graphs]
    assert kept == list(range(9, 25))


@pytest.mark.slow
def test_a_model_that_has_generated_is_saved_as_before(chinese, tmp_path):
    model, tokenizer = chinese
    whole = generate(model, tokenizer, "今天", max_new_tokens=4)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert generate(loaded, tokenizer, "今天", max_new_tokens=4) == whole
    model.save_weights(tmp_path / "model.weights.h5")
    loaded.load_weights(tmp_path / "model.weights.h5")
    kerasbert.save_weights_as_checkpoint(model, tmp_path / "model.zip", vocab=tokenizer)
