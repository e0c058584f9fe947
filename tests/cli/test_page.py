"""Every command of docs/command_line.md runs, one after the other, as a reader would type them."""

from __future__ import annotations

import io
import json
import re
import shlex
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from kerasbert import Tokenizer, build_transformer_model, cli, save_weights_as_checkpoint
from kerasbert.embedding import VectorIndex
from tests.cli.conftest import VOCABULARY
from tests.tiny import CONFIG, bert_tensors

PAGE = Path(__file__).resolve().parents[2] / "docs" / "command_line.md"
BLOCK = re.compile(r"^```bash\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TEXTS = ["我爱北京", "怎么退换货", "", "hello world"]


def commands() -> list[str]:
    blocks = BLOCK.findall(PAGE.read_text(encoding="utf-8"))
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return [line for line in lines if line.strip()]


@pytest.fixture
def workplace(tmp_path, monkeypatch) -> Path:
    """Tiny models and texts under the names of the page."""
    config = {**CONFIG, "vocab_size": len(VOCABULARY), "max_position_embeddings": 64}
    heads = {"with_mlm": True, "with_nsp": True}
    model = build_transformer_model(config, bert_tensors(config), **heads)
    save_weights_as_checkpoint(model, tmp_path / "chinese_L-12_H-768_A-12.zip", vocab=VOCABULARY)
    save_weights_as_checkpoint(
        model, tmp_path / "chinese_simbert_L-4_H-312_A-12.zip", vocab=VOCABULARY
    )
    with zipfile.ZipFile(tmp_path / "chinese_L-12_H-768_A-12.zip") as archive:
        archive.extractall(tmp_path)
    (tmp_path / "out").mkdir()
    for name, lines in {
        "texts.txt": TEXTS,
        "questions.txt": ["退换货", "我爱天安门"],
        "pairs.tsv": ["我爱北京\t我爱天安门", "hello\tworld"],
        "reviews.jsonl": [json.dumps({"id": n, "text": text}) for n, text in enumerate(TEXTS)],
    }.items():
        (tmp_path / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def shell(line: str, capsys, monkeypatch) -> str:
    """Runs a line in which `kerasbert` is this process: pipes, `<` and `>`; gives its output."""
    content = b""
    for stage in line.split("|"):
        words = shlex.split(stage)
        target = None
        for sign in ("<", ">"):
            if sign in words:
                at = words.index(sign)
                path = Path(words[at + 1])
                content, target = (path.read_bytes(), target) if sign == "<" else (content, path)
                del words[at : at + 2]
        if words[0] == "kerasbert":
            monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content), "utf-8"))
            capsys.readouterr()
            status = cli.main(words[1:])
            done = capsys.readouterr()
            assert status == 0, (line, done.err)
            content = done.out.encode()
        else:
            content = subprocess.run(words, input=content, check=True, capture_output=True).stdout
        if target is not None:
            target.write_bytes(content)
            content = b""
    return content.decode()


@pytest.mark.either
@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="head")
def test_the_commands_of_the_page(workplace, capsys, monkeypatch):
    for command in cli.COMMANDS:
        assert command == "serve" or f"kerasbert {command} " in "\n".join(commands())
    said = {line: shell(line, capsys, monkeypatch) for line in commands()}

    def output(*words: str) -> str:
        (found,) = [out for line, out in said.items() if all(word in line for word in words)]
        return found

    assert "loads       exactly" in output("info", "12.zip")
    assert json.loads(output("info", "--json"))["loads"] is True
    assert "BertForPreTraining" in output("convert", "12.zip")
    assert json.loads(output("convert", "half"))["written"]
    original = build_transformer_model("chinese_L-12_H-768_A-12.zip", with_mlm=True)
    converted = build_transformer_model(checkpoint="out/bert_model.ckpt", with_mlm=True)
    for a, b in zip(original.get_weights(), converted.get_weights()):
        np.testing.assert_array_equal(a, b)
    assert Path("bert.weights.h5").is_file()
    assert len(json.loads(Path("models.json").read_text(encoding="utf-8"))) > 100

    assert np.load("vectors.npy").shape == (4, 16)
    assert output("| head").count("\n") == 1
    records = Path("vectors.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(record)["id"] for record in records] == [0, 1, 2, 3]
    assert len(output("similar", "pairs.tsv").splitlines()) == 2
    assert list(VectorIndex.load("texts.safetensors").texts) == [t for t in TEXTS if t]
    queries = [json.loads(line) for line in output("similar", "jsonl <").splitlines()]
    assert [len(query["results"]) for query in queries] == [3, 3]
    assert len(output("--beams").splitlines()) == 2
    assert len(Path("similar.jsonl").read_text(encoding="utf-8").splitlines()) == 2

    tokenizer = Tokenizer.from_pretrained("chinese_L-12_H-768_A-12.zip")
    ids = [list(map(int, line.split())) for line in Path("ids.txt").read_text().splitlines()]
    assert ids == tokenizer.encode_ids(TEXTS)
    assert output("--decode").splitlines() == TEXTS
    assert np.load("ids.npy").shape == (4, 32)
