"""Vocabularies learnt from raw text: what they hold, and that the tokenizer agrees."""

import gzip
import os
import random
import subprocess
import sys
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasbert import Tokenizer
from kerasbert.tokenizers import load_vocab, save_vocab
from kerasbert.tokenizers.characters import Rules, split_words
from pretraining import vocabulary
from pretraining.texts import Texts
from pretraining.vocabulary import (
    CHINESE_PUNCTUATION,
    count_files,
    count_words,
    learn_vocabulary,
    main,
)
from pretraining.word_pieces import learn_pieces, spell

ALWAYS = 5 + 32 + len(CHINESE_PUNCTUATION) + 36 + 36
TEXT = "今天天气很好，我们去公园。今天天氣很好，我們去公園。Learning and reading, 2019 and 2018!\n"
# Letters of many kinds, what cleaning drops, marks that combine, compatibility forms, an emoji.
texts = st.lists(
    st.text(
        st.one_of(
            st.sampled_from(
                "今天天氣气，。！ab12 AB.\n\tΣσİéﬁ½ｗ○々가ア\u0301\u3000\ufeff\x00\u2028金😀#"
            ),
            st.characters(exclude_categories=("Cs",)),
        ),
        max_size=30,
    ),
    max_size=8,
)


def learn(lines, size=1000, min_count=1, lower_case=True):
    return learn_vocabulary(count_words(lines, lower_case), size, min_count, lower_case)


def test_special_tokens_come_first_and_padding_is_zero():
    assert learn([TEXT]).tokens[:5] == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def test_both_scripts_and_their_punctuation_are_covered():
    tokens = learn([TEXT]).tokens
    assert {"气", "氣", "们", "們", "，", "。", "「", "』", "—"} <= set(tokens)


def test_characters_come_by_frequency_and_ties_by_code_point():
    tokens = learn(["好好好天天去去我"]).tokens
    assert tokens[-4:] == ["好", "去", "天", "我"]


def test_latin_words_are_learnt_as_pieces_and_characters_never_merge():
    learnt = learn(["天气天气天气 playing played walking walked"] * 5)
    tokens = set(learnt.tokens)
    assert {"##ing", "##ed", "play", "walk"} <= tokens
    assert not any(len(token) > 1 and "天" in token for token in tokens)
    assert learnt.pieces >= 4


def test_any_ascii_text_can_be_spelt_whatever_was_learnt():
    tokenizer = Tokenizer(learn(["天"]).tokens, do_lower_case=True)
    assert tokenizer.unk_id not in tokenizer.encode("Quartz 8 glyphs: job, vex'd (cwm) fink!")[0]


def test_capitals_stay_when_cased():
    tokens = learn(["Berlin Berlin"], lower_case=False).tokens
    assert "Berlin" in tokens
    assert "berlin" in learn(["Berlin Berlin"]).tokens


def test_the_size_cuts_off_the_rarest():
    lines = ["一" * 9 + "二" * 8 + "三" * 7 + "abcd " * 6]
    assert learn(lines, size=ALWAYS + 2).tokens[ALWAYS:] == ["一", "二"]
    more = learn(lines, size=ALWAYS + 4).tokens[ALWAYS:]
    assert more[:3] == ["一", "二", "三"]
    assert len(more) == 4
    assert len(more[3].replace("##", "")) == 2  # the first merge of abcd


def test_rare_characters_are_left_out_and_counted():
    learnt = learn(["一一二 xé"], min_count=2)
    assert "二" not in learnt.tokens
    assert (learnt.words, learnt.unknown) == (4, 1)


def test_long_words_and_half_characters_are_unknown_not_fatal(tmp_path):
    learnt = learn(["天" + "x" * 201 + " a\ud800b"])
    assert (learnt.words, learnt.unknown) == (3, 2)
    save_vocab(tmp_path / "vocab.txt", learnt.tokens)


@given(texts, st.booleans())
def test_words_are_those_of_the_tokenizer(lines, lower_case):
    rules = Rules(lower_case, lower_case)
    expected = Counter(word for line in lines for word, _ in split_words(line, rules))
    if not (lower_case and any("Σ" in line for line in lines)):
        assert count_words(lines, lower_case) == expected


@given(texts, st.booleans(), st.integers(ALWAYS + 52, ALWAYS + 90), st.integers(1, 3))
@settings(deadline=None)
def test_every_vocabulary_tokenizes_its_text_as_counted(lines, lower_case, size, min_count):
    words = count_words(lines, lower_case)
    if not words:
        return
    learnt = learn_vocabulary(words, size, min_count, lower_case)
    assert len(learnt.tokens) <= size
    assert len(set(learnt.tokens)) == len(learnt.tokens)
    assert not any(token != "".join(token.split()) or not token for token in learnt.tokens)
    tokenizer = Tokenizer(learnt.tokens, do_lower_case=lower_case)
    ids = [i for line in lines for i in tokenizer.encode(line)[0]]
    assert ids.count(tokenizer.unk_id) == learnt.unknown
    shuffled = dict(random.Random(0).sample(list(words.items()), len(words)))
    assert learn_vocabulary(shuffled, size, min_count, lower_case) == learnt


