"""What a request can be refused with: a status of HTTP, and a sentence that says what is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class RequestError(Exception):
    """A request that is not answered.

    Args:
        status: of HTTP, 400 to 599.
        message: what is wrong, what was received, what to do.
        field: the part of the body that is meant, such as ``texts[3]``.
        headers: further headers of the answer.
    """

    def __init__(
        self,
        status: int,
        message: str,
        field: str | None = None,
        headers: Mapping[str, str] | None = None,
    ):
        super().__init__(message)
        self.status, self.message, self.field = status, message, field
        self.headers = dict(headers or {})

    def content(self) -> dict[str, Any]:
        """The body of the answer."""
        error = {"status": self.status, "message": self.message}
        if self.field is not None:
            error["field"] = self.field
        return {"error": error}


def busy(message: str) -> RequestError:
    """The queue is full: the client may try again in a second."""
    return RequestError(429, message, headers={"Retry-After": "1"})


def stopping() -> RequestError:
    """The service ends: a load balancer may ask another one."""
    return RequestError(503, "the service is stopping.", headers={"Connection": "close"})
