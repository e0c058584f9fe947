"""What one request may ask for."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """The most that is accepted; more is refused with a sentence that names the limit.

    Attributes:
        max_body: bytes of a request's body.
        max_texts: texts in a request.
        max_characters: characters of a text. The model itself reads ``max_length`` tokens of it.
        max_queue: texts that may wait to be computed; with more, requests get status 429.
        max_streams: answers that may be streamed at the same time.
        max_new_tokens: tokens to generate.
        max_beams: beams, and sequences to return.
        timeout: seconds until a request is given up, with status 504.
    """

    max_body: int = 1 << 20
    max_texts: int = 256
    max_characters: int = 10_000
    max_queue: int = 1024
    max_streams: int = 16
    max_new_tokens: int = 128
    max_beams: int = 8
    timeout: float = 30.0

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
                raise ValueError(f"{field.name} must be a number above 0. Received: {value!r}")
