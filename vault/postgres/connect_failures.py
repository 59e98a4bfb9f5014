"""Why no connection to Postgres could be made, from libpq's own words.

A failed connection has no SQLSTATE, only a text: of libpq, of the resolver, or the server's
refusal in the server's language. The text itself goes nowhere: a server, or whoever answers in
its place, may have written it. Known phrases are looked for in it, and become messages of ours.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from enum import StrEnum

import psycopg

from vault.errors import ExplainedError

__all__ = ["Cause", "ConnectFailed", "connect_failed"]


class Cause(StrEnum):
    """Why a connection failed; the text is for an operator."""

    UNRESOLVED = "its host name cannot be resolved: check database.url and the resolver"
    NOTHING_LISTENS = "nothing listens at its address: check host and port, and that it runs"
    UNREACHABLE = "its address cannot be reached: check host, route and firewall"
    SILENT = "it does not answer in time"
    CLOSED = "it, or what answers in its place, closes the connection"
    NO_TLS = "it offers no TLS, and sslmode demands it"
    # libpq does not distinguish these.
    UNTRUSTED = "its TLS certificate is not signed by the CA of sslrootcert, or is out of date"
    WRONG_NAME = "its TLS certificate is for other names than the host of database.url"
    NO_CA = "the CA file of sslrootcert is not there or cannot be read"
    CLIENT_FILES = "the client certificate or key (sslcert, sslkey) cannot be read, or fits nothing"
    TLS_FAILED = "the TLS handshake failed"
    WRONG_OPTION = "libpq refuses an option of database.url, or of the PG* environment"
    NO_PASSWORD = "it asks for a password: set database.password_file"  # noqa: S105 - a text


_PLACE = re.compile(r'connection to server (?:at|on socket) "[^"]*"(?: \([^)]*\))?(?:, port \d+)?')
_ATTEMPT = re.compile(r"^- host: ", re.MULTILINE)
# What the server writes: "SEVERITY:  text", the severity in its own language.
_SERVER = re.compile(r" failed: (?:[^\W\d_]| ){1,30}:  ")

# In this order: the first that fits counts.
_WORDS: tuple[tuple[str, Cause], ...] = (
    ("failed to resolve host", Cause.UNRESOLVED),
    ("could not translate host name", Cause.UNRESOLVED),
    ("server does not support SSL", Cause.NO_TLS),
    ("does not match host name", Cause.WRONG_NAME),
    ("could not get server's host name from server certificate", Cause.WRONG_NAME),
    ("host name must be specified for a verified SSL connection", Cause.WRONG_NAME),
    ("certificate verify failed", Cause.UNTRUSTED),
    ("root certificate file", Cause.NO_CA),
    ("could not read root certificate", Cause.NO_CA),
    ("could not load system root certificate", Cause.NO_CA),
    ("could not get home directory to locate root certificate", Cause.NO_CA),
    ("private key file", Cause.CLIENT_FILES),
    ("certificate file", Cause.CLIENT_FILES),
    ("certificate present, but not private key", Cause.CLIENT_FILES),
    ("SSL error", Cause.TLS_FAILED),
    ("SSL SYSCALL error", Cause.TLS_FAILED),
    ("could not establish SSL", Cause.TLS_FAILED),
    ("received invalid response to SSL negotiation", Cause.TLS_FAILED),
    ("no password supplied", Cause.NO_PASSWORD),
    ("connection timeout expired", Cause.SILENT),
    ("timeout expired", Cause.SILENT),
    ("Connection timed out", Cause.SILENT),
    ("Operation timed out", Cause.SILENT),
    ("Connection refused", Cause.NOTHING_LISTENS),
    ("No such file or directory", Cause.NOTHING_LISTENS),  # a socket's
    ("No route to host", Cause.UNREACHABLE),
    ("Network is unreachable", Cause.UNREACHABLE),
    ("Permission denied", Cause.UNREACHABLE),
    ("server closed the connection unexpectedly", Cause.CLOSED),
    ("Connection reset by peer", Cause.CLOSED),
    ("expected authentication request from server", Cause.CLOSED),
    ("invalid port number", Cause.WRONG_OPTION),
    ("invalid integer value", Cause.WRONG_OPTION),
    ("invalid connection option", Cause.WRONG_OPTION),
    ("could not match", Cause.WRONG_OPTION),
    (" value: ", Cause.WRONG_OPTION),
    ("definition of service", Cause.WRONG_OPTION),
    ("weak sslmode", Cause.WRONG_OPTION),
)


class ConnectFailed(psycopg.OperationalError, ExplainedError):
    """No connection was made. Holds none of the driver's words.

    Attributes:
        sqlstate: what the server refused it with, as far as its text shows.
        causes: the cause for each address tried.
        where: addresses, role and database: for operators, and not for callers.
    """

    def __init__(self, sqlstate: str, causes: tuple[Cause, ...], where: str) -> None:
        super().__init__("; ".join(causes) or "refused")
        self.sqlstate = sqlstate or None
        self.causes = causes
        self.where = where


def connect_failed(
    error: psycopg.Error, options: Mapping[str, object], refusal: Mapping[re.Pattern[str], str]
) -> ConnectFailed:
    """Makes our error from the driver's.

    Args:
        options: what it was to connect with.
        refusal: SQLSTATEs by the text that the server sends with them.
    """
    text = str(error)
    attempts = _ATTEMPT.split(text)[1:] or [text]
    state = error.sqlstate or _refused(attempts, refusal)
    causes = tuple(dict.fromkeys(filter(None, map(_cause, attempts))))
    return ConnectFailed(state, () if state else causes, _where(options))


def _refused(attempts: list[str], refusal: Mapping[re.Pattern[str], str]) -> str:
    # The last host's text counts: the others were passed over.
    for text in reversed(attempts):
        for phrase, state in refusal.items():
            if phrase.search(text):
                return state
    return ""


def _cause(text: str) -> Cause | None:
    if _SERVER.search(text):
        return None
    words = _PLACE.sub("", text)
    return next((cause for part, cause in _WORDS if part in words), None)


def _where(options: Mapping[str, object]) -> str:
    hosts = str(options.get("host") or "").split(",")
    ports = str(options.get("port") or "").split(",")
    ports += ports[-1:] * (len(hosts) - len(ports))
    places = [
        f"{host or 'the local socket'}:{port or 5432}"
        for host, port in zip(hosts, ports, strict=False)
    ]
    return ", ".join([*places, *_named(options)])


def _named(options: Mapping[str, object]) -> Iterator[str]:
    for key, name in (("user", "role"), ("dbname", "database")):
        if options.get(key):
            yield f"{name} {options[key]}"
