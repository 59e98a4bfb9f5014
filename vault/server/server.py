"""The composition root of ``serve``: puts the parts together, serves, and ends in order."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial

from vault.config import ServerSettings, Settings
from vault.distribution import install_hint
from vault.errors import ConfigError
from vault.rpc.authn.reloading import FileWatch
from vault.rpc.concurrency import ConcurrencyLimiter
from vault.rpc.permissions import permissions
from vault.rpc.pipeline import CallLimits, Pipeline
from vault.rpc.refusals import RefusalCounter
from vault.server.connections import ConnectionLimits, Connections
from vault.server.endpoints import Endpoint, open_endpoints
from vault.server.format_space_monitor import FormatSpaceMonitor
from vault.server.health import HealthServer
from vault.server.listener import Listener, receiver
from vault.server.probing import Probe, Prober
from vault.server.reaper import Reaper
from vault.server.wiring import Backend, open_backend, replica_name
from vault.telemetry.logging import get_log
from vault.telemetry.metrics import (
    AuditMetrics,
    Metrics,
    PolicyMetrics,
    StateMetrics,
    WebhookMetrics,
)
from vault.telemetry.metrics_page import serve_metrics
from vault.telemetry.spans import OFF, Spans

__all__ = ["serving"]

_log = get_log(__name__)


@contextmanager
def serving(
    settings: Settings,
    *,
    allow_development: bool = False,
    report: Callable[[Mapping[str, str]], None] | None = None,
) -> Iterator[Callable[[], None]]:
    """Serves for the length of the block; drains at its end. Raises as ``run_server``.

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
        webhook_metrics = WebhookMetrics(metrics.registry)
        opened = open_backend(settings, audit_metrics, policy_metrics, webhook_metrics, spans)
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
        reaper = Reaper(
            backend.reap, settings.reaper.interval.total_seconds(), metrics.count_reaped
        )
        reaper.start()
        stack.callback(reaper.stop)
        for listener in listeners:
            listener.start()
            stack.callback(listener.stop)
        monitor = FormatSpaceMonitor(backend.format_space_left, metrics.set_space_left)
        stack.callback(monitor.stop)
        monitor.start()
        health.start()
        stack.callback(health.drain)
        # What is here now, a thousand modules, stays: a full collection need not walk it. Large
        # batches set them off.
        gc.freeze()
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
    tracing = open_tracing(settings.tracing, replica_name(settings), metrics.count_spans)
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
    state.set_workers(1)
    return HealthServer(
        server.health_host,
        server.health_port,
        probes,
        interval,
        ready=state.set_ready,
        found=state.set_probes,
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
        partial(metrics.set_connections, endpoint.name),
        partial(metrics.count_connection_closed, endpoint.name),
    )
    pipeline = Pipeline(
        backend.methods,
        permissions(backend.methods),
        backend.policy,
        endpoint.identify,
        CallLimits(server.max_batch, server.max_deadline.total_seconds()),
        limiter,
        backend.audit,
        refusals,
        metrics,
        awaiting,
        connections.note_call,
        backend.frozen,
        spans,
    )
    return Listener(server, endpoint, pipeline, awaiting, connections)
