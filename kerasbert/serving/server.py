"""Runs the service: uvicorn on a socket of its own, until it is told to stop."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable

_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")


def import_uvicorn():
    """The server library, or an error that says how to install it."""
    try:
        import starlette  # noqa: F401
        import uvicorn
    except ImportError as error:
        raise ImportError(
            "the HTTP service needs starlette and uvicorn: run `pip install 'kerasbert[serve]'`. "
            f"The import said: {error}"
        ) from error
    return uvicorn


def open_socket(host: str, port: int) -> socket.socket:
    """A socket bound to an address; taken before a model is loaded in vain.

    Args:
        host: a name or address of this machine.
        port: 0 for any free one.

    Raises:
        OSError: the address is not this machine's, or the port is taken.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except socket.gaierror as error:
        raise OSError(f"there is no host {host!r}: {error.strerror}") from error
    opened = socket.socket(family, kind, protocol)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind(address)
    except OSError as error:
        opened.close()
        raise OSError(
            f"cannot listen on {host}, port {port}: {error.strerror}. Give another --port, or 0 "
            "for any free one."
        ) from error
    return opened


def url_of(opened: socket.socket) -> str:
    """The address of a socket as a browser wants it."""
    host, port = opened.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def allowed_hosts(host: str, further: tuple[str, ...] = ()) -> tuple[str, ...] | None:
    """The names that requests may be addressed to.

    Args:
        host: what the service listens on.
        further: names that the caller allows.

    Returns:
        Where the service listens on this machine alone, the names of this machine and the further
        ones. Elsewhere the further ones, or None (any) where there are none.
    """
    if host in ("localhost", "::1") or host.startswith("127."):
        return (*_LOOPBACK, host, *further)
    return further or None


def run(
    app, opened: socket.socket, *, grace: float = 30.0, access_log: bool = False,
    on_start: Callable[[], None] | None = None,
) -> None:  # fmt: skip
    """Serves until SIGTERM or SIGINT (Ctrl-C), then answers what has been asked and returns.

    Args:
        app: an ASGI application.
        opened: a bound socket.
        grace: seconds that requests have to end after the signal.
        access_log: whether every request is logged, without its texts.
        on_start: called when requests are accepted.
    """
    uvicorn = import_uvicorn()

    class Server(uvicorn.Server):
        async def startup(self, sockets=None):
            await super().startup(sockets=sockets)
            if self.started and on_start is not None:
                on_start()

    config = uvicorn.Config(
        app,
        log_level="info" if access_log else "warning",
        access_log=access_log,
        lifespan="on",
        ws="none",
        server_header=False,
        timeout_graceful_shutdown=max(1, round(grace)),
    )
    # uvicorn stops at the first signal and raises it again when all is done: by then it has done
    # its work, and the process ends as its caller says.
    before = {
        number: signal.signal(number, lambda *_: None) for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        server = Server(config)
        server.run(sockets=[opened])
        if not server.started:  # uvicorn has logged the error
            raise RuntimeError("the service did not start")
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        opened.close()
