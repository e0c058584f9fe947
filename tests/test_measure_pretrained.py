"""docs/measure_pretrained.py: a checkpoint against random weights, in tiny form."""

from __future__ import annotations

import dataclasses
import importlib.util
import itertools
import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerasbert import Tokenizer, build_transformer_model, save_weights_as_checkpoint
from kerasbert.backend import tf, variable_path
from kerasbert.checkpoints.report import CheckpointMismatchError

DOCS = Path(__file__).resolve().parents[1] / "docs"


def load(name: str):
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


scores = load("pretrained_scores")
measuring = load("measure_pretrained")
CHARACTERS = "今天气很好吗不坏张三李四在北京来去看书我们"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """The three data sets, a few rows each, and a small checkpoint."""
    folder = tmp_path_factory.mktemp("measure")
    for name in ("sentiment/chnsenticorp", "similarity/lcqmc", "ner/peopledaily_ymcui"):
        (folder / name).mkdir(parents=True)
    for split, count in (("train", 24), ("dev", 8), ("test", 10)):
        rows = [("很好", "不坏", "很坏", "不好")[i % 4] + "天" * (i // 4) for i in range(count)]
        lines = [f"{i % 4 // 2}\t{text}" for i, text in enumerate(rows)]
        lines += ["1\t我们看书"] * (split == "test")
        write(folder / f"sentiment/chnsenticorp/{split}.tsv", "label\ttext_a\n", lines)
        lines = [f"{rows[0]}\t我们\t0", *(f"{text}\t{text}吗\t1" for text in rows)]
        write(folder / f"similarity/lcqmc/{split}.tsv", "text_a\ttext_b\tlabel\n", lines)
    sentence = "张 B-PER\n三 I-PER\n在 O\n北 B-LOC\n京 I-LOC\n"
    for name in ("train", "dev"):
        write(folder / f"ner/peopledaily_ymcui/{name}.txt", "", [sentence] * 12)
    tokenizer = Tokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *CHARACTERS])
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    model = build_transformer_model(
        vocab_size=tokenizer.vocab_size, intermediate_size=32, embedding_size=8, with_pool=True,
        max_position_embeddings=128, **sizes,
    )  # fmt: skip
    for weight in model.weights:
        weight.assign(weight + 0.01)
    save_weights_as_checkpoint(model, folder / "tiny.zip", vocab=tokenizer)
    return folder


def write(path: Path, header: str, lines: list[str]) -> None:
    path.write_text(header + "\n".join(lines) + "\n", encoding="utf-8")


def arguments(folder: Path, output: Path, *more: str) -> list[str]:
    common = ["--checkpoint", str(folder / "tiny.zip"), "--data", str(folder)]
    return [*common, "--output", str(output), "--batch-size", "4", *more]


# Scores


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ("B-PER I-PER O B-LOC", {(0, 2, "PER"), (3, 4, "LOC")}),
        ("B-PER B-PER I-PER", {(0, 1, "PER"), (1, 3, "PER")}),
        ("B-PER I-LOC I-LOC", {(0, 1, "PER"), (1, 3, "LOC")}),
        ("O I-ORG O", {(1, 2, "ORG")}),
        ("O O", set()),
        ("", set()),
    ],
)
def test_entities_of_tags(tags, expected):
    assert scores.spans(tags.split()) == expected


@given(st.lists(st.sampled_from(scores.TAGS), max_size=12))
def test_every_tag_but_o_is_in_one_entity(tags):
    covered = [at for start, end, _ in scores.spans(tags) for at in range(start, end)]
    assert sorted(covered) == [at for at, tag in enumerate(tags) if tag != "O"]
    assert all(tags[at][2:] == kind for start, end, kind in scores.spans(tags)
               for at in range(start, end))  # fmt: skip


def test_entities_count_when_start_end_and_kind_agree():
    truth = [["B-PER", "I-PER", "O", "B-LOC"], ["B-ORG"]]
    guess = [["B-PER", "I-PER", "O", "B-ORG"], ["O"]]
    assert scores.entity_f1(truth, truth) == 1
    assert scores.entity_f1(truth, guess) == pytest.approx(2 * 1 / (3 + 2))
    assert scores.entity_f1([["O"]], [["O"]]) == 0


