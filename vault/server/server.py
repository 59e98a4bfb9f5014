"""The composition root of ``serve``: puts the parts together, serves, and ends in order."""

from __future__ import annotations

import multiprocessing
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from types import FrameType

from vault.config import ServerSettings, Settings
from vault.distribution import install_hint
from vault.errors import ConfigError, VaultError
from vault.rpc.authn.reloading import FileWatch
from vault.rpc.concurrency import ConcurrencyLimiter
from vault.rpc.permissions import permissions
from vault.rpc.pipeline import Limits, Pipeline
from vault.rpc.refusals import RefusalCounter
from vault.server.connections import ConnectionLimits, Connections
from vault.server.endpoints import Endpoint, open_endpoints
from vault.server.hardening import forbid_dumps
from vault.server.health import HealthServer
from vault.server.listener import Listener, receiver
from vault.server.port_lock import port_lock
from vault.server.probing import Probe, Prober
from vault.server.reaper import Reaper
from vault.server.supervisor import Supervisor
from vault.server.token_space_monitor import TokenSpaceMonitor
from vault.server.wiring import Backend, open_backend, replica_name
from vault.server.worker_report import WorkerFailure, WorkerReport, encode
from vault.telemetry.logging import configure_logging, frames_of, get_log
from vault.telemetry.metrics import (
    AuditMetrics,
    Metrics,
    PolicyMetrics,
    StateMetrics,
    share_counts,
)
from vault.telemetry.metrics_page import serve_metrics
from vault.telemetry.spans import OFF, Spans

__all__ = ["run", "serving"]

_log = get_log(__name__)


def run(settings: Settings, *, allow_development: bool = False) -> None:
    """Serves until SIGTERM or SIGINT, then drains; SIGHUP reads the policy file again.

    With ``server.workers`` above 1 that many processes do the work; this one starts and
    watches them, and answers health checks for them. Must run in the main thread.

    Args:
        allow_development: lets a development CA pass. A root token and the database's
            owner are refused in any case.

    Raises:
        ConfigError, PolicyError: the operator must fix something first.
        StoreUnavailable, KeysUnavailable: Postgres or the key server is away.
    """
    server = settings.server
    configure_logging(settings.log.level)
    _harden()
    ended = _end_on_signals()
    with port_lock("server.port", server.port, server.lock_directory):
        if server.workers == 1:
            with serving(settings, allow_development=allow_development) as reload:
                signal.signal(signal.SIGHUP, lambda *_: reload())
                ended.wait()
        else:
            supervisor = Supervisor(settings, partial(_work, settings, allow_development))
            signal.signal(signal.SIGHUP, lambda *_: supervisor.reload())
            supervisor.run(ended)
    _log.info("stopped")


def _work(
    settings: Settings, allow_development: bool, number: int, counts: Path, reports: Connection
) -> None:
    """Serves as one of several workers: the whole life of such a process."""
    configure_logging(settings.log.level, worker=number)
    _harden()
    share_counts(counts, number)
    ended = _end_on_signals()
    _end_with_parent(ended)

    def report(found: Mapping[str, str]) -> None:
        # A supervisor that is gone has ended this worker already.
        with suppress(OSError):
            reports.send_bytes(encode(WorkerReport(found)))

    try:
        with serving(settings, allow_development=allow_development, report=report) as reload:
            signal.signal(signal.SIGHUP, lambda *_: reload())
            ended.wait()
    except VaultError as error:
        with suppress(OSError):
            reports.send_bytes(encode(WorkerFailure.of(error)))
        sys.exit(1)
    except Exception as error:  # noqa: BLE001 - Python would print its text
        _log.error("worker failed", error=type(error).__name__, frames=frames_of(error))
        sys.exit(1)
    _log.info("worker stopped")


def _harden() -> None:
    if not forbid_dumps():
        _log.warning("this platform cannot keep debuggers away from the keys in memory")


def _end_on_signals() -> threading.Event:
    ended = threading.Event()

    def end(number: int, _: FrameType | None) -> None:
        if not ended.is_set():
            _log.info("draining", signal=signal.Signals(number).name)
        ended.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    # Until there is something to reload, a request to do so must not end the process.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    return ended


def _end_with_parent(ended: threading.Event) -> None:
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        parent.join()
        if not ended.is_set():
            _log.error("the supervisor is gone; draining")
        ended.set()

    threading.Thread(target=watch, name="supervisor", daemon=True).start()


