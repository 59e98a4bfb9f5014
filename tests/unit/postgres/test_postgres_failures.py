from __future__ import annotations

import psycopg
import pytest
from psycopg import errors
from sqlalchemy.exc import OperationalError

from vault.errors import ConfigError, Reason
from vault.postgres.engine import make_engine
from vault.postgres.failures import Conflict, sqlstate_of, translate


@pytest.mark.parametrize(
    ("error", "reason", "retryable", "text"),
    [
        (errors.DiskFull("canary"), Reason.STORE_UNAVAILABLE, True, "disk is full"),
        (errors.TooManyConnections("canary"), Reason.STORE_UNAVAILABLE, True, "no free connection"),
        (errors.ReadOnlySqlTransaction("canary"), Reason.STORE_UNAVAILABLE, True, "read-only"),
        (errors.LockNotAvailable("canary"), Reason.STORE_UNAVAILABLE, True, "lock"),
        (errors.AdminShutdown("canary"), Reason.STORE_UNAVAILABLE, True, "not available"),
        (errors.InvalidPassword("canary"), Reason.STORE_UNAVAILABLE, True, "login"),
        (errors.UndefinedTable("canary"), Reason.STORE_UNAVAILABLE, True, "migrate"),
        (errors.InsufficientPrivilege("canary"), Reason.STORE_UNAVAILABLE, True, "migrate"),
        (errors.QueryCanceled("canary"), Reason.DEADLINE_EXCEEDED, False, "deadline"),
        (errors.UniqueViolation("canary"), Reason.INTERNAL, False, "23505"),
        (errors.SyntaxError("canary"), Reason.INTERNAL, False, "42601"),
        (ValueError("canary"), Reason.INTERNAL, False, "encoding"),
        (psycopg.DataError("canary"), Reason.INTERNAL, False, "encoding"),
        (psycopg.OperationalError("canary"), Reason.STORE_UNAVAILABLE, True, "not available"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_errors_are_told_apart_without_their_texts(
    error: Exception, reason: Reason, retryable: bool, text: str
) -> None:
    failure = translate(error)
    assert (failure.reason, failure.retryable) == (reason, retryable)
    assert text in failure.message
    assert "canary" not in repr(failure)
    assert not isinstance(failure, Conflict)


@pytest.mark.parametrize("error", [errors.DeadlockDetected(), errors.SerializationFailure()])
def test_conflicts_are_to_be_run_again(error: psycopg.Error) -> None:
    wrapped = OperationalError("SELECT 1", None, error)
    assert isinstance(translate(wrapped), Conflict)
    assert sqlstate_of(wrapped) == sqlstate_of(error) != ""


@pytest.mark.parametrize("url", ["", "nonsense", "sqlite://", "mysql://user@host/db"])
def test_only_postgres_is_accepted(url: str) -> None:
    with pytest.raises(ConfigError, match="postgresql://"):
        make_engine(url)


def test_any_postgres_url_gets_our_driver() -> None:
    engine = make_engine("postgresql://user@host:5433/db", password="secret")
    assert engine.url.drivername == "postgresql+psycopg"
    assert engine.url.password == "secret"
    assert "secret" not in repr(engine)
    engine.dispose()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("FATAL:  sorry, too many clients already", "no free connection"),
        ("FATAL:  remaining connection slots are reserved for roles", "no free connection"),
        ("FATAL:  the database system is starting up", "starting up"),
        ("failed: session is read-only", "read-only"),
        ('FATAL:  password authentication failed for user "canary"', "refuses the login"),
        ("FATAL:  canary", "not available"),
    ],
)
def test_refused_connections_are_told_apart_although_libpq_gives_no_state(
    text: str, told: str
) -> None:
    failure = translate(OperationalError("connect", None, psycopg.OperationalError(text)))
    assert failure.reason is Reason.STORE_UNAVAILABLE
    assert told in failure.message
    assert "canary" not in failure.message
