"""The Prometheus page. Whoever reaches its port may read it; no client can keep others from it.

A thread serves each connection, as in prometheus_client's own server; that one waits for
a request for ever, and makes as many threads as there are connections.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import CollectorRegistry, make_wsgi_app

from vault.errors import ConfigError

__all__ = ["serve_metrics"]

# What socketserver calls so: of TCP it is the connection.
_Request = socket.socket | tuple[bytes, socket.socket]
_CONNECTIONS = 64
_SECONDS = 5.0


class _Handler(WSGIRequestHandler):
    timeout = _SECONDS

    def log_message(self, format: str, *args: object) -> None:
        """Logs nothing: whoever reaches the port could fill the log."""


class _Server(ThreadingMixIn, WSGIServer):
    """Serves a limited number of connections at once; one more ends the oldest."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, family: socket.AddressFamily, host: str, port: int) -> None:
        self.address_family = family
        self._lock = threading.Lock()
        # In the order in which they came.
        self._here: dict[_Request, None] = {}
        super().__init__((host, port), _Handler)

    def process_request(self, request: _Request, client_address: object) -> None:
        """Serves a connection in a thread of its own; one too many ends the oldest."""
        with self._lock:
            self._here[request] = None
            if len(self._here) > _CONNECTIONS:
                oldest = next(iter(self._here))
                del self._here[oldest]
                _end(oldest)
        super().process_request(request, client_address)

    def shutdown_request(self, request: _Request) -> None:
        """Ends a connection."""
        with self._lock:
            self._here.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, request: object, client_address: object) -> None:
        """Logs nothing: a caller who hangs up, or is too slow, is no error."""


def _end(connection: _Request) -> None:
    if isinstance(connection, socket.socket):
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)


def serve_metrics(registry: CollectorRegistry, host: str, port: int) -> Callable[[], None]:
    """Serves the page; returns what stops it. Raises ConfigError if the port is taken."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        server = _Server(family, host, port)
    except OSError as error:
        raise ConfigError(
            f"server.metrics_port: cannot listen on {host}:{port}: {error.strerror}"
        ) from None
    server.set_app(make_wsgi_app(registry))
    thread = threading.Thread(target=server.serve_forever, name="metrics", daemon=True)
    thread.start()

    def stop() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return stop
