"""Groups of similar sentences from raw text."""

import json
import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pretraining import pairs
from pretraining.alterations import KEPT, SHARE_KEPT, Alterer, read_synonyms
from pretraining.pairs import choose, main, sentences

SENTENCE = "我们昨天在公园里看见了很多美丽的花，孩子们都非常高兴。"


def cut(text):
    """Words of two characters, punctuation apart."""
    return re.findall(r"\w{1,2}|\W", text)


def letters(text):
    return "".join(filter(str.isalnum, text)).lower()


@given(st.text("我们昨天在公园里不没三3，。？“” ab", max_size=30), st.integers(0, 3))
def test_copies_differ_in_more_than_punctuation(sentence, seed):
    copies = Alterer(cut, seed=seed).copies(sentence, 3)
    assert len({letters(text) for text in [sentence, *copies]}) == len(copies) + 1
    assert copies == Alterer(cut, seed=seed).copies(sentence, 3)


@given(st.text("我们昨天在公园里看见不没三3，。", min_size=6, max_size=30), st.integers(0, 9))
def test_copies_keep_negations_numbers_and_most_letters(sentence, seed):
    for copy in Alterer(cut, seed=seed).copies(sentence, 2):
        assert set(KEPT.findall(sentence)) == set(KEPT.findall(copy))
        assert len(letters(copy)) >= SHARE_KEPT * len(letters(sentence))


def test_every_sentence_of_some_length_has_its_copies_and_the_seed_changes_them():
    copies = [tuple(Alterer(cut, seed=seed).copies(SENTENCE, 2)) for seed in range(20)]
    assert all(len(texts) == 2 for texts in copies)
    assert len(set(copies)) > 15


def test_words_are_left_out_moved_repeated_and_added():
    found = [text for s in range(60) for text in Alterer(cut, seed=s).copies(SENTENCE)]
    own = sorted(letters(SENTENCE))
    lengths = {len(letters(text)) - len(own) for text in found}
    assert min(lengths) < 0 < max(lengths)
    assert any(sorted(letters(text)) == own for text in found)  # moved
    assert any(text[0] != "我" and "我们昨天" in text for text in found)  # an opening, or moved
    assert any(not text.endswith("。") for text in found)


def test_what_cannot_be_changed_has_no_copy():
    alterer = Alterer(cut)
    assert alterer.copies("") == []
    assert alterer.copies("，。！") == []


def test_similar_words_come_in_when_given():
    similar = {"美丽": ["漂亮"], "高兴": ["快乐"], "三个": ["四个"]}

    def segment(text):
        return re.findall("美丽|高兴|三个|.", text)

    found = {
        text
        for seed in range(40)
        for text in Alterer(segment, similar, seed).copies("三个美丽的花园，高兴了")
    }
    assert any("漂亮" in text for text in found)
    assert any("快乐" in text for text in found)
    assert not any("四个" in text for text in found)  # a number stays
    assert not any("漂亮" in text for text in Alterer(segment).copies("三个美丽的花园", 20))


def test_synonyms_are_read_from_lines_and_from_cilin(tmp_path):
    path = tmp_path / "similar.txt"
    path.write_text("Aa01A01= 人 士 人物\nAa01A02# 山 海\nAa01A03@ 独\n高兴\t快乐\n", "utf-8")
    expected = {"人": ["士", "人物"], "士": ["人", "人物"], "人物": ["人", "士"]}
    assert read_synonyms(path) == {**expected, "高兴": ["快乐"], "快乐": ["高兴"]}
    path.write_text("人\n士\n", "utf-8")
    with pytest.raises(ValueError, match="no line of two"):
        read_synonyms(path)
    path.write_bytes("高兴 快乐".encode("gbk"))
    with pytest.raises(ValueError, match="not UTF-8"):
        read_synonyms(path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("他今天来了吗？我不知道他来不来。", ["他今天来了吗？", "我不知道他来不来。"]),
        ("凤孙道：“你到底知道吗？”他不说话了。", ["凤孙道：“你到底知道吗？”", "他不说话了。"]),
        ("他说：“我们今天不去。明天一起去。”", ["他说：我们今天不去。", "明天一起去。"]),
        ("第十二条 本条例自公布之日起施行。", ["本条例自公布之日起施行。"]),
        ("（三）其他应当公开的事项；", ["其他应当公开的事项；"]),
        ("太短了。", []),
        ("啊啊啊啊啊啊啊啊啊啊。", []),
        ("1234567890：一二三", []),
        ("Rust is fast. It is safe, too.", ["It is safe, too."]),  # few letters, over and over
        ("长" * 50, []),
    ],
)
def test_sentences_stand_alone(text, expected):
    found = list(sentences(text))
    assert [s for s in found if s != "Rust is fast."] == expected


