"""The command as a process of its own: pipes, signals, statuses, TensorFlow only when needed."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import kerasbert
from kerasbert import cli, startup

CHECKOUT = Path(__file__).resolve().parents[2]
WITHOUT_TENSORFLOW = sys.version_info >= (3, 10)  # before, `python -m` does not say what it runs


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """One in which the import of TensorFlow is an error."""
    folder = tmp_path_factory.mktemp("forbidden")
    if WITHOUT_TENSORFLOW:
        (folder / "tensorflow.py").write_text("raise RuntimeError('TensorFlow was imported')")
    path = os.pathsep.join([str(folder), str(CHECKOUT)])
    return {**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": ""}


def command(*arguments) -> list[str]:
    return [sys.executable, "-m", "kerasbert", *map(str, arguments)]


def run(environment, *arguments, stdin: bytes = b"") -> subprocess.CompletedProcess:
    return subprocess.run(
        command(*arguments), env=environment, input=stdin, capture_output=True, timeout=300
    )


@contextlib.contextmanager
def process(environment, *arguments):
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    started = subprocess.Popen(command(*arguments), env=environment, **pipes)
    try:
        yield started
    finally:
        started.kill()
        started.wait()
        for pipe in (started.stdin, started.stdout, started.stderr):
            with contextlib.suppress(BrokenPipeError):
                pipe.close()


def test_light_commands_import_no_tensorflow(environment, vocabulary):
    for arguments, said in (
        (["--version"], kerasbert.__version__),
        (["--help"], "tokenize"),
        (["encode", "--help"], "examples:"),
        (["hub", "show", "RBT3"], "Apache-2.0"),
        (["tokenize", vocabulary, "--format", "jsonl"], '"offsets"'),
    ):
        done = run(environment, *arguments, stdin=b"hello\n")
        assert done.returncode == 0, done.stderr
        assert said in done.stdout.decode() and done.stderr == b""


@pytest.mark.skipif(not WITHOUT_TENSORFLOW, reason="TensorFlow is imported at once")
def test_the_check_of_imports_can_fail(environment, checkpoint):
    assert b"TensorFlow was imported" in run(environment, "info", checkpoint).stderr


def test_a_reader_that_goes_ends_it_quietly(environment, vocabulary, tmp_path):
    """As `head -n 1` does."""
    (tmp_path / "many.txt").write_text("hello world\n" * 200_000)
    with process(environment, "tokenize", vocabulary, tmp_path / "many.txt") as started:
        assert started.stdout.readline() == b"[CLS] hello world [SEP]\n"
        started.stdout.close()
        assert started.wait(120) == 1
        assert started.stderr.read() == b""


def test_a_line_is_answered_before_the_next_one_comes(environment, vocabulary):
    with process(environment, "tokenize", vocabulary) as started:
        for word in (b"hello", b"world"):
            started.stdin.write(word + b"\n")
            started.stdin.flush()
            assert started.stdout.readline() == b"[CLS] " + word + b" [SEP]\n"
        started.stdin.close()
        assert started.wait(120) == 0


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_ctrl_c(environment, vocabulary, tmp_path):
    path = tmp_path / "out.txt"
    with process(environment, "tokenize", vocabulary, "-o", path) as started:
        started.stdin.write(b"hello\n")
        started.stdin.flush()
        while not list(tmp_path.iterdir()):  # it has begun to write
            assert started.poll() is None
        started.send_signal(signal.SIGINT)
        assert started.wait(120) == 130
        assert b"Traceback" not in started.stderr.read()
    assert list(tmp_path.iterdir()) == []


def test_other_locales(environment, vocabulary):
    """Texts are UTF-8 whatever the terminal is said to be."""
    latin = {**environment, "LC_ALL": "C", "PYTHONIOENCODING": "latin-1", "PYTHONUTF8": "0"}
    done = run(latin, "tokenize", vocabulary, stdin="我".encode())
    assert done.stdout.decode() == "[CLS] 我 [SEP]\n", done.stderr


@pytest.mark.either
@pytest.mark.slow
def test_a_model_is_loaded_without_chatter(checkpoint, tmp_path):
    assert cli.main(["convert", str(checkpoint), str(tmp_path / "hf"), "--to", "huggingface"]) == 0
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    environment.pop("TF_CPP_MIN_LOG_LEVEL", None)
    for folder in (checkpoint, tmp_path / "hf"):
        done = run(environment, "encode", folder, "--pooling", "cls", stdin=b"hello\nworld\n")
        assert (done.returncode, done.stderr) == (0, b"")
        assert [len(line.split()) for line in done.stdout.splitlines()] == [16, 16]


# In this process


def test_commands_have_examples_that_parse():
    parser = cli.make_parser()
    actions = [action for action in parser._actions if action.dest == "command"]
    for name, one in actions[0].choices.items():
        if name == "serve":
            continue
        epilog = one.epilog.replace("\\\n", " ")
        examples = [line.split() for line in epilog.splitlines() if line.startswith("  ")]
        assert examples
        for words in examples:
            assert words[:2] == ["kerasbert", name]
            words = words[1 : words.index("<")] if "<" in words else words[1:]
            cli._parse(words)


def test_files_may_stand_behind_options():
    assert cli._parse(["tokenize", "m", "a", "--ids", "b", "-"]).files == ["a", "b", "-"]
    for words in (["tokenize", "m", "a", "--idz", "b"], ["info", "a", "b"]):
        with pytest.raises(SystemExit):
            cli._parse(words)


@pytest.mark.parametrize(
    ("argv", "original", "expected"),
    [
        ("/venv/bin/kerasbert", [], True),
        ("C:\\venv\\Scripts\\kerasbert.exe", [], True),
        ("-m", ["python", "-X", "dev", "-m", "kerasbert", "info"], True),
        ("-m", ["python", "-m", "pytest", "kerasbert"], False),
        ("train.py", ["python", "train.py", "-m", "kerasbert"], False),
        ("", [], False),
        ("my_kerasbert", [], False),
        (str(CHECKOUT / "pretraining" / "run.py"), [], True),
        (str(CHECKOUT / "pretraining" / "loop.py"), [], False),
        ("/elsewhere/pretraining/run.py", ["python", "-m", "pretraining.run"], False),
    ],
)
def test_who_is_the_command(monkeypatch, argv, original, expected):
    monkeypatch.setattr(sys, "argv", [argv])
    monkeypatch.setattr(sys, "orig_argv", original, raising=False)
    assert startup.is_command() is expected


def test_messages_are_lines_that_begin_with_the_command(run_in_process, monkeypatch):
    import logging
    import warnings

    def work(arguments):
        logging.getLogger("kerasbert.x").warning("of %d", 7)
        logging.getLogger("kerasbert.x").info("not said")
        warnings.warn("under a licence", UserWarning, stacklevel=1)
        warnings.warn("old", DeprecationWarning, stacklevel=1)
        raise OSError("disk full")

    monkeypatch.setattr("kerasbert.cli.info.run", work)
    handlers = list(logging.getLogger("kerasbert").handlers)
    done = run_in_process("info", "x")
    assert done.err.splitlines() == [
        "kerasbert info: warning: of 7",
        "kerasbert info: warning: under a licence",
        "kerasbert info: error: disk full",
    ]
    assert done.status == 1 and logging.getLogger("kerasbert").handlers == handlers


@pytest.fixture
def run_in_process(request):
    return request.getfixturevalue("run")


def test_the_console_script_is_declared():
    text = (CHECKOUT / "pyproject.toml").read_text(encoding="utf-8")
    assert 'kerasbert = "kerasbert.cli:main"' in text
    scripts = importlib.metadata.entry_points()
    if hasattr(scripts, "select"):
        scripts = scripts.select(group="console_scripts")
    else:  # Python 3.9
        scripts = scripts["console_scripts"]
    named = [script for script in scripts if script.name == "kerasbert"]
    for script in named:  # none where the package is not installed
        assert script.load() is cli.main
