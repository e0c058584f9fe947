"""``kerasbert serve``: one checkpoint as a small HTTP service."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from kerasbert.cli.options import positive
from kerasbert.serving.limits import Limits
from kerasbert.startup import import_models

_DEFAULTS = Limits()


def add_parser(subparsers) -> argparse.ArgumentParser:
    """Adds the subcommand's options."""
    parser = subparsers.add_parser(
        "serve",
        help="serve vectors, similarities and generated texts over HTTP",
        description="Serves a checkpoint over HTTP: POST /encode, /similar, /generate; a page to "
        "try them at /. Ctrl-C or SIGTERM ends it when all requests are answered.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("checkpoint", help="an archive, a folder or a prefix, as it was released")
    add("--model", help="the family, such as bert, unilm (also generates), roformer; inferred")
    add(
        "--pooling",
        help="how a text's vector is made; see TextEncoder. By default the pooler where the "
        "checkpoint has one (linear for unilm, as SimBERT), or else the mean",
    )
    add("--max-length", type=positive, default=128, help="tokens of a text; the rest is left out")
    add("--dtype", default="float32", help="of the computation, such as bfloat16")
    add("--layers", type=positive, help="use only the first so many blocks")
    add("--corpus", type=Path, help="texts, one a line, that /similar searches")
    add("--name", help="of the model in answers; by default that of the checkpoint")

    server = parser.add_argument_group("server")
    add = server.add_argument
    add("--host", default="127.0.0.1", help="address to listen on; 0.0.0.0 is every network")
    add("--port", type=_port, default=8000, help="0 takes any free one")
    add(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="a name that requests may be addressed to, besides localhost; may be repeated",
    )
    add("--access-log", action="store_true", help="log every request, without its texts")

    batching = parser.add_argument_group("batching and limits")
    add = batching.add_argument
    add("--max-batch", type=positive, default=32, help="texts computed together")
    add("--max-wait", type=_seconds, default=0.005, help="seconds that a text waits for others")
    for name, meaning in {
        "max_body": "bytes of a request",
        "max_texts": "texts in a request",
        "max_characters": "characters of a text",
        "max_queue": "texts that may wait; with more, requests get status 429",
        "max_streams": "answers streamed at the same time",
        "max_new_tokens": "tokens to generate",
        "max_beams": "beams, and texts to generate for one source",
    }.items():
        option = f"--{name.replace('_', '-')}"
        add(option, type=positive, default=getattr(_DEFAULTS, name), help=meaning)
    add("--timeout", type=_seconds, default=_DEFAULTS.timeout, help="seconds for a request")
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Loads the model and serves it until it is told to stop."""
    from kerasbert.serving import server

    server.import_uvicorn()
    corpus = _read_corpus(arguments.corpus)
    opened = server.open_socket(arguments.host, arguments.port)
    try:
        import_models()
        from kerasbert.serving.app import create_app
        from kerasbert.serving.loading import load_service

        names = (
            "max_body", "max_texts", "max_characters", "max_queue", "max_streams",
            "max_new_tokens", "max_beams", "timeout",
        )  # fmt: skip
        limits = Limits(**{name: getattr(arguments, name) for name in names})
        service = load_service(
            arguments.checkpoint,
            model=arguments.model,
            pooling=arguments.pooling,
            max_length=arguments.max_length,
            dtype=arguments.dtype,
            layers=arguments.layers,
            name=arguments.name,
            corpus=corpus,
            limits=limits,
            max_batch=arguments.max_batch,
            max_wait=arguments.max_wait,
        )
        hosts = server.allowed_hosts(arguments.host, tuple(arguments.allow_host))
        app = create_app(service, hosts)
        url, tasks = server.url_of(opened), ", ".join(f"/{task}" for task in service.tasks)

        # From here on texts come from clients: one that is too long is not the operator's business.
        logging.getLogger("kerasbert").setLevel(logging.ERROR)

        def announce() -> None:
            print(f"{service.name} at {url} ({tasks})", flush=True)

        server.run(
            app,
            opened,
            grace=limits.timeout,
            access_log=arguments.access_log,
            on_start=announce,
        )
    finally:
        opened.close()
    print("stopped", file=sys.stderr)
    return 0


def _read_corpus(path: Path | None) -> list[str]:
    if path is None:
        return []
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} is not UTF-8: {error}. Convert it, from GBK for example"
        ) from None
    texts = [line.strip() for line in lines if line.strip()]
    if not texts:
        raise ValueError(f"{path} has no texts.")
    return texts


def _seconds(text: str) -> float:
    number = float(text)
    if not 0 < number < 86_400:
        raise argparse.ArgumentTypeError(f"must be a number of seconds, not {text}")
    return number


def _port(text: str) -> int:
    number = int(text)
    if not 0 <= number <= 65_535:
        raise argparse.ArgumentTypeError(f"must be from 0 to 65535, not {text}")
    return number
