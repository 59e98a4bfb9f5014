"""What store and audit raise when Postgres or its driver fails: our errors, none of their texts.

Driver exceptions quote rows and parameters, so neither they nor their messages go on:
only the SQLSTATE does.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from functools import wraps
from traceback import clear_frames
from types import TracebackType
from typing import ParamSpec, TypeVar

import psycopg
import structlog
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from vault.errors import AuditUnavailable, ExplainedError, Reason, StoreUnavailable, TokenvaultError
from vault.postgres.connect_failures import ConnectFailed, connect_failed

__all__ = [
    "DRIVER_ERRORS",
    "Conflict",
    "LockTimeout",
    "connection_failure",
    "deadline_exceeded",
    "discarded",
    "read_only_server",
    "sqlstate_of",
    "translate",
    "translate_for_audit",
    "translated",
]

_log = structlog.get_logger(__name__)
P = ParamSpec("P")
R = TypeVar("R")

# ValueError: text that cannot be encoded is refused before it reaches Postgres, by an
# error that holds the text.
DRIVER_ERRORS = (SQLAlchemyError, psycopg.Error, ValueError)

_CONFLICTS = {"40001", "40P01"}
_CANCELED = "57014"
_LOCK_TIMEOUT = "55P03"
_MESSAGES = {
    "25006": "the database is read-only: it is a standby, or was demoted, or somebody has set"
    " default_transaction_read_only (pg_is_in_recovery() tells them apart)",
    "53100": "the database's disk is full",
    "53200": "the database is out of memory",
    "53300": "the database has no free connection",
    _LOCK_TIMEOUT: "the database waited too long for a lock",
    "57P03": "the database is starting up",
    "28000": "the database refuses the login: check the role, and its address in pg_hba.conf",
    "28P01": "the database refuses the login: the password is wrong, or the role unknown",
    "3D000": "the database server has no database of that name: create it, or correct database.url",
    "42501": "the database role lacks a privilege: run `tokenvault migrate`",
    "42P01": "the database's schema is not complete: run `tokenvault migrate`",
    "42P10": "a table of the database has lost its primary key: `tokenvault audit verify` names it",
}
_SET_READ_ONLY = (
    "the database is read-only and no standby: somebody has set default_transaction_read_only"
    " (ALTER DATABASE, ALTER ROLE, or postgresql.conf)"
)
# A connection that is refused has no SQLSTATE in libpq, only a text: the server's own, in
# English unless its lc_messages is another, and then the general message does.
_REFUSALS: Mapping[re.Pattern[str], str] = {
    re.compile(text): state
    for text, state in (
        ("too many clients", "53300"),
        ("connection slots are reserved", "53300"),
        ("too many connections", "53300"),
        ("is starting up", "57P03"),
        ("is shutting down", "57P03"),
        ("is in recovery", "57P03"),
        ("not accepting connections", "57P03"),
        ("not yet accepting connections", "57P03"),
        ("session is read-only", "25006"),
        ("server is in hot standby mode", "25006"),
        ("authentication failed", "28P01"),
        (r"no pg_hba\.conf entry", "28000"),
        (r"pg_hba\.conf rejects connection", "28000"),
        ('role ".*" does not exist', "28000"),
        ("is not permitted to log in", "28000"),
        ("permission denied for database", "28000"),
        ('database ".*" does not exist', "3D000"),
        ("No space left on device", "53100"),
    )
}
_BUGS = ("21", "22", "23", "42")  # the statement is at fault, not the database's state
_SETUP = {"42501", "42P01", "42P10"}


class Conflict(StoreUnavailable):
    """The transaction was rolled back because of others: run it again."""


class LockTimeout(StoreUnavailable):
    """A statement waited for a lock as long as it may."""


def sqlstate_of(error: BaseException) -> str:
    """Returns the five-character SQLSTATE of a driver's error, or an empty string."""
    original = _original(error)
    if not isinstance(original, psycopg.Error):
        return ""
    return original.sqlstate or _refusal_of(original)


def _refusal_of(error: psycopg.Error) -> str:
    if not isinstance(error, psycopg.OperationalError):
        return ""
    text = str(error)
    return next((state for phrase, state in _REFUSALS.items() if phrase.search(text)), "")


def connection_failure(error: psycopg.Error, options: Mapping[str, object]) -> ConnectFailed:
    """Makes the error of a connection that could not be made with these options."""
    return connect_failed(error, options, _REFUSALS)


def read_only_server(standby: bool) -> StoreUnavailable:
    """Makes the error of a server that takes no writes: a standby, or one set to read-only."""
    return StoreUnavailable(_MESSAGES["25006"] if standby else _SET_READ_ONLY)


