"""A real Postgres behind the store, and what the tests do to it as its owner."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from sqlalchemy import Connection, Engine, event

from vault.audit.lanes import LanePool
from vault.crypto.field_key import MacKey
from vault.dev.postgres import Database
from vault.rpc.unit_of_work import PostgresUnitOfWork
from vault.store.engine import make_engine

Owner = psycopg.Connection[tuple[object, ...]]
AUDIT_KEY = MacKey(1, bytes(32))


@pytest.fixture
def engine(database: Database) -> Iterator[Engine]:
    made = make_engine(database.service_url)
    yield made
    made.dispose()


@pytest.fixture
def lanes() -> LanePool:
    return LanePool("test", lambda: AUDIT_KEY)


@pytest.fixture
def work(engine: Engine, lanes: LanePool) -> PostgresUnitOfWork:
    return PostgresUnitOfWork(engine, lanes)


@pytest.fixture
def owner(database: Database) -> Iterator[Owner]:
    """A superuser's connection: whoever tampers, kills sessions and looks at everything."""
    with psycopg.connect(database.superuser_conninfo, autocommit=True) as connection:
        yield connection


@pytest.fixture
def statements(engine: Engine) -> Iterator[list[str]]:
    """The statements sent to Postgres so far, BEGIN and COMMIT left out."""
    sent: list[str] = []

    def note(
        connection: Connection,
        cursor: object,
        statement: str,
        parameters: object,
        context: object,
        executemany: bool,
    ) -> None:
        sent.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    yield sent
    event.remove(engine, "before_cursor_execute", note)
