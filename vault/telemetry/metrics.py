"""The metrics.

No label comes from a caller: RPC and code are fixed sets, a field is labelled only
under a name that is in the policy.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from pathlib import Path

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    values,
)
from prometheus_client.multiprocess import MultiProcessCollector

__all__ = [
    "AuditMetrics",
    "Metrics",
    "PolicyMetrics",
    "StateMetrics",
    "WebhookMetrics",
    "multiprocess_registry",
    "use_multiprocess_metrics",
]

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
        # What every call counts, found once: labels are checked and looked up under a lock. They
        # are of fixed sets, so these are as few as the page's lines.
        self._calls_of = cache(self._calls.labels)
        self._seconds_of = cache(self._seconds.labels)
        self._items_of = cache(self._items.labels)
        self._reaped = Counter(
            "tokenvault_tokens_reaped",
            "Tokens past their expiry that were made tombstones.",
            registry=self.registry,
        )

        self._spans = Counter(
            "tokenvault_trace_spans",
            "Spans by what became of them: exported, failed, or dropped from a full queue.",
            ["outcome"],
            registry=self.registry,
        )

        # Every worker measures the same store: the latest figure is as good as any.
        self._space_left = Gauge(
            "tokenvault_format_space_left_ratio",
            "Share of a field's random tokens that is still free, where they can run out.",
            ["field"],
            multiprocess_mode="mostrecent",
            registry=self.registry,
        )

        self._connections = Gauge(
            "tokenvault_connections",
            "Connections by listener.",
            ["listener"],
            multiprocess_mode="sum",
            registry=self.registry,
        )
        self._connections_closed = Counter(
            "tokenvault_connections_closed",
            "Connections closed for their silence or their number, by listener.",
            ["listener", "reason"],
            registry=self.registry,
        )

    def set_connections(self, listener: str, count: int) -> None:
        """Sets how many connections a listener has."""
        self._connections.labels(listener).set(count)

    def count_connection_closed(self, listener: str, reason: str) -> None:
        """Counts a connection that was closed for its silence, or for their number."""
        self._connections_closed.labels(listener, reason).inc()

    def set_space_left(self, field: str, ratio: float) -> None:
        """Sets how much is left of a field's tokens, from 0 to 1."""
        self._space_left.labels(field).set(ratio)

    def count_call(self, rpc: str, code: str, seconds: float) -> None:
        """Counts a call that has ended."""
        self._calls_of(rpc, code).inc()
        self._seconds_of(rpc).observe(seconds)

    def count_items(self, rpc: str, field: str, counts: Mapping[str, int]) -> None:
        """Counts a batch's items by outcome."""
        for outcome, count in counts.items():
            self._items_of(rpc, field, outcome).inc(count)

    def count_reaped(self, count: int) -> None:
        """Counts expired tokens that were made tombstones."""
        self._reaped.inc(count)

    def count_spans(self, outcome: str, count: int) -> None:
        """Counts spans that left the queue, or found no place in it."""
        self._spans.labels(outcome).inc(count)


