"""SavedModels: equal to the model in Python, whole or absent, and loadable without kerasbert."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tensorflow_text")

from kerasbert import build_transformer_model
from kerasbert.backend import keras, tf
from kerasbert.embedding import TextEncoder
from kerasbert.generation import generate
from kerasbert.layers import FirstToken
from kerasbert.serving import export_saved_model
from tests.serving.conftest import TEXTS

pytestmark = pytest.mark.slow  # each export traces and writes for seconds

LENGTH = 24
LABELS = ["负", "中", "正"]


def load(path):
    return tf.saved_model.load(str(path))


def strings(tensor) -> list[str]:
    return [text.decode("utf-8") for text in tensor.numpy().ravel()]


@pytest.fixture(scope="module")
def both(model, tokenizer, tmp_path_factory):
    """Vectors and texts of one model in one folder."""
    options = {"max_length": LENGTH, "generation": {"max_new_tokens": 6}}
    folder = tmp_path_factory.mktemp("models") / "simbert"
    return Path(export_saved_model(model, tokenizer, folder, ["embedding", "text"], **options))


@pytest.fixture(scope="module")
def classifier(tensors):
    body = build_transformer_model(*tensors)
    x = keras.layers.Dense(len(LABELS), "softmax")(FirstToken()(body.output))
    return keras.Model(body.inputs, x)


def test_layout(both, tokenizer):
    assert both.name == "1"
    assert [path.name for path in both.parent.iterdir()] == ["1"]
    assert {"saved_model.pb", "variables", "assets.extra"} <= {p.name for p in both.iterdir()}
    description = json.loads((both / "assets.extra" / "kerasbert.json").read_text())
    assert description["outputs"] == ["embedding", "text"]
    assert description["serving_default"] == "encode"
    again = type(tokenizer).from_pretrained(both / "assets.extra" / "tokenizer")
    assert again.get_config() == tokenizer.get_config()


def test_signatures(both):
    names = {"encode", "encode_ids", "generate", "generate_ids", "tokenize", "serving_default"}
    assert set(load(both).signatures) == names


def test_variables_are_there_once(both, model):
    reader = tf.train.load_checkpoint(str(both / "variables" / "variables"))
    shapes = [tuple(shape) for name, shape in reader.get_variable_to_shape_map().items()
              if "VARIABLE_VALUE" in name]  # fmt: skip
    assert sorted(shapes) == sorted(tuple(w.shape) for w in model.weights)


def test_vectors(both, model, tokenizer):
    expected = TextEncoder(model, tokenizer, max_length=LENGTH).encode(TEXTS)
    loaded = load(both)
    for found in (
        loaded.encode(tf.constant(TEXTS)),
        loaded.signatures["encode"](texts=tf.constant(TEXTS)),
        loaded.signatures["serving_default"](texts=tf.constant(TEXTS)),
    ):
        np.testing.assert_allclose(found["embeddings"], expected, atol=2e-6)
    ids = loaded.tokenize(tf.constant(TEXTS))
    np.testing.assert_allclose(loaded.encode_ids(**ids)["embeddings"], expected, atol=2e-6)


def test_no_texts(both):
    loaded = load(both)
    assert loaded.encode(tf.constant([], tf.string))["embeddings"].shape == (0, 16)


def test_rows_are_as_long_as_the_longest_text(both):
    loaded = load(both)
    assert loaded.tokenize(tf.constant(["我", "我爱"]))["token_ids"].shape == (2, 4)
    assert loaded.tokenize(tf.constant(["我" * 99]))["token_ids"].shape == (1, LENGTH)


def test_generated_texts(both, model, tokenizer):
    texts = [text for text in TEXTS if len(text) < LENGTH - 2]
    loaded = load(both)
    found = loaded.generate(tf.constant(texts))
    expected = generate(model, tokenizer, texts, max_new_tokens=6, return_details=True)
    assert strings(found["texts"]) == [one.text for one in expected]
    np.testing.assert_allclose(found["scores"], [one.score for one in expected], atol=1e-4)


def test_generated_beams(model, tokenizer, tmp_path):
    options = {"max_new_tokens": 5, "num_beams": 3, "num_return_sequences": 2}
    path = export_saved_model(
        model, tokenizer, tmp_path, "text", max_length=LENGTH, generation=options
    )
    loaded = load(path)
    found = loaded.generate(tf.constant(TEXTS[:2]))
    expected = generate(model, tokenizer, TEXTS[:2], **options)
    assert found["texts"].shape == (2, 2)
    assert strings(found["texts"]) == [text for row in expected for text in row]
    ids = loaded.generate_ids(**loaded.tokenize(tf.constant(TEXTS[:2])))["token_ids"]
    assert ids.shape == (2, 2, 5)


@pytest.mark.smoke
def test_classes(classifier, tokenizer, tmp_path):
    path = export_saved_model(
        classifier, tokenizer, tmp_path, "classes", labels=LABELS, max_length=LENGTH
    )
    loaded = load(path)
    inputs = tokenizer(TEXTS, max_length=LENGTH)
    expected = classifier.predict([inputs["token_ids"], inputs["segment_ids"]], verbose=0)
    found = loaded.classify(tf.constant(TEXTS))
    np.testing.assert_allclose(found["probabilities"], expected, atol=2e-6)
    assert strings(found["classes"]) == [LABELS[at] for at in expected.argmax(axis=1)]

    inputs = tokenizer(TEXTS, TEXTS[::-1], max_length=LENGTH)
    expected = classifier.predict([inputs["token_ids"], inputs["segment_ids"]], verbose=0)
    found = loaded.signatures["classify_pairs"](
        texts=tf.constant(TEXTS), pairs=tf.constant(TEXTS[::-1])
    )
    np.testing.assert_allclose(found["probabilities"], expected, atol=2e-6)


def test_classes_from_logits_without_labels(tensors, tokenizer, tmp_path):
    body = build_transformer_model(*tensors)
    logits = keras.Model(body.inputs, keras.layers.Dense(4)(FirstToken()(body.output)))
    path = export_saved_model(
        logits, tokenizer, tmp_path, "classes", from_logits=True, max_length=8
    )
    loaded = load(path)
    found = loaded.classify(tf.constant(TEXTS))
    np.testing.assert_allclose(np.sum(found["probabilities"], axis=1), 1, rtol=1e-6)
    assert found["classes"].dtype == tf.int32


def test_a_text_that_is_continued(tensors, tokenizer, tmp_path):
    """Of a left-to-right model the text goes on where its end token would be."""
    model = build_transformer_model(*tensors, application="lm")
    options = {"max_new_tokens": 5, "no_repeat_ngram": 2}
    path = export_saved_model(
        model, tokenizer, tmp_path, "text", max_length=LENGTH, generation=options
    )
    loaded = load(path)
    texts = ["我爱", "", "hello world"]
    found = loaded.generate(tf.constant(texts))
    assert strings(found["texts"]) == generate(model, tokenizer, texts, **options)


def test_bfloat16_gives_float32(tensors, tokenizer, tmp_path):
    model = build_transformer_model(*tensors, dtype="bfloat16", with_pool=True)
    path = export_saved_model(model, tokenizer, tmp_path, max_length=LENGTH)
    loaded = load(path)  # its variables live as long as it does
    found = loaded.encode(tf.constant(TEXTS))["embeddings"]
    assert found.dtype == tf.float32
    expected = TextEncoder(model, tokenizer, max_length=LENGTH).encode(TEXTS)
    np.testing.assert_allclose(found, expected, atol=0.02)


def test_loads_where_there_is_no_kerasbert(both, model, tokenizer, tmp_path):
    script = Path(__file__).with_name("load_elsewhere.py")
    texts = TEXTS[:2]
    calls = {"encode": {"texts": texts}, "generate": {"texts": texts}}
    result = subprocess.run(
        [sys.executable, "-I", str(script), str(both), json.dumps(calls)],
        capture_output=True, text=True, cwd=tmp_path, check=False,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )  # fmt: skip
    assert result.returncode == 0, result.stderr[-2000:]
    found = json.loads(result.stdout.split("RESULT")[1])
    expected = TextEncoder(model, tokenizer, max_length=LENGTH).encode(texts)
    np.testing.assert_allclose(found["encode"]["embeddings"], expected, atol=2e-6)
    assert found["generate"]["texts"] == generate(model, tokenizer, texts, max_new_tokens=6)


# Versions, and writes that fail


def test_versions(classifier, tokenizer, tmp_path, monkeypatch):
    monkeypatch.setattr(tf.saved_model, "save", lambda *args, **kwargs: None)
    options = {"output": "classes", "max_length": 8}
    folder = tmp_path / "model"
    assert export_saved_model(classifier, tokenizer, folder, version=7, **options).endswith("/7")
    assert export_saved_model(classifier, tokenizer, folder, **options).endswith("/8")
    with pytest.raises(FileExistsError, match=r"version 7 already.*version 9"):
        export_saved_model(classifier, tokenizer, folder, version=7, **options)
    with pytest.raises(ValueError, match="whole number"):
        export_saved_model(classifier, tokenizer, folder, version="../8", **options)
    assert sorted(path.name for path in folder.iterdir()) == ["7", "8"]


def test_a_failing_write_leaves_nothing(classifier, tokenizer, tmp_path, monkeypatch):
    def fail(module, path, signatures):
        (Path(path) / "half").write_text("x")
        raise OSError("disk full")

    monkeypatch.setattr(tf.saved_model, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        export_saved_model(classifier, tokenizer, tmp_path / "model", "classes", max_length=8)
    assert not list((tmp_path / "model").iterdir())


def test_a_file_in_the_place_of_the_folder(classifier, tokenizer, tmp_path):
    (tmp_path / "model").write_text("mine")
    with pytest.raises(FileExistsError, match="is a file"):
        export_saved_model(classifier, tokenizer, tmp_path / "model", "classes", max_length=8)
    assert (tmp_path / "model").read_text() == "mine"


# What does not fit


@pytest.mark.parametrize(
    "options, message",
    [
        ({"output": "vectors"}, "must be one or several of embedding, classes, text"),
        ({"output": []}, "must be one or several"),
        ({"output": "classes"}, r"needs a model with one output \(batch, classes\)"),
        ({"max_length": 65}, "is 65, but the model has 64 positions"),
        ({"output": "text", "max_length": 40}, "with the tokens to generate, is 72"),
        ({"output": "text", "generation": {"stop": "。"}}, "stop is not for an exported model"),
        ({"pooling": "middle"}, "pooling must be one of"),
        ({"max_length": 1}, "less than the 2 special tokens"),
    ],
    ids=str,
)
def test_what_does_not_fit(model, tokenizer, tmp_path, options, message):
    options = {"max_length": LENGTH, **options}
    with pytest.raises(ValueError, match=message):
        export_saved_model(model, tokenizer, tmp_path / "model", **options)
    assert not (tmp_path / "model").exists()


def test_wrong_labels(classifier, tokenizer, tmp_path):
    with pytest.raises(ValueError, match="3 classes, but there are 2 labels"):
        export_saved_model(
            classifier, tokenizer, tmp_path, "classes", labels=["a", "b"], max_length=8
        )


def test_wrong_objects(model, tokenizer, tmp_path):
    with pytest.raises(TypeError, match=r"keras.Model, got list"):
        export_saved_model([model], tokenizer, tmp_path)
    with pytest.raises(TypeError, match="tokenizer of this package, got str"):
        export_saved_model(model, "vocab.txt", tmp_path)


def test_a_model_that_cannot_generate(classifier, tokenizer, tmp_path):
    with pytest.raises(ValueError, match="no head that scores the vocabulary"):
        export_saved_model(classifier, tokenizer, tmp_path / "m", "text", max_length=8)
    assert not (tmp_path / "m").exists()
