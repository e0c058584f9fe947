"""What the tests of the three layers share: what is expected of them, and models made of them."""

from __future__ import annotations

import numpy as np

from kerasbert.backend import keras, tf

NAMES = ["token_ids", "segment_ids", "attention_mask"]


def as_lists(outputs) -> list:
    return [np.array(output).tolist() for output in outputs]


def expected(tokenizer, *texts, **options) -> list:
    """What a layer of the tokenizer is to give."""
    found = tokenizer(*texts, **options)
    return [found[name].tolist() for name in NAMES]


def check_that_a_saved_model_takes_text(tokenizer, texts, folder, length: int = 16):
    """A model from text to numbers gives the same when it is saved, and when it is exported."""
    inputs = keras.Input(shape=(), dtype="string")
    ids, segments = tokenizer.as_layer(length, name="words")(inputs)
    table = np.arange(2.0 * tokenizer.vocab_size).reshape(-1, 2) / 7
    embedding = keras.layers.Embedding(
        len(table), 2, embeddings_initializer=keras.initializers.Constant(table)
    )
    pooled = keras.layers.GlobalMaxPooling1D()(embedding(ids))
    model = keras.Model(inputs, [ids, segments, pooled])

    call = tokenizer(texts, max_length=length, padding="max_length")
    truth = [call["token_ids"], call["segment_ids"], table[call["token_ids"]].max(axis=1)]
    assert len({tuple(row) for row in truth[2]}) > 2
    model.save(folder / "model.keras")
    again = keras.models.load_model(folder / "model.keras")
    assert again.get_layer("words").get_config() == model.get_layer("words").get_config()
    model.export(str(folder / "served"))
    served = tf.saved_model.load(str(folder / "served"))
    assert served.serve(tf.zeros([0], tf.string))[0].shape == (0, length)  # an empty batch
    texts = tf.constant([text.encode() for text in texts])
    for outputs in (model(texts), again.predict(texts, verbose=0), served.serve(texts)):
        for output, one in zip(outputs, truth):
            np.testing.assert_allclose(output, one, rtol=1e-6)
