"""The similarity example trains, measures what it says, and finds the nearest questions."""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path

import numpy as np
import pytest

from kerasbert import save_weights_as_checkpoint

pytestmark = pytest.mark.either  # a script that runs, on any stack
SCRIPT = Path(__file__).resolve().parents[1] / "examples" / "simbert_similarity.py"


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("simbert_similarity", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_reads_pairs_with_and_without_a_header(example, tmp_path):
    path = write(tmp_path / "a.tsv", "\ufefftext_a\ttext_b\tlabel\n一\t二\t1\n三\u2028\t四\t0.5\n")
    assert example.read_pairs(path) == [("一", "二", 1.0), ("三\u2028", "四", 0.5)]
    path = write(tmp_path / "b.txt", "一\t二\t0\n三\t四\t1")
    assert example.read_pairs(path, limit=1) == [("一", "二", 0.0)]


@pytest.mark.parametrize("text", ["一\t二\t1\n一\t二\n", "一\t二\t1\n一\t二\t三\n", "a\tb\n", ""])
def test_other_lines_are_refused(example, tmp_path, text):
    with pytest.raises(ValueError, match=r"expected two texts and a number|no pairs"):
        example.read_pairs(write(tmp_path / "a.tsv", text))


@pytest.mark.parametrize(
    "a, b, expected",
    [
        ([1, 2, 3], [10, 20, 25], 1.0),
        ([1, 2, 3], [3, 2, 1], -1.0),
        ([1, 2, 3, 4], [0, 0, 1, 1], 2 / math.sqrt(5)),  # ranks 1.5 1.5 3.5 3.5
    ],
)
def test_spearman(example, a, b, expected):
    assert example.spearman(np.array(a), np.array(b)) == pytest.approx(expected)


class Known:
    """An encoder whose vectors are known: of each character's code."""

    def search(self, queries, corpus, top_k, **options):
        distance = np.abs([[ord(q[0]) - ord(c[0]) for c in corpus] for q in queries])
        return -distance, np.argsort(distance, axis=1, kind="stable")[:, :top_k]


def test_retrieval_counts_partners_and_not_the_text_itself(example):
    pairs = [("a", "b", 1.0), ("m", "m", 1.0), ("m", "l", 1.0), ("x", "c", 1.0), ("y", "z", 0.0)]
    assert example.retrieval_accuracy(Known(), pairs) == pytest.approx(2 / 3)  # x: z is nearer


@pytest.mark.slow
def test_from_scratch_it_learns(example, capsys):
    before = example.main(["--scratch", "--steps", "0"])["made up questions"]
    after = example.main(["--scratch", "--steps", "60", "--query", "怎样修改密码"])
    correlation, accuracy = after["made up questions"]
    assert correlation > before[0] + 0.1 and correlation > 0.8
    assert accuracy >= before[1] and accuracy > 0.8
    printed = capsys.readouterr().out
    assert f"Spearman {correlation:.4f}, top-1 {accuracy:.4f}" in printed
    assert len(printed.split("怎样修改密码\n")[1].splitlines()) == 5


@pytest.mark.slow
def test_from_a_checkpoint_with_a_linear_pooler(example, tmp_path):
    pairs = example.make_pairs(example.make_groups()[:8])
    texts = [text for pair in pairs for text in pair[:2]]
    encoder = example.small_encoder(texts, "pooler")
    model = example.build_transformer_model(
        {**example.SMALL, "vocab_size": encoder.tokenizer.vocab_size}, with_pool="linear"
    )
    path = save_weights_as_checkpoint(model, tmp_path / "small.zip", vocab=encoder.tokenizer)
    lines = "".join(f"{first}\t{second}\t{score}\n" for first, second, score in pairs)
    data = write(tmp_path / "pairs.tsv", lines)
    (result,) = example.main(["--checkpoint", path, "--data", str(data)]).values()
    assert all(-1 <= number <= 1 for number in result)


@pytest.mark.parametrize("arguments", [[], ["--scratch", "--checkpoint", "x.zip"]])
def test_one_of_checkpoint_and_scratch(example, arguments, capsys):
    with pytest.raises(SystemExit):
        example.main(arguments)
    assert "either --checkpoint, or --scratch" in capsys.readouterr().err
