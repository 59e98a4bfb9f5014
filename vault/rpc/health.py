"""Health, on a small server and pool of its own: it must answer when the rest is busy.

Services: ``liveness`` (the process answers), ``readiness`` and "" (all probes are well),
and one per probe. Readiness also tells that the key server is away while keys still serve
from memory: whoever asks sees it before calls begin to fail.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Set
from concurrent.futures import ThreadPoolExecutor

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from vault.errors import VaultError
from vault.rpc.listening import bind
from vault.rpc.logging import get_log
from vault.rpc.metrics import Metrics

__all__ = ["HealthServer", "Probe"]

Probe = Callable[[], None]
"""Returns if what it looks at is well, raises VaultError with what is wrong."""

_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
_log = get_log(__name__)


class HealthServer:
    """Answers health checks from the last round of probes."""

    def __init__(
        self, host: str, port: int, probes: Mapping[str, Probe], interval: float, metrics: Metrics
    ) -> None:
        self._probes = probes
        self._interval = interval
        self._metrics = metrics
        self._troubles: Set[str] | None = None
        self._stopping = threading.Event()
        self._servicer = health.HealthServicer(experimental_thread_pool=ThreadPoolExecutor(1))
        self._servicer.set("liveness", _SERVING)
        self._set(ready=False)
        self._server = grpc.server(
            ThreadPoolExecutor(2, thread_name_prefix="health"),
            options=(("grpc.so_reuseport", 0),),
            maximum_concurrent_rpcs=16,
        )
        health_pb2_grpc.add_HealthServicer_to_server(self._servicer, self._server)
        bind("server.health_port", host, port, self._server.add_insecure_port)
        self._prober = threading.Thread(target=self._watch, name="probes", daemon=True)

    def start(self) -> None:
        """Probes once and begins to answer."""
        self.probe()
        self._server.start()
        self._prober.start()

    def probe(self) -> None:
        """Runs every probe and answers accordingly; logs only what has changed."""
        troubles = {name: text for name, probe in self._probes.items() if (text := _run(probe))}
        # Texts may count seconds; what is wrong is what counts as a change.
        if self._stopping.is_set() or troubles.keys() == self._troubles:
            return
        self._troubles = troubles.keys()
        self._set(ready=not troubles)
        for name in self._probes:
            self._servicer.set(name, _NOT_SERVING if name in troubles else _SERVING)
        if troubles:
            _log.warning("not ready", **troubles)
        else:
            _log.info("ready")

    def drain(self) -> None:
        """Answers NOT_SERVING from now on, so that no new calls are sent here."""
        self._stopping.set()
        self._set(ready=False)

    def stop(self) -> None:
        """Ends the server."""
        self.drain()
        if self._prober.is_alive():
            self._prober.join()
        self._servicer.enter_graceful_shutdown()
        self._server.stop(grace=0).wait()

    def _watch(self) -> None:
        while not self._stopping.wait(self._interval):
            self.probe()

    def _set(self, *, ready: bool) -> None:
        for service in ("", "readiness"):
            self._servicer.set(service, _SERVING if ready else _NOT_SERVING)
        self._metrics.ready(ready)


def _run(probe: Probe) -> str:
    try:
        probe()
    except VaultError as error:
        return error.message
    except Exception as error:  # noqa: BLE001 - a broken probe is a trouble, not the end of probing
        return f"probe failed: {type(error).__name__}"
    return ""
