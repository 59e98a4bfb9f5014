"""Every backend of a port, under one name: the contract tests run against each."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from vault.audit.chain_heads import ChainHeadPool
from vault.crypto.field_key import MacKey
from vault.dev.postgres import Database
from vault.model import TokenSpace
from vault.postgres.engine import make_engine
from vault.server.unit_of_work import PostgresUnitOfWork
from vault.service.ports import DataKeyStore, UnitOfWork
from vault.store.data_keys import PostgresDataKeyStore
from vault.testing.store import MemoryDataKeyStore, MemoryUnitOfWork


@dataclass(frozen=True)
class Backend:
    work: UnitOfWork
    data_keys: DataKeyStore
    expire: Callable[[TokenSpace, str], None]


def _memory() -> Iterator[Backend]:
    work = MemoryUnitOfWork()

    def expire(space: TokenSpace, token: str) -> None:
        work.set_expiry(space, token, datetime.now(UTC) - timedelta(seconds=1))

    yield Backend(work, MemoryDataKeyStore(), expire)


def _postgres(database: Database) -> Iterator[Backend]:
    key = MacKey(1, bytes(32))
    engine = make_engine(database.service_url)

    def expire(space: TokenSpace, token: str) -> None:
        with psycopg.connect(database.superuser_conninfo) as connection:
            connection.execute(
                "UPDATE tokens SET expires = now() - interval '1 second'"
                " WHERE tenant = %s AND field = %s AND token = %s",
                [space.tenant, space.field, token],
            )

    work = PostgresUnitOfWork(engine, ChainHeadPool("test", lambda: key))
    yield Backend(work, PostgresDataKeyStore(engine), expire)
    engine.dispose()


@pytest.fixture(scope="module", params=["memory", "postgres"])
def backend(request: pytest.FixtureRequest) -> Iterator[Backend]:
    if request.param == "memory":
        yield from _memory()
    else:
        yield from _postgres(request.getfixturevalue("module_database"))


@pytest.fixture
def space() -> TokenSpace:
    """A token space of the test's own, so that tests can share a database."""
    return TokenSpace(f"tenant-{secrets.token_hex(4)}", "card_number")
