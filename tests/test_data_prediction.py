import numpy as np
import pytest

from kerasbert.backend import keras
from kerasbert.data import predict
from kerasbert.tokenizers import Tokenizer

TOKENIZER = Tokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefgh"])
LENGTHS = [3, 9, 3, 1, 5, 9, 9, 3, 1, 2, 7]
ROWS = [[1 + (i * 7 + j) % 12 for j in range(length)] for i, length in enumerate(LENGTHS)]


@pytest.fixture(scope="module")
def layers():
    """A model's outputs: one vector per example, and one per token."""
    ids, segments = (keras.Input((None,), dtype="int32") for _ in range(2))
    tokens = keras.layers.Embedding(13, 4, mask_zero=True)(ids)
    pooled = keras.layers.GlobalAveragePooling1D()(tokens)
    scores = keras.layers.Dot(axes=2)([tokens, tokens])
    return {"inputs": [ids, segments], "tokens": tokens, "pooled": pooled, "scores": scores}


def one_by_one(model):
    """Each example alone, so that nothing is padded."""
    return [model.predict_on_batch((np.array([row]), np.zeros((1, len(row))))) for row in ROWS]


@pytest.mark.smoke
@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_rows_come_in_the_order_of_the_examples(layers, batch_size):
    model = keras.Model(layers["inputs"], layers["pooled"])
    predicted = predict(model, ROWS, batch_size=batch_size, verbose=0)
    assert predicted.shape == (len(ROWS), 4)
    np.testing.assert_allclose(predicted, np.concatenate(one_by_one(model)), atol=1e-6)


def test_an_output_per_token_comes_without_padding(layers):
    model = keras.Model(layers["inputs"], layers["tokens"])
    predicted = predict(model, ROWS, batch_size=4, verbose=0)
    assert [rows.shape for rows in predicted] == [(length, 4) for length in LENGTHS]
    for rows, (expected,) in zip(predicted, one_by_one(model)):
        np.testing.assert_allclose(rows, expected, atol=1e-6)


def test_an_output_per_pair_of_tokens_is_cut_on_both_axes(layers):
    model = keras.Model(layers["inputs"], layers["scores"])
    predicted = predict(model, ROWS, batch_size=4, verbose=0)
    assert [rows.shape for rows in predicted] == [(length, length) for length in LENGTHS]


def test_several_outputs_keep_their_structure(layers):
    inputs, tokens, pooled = layers["inputs"], layers["tokens"], layers["pooled"]
    pair = predict(keras.Model(inputs, [pooled, tokens]), ROWS, batch_size=4, verbose=0)
    assert (pair[0].shape, pair[1][1].shape) == ((11, 4), (9, 4))
    named = keras.Model(inputs, {"tokens": tokens, "pooled": pooled})
    predicted = predict(named, ROWS, batch_size=4, verbose=0)
    assert sorted(predicted) == ["pooled", "tokens"]
    np.testing.assert_allclose(predicted["pooled"], pair[0], atol=1e-6)
    np.testing.assert_allclose(predicted["tokens"][1], pair[1][1], atol=1e-6)


def test_texts(layers):
    model = keras.Model(layers["inputs"], layers["pooled"])
    texts = ["a b c", "a", "d e f g h"]
    predicted = predict(model, texts, tokenizer=TOKENIZER, max_length=6, verbose=0)
    encoding = TOKENIZER(texts, max_length=6)
    expected = model.predict_on_batch((encoding["token_ids"], encoding["segment_ids"]))
    np.testing.assert_allclose(predicted, expected, atol=1e-6)
    np.testing.assert_allclose(predict(model, encoding, verbose=0), expected, atol=1e-6)


def test_a_model_with_one_input():
    ids = keras.Input((None,), dtype="int32")
    model = keras.Model(ids, keras.layers.Embedding(13, 4)(ids))
    predicted = predict(model, ROWS, inputs="token_ids", verbose=0)
    assert [len(rows) for rows in predicted] == LENGTHS


def test_the_progress_bar_counts_examples(layers, capsys):
    model = keras.Model(layers["inputs"], layers["pooled"])
    predict(model, ROWS, batch_size=4)
    assert "11/11" in capsys.readouterr().out
    predict(model, ROWS, batch_size=4, verbose=0)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("examples", "error", "message"),
    [
        ([], ValueError, "no examples"),
        ({}, ValueError, "must have 'token_ids'"),
        ((), ValueError, "a tuple must be"),
        (["text"], TypeError, "tokenizer="),
        ("text", TypeError, "must be a list of examples"),
    ],
)
def test_bad_examples(layers, examples, error, message):
    model = keras.Model(layers["inputs"], layers["pooled"])
    with pytest.raises(error, match=message):
        predict(model, examples)
