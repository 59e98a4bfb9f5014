"""What is counted, and the Prometheus page that shows it.

No label comes from a caller: RPC and code are fixed sets, a field is labelled only
under a name that the policy knows.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Thread
from wsgiref.simple_server import WSGIServer

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    start_http_server,
    values,
)
from prometheus_client.multiprocess import MultiProcessCollector

from vault.errors import ConfigError

__all__ = ["Metrics", "StateMetrics", "serve_metrics", "share_counts", "shared_counts"]

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

    def call(self, rpc: str, code: str, seconds: float) -> None:
        """Counts a call that has ended."""
        self._calls.labels(rpc, code).inc()
        self._seconds.labels(rpc).observe(seconds)

    def items(self, rpc: str, field: str, counts: Mapping[str, int]) -> None:
        """Counts a batch's items by outcome."""
        for outcome, count in counts.items():
            self._items.labels(rpc, field, outcome).inc(count)


class StateMetrics:
    """The state of the server as a whole, all workers together."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._ready = Gauge(
            "tokenvault_ready", "1 while the server is ready to serve.", registry=registry
        )
        self._probes = Gauge(
            "tokenvault_probe",
            "1 while what readiness depends on is well; the log says what is wrong.",
            ["probe"],
            registry=registry,
        )
        self._workers = Gauge(
            "tokenvault_workers", "Worker processes that serve.", registry=registry
        )
        self._restarts = Counter(
            "tokenvault_worker_restarts",
            "Workers started again after they ended by themselves.",
            registry=registry,
        )

    def ready(self, ready: bool) -> None:
        """Notes whether the server is ready."""
        self._ready.set(ready)

    def probes(self, found: Mapping[str, str]) -> None:
        """Notes by name what is wrong, "" where all is well."""
        for name, trouble in found.items():
            self._probes.labels(name).set(not trouble)

    def workers(self, count: int) -> None:
        """Notes how many workers serve."""
        self._workers.set(count)

    def restarted(self) -> None:
        """Counts a worker that is started again."""
        self._restarts.inc()


def share_counts(directory: Path, worker: int) -> None:
    """Has the Metrics made after this keep their counts in files that the page is read from.

    The files are named for the worker's number, not its process: who follows a dead worker
    goes on with its counts, and their number stays the number of workers.
    """
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(directory)
    values.ValueClass = values.MultiProcessValue(lambda: worker)  # type: ignore[no-untyped-call]


def shared_counts(directory: Path) -> CollectorRegistry:
    """Returns a registry of what all workers have counted, the dead ones too."""
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=str(directory))  # type: ignore[no-untyped-call]
    return registry


def serve_metrics(registry: CollectorRegistry, host: str, port: int) -> Callable[[], None]:
    """Serves the page; returns what stops it. Raises ConfigError if the port is taken."""
    try:
        started: tuple[WSGIServer, Thread] = start_http_server(port, addr=host, registry=registry)
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
