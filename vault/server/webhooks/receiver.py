"""One receiver of webhooks, asked over HTTP."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from vault.bounded_http import bounded_request
from vault.config import WebhookSettings, read_secret
from vault.errors import ConfigError
from vault.server.webhooks.signature import read_signing_keys, signature
from vault.service.ports import OutboxRow

__all__ = ["Receiver"]

_CONTENT_TYPE = "application/cloudevents+json; charset=utf-8"


class Receiver:
    """One receiver. Redirects are not followed, and nothing of its answer but the status is read.

    Args:
        clock: returns the seconds since 1970.
    """

    def __init__(self, settings: WebhookSettings, clock: Callable[[], float] = time.time) -> None:
        """Raises ConfigError where there is no key to sign with."""
        self._settings = settings
        self._clock = clock
        self._signing_keys()

    def send(self, row: OutboxRow) -> str:
        """Sends a notice; returns what went wrong, "" where it was taken (2xx)."""
        body, now = row.event.encode(), int(self._clock())
        try:
            headers = {
                "content-type": _CONTENT_TYPE,
                "user-agent": "tokenvault",
                "webhook-id": str(row.id),
                "webhook-timestamp": str(now),
                "webhook-signature": signature(self._signing_keys(), str(row.id), now, body),
            }
            status = self._post(body, headers)
        except ConfigError as error:
            return str(error)
        except OSError as error:
            return type(error).__name__
        return "" if 200 <= status < 300 else f"answered {status}"

    def _post(self, body: bytes, headers: dict[str, str]) -> int:
        settings = self._settings
        timeout, ca = settings.timeout.total_seconds(), settings.ca
        with bounded_request(
            "POST", settings.url, timeout=timeout, ca=ca, data=body, headers=headers
        ) as response:
            return response.status

    def _signing_keys(self) -> Sequence[bytes]:
        """Reads the keys: a file that is replaced counts from the next notice on."""
        return _read(self._settings.secret_file, f"webhooks.endpoints ({self._settings.name})")


def _read(path: Path, what: str) -> Sequence[bytes]:
    key = f"{what}: secret_file"
    try:
        return read_signing_keys(read_secret(path, key))
    except ValueError as error:
        raise ConfigError(f"{key}: {path} {error}") from None
