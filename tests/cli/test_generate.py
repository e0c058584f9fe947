"""``kerasbert generate``: the texts are those of Python."""

from __future__ import annotations

import json

import pytest

from kerasbert.cli.generate import _groups

TEXTS = ["我爱北京", "hello world", "怎么退换货"]
LINES = "{}\n\n{}\n{}\n".format(*TEXTS).encode()


@pytest.fixture(scope="module")
def generator(checkpoint):
    from kerasbert import TextGenerator, Tokenizer, build_transformer_model

    model = build_transformer_model(checkpoint, model="unilm")
    return TextGenerator(model, Tokenizer.from_pretrained(checkpoint))


@pytest.fixture
def command(checkpoint):
    return ["generate", checkpoint, "--model", "unilm", "--max-new-tokens", 5]


def test_beams(succeed, command, generator):
    lines = succeed(*command, "--beams", 2, stdin=LINES)
    expected = generator.generate(TEXTS, max_new_tokens=5, num_beams=2)
    assert lines == [expected[0], "", *expected[1:]]


def test_samples(succeed, command, generator, tmp_path):
    path = tmp_path / "x.jsonl"
    arguments = [*command, "--top-k", 5, "--seed", 3, "--count", 2]
    succeed(*arguments, "-o", path, stdin=LINES)
    options = {"do_sample": True, "top_k": 5, "seed": 3, "num_return_sequences": 2}
    expected = generator.generate(TEXTS, max_new_tokens=5, return_details=True, **options)
    records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert [record["text"] for record in records] == [TEXTS[0], "", *TEXTS[1:]]
    assert records[1]["generated"] == []
    found = [[one["text"] for one in record["generated"]] for record in records if record["text"]]
    assert found == [[one.text for one in some] for some in expected]
    assert set(records[0]["generated"][0]) == {"text", "score", "finished"}
    assert len(succeed(*arguments, stdin=LINES)) == 8  # two for the empty line as well


def test_a_seed_draws_the_same_however_lines_arrive():
    lists = [[1], [2, 3, 4], [5]]
    assert list(_groups(lists, 2, full=False)) == [[1], [2, 3], [4], [5]]
    assert list(_groups(lists, 2, full=True)) == [[1, 2], [3, 4], [5]]


def test_an_encoder_needs_an_application(succeed, fail, checkpoint):
    common = ["generate", checkpoint, "--max-new-tokens", 3]
    assert "application" in fail(*common, stdin=LINES)
    assert len(succeed(*common, "--application", "lm", stdin=LINES)) == 4


def test_what_is_refused(fail, command, checkpoint):
    for options, message in (
        (["--top-p", "2"], "top_p is a probability"),
        (["--sample", "--beams", "2"], "do_sample draws"),
        (["--count", "2"], "num_return_sequences"),
        (["--max-new-tokens", "64"], "64 positions"),
    ):
        assert message in fail(*command, *options, stdin=LINES)
    assert "must be 1 or more" in fail(*command, "--beams", "0", status=2)
