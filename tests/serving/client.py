"""A plain HTTP client and what is needed to start services for tests."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

CHECKOUT = Path(__file__).resolve().parents[2]


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def message(self) -> str:
        return self.json["error"]["message"]


class Client:
    """Requests to one address, each over a connection of its own."""

    def __init__(self, url: str, timeout: float = 60):
        self.url, self.timeout = url, timeout
        parts = urlsplit(url)
        self.address = (parts.hostname, parts.port)

    def connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(*self.address, timeout=self.timeout)

    def request(self, method: str, path: str, body=None, headers=None) -> Answer:
        with contextlib.closing(self.connection()) as connection:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            names = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, names, response.read())

    def get(self, path: str, **headers) -> Answer:
        return self.request("GET", path, headers=headers)

    def post(self, path: str, content, **headers) -> Answer:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        return self.request("POST", path, body, {"Content-Type": "application/json", **headers})


def events(body: bytes) -> list[tuple[str, dict]]:
    """Server-sent events as (name, data)."""
    found = []
    for event in body.decode("utf-8").split("\n\n")[:-1]:
        name = re.search(r"^event: (.*)$", event, re.MULTILINE)
        data = re.search(r"^data: (.*)$", event, re.MULTILINE)[1]
        found.append((name[1] if name else "message", json.loads(data)))
    return found


class Process:
    """``kerasbert serve`` as a process of its own, on a free port."""

    def __init__(self, *arguments: str):
        environment = {**os.environ, "PYTHONPATH": str(CHECKOUT), "TF_CPP_MIN_LOG_LEVEL": "3"}
        command = [sys.executable, "-m", "kerasbert", "serve", *map(str, arguments), "--port", "0"]
        self.process = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.errors: list[str] = []
        self._reader = threading.Thread(target=lambda: self.errors.extend(self.process.stderr))
        self._reader.start()
        line = self.process.stdout.readline()
        found = re.search(r"http://\S+", line)
        if found is None:
            self.stop()
            raise AssertionError(f"the service did not start: {''.join(self.errors)}")
        self.line, self.client = line, Client(found[0])

    def resident_bytes(self) -> int:
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def signal(self, number=signal.SIGTERM) -> None:
        self.process.send_signal(number)

    def wait(self, timeout: float = 60) -> int:
        status = self.process.wait(timeout)
        self._reader.join(timeout)
        return status

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.wait()
        self.process.stdout.close()
        self.process.stderr.close()


@contextlib.contextmanager
def served(app):
    """An application in a thread of this process, at a free port of localhost."""
    import uvicorn

    from kerasbert.serving.server import open_socket, url_of

    opened = open_socket("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="on", ws="none"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [opened]})
    thread.start()
    try:
        while not server.started and thread.is_alive():
            time.sleep(0.01)
        yield Client(url_of(opened))
    finally:
        server.should_exit = True
        thread.join(30)
        opened.close()
