"""No test of the hub leaves this machine, and each has a cache of its own."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """Connections to anywhere else are an error of the test, not of the network."""
    connect = socket.socket.connect

    def local(self, address):
        if isinstance(address, tuple) and address[0] not in ("127.0.0.1", "::1"):
            raise AssertionError(f"a test would have connected to {address}")
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", local)
    for name in ("KERASBERT_MIRROR", "KERASBERT_OFFLINE", "HF_HUB_OFFLINE", "HF_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    """``KERASBERT_HOME``."""
    monkeypatch.setenv("KERASBERT_HOME", str(tmp_path / "home"))
    return tmp_path / "home"