@contextmanager
def serving(
    settings: Settings,
    *,
    allow_development: bool = False,
    report: Callable[[Mapping[str, str]], None] | None = None,
) -> Iterator[Callable[[], None]]:
    """Serves for the length of the block; drains at its end. Raises as ``run``.

    Yields a function that reads the policy file again.

    Args:
        report: takes what the probes find, in place of a health server and a metrics page of
            this process's own: its supervisor has both.
    """
    server = settings.server
    metrics = Metrics()
    # Each part is registered to be stopped as soon as it is there; they stop in reverse
    # order: health answers NOT_SERVING, calls end, counts are written, the rest closes.
    with ExitStack() as stack:
        watch = FileWatch()
        opening = open_endpoints(settings, allow_development=allow_development, watch=watch)
        endpoints = stack.enter_context(opening)
        spans = _spans(settings, metrics, stack)
        audit_metrics = AuditMetrics(metrics.registry)
        policy_metrics = PolicyMetrics(metrics.registry)
        opened = open_backend(settings, audit_metrics, policy_metrics, spans)
        backend = stack.enter_context(opened)
        if report is None and server.metrics_port is not None:
            stop = serve_metrics(metrics.registry, server.metrics_host, server.metrics_port)
            stack.callback(stop)
        probes = {**backend.probes, "files": watch.probe}
        health = _health(server, probes, metrics, report)
        stack.callback(health.stop)
        # One limiter: the bounds are the server's, through whichever endpoint calls come.
        limiter = ConcurrencyLimiter(
            server.max_workers, server.max_concurrent_rpcs, server.principal_share
        )
        counters = [_refusals(endpoint, backend) for endpoint in endpoints]
        listeners = [
            _listener(server, endpoint, backend, limiter, refusals, metrics, spans)
            for endpoint, refusals in zip(endpoints, counters, strict=True)
        ]
        for refusals in counters:
            refusals.start()
            stack.callback(refusals.stop)
        reaper = Reaper(backend.reap, settings.reaper.interval.total_seconds(), metrics.reaped)
        reaper.start()
        stack.callback(reaper.stop)
        for listener in listeners:
            listener.start()
            stack.callback(listener.stop)
        monitor = TokenSpaceMonitor(backend.token_space_left, metrics.space_left)
        stack.callback(monitor.stop)
        monitor.start()
        health.start()
        stack.callback(health.drain)
        _log.info(
            "serving",
            addresses={endpoint.name: f"{endpoint.host}:{endpoint.port}" for endpoint in endpoints},
            health=f"{server.health_host}:{server.health_port}",
            policy=backend.policy().digest,
        )
        yield backend.reload


def _spans(settings: Settings, metrics: Metrics, stack: ExitStack) -> Spans:
    if settings.tracing is None:
        return OFF
    try:
        # An extra: who does not trace need not have it.
        from vault.telemetry.tracing import open_tracing
    except ImportError:
        raise ConfigError("tracing: " + install_hint("tracing")) from None
    tracing = open_tracing(settings.tracing, replica_name(settings), metrics.spans)
    return stack.enter_context(tracing)


def _health(
    server: ServerSettings,
    probes: Mapping[str, Probe],
    metrics: Metrics,
    report: Callable[[Mapping[str, str]], None] | None,
) -> HealthServer | Prober:
    interval = server.probe_interval.total_seconds()
    if report is not None:
        return Prober(probes, interval, report)
    state = StateMetrics(metrics.registry)
    state.workers(1)
    return HealthServer(
        server.health_host,
        server.health_port,
        probes,
        interval,
        ready=state.ready,
        found=state.probes,
    )


def _refusals(endpoint: Endpoint, backend: Backend) -> RefusalCounter:
    return RefusalCounter(backend.audit, endpoint.name, lambda: backend.policy().digest)


def _listener(
    server: ServerSettings,
    endpoint: Endpoint,
    backend: Backend,
    limiter: ConcurrencyLimiter,
    refusals: RefusalCounter,
    metrics: Metrics,
    spans: Spans,
) -> Listener:
    awaiting = receiver(server)
    connections = Connections(
        endpoint.name,
        endpoint.host,
        endpoint.port,
        ConnectionLimits(
            server.max_connections,
            server.address_share,
            server.first_call_timeout.total_seconds(),
        ),
        partial(metrics.connections, endpoint.name),
        partial(metrics.connection_closed, endpoint.name),
    )
    pipeline = Pipeline(
        backend.methods,
        permissions(backend.methods),
        backend.policy,
        endpoint.identify,
        Limits(server.max_batch, server.max_deadline.total_seconds()),
        limiter,
        backend.audit,
        refusals,
        metrics,
        awaiting,
        connections.called,
        spans,
    )
    return Listener(server, endpoint, pipeline, awaiting, connections)
