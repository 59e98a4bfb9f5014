"""The audit's log in a real Postgres: integrators, crashes, load, and a dishonest owner."""

from __future__ import annotations

import json
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import cast

import psycopg
import pytest
from sqlalchemy import Engine
from sqlalchemy.exc import ProgrammingError

from vault.audit.chain_heads import ChainHeadPool
from vault.audit.checkpoint import Checkpoint
from vault.audit.integrator import Integrator
from vault.audit.reading import PostgresAuditReader
from vault.crypto.field_key import MacKey
from vault.dev.postgres import Database
from vault.errors import AuditUnavailable, DecryptionFailed, KeysUnavailable, Reason
from vault.model import AuditEvent
from vault.postgres.engine import make_engine
from vault.server.unit_of_work import PostgresUnitOfWork

Owner = psycopg.Connection[tuple[object, ...]]
KEY = MacKey(1, b"1" * 32)
EVENT = AuditEvent("Tokenize", "allowed", "p", "peer", "0a", "r", "d", counts={"ok": 1})
LOCK = 0x746F6B656E04


def key_of(version: int) -> MacKey:
    if version != 1:
        raise DecryptionFailed
    return KEY


@pytest.fixture
def engine(database: Database) -> Iterator[Engine]:
    made = make_engine(database.service_url, pool_size=12)
    yield made
    made.dispose()


@pytest.fixture
def call(engine: Engine) -> Callable[..., None]:
    """Writes records; each server name has a chain of its own."""
    servers: dict[str, PostgresUnitOfWork] = {}

    def make(times: int = 1, server: str = "a") -> None:
        if server not in servers:
            servers[server] = PostgresUnitOfWork(engine, ChainHeadPool(server, lambda: KEY))
        for _ in range(times):
            servers[server].run(lambda transaction: transaction.audit.append(EVENT))

    return make


@pytest.fixture
def reader(engine: Engine) -> PostgresAuditReader:
    return PostgresAuditReader(engine, key_of)


def integrator(engine: Engine, batch: int = 1000) -> Integrator:
    return Integrator(engine, lambda: KEY, key_of, batch=batch)


class Clock:
    """Seconds that pass when the test says so."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def log(owner: Owner) -> list[tuple[int, str, int]]:
    rows = owner.execute("SELECT position, writer, number FROM audit_log ORDER BY position")
    return [(cast("int", at), str(writer), cast("int", number)) for at, writer, number in rows]


def writers(owner: Owner) -> list[str]:
    rows = owner.execute("SELECT writer FROM audit_writers ORDER BY ordinal")
    return [str(writer) for (writer,) in rows]


def findings(
    reader: PostgresAuditReader, checkpoint: Checkpoint | None = None
) -> set[tuple[str, int, str]]:
    found = reader.verify(checkpoint).findings
    return {(finding.writer, finding.number, finding.kind) for finding in found}


def assert_in_order(owner: Owner) -> None:
    """Positions have no gap, and each writer's records are there in its own order."""
    entries = log(owner)
    assert [position for position, _, _ in entries] == list(range(1, len(entries) + 1))
    numbers = defaultdict[str, list[int]](list)
    for _, writer, number in entries:
        numbers[writer].append(number)
    assert all(own == list(range(1, len(own) + 1)) for own in numbers.values())


def test_nothing_written_is_nothing_integrated(engine: Engine, reader: PostgresAuditReader) -> None:
    status = integrator(engine).integrate()
    assert (status.integrated, status.waiting, status.oldest) == (0, 0, 0.0)
    assert reader.verify().findings == []
    assert (list(reader.page(0, 10).records), reader.page(0, 10).first) == ([], 1)


def test_records_of_all_writers_get_positions_in_batches(
    engine: Engine, reader: PostgresAuditReader, owner: Owner, call: Callable[..., None]
) -> None:
    call(7, "a")
    call(4, "b")
    status = integrator(engine, batch=4).integrate()
    assert (status.integrated, status.waiting) == (13, 0)
    assert_in_order(owner)
    assert findings(reader) == set()
    roots = owner.execute("SELECT size FROM audit_roots ORDER BY size").fetchall()
    assert len(roots) >= 4
    assert roots[-1] == (13,)


