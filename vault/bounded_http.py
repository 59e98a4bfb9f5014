"""A server's requests to one configured address, bounded in time and size.

The libraries bound each read, and headers or a body may come a byte at a time, for hours: here the
connection is shut down when the time is over.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from threading import Lock, Timer

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

__all__ = ["BoundedResponse", "bounded_request"]

_CHUNK = 65_536
_TOO_LONG = "took too long to answer"


class _Lines:
    """The connections of one request."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._open: list[socket.socket] = []
        self._over = False

    def add(self, opened: socket.socket) -> None:
        """Has a connection be shut down when the time is over."""
        with self._lock:
            # TLS takes the socket over; another one of the same connection stays.
            self._open.append(opened.dup())
        if self._over:
            self.shut_down()

    def shut_down(self) -> None:
        """Ends them all, whoever waits for them."""
        with self._lock:
            self._over = True
            for each in self._open:
                with suppress(OSError):  # it has ended by itself
                    each.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Closes what was kept of them."""
        with self._lock:
            for each in self._open:
                each.close()
            self._open.clear()

    @property
    def over(self) -> bool:
        """Whether the time is over: what was read may be a part."""
        return self._over


_lines: ContextVar[_Lines] = ContextVar("lines")


class _Connection(HTTPConnection):
    def _new_conn(self) -> socket.socket:
        opened = super()._new_conn()
        _lines.get().add(opened)
        return opened


class _TlsConnection(_Connection, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


def _adapter() -> HTTPAdapter:
    adapter = HTTPAdapter()
    adapter.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}
    return adapter


class BoundedResponse:
    """What was answered; its body is read once."""

    def __init__(self, response: requests.Response, lines: _Lines) -> None:
        self._response = response
        self._lines = lines

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self._response.status_code

    def header(self, name: str) -> str:
        """Returns a header, empty where there is none."""
        return self._response.headers.get(name, "")

    def read(self, limit: int) -> bytes:
        """Returns the body; of one longer than ``limit`` bytes somewhat more than those.

        Raises ValueError where it took too long, and OSError.
        """
        body = b""
        for chunk in self._response.iter_content(_CHUNK):
            body += chunk
            if len(body) > limit:
                break
        if self._lines.over:
            raise ValueError(_TOO_LONG)
        return body


@contextmanager
def bounded_request(
    method: str,
    url: str,
    *,
    timeout: float,
    ca: Path | None = None,
    data: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> Iterator[BoundedResponse]:
    """Sends a request and yields the response.

    Args:
        timeout: seconds for the connection, each read, and altogether.
        ca: authority of an https address, PEM; the system's if None.

    Raises OSError.
    """
    authorities = str(ca) if ca else ssl.get_default_verify_paths().cafile or True
    with requests.Session() as session, _shut_down_after(timeout) as lines:
        # The environment must not add a proxy, a CA bundle or a .netrc password, and nobody but
        # the configured address is asked.
        session.trust_env = False
        for scheme in ("https://", "http://"):
            session.mount(scheme, _adapter())
        with session.request(
            method,
            url,
            data=data,
            headers=headers,
            timeout=timeout,
            verify=authorities,
            allow_redirects=False,
            stream=True,
        ) as response:
            if lines.over:
                raise TimeoutError(_TOO_LONG)
            yield BoundedResponse(response, lines)


@contextmanager
def _shut_down_after(seconds: float) -> Iterator[_Lines]:
    lines = _Lines()
    timer = Timer(seconds, lines.shut_down)
    timer.daemon = True
    token = _lines.set(lines)
    timer.start()
    try:
        yield lines
    finally:
        timer.cancel()
        _lines.reset(token)
        lines.close()
