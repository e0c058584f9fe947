"""What the command does before it works: messages as lines that say which command they are of."""

from __future__ import annotations

import contextlib
import logging
import sys
import warnings
from collections.abc import Iterator


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