def test_writers_are_merged_by_time(
    engine: Engine, owner: Owner, call: Callable[..., None]
) -> None:
    for _ in range(3):
        call(1, "a")
        call(1, "b")
    integrator(engine).integrate()
    rows = owner.execute(
        "SELECT r.body FROM audit_log JOIN audit_records r USING (writer, number) ORDER BY position"
    )
    times = [json.loads(cast("str", body))["time"] for (body,) in rows]
    assert times == sorted(times)


def test_another_turn_goes_on_where_the_last_ended(
    engine: Engine, reader: PostgresAuditReader, owner: Owner, call: Callable[..., None]
) -> None:
    call(3)
    first = integrator(engine)
    assert first.integrate().integrated == 4
    assert first.integrate().integrated == 0
    call(2)
    # A process that knows nothing yet, as after a restart.
    assert integrator(engine).integrate().integrated == 2
    assert_in_order(owner)
    assert findings(reader) == set()


@contextmanager
def running(*integrators: Integrator) -> Iterator[None]:
    """Lets each take turns in a thread of its own."""
    stop = threading.Event()

    def take_turns(one: Integrator) -> None:
        while not stop.is_set():
            one.integrate()
            time.sleep(0.01)

    with ThreadPoolExecutor(len(integrators)) as pool:
        jobs = [pool.submit(take_turns, one) for one in integrators]
        try:
            yield
        finally:
            stop.set()
        for job in jobs:
            job.result()


def test_two_integrators_under_the_load_of_four_writers(
    engine: Engine, reader: PostgresAuditReader, owner: Owner, call: Callable[..., None]
) -> None:
    with running(integrator(engine), integrator(engine, batch=7)), ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda server: call(60, server), "abcd"))
    clock = Clock()
    last = Integrator(engine, lambda: KEY, key_of, clock=clock)
    assert last.integrate().waiting == 0
    assert_in_order(owner)
    assert len(log(owner)) == 4 * 61
    assert findings(reader) == set()


def test_while_another_works_nobody_else_does(
    engine: Engine, owner: Owner, call: Callable[..., None]
) -> None:
    call(3)
    clock = Clock()
    blocked = Integrator(engine, lambda: KEY, key_of, clock=clock)
    with owner.transaction():
        owner.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
        status = blocked.integrate()
        assert (status.integrated, status.waiting) == (0, 4)
        assert status.oldest > 0
    # Its death frees the lock.
    assert blocked.integrate().integrated == 4


def test_a_crash_between_work_and_commit_leaves_nothing_behind(
    engine: Engine, reader: PostgresAuditReader, owner: Owner, call: Callable[..., None]
) -> None:
    call(3)
    dying = integrator(engine)
    append = dying._append

    def killed(*arguments: object) -> object:
        done = append(*arguments)  # type: ignore[arg-type]
        owner.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE usename <> current_user AND datname = current_database()"
            " AND state = 'idle in transaction'"
        )
        return done

    dying._append = killed  # type: ignore[assignment, method-assign]
    with pytest.raises(AuditUnavailable):
        dying.integrate()
    assert log(owner) == []
    assert integrator(engine).integrate().integrated == 4
    dying._append = append  # type: ignore[method-assign]
    call(1)
    # Its first turn finds that another works, the second that nobody does.
    assert [dying.integrate().integrated for _ in range(2)] == [0, 1]
    assert_in_order(owner)
    assert findings(reader) == set()


def test_without_a_key_nothing_is_integrated(
    engine: Engine, owner: Owner, call: Callable[..., None]
) -> None:
    def sealed() -> MacKey:
        raise KeysUnavailable("sealed")

    call(1)
    with pytest.raises(KeysUnavailable):
        Integrator(engine, sealed, key_of).integrate()
    assert log(owner) == []


