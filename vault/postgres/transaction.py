"""One transaction: its settings, its deadline, how it ends, and when it is run again."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from typing import TypeVar

from psycopg.pq import TransactionStatus
from psycopg.pq.abc import PGresult
from sqlalchemy import Connection, Engine

from vault.errors import StoreUnavailable, TokenvaultError
from vault.postgres.begin import PendingBegin, seconds_left
from vault.postgres.connection_turns import connection_turn
from vault.postgres.deadlines import driver_of, set_deadline
from vault.postgres.failures import DRIVER_ERRORS, Conflict, discarded, sqlstate_of, translate
from vault.postgres.pipelined import Answers, Command, Driver, PipelinedCommands

__all__ = [
    "MAX_ATTEMPTS",
    "ClosingCommand",
    "Columns",
    "Ending",
    "OpenTransaction",
    "Parameters",
    "execute",
    "fetch",
    "fetch_in_one_trip",
    "retried",
    "transaction",
]

T = TypeVar("T")
Parameters = Mapping[str, object]
Columns = tuple[object, ...]

MAX_ATTEMPTS = 5
_FIRST_PAUSE = 0.02
# Of the errors Postgres can answer a COMMIT with, those that mean it was rolled back, and of
# the errors of any statement those that leave it open: sessions that end, connections that
# fail, and statement_completion_unknown.
_SURELY_ROLLED_BACK = ("23", "40")
_UNDECIDED = ("57P", "08", "40003")
_COMMIT = Command("COMMIT")


class Ending(Enum):
    """How a transaction ended."""

    COMMITTED = auto()
    ROLLED_BACK = auto()
    IN_DOUBT = auto()  # the connection was lost in the COMMIT: it may or may not be done


@dataclass(frozen=True, slots=True)
class ClosingCommand:
    """A statement that is sent together with the COMMIT.

    Attributes:
        refused: makes our error from the driver's, where Postgres did not carry it out.
    """

    command: Command
    refused: Callable[[BaseException], TokenvaultError]


class OpenTransaction:
    """An open transaction. Its BEGIN was sent, and its answer is awaited when it is needed.

    Attributes:
        closing: the last statement, sent in one round trip with the COMMIT.
        finish: called once the COMMIT is on its way, before its answer.
        at_end: called with how it ended, each exactly once.
    """

    def __init__(self, connection: Connection, beginning: PendingBegin) -> None:
        self._connection = connection
        self._beginning = beginning
        self.ending = Ending.ROLLED_BACK
        self.drop_callbacks()

    @property
    def now(self) -> datetime:
        """When it began, by Postgres's clock. Raises StoreUnavailable if it has not."""
        return self._beginning.time()

    @property
    def connection(self) -> Connection:
        """The connection, ready for statements. Raises StoreUnavailable if it is not."""
        self._beginning.time()
        return self._connection

    def await_begin(self) -> None:
        """Waits until it has begun. Raises StoreUnavailable if it does not."""
        self._beginning.time()

    def wait_until(self, answer_by: float) -> None:
        """Waits for answers until then at most, by ``time.monotonic()``."""
        set_deadline(self._connection, answer_by=answer_by)

    def drop_callbacks(self) -> None:
        """Forgets what is called at the end.

        They lead back here and to the caller's values, which would all wait together for the
        garbage collector.
        """
        self.closing: ClosingCommand | None = None
        self.finish: Callable[[], None] | None = None
        self.at_end: list[Callable[[Ending], None]] = []

    def settle(self) -> None:
        """Leaves the connection with no answer under way."""
        if not self._beginning.done:
            with discarded(StoreUnavailable):
                self._beginning.time()


@contextmanager
def transaction(engine: Engine, deadline: float | None = None) -> Iterator[OpenTransaction]:
    """Opens a transaction, commits it at the end of the block, rolls it back on any error.

    Args:
        deadline: ``time.monotonic()`` from which on no statement is begun or committed.

    Raises:
        Conflict: rolled back through no fault of its own.
        StoreUnavailable: the database is unavailable, refuses, or was too slow
            (then with reason DEADLINE_EXCEEDED).
        TokenvaultError: what ``closing`` makes of its own refusal.
        Exception: what ``finish`` raises; the transaction was committed all the same.
    """
    with _connected(engine, deadline) as connection:
        opened = OpenTransaction(connection, PendingBegin(engine, connection, deadline))
        try:
            with _ending_reported(opened):
                yield opened
                seconds_left(deadline)
                _commit(opened)
        finally:
            opened.settle()


@contextmanager
def _ending_reported(opened: OpenTransaction) -> Iterator[None]:
    try:
        yield
    finally:
        listeners = opened.at_end
        opened.drop_callbacks()
        for listener in listeners:
            listener(opened.ending)


