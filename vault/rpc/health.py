"""Health, on a small server and pool of its own: it must answer when the rest is busy.

Services: ``liveness`` (the process answers), ``readiness`` and "" (all probes are well but
those that only advise), and one per probe. Readiness also tells that the key server is away
while keys still serve from memory: whoever asks sees it before calls begin to fail.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from vault.rpc.listening import bind
from vault.rpc.logging import get_log
from vault.rpc.probing import ADVISORY, Probe, Prober

__all__ = ["HealthServer", "Probe"]

_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
_NUMBER = re.compile(r"[0-9]+")
_log = get_log(__name__)


class HealthServer:
    """Answers health checks from the last round of probes.

    Args:
        interval: seconds between two rounds.
        ready: is told at once whether the server is ready.
        found: is told after each round what the probes found.
    """

    def __init__(
        self,
        host: str,
        port: int,
        probes: Mapping[str, Probe],
        interval: float,
        ready: Callable[[bool], None],
        found: Callable[[Mapping[str, str]], None],
    ) -> None:
        self._ready = ready
        self._found = found
        self._troubles: Mapping[str, str] | None = None
        # Keeps a round's answers from following the drain's.
        self._lock = threading.Lock()
        self._draining = False
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
        self._prober = Prober(probes, interval, self._answer)

    def start(self) -> None:
        """Probes once and begins to answer."""
        # The first round comes first: nobody is told less than is known.
        self._prober.start()
        self._server.start()

    def drain(self) -> None:
        """Answers NOT_SERVING from now on, so that no new calls are sent here."""
        with self._lock:
            self._draining = True
            self._set(ready=False)
        self._prober.drain()

    def stop(self) -> None:
        """Ends the server."""
        self.drain()
        self._prober.stop()
        self._servicer.enter_graceful_shutdown()
        self._server.stop(grace=0).wait()

    def _answer(self, found: Mapping[str, str]) -> None:
        """Answers according to a round; logs only what has changed."""
        troubles = {name: text for name, text in found.items() if text}
        # Seconds that are counted down are no change.
        gist = {name: _NUMBER.sub("#", text) for name, text in troubles.items()}
        with self._lock:
            self._found(found)
            if self._draining or gist == self._troubles:
                return
            self._troubles = gist
            ready = troubles.keys() <= ADVISORY
            self._set(ready=ready)
            for name, text in found.items():
                self._servicer.set(name, _NOT_SERVING if text else _SERVING)
        if troubles:
            _log.warning("ready, with a trouble" if ready else "not ready", **troubles)
        else:
            _log.info("ready")

    def _set(self, *, ready: bool) -> None:
        for service in ("", "readiness"):
            self._servicer.set(service, _SERVING if ready else _NOT_SERVING)
        self._ready(ready)
