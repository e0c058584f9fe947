"""The import of TensorFlow in less time."""

from __future__ import annotations

import contextlib
import gc
import sys
from collections.abc import Iterator


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
    """Whether this process is the command ``kerasbert``, by how it was started.

    The command imports TensorFlow in those subcommands that need it: ``kerasbert --help`` and
    ``kerasbert tokenize`` answer in a fraction of the time that TensorFlow's import takes. Any
    other program gets all of the package with ``import kerasbert``, for Keras finds the layers of a
    saved model only when their modules are imported.
    """
    program = sys.argv[0] if sys.argv else ""
    if program == "-m":  # while the package of `python -m kerasbert` is imported
        words = getattr(sys, "orig_argv", [])  # since Python 3.10; before, TensorFlow is imported
        return any(pair == ("-m", "kerasbert") for pair in zip(words, words[1:]))
    name = program.replace("\\", "/").rsplit("/", 1)[-1]
    return name in ("kerasbert", "kerasbert.exe", "kerasbert-script.py")