class AuditMetrics:
    """The state of the audit's integration. Workers share one log: the latest figure is right."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._waiting = Gauge(
            "tokenvault_audit_lag_records",
            "Audit records without a global position.",
            registry=registry,
            multiprocess_mode="mostrecent",
        )
        self._oldest = Gauge(
            "tokenvault_audit_lag_seconds",
            "How long the oldest audit record without a position has waited; while integration"
            " fails, the seconds since it last did not are added.",
            registry=registry,
            multiprocess_mode="mostrecent",
        )
        self._stalled = Gauge(
            "tokenvault_audit_stalled_writers",
            "Audit writers stopped at a record that does not verify.",
            registry=registry,
            multiprocess_mode="mostrecent",
        )
        self._integrated = Counter(
            "tokenvault_audit_integrated",
            "Audit records given a global position.",
            registry=registry,
        )
        self._failures = Counter(
            "tokenvault_audit_integration_failures",
            "Rounds of the integration that failed, and records found that do not verify; each"
            " worker counts what it sees.",
            registry=registry,
        )
        self._unpublished = Counter(
            "tokenvault_audit_publishing_failures",
            "Rounds in which the audit's log was not published.",
            registry=registry,
        )

        self._touches = Counter(
            "tokenvault_honey_touches",
            "Honey tokens that calls touched, denied and failed ones too.",
            ["field"],
            registry=registry,
        )
        self._refused_rows = Counter(
            "tokenvault_refused_rows",
            "Rows by which somebody may do something, and that were not believed.",
            ["table"],
            registry=registry,
        )

        self._break_glass = Counter(
            "tokenvault_break_glass",
            "Reveals granted in an emergency, without approval.",
            ["field"],
            registry=registry,
        )

    def count_touches(self, field: str, tokens: int) -> None:
        """Counts honey tokens that a call touched."""
        self._touches.labels(field).inc(tokens)

    def count_break_glass(self, field: str) -> None:
        """Counts a reveal that nobody had approved."""
        self._break_glass.labels(field).inc()

    def count_refused_row(self, table: str) -> None:
        """Counts a row that decides and was not believed."""
        self._refused_rows.labels(table).inc()

    def count_round(self, integrated: int, failures: int) -> None:
        """Counts what a round did."""
        if integrated:
            self._integrated.inc(integrated)
        if failures:
            self._failures.inc(failures)

    def count_unpublished(self) -> None:
        """Counts a round in which the log was not published."""
        self._unpublished.inc()

    def set_backlog(self, waiting: int, oldest: float, stalled: int) -> None:
        """Sets what is left after a round."""
        self._waiting.set(waiting)
        self._oldest.set(oldest)
        self._stalled.set(stalled)


class PolicyMetrics:
    """How a server's policy file compares with the policy in force."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._since = Gauge(
            "tokenvault_policy_file_differs_since_seconds",
            "When the policy file was first seen to differ from the policy in force, in seconds"
            " since the epoch; 0 while it does not differ.",
            registry=registry,
            # Workers share the file: one that refuses it is enough.
            multiprocess_mode="max",
        )

    def set_differs_since(self, since: datetime | None) -> None:
        """Sets since when the file differs, None where it does not."""
        self._since.set(since.timestamp() if since else 0)


class WebhookMetrics:
    """What becomes of notices."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._notices = Counter(
            "tokenvault_notices",
            "Attempts to send a notice, by receiver: delivered, failed, and given_up where it was"
            " too old to be tried again.",
            ["endpoint", "outcome"],
            registry=registry,
        )

    def count_notice(self, endpoint: str, outcome: str) -> None:
        """Counts an attempt, by the receiver's name in the settings."""
        self._notices.labels(endpoint, outcome).inc()


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

    def set_ready(self, ready: bool) -> None:
        """Sets whether the server is ready."""
        self._ready.set(ready)

    def set_probes(self, found: Mapping[str, str]) -> None:
        """Sets by name what is wrong, "" where all is well."""
        for name, problem in found.items():
            self._probes.labels(name).set(not problem)

    def set_workers(self, count: int) -> None:
        """Sets how many workers serve."""
        self._workers.set(count)

    def count_restart(self) -> None:
        """Counts a worker that is started again."""
        self._restarts.inc()


def use_multiprocess_metrics(directory: Path, worker: int) -> None:
    """Makes Metrics created after this keep their counts in files that the page is read from.

    The files are named for the worker's number, not its process: the successor of a dead worker
    goes on with its counts, and their number stays the number of workers.
    """
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(directory)
    values.ValueClass = values.MultiProcessValue(lambda: worker)  # type: ignore[no-untyped-call]


def multiprocess_registry(directory: Path) -> CollectorRegistry:
    """Returns a registry of what all workers have counted, the dead ones too."""
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=str(directory))  # type: ignore[no-untyped-call]
    return registry
