"""How programs start: TensorFlow in less time, without its chatter, or not at all."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
import tempfile
from collections.abc import Iterator

_VERBOSE = "KERASBERT_VERBOSE"
# Of the package `pretraining`, which lies beside this one.
_PRETRAINING = ("beam_corpus.py", "corpus.py", "pairs.py", "run.py", "vocabulary.py")


@contextlib.contextmanager
def without_garbage_collection() -> Iterator[None]:
    """Pauses the garbage collector while modules are imported, and spares it their objects later.

    TensorFlow's import makes about a million objects that live as long as the process. Going
    through them again and again while they are made, and once more when the first model is built,
    takes a third of a second. Nothing changes for a process that has imported TensorFlow already,
    or has turned the collector off.
    """
    if "tensorflow" in sys.modules or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        gc.enable()


def is_command() -> bool:
    """Whether this process is one of this project's commands, by how it was started.

    They import TensorFlow when they need it: ``kerasbert --help``, ``kerasbert tokenize`` and
    ``python -m pretraining.corpus`` begin in a fraction of the time that TensorFlow's import takes,
    and without its memory. Any other program gets all of the package with ``import kerasbert``, for
    Keras finds the layers of a saved model only when their modules are imported.
    """
    program = sys.argv[0] if sys.argv else ""
    if program == "-m":  # while the package of `python -m kerasbert` is imported
        words = getattr(sys, "orig_argv", [])  # since Python 3.10; before, TensorFlow is imported
        return any(pair == ("-m", "kerasbert") for pair in zip(words, words[1:]))
    folder, _, name = program.replace("\\", "/").rpartition("/")
    if name in _PRETRAINING:
        beside = os.path.join(os.path.dirname(os.path.dirname(__file__)), "pretraining")
        return os.path.realpath(folder) == os.path.realpath(beside)
    return name in ("kerasbert", "kerasbert.exe", "kerasbert-script.py")


def be_verbose() -> None:
    """Lets TensorFlow say what it says, in this process and those that it starts."""
    os.environ[_VERBOSE] = "1"


def import_backend(verbose: bool) -> None:
    """Imports TensorFlow, in less time.

    Args:
        verbose: whether it says what it says; otherwise its log messages are left out, those
            included that it writes before it knows what it shall leave out. When the import fails
            they are shown. ``KERASBERT_VERBOSE``, 0 or 1, counts before this.

    Raises:
        ImportError: TensorFlow or Keras is not there, or of a version that does not fit.
    """
    verbose = os.environ.get(_VERBOSE, str(int(verbose))) != "0"
    if not verbose:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    silently = not verbose and "tensorflow" not in sys.modules
    with without_garbage_collection(), _silent_stderr() if silently else contextlib.nullcontext():
        from kerasbert import backend  # noqa: F401


def import_models() -> None:
    """Imports TensorFlow without its chatter and registers the families of models, for commands."""
    import_backend(verbose=False)
    from kerasbert.models import families  # noqa: F401


@contextlib.contextmanager
def _silent_stderr() -> Iterator[None]:
    """Keeps what C++ code writes to the standard error, and shows it where an exception ends it."""
    sys.stderr.flush()
    try:
        kept = os.dup(2)
    except OSError:  # there is none
        yield
        return
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            yield
        except BaseException as error:
            os.dup2(kept, 2)
            if not isinstance(error, KeyboardInterrupt):
                file.seek(0)
                os.write(2, file.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def keep_memory() -> None:
    """Has TensorFlow keep the memory of freed tensors for the next ones.

    Large ones are given back to the system otherwise, and come back page by page, filled with
    zeros: a tenth of the time of a training step of 32 x 128 tokens on the CPU. The most memory
    that is used stays the same. To be called before the first tensor is made; an environment that
    says something else counts.
    """
    os.environ.setdefault("TF_CPU_ALLOCATOR_USE_BFC", "1")
    with contextlib.suppress(AttributeError, ValueError, OSError):  # not on every system
        installed = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        limit = max(64, installed >> 30) << 10  # 64 GB, which it would stop at, or all there is
        os.environ.setdefault("TF_CPU_BFC_MEM_LIMIT_IN_MB", str(limit))
