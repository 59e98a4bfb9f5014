"""The service's login to the key server, kept alive in the background."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from threading import Event, Lock, Thread

import structlog
from structlog.typing import FilteringBoundLogger

from vault.config import KeyAuthSettings, read_secret
from vault.errors import ConfigError, KeysUnavailable, VaultError
from vault.keys.connection import Connection, Fault, KeyServerError
from vault.keys.lease import FOREVER, Lease, next_step, retry_delay

__all__ = ["Login"]

_log: FilteringBoundLogger = structlog.get_logger("vault.keys")
_LONGEST_WAIT = 3600.0
_TRANSIENT = frozenset({Fault.UNREACHABLE, Fault.UNTRUSTED, Fault.SEALED, Fault.BUSY})


class Login:
    """Logs in by AppRole or by a token file, and renews or replaces the login in time.

    Secrets are read from their files at each login, so that they can be replaced while
    the service runs.
    """

    def __init__(
        self,
        connection: Connection,
        auth: KeyAuthSettings,
        *,
        refuse_root: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connection = connection
        self._auth = auth
        self._refuse_root = refuse_root
        self._clock = clock
        self._lock = Lock()
        self._lease: Lease | None = None
        self._failures = 0
        self._stop = Event()
        self._thread: Thread | None = None

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
        self._start()

    def again(self) -> None:
        """Logs in anew: the key server no longer accepts the token. Raises as ``ensure``."""
        with self._lock:
            self._log_in()

    def close(self) -> None:
        """Stops the background thread; the login ends by itself."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _start(self) -> None:
        with self._lock:
            if self._thread is None and not self._stop.is_set():
                self._thread = Thread(target=self._keep, name="key-server-login", daemon=True)
                self._thread.start()

    def _keep(self) -> None:
        while not self._stop.wait(self._pause()):
            try:
                self._advance()
            except Exception as error:  # noqa: BLE001 - a dead thread would end the login
                self._failures += 1
                if self._failures == 1:
                    text = error.message if isinstance(error, VaultError) else type(error).__name__
                    _log.warning("key_server_login_failing", problem=text)
            else:
                if self._failures:
                    _log.info("key_server_login_recovered", failures=self._failures)
                self._failures = 0

    def _pause(self) -> float:
        jitter = random.random()  # noqa: S311 - spreads load, hides nothing
        if self._failures:
            return retry_delay(self._failures, jitter)
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
        granted = _mapping(answer, "auth")
        self._lease = lease.renewed(
            _seconds(granted, "lease_duration"),
            renewable=granted.get("renewable") is True,
            now=self._clock(),
        )
        if not self._lease.renewable:
            self._log_in()

    def _log_in(self) -> None:
        if self._auth.method == "approle":
            token, lease, policies = self._by_approle()
        else:
            token, lease, policies = self._by_token()
        if self._refuse_root and "root" in policies:
            self._connection.use_token("")
            raise ConfigError(
                "keys.auth: a root token is refused; log in as a role that has only the policy "
                "of deploy/hashicorp-vault/tokenvault-service.hcl"
            )
        self._connection.use_token(token)
        self._lease = lease

    def _by_approle(self) -> tuple[str, Lease, frozenset[str]]:
        auth = self._auth
        if auth.role_id_file is None or auth.secret_id_file is None:
            raise ConfigError("keys.auth: method approle needs role_id_file and secret_id_file")
        body = {
            "role_id": read_secret(auth.role_id_file, "keys.auth.role_id_file"),
            "secret_id": read_secret(auth.secret_id_file, "keys.auth.secret_id_file"),
        }
        try:
            answer = self._connection.write(f"auth/{auth.mount}/login", body)
        except KeyServerError as error:
            if error.fault in {Fault.INVALID, Fault.FORBIDDEN}:
                raise KeysUnavailable(
                    "key server: the AppRole login is refused; check role_id_file and "
                    "secret_id_file, and whether the secret id has expired"
                ) from None
            raise
        granted = _mapping(answer, "auth")
        token = granted.get("client_token")
        if not isinstance(token, str) or not token:
            raise KeyServerError(Fault.UNEXPECTED)
        return token, self._lease_of(granted, "lease_duration"), _names(granted.get("policies"))

    def _by_token(self) -> tuple[str, Lease, frozenset[str]]:
        if self._auth.token_file is None:
            raise ConfigError("keys.auth: method token needs token_file")
        token = read_secret(self._auth.token_file, "keys.auth.token_file")
        self._connection.use_token(token)
        found = _mapping(self._connection.read("auth/token/lookup-self"), "data")
        return token, self._lease_of(found, "ttl"), _names(found.get("policies"))

    def _lease_of(self, source: Mapping[str, object], key: str) -> Lease:
        seconds = _seconds(source, key)
        # A look-up writes 0 both for "no end" and for "less than a second is left".
        endless = seconds == 0 and source.get("expire_time") is None
        renewable = source.get("renewable") is True
        return Lease.granted(
            FOREVER if endless else seconds, renewable=renewable, now=self._clock()
        )


def _mapping(answer: Mapping[str, object], key: str) -> Mapping[str, object]:
    part = answer.get(key)
    if not isinstance(part, dict):
        raise KeyServerError(Fault.UNEXPECTED)
    return part


def _seconds(source: Mapping[str, object], key: str) -> int:
    seconds = source.get(key)
    if not isinstance(seconds, int) or isinstance(seconds, bool) or seconds < 0:
        raise KeyServerError(Fault.UNEXPECTED)
    return seconds


def _names(value: object) -> frozenset[str]:
    if not isinstance(value, list):
        raise KeyServerError(Fault.UNEXPECTED)
    return frozenset(str(name) for name in value)
