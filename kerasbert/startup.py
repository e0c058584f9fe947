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
