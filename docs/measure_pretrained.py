r"""What pretraining is worth: a checkpoint fine-tuned, and the same model from random weights.

    python docs/measure_pretrained.py --checkpoint kerasbert-mini-zh.zip --data data

Four measures, each of both sides with the same examples, steps, seeds and head:

    sentiment  ChnSentiCorp, accuracy on test.tsv; also on the test texts that train.tsv lacks
    pairs      LCQMC, do two questions mean the same: accuracy on test.tsv
    entities   People's Daily, persons, places, organisations: F1 of exact entities on dev.txt
    vectors    LCQMC without training: Spearman correlation of the cosines of sentence vectors
               with the labels of test.tsv

Each side has the better of two learning rates (of several poolings in "vectors"), chosen with the
first seed on dev.tsv; for entities on sentences that are left out of train.txt. `--data` is a
folder with the folders chnsenticorp, lcqmc and peopledaily_ymcui somewhere in it. What is finished
is kept in `--output`: the same command again goes on.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))  # for where this is not the main script
from pretrained_scores import (
    TAGS,
    Split,
    entity_f1,
    read_pairs,
    read_people,
    read_sentiment,
    spearman,
    spread,
)

from kerasbert import TextEncoder, Tokenizer, build_transformer_model, data
from kerasbert.backend import keras
from kerasbert.checkpoints.report import CheckpointMismatchError
from kerasbert.layers import FirstToken
from kerasbert.optimizers import AdamW, warmup_linear_decay
from kerasbert.tokenizers.vocabulary import write_whole

SIDES = ("random", "pretrained")
RATES = {"random": (3e-4, 1e-3), "pretrained": (1e-4, 3e-4)}
POOLINGS = ("pooler", "cls", "mean", "first_last_avg")
NO_TAG = -1  # the label of tokens that stand for no text


class Encoder:
    """The checkpoint, or the same model with random weights."""

    def __init__(self, checkpoint: str):
        pretrained = build_transformer_model(checkpoint, return_keras_model=False)
        self.checkpoint, self.family = checkpoint, type(pretrained)
        self.config = pretrained.config.to_dict()
        self.tokenizer = Tokenizer.from_pretrained(checkpoint)

    def build(self, side: str, seed: int, **options) -> keras.Model:
        keras.utils.set_random_seed(seed)
        if side == "pretrained":
            return build_transformer_model(self.checkpoint, **options)
        return build_transformer_model(self.config, model=self.family, **options)


class FineTuning:
    """Training of a softmax head and all below it: of [CLS], or of every token."""

    def __init__(self, encoder: Encoder, splits: dict[str, Split], options, epochs: int):
        self.encoder, self.splits, self.epochs = encoder, splits, epochs
        self.options = {"max_length": options.max_length}
        self.batch_size, self.verbose = options.batch_size, 2 if options.verbose else 0

    def train(self, side: str, rate: float, seed: int) -> keras.Model:
        base = self.encoder.build(side, seed)
        model = keras.Model(base.inputs, self.head(base.output))
        batches = self.batches(self.splits["train"], seed)
        schedule = warmup_linear_decay(rate, self.epochs * len(batches), warmup=0.1)
        loss = keras.losses.SparseCategoricalCrossentropy(ignore_class=self.ignored)
        model.compile(AdamW(schedule), loss)
        model.optimizer.build(model.trainable_variables)  # here it takes less time than in fit
        model.fit(batches, epochs=self.epochs, shuffle=False, verbose=self.verbose)
        return model

    ignored: int | None = None

    def head(self, x):
        x = keras.layers.Dropout(0.1)(FirstToken()(x))
        return keras.layers.Dense(2, "softmax", dtype="float32")(x)

    def batches(self, split: Split, seed: int):
        options = {"batch_size": self.batch_size, "shuffle": True, "seed": seed, **self.options}
        tokenizer = self.encoder.tokenizer
        return data.batches(split.examples, split.labels, tokenizer=tokenizer, **options)

    def right(self, model: keras.Model, split: Split) -> np.ndarray:
        """Whether each example is predicted as labelled."""
        options = {"tokenizer": self.encoder.tokenizer, "batch_size": 128, "verbose": 0}
        found = data.predict(model, split.examples, **options, **self.options)
        return found.argmax(-1) == np.array(split.labels)

    def score(self, model: keras.Model, name: str) -> dict[str, float]:
        return {"accuracy": float(self.right(model, self.splits[name]).mean())}


class Sentiment(FineTuning):
    """Also tells the test texts that stand in the training data, all of it, from the others."""

    known: frozenset[str]

    def score(self, model: keras.Model, name: str) -> dict[str, float]:
        right = self.right(model, self.splits[name])
        unseen = [text not in self.known for text in self.splits[name].examples]
        unseen_accuracy = float(right[unseen].mean()) if any(unseen) else math.nan
        return {"accuracy": float(right.mean()), "accuracy_unseen": unseen_accuracy}


class Entities(FineTuning):
    """A tag for every token; a token's tag is that of its first character."""

    ignored = NO_TAG

    def head(self, x):
        x = keras.layers.Dropout(0.1)(x)
        return keras.layers.Dense(len(TAGS), "softmax", dtype="float32")(x)

    def tokenize(self, split: Split) -> dict:
        return self.encoder.tokenizer(
            split.examples, padding=False, return_offsets=True, **self.options
        )

    def batches(self, split: Split, seed: int):
        encoding = self.tokenize(split)
        labels = [
            [TAGS.index(tags[start]) if end > start else NO_TAG for start, end in offsets.tolist()]
            for tags, offsets in zip(split.labels, encoding["offsets"])
        ]
        options = {"batch_size": self.batch_size, "shuffle": True, "seed": seed}
        ids = list(encoding["token_ids"])
        return data.batches(ids, labels, token_label_pad=NO_TAG, **options)

    def score(self, model: keras.Model, name: str) -> dict[str, float]:
        split = self.splits[name]
        encoding = self.tokenize(split)
        found = data.predict(model, list(encoding["token_ids"]), batch_size=128, verbose=0)
        predicted = [
            spread(offsets, [TAGS[at] for at in row.argmax(-1)], len(text))
            for row, offsets, text in zip(found, encoding["offsets"], split.examples)
        ]
        return {"f1": entity_f1(split.labels, predicted)}


