"""The ways to log in to the key server: each turns files into a token.

Files are read at each login: replacing them needs no restart of the service.
"""

from __future__ import annotations

import hmac
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple, Protocol

from vault.config import KeyAuthSettings, read_projected_token, read_secret
from vault.errors import ConfigError, KeysUnavailable
from vault.keys.connection import KeyServerConnection, KeyServerError, KeyServerFault

__all__ = [
    "AppRole",
    "GrantedLogin",
    "Kubernetes",
    "LoginMethod",
    "TokenFile",
    "choose_method",
    "object_at",
    "seconds_at",
]

_KUBERNETES_REFUSED = (
    "key server: the Kubernetes login is refused; check that the role is bound to this pod's "
    "service account, namespace and audience, and that the key server may review tokens"
)
_APPROLE_REFUSED = (
    "key server: the AppRole login is refused; check role_id_file and secret_id_file, and "
    "whether the secret id has expired; tried again once a file changes, or in five minutes"
)
_REPEAT = 300.0


class _Refused(KeysUnavailable):
    """The key server refused the login."""


class GrantedLogin(NamedTuple):
    """A login.

    Attributes:
        token: what later requests are sent with.
        seconds: how long it lasts, None for one without an end.
    """

    token: str
    seconds: int | None
    renewable: bool
    policies: frozenset[str]

    def __repr__(self) -> str:
        return f"<GrantedLogin {self.seconds} s>"


class LoginMethod(Protocol):
    """One way to log in."""

    def log_in(self, connection: KeyServerConnection) -> GrantedLogin:
        """Logs in. Raises KeysUnavailable, or ConfigError for a secret file."""


class AppRole:
    """By the role id and secret id of an AppRole.

    What was refused is not sent again at once. A key server locks a role after a few refused
    logins (OpenBao and HashiCorp Vault: five, for 15 minutes), and then refuses the secret id
    that would be right as well: repeating would keep the service out after it was fixed.
    """

    def __init__(
        self,
        mount: str,
        role_id_file: Path,
        secret_id_file: Path,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._mount = mount
        self._role_id_file = role_id_file
        self._secret_id_file = secret_id_file
        self._clock = clock
        # A fingerprint of the refused ids, which are not kept, and when they may be sent again.
        self._salt = os.urandom(32)
        self._refused = b""
        self._not_before = 0.0

    def log_in(self, connection: KeyServerConnection) -> GrantedLogin:
        """Logs in. Raises KeysUnavailable, or ConfigError for a secret file."""
        body = {
            "role_id": read_secret(self._role_id_file, "keys.auth.role_id_file"),
            "secret_id": read_secret(self._secret_id_file, "keys.auth.secret_id_file"),
        }
        mark = hmac.digest(self._salt, "\0".join(body.values()).encode(), "sha256")
        known = hmac.compare_digest(mark, self._refused)
        if known and self._clock() < self._not_before:
            raise _Refused(_APPROLE_REFUSED)
        try:
            return _exchange(connection, self._mount, body, _APPROLE_REFUSED)
        except _Refused:
            self._refused, self._not_before = mark, self._clock() + _REPEAT
            raise


class Kubernetes(NamedTuple):
    """By the pod's service account: the key server asks Kubernetes whose token it is."""

    mount: str
    role: str
    token_file: Path

    def log_in(self, connection: KeyServerConnection) -> GrantedLogin:
        """Logs in. Raises KeysUnavailable, or ConfigError for the token's file."""
        key = "keys.auth.service_account_token_file"
        body = {"role": self.role, "jwt": read_projected_token(self.token_file, key)}
        return _exchange(connection, self.mount, body, _KUBERNETES_REFUSED)


class TokenFile(NamedTuple):
    """By a token that somebody else made, such as an agent beside the service."""

    file: Path

    def log_in(self, connection: KeyServerConnection) -> GrantedLogin:
        """Looks the token up. Raises KeysUnavailable, or ConfigError for its file."""
        token = read_secret(self.file, "keys.auth.token_file")
        connection.use_token(token)
        found = object_at(connection.read("auth/token/lookup-self"), "data")
        left = seconds_at(found, "ttl")
        # A look-up writes 0 both for "no end" and for "less than a second is left".
        endless = left == 0 and found.get("expire_time") is None
        return _granted(token, None if endless else left, found)


def choose_method(auth: KeyAuthSettings) -> LoginMethod:
    """Returns the method that the settings name. Raises ConfigError for one that lacks a part."""
    mount = auth.mount or auth.method
    match auth.method:
        case "approle" if auth.role_id_file and auth.secret_id_file:
            return AppRole(mount, auth.role_id_file, auth.secret_id_file)
        case "kubernetes" if auth.role:
            return Kubernetes(mount, auth.role, auth.service_account_token_file)
        case "token" if auth.token_file:
            return TokenFile(auth.token_file)
        case _:
            raise ConfigError(f"keys.auth: method {auth.method} lacks a setting")


def object_at(answer: Mapping[str, object], key: str) -> Mapping[str, object]:
    """Returns an object inside an answer. Raises KeyServerError."""
    found = answer.get(key)
    if not isinstance(found, dict):
        raise KeyServerError(KeyServerFault.UNEXPECTED)
    return found


def seconds_at(source: Mapping[str, object], key: str) -> int:
    """Returns a number of seconds. Raises KeyServerError."""
    found = source.get(key)
    if not isinstance(found, int) or isinstance(found, bool) or found < 0:
        raise KeyServerError(KeyServerFault.UNEXPECTED)
    return found


def _exchange(
    connection: KeyServerConnection, mount: str, body: Mapping[str, object], refused: str
) -> GrantedLogin:
    try:
        answer = connection.write(f"auth/{mount}/login", body)
    except KeyServerError as error:
        if error.fault in {KeyServerFault.INVALID, KeyServerFault.FORBIDDEN}:
            raise _Refused(refused) from None
        raise
    granted = object_at(answer, "auth")
    token = granted.get("client_token")
    if not isinstance(token, str) or not token:
        raise KeyServerError(KeyServerFault.UNEXPECTED)
    return _granted(token, seconds_at(granted, "lease_duration"), granted)


def _granted(token: str, left: int | None, source: Mapping[str, object]) -> GrantedLogin:
    policies = source.get("policies")
    if not isinstance(policies, list):
        raise KeyServerError(KeyServerFault.UNEXPECTED)
    renewable = source.get("renewable") is True
    return GrantedLogin(token, left, renewable, frozenset(str(name) for name in policies))
