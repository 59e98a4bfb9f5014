"""The options in the database's address: wrong ones are refused, weak ones warned of."""

from __future__ import annotations

import difflib
import ipaddress
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import structlog
from psycopg.pq import Conninfo
from sqlalchemy import URL

from vault.errors import ConfigError

__all__ = ["check_options", "warn_of_weakness", "weaknesses"]

_log = structlog.get_logger(__name__)

_CHOICES: Mapping[str, tuple[str, ...]] = {
    "sslmode": ("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
    "sslnegotiation": ("postgres", "direct"),
    "gssencmode": ("disable", "prefer", "require"),
    "channel_binding": ("disable", "prefer", "require"),
    "target_session_attrs": (
        "any", "read-write", "read-only", "primary", "standby", "prefer-standby",
    ),
    "load_balance_hosts": ("disable", "random"),
}  # fmt: skip
_NUMBERS = ("connect_timeout", "keepalives_idle", "keepalives_interval", "keepalives_count")
_DRIVERS_OWN = {"prepare_threshold"}
_FILES = ("sslrootcert", "sslcert", "sslkey")
_SYSTEM = "system"  # the name of no file: the system's authorities
_MAX_PORT = 65535
_NO_TLS = {
    "disable": "sends everything in the clear",
    "allow": "goes without TLS where the server lets it",
    "prefer": "goes on without TLS where there is none",
    "require": "does not look whose certificate it is",
    "verify-ca": "takes any host's certificate of that CA",
}


def check_options(url: URL) -> None:
    """Refuses options that libpq does not know, or whose value cannot be meant.

    Raises ConfigError, with the option and what is allowed, and never a value.
    """
    known = {option.keyword.decode() for option in Conninfo.get_defaults()} | _DRIVERS_OWN
    for name, given in url.query.items():
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f": did you mean {near[0]}?" if near else " that libpq knows"
            raise ConfigError(f"database url: there is no option of that name{hint}")
        value = given if isinstance(given, str) else given[-1]
        _check_value(name, value)
    ports = [url.port] if url.port is not None else []
    if any(not 0 < port <= _MAX_PORT for port in ports):
        raise ConfigError(f"database url: a port is 1 to {_MAX_PORT}")


def _check_value(name: str, value: str) -> None:
    allowed = _CHOICES.get(name)
    if allowed is not None and value not in allowed:
        near = difflib.get_close_matches(value, allowed, n=1)
        hint = f"did you mean {near[0]}?; " if near else ""
        raise ConfigError(f"database url: {name}: {hint}allowed: {', '.join(allowed)}")
    if name in _NUMBERS and not value.isdecimal():
        raise ConfigError(f"database url: {name}: write a whole number")
    if name == "port" and not all(_is_port(each) for each in value.split(",") if each):
        raise ConfigError(f"database url: a port is 1 to {_MAX_PORT}")
    if name in _FILES and not (name == "sslrootcert" and value == _SYSTEM):
        _check_file(name, Path(value))


def _is_port(text: str) -> bool:
    return text.isdecimal() and 0 < int(text) <= _MAX_PORT


def _check_file(name: str, path: Path) -> None:
    try:
        with path.open("rb"):
            pass
    except OSError as error:
        raise ConfigError(f"database url: {name}: {path}: {error.strerror}") from None


def warn_of_weakness(url: URL) -> None:
    """Logs what ``weaknesses`` finds."""
    for problem in weaknesses(url):
        _log.warning("the way to the database is weak", problem=problem)


def weaknesses(url: URL) -> Iterator[str]:
    """Yields what is weak about the way to the database, where that leaves this machine."""
    away = [host for host in _hosts(url) if not _is_local(host)]
    mode = str(url.query.get("sslmode") or os.environ.get("PGSSLMODE") or "")
    weak = _NO_TLS.get(mode or "prefer")
    if away and weak is not None:
        mode_text = f"sslmode={mode}" if mode else "without sslmode in it (libpq then takes prefer)"
        yield (
            f"database.url {mode_text} {weak}, and {', '.join(away)} is not this machine: "
            "use sslmode=verify-full with sslrootcert"
        )


def _hosts(url: URL) -> list[str]:
    given = url.query.get("host")
    listed = ",".join([given] if isinstance(given, str) else given or ())
    hosts = url.host or listed or os.environ.get("PGHOST", "")
    return [host for host in hosts.split(",") if host]


def _is_local(host: str) -> bool:
    if host == "localhost" or host.startswith(("/", "@")):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
