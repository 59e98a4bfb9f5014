"""What a single setting may be: durations, paths, addresses; refused with a reason, unquoted."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import parse_qs, urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo

from vault.duration import parse_duration

__all__ = [
    "Claim",
    "ClaimPath",
    "Count",
    "DatabaseUrl",
    "Duration",
    "FilePath",
    "HttpsUrl",
    "JwtAlgorithm",
    "Leeway",
    "ObjectStoreUrl",
    "Origin",
    "Port",
    "TrustDomain",
    "Url",
    "WebhookUrl",
]

_TRUST_DOMAIN = re.compile(r"[a-z0-9._-]{1,255}")
_HOST = r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9_.-]+)(:[0-9]{1,5})?"
_LOOPBACK = re.compile(r"127(\.[0-9]{1,3}){3}|::1|localhost")
_HOSTS = re.compile(rf"{_HOST}(,{_HOST})+")


def _positive(duration: timedelta) -> timedelta:
    if duration <= timedelta(0):
        raise ValueError("must be longer than zero")
    return duration


def _path(value: object, info: ValidationInfo) -> Path:
    if not isinstance(value, str) or not value:
        raise ValueError("write a path as a string")
    base = info.context["directory"] if isinstance(info.context, Mapping) else Path()
    return Path(base) / Path(value).expanduser()


def _trust_domain(value: str) -> str:
    if not _TRUST_DOMAIN.fullmatch(value):
        raise ValueError('write the bare name, in lower case, such as "example.org"')
    return value


def _database_url(value: str) -> str:
    try:
        url = urlsplit(value)
        secret = url.password is not None or "password" in url.query
    except ValueError:
        raise ValueError("is not a URL") from None
    if url.scheme not in {"postgresql", "postgresql+psycopg"}:
        raise ValueError("write postgresql://user@host:port/database")
    if secret:
        raise ValueError("leave the password out of it and name a file in password_file")
    several = "," in url.netloc
    if several and not _HOSTS.fullmatch(url.netloc.rpartition("@")[2]):
        raise ValueError("write several hosts as host:port,host:port")
    target = parse_qs(url.query).get("target_session_attrs", ["read-write"])
    if several and not {"read-write", "primary"}.issuperset(target):
        raise ValueError("leave target_session_attrs out: only a server that takes writes will do")
    return value


def _https(value: str) -> str:
    if urlsplit(value).scheme != "https":
        raise ValueError("write an https:// address: keys never travel in the clear")
    return value.rstrip("/")


def _origin(value: str) -> str:
    try:
        url = urlsplit(value)
        plain = url.scheme == "https" and url.hostname and (url.port is None or url.port > 0)
    except ValueError:
        raise ValueError("is not a URL") from None
    if not plain or url.username or url.password or url.query or url.path.strip("/"):
        raise ValueError(
            "write https://host:port, without a path: traces never travel in the clear"
        )
    return value.rstrip("/")


def _url(value: str) -> str:
    try:
        url = urlsplit(value)
        plain = not (url.username or url.password or url.fragment)
    except ValueError:
        raise ValueError("is not a URL") from None
    if url.scheme != "https" or not url.netloc or not plain:
        raise ValueError("write an https:// address, without a user and without a fragment")
    return value


def _webhook_url(value: str) -> str:
    try:
        url = urlsplit(value)
        near = url.scheme == "http" and _LOOPBACK.fullmatch(url.hostname or "")
        plain = not (url.username or url.password or url.fragment) and url.port != 0
    except ValueError:
        raise ValueError("is not a URL") from None
    if not (near or url.scheme == "https") or not url.hostname or not plain:
        raise ValueError(
            "write an https:// address, without a user and without a fragment; http:// is for "
            "this machine alone"
        )
    return value


def _object_store_url(value: str) -> str:
    if not re.fullmatch(r"[a-z]+://[A-Za-z0-9.:\[\]-]+(/[A-Za-z0-9._~-]+)*/?", value):
        raise ValueError(
            "write an address of plain names: with the bucket, and a prefix if you like, as in "
            "https://bucket.s3.eu-central-1.amazonaws.com/prefix"
        )
    return _webhook_url(value).rstrip("/")


def _claim_path(value: str) -> str:
    if value.startswith("/"):
        if re.search(r"~(?![01])|/(?:/|$)", value):
            raise ValueError(
                "is no JSON Pointer (RFC 6901): write / between names, ~1 for a / in one, ~0 for ~"
            )
    elif "." in value and "://" not in value:
        # Whether the dot is part of the name must not be a guess.
        raise ValueError(
            "has a dot: write /realm_access/roles for a claim in another, /a.b for the claim a.b"
        )
    return value


def _leeway(duration: timedelta) -> timedelta:
    if duration > timedelta(minutes=1):
        raise ValueError("must be at most 60s: clocks differ by seconds, not by minutes")
    return duration


Duration = Annotated[timedelta, BeforeValidator(parse_duration), AfterValidator(_positive)]
FilePath = Annotated[Path, BeforeValidator(_path)]
Port = Annotated[int, Field(ge=1, le=65535)]
Count = Annotated[int, Field(ge=1)]
Url = Annotated[str, AfterValidator(_url)]
HttpsUrl = Annotated[str, AfterValidator(_https)]
Origin = Annotated[str, AfterValidator(_origin)]
ObjectStoreUrl = Annotated[str, AfterValidator(_object_store_url)]
WebhookUrl = Annotated[str, AfterValidator(_webhook_url)]
DatabaseUrl = Annotated[str, AfterValidator(_database_url)]
TrustDomain = Annotated[str, AfterValidator(_trust_domain)]
Leeway = Annotated[timedelta, BeforeValidator(parse_duration), AfterValidator(_leeway)]
Claim = Annotated[str, Field(pattern=r"^[!-~]{1,255}$")]
ClaimPath = Annotated[Claim, AfterValidator(_claim_path)]
JwtAlgorithm = Literal[
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"
]  # fmt: skip
