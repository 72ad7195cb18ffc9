"""Fixtures around the local server; a test file asks for them by ``pytest_plugins``."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmark.data.fetching import http
from helpers.servers import Server


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(http, "BACKOFF", 0)
    monkeypatch.setattr(http, "TRIES", 3)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    return tmp_path / "raw" / "log"


@pytest.fixture
def manual(tmp_path: Path) -> Path:
    return tmp_path / "manual" / "log"