def test_tags_of_tokens_go_to_their_characters():
    offsets = np.array([[0, 0], [0, 1], [1, 4], [5, 6], [0, 0]])
    tags = ["B-LOC", "B-PER", "B-ORG", "I-ORG", "O"]
    assert scores.spread(offsets, tags, 8) == [
        "B-PER", "B-ORG", "I-ORG", "I-ORG", "O", "I-ORG", "O", "O"
    ]  # fmt: skip


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=2, max_size=15))
def test_spearman_is_the_correlation_of_mean_ranks(values):
    first, second = np.array(values, float).T

    def ranks(numbers):
        return [np.mean([sum(b < a for b in numbers) + 1, sum(b <= a for b in numbers)])
                for a in numbers]  # fmt: skip

    found = scores.spearman(first, second)
    if np.ptp(first) and np.ptp(second):
        assert found == pytest.approx(np.corrcoef(ranks(first), ranks(second))[0, 1])
    else:
        assert math.isnan(found)


# Reading


def test_splits_are_as_in_the_files(folder):
    sentiment = scores.read_sentiment(folder)
    assert [len(sentiment[s].examples) for s in ("train", "dev", "test")] == [24, 8, 11]
    assert (sentiment["dev"].examples[1], sentiment["dev"].labels[1]) == ("不坏", 0)
    pairs = scores.read_pairs(folder)
    assert (pairs["test"].examples[0], pairs["test"].labels[0]) == (("很好", "我们"), 0)
    people = scores.read_people(folder)
    assert [len(people[s].examples) for s in ("train", "dev", "test")] == [10, 2, 12]
    assert people["test"].examples[0] == "张三在北京"
    assert people["test"].labels[0] == ["B-PER", "I-PER", "O", "B-LOC", "I-LOC"]


def test_wrong_lines_and_missing_folders_are_explained(tmp_path):
    with pytest.raises(FileNotFoundError, match="no folder lcqmc"):
        scores.read_pairs(tmp_path)
    write(tmp_path / "a.tsv", "text_a\ttext_b\tlabel\n", ["一\t二\t1", "一\t2"])
    with pytest.raises(ValueError, match=r"a\.tsv, line 3: no label"):
        scores.read_table(tmp_path / "a.tsv", label_first=False)
    write(tmp_path / "b.txt", "", ["张 B-PERSON"])
    with pytest.raises(ValueError, match="B-PERSON"):
        scores.read_entities(tmp_path / "b.txt")


# Measuring


def test_random_weights_are_of_the_same_model_and_nothing_of_the_checkpoint(folder):
    encoder = measuring.Encoder(str(folder / "tiny.zip"))
    loaded, *fresh = (
        {variable_path(w): w.numpy() for w in encoder.build(side, seed).weights}
        for side, seed in (("pretrained", 1), ("random", 1), ("random", 1), ("random", 2))
    )
    for path, values in fresh[0].items():
        assert values.shape == loaded[path].shape
        assert not np.array_equal(values, loaded[path])
        np.testing.assert_array_equal(values, fresh[1][path])
    assert any(not np.array_equal(fresh[0][path], fresh[2][path]) for path in loaded)


@pytest.mark.slow
def test_accuracy_is_also_told_without_texts_of_the_training_data(folder):
    splits = scores.read_sentiment(folder)
    options = measuring.parse(arguments(folder, Path("unused")))
    encoder = measuring.Encoder(options.checkpoint)
    task = measuring.make_sentiment(encoder, splits, options, 1)
    model = task.train("random", 1e-3, 1)
    right = task.right(model, splits["test"])
    assert task.score(model, "test") == {
        "accuracy": pytest.approx(right.mean()), "accuracy_unseen": float(right[-1])
    }  # fmt: skip
    task.known |= {"我们看书"}
    assert math.isnan(task.score(model, "test")["accuracy_unseen"])


