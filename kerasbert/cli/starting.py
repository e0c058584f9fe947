"""What the command does before it works: TensorFlow, imported late and without its chatter."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator

from kerasbert.startup import without_garbage_collection

_VERBOSE = "KERASBERT_VERBOSE"


def be_verbose() -> None:
    """Lets TensorFlow say what it says, in this process and those that it starts."""
    os.environ[_VERBOSE] = "1"


def import_models() -> None:
    """Imports TensorFlow and registers the families of models.

    Messages of TensorFlow that are no errors are left out, those included that it writes before it
    knows what it shall leave out. When the import fails they are shown.
    """
    quiet = os.environ.get(_VERBOSE) != "1"
    if quiet:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with without_garbage_collection():
        with _silent_stderr() if quiet and "tensorflow" not in sys.modules else _as_it_is():
            from kerasbert import backend  # noqa: F401
    from kerasbert.models import families  # noqa: F401


@contextlib.contextmanager
def _as_it_is() -> Iterator[None]:
    yield


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


@contextlib.contextmanager
def plain_messages(command: str, verbose: bool) -> Iterator[None]:
    """Shows warnings and log messages of this package as lines on stderr, while the command runs.

    Args:
        command: the subcommand, named in each line.
        verbose: whether messages that are no warnings are shown as well.
    """
    logger = logging.getLogger("kerasbert")
    handler = _ToStderr()
    handler.setFormatter(_OneLine(f"kerasbert {command}: %(message)s"))
    level, propagates = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.INFO if verbose else logging.WARNING)
    logger.propagate = False
    show = warnings.showwarning

    def showwarning(message, category, filename, lineno, file=None, line=None):
        if issubclass(category, UserWarning) or verbose:
            print(f"kerasbert {command}: warning: {message}", file=sys.stderr)

    warnings.showwarning = showwarning
    try:
        yield
    finally:
        warnings.showwarning = show
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagates


class _ToStderr(logging.StreamHandler):
    """Writes to the ``sys.stderr`` of the moment."""

    def emit(self, record):
        self.stream = sys.stderr
        super().emit(record)


class _OneLine(logging.Formatter):
    """``kerasbert encode: warning: ...``."""

    def format(self, record):
        kind = "" if record.levelno < logging.WARNING else f"{record.levelname.lower()}: "
        record = logging.makeLogRecord({**record.__dict__, "msg": kind + record.getMessage()})
        record.args = None
        return super().format(record)
