r"""How good are sentence vectors? Similarity of pairs, and retrieval, with SimBERT or any encoder.

    python examples/simbert_similarity.py --checkpoint chinese_simbert_L-12_H-768_A-12.zip \
        --data lcqmc/test.tsv --data afqmc/dev.txt --query "怎么取消自动续费"

A file has lines of two texts and a label or score, with tabs between. Without --data, questions are
made up; with --scratch in place of --checkpoint a small model is trained first, in a minute or two.
"""

from __future__ import annotations

import argparse
import itertools
import os
import random
import sys
import time
from collections import Counter
from pathlib import Path

os.environ.setdefault("KERASBERT_VERBOSE", "0")  # TensorFlow's log messages
import kerasbert  # noqa: F401 (before TensorFlow, which it imports quietly)

# isort: split
import numpy as np
import tensorflow as tf
from tensorflow import keras

from kerasbert import Tokenizer, build_transformer_model
from kerasbert.embedding import POOLINGS, TextEncoder
from kerasbert.optimizers import AdamW, warmup_linear_decay

THINGS = (
    "密码",
    "账单",
    "订单",
    "发票",
    "车票",
    "护照",
    "会员",
    "头像",
    "余额",
    "快递",
    "合同",
    "保险",
)
VERBS = ("修改", "查询", "取消", "找回", "删除", "办理", "打印", "续费")
PHRASINGS = (
    "怎么{verb}{thing}",
    "{thing}如何{verb}？",
    "我想{verb}{thing}，应该怎么做",
    "请问{thing}在哪里{verb}",
    "{verb}{thing}的方法是什么",
)
SMALL = {"hidden_size": 128, "num_hidden_layers": 3, "num_attention_heads": 4}
SMALL.update({"intermediate_size": 512, "max_position_embeddings": 128})

Pair = tuple[str, str, float]


def read_pairs(path: Path, limit: int | None = None) -> list[Pair]:
    """Reads (text, text, score) from lines with tabs; a first line without a number is a header."""
    pairs: list[Pair] = []
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").split("\n"), start=1):
        if not line:
            continue
        try:
            first, second, score = line.split("\t")
            pairs.append((first, second, float(score)))
        except ValueError:
            if number > 1 or line.count("\t") != 2:
                raise ValueError(
                    f"{path}, line {number}: expected two texts and a number, with tabs between. "
                    f"Received: {line!r}"
                ) from None
    if not pairs:
        raise ValueError(f"{path} holds no pairs")
    return pairs[:limit]


def make_groups() -> list[list[str]]:
    """Made up questions: each group has several that ask the same."""
    groups = [
        [phrasing.format(verb=verb, thing=thing) for phrasing in PHRASINGS]
        for verb, thing in itertools.product(VERBS, THINGS)
    ]
    random.Random(1).shuffle(groups)
    return groups


def make_pairs(groups: list[list[str]], seed: int = 0) -> list[Pair]:
    """Pairs of questions: as many that ask the same (1) as others (0)."""
    draw = random.Random(seed)
    pairs = []
    for group in groups:
        first, second = draw.sample(group, 2)
        other = draw.choice([one for one in groups if one is not group])
        pairs += [(first, second, 1.0), (first, draw.choice(other), 0.0)]
    return pairs


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman's rank correlation; equal values share the mean of their ranks."""

    def ranks(values):
        _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
        return (np.cumsum(counts) - (counts - 1) / 2)[inverse]

    return float(np.corrcoef(ranks(a), ranks(b))[0, 1])


def pair_correlation(encoder: TextEncoder, pairs: list[Pair], **options) -> float:
    """Spearman's correlation of the cosines of pairs with their scores."""
    firsts, seconds, scores = zip(*pairs)
    vectors = encoder.encode([*firsts, *seconds], **options)
    cosines = (vectors[: len(pairs)] * vectors[len(pairs) :]).sum(axis=1)
    return spearman(cosines, np.array(scores))


def retrieval_accuracy(encoder: TextEncoder, pairs: list[Pair], **options) -> float:
    """How often, among all second texts, one that belongs to the first text is the nearest."""
    wanted: dict[str, set[str]] = {}
    highest = max(score for *_, score in pairs)
    for first, second, score in pairs:
        if score == highest and first != second:
            wanted.setdefault(first, set()).add(second)
    queries, corpus = list(wanted), list(dict.fromkeys(second for _, second, _ in pairs))
    _, places = encoder.search(queries, corpus, top_k=2, **options)
    hits = 0
    for query, row in zip(queries, places):
        nearest = [corpus[at] for at in row if corpus[at] != query]  # the same text does not count
        hits += bool(nearest) and nearest[0] in wanted[query]
    return hits / len(queries)


def contrastive_loss(_, vectors: tf.Tensor) -> tf.Tensor:
    """Each vector shall be nearest to its partner (rows 0 and 1, 2 and 3, ...) in the batch."""
    scores = 20.0 * tf.matmul(vectors, vectors, transpose_b=True)
    scores = tf.linalg.set_diag(scores, tf.fill(tf.shape(scores)[:1], -1e9))
    rows = tf.range(tf.shape(scores)[0])
    return tf.nn.sparse_softmax_cross_entropy_with_logits(tf.bitwise.bitwise_xor(rows, 1), scores)


