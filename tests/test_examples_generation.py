"""The examples of SimBERT and of sequence to sequence run, go on, and say what is wrong."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from examples import simbert_synonyms, unilm_dialogue_rewrite
from kerasbert import build_transformer_model, save_weights_as_checkpoint
from kerasbert.backend import keras

pytestmark = pytest.mark.either  # scripts that run, on any stack

simbert = simbert_synonyms.simbert_train
seq2seq = unilm_dialogue_rewrite.seq2seq
TINY = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
TINY.update(intermediate_size=64, max_position_embeddings=64, initializer_range=0.1)
THINGS = ("天气", "股票", "手机", "水果", "电影", "学校", "火车", "歌曲")
QUESTIONS = ("今天{}怎么样", "{}今天如何", "请问{}好吗", "谁知道{}好不好")


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Small models; and `main` sets the global policy."""
    monkeypatch.setattr(simbert, "SMALL", TINY)
    monkeypatch.setattr(seq2seq, "SMALL", TINY)
    yield
    keras.mixed_precision.set_global_policy("float32")


def write(path: Path, rows) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join("\t".join(row) for row in rows) + "\n", encoding="utf-8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    pairs = [("text_a", "text_b", "label")]
    for n in range(5):  # five of each thing, told apart by a letter
        for thing in THINGS:
            texts = [question.format(thing) + "abcde"[n] for question in QUESTIONS]
            pairs += [(texts[0], text, "1") for text in texts[1:]]
    pairs.append(("天气", "火车", "0"))
    write(folder / "lcqmc" / "train.tsv", pairs)
    names = list(itertools.product(THINGS, THINGS))
    titles = [(f"{a}与{b}", f"本文研究{a}与{b}的关系,结果有效.") for a, b in names]
    for split, rows in (("train", titles[:48]), ("dev", titles[48:56]), ("test", titles[56:])):
        write(folder / "titles" / f"{split}.tsv", rows)
    dialogues = [(f"我喜欢{a}", f"你喜欢{a}吗。不知道{b}。我喜欢。") for a, b in names]
    write(folder / "dialogues" / "train.tsv", dialogues[:56])
    write(folder / "dialogues" / "dev.tsv", dialogues[56:])
    return folder


# SimBERT


def test_groups_of_lcqmc(folder):
    groups, held = simbert.read_groups(folder / "lcqmc")
    assert len(groups) == 38 and len(held) == 2
    assert all(len(group) == 4 for group in groups + held)
    assert len({text for group in groups + held for text in group}) == 160
    assert len(simbert.read_groups(folder / "lcqmc", limit=10)[0]) == 9


def test_a_line_in_another_format_is_shown(tmp_path):
    write(tmp_path / "train.tsv", [("甲", "乙", "1"), ("甲", "乙", "2")])
    with pytest.raises(ValueError, match=r"train\.tsv, line 2: not two texts and a label.*甲"):
        simbert.read_groups(tmp_path)


def test_top_1():
    angles = np.array([0, 0.1, 1, 1.2, 2, 2.5, 2.6, 3.5])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    # The partner of 5 is 4, but 6 is nearer; that of 6 is 7; that of 4 and of 7 is 5 and 6.
    assert simbert.top_1(vectors) == pytest.approx(6 / 8)


def test_character_vectors():
    vectors = simbert.character_vectors(["天气好", "天气", "水果", "水"])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-6)
    assert simbert.top_1(vectors) == 1


def arguments(folder, output, *options) -> list[str]:
    common = ["--scratch", "--data", str(folder), "--output", str(output), "--epochs", "2"]
    return [*common, "--learning-rate", "1e-2", "--batch-size", "8", *options]


