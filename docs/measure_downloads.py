"""What a server does to a download, and what the download does about it.

    python docs/measure_downloads.py

A server on this machine cuts, corrupts, stalls and sends elsewhere; each row of the table is one
download of a megabyte. The rows of docs/hub.md are these.
"""

from __future__ import annotations

import hashlib
import itertools
import logging
import random
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from kerasbert.hub import download
from tests.hub.server import (
    Answer,
    file,
    hang_up,
    page,
    redirect,
    serving,
    status,
)

CONTENT = random.Random(1).randbytes(2**20)
HALF = 2**19
SHA256 = hashlib.sha256(CONTENT).hexdigest()
LOGIN = "<!DOCTYPE html><html><title>Please log in</title></html>"


def flipped(content: bytes) -> bytes:
    """The content with one bit changed."""
    return bytes([content[0] ^ 1]) + content[1:]


# what the server did -> its answers, and options of the download
CASES: dict[str, tuple[list[Answer], dict]] = {
    "gave the file": ([file()], {}),
    "cut the connection, twice": ([file(until=HALF), file(until=HALF + 2**18), file()], {}),
    "stalled halfway": ([file(until=HALF, stall=True), file()], {}),
    "hung up without a word": ([hang_up(), file()], {}),
    "cut, then ignored the range": ([file(until=HALF), file(ranges=False)], {}),
    "cut, then had a newer file": (
        [file(until=HALF), file(etag='"v2"', change=flipped)],
        {"sha256": hashlib.sha256(flipped(CONTENT)).hexdigest()},
    ),
    "cut, then 416 for the rest": ([file(until=HALF), status(416), file()], {}),
    "503, then 429 with Retry-After: 1": ([status(503), status(429, Retry_After=1), file()], {}),
    "503 with Retry-After: 3600": ([status(503, Retry_After=3600)], {}),
    "500 for ever": ([status(500)], {}),
    "403": ([status(403)], {}),
    "404": ([status(404)], {}),
    "redirected": ([redirect("/a"), redirect("/b"), file()], {}),
    "redirected in a circle": ([redirect("/models/model.zip")], {}),
    "redirected to file:///etc/passwd": ([redirect("file:///etc/passwd")], {}),
    "gave a login page": ([page(LOGIN)], {}),
    "gave a login page as application/zip": ([page(LOGIN, "application/zip")], {}),
    "corrupted a byte": ([file(change=flipped)], {}),
    "claimed 5 bytes too many": ([file(length=5, ranges=False)], {}),
    "claimed 5 bytes too few": ([file(length=-5)], {"size": len(CONTENT)}),
    "gave no Content-Length": ([file(length=None)], {}),
}


def run(answers: list[Answer], options: dict) -> str:
    """One download, in words."""
    options = {"sha256": SHA256, "retries": 2, "wait": 0.01, "timeout": (5, 0.3), **options}
    with tempfile.TemporaryDirectory() as name, serving(*answers, content=CONTENT) as server:
        path = Path(name, "model.zip")
        try:
            download(server.url(), path, progress=False, **options)
            outcome = "**whole**"
        except OSError as error:
            text = str(error).replace(server.url(), "URL")
            outcome = text.replace(SHA256, "...").replace(name, "")
        left = sorted(p.name for p in Path(name).iterdir() if not p.name.startswith("."))
        asked = [header.removesuffix("-") if header else "all" for header in server.ranges]
        asked = [f"{len(list(same))} x {key}" for key, same in itertools.groupby(asked)]
        asked = [entry.removeprefix("1 x ") for entry in asked]
    left = [name for name in left if not name.endswith(".json")]
    return f"{', '.join(asked)} | {outcome} | {', '.join(left) or 'nothing'}"


def main() -> None:
    """Prints the table."""
    logging.disable(logging.CRITICAL)
    print("| the server | asked for | outcome | on disk |\n|---|---|---|---|")
    for name, (answers, options) in CASES.items():
        print(f"| {name} | {run(answers, options)} |", flush=True)


if __name__ == "__main__":
    main()
