"""The service's login to the key server, kept alive in the background."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from threading import Lock

import structlog
from structlog.typing import FilteringBoundLogger

from vault.errors import ConfigError, TokenvaultError
from vault.keys.connection import KeyServerConnection, KeyServerError, KeyServerFault
from vault.keys.lease import FOREVER, Lease, backoff, next_step
from vault.keys.login_methods import LoginMethod, object_at, seconds_at
from vault.periodic_task import PeriodicTask

__all__ = ["Login"]

_log: FilteringBoundLogger = structlog.get_logger("vault.keys")
_LONGEST_WAIT = 3600.0
_TRANSIENT = frozenset(
    {
        KeyServerFault.UNREACHABLE,
        KeyServerFault.UNTRUSTED,
        KeyServerFault.SEALED,
        KeyServerFault.BUSY,
    }
)


class Login:
    """Logs in, and renews or replaces the login in time."""

    def __init__(
        self,
        connection: KeyServerConnection,
        method: LoginMethod,
        *,
        refuse_root: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connection = connection
        self._method = method
        self._refuse_root = refuse_root
        self._clock = clock
        self._lock = Lock()
        self._lease: Lease | None = None
        self._task = PeriodicTask(
            "key-server-login",
            self._advance,
            self._pause,
            failed=self._failed,
            recovered=self._recovered,
        )

    def remaining(self) -> float:
        """Seconds for which the login is still valid; 0 without one."""
        lease = self._lease
        return 0.0 if lease is None else lease.remaining(self._clock())

    def ensure(self) -> None:
        """Logs in unless there is a valid login, and keeps it from then on.

        Raises KeysUnavailable, or ConfigError for a secret file that is missing or open to
        others and for a root token.
        """
        with self._lock:
            if self.remaining() <= 0:
                self._log_in()
        self._task.start()

    def log_in_again(self) -> None:
        """Logs in again: the key server no longer accepts the token. Raises as ``ensure``."""
        with self._lock:
            self._log_in()

    def close(self) -> None:
        """Stops the background thread; the login ends by itself."""
        self._task.stop()

    def _failed(self, error: Exception, failures: int) -> None:
        if failures == 1:
            text = error.message if isinstance(error, TokenvaultError) else type(error).__name__
            _log.warning("key_server_login_failing", problem=text)

    def _recovered(self, failures: int) -> None:
        _log.info("key_server_login_recovered", failures=failures)

    def _pause(self, failures: int) -> float:
        jitter = random.random()  # noqa: S311 - spreads load, hides nothing
        if failures:
            return backoff(failures, jitter)
        if self._lease is None:
            return 0.0
        return min(_LONGEST_WAIT, next_step(self._lease, self._clock(), jitter).delay)

    def _advance(self) -> None:
        with self._lock:
            lease = self._lease
            if lease is not None and lease.duration == FOREVER:
                return
            # What is due now: the time to wait has just gone by, or an attempt failed.
            if lease is None or next_step(lease, self._clock(), 0.0).login:
                self._log_in()
            else:
                self._renew(lease)

    def _renew(self, lease: Lease) -> None:
        try:
            answer = self._connection.write("auth/token/renew-self")
        except KeyServerError as error:
            if error.fault in _TRANSIENT:
                raise
            self._log_in()  # revoked, or past its longest life: no renewal will succeed
            return
        granted = object_at(answer, "auth")
        self._lease = lease.renewed(
            seconds_at(granted, "lease_duration"),
            renewable=granted.get("renewable") is True,
            now=self._clock(),
        )
        if not self._lease.renewable:
            self._log_in()

    def _log_in(self) -> None:
        granted = self._method.log_in(self._connection)
        if self._refuse_root and "root" in granted.policies:
            self._connection.use_token("")
            raise ConfigError(
                "keys.auth: a root token is refused; log in as a role that has only the policy "
                "of deploy/hashicorp-vault/tokenvault-service.hcl"
            )
        self._connection.use_token(granted.token)
        duration = FOREVER if granted.seconds is None else granted.seconds
        self._lease = Lease.granted(duration, renewable=granted.renewable, now=self._clock())