def train(encoder: TextEncoder, pairs: list[Pair], steps: int, batch_size: int = 64) -> list[float]:
    """Trains on the pairs that belong together; returns the losses."""
    positive = [pair[:2] for pair in pairs if pair[2] > 0]
    draw = random.Random(0)

    def batches():
        for _ in range(steps):
            chosen = draw.sample(positive, min(batch_size, len(positive)))
            rows = encoder.tokenizer(
                [text for pair in chosen for text in pair], max_length=encoder.max_length
            )
            yield (rows["token_ids"], rows["segment_ids"]), np.zeros(2 * len(chosen), "float32")

    ids = tf.TensorSpec((None, None), tf.int32)
    signature = ((ids, ids), tf.TensorSpec((None,), tf.float32))
    data = tf.data.Dataset.from_generator(batches, output_signature=signature).prefetch(4)
    encoder.model.compile(AdamW(warmup_linear_decay(1e-3, steps)), contrastive_loss)
    history = encoder.model.fit(data.repeat(), steps_per_epoch=steps, shuffle=False, verbose=2)
    return history.history["loss"]


def small_encoder(texts: list[str], pooling: str = "mean") -> TextEncoder:
    """A small untrained model whose vocabulary is the characters of some texts."""
    counts = Counter(char for text in texts for char in text.lower() if not char.isspace())
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokens = special + [char for char, _ in counts.most_common(8000)]
    tokenizer = Tokenizer(tokens, do_lower_case=True)
    config = {**SMALL, "vocab_size": len(tokens)}
    model = build_transformer_model(config, with_pool="linear" if pooling == "pooler" else None)
    return TextEncoder(model, tokenizer, pooling)


def load_encoder(checkpoint: str, pooling: str) -> TextEncoder:
    """The encoder of a published checkpoint; SimBERT's pooler is linear."""
    head = {"with_pool": "linear"} if pooling == "pooler" else {}
    model = build_transformer_model(checkpoint, **head)
    return TextEncoder(model, Tokenizer.from_pretrained(checkpoint), pooling)


def parse(argv=None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("--checkpoint", help="an archive, a folder or a prefix, as it was released")
    add("--scratch", action="store_true", help="train a small model instead")
    add("--data", action="append", type=Path, default=[], help="a file of pairs; may be repeated")
    add("--train-data", type=Path, help="with --scratch: pairs to train on, as lcqmc/train.tsv")
    add("--steps", type=int, default=200, help="of training with --scratch")
    add("--pooling", choices=POOLINGS, help="default: pooler, with --scratch mean")
    add("--dtype", help="what to compute in, such as bfloat16")
    add("--limit", type=int, help="use only the first so many pairs of each file")
    add("--query", action="append", default=[], help="a text to find the nearest ones of")
    arguments = parser.parse_args(argv)
    if bool(arguments.checkpoint) == arguments.scratch:
        parser.error("give either --checkpoint, or --scratch to train a small model")
    return arguments


def main(argv=None) -> dict[str, tuple[float, float]]:
    """Prints and returns Spearman's correlation and the top-1 accuracy of each file."""
    arguments = parse(argv)
    keras.utils.set_random_seed(1)
    groups = make_groups()
    files = {path.as_posix(): read_pairs(path, arguments.limit) for path in arguments.data}
    files = files or {"made up questions": make_pairs(groups[-32:])}
    if arguments.scratch:
        pairs = make_pairs(groups[:-32])
        if arguments.train_data:
            pairs = read_pairs(arguments.train_data, arguments.limit)
        texts = [text for pair in pairs for text in pair[:2]]
        encoder = small_encoder(texts, arguments.pooling or "mean")
        if arguments.steps:
            train(encoder, pairs, arguments.steps)
    else:
        encoder = load_encoder(arguments.checkpoint, arguments.pooling or "pooler")

    results = {}
    for name, pairs in files.items():
        start = time.perf_counter()
        correlation = pair_correlation(encoder, pairs, dtype=arguments.dtype)
        accuracy = retrieval_accuracy(encoder, pairs, dtype=arguments.dtype)
        results[name] = correlation, accuracy
        print(
            f"{name}: {len(pairs)} pairs, Spearman {correlation:.4f}, top-1 {accuracy:.4f} "
            f"({time.perf_counter() - start:.1f} s)"
        )
    if arguments.query:
        corpus = list(dict.fromkeys(pair[1] for pairs in files.values() for pair in pairs))
        index = encoder.index(corpus, dtype=arguments.dtype)
        for query, scores, places in zip(
            arguments.query, *encoder.search(arguments.query, index, top_k=5)
        ):
            print(query)
            for score, at in zip(scores, places):
                print(f"  {score:.3f}  {index.texts[at]}")
    return results


if __name__ == "__main__":
    try:
        main()
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error}")