def deadline_exceeded() -> StoreUnavailable:
    """Makes the error of a call whose time is over."""
    error = StoreUnavailable(
        "the deadline passed before the database had answered", reason=Reason.DEADLINE_EXCEEDED
    )
    error.retryable = False
    return error


def _place(error: BaseException | None) -> str:
    """Returns the table and the constraint of an error: names of the schema, and no values."""
    if not isinstance(error, psycopg.Error):
        return ""
    diagnostics = (("table", error.diag.table_name), ("constraint", error.diag.constraint_name))
    named = [f"{kind} {name}" for kind, name in diagnostics if name and name.isprintable()]
    return f": {', '.join(named)}" if named else ""


def translate(error: BaseException) -> StoreUnavailable:
    """Translates a driver's error into ours; logs its type and SQLSTATE.

    Raise the result outside of the ``except`` block: as its context, the driver's error
    would go along.
    """
    state = sqlstate_of(error)
    if state in _CONFLICTS:
        return Conflict("the database rolled the transaction back")
    original = _original(error)
    failed = original if isinstance(original, ConnectFailed) else None
    _log.warning("database error", **_log_entry(error, state, failed))
    if state == _CANCELED:
        return deadline_exceeded()
    if state == _LOCK_TIMEOUT:
        return LockTimeout(_MESSAGES[state])
    if isinstance(error, PoolTimeout):
        return StoreUnavailable("no database connection is free", reason=Reason.OVERLOADED)
    if (state.startswith(_BUGS) and state not in _SETUP) or _is_encoding(error, state):
        at = _place(original)
        failure = StoreUnavailable(f"the database refused a statement ({state or 'encoding'}){at}")
        failure.reason = Reason.INTERNAL
        failure.retryable = False
        return failure
    message = _MESSAGES.get(state, "the database is not available")
    if failed is None:
        return StoreUnavailable(message)
    if failed.causes:
        message = f"{message}: {failed}"
    return StoreUnavailable(message, where=failed.where)


def translate_for_audit(error: BaseException) -> AuditUnavailable:
    """Translates a driver's error into the audit's, as ``translate`` into the store's."""
    state = sqlstate_of(error)
    original = _original(error)
    known = original if isinstance(original, ExplainedError) else None
    _log.error("audit not available", **_log_entry(error, state, known))
    if state == _CANCELED:
        late = AuditUnavailable(
            "the deadline passed before the audit record was written",
            reason=Reason.DEADLINE_EXCEEDED,
        )
        late.retryable = False
        return late
    cause = f": {known}" if known else ""
    return AuditUnavailable(f"the audit cannot be written or read, so there is no answer{cause}")


def translated(
    failure_of: Callable[[BaseException], TokenvaultError] = translate,
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Returns a decorator that raises our error where the function raises a driver's.

    The driver's is not even the context of ours, which a context manager cannot prevent.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @wraps(function)
        def run(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                return function(*args, **kwargs)
            except DRIVER_ERRORS as error:
                failure = failure_of(error)
            raise failure

        return run

    return decorate


class _Discarding:
    def __init__(self, kinds: tuple[type[BaseException], ...]) -> None:
        self._kinds = kinds

    def __enter__(self) -> None:
        # The context of what fails here, and none of ours to empty.
        self._handled = sys.exception()

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _trace: TracebackType | None,
    ) -> bool:
        handled, self._handled = self._handled, None
        if not isinstance(error, self._kinds):
            return False
        found: BaseException | None = error
        while found is not None and found is not handled:
            clear_frames(found.__traceback__)
            found.__traceback__ = None
            found = found.__context__
        return True


def discarded(*kinds: type[BaseException]) -> _Discarding:
    """Suppresses errors as ``contextlib.suppress`` does, and empties the frames they hold.

    Frames and errors hold each other: with the caller's values they would wait for the
    garbage collector.
    """
    return _Discarding(kinds)


def _original(error: BaseException) -> BaseException | None:
    return error.orig if isinstance(error, DBAPIError) else error


def _is_encoding(error: BaseException, state: str) -> bool:
    """Returns whether the driver could not write, or read, a value: the database is there."""
    return isinstance(error, ValueError) or (
        not state and isinstance(_original(error), psycopg.DataError)
    )


def _log_entry(error: BaseException, state: str, known: ExplainedError | None) -> dict[str, str]:
    where = {"cause": str(known), "where": known.where} if known else {}
    return {"sqlstate": state, "kind": type(error).__name__, **where}
