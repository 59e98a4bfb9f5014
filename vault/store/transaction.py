"""One transaction: its settings, its deadline, how it ends, and when it is run again."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum, auto
from typing import TypeVar

import psycopg
from psycopg.pq import TransactionStatus
from sqlalchemy import Connection, Engine

from vault.errors import StoreUnavailable, VaultError
from vault.store import sql
from vault.store.bounded import bound
from vault.store.failures import (
    DRIVER_ERRORS,
    Conflict,
    deadline_exceeded,
    read_only_server,
    sqlstate_of,
    translate,
)
from vault.store.round_trip import Answers, Command, round_trip

__all__ = [
    "MAX_ATTEMPTS",
    "Closing",
    "Columns",
    "Ending",
    "OpenTransaction",
    "Parameters",
    "execute",
    "retried",
    "transaction",
]

T = TypeVar("T")
Parameters = Mapping[str, object]
Columns = tuple[object, ...]

MAX_ATTEMPTS = 5
_DEFAULT_TIMEOUT = 30.0  # seconds, for work without a deadline
_LOCK_TIMEOUT = 5.0
# For the answer to a statement_timeout to arrive.
_GRACE = 1.0
# No statement of ours takes so long, and none may on a server that hangs: after as long
# without word from the others, no call is admitted either (vault.rpc.policy_source).
_LONGEST_SILENCE = 15.0
_SHORT_SILENCE = 5.0  # for a BEGIN, which needs no lock and no disk
_FIRST_PAUSE = 0.02
# Of the errors Postgres can answer a COMMIT with, those that say it was rolled back, and of
# the errors of any statement those after which nobody knows: sessions that end, connections
# that fail, and what says so itself (statement_completion_unknown).
_SURELY_ROLLED_BACK = ("23", "40")
_NOBODY_KNOWS = ("57P", "08", "40003")
# Losing a race and reading what won it needs each statement to see what was committed.
_BEGIN = Command("BEGIN ISOLATION LEVEL READ COMMITTED")
_COMMIT = Command("COMMIT")
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)  # of Postgres's timestamps


class Ending(Enum):
    """How a transaction ended."""

    COMMITTED = auto()
    ROLLED_BACK = auto()
    IN_DOUBT = auto()  # the connection was lost in the COMMIT: nobody here can tell


@dataclass(frozen=True, slots=True)
class Closing:
    """A statement that goes along with the COMMIT.

    Attributes:
        refused: makes an error of the driver's, where Postgres did not carry it out.
    """

    command: Command
    refused: Callable[[BaseException], VaultError]


@dataclass(slots=True)
class OpenTransaction:
    """A transaction under way.

    Attributes:
        now: when it began, by Postgres's clock.
        closing: the last statement, sent in one round trip with the COMMIT.
        at_end: told how it ended, each exactly once.
    """

    connection: Connection
    now: datetime
    closing: Closing | None = None
    at_end: list[Callable[[Ending], None]] = field(default_factory=list)
    ending: Ending = Ending.ROLLED_BACK


@contextmanager
def transaction(engine: Engine, deadline: float | None = None) -> Iterator[OpenTransaction]:
    """Opens a transaction, commits it at the end of the block, rolls it back on any error.

    Args:
        deadline: ``time.monotonic()`` from which on no statement is begun or committed.

    Raises:
        Conflict: rolled back through no fault of its own.
        StoreUnavailable: the database is away, refuses, or was too slow
            (then with reason DEADLINE_EXCEEDED).
        VaultError: what ``closing`` makes of its own refusal.
    """
    connection = _connect(engine, deadline)
    try:
        opened = OpenTransaction(connection, _begin(engine, connection, deadline))
        with _told(opened):
            yield opened
            _remaining(deadline)
            _commit(opened)
    finally:
        _give_back(connection)


@contextmanager
def _told(opened: OpenTransaction) -> Iterator[None]:
    try:
        yield
    finally:
        for listener in opened.at_end:
            listener(opened.ending)


def execute(connection: Connection, statement: str, parameters: Parameters) -> Sequence[Columns]:
    """Runs a statement of ``vault.store.sql`` and returns its rows. Raises StoreUnavailable.

    Straight on the driver: SQLAlchemy's result costs as much as the statement itself. It
    keeps the pool, begins and commits; a connection lost here is found when it is given back.
    """
    failure: StoreUnavailable
    try:
        cursor = _driver_of(connection).execute(statement, parameters)
        rows: Sequence[Columns] = cursor.fetchall() if cursor.description else ()
    except DRIVER_ERRORS as error:
        failure = translate(error)
    else:
        return rows
    raise failure


def retried(attempt: Callable[[], T], deadline: float | None = None) -> T:
    """Runs ``attempt`` again while it ends in a Conflict, a bounded number of times."""
    for number in range(1, MAX_ATTEMPTS):
        with suppress(Conflict):
            return attempt()
        pause = random.uniform(0, _FIRST_PAUSE * 2**number)  # noqa: S311 - jitter
        time.sleep(min(pause, _remaining(deadline)))
    return attempt()


def _connect(engine: Engine, deadline: float | None) -> Connection:
    _remaining(deadline)
    failure: StoreUnavailable
    try:
        return engine.connect()
    except DRIVER_ERRORS as error:
        failure = translate(error)
    raise failure


def _begin(engine: Engine, connection: Connection, deadline: float | None) -> datetime:
    remaining = _remaining(deadline)
    answer_by = time.monotonic() + remaining + _GRACE
    bound(connection, answer_by=answer_by, patience=_SHORT_SILENCE)
    timeouts = _milliseconds(remaining), _milliseconds(min(remaining, _LOCK_TIMEOUT))
    failure: StoreUnavailable
    try:
        answers = _sent(connection, _BEGIN, Command(sql.SETTINGS, timeouts))
        if answers.error is not None:
            raise answers.error
    except DRIVER_ERRORS as error:
        stale = _driver_of(connection).closed
        failure = _replaced(connection) if stale else translate(error)
    else:
        settings = answers.results[-1]
        read_only, now = settings.get_value(0, 7), settings.get_value(0, 8)
        assert read_only is not None
        assert now is not None
        if not any(read_only):
            bound(connection, answer_by=answer_by, patience=_LONGEST_SILENCE)
            return _EPOCH + timedelta(microseconds=int.from_bytes(now, signed=True))
        failure = _demoted(engine, connection)
    raise failure


def _replaced(connection: Connection) -> StoreUnavailable:
    """Lets go of a connection that had died while it was idle, and of all that are as old.

    SQLAlchemy does it where it finds that out itself; those at work are closed when they are
    given back. Nothing has been done on it: another try gets a fresh one.
    """
    with suppress(*DRIVER_ERRORS):
        connection.exec_driver_sql("SELECT 1")
    return Conflict("the database closed an idle connection")


def _demoted(engine: Engine, connection: Connection) -> StoreUnavailable:
    """Lets go of all connections: this server was the primary and is no more.

    What it would answer may be old, and every pooled connection leads to it. The next call
    connects anew, to whichever server takes writes by then.
    """
    connection.invalidate()
    engine.dispose()
    return read_only_server()


def _commit(opened: OpenTransaction) -> None:
    if not _is_sound(opened.connection):
        # A failed statement whose error the work swallowed: Postgres would answer the
        # COMMIT with a quiet ROLLBACK, and the call would be answered without a record.
        raise StoreUnavailable("the transaction failed and was rolled back")
    closing = opened.closing
    commands = (_COMMIT,) if closing is None else (closing.command, _COMMIT)
    failure: VaultError | None
    opened.ending = Ending.IN_DOUBT
    try:
        answers = _sent(opened.connection, *commands)
    except DRIVER_ERRORS as error:
        failure = translate(error)
    else:
        opened.ending, failure = _judged(answers, closing)
    if failure is not None:
        raise failure


def _judged(answers: Answers, closing: Closing | None) -> tuple[Ending, VaultError | None]:
    """Tells what became of a transaction by the answers to its last commands."""
    error = answers.error
    if error is None:
        if answers.results[-1].command_status == b"COMMIT":
            return Ending.COMMITTED, None
        return Ending.ROLLED_BACK, StoreUnavailable("the transaction was rolled back")
    state = sqlstate_of(error)
    known = state != "" and not state.startswith(_NOBODY_KNOWS)
    if closing is not None and not answers.results:
        # Postgres skips the COMMIT after it.
        return _rolled_back(known), closing.refused(error)
    return _rolled_back(known and state.startswith(_SURELY_ROLLED_BACK)), translate(error)


def _rolled_back(surely: bool) -> Ending:
    return Ending.ROLLED_BACK if surely else Ending.IN_DOUBT


def _sent(connection: Connection, *commands: Command) -> Answers:
    return round_trip(_driver_of(connection), commands)


def _is_sound(connection: Connection) -> bool:
    if connection.invalidated:
        return False
    return _driver_of(connection).info.transaction_status is TransactionStatus.INTRANS


def _driver_of(connection: Connection) -> psycopg.Connection[Columns]:
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)
    return driver


def _give_back(connection: Connection) -> None:
    """Rolls back what is still open and gives the connection back; drops a broken one."""
    with suppress(*DRIVER_ERRORS):
        connection.close()


def _remaining(deadline: float | None) -> float:
    """Returns the seconds left. Raises StoreUnavailable (DEADLINE_EXCEEDED) where none are."""
    if deadline is None:
        return _DEFAULT_TIMEOUT
    remaining = deadline - time.monotonic()
    if remaining <= 0:
        raise deadline_exceeded()
    return remaining


def _milliseconds(seconds: float) -> str:
    return f"{math.ceil(seconds * 1000)}ms"