@given(st.lists(st.text("甲乙丙", max_size=4), max_size=40), st.integers(1, 10), st.integers(0, 2))
def test_a_sample_does_not_depend_on_the_order(found, count, seed):
    sample = choose(found, count, seed)
    assert len(sample) == min(count, len(set(found)))
    assert len(set(sample)) == len(sample)
    assert set(sample) <= set(found)
    assert choose(random.Random(0).sample(found, len(found)), count, seed) == sample
    assert choose(found, 100, seed)[: len(sample)] == sample


def write_texts(folder):
    lines = [
        f"今天{a}在{b}看见了{c}，大家都很高兴。"
        for a in "张王李赵"
        for b in "家校店"
        for c in "花鸟"
    ]
    (folder / "a.txt").write_text("\n".join(lines * 2), encoding="utf-8")
    return lines


def test_the_command_writes_groups_and_the_same_again(tmp_path, capsys):
    lines = write_texts(tmp_path)
    command = ["--input", f"{tmp_path}/*.txt", "--copies", "2", "--segmenter", "rjieba"]
    for name in ("one", "two"):
        assert main([*command, "--groups", "10", "--output", str(tmp_path / name)]) == 10
    assert "10 groups; 0 sentences had nothing" in capsys.readouterr().out
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    written = (tmp_path / "one").read_text(encoding="utf-8").splitlines()
    groups = [json.loads(line)["texts"] for line in written]
    assert all(group[0] in lines and len(set(group)) == 3 for group in groups)
    assert main([*command, "--output", str(tmp_path / "all")]) == len(lines)
    main([*command, "--groups", "10", "--output", str(tmp_path / "other"), "--seed", "1"])
    assert (tmp_path / "other").read_bytes() != (tmp_path / "one").read_bytes()


def test_bad_text_is_reported(tmp_path, capsys):
    (tmp_path / "a.txt").write_bytes(b"\xff" + SENTENCE.encode())
    main(["--input", str(tmp_path / "a.txt"), "--output", str(tmp_path / "groups")])
    assert "1 bad bytes" in capsys.readouterr().err
    assert json.loads((tmp_path / "groups").read_text(encoding="utf-8"))["texts"][0] == SENTENCE


def test_an_interrupted_run_leaves_what_was_there(tmp_path, monkeypatch):
    write_texts(tmp_path)
    (tmp_path / "groups").write_text("old")

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(pairs.json, "dumps", interrupted)
    with pytest.raises(KeyboardInterrupt):
        main(["--input", str(tmp_path / "a.txt"), "--output", str(tmp_path / "groups")])
    assert (tmp_path / "groups").read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.txt", "groups"]


def test_text_without_sentences_is_refused(tmp_path):
    (tmp_path / "a.txt").write_text("短\n", encoding="utf-8")
    with pytest.raises(ValueError, match="no sentence of 6 to 40"):
        main(["--input", str(tmp_path / "a.txt"), "--output", str(tmp_path / "groups")])


@pytest.mark.parametrize("wrong", [["--groups", "0"], ["--copies", "-1"], ["--longest", "3"]])
def test_wrong_numbers_are_refused(tmp_path, wrong, capsys):
    with pytest.raises(SystemExit):
        main(["--input", "x", "--output", str(tmp_path / "groups"), *wrong])
    assert wrong[0] in capsys.readouterr().err
