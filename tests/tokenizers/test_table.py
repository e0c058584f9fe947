"""The table of recorded lines, on one recording made here."""

from __future__ import annotations

import gzip
import json

from kerasbert.tokenizers import Tokenizer
from tests.tokenizers import table
from tests.tokenizers.conftest import make_tokens


def test_it_counts_what_differs(tmp_path, monkeypatch, capsys):
    tokens = make_tokens()
    lines = [
        {"text": "我爱", "ids": [tokens.index("我"), tokens.index("爱")]},
        {"text": "hello", "ids": [tokens.index("hello")]},
        {"text": "world", "ids": [1]},
    ]
    with gzip.open(tmp_path / "lines.jsonl.gz", "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)
    recording = table.Recording(
        "made here", lambda _: Tokenizer(tokens), "lines.jsonl.gz", lambda line: line["ids"], False
    )
    modes = ("python", "batch", "offsets")
    for mode, (name, differ, read) in zip(modes, table.compare(recording, tmp_path, modes)):
        assert (name, differ, read) == (mode, [2], lines)
    monkeypatch.setattr(table, "RECORDINGS", [recording])
    table.main(tmp_path)
    assert capsys.readouterr().out.count("2 / 3") in (3, 4)  # the layer needs tensorflow-text


def test_every_recording_is_there(golden):
    for recording in table.RECORDINGS:
        assert (golden / recording.lines).is_file()
        assert recording.make(golden).vocab_size > 100
