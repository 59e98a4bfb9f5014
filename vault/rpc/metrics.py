"""What is counted, and the Prometheus page that shows it.

No label comes from a caller: RPC and code are fixed sets, a field is labelled only
under a name that the policy knows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from threading import Thread
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

from vault.errors import ConfigError

__all__ = ["Metrics", "serve_metrics"]

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Metrics:
    """The server's own instruments."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._calls = Counter(
            "tokenvault_calls", "Calls by outcome.", ["rpc", "code"], registry=self.registry
        )
        self._seconds = Histogram(
            "tokenvault_call_seconds",
            "Time from request to answer.",
            ["rpc"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._items = Counter(
            "tokenvault_items",
            "Items of batches by outcome: ok, or a reason.",
            ["rpc", "field", "outcome"],
            registry=self.registry,
        )
        self._ready = Gauge(
            "tokenvault_ready", "1 while the server is ready to serve.", registry=self.registry
        )

    def call(self, rpc: str, code: str, seconds: float) -> None:
        """Counts a call that has ended."""
        self._calls.labels(rpc, code).inc()
        self._seconds.labels(rpc).observe(seconds)

    def items(self, rpc: str, field: str, counts: Mapping[str, int]) -> None:
        """Counts a batch's items by outcome."""
        for outcome, count in counts.items():
            self._items.labels(rpc, field, outcome).inc(count)

    def ready(self, ready: bool) -> None:
        """Notes whether the server is ready."""
        self._ready.set(ready)


def serve_metrics(metrics: Metrics, host: str, port: int) -> Callable[[], None]:
    """Serves the page; returns what stops it. Raises ConfigError if the port is taken."""
    try:
        started: tuple[WSGIServer, Thread] = start_http_server(
            port, addr=host, registry=metrics.registry
        )
    except OSError as error:
        raise ConfigError(
            f"server.metrics_port: cannot listen on {host}:{port}: {error.strerror}"
        ) from None
    server, thread = started

    def stop() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return stop
