"""The HTTP interface of a :class:`TextService`: an ASGI application."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import logging
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from importlib import resources

import numpy as np

try:
    from starlette.applications import Starlette
    from starlette.exceptions import HTTPException
    from starlette.requests import ClientDisconnect, Request
    from starlette.responses import HTMLResponse, PlainTextResponse, Response, StreamingResponse
    from starlette.routing import Route
except ImportError as error:
    raise ImportError(
        "the HTTP service needs starlette and uvicorn: run `pip install 'kerasbert[serve]'`. "
        f"The import said: {error}"
    ) from error

from kerasbert.serving.errors import RequestError
from kerasbert.serving.fields import Fields, parse_object
from kerasbert.serving.guard import Guard
from kerasbert.serving.metrics import Metrics
from kerasbert.serving.options import generation_options
from kerasbert.serving.service import TextService

logger = logging.getLogger("kerasbert.serving")

_DRAINED = 16  # times the limit: what is read of a body that is too long, to be able to answer
PATHS = ("/", "/health", "/metrics", "/encode", "/similar", "/generate")


class JSONResponse(Response):
    """JSON in UTF-8, without spaces."""

    media_type = "application/json"

    def render(self, content) -> bytes:
        text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return text.encode("utf-8", "replace")  # a message may quote half a surrogate pair


def create_app(service: TextService, hosts: tuple[str, ...] | None = None) -> Starlette:
    """The application, for uvicorn or any other ASGI server.

    Endpoints: ``POST /encode``, ``/similar`` and ``/generate``, ``GET /health``, ``/metrics`` and
    ``/``, a page to try them. Errors are ``{"error": {"status", "message", "field"}}``.

    Args:
        service: answers the requests; it is started and stopped with the application.
        hosts: names that the header ``Host`` may have, so that no page of the internet reaches a
            service on localhost through a name of its own (DNS rebinding). None for any.
    """
    endpoints = _Endpoints(service)

    @contextlib.asynccontextmanager
    async def lifespan(app) -> AsyncIterator[None]:
        await service.start()
        endpoints.ready = True
        try:
            yield
        finally:
            endpoints.ready = False
            await service.stop()

    def post(path: str, function: Callable[[dict], Awaitable[Response]]) -> Route:
        async def endpoint(request: Request) -> Response:
            service.require(path[1:])
            return await function(await _read(request, service.limits))

        return Route(path, endpoint, methods=["POST"])

    app = Starlette(
        routes=[
            Route("/", endpoints.page, methods=["GET"]),
            Route("/health", endpoints.health, methods=["GET"]),
            Route("/metrics", endpoints.show_metrics, methods=["GET"]),
            post("/encode", endpoints.encode),
            post("/similar", endpoints.similar),
            post("/generate", endpoints.generate),
        ],
        lifespan=lifespan,
        exception_handlers={
            RequestError: _answer_request_error,
            HTTPException: _answer_http_exception,
            ClientDisconnect: _answer_nobody,
            Exception: _answer_exception,
        },
    )
    app.router.redirect_slashes = False
    app.add_middleware(Guard, metrics=endpoints.metrics, paths=PATHS, hosts=hosts)
    return app


class _Endpoints:
    def __init__(self, service: TextService):
        self.service, self.metrics, self.ready = service, Metrics(), False
        self._page = resources.files("kerasbert.serving").joinpath("page.html").read_text("utf-8")

    async def page(self, request: Request) -> Response:
        nonce = secrets.token_urlsafe(16)
        policy = (
            f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; "
            "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
            "frame-ancestors 'none'"
        )
        return HTMLResponse(
            self._page.replace("{{nonce}}", nonce), headers={"Content-Security-Policy": policy}
        )

    async def health(self, request: Request) -> Response:
        service, limits = self.service, self.service.limits
        content = {
            "status": "ok" if self.ready else "stopping",
            "model": service.name,
            "tasks": service.tasks,
            "corpus": len(service.corpus),
            "limits": dict(vars(limits)),
        }
        return JSONResponse(content, 200 if self.ready else 503)

    async def show_metrics(self, request: Request) -> Response:
        text = self.metrics.render(self.service.batchers, self.service.streams)
        return PlainTextResponse(text, media_type="text/plain; version=0.0.4")

    async def encode(self, content: dict) -> Response:
        fields = Fields(content, self.service.limits)
        texts = fields.texts("texts")
        encoding = fields.choice("encoding", "float", ("float", "base64"))
        fields.end()
        vectors = await self._in_time(self.service.encode(texts))
        # Formatting numbers takes its time: not in the thread that talks to all clients.
        return await asyncio.get_running_loop().run_in_executor(None, _vectors, vectors, encoding)

    async def similar(self, content: dict) -> Response:
        fields = Fields(content, self.service.limits)
        queries = fields.texts("queries")
        candidates = fields.texts("candidates") if "candidates" in fields else None
        default = None if candidates else 10
        top_k = fields.integer("top_k", default, 1, 1000)
        fields.end()
        found = await self._in_time(self.service.similar(queries, candidates, top_k))
        return JSONResponse({"results": found})

    async def generate(self, content: dict) -> Response:
        fields = Fields(content, self.service.limits)
        if fields.flag("stream"):
            text = fields.text("texts")
            options = generation_options(fields, self.service.limits, streamed=True)
            return await self._stream(text, options)
        texts = fields.texts("texts")
        options = generation_options(fields, self.service.limits)
        found = await self._in_time(self.service.generate(texts, options))
        return JSONResponse(
            {
                "texts": _each(found, lambda one: one.text),
                "scores": _each(found, lambda one: _finite(one.score)),
                "finished": _each(found, lambda one: bool(one.finished)),
            }
        )

    async def _stream(self, text: str, options: dict) -> Response:
        """Server-sent events: pieces, then ``done`` with the whole text, or ``error``."""
        pieces = self.service.stream(text, options)
        end = time.monotonic() + self.service.limits.timeout
        try:  # an error before the first piece is an ordinary error
            first = await self._in_time(anext_or_none(pieces))
        except BaseException:
            await pieces.aclose()
            raise

        async def events() -> AsyncIterator[bytes]:
            whole, piece = "", first
            try:
                while piece is not None:
                    whole += piece
                    yield _event(None, {"text": piece})
                    piece = await asyncio.wait_for(
                        anext_or_none(pieces), max(end - time.monotonic(), 0)
                    )
                yield _event("done", {"text": whole})
            except asyncio.TimeoutError:
                yield _event("error", self._late().content()["error"])
            except Exception as error:
                yield _event("error", _as_request_error(error).content()["error"])
            finally:
                await pieces.aclose()

        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(events(), media_type="text/event-stream", headers=headers)

    async def _in_time(self, work: Awaitable):
        try:
            return await asyncio.wait_for(work, self.service.limits.timeout)
        except asyncio.TimeoutError:
            raise self._late() from None

    def _late(self) -> RequestError:
        seconds = self.service.limits.timeout
        return RequestError(504, f"there was no answer within {seconds:g} seconds.")


async def anext_or_none(iterator: AsyncIterator):
    """The next element, or None at the end."""
    async for element in iterator:
        return element
    return None


def _event(name: str | None, content: dict) -> bytes:
    line = f"data: {json.dumps(content, ensure_ascii=False)}\n\n"
    return (line if name is None else f"event: {name}\n{line}").encode("utf-8")


def _vectors(vectors: np.ndarray, encoding: str) -> Response:
    content = {"size": vectors.shape[1]}
    if encoding == "base64":
        rows = np.ascontiguousarray(vectors, "<f4")
        content["embeddings"] = [base64.b64encode(row.tobytes()).decode() for row in rows]
    else:
        # Nine digits give every float32 back.
        rows = vectors.astype(np.float64).tolist()
        content["embeddings"] = [[float(f"{value:.9g}") for value in row] for row in rows]
    return JSONResponse(content)


def _each(found: list, take: Callable):
    return [[take(o) for o in one] if isinstance(one, list) else take(one) for one in found]


def _finite(score) -> float | None:
    return float(score) if np.isfinite(score) else None


async def _read(request: Request, limits) -> dict:
    """The object in the body of a request."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        # Also what keeps foreign pages out: a browser asks before it sends JSON to other hosts.
        raise RequestError(
            415, f"the body must be JSON: send Content-Type: application/json, got {kind[:50]!r}."
        )
    try:
        body = await asyncio.wait_for(_body(request, limits.max_body), limits.timeout)
    except asyncio.TimeoutError:
        raise RequestError(
            408, f"the body did not arrive within {limits.timeout:g} seconds.",
            headers={"Connection": "close"},
        ) from None  # fmt: skip
    return parse_object(body)


