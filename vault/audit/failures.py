"""What leaves the audit when Postgres or its driver fails: our error, none of their texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import psycopg
import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from vault.errors import AuditUnavailable, Explained, Reason

__all__ = ["DRIVER_ERRORS", "execute", "sqlstate_of", "translate"]

_log = structlog.get_logger(__name__)

DRIVER_ERRORS = (SQLAlchemyError, psycopg.Error, ValueError)
_CANCELED = "57014"


def execute(
    connection: Connection, statement: str, parameters: Mapping[str, object]
) -> Sequence[tuple[object, ...]]:
    """Runs a statement in psycopg's placeholders, returns its rows. Raises AuditUnavailable.

    Straight on the driver, as the store does: SQLAlchemy's result costs as much again.
    """
    failure: AuditUnavailable
    try:
        driver = connection.connection.driver_connection
        assert isinstance(driver, psycopg.Connection)
        cursor = driver.execute(statement, parameters)
        rows: Sequence[tuple[object, ...]] = cursor.fetchall() if cursor.description else ()
    except DRIVER_ERRORS as error:
        failure = translate(error)
    else:
        return rows
    raise failure


def translate(error: BaseException) -> AuditUnavailable:
    """Makes our error of a driver's; logs its type and SQLSTATE, and what we know of it.

    Raise the result outside of the ``except`` block: as its context, the driver's error
    would go along.
    """
    state = sqlstate_of(error)
    original = error.orig if isinstance(error, DBAPIError) else error
    known = original if isinstance(original, Explained) else None
    told = {"cause": str(known), "where": known.where} if known else {}
    _log.error("audit not available", sqlstate=state, kind=type(error).__name__, **told)
    if state == _CANCELED:
        late = AuditUnavailable(
            "the deadline passed before the audit record was written",
            reason=Reason.DEADLINE_EXCEEDED,
        )
        late.retryable = False
        return late
    cause = f": {known}" if known else ""
    return AuditUnavailable(f"the audit cannot be written or read, so there is no answer{cause}")


def sqlstate_of(error: BaseException) -> str:
    """Returns the five-character SQLSTATE of a driver's error, or an empty string."""
    original = error.orig if isinstance(error, DBAPIError) else error
    return (original.sqlstate or "") if isinstance(original, psycopg.Error) else ""
