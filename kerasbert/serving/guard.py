"""What surrounds every answer: the check of the host, security headers, counting."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence

from kerasbert.serving.errors import RequestError
from kerasbert.serving.metrics import Metrics

_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
]


class Guard:
    """An ASGI middleware.

    Args:
        app: the application inside.
        metrics: counts the requests.
        paths: names to count under; all others are one.
        hosts: the names that requests may be addressed to; None for any.
    """

    def __init__(self, app, metrics: Metrics, paths: Sequence[str], hosts: Sequence[str] | None):
        self._app, self._metrics, self._paths = app, metrics, frozenset(paths)
        self._hosts = None if hosts is None else frozenset(host.lower() for host in hosts)

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begin, status = time.monotonic(), 500

        async def send_with_headers(message):
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message = {**message, "headers": [*message.get("headers", ()), *_HEADERS]}
            await send(message)

        self._metrics.in_flight += 1
        try:
            host = _host(scope)
            if self._hosts is None or host in self._hosts:
                await self._app(scope, receive, send_with_headers)
            else:
                await _refuse(host, send_with_headers)
        finally:
            self._metrics.in_flight -= 1
            path = scope["path"] if scope["path"] in self._paths else "other"
            self._metrics.observe(path, status, time.monotonic() - begin)


def _host(scope) -> str:
    """The name in the header Host, without its port."""
    for name, value in scope["headers"]:
        if name == b"host":
            host = value.decode("latin-1").lower()
            name, colon, port = host.rpartition(":")
            return name if colon and port.isdecimal() else host
    return ""


async def _refuse(host: str, send) -> None:
    error = RequestError(
        421, f"this service is not {host[:100]!r}: start it with --allow-host to let it be that."
    )
    body = json.dumps(error.content()).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