async def _body(request: Request, most: int) -> bytes:
    declared = request.headers.get("content-length", "0")
    size, parts = 0, []
    # A client that still sends may not look for an answer: a body that is somewhat too long is read
    # to its end and thrown away.
    if not (declared.isdecimal() and int(declared[:20]) > _DRAINED * most):
        async for part in request.stream():
            size += len(part)
            if size <= most:
                parts.append(part)
            else:
                parts.clear()
            if size > _DRAINED * most:
                break
        if size <= most:
            return b"".join(parts)
    raise RequestError(
        413, f"the body has more than {most} bytes, which is the limit: send several requests.",
        headers={"Connection": "close"},
    )  # fmt: skip


def _as_request_error(error: Exception) -> RequestError:
    """What an error inside means to the client.

    A ValueError of generate is about the request, such as a source that is too long.
    """
    if isinstance(error, RequestError):
        return error
    if isinstance(error, ValueError):
        return RequestError(400, str(error))
    logger.error("a request failed", exc_info=error)
    return RequestError(500, "the service failed; its log says how.")


async def _answer_request_error(request: Request, error: RequestError) -> Response:
    return JSONResponse(error.content(), error.status, error.headers)


async def _answer_http_exception(request: Request, error: HTTPException) -> Response:
    message = str(error.detail)
    if error.status_code == 404:
        message = f"there is no {request.url.path[:100]!r}: there are {', '.join(PATHS)}."
    elif error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "")
        message = f"{request.method[:20]} is not for {request.url.path}: use {allowed}."
    refused = RequestError(error.status_code, message, headers=error.headers)
    return await _answer_request_error(request, refused)


async def _answer_nobody(request: Request, error: ClientDisconnect) -> Response:
    return Response(status_code=499)  # written to no one; for the counters


async def _answer_exception(request: Request, error: Exception) -> Response:
    return await _answer_request_error(request, _as_request_error(error))