class Vectors:
    """Sentence vectors as they are; what is chosen is the pooling."""

    def __init__(self, encoder: Encoder, splits: dict[str, Split]):
        self.encoder, self.splits = encoder, splits

    def train(self, side: str, pooling: str, seed: int) -> TextEncoder:
        options = {"with_pool": "linear"} if pooling == "pooler" else {}
        model = self.encoder.build(side, seed, **options)
        return TextEncoder(model, self.encoder.tokenizer, pooling, max_length=64)

    def score(self, model: TextEncoder, name: str) -> dict[str, float]:
        split = self.splits[name]
        first, second = (model.encode(list(texts)) for texts in zip(*split.examples))
        return {"spearman": spearman((first * second).sum(-1), np.array(split.labels))}


@dataclasses.dataclass(frozen=True)
class Task:
    """What is measured, with numbers of examples and epochs for a quarter of an hour in all.

    That is with 4 blocks of width 256 on two cores.

    Attributes:
        title: for the table and the plot.
        measure: the score that chooses and that is shown.
        make: the encoder, the splits and the command line to what trains and scores.
        read: the folder to the splits "train" (if it is used), "dev" and "test".
        train, dev: examples of these at most.
        epochs: of the training.
    """

    title: str
    measure: str
    make: Callable
    read: Callable[[Path], dict[str, Split]]
    train: int
    dev: int
    epochs: int


def make_sentiment(encoder, splits, options, epochs):
    task = Sentiment(encoder, splits, options, epochs)
    task.known = frozenset(read_sentiment(Path(options.data))["train"].examples)
    return task


TASKS = {
    "sentiment": Task("ChnSentiCorp", "accuracy", make_sentiment, read_sentiment, 1600, 600, 2),
    "pairs": Task("LCQMC", "accuracy", FineTuning, read_pairs, 8000, 1000, 1),
    "entities": Task("People's Daily", "f1", Entities, read_people, 2000, 500, 2),
    "vectors": Task(
        "LCQMC vectors", "spearman", lambda e, s, *_: Vectors(e, s), read_pairs, 0, 1000, 0
    ),
}


def measure(name: str, side: str, encoder: Encoder, options) -> dict:
    """Chooses on dev with the first seed, and scores test with every seed."""
    task, begin = TASKS[name], time.perf_counter()
    splits = task.read(Path(options.data))
    train = splits["train"] = splits["train"].shuffled().first(options.limit or task.train)
    splits["dev"] = splits["dev"].first(options.limit or task.dev)
    splits["test"] = splits["test"].first(options.test_limit)
    epochs = options.epochs or task.epochs
    runner = task.make(encoder, splits, options, epochs)
    choices = POOLINGS if name == "vectors" else tuple(getattr(options, f"rates_{side}"))
    dev, best = {}, None
    for choice in choices:
        try:
            model = runner.train(side, choice, options.seeds[0])
        except CheckpointMismatchError:  # a checkpoint without a pooler
            continue
        dev[str(choice)] = score = runner.score(model, "dev")[task.measure]
        print(f"{name}, {side}, {choice}: {task.measure} {score:.4f} on dev", flush=True)
        if best is None or score > best[0]:
            best = score, choice, model
    _, choice, model = best
    scores = [runner.score(model, "test")]
    for seed in options.seeds[1:] if name != "vectors" or side == "random" else ():
        scores.append(runner.score(runner.train(side, choice, seed), "test"))
    examples = 0 if name == "vectors" else len(train.examples)
    facts = {"choice": choice, "dev": dev, "train_examples": examples, "epochs": epochs}
    facts["test_examples"] = len(splits["test"].examples)
    return {**facts, "test": scores, "seconds": round(time.perf_counter() - begin, 1)}


