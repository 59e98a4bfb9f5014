"""AWS Signature Version 4 of a request to an object store.

Of a URL without a query, whose path needs no escaping: other requests are never made here.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from urllib.parse import SplitResult, urlsplit

__all__ = ["Credentials", "signed_headers"]

_ALGORITHM = "AWS4-HMAC-SHA256"
_PLAIN_PATH = re.compile(r"/[A-Za-z0-9._~/-]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Credentials:
    """An access key.

    Attributes:
        token: of a temporary key, else empty.
    """

    key_id: str
    secret: str = field(repr=False)
    token: str = field(default="", repr=False)


def signed_headers(
    method: str,
    url: str,
    headers: Mapping[str, str],
    content: bytes,
    *,
    credentials: Credentials,
    region: str,
    now: datetime,
) -> Mapping[str, str]:
    """Returns the headers to send: those given, which are signed too, and the signature.

    Raises ValueError for a URL that would need escaping.
    """
    address = urlsplit(url)
    if not _PLAIN_PATH.fullmatch(address.path) or address.query or address.fragment:
        raise ValueError("the URL has characters that are not plain")
    time = now.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    scope = f"{time[:8]}/{region}/s3/aws4_request"
    sent = {name.lower(): value for name, value in headers.items()}
    sent |= {"x-amz-content-sha256": sha256(content).hexdigest(), "x-amz-date": time}
    if credentials.token:
        sent["x-amz-security-token"] = credentials.token
    signed = {**sent, "host": _host(address)}
    names = ";".join(sorted(signed))
    lines = [f"{name}:{signed[name].strip()}\n" for name in sorted(signed)]
    request = (method, address.path, "", "".join(lines), names, sent["x-amz-content-sha256"])
    digest = sha256("\n".join(request).encode()).hexdigest()
    message = "\n".join((_ALGORITHM, time, scope, digest))
    signature = _signature(credentials.secret, scope, message)
    sent["authorization"] = (
        f"{_ALGORITHM} Credential={credentials.key_id}/{scope}, SignedHeaders={names},"
        f" Signature={signature}"
    )
    return sent


def _host(address: SplitResult) -> str:
    """Returns the Host header that is sent: a scheme's own port is left out."""
    host = address.hostname or ""
    host = f"[{host}]" if ":" in host else host
    own = {"https": 443, "http": 80}.get(address.scheme)
    return host if address.port in (None, own) else f"{host}:{address.port}"


def _signature(secret: str, scope: str, message: str) -> str:
    key = f"AWS4{secret}".encode()
    for part in (*scope.split("/"), message):
        key = hmac.digest(key, part.encode(), "sha256")
    return key.hex()
