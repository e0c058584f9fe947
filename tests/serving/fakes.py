"""An encoder and a generator that need no model: quick, exact, and slow or broken on demand."""

from __future__ import annotations

import threading
import time

import numpy as np

from kerasbert.generation import Generation


def vector(text: str) -> np.ndarray:
    """A vector of length 1 that says which characters a text has."""
    found = np.zeros(8, np.float32)
    for char in text:
        found[ord(char) % 8] += 1
    return found / max(np.linalg.norm(found), 1e-6)


class FakeEncoder:
    def __init__(self):
        self.calls: list[list[str]] = []
        self.hold = threading.Event()
        self.hold.set()

    def encode(self, texts, show_progress_bar=None):
        self.calls.append(list(texts))
        self.hold.wait(30)
        if any("boom" in text for text in texts):
            raise RuntimeError("a secret of the service")
        return np.stack([vector(text) for text in texts])


class FakeGenerator:
    """Answers with the source, reversed."""

    def __init__(self):
        self.calls: list[tuple[list[str], dict]] = []
        self.delay = 0.0

    def generate(self, texts, return_details=False, **options):
        self.calls.append((list(texts), options))
        if "too long" in texts:
            raise ValueError("the source is too long.")
        count = options.get("num_return_sequences", 1)
        found = []
        for text in texts:
            one = Generation(text[::-1][: options["max_new_tokens"]], [1], -0.5, True)
            found.append(one if count == 1 else [one] * count)
        return found

    def stream(self, text, **options):
        for at, char in enumerate(reversed(text)):
            time.sleep(self.delay)
            if char == "!":
                raise ValueError("cannot go on.")
            if at < options["max_new_tokens"]:
                yield char