@given(
    st.dictionaries(st.text("abc", min_size=1, max_size=6), st.integers(1, 9), max_size=8),
    st.integers(1, 3),
)
def test_pieces_are_those_of_recounting_after_every_merge(words, min_count):
    spelt, expected = {word: spell(word) for word in words}, {}
    while True:
        pairs = Counter()
        for word, pieces in spelt.items():
            for pair in zip(pieces, pieces[1:]):
                pairs[pair] += words[word]
        if not pairs or max(pairs.values()) < min_count:
            break
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        joined = best[0] + best[1][2:]
        expected.setdefault(joined, pairs[best])
        for word, pieces in spelt.items():
            merged = []
            for piece in pieces:
                if merged and (merged[-1], piece) == best:
                    merged[-1] = joined
                else:
                    merged.append(piece)
            spelt[word] = merged
    assert list(learn_pieces(words, 10**6, min_count).items()) == list(expected.items())
    few = learn_pieces(words, 3, min_count)
    assert list(few.items()) == list(expected.items())[:3]


def test_frequent_words_survive_when_memory_is_short(tmp_path, monkeypatch):
    for number in range(100):
        (tmp_path / f"{number}.txt").write_text(f"often once{number}")
    monkeypatch.setattr("pretraining.texts.choose_chunk_bytes", lambda _: 10)
    monkeypatch.setattr(vocabulary, "_MOST_WORDS", 20)
    counts = count_files(Texts(tmp_path))
    assert counts["often"] == 100
    assert len(counts) <= 21


def test_chunks_that_finish_out_of_turn_are_counted_in_turn(tmp_path, monkeypatch):
    (tmp_path / "a.txt").write_text("\n\n".join(f"w{n} w{n // 2} w{n // 3}" for n in range(60)))
    monkeypatch.setattr("pretraining.texts.choose_chunk_bytes", lambda _: 10)
    monkeypatch.setattr(vocabulary, "_MOST_WORDS", 5)  # what is forgotten depends on the order
    expected = count_files(Texts(tmp_path))

    class Backwards(vocabulary.Workers):
        def run(self, function, tasks):
            results = list(super().run(function, tasks))
            return reversed(results)

    monkeypatch.setattr(vocabulary, "Workers", Backwards)
    assert count_files(Texts(tmp_path)) == expected
    assert len(expected) < 60


@pytest.mark.slow
def test_the_number_of_workers_changes_nothing(tmp_path, monkeypatch):
    words = ["天地玄黄", "宇宙洪荒", "reading", "learning", "deep", "2019", "，。"]
    for number in range(3):
        lines = [" ".join(random.Random(i).choices(words, k=20)) for i in range(9000)]
        (tmp_path / f"{number}.txt").write_text("\n\n".join(lines), encoding="utf-8")
    written = []
    for workers in ("1", "3"):
        output = tmp_path / workers / "vocab.txt"
        main(["--input", f"{tmp_path}/*.txt", "--output", str(output), "--workers", workers])
        written.append(output.read_bytes())
    assert written[0] == written[1]
    assert load_vocab(tmp_path / "3" / "vocab.txt")["[MASK]"] == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--size", "50"], f"at least --size {ALWAYS}"),
        (["--min-count", "0"], "min_count"),
        (["--workers", "0"], "at least one worker"),
        (["--input", "nothing-here-*.txt"], "nothing-here"),
    ],
)
def test_wrong_settings_are_explained_and_write_nothing(tmp_path, arguments, message):
    (tmp_path / "a.txt").write_text(TEXT, encoding="utf-8")
    output = tmp_path / "vocab.txt"
    with pytest.raises((OSError, ValueError), match=message):
        main(["--input", str(tmp_path / "a.txt"), "--output", str(output), *arguments])
    assert not output.exists()


def test_a_file_without_words_is_refused(tmp_path):
    (tmp_path / "a.txt").write_text("\n \n", encoding="utf-8")
    with pytest.raises(ValueError, match="no word was found"):
        main(["--input", str(tmp_path / "a.txt"), "--output", str(tmp_path / "vocab.txt")])


def test_broken_text_is_counted_as_far_as_it_can_be_read(tmp_path, capsys):
    (tmp_path / "a.txt").write_bytes("天\n".encode() * 3 + b"\xff\xfe\n" + "地\n".encode() * 2)
    (tmp_path / "b.txt").write_text("")
    learnt = main(["--input", str(tmp_path), "--output", str(tmp_path / "vocab.txt")])
    assert {"天", "地"} <= set(learnt.tokens)
    assert learnt.words == 5
    complaints = capsys.readouterr().err
    assert "2 bad bytes" in complaints
    assert "b.txt: empty" in complaints


def test_compressed_files_and_json_lines_are_read(tmp_path):
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress("天天".encode()))
    (tmp_path / "b.jsonl").write_text('{"body": "地地"}\n{"body": ["玄玄", "黄黄"]}\n', "utf-8")
    command = ["--input", str(tmp_path), "--output", str(tmp_path / "vocab.txt")]
    learnt = main([*command, "--text-field", "body"])
    assert set("天地玄黄") <= set(learnt.tokens)


@pytest.mark.either
@pytest.mark.slow
def test_the_command_line_says_what_it_wrote_and_what_is_wrong(tmp_path):
    (tmp_path / "a.txt").write_text(TEXT * 2, encoding="utf-8")
    command = [sys.executable, "-m", "pretraining.vocabulary", "--input", str(tmp_path / "a.txt")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    options = {"capture_output": True, "text": True, "env": environment}
    done = subprocess.run([*command, "--output", str(tmp_path / "v.txt")], check=True, **options)
    assert "[UNK] (0.0000%)" in done.stdout
    failed = subprocess.run(
        [*command, "--output", str(tmp_path / "v.txt"), "--size", "1"], check=False, **options
    )
    assert failed.returncode == 1
    assert failed.stderr.strip().splitlines()[-1].startswith("error: a vocabulary of 1 tokens")
