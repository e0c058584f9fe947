r"""Fine-tunes a published checkpoint on ChnSentiCorp: is a review positive or negative?

    python examples/sentiment_classification.py --checkpoint chinese_L-12_H-768_A-12.zip \
        --data chnsenticorp --text "房间很干净，下次还来" --text "太吵了，一晚上没睡好"

Ctrl-C ends the training early: the best weights so far are evaluated and saved. The same command
again goes on after the last whole epoch.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections import Counter
from pathlib import Path

os.environ.setdefault("KERASBERT_VERBOSE", "0")  # TensorFlow's log messages
import kerasbert  # noqa: F401 (before TensorFlow, which it imports quietly)

# isort: split
import tensorflow as tf
from tensorflow import keras

from kerasbert import Tokenizer, build_transformer_model, data, save_weights_as_checkpoint
from kerasbert.checkpoints.source import find_checkpoint
from kerasbert.layers import FirstToken
from kerasbert.optimizers import AdamW, warmup_linear_decay

LABELS = ("negative", "positive")
FILES = {  # of github.com/ymcui/Chinese-BERT-wwm, and of bert4keras
    "train": ("train.tsv", "sentiment.train.data"),
    "dev": ("dev.tsv", "sentiment.valid.data"),
    "test": ("test.tsv", "sentiment.test.data"),
}
SMALL = {"hidden_size": 256, "num_hidden_layers": 4, "num_attention_heads": 4}
SMALL["intermediate_size"] = 4 * SMALL["hidden_size"]


def read_examples(folder, split: str, limit: int | None = None) -> tuple[list[str], list[int]]:
    """Reads the texts and labels of "train", "dev" or "test"."""
    paths = [Path(folder) / name for name in FILES[split]]
    path = next(filter(Path.is_file, paths), None)
    if path is None:
        raise FileNotFoundError(f"no {split} data: neither {paths[0]} nor {paths[1]} is there")
    texts, labels = [], []
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} is not UTF-8: {error}. Convert it, from GBK for example"
        ) from None
    for number, line in enumerate(lines, start=1):
        if path.suffix == ".tsv":
            label, _, text = line.partition("\t")
        else:
            text, _, label = line.rpartition("\t")
        if label in ("0", "1"):
            texts.append(text)
            labels.append(int(label))
        elif line not in ("", "label\ttext_a"):
            raise ValueError(f"{path}, line {number}: the label must be 0 or 1. Received: {line}")
    return texts[:limit], labels[:limit]


def character_vocabulary(texts) -> list[str]:
    """A vocabulary for training from nothing: the characters of the texts, frequent ones first."""
    counts = Counter(char for text in texts for char in text.lower() if not char.isspace())
    return ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(c for c, _ in counts.most_common(8000))]


def load(checkpoint, texts, scratch=False, **overrides) -> tuple[Tokenizer, keras.Model]:
    """The tokenizer and the encoder: pretrained, or from scratch."""
    if checkpoint is None:
        tokenizer = Tokenizer(character_vocabulary(texts), do_lower_case=True)
        config = {**SMALL, "vocab_size": tokenizer.vocab_size}
        return tokenizer, build_transformer_model(config, **overrides)
    tokenizer = Tokenizer.from_pretrained(checkpoint)
    if scratch:
        return tokenizer, build_transformer_model(find_checkpoint(checkpoint).config, **overrides)
    return tokenizer, build_transformer_model(checkpoint, **overrides)


def build_classifier(encoder: keras.Model) -> keras.Model:
    """The encoder with a new layer on its [CLS] vector; it returns probabilities."""
    x = FirstToken(name="CLS-token")(encoder.output)
    x = keras.layers.Dropout(0.1, name="Label-Dropout")(x)
    x = keras.layers.Dense(len(LABELS), "softmax", dtype="float32", name="Label")(x)
    return keras.Model(encoder.inputs, x)


class TrainingState(keras.callbacks.Callback):
    """Keeps, after every epoch, what is needed to go on, and the weights of the best epoch."""

    def __init__(self, model: keras.Model, folder: Path):
        super().__init__()
        model.optimizer.build(model.trainable_variables)
        self.epoch, self.best = tf.Variable(0), tf.Variable(-1.0)
        self.weights, self.path = tf.train.Checkpoint(weights=model.weights), str(folder / "best")
        state = {"model": model, "optimizer": model.optimizer, "epoch": self.epoch}
        state = tf.train.Checkpoint(**state, best=self.best)
        self.manager = tf.train.CheckpointManager(state, str(folder / "state"), max_to_keep=1)
        self.manager.restore_or_initialize()

    def on_epoch_end(self, epoch, logs=None):
        if logs["val_accuracy"] > self.best:
            self.weights.write(self.path)
            self.best.assign(logs["val_accuracy"])
        self.epoch.assign(epoch + 1)
        self.manager.save()


def train(model, train_data, dev_data, folder, epochs: int, learning_rate: float):
    """Trains, or goes on with what the folder holds. The model ends with its best weights."""
    schedule = warmup_linear_decay(learning_rate, epochs * len(train_data), warmup=0.1)
    model.compile(AdamW(schedule), "sparse_categorical_crossentropy", metrics=["accuracy"])
    state = TrainingState(model, Path(folder))
    options = {"initial_epoch": int(state.epoch), "epochs": max(epochs, int(state.epoch))}
    options["verbose"] = 1 if sys.stdout.isatty() else 2
    options["shuffle"] = False  # the data is shuffled already, which Keras 3 wants to be told
    try:
        model.fit(train_data, validation_data=dev_data, callbacks=[state], **options)
    except KeyboardInterrupt:
        print(f"\nInterrupted. Whole epochs so far: {int(state.epoch)}")
    if state.best >= 0:
        state.weights.read(state.path)
        print(f"best dev accuracy: {float(state.best):.4f}")
    return model.history


def show_predictions(model, tokenizer, texts, max_length: int) -> None:
    """Prints the label and its probability of each text."""
    options = {"tokenizer": tokenizer, "max_length": max_length, "verbose": 0}
    for text, row in zip(texts, data.predict(model, texts, **options)):
        print(f"{LABELS[row.argmax()]} {row.max():.3f}  {text}")


def parse(argv=None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("--checkpoint", help="an archive, a folder or a prefix, as it was released")
    add("--data", required=True, help="folder with train.tsv, ... or sentiment.train.data, ...")
    add("--output", type=Path, default=Path("sentiment"), help="folder for all that is trained")
    add("--scratch", action="store_true", help="random weights; --checkpoint may then be left out")
    add("--epochs", type=int, default=3)
    add("--batch-size", type=int, default=32)
    add("--learning-rate", type=float, default=3e-5, help="with --scratch about ten times as much")
    add("--max-length", type=int, default=128, help="tokens of a text; the rest is left out")
    add("--dtype", default="float32", help="such as mixed_bfloat16")
    add("--layers", type=int, help="use only the first so many blocks")
    add("--limit", type=int, help="use only the first so many examples of each file")
    add("--text", action="append", default=[], help="a sentence to classify; may be repeated")
    add("--interactive", action="store_true", help="ask for sentences at the end")
    arguments = parser.parse_args(argv)
    if not (arguments.checkpoint or arguments.scratch):
        parser.error("give --checkpoint, or --scratch to begin with random weights")
    return arguments


def check_settings(arguments) -> None:
    """Keeps the settings in the output folder, and refuses a folder of other ones."""
    free = ("output", "epochs", "learning_rate", "text", "interactive")
    settings = {name: value for name, value in vars(arguments).items() if name not in free}
    path = arguments.output / "settings.json"
    kept = json.loads(path.read_text()) if path.exists() else settings
    if kept != settings:
        raise ValueError(f"give another --output: this one holds a training with {kept}")
    arguments.output.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(settings, indent=2) + "\n")


def main(argv=None) -> float:
    """Trains, evaluates, saves and predicts; returns the accuracy on the test data."""
    arguments = parse(argv)
    keras.utils.set_random_seed(1)
    keras.mixed_precision.set_global_policy(arguments.dtype)
    splits = {split: read_examples(arguments.data, split, arguments.limit) for split in FILES}
    layers = {"num_hidden_layers": arguments.layers} if arguments.layers else {}
    tokenizer, encoder = load(arguments.checkpoint, splits["train"][0], arguments.scratch, **layers)
    check_settings(arguments)

    options = {"max_length": arguments.max_length, "batch_size": arguments.batch_size}
    options["tokenizer"] = tokenizer
    train_data = data.batches(*splits["train"], shuffle=True, seed=1, **options)
    dev_data, test_data = (data.batches(*splits[s], sort=True, **options) for s in ("dev", "test"))
    model = build_classifier(encoder)
    train(model, train_data, dev_data, arguments.output, arguments.epochs, arguments.learning_rate)
    accuracy = model.evaluate(test_data, verbose=0)[1]
    print(f"test accuracy: {accuracy:.4f}")

    keras.Model(model.inputs, model.output).save(arguments.output / "classifier.keras")
    save_weights_as_checkpoint(model, arguments.output / "encoder.zip", vocab=tokenizer)
    print(f"saved {arguments.output / 'classifier.keras'} and {arguments.output / 'encoder.zip'}")
    if arguments.text:
        show_predictions(model, tokenizer, arguments.text, arguments.max_length)
    if arguments.interactive and sys.stdin.isatty():
        print("Type a sentence, or Ctrl-D to end.")
        for line in sys.stdin:
            show_predictions(model, tokenizer, [line.strip()], arguments.max_length)
    return accuracy


if __name__ == "__main__":
    try:
        main()
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error}")
