"""A server's requests to one configured address, bounded in time and size."""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import requests

__all__ = ["BoundedResponse", "bounded_request"]

_CHUNK = 65_536


class BoundedResponse:
    """What was answered; its body is read once."""

    def __init__(self, response: requests.Response, end: float) -> None:
        self._response = response
        self._end = end

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
            if time.monotonic() > self._end:
                raise ValueError("took too long to answer")
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
    end = time.monotonic() + timeout
    authorities = str(ca) if ca else ssl.get_default_verify_paths().cafile or True
    with requests.Session() as session:
        # The environment must not add a proxy, a CA bundle or a .netrc password, and nobody but
        # the configured address is asked.
        session.trust_env = False
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
            yield BoundedResponse(response, end)
