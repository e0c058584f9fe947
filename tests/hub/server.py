"""A web server on this machine that does to downloads what the world does to them."""

from __future__ import annotations

import contextlib
import http.server
import re
import threading
from collections.abc import Callable, Iterator, Sequence

Answer = Callable[["Handler", bytes], None]
DATE = "Mon, 01 Jan 2024 00:00:00 GMT"


class Handler(http.server.BaseHTTPRequestHandler):
    """Gives each request to the next of the server's answers; the last one repeats."""

    def do_GET(self):
        server = self.server
        with server.turn:
            at = len(server.requests)
            server.requests.append((self.path, dict(self.headers)))
        answers = server.answers
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            answers[min(at, len(answers) - 1)](self, server.content)

    do_HEAD = do_GET

    def log_message(self, *arguments):
        """Not on the terminal."""

    def head(self, status: int, **headers) -> None:
        """Sends status line and headers; ``_`` in a name stands for ``-``, None leaves it out."""
        self.send_response(status)
        for name, value in headers.items():
            if value is not None:
                self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def offset(self) -> int:
        """Of the range that is asked for; 0 without one, or with one of another content."""
        match = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        return int(match[1]) if match else 0


class Server(http.server.ThreadingHTTPServer):
    """See :func:`serving`."""

    daemon_threads = True
    # Else a handler that sleeps would keep the test.
    block_on_close = False

    def __init__(self, answers: Sequence[Answer], content: bytes):
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers, self.content = list(answers), content
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.turn, self.stop_waiting = threading.Lock(), threading.Event()

    def url(self, path: str = "models/model.zip") -> str:
        """The address of a file."""
        return f"http://127.0.0.1:{self.server_address[1]}/{path}"

    @property
    def ranges(self) -> list[str | None]:
        """The ``Range`` header of each request so far."""
        return [headers.get("Range") for _, headers in self.requests]


@contextlib.contextmanager
def serving(*answers: Answer, content: bytes) -> Iterator[Server]:
    """A running server."""
    server = Server(answers, content)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.stop_waiting.set()
        server.shutdown()
        thread.join()
        server.server_close()


def file(
    ranges: bool = True,
    etag: str | None = '"v1"',
    date: str | None = None,
    length: int | None = 0,
    until: int | None = None,
    stall: bool = False,
    change: Callable[[bytes], bytes] = bytes,
    heed_if_range: bool = True,
    then: Callable[[], None] | None = None,
    **headers,
) -> Answer:
    """The file, or the asked part of it.

    Args:
        ranges: whether parts are given.
        etag: the mark; None for none.
        date: of the last change; None for none.
        length: what is added to the true Content-Length; None leaves the header out.
        until: the offset at which the connection ends.
        stall: whether it hangs there instead.
        change: what becomes of the content.
        heed_if_range: whether another mark gives the whole file.
        then: called when all is sent.
        **headers: further ones.
    """

    def answer(handler: Handler, content: bytes) -> None:
        content = change(content)
        start = handler.offset() if ranges else 0
        wanted = handler.headers.get("If-Range")
        if heed_if_range and wanted not in (None, etag, date):
            start = 0
        if start and start >= len(content):
            handler.head(416, Content_Range=f"bytes */{len(content)}", Content_Length=0)
            return
        partial = f"bytes {start}-{len(content) - 1}/{len(content)}" if start else None
        given = {"Content-Type": "application/zip", **headers}
        size = None if length is None else len(content) - start + length
        handler.head(
            206 if start else 200,
            Content_Range=partial,
            Content_Length=size,
            ETag=etag,
            Last_Modified=date,
            **given,
        )
        handler.wfile.write(content[start:until])
        handler.wfile.flush()
        if stall:
            handler.server.stop_waiting.wait(30)
        if then:
            then()

    return answer


def status(code: int, body: bytes = b"no", **headers) -> Answer:
    """An answer without the file."""

    def answer(handler: Handler, content: bytes) -> None:
        handler.head(code, Content_Length=len(body), **headers)
        handler.wfile.write(body)

    return answer


def page(body: str, content_type: str = "text/html; charset=utf-8") -> Answer:
    """A page for people."""

    def answer(handler: Handler, content: bytes) -> None:
        text = body.encode()
        handler.head(200, Content_Type=content_type, Content_Length=len(text))
        handler.wfile.write(text)

    return answer


def redirect(path: str, code: int = 302) -> Answer:
    """Sends to another path or address."""
    return status(code, b"", Location=path)


def hang_up() -> Answer:
    """Ends the connection without a word."""

    def answer(handler: Handler, content: bytes) -> None:
        handler.close_connection = True

    return answer
