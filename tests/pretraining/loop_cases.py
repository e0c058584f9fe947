"""Tiny corpora and settings for the tests of the training loop."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from kerasbert.backend import tf
from pretraining.records import TokenStream

CHECKOUT = Path(__file__).resolve().parents[2]
VOCABULARY, LENGTH = 60, 16
CONFIG = {
    "attention_probs_dropout_prob": 0.0,
    "hidden_dropout_prob": 0.0,
    "hidden_size": 16,
    "initializer_range": 0.1,
    "intermediate_size": 32,
    "max_position_embeddings": 20,
    "num_attention_heads": 2,
    "num_hidden_layers": 1,
    "type_vocab_size": 2,
    "vocab_size": VOCABULARY,
}
DROPOUT = {"attention_probs_dropout_prob": 0.1, "hidden_dropout_prob": 0.1}
SETTINGS = {
    "objective": "roberta",
    "batch_size": 8,
    "steps": 12,
    "learning_rate": 0.01,
    "log_every": 1,
    "save_every": 4,
    "steps_per_call": 3,
}

# Losses of the tiny settings, the same on every stack.
EXPECTED = [
    *(4.022107, 4.183801, 4.059163, 4.055264, 4.105128, 4.157282),
    *(4.089609, 4.05641, 3.885776, 4.16178, 4.067393, 3.974816),
]


def write_corpus(folder: Path, style: str = "roberta", shards: int = 4, rows: int = 17) -> Path:
    """A corpus of random tokens: shards of a few rows more or less."""
    rng = np.random.default_rng(len(style))
    folder.mkdir(parents=True)
    options = tf.io.TFRecordOptions(compression_type="GZIP")
    listed, tokens = [], 0
    for shard in range(shards):
        path = folder / f"shard-{shard}.gz"
        count = rows + shard % 2
        with tf.io.TFRecordWriter(str(path), options) as writer:
            for row in range(count):
                length = int(rng.integers(4, LENGTH - 2))
                ids = rng.integers(5, VOCABULARY, length)
                ids[1::2] = 5 + (ids[0::2][: len(ids[1::2])] * 7) % 50  # something to learn
                stream = TokenStream(ids, rng.random(length) < 0.6, 2, 3)
                pair = style in ("bert", "albert", "simbert")
                slices = [(0, length // 2), (length // 2, length)] if pair else [(0, length)]
                first = length // 2 + 2 if pair else None
                label = shard * 100 + row if style == "simbert" else row % 2 * pair
                writer.write(stream.record(slices, first, label))
                tokens += length + 1 + len(slices)
        listed.append({"file": path.name, "examples": count, "bytes": path.stat().st_size})
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *map("w{}".format, range(55))]
    (folder / "vocab.txt").write_text("\n".join(words) + "\n")
    manifest = {
        "format": 1,
        "style": style,
        "max_length": LENGTH,
        "shards": listed,
        "examples": sum(shard["examples"] for shard in listed),
        "tokens": tokens,
        "special_ids": {"pad": 0, "unk": 1, "cls": 2, "sep": 3, "mask": 4},
        "vocab_size": VOCABULARY,
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def command(folder: Path, corpus: Path, **settings) -> list[str]:
    """The command line of a run of the tiny settings into a folder."""
    values = {"config": CONFIG, **SETTINGS, "corpus": str(corpus), "output": str(folder)}
    path = folder.parent / f"{folder.name}.json"
    path.write_text(json.dumps({**values, **settings}))
    return [sys.executable, "-m", "pretraining.run", "--quiet", "--config-file", str(path)]


def start(arguments: list[str], **variables: str) -> subprocess.Popen:
    """Begins a process in the checkout, on one thread."""
    environment = {**os.environ, "TF_NUM_INTRAOP_THREADS": "1", "OMP_NUM_THREADS": "1"}
    environment.update(variables)
    return subprocess.Popen(
        arguments,
        cwd=CHECKOUT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(arguments: list[str], **variables: str) -> subprocess.CompletedProcess:
    """Runs a process to its end."""
    process = start(arguments, **variables)
    out, err = process.communicate(timeout=240)
    return subprocess.CompletedProcess(arguments, process.returncode, out, err)


def column(folder: Path, name: str = "loss", file: str = "log.csv") -> list[float]:
    """A column of a run's log."""
    with (folder / file).open() as lines:
        return [float(row[name]) for row in csv.DictReader(lines)]


def tensors(folder: Path) -> dict[str, np.ndarray]:
    """Everything in an exported checkpoint, by name."""
    reader = tf.train.load_checkpoint(str(folder / "bert_model.ckpt"))
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}
