"""JSON from an issuer, over HTTPS and nothing else.

Redirects are not followed: a code or a token goes to the address that was named, or nowhere.
A proxy of the environment is asked to connect through, but never for a loopback address.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Mapping
from http.client import HTTPException
from pathlib import Path
from typing import Protocol
from urllib.error import HTTPError
from urllib.parse import urlencode, urlsplit
from urllib.request import (
    HTTPDefaultErrorHandler,
    HTTPErrorProcessor,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
)

from vault.cli.oidc.errors import LoginError, LoginFailure
from vault.client.loopback import is_loopback
from vault.client.pem import read_authority

__all__ = ["Https", "JsonResponse", "NoResponse", "Transport", "is_https"]

_TIMEOUT = 15.0
_MAX_BYTES = 1 << 20
_OK = 200


class NoResponse(LoginError):
    """The issuer did not answer; a later try may find it again."""

    def __init__(self, message: str) -> None:
        super().__init__(LoginFailure.UNAVAILABLE, message)


class JsonResponse:
    """An HTTP status and a JSON object. Has no ``repr`` of what may be a token."""

    __slots__ = ("document", "status")

    def __init__(self, status: int, document: Mapping[str, object]) -> None:
        self.status = status
        self.document = document

    @property
    def ok(self) -> bool:
        """Whether the status is 200."""
        return self.status == _OK

    def text(self, name: str) -> str:
        """Returns a member that is a text, or an empty one."""
        value = self.document.get(name)
        return value if isinstance(value, str) else ""

    def seconds(self, name: str, default: float) -> float:
        """Returns a member that is a number of seconds above zero, or the default."""
        value = self.document.get(name)
        sound = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1e9
        return float(value) if sound and isinstance(value, int | float) else default


class Transport(Protocol):
    """How an issuer is asked. Raises NoResponse and LoginError."""

    def get(self, url: str) -> JsonResponse:
        """Fetches a JSON object."""

    def post(self, url: str, form: Mapping[str, str]) -> JsonResponse:
        """Sends a form and returns the JSON object that answers it."""


def is_https(url: str) -> bool:
    """Returns whether a text is an https address without a user in it."""
    try:
        parts = urlsplit(url)
        return bool(parts.scheme == "https" and parts.hostname and not parts.username)
    except ValueError:
        return False


class Https:
    """Asks over TLS that is verified against an authority (PEM), or the system's.

    Raises OSError where the authority cannot be read.
    """

    def __init__(self, ca: Path | None) -> None:
        authority = read_authority(ca).decode("ascii", "replace") if ca else None
        self._context = ssl.create_default_context(cadata=authority)

    def get(self, url: str) -> JsonResponse:
        """Fetches a JSON object."""
        return self._ask(url, None)

    def post(self, url: str, form: Mapping[str, str]) -> JsonResponse:
        """Sends a form and returns the JSON object that answers it."""
        return self._ask(url, urlencode(form).encode("ascii"))

    def _ask(self, url: str, body: bytes | None) -> JsonResponse:
        if not is_https(url):
            raise LoginError(LoginFailure.USAGE, "the issuer's addresses must be https://")
        request = Request(url, body, {"Accept": "application/json"})  # noqa: S310 - https, above
        host = urlsplit(url).netloc
        opener = self._opener(direct=is_loopback(host))
        try:
            try:
                response = opener.open(request, timeout=_TIMEOUT)
            except HTTPError as error:
                response = error
            with response:
                return _json_response(response.status, response.read(_MAX_BYTES + 1), host)
        except ssl.SSLCertVerificationError as error:
            raise _distrusted(host, error) from None
        except (OSError, HTTPException, ValueError) as error:
            reason = getattr(error, "reason", error)
            if isinstance(reason, ssl.SSLCertVerificationError):
                raise _distrusted(host, reason) from None
            detail = reason.strerror if isinstance(reason, OSError) else None
            raise NoResponse(f"{host} does not answer: {detail or type(reason).__name__}") from None

    def _opener(self, *, direct: bool) -> OpenerDirector:
        # Not build_opener: it adds handlers for redirects, files, FTP and plain HTTP.
        opener = OpenerDirector()
        for handler in (
            ProxyHandler({} if direct else None),
            HTTPSHandler(context=self._context),
            HTTPErrorProcessor(),
            HTTPDefaultErrorHandler(),
        ):
            opener.add_handler(handler)
        return opener


def _distrusted(host: str, error: ssl.SSLCertVerificationError) -> LoginError:
    return LoginError(
        LoginFailure.USAGE,
        f"the certificate of {host} is not trusted ({error.verify_message}): "
        "name its authority with --issuer-ca",
    )


def _json_response(status: int, body: bytes, host: str) -> JsonResponse:
    try:
        document = json.loads(body) if len(body) <= _MAX_BYTES else None
    except (ValueError, RecursionError):
        document = None
    if isinstance(document, dict):
        return JsonResponse(status, document)
    raise NoResponse(f"{host} answered {status}, and no JSON object")