@pytest.mark.parametrize(
    ("statement", "number", "kind"),
    [
        ("UPDATE audit_records SET body = replace(body, 'allowed', 'denied')", 3, "EDITED"),
        ("UPDATE audit_records SET previous = mac", 3, "EDITED"),
        ("UPDATE audit_records SET key_version = 9", 3, "EDITED"),
        ("DELETE FROM audit_records", 3, "DELETED"),
    ],
)
def test_a_bad_record_stops_its_writer_only(
    engine: Engine,
    owner: Owner,
    call: Callable[..., None],
    statement: str,
    number: int,
    kind: str,
) -> None:
    call(4, "a")
    call(4, "b")
    bad, good = writers(owner)
    saved = owner.execute("SELECT * FROM audit_records WHERE writer = %s AND number = 3", (bad,))
    row = saved.fetchone()
    owner.execute(f"{statement} WHERE writer = %s AND number = 3".encode(), (bad,))
    clock = Clock()
    one = Integrator(engine, lambda: KEY, key_of, clock=clock)
    status = one.integrate()
    (finding,) = status.stalled.values()
    assert (finding.writer, finding.number, finding.kind) == (bad, number, kind)
    assert (status.integrated, status.waiting) == (7, 3)
    call(2, "a")
    call(2, "b")
    assert one.integrate().integrated == 2
    assert [entry[2] for entry in log(owner) if entry[1] == good] == [1, 2, 3, 4, 5, 6, 7]
    # Mended, it goes on by itself.
    assert row is not None
    owner.execute("DELETE FROM audit_records WHERE writer = %s AND number = 3", (bad,))
    owner.execute("INSERT INTO audit_records VALUES (%s, %s, %s, %s, %s, %s)", row)
    clock.now += 31
    healed = one.integrate()
    assert (healed.integrated, healed.waiting, dict(healed.stalled)) == (5, 0, {})
    assert_in_order(owner)


def test_a_head_put_back_is_named(engine: Engine, owner: Owner, call: Callable[..., None]) -> None:
    call(4)
    one = integrator(engine)
    one.integrate()
    owner.execute("UPDATE audit_heads SET number = 2")
    call(1, "b")
    status = one.integrate()
    assert status.integrated == 2
    (finding,) = status.stalled.values()
    assert (finding.writer, finding.number, finding.kind) == (writers(owner)[0], 3, "TRUNCATED")


def test_a_deleted_head_does_not_hide_new_records(
    engine: Engine, owner: Owner, call: Callable[..., None]
) -> None:
    call(9, "a")
    one = integrator(engine)
    one.integrate()
    owner.execute("DELETE FROM audit_heads")
    call(2, "b")
    assert one.integrate().integrated == 3


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_log SET position = position + 100",
        "UPDATE audit_log SET leaf = leaf",
        "DELETE FROM audit_log",
        "TRUNCATE audit_log",
        "UPDATE audit_roots SET size = size + 1",
        "DELETE FROM audit_roots",
        "TRUNCATE audit_roots",
    ],
)
def test_the_service_can_only_add_to_the_log(
    engine: Engine, call: Callable[..., None], statement: str
) -> None:
    call(1)
    integrator(engine).integrate()
    with engine.connect() as connection, pytest.raises(ProgrammingError, match="denied"):
        connection.exec_driver_sql(statement)


