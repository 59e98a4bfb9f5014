"""A listener: gRPC's server with our limits, and an end that lets calls finish."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import cast

import grpc

from vault.config import ServerSettings
from vault.rpc.pipeline import DENIALS, Pipeline
from vault.rpc.receiving import Receiver
from vault.server.call_threads import CallThreads
from vault.server.connections import Connections, accepted_connections
from vault.server.endpoints import Endpoint
from vault.server.port_binding import bind_port
from vault.server.sweeper import sweeper

__all__ = ["Listener", "receiver"]

# Threads that only refuse callers while the server is full, with a reason. A handful: they
# need the interpreter alone, and more of them would only take it from the work.
_SPARE_THREADS = 4
# Requests that may be on their way at once, however many calls are worked on: each holds a
# thread, and as many bytes as a request may have.
_MAX_AWAITED = 256
# Seconds.
_SWEEP_INTERVAL = 0.2
# Calls that wait, for milliseconds, for a spare thread to refuse them; beyond them gRPC
# refuses by itself, without a reason.
_AWAITING_REFUSAL = 512
# Calls that gRPC's core holds while Python has no time even to refuse them; from here on
# it drops more and more of them (CANCELLED), and beyond twice as many all.
_PENDING = 128
# For those that connect and then do not shake hands.
_HANDSHAKE_SECONDS = 10


class Listener:
    """One port. Binds on construction; raises ConfigError if the port is taken."""

    def __init__(
        self,
        settings: ServerSettings,
        endpoint: Endpoint,
        pipeline: Pipeline,
        awaiting: Receiver,
        connections: Connections,
    ) -> None:
        threads = settings.max_concurrent_rpcs + _awaited(settings) + DENIALS + _SPARE_THREADS
        self._threads = CallThreads(threads, f"{endpoint.name} call")
        self._sweeper = sweeper(
            f"{endpoint.name} watch", _SWEEP_INTERVAL, awaiting.expire, connections.close_excess
        )
        self._grace = settings.drain.total_seconds()
        self._server = grpc.server(
            # All that gRPC does with an executor is to submit calls to it.
            cast("ThreadPoolExecutor", self._threads),
            handlers=[pipeline],
            options=_options(settings),
            maximum_concurrent_rpcs=threads + _AWAITING_REFUSAL,
        )
        bind_port(
            endpoint.key,
            endpoint.host,
            endpoint.port,
            lambda address: self._server.add_secure_port(address, endpoint.credentials),
            shared=settings.workers > 1,
        )

    def start(self) -> None:
        """Begins to serve."""
        self._server.start()
        self._sweeper.start()

    def stop(self) -> None:
        """Refuses new calls and waits for those under way, within the drain time."""
        self._server.stop(self._grace).wait()
        self._threads.shutdown()
        self._sweeper.stop()


def receiver(settings: ServerSettings) -> Receiver:
    """Returns where a listener's calls are until their requests are here."""
    places = _awaited(settings)
    patience = min(settings.receive_timeout, settings.max_deadline).total_seconds()
    return Receiver(places, min(places, settings.principal_share), patience)


def _awaited(settings: ServerSettings) -> int:
    return min(settings.max_concurrent_rpcs, _MAX_AWAITED)


def _options(settings: ServerSettings) -> Sequence[tuple[str, int]]:
    return (
        # Without workers, a second server on the port would silently share its calls.
        ("grpc.so_reuseport", int(settings.workers > 1)),
        ("grpc.max_receive_message_length", settings.max_message_bytes),
        # A connection holds memory and its handshake costs more than a call.
        (
            "grpc.max_allowed_incoming_connections",
            accepted_connections(settings.max_connections),
        ),
        # Calls that Python has not taken over yet; gRPC's own 1000 to 3000 are seconds.
        ("grpc.server.max_pending_requests", _PENDING),
        ("grpc.server.max_pending_requests_hard_limit", 2 * _PENDING),
        ("grpc.server_handshake_timeout_ms", _HANDSHAKE_SECONDS * 1000),
        # More on one connection wait at the caller's end, not at this one.
        ("grpc.max_concurrent_streams", settings.max_concurrent_rpcs),
        (
            "grpc.max_connection_idle_ms",
            _milliseconds(settings.max_connection_idle.total_seconds()),
        ),
        ("grpc.max_connection_age_ms", _milliseconds(settings.max_connection_age.total_seconds())),
        ("grpc.max_connection_age_grace_ms", _milliseconds(settings.drain.total_seconds())),
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        # What clients may ping; gRPC's own default takes the SDK's keepalive for an attack.
        ("grpc.http2.min_recv_ping_interval_without_data_ms", 20_000),
    )


def _milliseconds(seconds: float) -> int:
    return int(seconds * 1000)
