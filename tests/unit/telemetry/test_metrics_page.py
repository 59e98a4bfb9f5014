"""The page over HTTP: who is silent there keeps nobody from it, and says nothing in the log."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from vault.dev.ports import persistent_port
from vault.errors import ConfigError
from vault.telemetry import metrics_page
from vault.telemetry.metrics_page import serve_metrics


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    found = persistent_port(tmp_path / "port")
    stop = serve_metrics(CollectorRegistry(), "127.0.0.1", found)
    yield found
    stop()


def page(port: int) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    connection.request("GET", "/metrics")
    status = connection.getresponse().status
    connection.close()
    return status


def ended(connection: socket.socket) -> bool:
    connection.settimeout(5)
    return connection.recv(1) == b""


def test_the_oldest_connection_makes_room(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics_page, "_CONNECTIONS", 4)
    with ExitStack() as stack:
        silent = [
            stack.enter_context(socket.create_connection(("127.0.0.1", port), 5)) for _ in range(20)
        ]
        assert page(port) == 200
        assert all(ended(connection) for connection in silent[:16])


def test_who_sends_no_request_in_time_is_left(
    port: int, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(metrics_page._Handler, "timeout", 0.05)
    with socket.create_connection(("127.0.0.1", port), 5) as silent:
        silent.sendall(b"GET /metrics HT")
        assert ended(silent)
    assert page(port) == 200
    assert "".join(capfd.readouterr()) == ""


def test_a_port_that_is_taken_is_named(port: int) -> None:
    with pytest.raises(ConfigError, match=f"metrics_port: cannot listen on 127.0.0.1:{port}"):
        serve_metrics(CollectorRegistry(), "127.0.0.1", port)
