"""Work that is done ahead in a thread."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")
_END = object()


def prefetch(items: Iterable[Item], size: int = 1) -> Iterator[Item]:
    """The same items, made in a thread while the caller works on those before.

    An error in the thread is raised where its item would have come. When the caller stops early
    (closes the generator, or loses it), the thread ends with the item that it is at.

    Args:
        items: what is iterated in the thread.
        size: how many items wait at most.
    """
    waiting: queue.Queue = queue.Queue(size)
    stopped = threading.Event()

    def put(item) -> bool:
        """Puts an item; False when nobody will take it any more."""
        while not stopped.is_set():
            try:
                waiting.put(item, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def work():
        try:
            for item in items:
                if not put((item, None)):
                    return
            put((_END, None))
        except BaseException as error:
            put((_END, error))

    thread = threading.Thread(target=work, name="kerasbert-prefetch", daemon=True)
    thread.start()
    try:
        while True:
            item, error = waiting.get()
            if error is not None:
                raise error
            if item is _END:
                return
            yield item
    finally:
        stopped.set()
        thread.join(timeout=5)
