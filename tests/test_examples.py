"""The examples run, learn, can be interrupted and go on, and say what is wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest

from examples import demo
from kerasbert import Tokenizer, build_transformer_model, data, save_weights_as_checkpoint
from kerasbert.backend import keras

sentiment = demo.sentiment_classification
SCRIPT = Path(__file__).resolve().parents[1] / "examples" / "sentiment_classification.py"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Reviews and a small checkpoint in Google's format."""
    folder = tmp_path_factory.mktemp("examples")
    vocabulary = sentiment.character_vocabulary(
        demo.write_data(folder / "data", train=64, dev=24, test=24)
    )
    sizes = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    model = build_transformer_model(
        {**sizes, "intermediate_size": 128, "vocab_size": len(vocabulary)},
        max_position_embeddings=64,
        with_pool=True,
        with_mlm=True,
    )
    save_weights_as_checkpoint(model, folder / "small.zip", vocab=vocabulary)
    return folder


@pytest.fixture(autouse=True)
def float32():
    """`main` sets the global policy."""
    yield
    keras.mixed_precision.set_global_policy("float32")


def arguments(folder: Path, output: Path, *options: str) -> list[str]:
    common = ["--checkpoint", str(folder / "small.zip"), "--data", str(folder / "data")]
    return [*common, "--output", str(output), "--max-length", "32", "--epochs", "1", *options]


# Reading


def write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def test_reads_the_format_of_chinese_bert_wwm(tmp_path):
    write(tmp_path / "train.tsv", "label\ttext_a\n1\t很好\t真的\n0\t太 吵\u2028了\n")
    assert sentiment.read_examples(tmp_path, "train") == (["很好\t真的", "太 吵\u2028了"], [1, 0])
    assert sentiment.read_examples(tmp_path, "train", limit=1) == (["很好\t真的"], [1])


def test_reads_the_format_of_bert4keras(tmp_path):
    write(tmp_path / "sentiment.valid.data", "\ufeff很好\t1\n1\t颗星\t0\n")
    assert sentiment.read_examples(tmp_path, "dev") == (["很好", "1\t颗星"], [1, 0])


@pytest.mark.parametrize("line", ["很好\t1", "2\t很好", "很好"])
def test_a_line_in_another_format_is_shown(tmp_path, line):
    write(tmp_path / "test.tsv", f"label\ttext_a\n1\t很好\n{line}\n")
    with pytest.raises(ValueError, match=rf"test\.tsv, line 3: the label must be 0 or 1.*{line}"):
        sentiment.read_examples(tmp_path, "test")