@pytest.mark.slow
def test_entities_are_learnt(folder):
    splits = scores.read_people(folder)
    options = measuring.parse(arguments(folder, Path("unused")))
    encoder = measuring.Encoder(options.checkpoint)
    task = measuring.Entities(encoder, splits, options, epochs=40)
    assert task.score(task.train("random", 1e-2, 1), "test") == {"f1": 1.0}


class Runner:
    """Trains nothing: the score of a model is what is said about its choice and seed."""

    def __init__(self, encoder, splits, options, epochs):
        self.splits, self.trained = splits, []
        Runner.last = self

    def train(self, side, choice, seed):
        if choice == 2:
            raise CheckpointMismatchError("no pooler")
        self.trained.append((choice, seed))
        return choice, seed

    def score(self, model, name):
        choice, seed = model
        score = {1: 0.5, 3: 0.75, 4: 0.25}[choice] if name == "dev" else choice + seed / 10
        return {"accuracy": score}


def test_the_choice_is_made_on_dev_with_the_first_seed(folder, monkeypatch):
    rates = ("--rates-random", "1", "2", "3", "4")
    more = ("--seeds", "7", "8", "--limit", "5", "--test-limit", "6", "--epochs", "9", *rates)
    options = measuring.parse(arguments(folder, Path("unused"), *more))
    task = dataclasses.replace(measuring.TASKS["pairs"], make=Runner)
    monkeypatch.setitem(measuring.TASKS, "pairs", task)
    found = measuring.measure("pairs", "random", None, options)
    assert found.pop("seconds") >= 0
    assert found == {
        "choice": 3,
        "dev": {"1.0": 0.5, "3.0": 0.75, "4.0": 0.25},
        "train_examples": 5,
        "epochs": 9,
        "test_examples": 6,
        "test": [{"accuracy": 3.7}, {"accuracy": 3.8}],
    }
    assert Runner.last.trained == [(1, 7), (3, 7), (4, 7), (3, 8)]
    assert [len(Runner.last.splits[s].examples) for s in ("train", "dev", "test")] == [5, 5, 6]


@pytest.mark.either
@pytest.mark.slow
def test_all_measures_are_made_kept_and_shown(folder, tmp_path, capsys, monkeypatch):
    output = tmp_path / "found.json"
    rates = ("--rates-random", "1e-3", "--rates-pretrained", "1e-4")
    command = arguments(folder, output, "--limit", "8", "--epochs", "1", *rates)
    tf.config.run_functions_eagerly(True)  # a few steps: not worth compiling
    try:
        begun = measuring.main([*command, "--tasks", "pairs"])["pairs"]
        results = measuring.main(command)
    finally:
        tf.config.run_functions_eagerly(False)
    assert json.loads(output.read_text())["results"] == results
    assert results["pairs"] == begun  # not measured again
    assert set(results) == set(measuring.TASKS)
    for name, side in itertools.product(results, measuring.SIDES):
        found = results[name][side]
        assert found["dev"][str(found["choice"])] == max(found["dev"].values())
    assert results["vectors"]["pretrained"]["choice"] in measuring.POOLINGS
    assert (tmp_path / "found.png").stat().st_size > 5000
    assert "| ChnSentiCorp | 8 x 1 | accuracy_unseen |" in capsys.readouterr().out

    monkeypatch.setattr(measuring, "measure", None)  # nothing is left to do
    assert measuring.main(command) == results
    with pytest.raises(ValueError, match="give another --output"):
        measuring.main([*command, "--max-length", "16"])


def test_a_table_has_only_what_is_finished():
    half = {"choice": 1e-4, "train_examples": 8, "epochs": 1, "test": [{"accuracy": 0.5}]}
    other = {**half, "test": [{"accuracy": 0.75}, {"accuracy": 0.5}]}
    text = measuring.table(
        {"pairs": {"random": half, "pretrained": other}, "entities": {"random": half}}
    )
    assert text.splitlines()[2:] == [
        "| LCQMC | 8 x 1 | accuracy | 0.5000 (0.0001) | 0.6250 (0.0001) | +0.1250 |"
    ]
