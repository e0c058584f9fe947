"""How this project's programs start: without TensorFlow where they can, without its chatter."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from kerasbert import startup

CHECKOUT = Path(__file__).resolve().parents[1]
TEXTS = "我 要 去\n北 京\n\n我 要 去\n" * 9


@pytest.fixture
def run(tmp_path):
    """Runs a program where the import of TensorFlow is an error."""
    (tmp_path / "tensorflow.py").write_text("raise RuntimeError('TensorFlow was imported')")
    (tmp_path / "a.txt").write_text(TEXTS, encoding="utf-8")
    path = os.pathsep.join([str(tmp_path), str(CHECKOUT)])

    def run(*arguments, **variables) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, *map(str, arguments)],
            env={**os.environ, "PYTHONPATH": path, **variables},
            capture_output=True,
            text=True,
            cwd=tmp_path,
        )

    return run


def test_a_corpus_is_made_without_tensorflow(run, tmp_path):
    make = ("-m", "pretraining.vocabulary", "--input", "a.txt", "--size", 200)
    done = run(*make, "--output", "vocab.txt")
    assert done.returncode == 0, done.stderr
    make = ("-m", "pretraining.corpus", "--input", "a.txt", "--vocab", "vocab.txt")
    for workers in (1, 2):
        output = f"corpus{workers}"
        done = run(*make, "--output", output, "--max-length", 16, "--workers", workers)
        assert done.returncode == 0, done.stderr
        assert (tmp_path / output / "manifest.json").exists()


@pytest.mark.parametrize("name", ["run", "corpus", "vocabulary", "pairs"])
def test_help_comes_without_tensorflow(run, name):
    done = run("-m", f"pretraining.{name}", "--help")
    assert done.returncode == 0 and done.stdout.startswith("usage: ") and not done.stderr


def test_that_the_import_would_be_noticed(run):
    assert "TensorFlow was imported" in run("-c", "import kerasbert").stderr


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.slow
def test_a_module_of_the_user_gets_all_of_the_package_in_a_command(run, tmp_path, workers):
    (tmp_path / "words.py").write_text(
        "from kerasbert import Tokenizer, build_transformer_model\n"
        "import kerasbert\n"
        "def cut(text):\n"
        "    assert kerasbert.TextEncoder and kerasbert.tasks.load_fine_tuned\n"
        "    return text.split()\n"
    )
    (tmp_path / "tensorflow.py").unlink()
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n我\n要\n")
    done = run(
        *("-m", "pretraining.corpus", "--input", "a.txt", "--vocab", "vocab.txt"),
        *("--output", "corpus", "--segmenter", "words:cut", "--workers", workers),
    )
    assert done.returncode == 0, done.stderr


def test_memory_is_kept_as_the_environment_lets(monkeypatch):
    for name in ("TF_CPU_ALLOCATOR_USE_BFC", "TF_CPU_BFC_MEM_LIMIT_IN_MB"):
        monkeypatch.setenv(name, "")  # so that it is put back
        monkeypatch.delenv(name)
    startup.keep_memory()
    assert os.environ["TF_CPU_ALLOCATOR_USE_BFC"] == "1"
    assert int(os.environ["TF_CPU_BFC_MEM_LIMIT_IN_MB"]) >= 64 * 1024
    monkeypatch.setenv("TF_CPU_ALLOCATOR_USE_BFC", "0")
    startup.keep_memory()
    assert os.environ["TF_CPU_ALLOCATOR_USE_BFC"] == "0"


@pytest.mark.slow
def test_tensorflow_heeds_it_until_there_is_a_tensor():
    code = (
        "import tensorflow as tf; from kerasbert.startup import keep_memory; keep_memory()\n"
        "try: tf.zeros([60_000_000])\n"
        "except tf.errors.ResourceExhaustedError as error: print('bfc' in str(error))"
    )
    limited = {**os.environ, "TF_CPU_BFC_MEM_LIMIT_IN_MB": "100"}
    done = subprocess.run([sys.executable, "-c", code], env=limited, capture_output=True, text=True)
    assert done.stdout.split() == ["True"], done.stderr


@pytest.mark.parametrize("name", ["demo", "simbert_synonyms"])
@pytest.mark.slow
def test_examples_are_quiet(name):
    script = CHECKOUT / "examples" / f"{name}.py"
    environment = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    environment["PYTHONPATH"] = str(CHECKOUT)
    command = [sys.executable, str(script), "--help"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.startswith("usage: ")
    assert not done.stderr


def test_a_failed_import_shows_what_tensorflow_said(tmp_path):
    (tmp_path / "tensorflow.py").write_text(
        "import os; os.write(2, b'the driver says no'); raise ImportError('libx.so')"
    )
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{CHECKOUT}"}
    for verbose in ("0", "1"):
        environment["KERASBERT_VERBOSE"] = verbose
        command = [sys.executable, "-c", "import kerasbert"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert "the driver says no" in done.stderr and "libx.so" in done.stderr
