"""Vectors are those of each text alone, whatever the order, the batch and the family."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from kerasbert import build_transformer_model
from kerasbert.backend import keras, tf
from kerasbert.embedding import POOLINGS, TextEncoder
from kerasbert.embedding import encoder as encoder_module
from tests.embedding.tiny_encoders import (
    LETTERS,
    SIZES,
    LeftPaddedTokenizer,
    alone,
    make_model,
    make_texts,
    make_tokenizer,
)
from tests.families import FAMILIES

TOKENIZER = make_tokenizer()
TEXTS = make_texts(40)
HIDDEN = [f"Transformer-{i}-FeedForward-Norm" for i in range(3)]


@pytest.fixture(scope="module")
def model():
    return make_model(with_pool=True)


@pytest.fixture(scope="module")
def mean(model):
    return TextEncoder(model, TOKENIZER, pooling="mean")


def expected(model, text: str, pooling: str, normalize: bool) -> np.ndarray:
    """The vector in plain numpy, in float64 from the hidden states on."""
    outputs = [model.get_layer(name).output for name in [*HIDDEN, "Pooler-Dense"]]
    *blocks, pooled = alone(keras.Model(model.inputs, outputs), TOKENIZER, text)
    vector = {
        "pooler": pooled,
        "cls": blocks[-1][0],
        "mean": blocks[-1].mean(axis=0),
        "max": blocks[-1].max(axis=0),
        "last_token": blocks[-1][-1],
        "first_last_avg": (blocks[0].mean(axis=0) + blocks[-1].mean(axis=0)) / 2,
        "last2avg": (blocks[-2].mean(axis=0) + blocks[-1].mean(axis=0)) / 2,
    }[pooling]
    return vector / np.linalg.norm(vector) if normalize else vector


@pytest.mark.parametrize(
    "pooling, normalize", [*((name, True) for name in POOLINGS), ("pooler", False), ("mean", False)]
)
@pytest.mark.slow
def test_vectors_are_those_of_a_plain_computation(model, pooling, normalize):
    encoder = TextEncoder(model, TOKENIZER, pooling, normalize=normalize)
    vectors = encoder.encode(TEXTS[:8])
    assert vectors.dtype == np.float32 and vectors.shape == (8, encoder.dimension)
    for text, vector in zip(TEXTS, vectors):
        np.testing.assert_allclose(vector, expected(model, text, pooling, normalize), atol=1e-5)


@pytest.mark.parametrize("batch_size", [None, 1, 7, 1000])
def test_neither_order_nor_batch_matters(mean, batch_size):
    reference = mean.encode(TEXTS)
    order = np.random.default_rng(0).permutation(len(TEXTS))
    shuffled = mean.encode([TEXTS[at] for at in order], batch_size=batch_size)
    np.testing.assert_allclose(shuffled, reference[order], atol=1e-6)


def test_windows_are_put_together_in_order(mean, monkeypatch):
    reference = mean.encode(TEXTS)
    windows = encoder_module.read_windows
    monkeypatch.setattr(encoder_module, "read_windows", lambda texts: windows(texts, 7))
    monkeypatch.setattr(encoder_module, "TOKENS_PER_BATCH", 30)
    np.testing.assert_allclose(mean.encode(TEXTS), reference, atol=1e-6)
    np.testing.assert_allclose(mean.encode(iter(TEXTS)), reference, atol=1e-6)


def test_one_text_and_no_text(mean):
    np.testing.assert_allclose(mean.encode(TEXTS[0]), mean.encode(TEXTS)[0], atol=1e-6)
    assert mean.encode(TEXTS[0]).shape == (16,)
    assert mean.encode([]).shape == (0, 16)
    assert mean.encode(iter([])).shape == (0, 16)
    assert np.isfinite(mean.encode("")).all()  # [CLS] [SEP]


def test_arrays_tuples_and_bytes_are_texts(mean):
    reference = mean.encode(TEXTS[:3])
    for texts in (np.array(TEXTS[:3]), tuple(TEXTS[:3]), [text.encode() for text in TEXTS[:3]]):
        np.testing.assert_array_equal(mean.encode(texts), reference)


def test_it_is_compiled_once_for_all_shapes(mean):
    mean.encode(TEXTS, batch_size=3)
    mean.encode(TEXTS[:5])
    assert mean._functions[None].experimental_get_tracing_count() == 1


def tokenizer_of(options):
    name = options["model"]
    if name == "xlnet":
        return make_tokenizer(5, LeftPaddedTokenizer)
    return make_tokenizer(1 if name.startswith(("roberta", "xlm")) else 0)


ENCODERS = [
    options
    for family in FAMILIES
    for options in family.TINY
    if not options["model"].endswith(("t5.1.0", "t5.1.1", "decoder"))
    and not (options["model"] == "xlnet" and options.get("application"))
]


@pytest.mark.slow
@pytest.mark.parametrize("options", ENCODERS, ids=lambda o: f"{o['model']}-{len(o)}")
def test_every_family(options):
    """Padding changes nothing, and bfloat16 is near, with the same weights."""
    model = build_transformer_model(None, **options)
    encoder = TextEncoder(model, tokenizer_of(options), pooling="mean")
    texts = TEXTS[:12]
    vectors = encoder.encode(texts)
    each = np.stack([encoder.encode(text) for text in texts])
    np.testing.assert_allclose(vectors, each, atol=1e-5)
    assert np.abs(vectors - vectors[0]).max() > 1e-3
    near = encoder.encode(texts, dtype="bfloat16")
    assert 0 < np.abs(near - vectors).max() < 0.05


def test_left_padding_and_its_cls():
    sizes = {"vocab_size": 31, "hidden_size": 16, "num_hidden_layers": 2, "intermediate_size": 24}
    model = build_transformer_model({**sizes, "num_attention_heads": 2}, model="xlnet")
    tokenizer = make_tokenizer(5, LeftPaddedTokenizer)
    encoder = TextEncoder(model, tokenizer, pooling="cls", normalize=False)
    for text, vector in zip(TEXTS, encoder.encode(TEXTS[:5])):
        np.testing.assert_allclose(vector, alone(model, tokenizer, text)[0][-1], atol=1e-5)


def test_pooling_may_be_a_layer(model):
    layer = keras.layers.GlobalAveragePooling1D()
    ours = TextEncoder(model, TOKENIZER, pooling="mean").encode(TEXTS)
    np.testing.assert_allclose(TextEncoder(model, TOKENIZER, layer).encode(TEXTS), ours, atol=1e-5)
    with pytest.raises(ValueError, match="one vector for each text"):
        TextEncoder(model, TOKENIZER, pooling=lambda hidden: hidden)


def test_an_explicit_mask_and_positions_are_given():
    model = make_model(with_attention_mask=True, custom_position_ids=True)
    plain = make_model()
    plain.set_weights(model.get_weights())
    ours, theirs = (TextEncoder(one, TOKENIZER, "mean").encode(TEXTS) for one in (model, plain))
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_a_fixed_length_is_padded_to():
    model = make_model(sequence_length=12)
    encoder = TextEncoder(model, TOKENIZER, "mean")
    assert encoder.max_length == 12
    free = make_model()
    free.set_weights(model.get_weights())
    texts = make_texts(10, longest=10)
    theirs = TextEncoder(free, TOKENIZER, "mean").encode(texts)
    np.testing.assert_allclose(encoder.encode(texts), theirs, atol=1e-5)


# Precision.


@pytest.mark.slow
def test_bfloat16_shares_the_weights_and_follows_training(model):
    encoder = TextEncoder(model, TOKENIZER, "mean")
    first, near = encoder.encode(TEXTS), encoder.encode(TEXTS, dtype="bfloat16")
    assert near.dtype == np.float32
    assert 1e-5 < np.abs(near - first).max() < 0.1
    kernel = model.get_layer("Transformer-1-FeedForward").intermediate.kernel
    before = kernel.numpy()
    try:
        kernel.assign(-before)
        changed = encoder.encode(TEXTS)
        assert np.abs(changed - first).max() > 0.3
        assert np.abs(encoder.encode(TEXTS, dtype="bfloat16") - changed).max() < 0.1
    finally:
        kernel.assign(before)


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "bfloat16"])
def test_a_model_built_in_bfloat16(model, policy):
    half = make_model(with_pool=True, dtype=policy)
    half.set_weights([np.asarray(weight).astype("float32") for weight in model.get_weights()])
    reference = TextEncoder(model, TOKENIZER, "mean").encode(TEXTS)
    encoder = TextEncoder(half, TOKENIZER, "mean")
    assert np.abs(encoder.encode(TEXTS) - reference).max() < 0.1
    np.testing.assert_array_equal(encoder.encode(TEXTS, dtype="bfloat16"), encoder.encode(TEXTS))
    if policy == "mixed_bfloat16":
        np.testing.assert_allclose(encoder.encode(TEXTS, dtype="float32"), reference, atol=1e-5)
    else:
        with pytest.raises(ValueError, match=r"must be float32.*they are bfloat16"):
            encoder.encode(TEXTS, dtype="float32")


def test_another_dtype_is_refused(mean):
    with pytest.raises(ValueError, match=r"dtype must be one of.*'int4'"):
        mean.encode(TEXTS, dtype="int4")


# Files.


def test_output_to_a_file_from_a_generator(mean, tmp_path, monkeypatch):
    windows = encoder_module.read_windows
    monkeypatch.setattr(encoder_module, "read_windows", lambda texts: windows(texts, 7))
    path = tmp_path / "vectors.npy"
    vectors = mean.encode((text for text in TEXTS), output=path)
    assert isinstance(vectors, np.memmap) and not vectors.flags.writeable
    np.testing.assert_allclose(vectors, mean.encode(TEXTS), atol=1e-6)
    np.testing.assert_array_equal(np.load(path), vectors)
    assert [file.name for file in tmp_path.iterdir()] == ["vectors.npy"]
    assert mean.encode([], output=path).shape == (0, 16)
    assert np.load(path).shape == (0, 16)
    assert mean.encode(TEXTS[0], output=path).shape == (1, 16)


@pytest.mark.parametrize("failure", [KeyboardInterrupt, OSError])
def test_an_interrupted_run_leaves_no_half_file(mean, tmp_path, monkeypatch, failure):
    windows = encoder_module.read_windows
    monkeypatch.setattr(encoder_module, "read_windows", lambda texts: windows(texts, 7))
    path = tmp_path / "vectors.npy"
    path.write_bytes(b"old")

    def texts():
        yield from TEXTS
        raise failure("stop")

    with pytest.raises(failure, match="stop"):
        mean.encode(texts(), output=path)
    assert [file.name for file in tmp_path.iterdir()] == ["vectors.npy"]
    assert path.read_bytes() == b"old"


def test_a_missing_folder_is_said_before_computing(mean, tmp_path):
    with pytest.raises(FileNotFoundError, match="no folder"):
        mean.encode(TEXTS, output=tmp_path / "none" / "vectors.npy")


# Lengths.


def test_long_texts_are_cut_with_a_warning(model, caplog):
    encoder = TextEncoder(model, TOKENIZER, "mean")
    long = " ".join(LETTERS)
    with caplog.at_level(logging.WARNING, "kerasbert"):
        vectors = encoder.encode([long, "a b", long])
    assert "2 of 3 texts had more than max_length=24 tokens" in caplog.text
    np.testing.assert_allclose(vectors[0], encoder.encode(" ".join(LETTERS[:22])), atol=1e-6)


def test_max_length(model):
    encoder = TextEncoder(model, TOKENIZER, "mean", max_length=5)
    np.testing.assert_allclose(encoder.encode("a b c d e"), encoder.encode("a b c"), atol=1e-6)
    with pytest.raises(ValueError, match=r"max_length=25 is more than the 24 positions"):
        TextEncoder(model, TOKENIZER, "mean", max_length=25)
    for wrong in (0, 2, True, 3.5):
        with pytest.raises(ValueError, match="whole number of at least 3"):
            TextEncoder(model, TOKENIZER, "mean", max_length=wrong)


def test_hierarchical_positions_reach_further(model):
    encoder = TextEncoder(make_model(hierarchical_position=True), TOKENIZER, "mean")
    assert encoder.max_length == 24**2
    assert encoder.encode(" ".join(LETTERS * 3)).shape == (16,)


def test_roberta_positions_begin_after_padding():
    config = {**SIZES, "max_position_embeddings": 26}
    model = build_transformer_model(config, model="roberta")
    encoder = TextEncoder(model, make_tokenizer(1), "mean")
    assert encoder.max_length == 24
    encoder.encode(" ".join(LETTERS))


# What does not fit.


@pytest.mark.parametrize("texts, at", [([1], 0), (["a", None], 1), (["a", "b", ["c"]], 2)])
def test_what_is_no_text_is_named(mean, texts, at):
    with pytest.raises(TypeError, match=rf"texts\[{at}\] must be a text"):
        mean.encode(texts)
    with pytest.raises(TypeError, match="must be a text or a list of texts"):
        mean.encode(5)


@pytest.mark.parametrize("batch_size", [0, -1, True, 2.0, "8"])
def test_batch_size_is_checked(mean, batch_size):
    with pytest.raises(ValueError, match="batch_size must be a positive whole number"):
        mean.encode(TEXTS, batch_size=batch_size)


def test_poolings_that_the_model_lacks():
    plain, single = make_model(), make_model(config={"num_hidden_layers": 1})
    with pytest.raises(ValueError, match=r"with_pool=True.*with_pool='linear'"):
        TextEncoder(plain, TOKENIZER)
    with pytest.raises(ValueError, match="needs two blocks"):
        TextEncoder(single, TOKENIZER, "last2avg")
    with pytest.raises(ValueError, match="reads from left to right"):
        TextEncoder(make_model(application="lm"), TOKENIZER, "cls")
    with pytest.raises(ValueError, match="pooling must be one of pooler, cls"):
        TextEncoder(plain, TOKENIZER, "average")


def test_models_that_are_no_encoders():
    t5 = build_transformer_model(
        {"vocab_size": 31, "d_model": 16, "num_layers": 1, "num_heads": 2, "d_kv": 8, "d_ff": 24},
        model="t5.1.0",
    )
    with pytest.raises(ValueError, match="not made from a text alone"):
        TextEncoder(t5, TOKENIZER, "mean")
    ids = keras.Input((None,), dtype="int32", name="Input-Token")
    other = keras.Model(ids, keras.layers.Embedding(31, 4)(ids))
    with pytest.raises(ValueError, match="no blocks whose layers are named"):
        TextEncoder(other, TOKENIZER, "mean")
    with pytest.raises(ValueError, match="functional Keras model"):
        TextEncoder(keras.Sequential([keras.layers.Dense(2)]), TOKENIZER, "mean")


def test_vocabularies_that_do_not_fit(model):
    with pytest.raises(ValueError, match=r"pads with id 1.*takes id 0"):
        TextEncoder(model, make_tokenizer(1), "mean")
    with pytest.raises(ValueError, match="not the vocabulary that the model was made for"):
        TextEncoder(make_model(config={"vocab_size": 20}), TOKENIZER, "mean")


def test_nan_is_said(tmp_path):
    broken = make_model()
    broken.get_layer("Embedding-Token").embeddings.assign(np.full((31, 16), np.nan, "float32"))
    with pytest.raises(ValueError, match=r"vector of texts\[0\] is not finite"):
        TextEncoder(broken, TOKENIZER, "mean").encode(["a"], output=tmp_path / "vectors.npy")
    assert list(tmp_path.iterdir()) == []


# What it is for.


def test_similarity_and_search(mean):
    cosines = mean.similarity(TEXTS[:4], TEXTS[:6])
    vectors = mean.encode(TEXTS)
    np.testing.assert_allclose(cosines, vectors[:4] @ vectors[:6].T, atol=1e-5)
    np.testing.assert_allclose(np.diag(mean.similarity(TEXTS[:4])), 1, atol=1e-5)
    assert mean.similarity(TEXTS[0], TEXTS[1]).shape == (1, 1)
    for corpus in (TEXTS, vectors, mean.index(TEXTS)):
        scores, places = mean.search(TEXTS[:5], corpus, top_k=3)
        np.testing.assert_allclose(scores[:, 0], 1, atol=1e-5)
        assert [TEXTS[at] for at in places[:, 0]] == TEXTS[:5]


def test_progress_bar_counts_the_texts(mean, capsys):
    mean.encode(TEXTS, show_progress_bar=True)
    assert "40.0/40.0" in capsys.readouterr().err.replace("text", "")
    mean.encode(TEXTS)
    assert capsys.readouterr().err == ""


@pytest.mark.slow
def test_the_vector_model_is_saved_and_takes_strings(mean, tmp_path):
    pytest.importorskip("tensorflow_text")
    path = str(tmp_path / "vectors.keras")
    mean.model.save(path)
    again = keras.models.load_model(path)
    text = keras.Input((), dtype="string", name="text")
    served = keras.Model(text, again(TOKENIZER.as_layer(max_length=24)(text)))
    vectors = served(tf.constant(TEXTS[:5]))
    np.testing.assert_allclose(np.asarray(vectors), mean.encode(TEXTS[:5]), atol=1e-5)