SWAP = (
    "UPDATE audit_log SET position = position + 1000 WHERE position IN ({0}, {1});"
    "UPDATE audit_log SET position = {0} + {1} + 1000 - position WHERE position > 1000"
)
# By position: a has 1 to 6, b has 7 to 10. Expected: writer, number, kind.
TAMPERED: list[tuple[str, str, set[tuple[int | None, int, str]]]] = [
    (
        "record-edited",
        "UPDATE audit_records SET body = replace(body, 'allowed', 'denied')"
        " WHERE writer = %(a)s AND number = 3",
        {(0, 3, "EDITED")},
    ),
    (
        "record-deleted",
        "DELETE FROM audit_records WHERE writer = %(a)s AND number = 3",
        {(0, 3, "DELETED")},
    ),
    (
        "chain-rolled-back-with-its-old-head",
        "DELETE FROM audit_records WHERE writer = %(b)s AND number > 2;"
        "UPDATE audit_heads SET number = 2, mac = %(mac)s, head_mac = %(head_mac)s"
        " WHERE writer = %(b)s",
        {(1, 3, "TRUNCATED")},
    ),
    (
        "last-writer-removed",
        "DELETE FROM audit_records WHERE writer = %(b)s;"
        "DELETE FROM audit_heads WHERE writer = %(b)s;"
        "DELETE FROM audit_writers WHERE writer = %(b)s",
        {(1, 0, "UNKNOWN_WRITER")},
    ),
    ("entry-deleted", "DELETE FROM audit_log WHERE position = 4", {(None, 0, "DELETED")}),
    (
        "entries-deleted-at-the-end",
        "DELETE FROM audit_log WHERE position > 8",
        {(None, 0, "TRUNCATED")},
    ),
    ("reordered", SWAP.format(2, 9), {(0, 2, "REORDERED"), (1, 3, "REORDERED")}),
    ("reordered-within-a-writer", SWAP.format(2, 3), {(0, 2, "REORDERED"), (0, 3, "REORDERED")}),
    (
        "entry-edited",
        "UPDATE audit_log SET mac = '\\x00' WHERE position = 3",
        {(0, 3, "EDITED")},
    ),
    (
        "leaf-edited",
        "UPDATE audit_log SET leaf = sha256('x') WHERE position = 3",
        {(0, 3, "EDITED")},
    ),
    (
        "root-edited",
        "UPDATE audit_roots SET root = sha256('x') WHERE size = 10",
        {(None, 0, "EDITED")},
    ),
    ("peaks-edited", "UPDATE audit_roots SET peaks = '' WHERE size = 10", {(None, 0, "EDITED")}),
    ("last-root-deleted", "DELETE FROM audit_roots WHERE size = 10", {(None, 0, "INSERTED")}),
    (
        "entry-inserted",
        "INSERT INTO audit_log SELECT 11, %(a)s::uuid, 7, mac, leaf FROM audit_log"
        " WHERE position = 1",
        {(0, 7, "EDITED")},
    ),
]


@pytest.mark.parametrize(
    ("statements", "expected"), [each[1:] for each in TAMPERED], ids=[each[0] for each in TAMPERED]
)
def test_what_the_owner_did_to_the_log_is_named(
    engine: Engine,
    reader: PostgresAuditReader,
    owner: Owner,
    call: Callable[..., None],
    statements: str,
    expected: set[tuple[int | None, int, str]],
) -> None:
    one = integrator(engine)
    call(5, "a")
    one.integrate()
    call(1, "b")
    old = owner.execute("SELECT mac, head_mac FROM audit_heads ORDER BY number").fetchone()
    assert old is not None
    one.integrate()
    call(2, "b")
    one.integrate()
    names = writers(owner)
    assert findings(reader) == set()
    parameters = dict(zip(("mac", "head_mac", "a", "b"), [*old, *names], strict=True))
    for statement in statements.split(";"):
        owner.execute(statement.encode(), parameters)
    found = {(finding.writer, finding.number, finding.kind) for finding in reader.verify().findings}
    expect = {("" if at is None else names[at], number, kind) for at, number, kind in expected}
    assert found == expect


