"""ROUGE and BLEU against values worked out by hand."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from kerasbert.tasks import characters, text_metrics


def test_characters():
    assert characters(" 深度 BERT\n") == ["深", "度", "b", "e", "r", "t"]


def test_equal_texts_have_all_and_different_ones_nothing():
    texts = ["基于深度学习的方法", "网格生成及其应用"]
    assert text_metrics(texts, texts) == pytest.approx(
        {"rouge-1": 100, "rouge-2": 100, "rouge-l": 100, "bleu": 100}
    )
    other = text_metrics(["一二三四五", "六七八九十"], texts)
    assert other["rouge-1"] == other["rouge-2"] == other["rouge-l"] == 0 and other["bleu"] < 5


def test_values_by_hand():
    """Five characters against four: 4 in common, 2 pairs, the longest common run in order is 3."""
    metrics = text_metrics(["甲乙丁丙戊"], ["甲乙丙丁"])
    assert metrics["rouge-1"] == pytest.approx(100 * 2 * 4 / (5 + 4))
    assert metrics["rouge-2"] == pytest.approx(100 * 2 * 1 / (4 + 3))
    assert metrics["rouge-l"] == pytest.approx(100 * 2 * 3 / (5 + 4))


def test_bleu_by_hand():
    """n-gram precisions 5/6, 3/5, 1/4 and for 4-grams sacrebleu's 1/(2*3); longer, no penalty."""
    bleu = text_metrics(["甲乙丙子丁戊"], ["甲乙丙丁戊"])["bleu"]
    assert bleu == pytest.approx(100 * np.prod([5 / 6, 3 / 5, 1 / 4, 1 / 6]) ** 0.25, rel=1e-3)


def test_words():
    assert text_metrics(["the cat"], ["the dog"], str.split)["rouge-1"] == pytest.approx(50)
    assert text_metrics(["The"], ["the"])["rouge-1"] == pytest.approx(100)


def test_an_empty_prediction_is_the_worst():
    assert text_metrics([""], ["甲乙"])["rouge-l"] == 0


@pytest.mark.parametrize(
    ("predictions", "references"), [([], []), (["a"], ["a", "b"]), ("a", "a")], ids=str
)
def test_wrong_numbers_of_texts(predictions, references):
    with pytest.raises(ValueError, match="predictions"):
        text_metrics(predictions, references)


def test_without_the_libraries(monkeypatch):
    monkeypatch.setitem(sys.modules, "sacrebleu", None)
    with pytest.raises(ImportError, match=r"kerasbert\[metrics\]"):
        text_metrics(["a"], ["a"])
