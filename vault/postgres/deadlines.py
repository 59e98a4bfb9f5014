"""A connection that never waits beyond a limit.

``statement_timeout`` is kept by Postgres, so a server that hangs (stopped, its storage gone,
the network cut behind a proxy) does not keep it: without a limit of our own every thread of
the service would wait there, far beyond its call's deadline.
"""

from __future__ import annotations

import math
import time
from typing import TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.rows import TupleRow
from sqlalchemy import Connection, Engine, event
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

from vault.postgres.failures import connection_failure

__all__ = ["DeadlineConnection", "driver_of", "set_deadline", "use_deadline_connections"]

T = TypeVar("T")

# As a parameter of the connection's start it overrides what ``options`` has, and the defaults of
# role and database.
_ENCODING = {"client_encoding": "UTF8"}


class DeadlineConnection(psycopg.Connection[TupleRow]):
    """A connection that closes itself when an answer does not come in time.

    Attributes:
        answer_by: ``time.monotonic()`` until which answers are waited for.
        patience: seconds that any one answer may take.
    """

    answer_by: float = math.inf
    patience: float = math.inf

    def wait(self, gen: PQGen[T], interval: float = 0.1, timeout: float | None = None) -> T:
        """Waits for an answer. Raises psycopg.OperationalError when the time is over."""
        ends = min(
            self.answer_by,
            time.monotonic() + min(self.patience, math.inf if timeout is None else timeout),
        )
        if ends == math.inf:
            return super().wait(gen, interval)
        try:
            return super().wait(gen, interval, max(0.0, ends - time.monotonic()))
        except psycopg.OperationalError:
            if time.monotonic() >= ends:
                # The answer may still come, to whoever would use the connection next.
                self.close()
            raise


def set_deadline(
    connection: Connection, *, answer_by: float, patience: float | None = None
) -> None:
    """Limits how long this use of a pooled connection waits for answers.

    Args:
        patience: left as it is if None.
    """
    driver = driver_of(connection)
    if isinstance(driver, DeadlineConnection):
        driver.answer_by = answer_by
        driver.patience = driver.patience if patience is None else patience


def driver_of(connection: Connection) -> psycopg.Connection[tuple[object, ...]]:
    """Returns the connection below SQLAlchemy's."""
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)
    return driver


def use_deadline_connections(engine: Engine) -> None:
    """Makes an engine open such connections; without limits until ``set_deadline`` sets some.

    Their encoding is UTF-8, whatever address, environment, role or database say: ``arrays`` and
    ``pipelined`` encode by themselves.
    """

    def connect(
        _dialect: object, _record: object, args: tuple[str, ...], options: dict[str, object]
    ) -> DeadlineConnection:
        try:
            return DeadlineConnection.connect(*args, **{**options, **_ENCODING})  # type: ignore[arg-type] # SQLAlchemy's
        except psycopg.Error as error:
            failure = connection_failure(error, options)
        # Outside of the except block: as its context, the driver's error would go along.
        raise failure

    def unbind(driver: object, _entry: ConnectionPoolEntry, _proxy: PoolProxiedConnection) -> None:
        if isinstance(driver, DeadlineConnection):
            driver.answer_by, driver.patience = math.inf, math.inf

    event.listen(engine, "do_connect", connect)
    event.listen(engine, "checkout", unbind)