def test_a_swap_with_recomputed_leaves_is_still_noticed(
    engine: Engine, reader: PostgresAuditReader, owner: Owner, call: Callable[..., None]
) -> None:
    """The owner knows how leaves are made; roots he cannot make."""
    call(2, "a")
    call(2, "b")
    integrator(engine).integrate()
    entries = {logged.entry.position: logged.entry for logged in reader.page(1, 10).records}
    for statement in SWAP.format(3, 4).split(";"):
        owner.execute(statement.encode())
    for position, other in ((3, 4), (4, 3)):
        leaf = entries[other].leaf_at(position)
        owner.execute("UPDATE audit_log SET leaf = %s WHERE position = %s", (leaf, position))
    (finding,) = reader.verify().findings
    assert finding.kind in {"EDITED", "REORDERED"}


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_roots SET root = sha256('x')",
        "INSERT INTO audit_log SELECT 5, writer, 9, mac, leaf FROM audit_log WHERE position = 1",
        "DELETE FROM audit_log WHERE position = 4",
        "DELETE FROM audit_roots",
        "TRUNCATE audit_log, audit_roots",
    ],
)
def test_a_log_that_was_tampered_with_is_not_continued(
    engine: Engine, owner: Owner, call: Callable[..., None], statement: str
) -> None:
    call(3)
    one = integrator(engine)
    one.integrate()
    owner.execute(statement.encode())
    call(1)
    before = log(owner)
    with pytest.raises(AuditUnavailable, match="audit verify") as caught:
        one.integrate()
    assert caught.value.reason is Reason.INTERNAL
    assert log(owner) == before


def test_a_log_put_back_is_shown_by_a_checkpoint(
    engine: Engine, reader: PostgresAuditReader, owner: Owner, call: Callable[..., None]
) -> None:
    one = integrator(engine)
    call(3, "a")
    one.integrate()
    call(2, "b")
    call(2, "a")
    one.integrate()
    checkpoint, _ = reader.checkpoint()
    assert checkpoint is not None
    assert checkpoint.log is not None
    assert checkpoint.log.size == 9
    assert findings(reader, checkpoint) == set()
    call(3, "b")
    one.integrate()
    assert findings(reader, checkpoint) == set()
    owner.execute("DELETE FROM audit_log WHERE position > 4")
    owner.execute("DELETE FROM audit_roots WHERE size > 4")
    assert findings(reader) == set()
    assert findings(reader, checkpoint) == {("", 0, "TRUNCATED")}
    # Integrated once more, in another order: only somebody who remembers can tell.
    with pytest.raises(AuditUnavailable):
        one.integrate()
    integrator(engine, batch=3).integrate()
    assert findings(reader) == set()


def test_a_log_in_another_order_is_not_the_checkpoints(
    engine: Engine, reader: PostgresAuditReader, owner: Owner, call: Callable[..., None]
) -> None:
    one = integrator(engine)
    call(3, "a")
    one.integrate()
    call(2, "b")
    one.integrate()
    call(2, "a")
    one.integrate()
    checkpoint, _ = reader.checkpoint()
    owner.execute("TRUNCATE audit_log, audit_roots")
    integrator(engine, batch=2).integrate()  # alternates between writers
    assert findings(reader) == set()
    assert findings(reader, checkpoint) == {("", 0, "EDITED")}


def test_a_forged_root_gets_no_mac_of_ours(
    engine: Engine, reader: PostgresAuditReader, owner: Owner, call: Callable[..., None]
) -> None:
    call(3)
    integrator(engine).integrate()
    owner.execute("UPDATE audit_roots SET root = sha256('x')")
    with pytest.raises(AuditUnavailable, match="root was edited"):
        reader.checkpoint()


def test_pages_show_what_is_there_and_what_is_not(
    engine: Engine, reader: PostgresAuditReader, owner: Owner, call: Callable[..., None]
) -> None:
    call(6)
    integrator(engine).integrate()
    call(2)
    page = reader.page(0, 3)
    assert ([each.entry.position for each in page.records], page.lag) == ([5, 6, 7], 2)
    assert [each.entry.position for each in reader.page(2, 2).records] == [2, 3]
    assert list(reader.page(8, 2).records) == []
    owner.execute("UPDATE audit_records SET body = replace(body, 'allowed', 'x') WHERE number = 2")
    owner.execute("DELETE FROM audit_records WHERE number = 4")
    shown = {each.entry.position: each.record for each in reader.page(1, 9).records}
    assert [position for position, record in shown.items() if record is None] == [2, 4]
