r"""Trains a UniLM model to write the titles of papers from their abstracts (CSL), and measures it.

    python examples/unilm_title_generation.py --checkpoint chinese_L-12_H-768_A-12.zip \
        --data csl_title --text "本文提出一种基于深度学习的文本分类方法……"

The data folder holds train.tsv, dev.tsv and test.tsv: a title, a tab, an abstract. At the end come
ROUGE and BLEU on the test data, greedy and with beams (pip install 'kerasbert[metrics]').

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
from tensorflow import keras

from kerasbert import Tokenizer, build_transformer_model, data, save_weights_as_checkpoint
from kerasbert.checkpoints.source import find_checkpoint
from kerasbert.generation import TextGenerator
from kerasbert.optimizers import AdamW, warmup_linear_decay
from kerasbert.tasks import NextTokenLoss, Resume, text_metrics
from kerasbert.tokenizers import load_vocab

SPLITS = ("train", "dev", "test")
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
# With --scratch. Without dropout: it is there against overfitting, which needs longer trainings.
SMALL = {"hidden_size": 128, "num_hidden_layers": 4, "num_attention_heads": 4}
SMALL.update(intermediate_size=512, max_position_embeddings=512)
SMALL.update(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)


def read_examples(folder, split: str, limit: int | None = None) -> tuple[list[str], list[str]]:
    """Reads the sources and targets of "train", "dev" or "test"."""
    path = Path(folder) / f"{split}.tsv"
    sources, targets = [], []
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").split("\n"), start=1):
        target, tab, source = line.partition("\t")
        if tab and target.strip() and source.strip():
            sources.append(source.strip())
            targets.append(target.strip())
        elif line:
            raise ValueError(
                f"{path}, line {number}: not two texts with a tab between them. Received: {line}"
            )
    return sources[:limit], targets[:limit]


def character_vocabulary(texts) -> list[str]:
    """A vocabulary for training from nothing: the characters of the texts, frequent ones first."""
    counts = Counter(char for text in texts for char in text.lower() if not char.isspace())
    return [*SPECIAL, "[MASK]", *(c for c, _ in counts.most_common(4000))]


def load(checkpoint, texts, scratch=False, **options) -> tuple[Tokenizer, keras.Model]:
    """The tokenizer and the UniLM model.

    Of a checkpoint's vocabulary only what Chinese texts are made of is kept (words of several
    characters are not): a third of the output layer's work less.
    """
    options = {"model": "unilm", "with_mlm": "linear", **options}
    if checkpoint is None:
        tokenizer = Tokenizer(character_vocabulary(texts), do_lower_case=True)
        config = {**SMALL, "vocab_size": tokenizer.vocab_size}
        return tokenizer, build_transformer_model(config, **options)
    files = find_checkpoint(checkpoint)
    if files.vocab_path is None:
        raise ValueError(f"there is no vocab.txt beside {checkpoint}")
    token_dict, keep_tokens = load_vocab(files.vocab_path, simplified=True, startswith=SPECIAL)
    tokenizer = Tokenizer(token_dict, do_lower_case=True)
    options["keep_tokens"] = keep_tokens
    if scratch:
        return tokenizer, build_transformer_model(files.config, **options)
    return tokenizer, build_transformer_model(checkpoint, **options)


def train(model, train_data, dev_data, arguments, settings: dict) -> Resume:
    """Trains, or goes on with what the folder holds. The model ends with its best weights."""
    steps = arguments.epochs * len(train_data)
    optimizer = AdamW(warmup_linear_decay(arguments.learning_rate, steps), global_clipnorm=1.0)
    model.compile(optimizer, NextTokenLoss())
    resume = Resume(model, arguments.output, monitor="val_loss", settings=settings)
    options = {"initial_epoch": resume.epoch, "epochs": max(arguments.epochs, resume.epoch)}
    options["verbose"] = 1 if sys.stdout.isatty() else 2
    options["shuffle"] = False  # the data is shuffled already, which Keras 3 wants to be told
    try:
        model.fit(train_data, validation_data=dev_data, callbacks=[resume], **options)
    except KeyboardInterrupt:
        print(f"\nInterrupted. Whole epochs so far: {resume.epoch}")
    best = resume.restore_best()
    if best is not None:
        print(f"best dev loss: {best:.4f} per token, {resume.epoch} epochs")
    return resume


class Writer:
    """Generates with the lengths of the training."""

    def __init__(self, model, tokenizer, max_source_length: int, max_target_length: int):
        self.tokenizer, self.max_source_length = tokenizer, max_source_length
        self.generator = TextGenerator(model, tokenizer, max_new_tokens=max_target_length)

    def __call__(self, sources: list[str], num_beams: int) -> list[str]:
        encoding = self.tokenizer(sources, max_length=self.max_source_length, padding=False)
        prompts = [row.tolist() for row in encoding["token_ids"]]
        return self.generator.generate(prompts, num_beams=num_beams)


def evaluate(write: Writer, sources, targets, beams=(1, 3)) -> dict[str, dict[str, float]]:
    """Generates for every source, greedily and with beams, and measures the texts.

    Returns:
        By the name of the search: ROUGE and BLEU from 0 to 100, and the seconds that it took.
    """
    results = {}
    for num_beams in beams:
        start = time.perf_counter()
        predictions = write(sources, num_beams)
        seconds = time.perf_counter() - start
        name = "greedy" if num_beams == 1 else f"beam {num_beams}"
        results[name] = {**text_metrics(predictions, targets), "seconds": seconds}
    return results


def print_table(results: dict[str, dict[str, float]]) -> None:
    """Prints rows of numbers by name."""
    columns = list(next(iter(results.values())))
    print("\n" + " " * 18 + "".join(f"{column:>10}" for column in columns))
    for name, row in results.items():
        print(f"{name:<18}" + "".join(f"{row.get(c, float('nan')):10.2f}" for c in columns))


def parse(argv=None, description=None, source=256, target=32) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=(description or __doc__).split("\n")[0])
    add = parser.add_argument
    add("--checkpoint", help="an archive, a folder or a prefix, as it was released")
    add("--data", required=True, help="folder with train.tsv, dev.tsv and test.tsv")
    add("--output", type=Path, default=Path("unilm"), help="folder for all that is trained")
    add("--scratch", action="store_true", help="random weights; --checkpoint may then be left out")
    add("--epochs", type=int, default=10)
    add("--batch-size", type=int, default=16)
    add("--learning-rate", type=float, default=2e-5, help="with --scratch about 50 times as much")
    add("--max-source-length", type=int, default=source, help="tokens; the rest is left out")
    add("--max-target-length", type=int, default=target, help="tokens; the most to generate")
    add("--beams", type=int, default=3)
    add("--dtype", default="float32", help="such as mixed_bfloat16")
    add("--layers", type=int, help="use only the first so many blocks")
    add("--limit", type=int, help="use only the first so many examples of each file")
    add("--show", type=int, default=3, help="how many results on the test data to print")
    add("--text", action="append", default=[], help="a further text to generate for")
    arguments = parser.parse_args(argv)
    if not (arguments.checkpoint or arguments.scratch):
        parser.error("give --checkpoint, or --scratch to begin with random weights")
    return arguments


def run(arguments, splits: dict, baselines: dict[str, list[str]]) -> dict[str, dict[str, float]]:
    """Trains, generates, measures and saves.

    Args:
        arguments: of the command line.
        splits: sources and targets of "train", "dev" and "test".
        baselines: texts for the test data by name, to compare with.
    """
    keras.utils.set_random_seed(1)
    keras.mixed_precision.set_global_policy(arguments.dtype)
    layers = {"num_hidden_layers": arguments.layers} if arguments.layers else {}
    texts = [text for column in splits["train"] for text in column]
    tokenizer, model = load(arguments.checkpoint, texts, arguments.scratch, **layers)
    lengths = {
        "max_source_length": arguments.max_source_length,
        "max_target_length": arguments.max_target_length,
    }
    options = {"tokenizer": tokenizer, "batch_size": arguments.batch_size, **lengths}
    train_data = data.seq2seq_batches(*splits["train"], shuffle=True, seed=1, **options)
    dev_data = data.seq2seq_batches(*splits["dev"], sort=True, **options)
    free = ("output", "epochs", "learning_rate", "beams", "show", "text")
    settings = {name: value for name, value in vars(arguments).items() if name not in free}
    train(model, train_data, dev_data, arguments, settings)

    sources, targets = splits["test"]
    write = Writer(model, tokenizer, **lengths)
    results = {name: text_metrics(texts, targets) for name, texts in baselines.items()}
    results.update(evaluate(write, sources, targets, beams=(1, arguments.beams)))
    print_table(results)
    shown = [*zip(sources[: arguments.show], targets), *((text, None) for text in arguments.text)]
    for source, target in shown:
        print(f"\n{source[:60]}\n  generated: {write([source], arguments.beams)[0]}")
        if target is not None:
            print(f"  expected:  {target}")

    path = arguments.output / "unilm.zip"
    save_weights_as_checkpoint(model, path, vocab=tokenizer)
    print(f"\nsaved {path}")
    return results


def main(argv=None) -> dict[str, dict[str, float]]:
    """Runs the whole example; returns the measures on the test data."""
    arguments = parse(argv)
    splits = {split: read_examples(arguments.data, split, arguments.limit) for split in SPLITS}
    # What it takes to be better than: the beginning of the abstract as its title.
    return run(arguments, splits, {"first 18 characters": [s[:18] for s in splits["test"][0]]})


if __name__ == "__main__":
    try:
        main()
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error}")
