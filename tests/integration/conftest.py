"""A real Postgres behind the store, and what the tests do to it as its owner."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar, Self

import psycopg
import pytest
from psycopg.abc import Params, Query
from sqlalchemy import Engine, event

from tests.integration.store.service_harness import ServiceHarness
from vault.audit.chain_heads import ChainHeadPool
from vault.crypto.field_key import MacKey
from vault.dev.postgres import Database
from vault.postgres import begin, transaction
from vault.postgres.engine import make_engine
from vault.postgres.pipelined import Command, Driver, PipelinedCommands
from vault.server.unit_of_work import PostgresUnitOfWork

Owner = psycopg.Connection[tuple[object, ...]]
AUDIT_KEY = MacKey(1, bytes(32))


@pytest.fixture
def engine(database: Database) -> Iterator[Engine]:
    made = make_engine(database.service_url)
    yield made
    made.dispose()


@pytest.fixture
def chain_heads() -> ChainHeadPool:
    return ChainHeadPool("test", lambda: AUDIT_KEY)


@pytest.fixture
def work(engine: Engine, chain_heads: ChainHeadPool) -> PostgresUnitOfWork:
    return PostgresUnitOfWork(engine, chain_heads)


@pytest.fixture
def owner(database: Database) -> Iterator[Owner]:
    """A superuser's connection: whoever tampers, kills sessions and looks at everything."""
    with psycopg.connect(database.superuser_conninfo, autocommit=True) as connection:
        yield connection


class _Noting(psycopg.Cursor[tuple[object, ...]]):
    """Notes every statement, SQLAlchemy's and our own straight ones."""

    sent: ClassVar[list[str]] = []

    def execute(
        self,
        query: Query,
        params: Params | None = None,
        *,
        prepare: bool | None = None,
        binary: bool | None = None,
    ) -> Self:
        self.sent.append(str(query))
        # Overloaded in psycopg, by kinds of query that only newer Pythons have.
        return super().execute(query, params, prepare=prepare, binary=binary)  # type: ignore[arg-type,misc]


@pytest.fixture
def statements(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The statements sent to Postgres so far, BEGIN and COMMIT left out."""

    def noted(driver: Driver, commands: Sequence[Command]) -> PipelinedCommands:
        texts = (command.text for command in commands)
        _Noting.sent.extend(text for text in texts if not text.startswith(("BEGIN", "COMMIT")))
        return PipelinedCommands(driver, commands)

    monkeypatch.setattr(begin, "PipelinedCommands", noted)
    monkeypatch.setattr(transaction, "PipelinedCommands", noted)

    def note(connection: psycopg.Connection, record: object) -> None:
        connection.cursor_factory = _Noting

    event.listen(engine, "connect", note)
    yield _Noting.sent
    event.remove(engine, "connect", note)
    _Noting.sent.clear()


@pytest.fixture
def harness(work: PostgresUnitOfWork, database: Database) -> Iterator[ServiceHarness]:
    # Key uses are reserved while a call's transaction is open: on connections of their own.
    side = make_engine(database.service_url)
    yield ServiceHarness(work, side)
    side.dispose()
