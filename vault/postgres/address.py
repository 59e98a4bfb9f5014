"""The database's address: one server, or a primary and its standbys."""

from __future__ import annotations

import re

from sqlalchemy import URL, make_url

from vault.errors import ConfigError
from vault.postgres.address_options import check_options

__all__ = ["psycopg_url"]

# scheme://user[:password]@ | host[:port],host[:port] | /database?options
_SEVERAL = re.compile(r"([a-z+]+://(?:[^/?#@]*@)?)([^/?#@]*,[^/?#@]*)(.*)", re.DOTALL)
_HOST = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^\[\]:,]+)(?::([0-9]{1,5}))?")


def psycopg_url(url: URL | str, password: str | None = None) -> URL:
    """Returns the URL with our driver and the password.

    Several hosts are tried in their order until one takes writes: a standby, or a primary
    that was demoted, is never served from.

    Raises:
        ConfigError: the URL is not one of Postgres, or has an option that libpq refuses.
    """
    try:
        parsed = url if isinstance(url, URL) else _parse(url)
    except Exception:  # noqa: BLE001 - the text of any parser's error may quote a password
        parsed = None
    if parsed is None or parsed.get_backend_name() != "postgresql":
        raise ConfigError("database url: write postgresql://user@host:port/database")
    check_options(parsed)
    parsed = parsed.set(drivername="postgresql+psycopg")
    return parsed if password is None else parsed.set(password=password)


def _parse(url: str) -> URL:
    several = _SEVERAL.fullmatch(url)
    if several is None:
        return make_url(url)
    start, hosts, rest = several.groups()
    found = [_HOST.fullmatch(host) for host in hosts.split(",")]
    pairs = [(match[1].strip("[]"), match[2] or "") for match in found if match is not None]
    if len(pairs) != len(found):
        raise ConfigError("database url: write host:port,host:port")
    parsed = make_url(start + rest)
    # libpq's own form of a list; SQLAlchemy's URL has place for one host only.
    query = {"host": ",".join(h for h, _ in pairs), "port": ",".join(p for _, p in pairs)}
    return parsed.set(query={"target_session_attrs": "read-write", **parsed.query, **query})
