"""The audit in a real Postgres: chain heads, tampering by the table owner, checkpoints."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import cast

import psycopg
import pytest
from sqlalchemy import Engine

from vault.audit.chain_heads import ChainHeadPool
from vault.audit.checkpoint import Checkpoint
from vault.audit.checkpoint_reading import read_checkpoint
from vault.audit.reading import PostgresAuditReader
from vault.crypto.field_key import MacKey
from vault.dev.postgres import Database
from vault.errors import AuditUnavailable, DecryptionFailed, KeysUnavailable, Reason
from vault.model import Action, AuditEvent, TokenSpace
from vault.postgres.engine import make_engine
from vault.server.unit_of_work import PostgresUnitOfWork
from vault.service.ports import LimitKey, Transaction

Owner = psycopg.Connection[tuple[object, ...]]
KEYS = {1: MacKey(1, b"1" * 32), 2: MacKey(2, b"2" * 32)}
EVENT = AuditEvent("Tokenize", "allowed", "p", "peer", "0a", "r", "d", counts={"ok": 1})


def key_of(version: int) -> MacKey:
    if version not in KEYS:
        raise DecryptionFailed
    return KEYS[version]


def append(transaction: Transaction) -> None:
    transaction.audit.append(EVENT)


class Server:
    """One server process: its pool, its chain heads, its unit of work."""

    def __init__(self, database: Database, name: str, key: MacKey = KEYS[1]) -> None:
        self.engine: Engine = make_engine(database.service_url)
        self.chain_heads = ChainHeadPool(name, lambda: key)
        self.work = PostgresUnitOfWork(self.engine, self.chain_heads)

    def call(self, times: int = 1) -> None:
        for _ in range(times):
            self.work.run(append)


@pytest.fixture
def start(database: Database) -> Iterator[Callable[..., Server]]:
    servers: list[Server] = []

    def make(name: str = "a", key: MacKey = KEYS[1]) -> Server:
        servers.append(Server(database, name, key))
        return servers[-1]

    yield make
    for server in servers:
        server.engine.dispose()


@pytest.fixture
def reader(database: Database) -> Iterator[PostgresAuditReader]:
    engine = make_engine(database.service_url)
    yield PostgresAuditReader(engine, key_of)
    engine.dispose()


def findings(
    reader: PostgresAuditReader, checkpoint: Checkpoint | None = None
) -> set[tuple[str, int, str]]:
    found = reader.verify(checkpoint).findings
    return {(finding.writer, finding.number, finding.kind) for finding in found}


def writers(owner: Owner) -> list[str]:
    rows = owner.execute("SELECT writer FROM audit_writers ORDER BY ordinal")
    return [str(writer) for (writer,) in rows]


def test_an_empty_audit_is_sound(reader: PostgresAuditReader) -> None:
    report = reader.verify()
    assert (report.records, report.writers, list(report.findings)) == (0, 0, [])
    assert reader.checkpoint() == (None, [])


def test_one_thread_keeps_to_one_writer(
    start: Callable[..., Server], reader: PostgresAuditReader, owner: Owner
) -> None:
    start().call(times=5)
    report = reader.verify()
    assert (report.records, report.writers, list(report.findings)) == (6, 1, [])
    rows = owner.execute("SELECT number, body FROM audit_records ORDER BY number").fetchall()
    kinds = [json.loads(cast("str", body))["kind"] for _, body in rows]
    assert [number for number, _ in rows] == [1, 2, 3, 4, 5, 6]
    assert kinds == ["opened", *["call"] * 5]


def test_replicas_and_threads_leave_no_gap(
    start: Callable[..., Server], reader: PostgresAuditReader, owner: Owner
) -> None:
    servers = [start(name) for name in ("a", "b")]
    together = threading.Barrier(8)

    def client(number: int) -> None:
        together.wait()
        servers[number % 2].call(times=20)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(client, range(8)))
    report = reader.verify()
    opened = len(writers(owner))
    assert list(report.findings) == []
    assert (report.records, report.writers) == (160 + opened, opened)
    assert 2 <= opened <= 8
    ordinals = owner.execute("SELECT ordinal FROM audit_writers ORDER BY ordinal").fetchall()
    assert [ordinal for (ordinal,) in ordinals] == list(range(1, opened + 1))


def test_a_rollback_leaves_no_gap(
    start: Callable[..., Server], reader: PostgresAuditReader
) -> None:
    server = start()

    def fail(transaction: Transaction) -> None:
        append(transaction)
        raise RuntimeError("stop")

    for _ in range(2):
        with pytest.raises(RuntimeError):
            server.work.run(fail)
        server.call()
    report = reader.verify()
    assert (report.records, report.writers, list(report.findings)) == (3, 1, [])


def test_a_rotated_key_verifies(
    start: Callable[..., Server], reader: PostgresAuditReader, owner: Owner
) -> None:
    start("a", KEYS[1]).call(2)
    start("b", KEYS[2]).call(2)
    assert findings(reader) == set()
    owner.execute("UPDATE audit_records SET key_version = 3 WHERE key_version = 2 AND number = 2")
    assert findings(reader) == {(writers(owner)[1], 2, "EDITED")}


def test_without_a_key_nothing_is_written(database: Database, owner: Owner) -> None:
    def sealed() -> MacKey:
        raise KeysUnavailable("sealed")

    engine = make_engine(database.service_url)
    with pytest.raises(KeysUnavailable):
        PostgresUnitOfWork(engine, ChainHeadPool("a", sealed)).run(append)
    engine.dispose()
    assert writers(owner) == []


def test_one_record_a_transaction(start: Callable[..., Server], owner: Owner) -> None:
    def twice(transaction: Transaction) -> None:
        append(transaction)
        append(transaction)

    with pytest.raises(AuditUnavailable) as caught:
        start().work.run(twice)
    assert caught.value.reason is Reason.INTERNAL
    assert writers(owner) == []


def test_a_head_that_was_moved_stops_its_writer_only(
    start: Callable[..., Server], owner: Owner
) -> None:
    server = start()
    server.call()
    owner.execute("UPDATE audit_heads SET number = number + 1")
    with pytest.raises(AuditUnavailable):
        server.call()
    server.call()
    assert len(writers(owner)) == 2


TAMPERED: list[tuple[str, str, set[tuple[int, int, str]]]] = [
    (
        "edited",
        "UPDATE audit_records SET body = replace(body, 'allowed', 'denied')"
        " WHERE writer = %(first)s AND number = 3",
        {(0, 3, "EDITED")},
    ),
    (
        "deleted",
        "DELETE FROM audit_records WHERE writer = %(first)s AND number = 3",
        {(0, 3, "DELETED")},
    ),
    (
        "reordered",
        "UPDATE audit_records SET number = CASE number WHEN 3 THEN -4 ELSE -3 END"
        " WHERE writer = %(first)s AND number IN (3, 4);"
        "UPDATE audit_records SET number = -number WHERE number < 0",
        {(0, 3, "REORDERED"), (0, 4, "REORDERED")},
    ),
    (
        "inserted",
        "INSERT INTO audit_records SELECT writer, 7, key_version, previous, mac, body"
        " FROM audit_records WHERE writer = %(first)s AND number = 6",
        {(0, 7, "INSERTED")},
    ),
    (
        "truncated",
        "DELETE FROM audit_records WHERE writer = %(second)s AND number > 2",
        {(1, 3, "TRUNCATED")},
    ),
    (
        "truncated-with-an-old-head",
        "DELETE FROM audit_records WHERE writer = %(first)s AND number > 5;"
        "UPDATE audit_heads SET number = 5, mac = %(mac)s, head_mac = %(head_mac)s"
        " WHERE writer = %(first)s",
        {(0, 6, "TRUNCATED")},
    ),
    (
        "writer-removed",
        "DELETE FROM audit_records WHERE writer = %(first)s;"
        "DELETE FROM audit_heads WHERE writer = %(first)s;"
        "DELETE FROM audit_writers WHERE writer = %(first)s",
        {(0, 0, "UNKNOWN_WRITER")},
    ),
]


@pytest.mark.parametrize(
    ("statements", "expected"),
    [case[1:] for case in TAMPERED],
    ids=[case[0] for case in TAMPERED],
)
def test_what_the_owner_tampered_with_is_named(
    start: Callable[..., Server],
    reader: PostgresAuditReader,
    owner: Owner,
    statements: str,
    expected: set[tuple[int, int, str]],
) -> None:
    server = start("a")
    server.call(times=4)
    old = owner.execute("SELECT mac, head_mac FROM audit_heads").fetchone()
    assert old is not None
    server.call()
    start("b").call(times=3)
    names = writers(owner)
    assert findings(reader) == set()
    owner.execute("ALTER TABLE audit_records DROP CONSTRAINT audit_records_number_check")
    parameters = dict(zip(("mac", "head_mac", "first", "second"), [*old, *names], strict=True))
    for statement in statements.split(";"):
        owner.execute(statement.encode(), parameters)
    assert findings(reader) == {(names[at], number, kind) for at, number, kind in expected}


def test_a_checkpoint_outside_the_database_shows_a_truncated_end(
    start: Callable[..., Server], reader: PostgresAuditReader, owner: Owner
) -> None:
    server = start()
    server.call(2)
    old = owner.execute("SELECT number, mac, head_mac FROM audit_heads").fetchone()
    assert old is not None
    server.call()
    checkpoint, _ = reader.checkpoint()
    assert checkpoint is not None
    kept = checkpoint.sign(KEYS[2])
    owner.execute("DELETE FROM audit_records WHERE number = 4")
    owner.execute("UPDATE audit_heads SET number = %s, mac = %s, head_mac = %s", old)
    assert findings(reader) == set()
    checkpoint = read_checkpoint(kept, key_of)
    assert findings(reader, checkpoint) == {(writers(owner)[0], 4, "TRUNCATED")}
    owner.execute("TRUNCATE audit_records, audit_heads, audit_writers")
    assert findings(reader) == set()
    assert {kind for _, _, kind in findings(reader, checkpoint)} == {"UNKNOWN_WRITER"}


def test_verification_sees_one_moment(
    start: Callable[..., Server], reader: PostgresAuditReader
) -> None:
    server = start()
    stop = threading.Event()

    def keep_writing() -> None:
        while not stop.is_set():
            server.call()

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(keep_writing)
        try:
            reports = [reader.verify() for _ in range(20)]
        finally:
            stop.set()
        writing.result()
    assert all(not report.findings for report in reports)
    assert reports[-1].records > reports[0].records


def test_a_database_that_is_away_cannot_be_verified(database: Database) -> None:
    engine = make_engine(database.service_url.set(port=1))
    with pytest.raises(AuditUnavailable):
        PostgresAuditReader(engine, key_of).verify()
    engine.dispose()


def test_a_running_server_names_the_audit_that_was_removed_under_it(
    start: Callable[..., Server], reader: PostgresAuditReader, owner: Owner
) -> None:
    server = start()
    server.call(times=5)
    (lost,) = writers(owner)
    owner.execute("DELETE FROM audit_records")
    owner.execute("DELETE FROM audit_heads")
    owner.execute("DELETE FROM audit_writers")

    with pytest.raises(AuditUnavailable):
        server.call()
    server.call(times=3)

    found = findings(reader)
    assert (lost, 0, "UNKNOWN_WRITER") in found or lost in {writer for writer, _, _ in found}
    assert server.chain_heads.lost() is None


def test_a_lost_chain_is_named_at_once_also_by_a_server_that_has_others(
    start: Callable[..., Server], reader: PostgresAuditReader, owner: Owner
) -> None:
    server = start()
    together = threading.Barrier(2)

    def at_the_same_time(transaction: Transaction) -> None:
        # Each in a transaction of its own, for what it writes besides.
        key = LimitKey(TokenSpace("default", "f"), Action.TOKENIZE, str(threading.get_ident()))
        transaction.limits.charge(key, [60], 1)
        append(transaction)
        together.wait(20)

    server.call()  # of two openings at once one would wait for the other
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(server.work.run, [at_the_same_time] * 2))
    assert len(server.chain_heads._free) == 2
    used = server.chain_heads._free[-1]
    for table in ("audit_records", "audit_heads", "audit_writers"):
        owner.execute(f"DELETE FROM {table} WHERE writer = %s", (used.writer,))

    with pytest.raises(AuditUnavailable):
        server.call()
    server.call()

    assert server.chain_heads.lost() is None
    # The opening of the third names the first, which nobody else still knows.
    assert str(used.writer) in {writer for writer, _, _ in findings(reader)}
    server.call(times=3)
    assert len(writers(owner)) == 2


def test_a_cut_off_chain_put_back_with_its_old_head_is_named_by_its_server(
    start: Callable[..., Server], reader: PostgresAuditReader, owner: Owner
) -> None:
    server = start()
    server.call(times=2)
    old = owner.execute("SELECT writer, number, mac, key_version, head_mac FROM audit_heads")
    head = old.fetchone()
    assert head is not None
    server.call(times=2)
    owner.execute("DELETE FROM audit_records WHERE number > %s", (head[1],))
    owner.execute(
        "UPDATE audit_heads SET number = %s, mac = %s, head_mac = %s", (head[1], head[2], head[4])
    )
    assert findings(reader) == set()

    with pytest.raises(AuditUnavailable):
        server.call()
    server.call()

    assert "TRUNCATED" in {kind for _, _, kind in findings(reader)}


def test_a_refused_append_accuses_no_honest_server_for_ever(
    start: Callable[..., Server], reader: PostgresAuditReader, owner: Owner
) -> None:
    first, second = start("a"), start("b")
    first.call(times=2)
    second.call(times=2)
    owner.execute("UPDATE audit_heads SET number = number + 1")
    for server in (first, second):
        with pytest.raises(AuditUnavailable):
            server.call()
    owner.execute("UPDATE audit_heads SET number = number - 1")
    for server in (first, second, first):
        server.call(times=2)
    assert len(writers(owner)) == 4
    assert findings(reader) == set()
    # Named all the same: what the openings say of the lost chains is still compared.
    owner.execute("DELETE FROM audit_records WHERE number = 3")
    assert findings(reader) != set()


def test_a_refused_first_append_accuses_nobody(
    start: Callable[..., Server], reader: PostgresAuditReader, owner: Owner
) -> None:
    server = start()
    server.call(times=2)
    kept = {
        table: owner.execute(f"SELECT * FROM {table}").fetchall()
        for table in ("audit_writers", "audit_heads", "audit_records")
    }
    owner.execute("TRUNCATE audit_writers, audit_heads, audit_records")
    with pytest.raises(AuditUnavailable):
        server.call()
    for table, rows in kept.items():
        for row in rows:
            places = ", ".join(["%s"] * len(row))
            owner.execute(f"INSERT INTO {table} VALUES ({places})", row)
    server.call(times=2)
    assert findings(reader) == set()