def mean(result: dict, measure: str) -> float:
    return float(np.mean([score[measure] for score in result["test"]]))


def table(results: dict) -> str:
    """The results as a table in Markdown."""
    lines = ["| task | training | measure | random | pretrained | gain |", "|" + "---|" * 6]
    for name, sides in results.items():
        if set(sides) != set(SIDES):
            continue
        random, pretrained = (sides[side] for side in SIDES)
        training = f"{random['train_examples']:,} x {random['epochs']}"
        for kind in random["test"][0]:
            a, b = mean(random, kind), mean(pretrained, kind)
            lines.append(
                f"| {TASKS[name].title} | {training} | {kind} | {a:.4f} ({random['choice']}) | "
                f"{b:.4f} ({pretrained['choice']}) | {b - a:+.4f} |"
            )
    return "\n".join(lines)


def plot(results: dict, path: Path) -> None:
    """Bars: both sides of every task, with the least and the greatest of the seeds."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    names = [name for name, sides in results.items() if set(sides) == set(SIDES)]
    figure, axes = pyplot.subplots(figsize=(7, 3.5), layout="constrained")
    for shift, side, colour in ((-0.2, "random", "#b0b0b0"), (0.2, "pretrained", "#2a6fbb")):
        places = np.arange(len(names)) + shift
        means = [mean(results[n][side], TASKS[n].measure) for n in names]
        scores = [[s[TASKS[n].measure] for s in results[n][side]["test"]] for n in names]
        errors = [[m - min(s) for m, s in zip(means, scores)]]
        errors.append([max(s) - m for m, s in zip(means, scores)])
        label = "random weights" if side == "random" else side
        bars = axes.bar(places, means, 0.38, yerr=errors, color=colour, label=label, capsize=3)
        axes.bar_label(bars, fmt="%.3f", padding=2, fontsize=8)
    axes.set_xticks(range(len(names)), [f"{TASKS[n].title}\n{TASKS[n].measure}" for n in names])
    axes.set_ylim(top=1.08)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="upper right", ncols=2, frameon=False)
    figure.savefig(path, dpi=150)
    pyplot.close(figure)


def parse(argv=None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("--checkpoint", required=True, help="an archive, a folder or a prefix, with its vocab.txt")
    add("--data", required=True, help="folder of the unpacked data sets")
    add("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    add(
        "--output", type=Path, default=Path("measure_pretrained.json"), help="kept and gone on with"
    )
    add("--plot", type=Path, help="the picture; by default beside the output")
    add("--epochs", type=int, help="instead of the task's own number")
    add("--limit", type=int, help="training examples, and most dev examples, of every task")
    add("--test-limit", type=int, help="test examples of every task; all by default")
    add("--seeds", type=int, nargs="+", default=[1], help="several: test scores are their means")
    for option, side in (("--rates-random", "random"), ("--rates-pretrained", "pretrained")):
        add(option, type=float, nargs="+", default=RATES[side], help="to choose from")
    add("--batch-size", type=int, default=32)
    add("--max-length", type=int, default=128, help="tokens of an example; the rest is left out")
    add("--dtype", default="float32", help="such as mixed_bfloat16")
    add("--verbose", action="store_true", help="show every epoch")
    return parser.parse_args(argv)


def main(argv=None) -> dict:
    """Measures what is not in the output yet, and shows all; returns the results."""
    options = parse(argv)
    keras.mixed_precision.set_global_policy(options.dtype)
    free = ("tasks", "output", "plot", "verbose")
    settings = {n: str(v) for n, v in sorted(vars(options).items()) if n not in free}
    kept = {"settings": settings, "results": {}}
    if options.output.exists():
        kept = json.loads(options.output.read_text(encoding="utf-8"))
        if kept["settings"] != settings:
            raise ValueError(
                f"give another --output: {options.output} has results of {kept['settings']}"
            )
    encoder = Encoder(options.checkpoint)
    for name in options.tasks:
        for side in SIDES:
            if side not in kept["results"].setdefault(name, {}):
                kept["results"][name][side] = measure(name, side, encoder, options)
                write_whole(options.output, (json.dumps(kept, indent=1) + "\n").encode())
                keras.backend.clear_session()
    print(table(kept["results"]))
    try:
        plot(kept["results"], options.plot or options.output.with_suffix(".png"))
    except ImportError:
        print("no picture: that needs `pip install matplotlib`")
    return kept["results"]


if __name__ == "__main__":
    try:
        main()
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("interrupted: the same command goes on after the last finished measure")
