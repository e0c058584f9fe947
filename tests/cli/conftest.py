"""A tiny UniLM as a published archive, and the command in this process."""

from __future__ import annotations

import io
from pathlib import Path
from typing import NamedTuple

import pytest

from kerasbert.cli import main
from tests.tiny import CONFIG, bert_tensors

CHARACTERS = "我爱北京天安门科学技术怎么退换货想今气样"
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghijklmnopqrstuvwxyz0123456789"]
VOCABULARY += [*CHARACTERS, "hello", "world", "##s", "##ing", ",", "!"]


class Done(NamedTuple):
    """What a command line did."""

    status: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


@pytest.fixture
def run(capsys, monkeypatch):
    """Runs a command line in this process, with bytes as its standard input."""

    def run(*arguments, stdin: bytes = b"") -> Done:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin), "utf-8"))
        capsys.readouterr()
        try:
            status = main([str(argument) for argument in arguments])
        except SystemExit as exit_:
            status = exit_.code
        return Done(status, *capsys.readouterr())

    return run


@pytest.fixture
def succeed(run):
    """Runs a command line that must end well, and gives its output's lines."""

    def succeed(*arguments, stdin: bytes = b"") -> list[str]:
        done = run(*arguments, stdin=stdin)
        assert done.status == 0, done.err
        return done.lines

    return succeed


@pytest.fixture
def fail(run):
    """Runs a command line whose work must fail, and gives the one line that says why."""

    def fail(*arguments, stdin: bytes = b"", status: int = 1) -> str:
        done = run(*arguments, stdin=stdin)
        assert done.status == status and not done.out, done
        if status == 1:
            assert done.err.startswith(f"kerasbert {arguments[0]}: error: ")
        return done.err

    return fail


@pytest.fixture(autouse=True, scope="module")
def loaded_once():
    """Within a module a model is loaded and compiled once for all command lines that ask for it."""
    from kerasbert.cli import models

    known = {}

    def once(function):
        def cached(arguments, *rest):
            names = ("checkpoint", "model", "application", "dtype", "layers")
            asked = [getattr(arguments, name, None) for name in names]
            key = str(
                (function.__name__, asked, rest if function.__name__ == "load_encoder" else ())
            )
            if key not in known:
                known[key] = function(arguments, *rest)
            return known[key]

        return cached

    with pytest.MonkeyPatch.context() as patch:
        for function in (models.load_encoder, models.load_generator):
            patch.setattr(models, function.__name__, once(function))
        yield


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory) -> Path:
    """A BERT with pooler and MLM head, and its vocabulary, as an archive."""
    from kerasbert import build_transformer_model, save_weights_as_checkpoint

    config = {**CONFIG, "vocab_size": len(VOCABULARY), "max_position_embeddings": 64}
    model = build_transformer_model(config, bert_tensors(config), with_mlm=True, with_pool=True)
    path = tmp_path_factory.mktemp("cli") / "tiny.zip"
    save_weights_as_checkpoint(model, path, vocab=VOCABULARY)
    return path


@pytest.fixture(scope="session")
def vocabulary(tmp_path_factory) -> Path:
    """Its vocabulary alone."""
    path = tmp_path_factory.mktemp("vocabulary") / "vocab.txt"
    path.write_text("\n".join(VOCABULARY) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def encoder(checkpoint):
    """What `encode --model unilm` uses."""
    from kerasbert import TextEncoder, Tokenizer, build_transformer_model

    model = build_transformer_model(checkpoint, model="unilm", with_pool="linear")
    return TextEncoder(model, Tokenizer.from_pretrained(checkpoint))
