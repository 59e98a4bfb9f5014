"""One origin for each history: restores, promotions, and a database put back."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import psycopg
import pytest

from vault.audit.chain_heads import ChainHeadPool
from vault.audit.checkpoint_reading import read_checkpoint
from vault.audit.integrator import Integrator
from vault.audit.memory import RememberedAudit
from vault.audit.reading import PostgresAuditReader
from vault.crypto.field_key import MacKey
from vault.dev.postgres import Database
from vault.errors import AuditUnavailable, Reason
from vault.model import AuditEvent
from vault.postgres.engine import make_engine
from vault.server.unit_of_work import PostgresUnitOfWork
from vault.store.data_keys import PostgresDataKeyStore

Owner = psycopg.Connection[tuple[object, ...]]
KEY = MacKey(1, b"1" * 32)
EVENT = AuditEvent("Tokenize", "allowed", "p", "peer", "0a", "r", "d", counts={"ok": 1})
ALL = ("audit_writers", "audit_heads", "audit_records", "audit_log", "audit_roots")


def key_of(_: int) -> MacKey:
    return KEY


class Server:
    def __init__(self, database: Database) -> None:
        self.engine = make_engine(database.service_url)
        heads = ChainHeadPool("a", lambda: KEY)
        self.work = PostgresUnitOfWork(self.engine, heads)
        self.integrator = Integrator(self.engine, lambda: KEY, key_of)
        self.reader = PostgresAuditReader(
            self.engine,
            key_of,
            lambda: RememberedAudit(heads.last_committed(), self.integrator.last_log()),
        )
        self.store = PostgresDataKeyStore(self.engine)

    def call(self, times: int = 1) -> None:
        for _ in range(times):
            self.work.run(lambda transaction: transaction.audit.append(EVENT))
        self.integrator.integrate()

    def load_keys(self) -> None:
        """As far as a keyring that loads its keys looks at the database."""
        identity = self.store.database_identity()
        if identity.current != identity.recorded:
            self.store.begin_epoch(identity.current, [])

    def origin(self) -> str:
        made, _ = self.reader.checkpoint()
        assert made is not None
        assert read_checkpoint(made.sign(KEY), key_of).origin == made.origin
        return made.origin


@pytest.fixture
def start(database: Database) -> Iterator[Callable[[], Server]]:
    servers: list[Server] = []

    def make() -> Server:
        servers.append(Server(database))
        servers[-1].reader.note_origin()
        return servers[-1]

    yield make
    for server in servers:
        server.engine.dispose()


def test_servers_of_one_history_have_one_origin(start: Callable[[], Server]) -> None:
    first, second = start(), start()
    first.call(2)
    origin = first.origin()
    second.call(2)
    assert {first.origin(), second.origin(), start().origin()} == {origin}


def test_a_restore_that_an_operator_tells_of_begins_an_origin(
    start: Callable[[], Server],
) -> None:
    server = start()
    server.call(2)
    before = server.origin()
    assert server.store.begin_epoch("", [])
    with pytest.raises(AuditUnavailable, match="restored or moved") as refused:
        server.reader.checkpoint()
    assert refused.value.reason is Reason.INTERNAL
    server.load_keys()
    # Nothing was lost: what this server knows is part of the new history.
    assert server.origin() != before
    assert start().origin() == server.origin()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE key_epochs SET identity = '1:2:3:4'",
        "DELETE FROM key_epochs",
    ],
)
def test_no_checkpoint_is_made_of_a_database_that_is_not_the_recorded_one(
    start: Callable[[], Server], owner: Owner, statement: str
) -> None:
    server = start()
    server.call()
    owner.execute(statement.encode())
    with pytest.raises(AuditUnavailable, match="restored or moved"):
        server.reader.checkpoint()
    with pytest.raises(AuditUnavailable, match="restored or moved"):
        start()


def copy(owner: Owner) -> None:
    for table in ALL:
        owner.execute(f"CREATE TABLE kept_{table} AS TABLE {table}".encode())


def put_back(owner: Owner) -> None:
    for table in ALL:
        owner.execute(f"TRUNCATE {table}; INSERT INTO {table} TABLE kept_{table}".encode())


def test_a_server_that_ran_through_a_restore_signs_nothing_into_the_new_history(
    start: Callable[[], Server], owner: Owner
) -> None:
    server = start()
    server.call(2)
    copy(owner)
    server.call(3)
    before = server.origin()
    put_back(owner)
    other = start()
    assert other.store.begin_epoch("", [])
    other.load_keys()
    with pytest.raises(AuditUnavailable, match="under this server"):
        server.reader.checkpoint()
    other.call(9)  # the new history is longer than what the old server knew
    with pytest.raises(AuditUnavailable, match="not the one that this server saw"):
        server.reader.checkpoint()
    assert other.origin() != before


def test_a_log_that_is_another_than_a_server_saw_is_not_signed(
    start: Callable[[], Server], owner: Owner
) -> None:
    """Put back without an epoch, and grown again by a server that knows nothing of it."""
    server = start()
    server.call(2)
    copy(owner)
    server.call(3)
    signed, _ = server.reader.checkpoint()
    assert signed is not None
    put_back(owner)
    made, findings = server.reader.checkpoint()
    assert made is not None
    assert (made.log, findings != []) == (signed.log, True)
    start().call(9)
    with pytest.raises(AuditUnavailable, match="not the one that this server saw"):
        server.reader.checkpoint()
