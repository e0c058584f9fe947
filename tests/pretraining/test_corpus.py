"""Texts to a corpus: the whole way, with any number of processes, in any number of runs."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter

import pytest

from kerasbert.backend import tf
from kerasbert.tokenizers import Tokenizer
from pretraining import corpus, phases, preparing, reading
from pretraining.corpus import main, prepare
from pretraining.records import MANIFEST, Corpus, parse
from tests.conftest import CHECKOUT
from tests.pretraining.corpus_cases import as_text, make_documents, write_vocabulary

CUT = "tests.pretraining.corpus_cases:cut_pairs"


@pytest.fixture
def texts(tmp_path):
    """A folder of texts of several kinds, with documents twice."""
    folder = tmp_path / "texts"
    folder.mkdir()
    for at in range(3):
        (folder / f"{at}.txt").write_text(as_text(make_documents(40, at)), encoding="utf-8")
    packed = gzip.compress(as_text(make_documents(60, 0)).encode())  # 40 of them once more
    (folder / "3.txt.gz").write_bytes(packed)
    rows = [{"text": document} for document in make_documents(30, 4)]
    (folder / "4.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder


@pytest.fixture
def groups(tmp_path):
    path = tmp_path / "groups.txt"
    rows = [document for document in make_documents(80, 5) if len(document) > 1]
    path.write_text("\n".join("\t".join(row) for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def make(tmp_path):
    """Calls ``prepare`` on a folder of its own, or with its name in another."""
    vocabulary = write_vocabulary(tmp_path)

    def make(inputs, name="out", **options):
        options = {
            "style": "roberta",
            "max_length": 64,
            "segmenter": CUT,
            "shards": 4,
            "chunk_bytes": 4000,
            "progress": False,
            **options,
        }
        return prepare(inputs, vocabulary, tmp_path / name, **options)

    return make


def sequences(found: Corpus) -> list[dict]:
    """Every record, parsed."""
    pad = found.special_ids["pad"]
    rows = []
    for path, count in found.shards:
        dataset = tf.data.TFRecordDataset(str(path), compression_type="GZIP").batch(64)
        own = []
        for batch in dataset:
            parsed = parse(batch, found.max_length, pad)
            parsed = {name: value.numpy().tolist() for name, value in parsed.items()}
            own += [dict(zip(parsed, row)) for row in zip(*parsed.values())]
        assert len(own) == count
        rows += own
    return rows


def hashes(found: Corpus) -> list[str]:
    return [hashlib.sha256(path.read_bytes()).hexdigest() for path, _ in found.shards]


def test_a_corpus_holds_the_text(texts, make):
    found = make(texts)
    tokenizer = found.tokenizer()
    assert isinstance(tokenizer, Tokenizer) and found.vocab_size == len(tokenizer.token_dict)
    documents = [d for at in (0, 1, 2) for d in make_documents(40, at)]
    documents += make_documents(60, 0) + make_documents(30, 4)
    expected = Counter(char for document in documents for line in document for char in line)
    rows = sequences(found)
    special = set(found.special_ids.values())
    ids = Counter(
        at for row in rows for at in row["token_ids"][: row["length"]] if at not in special
    )
    assert Counter({tokenizer.id_to_token(at): n for at, n in ids.items()}) == expected
    for row in rows:
        assert row["token_ids"][0] == found.special_ids["cls"]
        assert row["token_ids"][row["length"] - 1] == found.special_ids["sep"]
        assert row["first_length"] == row["length"] <= 64 and row["label"] == 0
        flags = zip(row["token_ids"], row["word_starts"])
        assert all(flag for at, flag in flags if at in special and at != 0)
        assert not any(row["word_starts"][row["length"] :])


def test_the_manifest_tells_what_was_done(texts, make):
    found = make(texts, deduplicate=True)
    about = found.manifest
    assert about["counts"]["duplicates"] == 40
    assert about["counts"]["documents"] == 120 + 20 + 30
    assert about["counts"]["examples"] == found.examples == sum(n for _, n in found.shards)
    assert about["counts"]["tokens"] == found.tokens == sum(r["length"] for r in sequences(found))
    sizes = [count for _, count in found.shards]
    assert len(sizes) == 4 and max(sizes) - min(sizes) <= 1
    assert [shard["sha256"] for shard in about["shards"]] == hashes(found)
    settings = about["settings"]
    assert settings["segmenter"] == CUT and settings["seed"] == 1 and settings["deduplicate"]
    vocabulary = (found.folder / "vocab.txt").read_bytes()
    assert settings["tokenizer"]["vocab.txt"] == hashlib.sha256(vocabulary).hexdigest()
    assert [row["file"].rpartition("/")[2] for row in settings["inputs"]] == [
        "0.txt",
        "1.txt",
        "2.txt",
        "3.txt.gz",
        "4.jsonl",
    ]
    assert not about["problems"]
    assert sorted(path.name for path in found.folder.iterdir()) == [
        *(f"corpus-{at:05}-of-00004.tfrecord.gz" for at in range(4)),
        "manifest.json",
        "tokenizer_config.json",
        "vocab.txt",
    ]


@pytest.mark.parametrize("style", ["roberta", "short", "bert", "albert", "simbert"])
def test_styles_have_their_labels_and_lengths(texts, groups, make, style):
    found = make(groups if style == "simbert" else texts, style=style)
    assert found.style == style and Corpus.open(found.folder) == found
    rows = sequences(found)
    sep = found.special_ids["sep"]
    for row in rows:
        assert row["token_ids"][row["first_length"] - 1] == sep
    segments = {row["token_ids"].count(sep) for row in rows}
    labels = {row["label"] for row in rows}
    if style == "simbert":
        assert segments == {2} and len(labels) > 40
    elif style in ("bert", "albert"):
        assert segments == {2} and labels == {0, 1}
    else:
        assert labels == {0} and (segments == {1}) == (style == "short")


def test_the_same_seed_makes_the_same_corpus_and_another_another(texts, make):
    first, again = make(texts, "a", style="bert"), make(texts, "b", style="bert")
    other = make(texts, "c", style="bert", seed=2)
    assert hashes(first) == hashes(again) != hashes(other)


def test_repeats_pair_otherwise(groups, make):
    once, thrice = make(groups, "a", style="simbert"), make(groups, "b", style="simbert", repeats=3)
    assert thrice.examples == 3 * once.examples
    different = {tuple(row["token_ids"]) for row in sequences(thrice)}
    assert len(different) > 1.5 * once.examples


@pytest.mark.slow
@pytest.mark.parametrize("options", [{"style": "bert"}, {"deduplicate": True}])
def test_two_processes_make_the_same_bytes_as_one(texts, make, options):
    one = make(texts, "one", **options)
    two = make(texts, "two", workers=2, **options)
    assert hashes(one) == hashes(two)
    assert one.manifest == two.manifest


def test_documents_found_twice_are_dropped_in_the_order_of_the_input(tmp_path, make):
    documents = [[f"天{chr(97 + at)}。"] for at in range(20)]
    (tmp_path / "a.txt").write_text(as_text(documents + documents[:7]), encoding="utf-8")
    (tmp_path / "b.txt").write_text(as_text(documents[5:9] + [["地。"]]), encoding="utf-8")
    found = make([tmp_path / "a.txt", tmp_path / "b.txt"], style="short", deduplicate=True)
    texts = [row["token_ids"][: row["length"]] for row in sequences(found)]
    assert len(texts) == len(set(map(tuple, texts))) == 21
    assert found.manifest["counts"]["duplicates"] == 11


class Interrupted(Exception):
    pass


@pytest.mark.parametrize("options", [{}, {"deduplicate": True}])
@pytest.mark.parametrize("after", [0, 1, 7, "shards"])
def test_an_interrupted_run_goes_on_where_it_was(texts, make, monkeypatch, after, options):
    whole = make(texts, "whole", **options)
    calls = Counter()
    with monkeypatch.context() as patch:
        if after == "shards":
            patch.setattr(phases, "write_shard", _counted(phases.write_shard, calls, 2))
        else:
            patch.setattr(phases, "prepare_chunk", _counted(phases.prepare_chunk, calls, after))
        with pytest.raises(Interrupted):
            make(texts, "parts", **options)
    with pytest.raises(FileNotFoundError, match="same command"):
        Corpus.open(whole.folder.with_name("parts"))
    with monkeypatch.context() as patch:
        again = Counter()
        patch.setattr(phases, "prepare_chunk", _counted(phases.prepare_chunk, again))
        parts = make(texts, "parts", **options)
    done = 0 if after == "shards" else len(reading_chunks(texts)) - after
    assert again["calls"] == done  # nothing twice
    assert hashes(parts) == hashes(whole) and parts.manifest == whole.manifest


def _counted(function, calls, most=None):
    def counted(*arguments):
        if calls["calls"] == most:
            raise Interrupted
        calls["calls"] += 1
        return function(*arguments)

    return counted


def reading_chunks(texts):
    groups = reading.make_groups(reading.find_inputs(texts), 4000)
    return [chunk for group in groups for chunk in reading.read_chunks(group, 4000, [])]


def test_groups_read_to_their_end_are_not_read_again(texts, make, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(phases, "write_shard", _counted(phases.write_shard, Counter(), 0))
        with pytest.raises(Interrupted):
            make(texts)
    monkeypatch.setattr(phases, "read_chunks", None)
    make(texts)


def test_a_finished_corpus_is_opened_and_not_made_again(texts, make, monkeypatch):
    first = make(texts)
    monkeypatch.setattr(phases, "run", None)
    assert make(texts) == first


def test_a_folder_may_be_made_anew_in_one_process(texts, groups, make):
    first = make(texts)
    shutil.rmtree(first.folder)
    other = make(groups, style="simbert")
    assert len(sequences(other)) == other.examples
    shutil.rmtree(first.folder)
    assert hashes(make(texts)) == [shard["sha256"] for shard in first.manifest["shards"]]


@pytest.mark.parametrize("is_finished", [False, True])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 7}, "seed 7 instead of 1"),
        ({"max_length": 32, "style": "short"}, "max_length 32 .*style 'short' instead of"),
        ({"segmenter": "none"}, "segmenter 'none' instead"),
        ({"shards": 5}, "shards 5 instead of 4"),
    ],
)
def test_other_settings_for_the_same_folder_are_refused(
    texts, make, monkeypatch, is_finished, change, message
):
    if is_finished:
        make(texts)
    else:
        with monkeypatch.context() as patch:
            patch.setattr(phases, "prepare_chunk", _counted(None, Counter(), 0))
            with pytest.raises(Interrupted):
                make(texts)
    with pytest.raises(ValueError, match=f"begun with other settings .*{message}"):
        make(texts, **change)


def test_other_inputs_are_refused_too(texts, make, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(phases, "prepare_chunk", _counted(None, Counter(), 0))
        with pytest.raises(Interrupted):
            make(texts)
    content = (texts / "1.txt").read_bytes()
    os.utime(texts / "1.txt", (1, 1))
    with pytest.raises(ValueError, match="other modified"):
        make(texts)
    (texts / "1.txt").write_bytes(content + b"!")
    with pytest.raises(ValueError, match="other inputs, other modified"):
        make(texts)


def test_strangers_in_the_output_folder(texts, make, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "x.tfrecord").write_bytes(b"")
    with pytest.raises(ValueError, match=r"holds x\.tfrecord but no manifest\.json"):
        make(texts)
    with pytest.raises(ValueError, match="lies in the output folder"):
        make(texts, "texts")


def test_a_second_run_at_the_same_time_is_refused(texts, make, tmp_path):
    pytest.importorskip("fcntl")
    unfinished = tmp_path / "out" / preparing.UNFINISHED
    unfinished.mkdir(parents=True)
    with preparing._locked(unfinished / "lock", tmp_path):
        with pytest.raises(ValueError, match="another process is preparing"):
            make(texts)
    make(texts)


def test_files_left_by_a_killed_run_are_cleared_away(texts, make, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(phases, "prepare_chunk", _counted(phases.prepare_chunk, Counter(), 3))
        with pytest.raises(Interrupted):
            make(texts)
    (tmp_path / "out" / "corpus-00000-of-00004.tfrecord.gzabc.part").write_bytes(b"half")
    (tmp_path / "out" / preparing.UNFINISHED / "chunk-000000-00000009xyz.part").write_bytes(b"h")
    found = make(texts)
    assert not [path for path in found.folder.rglob("*") if path.name.endswith(".part")]


def test_bad_text_is_counted_and_reported_and_never_fatal(tmp_path, make):
    folder = tmp_path / "bad"
    folder.mkdir()
    (folder / "a.txt").write_bytes("天地。\n".encode() + b"\xff\xfe\0\n" + "玄黄。".encode())
    (folder / "b.txt").write_bytes(b"")
    (folder / "c.jsonl").write_text('{"text": "宇"}\n{"text": \n{"no": 1}\n{"text": ""}\n')
    (folder / "d.txt.gz").write_bytes(gzip.compress(b"the end. " * 999)[:-20])
    (folder / "e.txt.xz").write_bytes(b"no xz")
    found = make(folder)
    assert {
        name: count
        for name, count in found.manifest["counts"].items()
        if name in ("bad_bytes", "nul_characters", "broken_lines", "missing_fields")
        or name == "empty_documents"
    } == {
        "bad_bytes": 2,
        "nul_characters": 1,
        "broken_lines": 1,
        "missing_fields": 1,
        "empty_documents": 1,
    }
    problems = [problem.rpartition("/")[2] for problem in found.manifest["problems"]]
    assert [problem.partition(":")[0] for problem in problems] == [
        "b.txt",
        "d.txt.gz",
        "e.txt.xz",
        "e.txt.xz",
    ]
    assert "bad bytes" in corpus.summary(found) and "d.txt.gz: damaged" in corpus.summary(found)


def test_no_document_at_all_is_an_error(tmp_path, make):
    (tmp_path / "a.jsonl").write_text("{\n{\n")
    with pytest.raises(ValueError, match=r"no sequence came of the input \(broken_lines: 2\)"):
        make(tmp_path / "a.jsonl")


def test_few_sequences_make_few_shards(tmp_path, make):
    (tmp_path / "a.txt").write_text("天地。\n\n玄黄。", encoding="utf-8")
    found = make(tmp_path / "a.txt", style="short")
    assert [count for _, count in found.shards] == [1, 1]
    assert len(list(found.folder.glob("*.tfrecord.gz"))) == 2


def test_words_of_no_segmenter_are_single_characters(tmp_path, make):
    (tmp_path / "a.txt").write_text("天地玄黄。", encoding="utf-8")
    (row,) = sequences(make(tmp_path / "a.txt", segmenter="none"))
    assert row["word_starts"][: row["length"]] == [True] * 7
    (row,) = sequences(make(tmp_path / "a.txt", "pairs"))
    assert row["word_starts"][: row["length"]] == [True, True, False, True, False, True, True]


def test_every_line_and_text_field(tmp_path, make):
    (tmp_path / "a.txt").write_text("天。\n地。\n", encoding="utf-8")
    assert make(tmp_path / "a.txt", "a", style="short", every_line=True).examples == 2
    (tmp_path / "a.jsonl").write_text('{"body": "天。"}\n')
    assert make(tmp_path / "a.jsonl", "b", text_field="body").examples == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"style": "gpt"}, "style must be one of"),
        ({"max_length": 4}, "max_length must be 8 or more"),
        ({"shards": 0}, "shards must be"),
        ({"workers": 0}, "workers must be"),
        ({"documents": "mixed"}, "documents must be one of separated"),
        ({"short_seq_prob": 1.5}, "short_seq_prob must be from 0 to 1"),
        ({"repeats": 0}, "repeats must be"),
        ({"repeats": 2}, "masks are drawn anew"),
        ({"chunk_bytes": 0}, "chunk_bytes must be"),
        ({"segmenter": "hanlp"}, "a segmenter is one of"),
    ],
)
def test_wrong_arguments_are_refused_before_anything_is_written(
    texts, make, tmp_path, options, message
):
    with pytest.raises(ValueError, match=message):
        make(texts, **options)
    assert not (tmp_path / "out").exists()


def test_a_vocabulary_without_mask_is_refused(texts, tmp_path):
    tokenizer = Tokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "天"])
    with pytest.raises(ValueError, match="no mask token"):
        prepare(texts, tokenizer, tmp_path / "out", progress=False)


def test_a_corpus_at_a_url_opens(texts, make):
    found = make(texts)
    for path in found.folder.iterdir():
        tf.io.gfile.makedirs("ram://corpus")
        with tf.io.gfile.GFile(f"ram://corpus/{path.name}", "wb") as file:
            file.write(path.read_bytes())
    there = Corpus.open("ram://corpus/")
    assert there.manifest == found.manifest and there.folder == "ram://corpus"
    assert there.tokenizer().token_dict == found.tokenizer().token_dict
    assert sequences(there) == sequences(found)
    with pytest.raises(FileNotFoundError, match="holds no manifest"):
        Corpus.open("ram://nowhere")


# The command line.


def arguments(texts, tmp_path, *more):
    return [
        *("--input", str(texts / "*.txt"), str(texts / "*.txt.gz")),
        *("--vocab", str(write_vocabulary(tmp_path)), "--output", str(tmp_path / "out")),
        *("--max-length", "64", "--segmenter", CUT, "--shards", "3", "--workers", "1"),
        *("--chunk-bytes", "4000", *more),
    ]


def test_the_command_line_says_what_it_made(texts, tmp_path, capsys):
    assert main(arguments(texts, tmp_path, "--deduplicate")) == 0
    said = capsys.readouterr()
    found = Corpus.open(tmp_path / "out")
    assert "3 shards of style roberta" in said.out and f"{found.examples:,} examples" in said.out
    assert "40 duplicates" in said.out
    assert "characters/s" in said.err and "100%" in said.err
    assert main(arguments(texts, tmp_path, "--deduplicate", "--quiet")) == 0
    assert not capsys.readouterr().err


def test_the_command_line_passes_every_option_on(texts, tmp_path, monkeypatch):
    given = {}

    def stop(*arguments, **options):
        given.update(options)
        raise ValueError("enough")

    monkeypatch.setattr(corpus, "prepare", stop)
    options = ["--style", "bert", "--no-hmm", "--seed", "9", "--documents", "joined"]
    options += ["--repeats", "2", "--short-seq-prob", "0.2", "--text-field", "body"]
    options += ["--every-line", "--quiet"]
    assert main(arguments(texts, tmp_path, *options)) == 1
    inspected = __import__("inspect").signature(prepare).parameters
    assert set(given) == set(inspected)
    assert given["hmm"] is False and given["progress"] is False and given["every_line"] is True
    assert (given["style"], given["seed"], given["repeats"], given["workers"]) == ("bert", 9, 2, 1)
    assert (given["documents"], given["short_seq_prob"]) == ("joined", 0.2)
    assert given["text_field"] == "body"


def test_errors_are_one_line_and_a_status(tmp_path, capsys):
    texts = tmp_path / "nothing"
    assert main(arguments(texts, tmp_path)) == 1
    assert "error: there is no file for the input" in capsys.readouterr().err


def test_a_full_disk_is_told_and_loses_nothing(texts, tmp_path, monkeypatch, capsys, make):
    calls = Counter()

    def write_until_full(*given):
        if calls["calls"] == 3:
            raise OSError(28, "No space left on device")
        calls["calls"] += 1
        return write_chunk(*given)

    write_chunk = phases.write_chunk
    given = arguments(texts, tmp_path, "--quiet")
    with monkeypatch.context() as patch:
        patch.setattr(phases, "write_chunk", write_until_full)
        assert main(given) == 1
    assert "No space left on device" in capsys.readouterr().err
    assert main(given) == 0
    inputs = [f"{texts}/*.txt", f"{texts}/*.txt.gz"]
    assert hashes(Corpus.open(tmp_path / "out")) == hashes(make(inputs, "whole", shards=3))


def test_an_interrupt_says_how_to_go_on(texts, tmp_path, monkeypatch, capsys):
    def interrupt(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(phases, "run", interrupt)
    assert main(arguments(texts, tmp_path)) == 130
    assert "same command goes on" in capsys.readouterr().err


@pytest.mark.either
@pytest.mark.slow
@pytest.mark.parametrize("signal_name", ["SIGKILL", "SIGINT"])
def test_a_killed_command_goes_on(tmp_path, signal_name):
    texts = tmp_path / "texts"
    texts.mkdir()
    (texts / "a.txt").write_text(as_text(make_documents(1500)), encoding="utf-8")
    (texts / "b.txt.gz").write_bytes(gzip.compress(as_text(make_documents(999, 1)).encode()))
    command = [sys.executable, "-m", "pretraining.corpus", *arguments(texts, tmp_path)]
    command[command.index("--workers") + 1] = "2"
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    unfinished = tmp_path / "out" / preparing.UNFINISHED
    while len(list(unfinished.glob("chunk-*"))) < 5:  # it is at work
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.01)
    process.send_signal(getattr(signal, signal_name))
    said = process.communicate()[1]
    assert process.returncode == (-9 if signal_name == "SIGKILL" else 130), said
    assert not (tmp_path / "out" / MANIFEST).exists()
    assert len(list(unfinished.glob("chunk-*"))) >= 5
    assert main(arguments(texts, tmp_path, "--quiet")) == 0
    assert not unfinished.exists()
    parts = Corpus.open(tmp_path / "out")
    given = arguments(texts, tmp_path, "--quiet")
    given[given.index("--output") + 1] = str(tmp_path / "whole")
    assert main(given) == 0
    whole = Corpus.open(tmp_path / "whole")
    assert hashes(parts) == hashes(whole) and parts.manifest == whole.manifest


@pytest.mark.slow
def test_a_failing_segmenter_is_told_and_loses_nothing(texts, tmp_path, capsys):
    given = arguments(texts, tmp_path, "--quiet")
    given[given.index(CUT)] = "tests.pretraining.corpus_cases:fails"
    given[given.index("--workers") + 1] = "2"
    assert main(given) == 1
    assert "ArithmeticError: no word for this" in capsys.readouterr().err
