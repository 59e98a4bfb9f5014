"""The composition root of ``serve``: puts the parts together, serves, and ends in order."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType

from vault.config import ServerSettings, Settings
from vault.rpc.admission import Gate
from vault.rpc.backend import Backend, open_backend
from vault.rpc.hardening import forbid_dumps
from vault.rpc.health import HealthServer
from vault.rpc.listener import Listener
from vault.rpc.logging import configure_logging, get_log
from vault.rpc.metrics import Metrics, serve_metrics
from vault.rpc.permissions import permissions
from vault.rpc.pipeline import Limits, Pipeline
from vault.rpc.refusals import RefusalCounter
from vault.rpc.tls import server_credentials

__all__ = ["run", "serving"]

_log = get_log(__name__)


def run(settings: Settings, *, allow_development: bool = False) -> None:
    """Serves until SIGTERM or SIGINT, then drains. Must run in the main thread.

    Args:
        allow_development: lets a development CA pass. A root token and the database's
            owner are refused in any case.

    Raises:
        ConfigError, PolicyError: the operator must mend something first.
        StoreUnavailable, KeysUnavailable: Postgres or the key server is away.
    """
    configure_logging(settings.log.level)
    if not forbid_dumps():
        _log.warning("this platform cannot keep debuggers away from the keys in memory")
    ended = threading.Event()

    def end(number: int, _: FrameType | None) -> None:
        _log.info("draining", signal=signal.Signals(number).name)
        ended.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    with serving(settings, allow_development=allow_development):
        ended.wait()
    _log.info("stopped")


@contextmanager
def serving(settings: Settings, *, allow_development: bool = False) -> Iterator[None]:
    """Serves for the length of the block; drains at its end. Raises as ``run``."""
    server = settings.server
    credentials = server_credentials(server, allow_development=allow_development)
    metrics = Metrics()
    # Each part is registered to be stopped as soon as it is there; they stop in reverse
    # order: health says NOT_SERVING, calls end, counts are written, the rest closes.
    with ExitStack() as stack:
        backend = stack.enter_context(open_backend(settings))
        if server.metrics_port is not None:
            stack.callback(serve_metrics(metrics, server.metrics_host, server.metrics_port))
        refusals = RefusalCounter(backend.audit, "mtls", lambda: backend.policy().digest)
        health = _health(server, backend, metrics)
        stack.callback(health.stop)
        listener = Listener(server, credentials, _pipeline(server, backend, refusals, metrics))
        refusals.start()
        stack.callback(refusals.stop)
        listener.start()
        stack.callback(listener.stop)
        health.start()
        stack.callback(health.drain)
        _log.info(
            "serving",
            address=f"{server.host}:{server.port}",
            health=f"{server.health_host}:{server.health_port}",
            policy=backend.policy().digest,
        )
        yield


def _health(server: ServerSettings, backend: Backend, metrics: Metrics) -> HealthServer:
    return HealthServer(
        server.health_host,
        server.health_port,
        backend.probes,
        server.probe_interval.total_seconds(),
        metrics,
    )


def _pipeline(
    server: ServerSettings, backend: Backend, refusals: RefusalCounter, metrics: Metrics
) -> Pipeline:
    return Pipeline(
        backend.methods,
        permissions(),
        backend.policy,
        server.trust_domain,
        Limits(server.max_batch, server.max_deadline.total_seconds()),
        Gate(server.max_workers, server.max_concurrent_rpcs),
        backend.audit,
        refusals,
        metrics,
    )
