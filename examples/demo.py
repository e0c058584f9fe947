"""Shows the whole way in a minute, with nothing downloaded: ``make demo``.

Writes reviews, and does with them and the small model that comes with the package what
sentiment_classification.py does with real ones.
"""

from __future__ import annotations

import argparse
import itertools
import os
import random
import shlex
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))  # for where this is not the main script
import sentiment_classification

# Counting words is not enough: "一点也不失望" is positive.
PLACES = ("酒店", "餐厅", "宾馆", "书店", "咖啡馆", "超市")
THINGS = ("房间", "服务", "环境", "味道", "早餐", "价格", "灯光", "音乐")
GOOD = ("满意", "舒服", "喜欢", "开心", "放心", "愉快")
BAD = ("失望", "难受", "讨厌", "生气", "担心", "烦躁")
DEGREES = ("", "很", "非常", "特别", "有点", "真的很")
NEGATIONS = ("不", "并不", "一点也不")
TEMPLATES = (
    "这家{place}的{thing}让我{feeling}",
    "{place}的{thing}，我觉得{feeling}",
    "昨天去了{place}，{thing}令人{feeling}",
    "朋友推荐的{place}，{thing}让人{feeling}",
)
CHECKPOINT = "kerasbert-mini-zh"  # docs/kerasbert_mini_zh.md; a path does as well


def make_reviews() -> list[tuple[int, str]]:
    """Labels and reviews: all that the templates make, in an order that looks random."""
    reviews, draw = [], random.Random(1)
    for template, place, thing, label, degree in itertools.product(
        TEMPLATES, PLACES, THINGS, (0, 1), DEGREES + NEGATIONS
    ):
        words = (BAD, GOOD)[label != (degree in NEGATIONS)]
        feeling = degree + draw.choice(words)
        reviews.append((label, template.format(place=place, thing=thing, feeling=feeling)))
    draw.shuffle(reviews)
    return reviews


def write_data(folder: Path, train: int = 2400, dev: int = 200, test: int = 200) -> list[str]:
    """Writes train.tsv, dev.tsv and test.tsv; returns the texts of all three."""
    reviews = iter(make_reviews())
    folder.mkdir(parents=True, exist_ok=True)
    texts = []
    for name, count in (("train", train), ("dev", dev), ("test", test)):
        rows = list(itertools.islice(reviews, count))
        texts += [text for _, text in rows]
        lines = ["label\ttext_a", *(f"{label}\t{text}" for label, text in rows)]
        (folder / f"{name}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return texts


def run(folder: Path, epochs: int) -> float:
    """Makes everything in the folder, trains, and returns the accuracy on the test data."""
    os.environ.setdefault("KERASBERT_HOME", str(folder / "cache"))  # where archives are unpacked
    write_data(folder / "data")
    arguments = ["--checkpoint", CHECKPOINT, "--data", f"{folder}/data"]
    arguments += ["--output", f"{folder}/sentiment", "--epochs", str(epochs)]
    arguments += ["--learning-rate", "1e-3", "--max-length", "32"]
    for sentence in ("酒店的早餐让我很满意", "酒店的早餐让我不满意", "去了书店，一点也不失望"):
        arguments += ["--text", sentence]
    print("$ python examples/sentiment_classification.py", shlex.join(arguments), flush=True)
    return sentiment_classification.main(arguments)


def main(argv=None) -> float:
    """Runs the demo in a folder of its own, which is kept if it was named."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--output", type=Path, help="a new folder to keep what is made")
    parser.add_argument("--epochs", type=int, default=6)
    arguments = parser.parse_args(argv)
    start = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="kerasbert-demo-") as temporary:
        accuracy = run(arguments.output or Path(temporary), arguments.epochs)
    print(f"{time.perf_counter() - start:.0f} seconds")
    return accuracy


if __name__ == "__main__":
    main()