def test_missing_data_names_both_files(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no dev data.*dev\.tsv.*sentiment\.valid\.data"):
        sentiment.read_examples(tmp_path, "dev")


@pytest.mark.slow
def test_reads_the_published_files(shared, tmp_path):
    with tarfile.open(shared / "data" / "sentiment_zh.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    sizes = {}
    for name in ("chnsenticorp", "bert4keras_sentiment"):
        (root,) = tmp_path.rglob(name)
        for split in sentiment.FILES:
            texts, labels = sentiment.read_examples(root, split)
            assert all(texts) and 0.4 < np.mean(labels) < 0.6
            sizes[name, split] = len(texts)
    assert list(sizes.values()) == [9600, 1200, 1200, 16883, 2111, 2111]


def test_character_vocabulary():
    vocabulary = sentiment.character_vocabulary(["很好 A", "很a"])
    assert vocabulary == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "很", "a", "好"]


# Training


@pytest.mark.slow
def test_trains_evaluates_predicts_and_saves(folder, tmp_path, capsys):
    output = tmp_path / "out"
    accuracy = sentiment.main(arguments(folder, output, "--text", "房间很好", "--text", "太吵"))
    printed = capsys.readouterr().out
    assert f"test accuracy: {accuracy:.4f}" in printed and "best dev accuracy: " in printed
    lines = printed.splitlines()[-2:]
    assert [line.split("  ")[1] for line in lines] == ["房间很好", "太吵"]
    assert all(line.split()[0] in sentiment.LABELS for line in lines)

    # What was saved is what was evaluated.
    tokenizer = Tokenizer.from_pretrained(output / "encoder.zip")
    texts, labels = sentiment.read_examples(folder / "data", "test")
    saved = keras.models.load_model(output / "classifier.keras")
    options = {"tokenizer": tokenizer, "max_length": 32, "verbose": 0}
    probabilities = data.predict(saved, texts, **options)
    assert np.mean(probabilities.argmax(axis=1) == labels) == pytest.approx(accuracy)
    encoder = build_transformer_model(output / "encoder.zip")
    inner = keras.Model(saved.inputs, saved.get_layer("Transformer-1-FeedForward-Norm").output)
    for ours, theirs in zip(
        data.predict(encoder, texts[:3], **options), data.predict(inner, texts[:3], **options)
    ):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def blocks(output: Path) -> int:
    encoder = build_transformer_model(output / "encoder.zip")
    return sum(layer.name.endswith("-FeedForward") for layer in encoder.layers)


@pytest.mark.either
@pytest.mark.slow
def test_first_layers_limit_and_precision(folder, tmp_path):
    options = ("--layers", "1", "--limit", "16", "--dtype", "mixed_bfloat16")
    sentiment.main(arguments(folder, tmp_path, *options))
    assert blocks(tmp_path) == 1
    saved = keras.models.load_model(tmp_path / "classifier.keras")
    assert saved.get_layer("Transformer-0-FeedForward").compute_dtype == "bfloat16"
    assert saved.get_layer("Label").compute_dtype == "float32"


def embeddings(model) -> np.ndarray:
    return model.get_layer("Embedding-Token").get_weights()[0]


def test_from_scratch_with_the_config_of_a_checkpoint(folder):
    pretrained = build_transformer_model(folder / "small.zip")
    keras.utils.set_random_seed(2)  # other than that of the fixture
    tokenizer, encoder = sentiment.load(folder / "small.zip", [], scratch=True)
    assert embeddings(encoder).shape == embeddings(pretrained).shape
    assert np.abs(embeddings(encoder) - embeddings(pretrained)).max() > 0.01
    tokenizer, encoder = sentiment.load(folder / "small.zip", [])
    np.testing.assert_array_equal(embeddings(encoder), embeddings(pretrained))
    assert tokenizer.vocab_size == len(embeddings(encoder))


def test_from_scratch_without_a_checkpoint():
    tokenizer, encoder = sentiment.load(None, ["很好", "很吵"], num_hidden_layers=1)
    assert embeddings(encoder).shape == (tokenizer.vocab_size, sentiment.SMALL["hidden_size"])
    assert tokenizer.decode(tokenizer.encode("很吵")[0]) == "很吵"


# Interrupting and going on


@pytest.mark.either
@pytest.mark.slow
def test_goes_on_after_the_last_whole_epoch(folder, tmp_path, capsys):
    sentiment.main(arguments(folder, tmp_path))
    assert capsys.readouterr().out.count("val_accuracy") == 1
    accuracy = sentiment.main(arguments(folder, tmp_path, "--epochs", "2"))
    printed = capsys.readouterr().out
    assert "Epoch 2/2" in printed and "Epoch 1/2" not in printed
    assert sentiment.main(arguments(folder, tmp_path, "--epochs", "1")) == accuracy
    assert "val_accuracy" not in capsys.readouterr().out  # all is done


def small_classifier(folder):
    model = sentiment.build_classifier(build_transformer_model(folder / "small.zip"))
    model.compile(sentiment.AdamW(1e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def trained_state(folder, output):
    model = small_classifier(folder)
    state = sentiment.TrainingState(model, output)
    batches = data.batches([[2, 7, 3], [2, 8, 9, 3]], [0, 1], batch_size=1)
    model.fit(batches, validation_data=batches, epochs=2, callbacks=[state], verbose=0)
    return model, state


@pytest.mark.either
@pytest.mark.slow
def test_the_state_is_restored_exactly(folder, tmp_path):
    model, state = trained_state(folder, tmp_path)
    other = small_classifier(folder)
    again = sentiment.TrainingState(other, tmp_path)
    assert (int(again.epoch), float(again.best)) == (2, float(state.best))
    assert int(other.optimizer.iterations) == int(model.optimizer.iterations) == 4
    for ours, theirs in zip(
        [*other.weights, *other.optimizer.variables], [*model.weights, *model.optimizer.variables]
    ):
        np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs))
    assert np.abs(np.asarray(other.optimizer._momentums[0])).max() > 0


@pytest.mark.slow
def test_the_best_weights_are_kept(folder, tmp_path):
    model, state = trained_state(folder, tmp_path)
    kernel = model.get_layer("Label").weights[0]
    for value, accuracy in ((1.0, 1.5), (2.0, 1.25)):
        kernel.assign(np.full(kernel.shape, value, "float32"))
        state.set_model(model)
        state.on_epoch_end(0, {"val_accuracy": accuracy})
    state.weights.read(state.path)
    assert np.unique(model.get_layer("Label").get_weights()[0]).tolist() == [1.0]
    assert float(state.best) == 1.5


def interrupt(monkeypatch, epoch: int) -> None:
    """Ctrl-C in that epoch."""

    def begin(self, number, logs=None):
        if number == epoch:
            raise KeyboardInterrupt

    monkeypatch.setattr(sentiment.TrainingState, "on_epoch_begin", begin)


@pytest.mark.either
@pytest.mark.slow
@pytest.mark.parametrize("epoch", [0, 1])
def test_interrupted_it_evaluates_and_saves(folder, tmp_path, capsys, monkeypatch, epoch):
    interrupt(monkeypatch, epoch)
    sentiment.main(arguments(folder, tmp_path, "--epochs", "2"))
    printed = capsys.readouterr().out
    assert f"Whole epochs so far: {epoch}\n" in printed and "test accuracy: " in printed
    assert ("best dev accuracy" in printed) == (epoch > 0)
    assert (tmp_path / "encoder.zip").exists()
    monkeypatch.undo()
    sentiment.main(arguments(folder, tmp_path, "--epochs", "2"))
    assert f"Epoch {epoch + 1}/2" in capsys.readouterr().out


@pytest.mark.either
@pytest.mark.slow
def test_another_training_in_the_same_folder_is_refused(folder, tmp_path):
    sentiment.main(arguments(folder, tmp_path))
    before = (tmp_path / "settings.json").read_text()
    with pytest.raises(ValueError, match=r"give another --output.*'layers': None"):
        sentiment.main(arguments(folder, tmp_path, "--layers", "1"))
    assert (tmp_path / "settings.json").read_text() == before
    assert blocks(tmp_path) == 2


# Errors


def test_a_checkpoint_or_scratch_is_needed(folder, capsys):
    with pytest.raises(SystemExit):
        sentiment.main(["--data", str(folder / "data")])
    assert "give --checkpoint, or --scratch" in capsys.readouterr().err


@pytest.mark.either
@pytest.mark.slow
@pytest.mark.parametrize(
    ("option", "message"),
    [("--checkpoint", "there is no checkpoint at "), ("--data", "no train data: ")],
)
def test_wrong_paths_end_in_one_line(folder, tmp_path, option, message):
    options = arguments(folder, tmp_path / "out", option, str(tmp_path / "nowhere"))
    command = [sys.executable, str(SCRIPT), *options]
    result = subprocess.run(command, capture_output=True, text=True, cwd=SCRIPT.parents[1],
                            env=environment())  # fmt: skip
    assert result.returncode == 1
    assert f"error: {message}" in result.stderr and "Traceback" not in result.stderr
    assert not (tmp_path / "out").exists()


def environment() -> dict[str, str]:
    """This process's, with the checkout on the path: it need not be installed."""
    paths = [str(SCRIPT.parents[1]), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}


# The demo


def test_reviews_are_balanced_distinct_and_labelled_right():
    reviews = demo.make_reviews()
    assert reviews == demo.make_reviews()
    labels = [label for label, _ in reviews]
    assert np.mean(labels) == 0.5
    assert len({text for _, text in reviews}) == len(reviews)
    for label, text in reviews:
        good = any(word in text for word in demo.GOOD)
        assert (good != ("不" in text)) == bool(label), text
    assert 0.2 < np.mean(["不" in text for _, text in reviews]) < 0.5


@pytest.mark.slow
def test_the_demo_learns(tmp_path, capsys):
    assert demo.main(["--output", str(tmp_path)]) > 0.95
    assert "negative" in capsys.readouterr().out.splitlines()[-3]
    assert json.loads((tmp_path / "sentiment" / "settings.json").read_text())["layers"] is None
