r"""Load on ``kerasbert serve``: requests per second, waiting times, memory.

    python -m benchmarks.serving CHECKPOINT                  # a published checkpoint
    python -m benchmarks.serving --sizes 12 768              # random weights of BERT-base's sizes
    python -m benchmarks.serving --sizes 12 768 --texts lcqmc/dev.tsv --memory 10000

The service is a process of its own, as users run it; the clients are threads of this one, each with
one connection that it keeps, and each sends its next request when it has its answer. A request has
one text. Ctrl-C ends the service too.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def make_checkpoint(folder: Path, layers: int, width: int) -> Path:
    """A checkpoint of random weights with a vocabulary of Chinese characters."""
    from kerasbert import build_transformer_model, save_weights_as_checkpoint

    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *map(chr, range(0x4E00, 0x9FA6))]
    config = {"vocab_size": 13_584, "hidden_size": width, "num_hidden_layers": layers}
    config |= {"num_attention_heads": width // 64, "intermediate_size": 4 * width}
    model = build_transformer_model(config, with_pool=True, with_mlm=True)
    path = folder / "random.zip"
    save_weights_as_checkpoint(model, path, vocab=tokens[: config["vocab_size"]])
    return path


def read_texts(path: Path | None) -> list[str]:
    """The first column of a file; or made-up questions of about 12 characters."""
    if path is not None:
        lines = path.read_text(encoding="utf-8").splitlines()
        return [line.split("\t")[0] for line in lines if line.strip()]
    rng = random.Random(1)
    return [
        "".join(chr(rng.randrange(0x4E00, 0x7000)) for _ in range(rng.randint(6, 20)))
        for _ in range(5000)
    ]


class Service:
    """The running service.

    Args:
        arguments: of ``kerasbert serve``.
    """

    def __init__(self, arguments: list[str]):
        command = [sys.executable, "-m", "kerasbert", "serve", *arguments, "--port", "0"]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
        begin = time.perf_counter()
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
        )
        found = re.search(r"http://([^:]+):(\d+)", self.process.stdout.readline())
        if found is None:
            raise SystemExit(f"the service did not start: {' '.join(command)}")
        self.seconds = time.perf_counter() - begin
        self.host, self.port = found[1], int(found[2])

    def connect(self) -> http.client.HTTPConnection:
        """A new connection."""
        return http.client.HTTPConnection(self.host, self.port, timeout=120)

    def metric(self, name: str) -> float:
        """The value of a line of ``/metrics``."""
        connection = self.connect()
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
        connection.close()
        return float(re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)[1])

    def stop(self) -> int:
        """Ends it with SIGTERM; returns its exit status."""
        self.process.terminate()
        return self.process.wait(60)


def load(service: Service, path: str, bodies: list[bytes], clients: int) -> tuple[float, list]:
    """Sends all bodies by so many clients; returns the seconds, and those of each request."""
    left, waits, lock = iter(bodies), [], threading.Lock()

    def ask() -> None:
        connection = service.connect()
        while True:
            with lock:
                body = next(left, None)
            if body is None:
                break
            begin = time.perf_counter()
            connection.request("POST", path, body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            content = response.read()
            waits.append(time.perf_counter() - begin)
            if response.status != 200:
                raise SystemExit(f"status {response.status}: {content[:500]!r}")
        connection.close()

    threads = [threading.Thread(target=ask) for _ in range(clients)]
    begin = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if len(waits) != len(bodies):
        raise SystemExit("requests failed, see above")
    return time.perf_counter() - begin, sorted(waits)


def report(name: str, clients: int, seconds: float, waits: list) -> None:
    """Prints one row of the table."""
    p50, p99 = (1000 * waits[int(share * (len(waits) - 1))] for share in (0.5, 0.99))
    rate = len(waits) / seconds
    print(f"| {name} | {clients} | {len(waits)} | {rate:.1f} | {p50:.0f} | {p99:.0f} |", flush=True)


def main() -> None:
    """Measures and prints a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("checkpoint", nargs="?", help="as it was released; otherwise give --sizes")
    add("--sizes", type=int, nargs=2, metavar=("LAYERS", "WIDTH"), help="of random weights")
    add("--model", default="unilm")
    add("--dtype", default="float32")
    add("--texts", type=Path, help="a file with a text at the start of each line")
    add("--requests", type=int, default=1000, help="of each row; a fourth of them by one client")
    add("--generated", type=int, default=64, help="requests to /generate, a fourth by one client")
    add("--tokens", type=int, default=16, help="to generate")
    add("--memory", type=int, default=0, help="requests to watch the memory over")
    arguments = parser.parse_args()
    if (arguments.checkpoint is None) == (arguments.sizes is None):
        parser.error("give a checkpoint or --sizes")
    texts = read_texts(arguments.texts)

    with tempfile.TemporaryDirectory() as folder:
        checkpoint = arguments.checkpoint or make_checkpoint(Path(folder), *arguments.sizes)
        service = Service([str(checkpoint), "--model", arguments.model, "--dtype", arguments.dtype])
        try:
            measure(service, texts, arguments)
        finally:
            status = service.stop()
        print(f"\nstarted in {service.seconds:.1f} s; exit status after SIGTERM: {status}")


def measure(service: Service, texts: list[str], arguments: argparse.Namespace) -> None:
    """All rows."""

    def bodies(count: int, **options) -> list[bytes]:
        chosen = (texts[i % len(texts)] for i in range(count))
        return [json.dumps({"texts": [text], **options}).encode() for text in chosen]

    load(service, "/encode", bodies(64), 16)
    print("| request | clients | requests | per second | p50, ms | p99, ms |")
    print("|---|---|---|---|---|---|")
    for path, count, options in (
        ("/encode", arguments.requests, {}),
        ("/encode, base64", arguments.requests, {"encoding": "base64"}),
        ("/generate", arguments.generated, {"max_new_tokens": arguments.tokens}),
    ):
        address = path.split(",")[0]
        if count:
            load(service, address, bodies(8, **options), 8)
        for clients in (1, 16) if count else ():
            number = max(count // 4, 1) if clients == 1 else count
            report(path, clients, *load(service, address, bodies(number, **options), clients))
    if arguments.memory:
        name = "process_resident_memory_bytes"
        marks = [service.metric(name)]
        for _ in range(4):
            load(service, "/encode", bodies(arguments.memory // 4), 16)
            marks.append(service.metric(name))
        shown = ", ".join(f"{mark / 2**20:.0f}" for mark in marks)
        print(f"\nmemory in MiB over {arguments.memory} more requests, at each fourth: {shown}")


if __name__ == "__main__":
    main()
