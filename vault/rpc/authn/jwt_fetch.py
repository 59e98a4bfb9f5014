"""An issuer's keys from its own https address.

Read at the start, at an interval, and when a token names a key that is not there, at
most every ten seconds: strangers can invent names. While the issuer is unavailable the keys
stay, but not for longer than a day: a key that was withdrawn meanwhile must end too.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import timedelta
from http import HTTPStatus
from pathlib import Path
from types import MappingProxyType

from vault.bounded_http import bounded_request
from vault.periodic_task import PeriodicTask
from vault.rpc.authn.jwt_keys import MAX_JWKS_BYTES, KeySet, VerificationKey, parse_jwks
from vault.telemetry.logging import get_log

__all__ = ["JwksClient", "RemoteKeys"]

_MIN_PAUSE = 10.0
_WAIT = 1.0
# Strangers can invent names: few of their calls may wait for an issuer that is slow.
_MAX_WAITING = 4
_MAX_AGE = 86_400.0
_log = get_log(__name__)


class JwksClient:
    """Reads one https address.

    Args:
        ca: authority of the address, PEM; the system's if None.
        timeout: seconds for the connection, each read, and altogether.
    """

    def __init__(self, url: str, ca: Path | None, timeout: float = 5.0) -> None:
        self._url = url
        self._ca = ca
        self._timeout = timeout

    def fetch(self) -> KeySet:
        """Returns the keys. Raises OSError or ValueError."""
        with bounded_request("GET", self._url, timeout=self._timeout, ca=self._ca) as response:
            if response.status != HTTPStatus.OK:
                raise ValueError(f"answered {response.status}")
            body = response.read(MAX_JWKS_BYTES)
        if len(body) > MAX_JWKS_BYTES:
            raise ValueError("is too large for a JWK Set")
        return parse_jwks(body)


class RemoteKeys:
    """The keys of an issuer's address, kept fresh by a thread. Threads may share it.

    Args:
        fetch: reads the keys. Raises OSError or ValueError.
        refresh: time between two reads.
        least_pause: seconds between two reads, whoever asks.
        max_age: seconds after the last good read when the keys end.
    """

    def __init__(
        self,
        issuer: str,
        fetch: Callable[[], KeySet],
        refresh: timedelta,
        *,
        least_pause: float = _MIN_PAUSE,
        max_age: float = _MAX_AGE,
    ) -> None:
        self._issuer = issuer
        self._fetch = fetch
        self._refresh = max(refresh.total_seconds(), least_pause)
        self._least_pause = least_pause
        self._max_age = max_age
        self._changed = threading.Condition()
        self._wanted = True  # asked for, or being read: until then calls may wait
        self._waiting = 0
        self._keys: KeySet = MappingProxyType({})
        self._read_at = 0.0
        self._tried_at = float("-inf")
        self._problem = ""
        self._task = PeriodicTask(
            "jwks",
            self._read,
            self._pause,
            failed=self._read_failed,
            recovered=self._recovered,
            # A name that was asked for as a read began needs no other.
            due=self._may_ask,
        )

    def start(self) -> None:
        """Begins to read. Until then an unavailable issuer is logged and its tokens are refused."""
        self._task.start()

    def stop(self) -> None:
        """Ends the thread, without waiting for a read that hangs."""
        self._task.stop(timeout=0.0)

    def find(self, kid: str) -> VerificationKey | None:
        """Returns the key of that name; waits a moment where it may only just have come."""
        with self._changed:
            if kid not in self._current() and self._may_ask():
                self._wait_for_keys()
            return self._current().get(kid)

    def problem(self) -> str:
        """Returns why the last read failed, or an empty text."""
        return self._problem

    def _wait_for_keys(self) -> None:
        if not self._wanted:
            self._wanted = True
            self._task.wake()
        if self._waiting < _MAX_WAITING:
            self._waiting += 1
            self._changed.wait_for(lambda: not self._wanted, _WAIT)
            self._waiting -= 1

    def _current(self) -> KeySet:
        fresh = time.monotonic() - self._read_at < self._max_age
        return self._keys if fresh else MappingProxyType({})

    def _may_ask(self) -> bool:
        return self._wanted or time.monotonic() - self._tried_at >= self._least_pause

    def _pause(self, failures: int) -> float:
        pause = self._least_pause if failures else self._refresh
        return max(0.0, self._tried_at + pause - time.monotonic())

    def _read(self) -> None:
        with self._changed:
            self._tried_at = time.monotonic()
            self._wanted = True
        keys = self._fetch()
        with self._changed:
            self._keys, self._read_at = keys, time.monotonic()
        self._settle("")

    def _read_failed(self, error: Exception, failures: int) -> None:
        # requests' errors are OSErrors too, and quote addresses; ours quote nothing.
        ours = isinstance(error, ValueError) and not isinstance(error, OSError)
        problem = str(error) if ours else type(error).__name__
        if failures == 1:
            _log.error("keys of a JWT issuer cannot be read", issuer=self._issuer, detail=problem)
        self._settle(problem)

    def _recovered(self, _: int) -> None:
        _log.info("keys of a JWT issuer are read again", issuer=self._issuer)

    def _settle(self, problem: str) -> None:
        """Ends the wait of the calls that asked for this read."""
        with self._changed:
            self._problem = problem
            self._wanted = False
            self._changed.notify_all()