@pytest.fixture(scope="module")
def trained(folder, tmp_path_factory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(simbert, "SMALL", TINY)
        output = tmp_path_factory.mktemp("simbert")
        simbert.main(arguments(folder / "lcqmc", output))
    return output


@pytest.mark.slow
def test_simbert_trains_and_goes_on(folder, trained, capsys):
    results = simbert.main(arguments(folder / "lcqmc", trained))
    printed = capsys.readouterr().out
    assert "Epoch" not in printed and "2 epochs" in printed  # all was done before
    assert list(results) == ["common characters", "before", "after"]
    assert all(f"{name:<18} {value:.4f}" in printed for name, value in results.items())
    simbert.main([*arguments(folder / "lcqmc", trained), "--epochs", "3"])
    assert "Epoch 3/3" in capsys.readouterr().out
    assert (trained / "training.png").stat().st_size > 1000
    with pytest.raises(ValueError, match="other settings"):
        simbert.main([*arguments(folder / "lcqmc", trained), "--limit", "30"])


@pytest.mark.slow
def test_what_is_saved_is_what_was_measured(folder, trained):
    questions = [text for group in simbert.read_groups(folder / "lcqmc")[1] for text in group[:2]]
    tokenizer, model = simbert.load(trained / "simbert.zip")
    after = simbert.top_1(simbert.sentence_vectors(model, tokenizer, questions))
    assert simbert.main(arguments(folder / "lcqmc", trained))["after"] == pytest.approx(after)


@pytest.mark.slow
def test_synonyms_are_ranked(trained, capsys):
    checkpoint = str(trained / "simbert.zip")
    options = ["--checkpoint", checkpoint, "--samples", "20", "--show", "5"]
    results = simbert_synonyms.main([*options, "--text", "今天天气怎么样a"])
    ((text, found),) = results.items()
    assert text == "今天天气怎么样a" and found
    similarities = [similarity for similarity, _ in found]
    assert similarities == sorted(similarities, reverse=True) and max(similarities) <= 1 + 1e-5
    texts = [other for _, other in found]
    assert len(set(texts)) == len(texts) and text not in texts
    printed = capsys.readouterr().out
    assert all(f"{similarity:.3f}  {other}" in printed for similarity, other in found[:5])
    assert simbert_synonyms.main([*options, "--text", text]) == results  # the seed


@pytest.mark.slow
def test_synonyms_from_scratch(folder, tmp_path):
    data = ["--data", str(folder / "lcqmc"), "--output", str(tmp_path), "--epochs", "1"]
    with pytest.raises(ValueError, match="groups do not fill a batch of 128"):
        simbert_synonyms.main(["--scratch", *data])


# Sequence to sequence


def test_reads_titles(folder, tmp_path):
    sources, titles = seq2seq.read_examples(folder / "titles", "test", limit=2)
    assert titles == ["歌曲与天气", "歌曲与股票"] and sources[0].startswith("本文研究歌曲与天气")
    write(tmp_path / "dev.tsv", [("题", "文"), ("题",)])
    with pytest.raises(ValueError, match=r"dev\.tsv, line 2: not two texts with a tab"):
        seq2seq.read_examples(tmp_path, "dev")


def test_last_sentence():
    assert unilm_dialogue_rewrite.last_sentence("你好。我很好。他呢。") == "他呢"
    assert unilm_dialogue_rewrite.last_sentence("你好") == "你好"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("example", "data", "baseline"),
    [
        (seq2seq, "titles", "first 18 characters"),
        (unilm_dialogue_rewrite, "dialogues", "as it was said"),
    ],
    ids=["titles", "dialogues"],
)
def test_generation_is_trained_and_measured(example, data, baseline, folder, tmp_path, capsys):
    common = arguments(folder / data, tmp_path, "--show", "1", "--text", "你喜欢水果吗")
    results = example.main([*common, "--epochs", "8", "--beams", "2"])
    assert list(results) == [baseline, "greedy", "beam 2"]
    printed = capsys.readouterr().out
    assert printed.count("generated: ") == 2 and printed.count("expected: ") == 1
    assert "best dev loss" in printed and "rouge-l" in printed
    assert all(0 <= results[name]["bleu"] <= 100 for name in results)
    again = example.main([*common, "--epochs", "8", "--beams", "2"])
    assert "Epoch" not in capsys.readouterr().out
    for name in results:
        assert again[name]["rouge-1"] == pytest.approx(results[name]["rouge-1"])


def test_a_checkpoint_keeps_its_simple_tokens(tmp_path):
    vocabulary = [*seq2seq.SPECIAL, "[MASK]", "天", "气", "##天", "a", "##a", "好"]
    model = build_transformer_model({**TINY, "vocab_size": len(vocabulary)}, with_mlm=True)
    path = tmp_path / "small.zip"
    save_weights_as_checkpoint(model, path, vocab=vocabulary)
    tokenizer, loaded = seq2seq.load(path, [])
    tokens = tokenizer.ids_to_tokens(range(tokenizer.vocab_size))
    assert tokens == [*seq2seq.SPECIAL, "天", "气", "a", "##a", "好"]
    ours, whole = (m.get_layer("Embedding-Token").get_weights()[0] for m in (loaded, model))
    np.testing.assert_array_equal(ours, whole[[vocabulary.index(token) for token in tokens]])
    assert not np.array_equal(
        seq2seq.load(path, [], scratch=True)[1].get_layer("Embedding-Token").get_weights()[0], ours
    )


@pytest.mark.parametrize(
    ("example", "options", "message"),
    [
        (simbert, [], "--scratch to begin"),
        (seq2seq, [], "--scratch to begin"),
        (unilm_dialogue_rewrite, [], "--scratch to begin"),
    ],
    ids=["simbert", "titles", "dialogues"],
)
def test_neither_checkpoint_nor_scratch(example, options, message, capsys, tmp_path):
    with pytest.raises(SystemExit):
        example.main(["--data", str(tmp_path), *options])
    assert message in capsys.readouterr().err


def test_synonyms_need_something_to_start_from(capsys):
    for options, message in (([], "--scratch to train"), (["--scratch"], "needs --data")):
        with pytest.raises(SystemExit):
            simbert_synonyms.main(options)
        assert message in capsys.readouterr().err


def test_missing_data_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"train\.tsv"):
        seq2seq.main(["--scratch", "--data", str(tmp_path), "--output", str(tmp_path / "o")])
