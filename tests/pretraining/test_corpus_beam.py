"""Corpus preparation on Apache Beam makes the same bytes as on one machine."""

from __future__ import annotations

import gzip
import importlib
import json
import sys

import pytest

from pretraining.corpus import prepare
from pretraining.records import Corpus
from tests.pretraining.corpus_cases import as_text, make_documents, write_vocabulary

CUT = "tests.pretraining.corpus_cases:cut_pairs"


def test_without_beam_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "apache_beam", None)
    monkeypatch.delitem(sys.modules, "pretraining.beam_corpus", raising=False)
    with pytest.raises(ImportError, match="pip install apache-beam"):
        importlib.import_module("pretraining.beam_corpus")


@pytest.fixture(scope="module")
def beam_corpus():
    pytest.importorskip("apache_beam")
    return importlib.import_module("pretraining.beam_corpus")


@pytest.fixture
def texts(tmp_path):
    folder = tmp_path / "texts"
    folder.mkdir()
    for at in range(3):
        (folder / f"{at}.txt").write_text(as_text(make_documents(30, at)), encoding="utf-8")
    packed = gzip.compress(as_text(make_documents(40, 0)).encode())
    (folder / "3.txt.gz").write_bytes(packed)
    (folder / "4.txt.gz").write_bytes(packed[:-30])
    (folder / "5.jsonl").write_text('{"text": "天地。"}\n{"text": \n')
    (folder / "6.txt").write_bytes(b"")
    return folder


OPTIONS = {"max_length": 64, "segmenter": CUT, "shards": 3, "chunk_bytes": 3000, "seed": 5}


@pytest.mark.slow
@pytest.mark.parametrize(
    "further", [{"style": "roberta"}, {"style": "bert", "deduplicate": True, "repeats": 2}]
)
def test_shards_and_manifest_are_those_of_one_machine(beam_corpus, texts, tmp_path, further):
    vocabulary = write_vocabulary(tmp_path)
    inputs = [f"{texts}/*.txt", f"{texts}/*.gz", f"{texts}/5.jsonl"]
    one = prepare(inputs, vocabulary, tmp_path / "one", progress=False, **OPTIONS, **further)
    settings = {"documents": "separated", "repeats": 1, "short_seq_prob": 0.1}
    settings.update(text_field="text", every_line=False, **OPTIONS)
    settings.update(further)
    beam_corpus.prepare(inputs, str(vocabulary), str(tmp_path / "beam"), **settings)
    other = Corpus.open(tmp_path / "beam")
    assert other.manifest == one.manifest
    assert one.manifest["counts"]["broken_lines"] == 1 and len(one.manifest["problems"]) == 2
    for (path, _), (expected, _) in zip(other.shards, one.shards):
        assert path.read_bytes() == expected.read_bytes()
    names = [path.name for path in (tmp_path / "beam").iterdir()]
    assert sorted(names) == sorted(path.name for path in (tmp_path / "one").iterdir())


@pytest.mark.slow
def test_the_command_line(beam_corpus, texts, tmp_path, capsys):
    given = [
        *("--input", str(texts / "0.txt"), "--vocab", str(write_vocabulary(tmp_path))),
        *("--output", str(tmp_path / "out"), "--segmenter", CUT, "--style", "short"),
        *("--runner", "DirectRunner"),
    ]
    assert beam_corpus.main(given) == 0
    assert Corpus.open(tmp_path / "out").manifest["counts"]["documents"] == 30
    assert beam_corpus.main(given) == 1
    assert "holds a corpus already" in capsys.readouterr().err
    given[1] = str(tmp_path / "nothing-*")
    given[5] = str(tmp_path / "other")
    assert beam_corpus.main(given) == 1
    assert "there is no file for the input" in capsys.readouterr().err


@pytest.mark.slow
def test_no_document_at_all_leaves_no_manifest(beam_corpus, tmp_path):
    (tmp_path / "a.jsonl").write_text(json.dumps({"no": 1}))
    given = [
        *("--input", str(tmp_path / "a.jsonl"), "--vocab", str(write_vocabulary(tmp_path))),
        *("--output", str(tmp_path / "out")),
    ]
    assert beam_corpus.main(given) == 1
    assert not (tmp_path / "out" / "manifest.json").exists()
