"""Health, on a small server and pool of its own: it must answer when the rest is busy.

Services: ``liveness`` (the process answers), ``readiness`` and "" (all probes are well but
those that only advise), and one per probe. Readiness also fails while the key server is down and
keys still serve from memory: a monitor sees it before calls begin to fail.

Its port is in plaintext and open to whoever reaches it, so silent clients must hold nothing
here either: requests are received as on the other listeners (``receiving``), and connections are
bounded like theirs.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

import grpc

from vault.rpc.receiving import Receiver
from vault.server.connections import ConnectionLimits, Connections, accepted_connections
from vault.server.health_handler import WATCHES, HealthHandler, ServingStatuses
from vault.server.port_binding import bind_port
from vault.server.probing import ADVISORY, Probe, Prober
from vault.server.sweeper import sweeper
from vault.telemetry.logging import get_log

__all__ = ["HealthServer", "Probe"]

_NUMBER = re.compile(r"[0-9]+")
_log = get_log(__name__)


# Requests that may be on their way, each in a thread. All of one address, where probes and
# their neighbours are one to us: the call that is silent for longest makes room first.
_AWAITED = 128
_PATIENCE = 2.0
_SWEEP_INTERVAL = 0.2
_BOUNDS = ConnectionLimits(total=512, each=64, first_call=5.0, known=False)
_OPTIONS = (
    ("grpc.so_reuseport", 0),
    ("grpc.max_receive_message_length", 4096),
    ("grpc.max_allowed_incoming_connections", accepted_connections(_BOUNDS.total)),
    ("grpc.max_concurrent_streams", 32),
    ("grpc.server_handshake_timeout_ms", 5_000),
    ("grpc.max_connection_idle_ms", 30_000),
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
)


class HealthServer:
    """Answers health checks from the last round of probes.

    Args:
        interval: seconds between two rounds.
        ready: called at once with whether the server is ready.
        found: called after each round with what the probes found.
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
        self._problems: Mapping[str, str] | None = None
        # Keeps a round's answers from following the drain's.
        self._lock = threading.Lock()
        self._draining = False
        self._statuses = ServingStatuses()
        self._statuses.set("liveness", serving=True)
        self._set(ready=False)
        receiver = Receiver(_AWAITED, _AWAITED, _PATIENCE)
        connections = Connections("health", host, port, _BOUNDS)
        self._server = grpc.server(
            ThreadPoolExecutor(_AWAITED + WATCHES + 4, thread_name_prefix="health"),
            handlers=[HealthHandler(self._statuses, receiver, connections.note_call)],
            options=_OPTIONS,
            maximum_concurrent_rpcs=4 * _AWAITED,
        )
        bind_port("server.health_port", host, port, self._server.add_insecure_port)
        self._sweeper = sweeper(
            "health watch", _SWEEP_INTERVAL, receiver.expire, connections.close_excess
        )
        self._prober = Prober(probes, interval, self._answer)

    def start(self) -> None:
        """Probes once and begins to answer."""
        # The first round runs first: no answer is older than what is known.
        self._prober.start()
        self._server.start()
        self._sweeper.start()

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
        self._statuses.end()
        self._server.stop(grace=0).wait()
        self._sweeper.stop()

    def _answer(self, found: Mapping[str, str]) -> None:
        """Answers according to a round; logs only what has changed."""
        problems = {name: text for name, text in found.items() if text}
        # Seconds that are counted down are no change.
        gist = {name: _NUMBER.sub("#", text) for name, text in problems.items()}
        with self._lock:
            self._found(found)
            if self._draining or gist == self._problems:
                return
            self._problems = gist
            ready = problems.keys() <= ADVISORY
            self._set(ready=ready)
            for name, text in found.items():
                self._statuses.set(name, serving=not text)
        if problems:
            _log.warning("ready, with a problem" if ready else "not ready", **problems)
        else:
            _log.info("ready")

    def _set(self, *, ready: bool) -> None:
        for service in ("", "readiness"):
            self._statuses.set(service, serving=ready)
        self._ready(ready)