def execute(
    connection: Connection,
    statement: str,
    parameters: Parameters,
    failure_of: Callable[[BaseException], TokenvaultError] = translate,
) -> Sequence[Columns]:
    """Runs a statement in psycopg's placeholders and returns its rows.

    Straight on the driver: SQLAlchemy's result costs as much as the statement itself. It
    keeps the pool, begins and commits; a connection lost here is found when it is given back.

    Args:
        failure_of: makes the error that is raised of a driver's. StoreUnavailable by default.
    """
    failure: TokenvaultError
    try:
        cursor = driver_of(connection).execute(statement, parameters, binary=True)
        rows: Sequence[Columns] = cursor.fetchall() if cursor.description else ()
    except DRIVER_ERRORS as error:
        failure = failure_of(error)
    else:
        return rows
    raise failure


def fetch(connection: Connection, statement: str, parameters: Parameters) -> PGresult:
    """Runs a query, as ``execute``, and returns what came, in binary: no object is made a row."""
    failure: StoreUnavailable
    try:
        result = driver_of(connection).execute(statement, parameters, binary=True).pgresult
    except DRIVER_ERRORS as error:
        failure = translate(error)
    else:
        assert result is not None
        return result
    raise failure


def fetch_in_one_trip(
    engine: Engine,
    deadline: float | None,
    queries: Callable[[Driver], Sequence[Command]],
) -> Sequence[PGresult]:
    """Runs queries in a transaction of one round trip, which writes nothing.

    Args:
        queries: makes them once there is a connection. Their answers are small.

    Raises:
        StoreUnavailable: as ``transaction``; a Conflict where another try may do.
    """
    with _connected(engine, deadline) as connection:
        along = (*queries(driver_of(connection)), _COMMIT)
        begun = PendingBegin(engine, connection, deadline, along)
        begun.time()
        return begun.answers.results[2:-1]


def retried(attempt: Callable[[], T], deadline: float | None = None) -> T:
    """Runs ``attempt`` again while it ends in a Conflict, a bounded number of times."""
    for number in range(1, MAX_ATTEMPTS):
        with discarded(Conflict):
            return attempt()
        pause = random.uniform(0, _FIRST_PAUSE * 2**number)  # noqa: S311 - jitter
        time.sleep(min(pause, seconds_left(deadline)))
    return attempt()


@contextmanager
def _connected(engine: Engine, deadline: float | None) -> Iterator[Connection]:
    """Holds a connection for the block, and gives it back whatever happens."""
    seconds_left(deadline)
    with connection_turn(engine, deadline):
        connection = _connect(engine)
        try:
            yield connection
        finally:
            _give_back(connection)


def _connect(engine: Engine) -> Connection:
    failure: StoreUnavailable
    try:
        return engine.connect()
    except DRIVER_ERRORS as error:
        failure = translate(error)
    raise failure


def _commit(opened: OpenTransaction) -> None:
    if not _is_sound(opened.connection):
        # A failed statement whose error the work swallowed: Postgres would answer the
        # COMMIT with a quiet ROLLBACK, and the call would be answered without a record.
        raise StoreUnavailable("the transaction failed and was rolled back")
    trip = _sent(opened)
    try:
        if opened.finish is not None:
            opened.finish()
    finally:
        _conclude(opened, trip)


def _sent(opened: OpenTransaction) -> PipelinedCommands:
    closing = opened.closing
    commands = (_COMMIT,) if closing is None else (closing.command, _COMMIT)
    failure: TokenvaultError
    opened.ending = Ending.IN_DOUBT
    try:
        return PipelinedCommands(driver_of(opened.connection), commands)
    except DRIVER_ERRORS as error:
        failure = translate(error)
    raise failure


def _conclude(opened: OpenTransaction, trip: PipelinedCommands) -> None:
    failure: TokenvaultError | None
    try:
        answers = trip.answers()
    except DRIVER_ERRORS as error:
        failure = translate(error)
    else:
        opened.ending, failure = _judged(answers, opened.closing)
    if failure is not None:
        raise failure


def _judged(
    answers: Answers, closing: ClosingCommand | None
) -> tuple[Ending, TokenvaultError | None]:
    """Returns how a transaction ended, by the answers to its last commands."""
    error = answers.error
    if error is None:
        if answers.results[-1].command_status == b"COMMIT":
            return Ending.COMMITTED, None
        return Ending.ROLLED_BACK, StoreUnavailable("the transaction was rolled back")
    state = sqlstate_of(error)
    known = state != "" and not state.startswith(_UNDECIDED)
    if closing is not None and not answers.results:
        # Postgres skips the COMMIT after it.
        return _rolled_back(known), closing.refused(error)
    return _rolled_back(known and state.startswith(_SURELY_ROLLED_BACK)), translate(error)


def _rolled_back(surely: bool) -> Ending:
    return Ending.ROLLED_BACK if surely else Ending.IN_DOUBT


def _is_sound(connection: Connection) -> bool:
    if connection.invalidated:
        return False
    return driver_of(connection).info.transaction_status is TransactionStatus.INTRANS


def _give_back(connection: Connection) -> None:
    """Rolls back what is still open and gives the connection back; drops a broken one."""
    with discarded(*DRIVER_ERRORS):
        connection.close()
