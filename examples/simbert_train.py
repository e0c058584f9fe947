r"""Trains SimBERT on LCQMC: one model that writes similar questions and gives sentence vectors.

    python examples/simbert_train.py --checkpoint chinese_L-12_H-768_A-12.zip --data lcqmc

Pairs that people marked as similar are joined to groups; a twentieth of the groups is held out, and
at the end every question of these has to find its partner among all of them (retrieval top-1),
with the weights from before the training, with those from after it, and by common characters.

Ctrl-C ends the training early; the same command again goes on after the last whole epoch.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from pathlib import Path

os.environ.setdefault("KERASBERT_VERBOSE", "0")  # TensorFlow's log messages
import kerasbert  # noqa: F401 (before TensorFlow, which it imports quietly)

# isort: split
import numpy as np
from tensorflow import keras

from kerasbert import (
    TextEncoder,
    Tokenizer,
    build_transformer_model,
    data,
    save_weights_as_checkpoint,
)
from kerasbert.checkpoints.source import find_checkpoint
from kerasbert.optimizers import AdamW, warmup_linear_decay
from kerasbert.tasks import InBatchSimilarityLoss, NextTokenLoss, Resume

# With --scratch. Without dropout: it is there against overfitting, which needs longer trainings.
SMALL = {"hidden_size": 128, "num_hidden_layers": 4, "num_attention_heads": 4}
SMALL.update(intermediate_size=512, max_position_embeddings=128)
SMALL.update(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)


def read_groups(folder, limit: int | None = None) -> tuple[list[list[str]], list[list[str]]]:
    """Groups of similar questions from train.tsv (two texts and a label): train, held out."""
    path = Path(folder) / "train.tsv"
    pairs = []
    lines = path.read_text(encoding="utf-8-sig").split("\n")
    for number, line in enumerate(lines, start=1):
        cells = line.split("\t")
        if len(cells) == 3 and cells[2] in ("0", "1"):
            if cells[2] == "1":
                pairs.append((cells[0], cells[1]))
        elif line not in ("", "text_a\ttext_b\tlabel"):
            raise ValueError(
                f"{path}, line {number}: not two texts and a label of 0 or 1 with tabs between "
                f"them. Received: {line}"
            )
    groups = data.similar_groups(pairs)[:limit]
    held = max(1, len(groups) // 20)
    order = np.random.default_rng(1).permutation(len(groups))
    return [groups[i] for i in order[held:]], [groups[i] for i in order[:held]]


def character_vocabulary(texts) -> list[str]:
    """A vocabulary for training from nothing: the characters of the texts, frequent ones first."""
    counts = Counter(char for text in texts for char in text.lower() if not char.isspace())
    return ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(c for c, _ in counts.most_common(8000))]


def load(checkpoint, texts=(), scratch=False, **options) -> tuple[Tokenizer, keras.Model]:
    """The tokenizer and a model of two outputs: pooled vectors and scores of the next token."""
    options = {"model": "unilm", "with_pool": "linear", "with_mlm": "linear", **options}
    if checkpoint is None:
        tokenizer = Tokenizer(character_vocabulary(texts), do_lower_case=True)
        config = {**SMALL, "vocab_size": tokenizer.vocab_size}
        return tokenizer, build_transformer_model(config, **options)
    tokenizer = Tokenizer.from_pretrained(checkpoint)
    if scratch:
        return tokenizer, build_transformer_model(find_checkpoint(checkpoint).config, **options)
    return tokenizer, build_transformer_model(checkpoint, **options)


def sentence_vectors(model, tokenizer, texts, max_length: int = 32) -> np.ndarray:
    """Vectors of length 1, (texts, hidden_size), of the pooled output."""
    return TextEncoder(model, tokenizer, "pooler", max_length=max_length).encode(texts)


def character_vectors(texts) -> np.ndarray:
    """What to compare with: which characters a text has, rare ones counting more (TF-IDF)."""
    rows = [set(text.lower()) for text in texts]
    counts = Counter(char for row in rows for char in row)
    places = {char: place for place, char in enumerate(counts)}
    vectors = np.zeros((len(texts), len(places)), "float32")
    for vector, row in zip(vectors, rows):
        vector[[places[char] for char in row]] = [np.log(len(rows) / counts[c]) for c in row]
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)


def top_1(vectors: np.ndarray) -> float:
    """The share of rows whose nearest other row is their partner; rows 2k and 2k + 1 are partners.

    Args:
        vectors: of length 1, (texts, width).
    """
    found = 0
    for start in range(0, len(vectors), 1024):
        rows = np.arange(start, min(start + 1024, len(vectors)))
        similarities = vectors[rows] @ vectors.T
        similarities[rows - start, rows] = -np.inf
        found += (similarities.argmax(axis=1) == rows ^ 1).sum()
    return found / len(vectors)


def train(model, train_data, dev_data, arguments, settings: dict) -> Resume:
    """Trains, or goes on with what the folder holds. The model ends with its best weights."""
    steps = arguments.epochs * len(train_data)
    optimizer = AdamW(warmup_linear_decay(arguments.learning_rate, steps), global_clipnorm=1.0)
    model.compile(optimizer, [InBatchSimilarityLoss(), NextTokenLoss()])
    resume = Resume(model, arguments.output, monitor="val_loss", settings=settings)
    options = {"initial_epoch": resume.epoch, "epochs": max(arguments.epochs, resume.epoch)}
    options["verbose"] = 1 if sys.stdout.isatty() else 2
    options["shuffle"] = False  # the data is shuffled already, which Keras 3 wants to be told
    try:
        model.fit(train_data, validation_data=dev_data, callbacks=[resume], **options)
    except KeyboardInterrupt:
        print(f"\nInterrupted. Whole epochs so far: {resume.epoch}")
    resume.restore_best()
    return resume


def plot(history: dict[str, list[float]], path: Path) -> None:
    """Draws the losses of all epochs, if matplotlib is there."""
    try:
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot
    except ImportError:
        return
    figure, axes = pyplot.subplots(figsize=(6, 4))
    for name, values in sorted(history.items()):
        if "loss" in name:
            style = "--" if name.startswith("val_") else "-"
            axes.plot(range(1, len(values) + 1), values, style, marker=".", label=name)
    axes.set(xlabel="epoch", ylabel="loss")
    axes.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def parse(argv=None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("--checkpoint", help="an archive, a folder or a prefix, as it was released")
    add("--data", required=True, help="folder with LCQMC's train.tsv")
    add("--output", type=Path, default=Path("simbert"), help="folder for all that is trained")
    add("--scratch", action="store_true", help="random weights; --checkpoint may then be left out")
    add("--epochs", type=int, default=5)
    add("--batch-size", type=int, default=128, help="rows: two for each group")
    add("--learning-rate", type=float, default=2e-5, help="with --scratch about 50 times as much")
    add("--max-length", type=int, default=32, help="tokens of a sentence; the rest is left out")
    add("--dtype", default="float32", help="such as mixed_bfloat16")
    add("--layers", type=int, help="use only the first so many blocks")
    add("--limit", type=int, help="use only the first so many groups")
    arguments = parser.parse_args(argv)
    if not (arguments.checkpoint or arguments.scratch):
        parser.error("give --checkpoint, or --scratch to begin with random weights")
    return arguments


def main(argv=None) -> dict[str, float]:
    """Trains, evaluates and saves; returns the retrieval accuracies by name."""
    arguments = parse(argv)
    keras.utils.set_random_seed(1)
    keras.mixed_precision.set_global_policy(arguments.dtype)
    groups, held = read_groups(arguments.data, arguments.limit)
    layers = {"num_hidden_layers": arguments.layers} if arguments.layers else {}
    texts = [text for group in groups for text in group]
    tokenizer, model = load(arguments.checkpoint, texts, arguments.scratch, **layers)
    print(f"{len(groups)} groups, {len(texts)} questions; held out: {len(held)} groups")

    questions = [text for group in held for text in group[:2]]
    encode = [model, tokenizer, questions, arguments.max_length]
    results = {
        "common characters": top_1(character_vectors(questions)),
        "before": top_1(sentence_vectors(*encode)),
    }
    options = {"tokenizer": tokenizer, "max_length": arguments.max_length}
    options["batch_size"] = arguments.batch_size
    train_data = data.similar_batches(groups, shuffle=True, seed=1, **options)
    dev_data = data.similar_batches(held, drop_remainder=False, **options)
    free = ("output", "epochs", "learning_rate")
    settings = {name: value for name, value in vars(arguments).items() if name not in free}
    start = time.perf_counter()
    resume = train(model, train_data, dev_data, arguments, settings)
    minutes = (time.perf_counter() - start) / 60
    results["after"] = top_1(sentence_vectors(*encode))

    print(f"{resume.epoch} epochs, {minutes:.1f} minutes in this run")
    print(f"\nretrieval top-1 of {len(questions)} held-out questions")
    for name, value in results.items():
        print(f"  {name:<18} {value:.4f}")
    plot(resume.history, arguments.output / "training.png")
    path = arguments.output / "simbert.zip"
    save_weights_as_checkpoint(model, path, vocab=tokenizer)
    print(f"saved {path}")
    return results


if __name__ == "__main__":
    try:
        main()
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error}")
