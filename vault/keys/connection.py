"""The connection to a HashiCorp Vault or OpenBao: hvac behind types, and one kind of error.

hvac's exceptions hold response bodies, and requests' hold addresses and headers; neither
leaves this module.
"""

from __future__ import annotations

import math
import re
import ssl
from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from threading import Lock
from typing import NoReturn

import requests
from hvac import exceptions
from hvac.adapters import JSONAdapter

from vault.errors import ConfigError, KeysUnavailable

__all__ = ["KeyServerConnection", "KeyServerError", "KeyServerFault", "check_name"]

_NO_CONTENT = 204


class KeyServerFault(StrEnum):
    """Why the key server did not do as asked; the text is for an operator."""

    UNREACHABLE = "it cannot be reached"
    UNTRUSTED = "its TLS certificate is not signed by the configured CA, or not for its address"
    SEALED = "it is sealed, not initialised or a standby"
    FORBIDDEN = "permission denied: check the login's policy and whether the token still lives"
    NOT_FOUND = "no such path: check the Transit mount, the key's name and the login's mount"
    INVALID = "it refused the request as invalid"
    TOO_NEW = "it has no such version of the Transit key"
    TOO_OLD = "the Transit key's min_decryption_version forbids it"
    NOT_ED25519 = "the Transit key is not one of type ed25519, not derived"
    BUSY = "it is overloaded and limits requests"
    UNEXPECTED = "it answered in an unexpected way"


_NAME = re.compile(r"[A-Za-z0-9_.-]{1,128}(/[A-Za-z0-9_.-]{1,128})*")


def check_name(setting: str, name: str) -> None:
    """Refuses what cannot be part of a path of the key server. Raises ConfigError."""
    if not _NAME.fullmatch(name) or {".", ".."} & set(name.split("/")):
        raise ConfigError(f"{setting}: is not a name of the key server")


class KeyServerError(KeysUnavailable):
    """A request to the key server failed."""

    def __init__(self, fault: KeyServerFault) -> None:
        super().__init__(f"key server: {fault.value}")
        self.fault = fault


_FAULTS: Mapping[type[Exception], KeyServerFault] = {
    exceptions.Forbidden: KeyServerFault.FORBIDDEN,
    exceptions.Unauthorized: KeyServerFault.FORBIDDEN,
    exceptions.InvalidPath: KeyServerFault.NOT_FOUND,
    exceptions.UnsupportedOperation: KeyServerFault.NOT_FOUND,
    exceptions.InvalidRequest: KeyServerFault.INVALID,
    exceptions.RateLimitExceeded: KeyServerFault.BUSY,
    exceptions.VaultDown: KeyServerFault.SEALED,
    exceptions.VaultNotInitialized: KeyServerFault.SEALED,
    exceptions.BadGateway: KeyServerFault.UNREACHABLE,
    requests.exceptions.SSLError: KeyServerFault.UNTRUSTED,
    requests.exceptions.ConnectionError: KeyServerFault.UNREACHABLE,
    requests.exceptions.Timeout: KeyServerFault.UNREACHABLE,
}


# What Transit says of a ciphertext's version, the same in HashiCorp Vault and OpenBao. The
# response is searched for these texts, and never passed on.
_VERSION_FAULTS: Mapping[str, KeyServerFault] = {
    "version is too new": KeyServerFault.TOO_NEW,
    "disallowed by policy (too old)": KeyServerFault.TOO_OLD,
}


class KeyServerConnection:
    """One client of the key server's HTTP interface; threads may share it."""

    def __init__(
        self,
        address: str,
        *,
        ca: Path | None = None,
        timeout: timedelta = timedelta(seconds=5),
        namespace: str | None = None,
    ) -> None:
        """Opens nothing yet.

        Args:
            address: an https address.
            ca: the authority that signs the server's certificate, PEM; the system's if None.
            timeout: the longest wait for a connection, and for each read.
            namespace: HashiCorp Vault Enterprise or OpenBao namespace.
        """
        session = requests.Session()
        # The environment must not add a proxy, a CA bundle or a .netrc password.
        session.trust_env = False
        session.verify = str(ca) if ca is not None else _system_authorities()
        # The adapter rather than hvac.Client, which reads tokens and certificates from the
        # environment. No redirects: a token would follow them to another host.
        self._adapter = JSONAdapter(
            base_uri=address,
            token="",
            timeout=math.ceil(timeout.total_seconds()),
            allow_redirects=False,
            session=session,
            namespace=namespace,
        )
        self._lock = Lock()

    def __repr__(self) -> str:
        return f"<KeyServerConnection {self._adapter.base_uri}>"

    def use_token(self, token: str) -> None:
        """Sends the token with every later request."""
        with self._lock:
            self._adapter.token = token

    def read(self, path: str) -> Mapping[str, object]:
        """Reads a path; returns the whole answer. Raises KeyServerError."""
        return self._request("get", path, None)

    def write(self, path: str, body: Mapping[str, object] | None = None) -> Mapping[str, object]:
        """Writes to a path; returns the whole answer, empty if there is none.

        Raises KeyServerError.
        """
        return self._request("post", path, body or {})

    def close(self) -> None:
        """Closes idle sockets."""
        self._adapter.close()

    def _request(
        self, method: str, path: str, body: Mapping[str, object] | None
    ) -> Mapping[str, object]:
        try:
            with self._lock:
                answer = self._adapter.request(method, f"/v1/{path}", json=body)
        except (exceptions.VaultError, requests.RequestException) as error:
            _refuse(error)
        if isinstance(answer, dict):
            return answer
        if answer.status_code == _NO_CONTENT:
            return {}
        raise KeyServerError(KeyServerFault.UNEXPECTED)


def _refuse(error: Exception) -> NoReturn:
    if isinstance(error, exceptions.InvalidRequest):
        body = error.text or ""
        for said, fault in _VERSION_FAULTS.items():
            if said in body:
                raise KeyServerError(fault) from None
    for kind in type(error).__mro__:
        if kind in _FAULTS:
            raise KeyServerError(_FAULTS[kind]) from None
    raise KeyServerError(KeyServerFault.UNEXPECTED) from None


def _system_authorities() -> str | bool:
    """The system's authorities, where Python knows their file; else those of certifi."""
    return ssl.get_default_verify_paths().cafile or True
