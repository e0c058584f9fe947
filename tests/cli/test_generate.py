"""``kerasbert generate``: the texts are those of Python."""

from __future__ import annotations

import json

import pytest

from kerasbert.cli import models
from kerasbert.cli.generate import _groups
from kerasbert.generation import Generation

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


class Stub:
    """Says how it was called."""

    def generate(self, texts, **options):
        self.options = options
        count = options.get("num_return_sequences", 1)
        rows = [
            [Generation(f"{text}\n{n}", [7], -0.5, True) for n in range(count)] for text in texts
        ]
        return rows if count > 1 else [row[0] for row in rows]


@pytest.fixture
def stub(monkeypatch):
    stub = Stub()
    monkeypatch.setattr(models, "load_generator", lambda arguments, wanted: stub)
    return stub


def test_lines_and_options(succeed, stub):
    options = ["--count", 2, "--top-p", 0.9, "--stop", "!"]
    lines = succeed("generate", "x", *options, stdin=b"a\n\nb\n")
    assert lines == ["a\\n0", "a\\n1", "", "", "b\\n0", "b\\n1"]
    wanted = {"num_return_sequences": 2, "top_p": 0.9, "stop": "!", "do_sample": True}
    assert {name: stub.options[name] for name in wanted} == wanted
    assert stub.options["batch_size"] == 16
    succeed("generate", "x", "--beams", 3, "--length-penalty", 1, stdin=b"a")
    assert stub.options["num_beams"] == 3 and "do_sample" not in stub.options
    assert "seed" not in stub.options


def test_groups_have_seeds_of_their_own(succeed, stub):
    seeds = []
    generate = stub.generate
    stub.generate = lambda texts, **options: (
        seeds.append(options["seed"]) or generate(texts, **options)
    )
    succeed("generate", "x", "--seed", 5, "--batch-size", 1, stdin=b"a\n" * 20)
    assert seeds[0] == 5 and len(set(seeds)) == 3


def test_json_lines(succeed, stub):
    content = b'{"id": 1, "q": "a"}\n\n'
    lines = succeed("generate", "x", "--field", "q", "--format", "jsonl", stdin=content)
    first, empty = map(json.loads, lines)
    generated = [{"text": "a\n0", "score": -0.5, "finished": True}]
    assert first == {"id": 1, "q": "a", "generated": generated}
    assert empty == {"text": "", "generated": []}


@pytest.mark.slow
def test_beams(succeed, command, generator):
    lines = succeed(*command, "--beams", 2, stdin=LINES)
    expected = generator.generate(TEXTS, max_new_tokens=5, num_beams=2)
    assert lines == [expected[0], "", *expected[1:]]


@pytest.mark.slow
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


@pytest.mark.slow
def test_an_encoder_needs_an_application(succeed, fail, checkpoint):
    common = ["generate", checkpoint, "--max-new-tokens", 3]
    assert "application" in fail(*common, stdin=LINES)
    assert len(succeed(*common, "--application", "lm", stdin=LINES)) == 4


@pytest.mark.slow
def test_what_is_refused(fail, command, checkpoint):
    for options, message in (
        (["--top-p", "2"], "top_p is a probability"),
        (["--sample", "--beams", "2"], "do_sample draws"),
        (["--count", "2"], "num_return_sequences"),
        (["--max-new-tokens", "64"], "64 positions"),
    ):
        assert message in fail(*command, *options, stdin=LINES)
    assert "must be 1 or more" in fail(*command, "--beams", "0", status=2)
