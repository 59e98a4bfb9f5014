"""The owner hides or takes away while servers run: what a process knows is missed, by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import psycopg
import pytest
from sqlalchemy import Connection

from vault.audit.chain import FindingKind
from vault.audit.chain_heads import ChainHeadPool
from vault.audit.checkpoint_reading import read_checkpoint
from vault.audit.integrator import Integrator
from vault.audit.memory import RememberedAudit
from vault.audit.monitor import AuditMonitor
from vault.audit.queries import PostgresAuditQueries
from vault.audit.reading import PostgresAuditReader
from vault.crypto.field_key import MacKey
from vault.dev.postgres import SERVICE, Database
from vault.errors import AuditUnavailable, DecryptionFailed
from vault.model import AuditEvent
from vault.postgres.engine import make_engine
from vault.postgres.tampering import find_tampering
from vault.server.unit_of_work import PostgresUnitOfWork
from vault.service.audit import Finding
from vault.service.ports import Transaction

Owner = psycopg.Connection[tuple[object, ...]]
KEY = MacKey(1, b"1" * 32)
EVENT = AuditEvent("Tokenize", "allowed", "p", "peer", "0a", "r", "d", counts={"ok": 1})
AUDIT = ("audit_writers", "audit_heads", "audit_records", "audit_log", "audit_roots")


def key_of(version: int) -> MacKey:
    if version != 1:
        raise DecryptionFailed
    return KEY


def altered(connection: Connection) -> Sequence[Finding]:
    found = find_tampering(connection)
    return [Finding("", 0, FindingKind.ALTERED_TABLE.value, each) for each in found]


@dataclass
class Server:
    """One server process: writes, integrates, and is asked about the audit."""

    database: Database
    name: str
    now: float = 0.0
    chain_heads: ChainHeadPool = field(init=False)

    def __post_init__(self) -> None:
        self.engine = make_engine(self.database.service_url)
        self.chain_heads = ChainHeadPool(self.name, lambda: KEY)
        self.work = PostgresUnitOfWork(self.engine, self.chain_heads)
        self.integrator = Integrator(self.engine, lambda: KEY, key_of, clock=lambda: self.now)
        self.reader = PostgresAuditReader(self.engine, key_of, self.knowledge, [altered])
        self.access = PostgresAuditQueries(self.reader, lambda: KEY, key_of)
        self.monitor = AuditMonitor(
            self.reader, self.chain_heads.last_committed, clock=lambda: self.now
        )

    def knowledge(self) -> RememberedAudit:
        return RememberedAudit(self.chain_heads.last_committed(), self.integrator.last_log())

    def call(self, times: int = 1) -> None:
        for _ in range(times):
            self.work.run(lambda transaction: transaction.audit.append(EVENT))

    def kinds(self, checkpoint: str = "") -> set[tuple[str, int, str]]:
        return named(self.access.verify(checkpoint).findings)


def named(findings: Sequence[Finding]) -> set[tuple[str, int, str]]:
    return {(each.writer, each.number, each.kind) for each in findings}


@pytest.fixture
def start(database: Database) -> Iterator[Callable[..., Server]]:
    servers: list[Server] = []

    def make(name: str = "a") -> Server:
        servers.append(Server(database, name))
        return servers[-1]

    yield make
    for server in servers:
        server.engine.dispose()


def writers(owner: Owner) -> list[str]:
    rows = owner.execute("SELECT writer FROM audit_writers ORDER BY ordinal")
    return [str(writer) for (writer,) in rows]


def hide(owner: Owner, hidden: str, tables: Sequence[str] = AUDIT) -> None:
    """Hides from read-only transactions of the service what is ``hidden`` by each table's key."""
    conditions = {
        "audit_writers": f"writer IN ({hidden})",
        "audit_heads": f"writer IN ({hidden})",
        "audit_records": f"writer IN ({hidden})",
        "audit_log": f"writer IN ({hidden})",
        "audit_roots": "size > 3",
    }
    for table in tables:
        owner.execute(
            f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;"
            f'CREATE POLICY hiding ON {table} TO "{SERVICE}" USING ('
            "current_setting('transaction_read_only') = 'off'"
            f" OR NOT ({conditions[table]})) WITH CHECK (true)".encode()
        )


def test_a_sound_audit_is_sound_to_every_server(start: Callable[..., Server]) -> None:
    first, second = start("a"), start("b")
    for server in (first, second, first):
        server.call(3)
        server.integrator.integrate()
    for server in (first, second):
        assert server.kinds() == set()
        assert server.access.tail(0, 10).findings == []
        made = server.access.checkpoint()
        assert made.findings == []
        assert server.kinds(made.text) == set()
        assert server.monitor.check() == []


def test_newer_writers_hidden_from_whoever_reads_are_named_by_their_server(
    start: Callable[..., Server], owner: Owner
) -> None:
    """The owner's attack of the issue: all who read agree that nothing is wrong."""
    old, new = start("a"), start("b")
    old.call(2)
    old.integrator.integrate()
    new.call(4)
    new.integrator.integrate()
    assert new.integrator.integrate().waiting == 0
    shown, hidden = writers(owner)
    hide(owner, f"'{hidden}'")

    # The attack is real: who knows nothing by itself reads an audit that is sound.
    blind = PostgresAuditReader(new.engine, key_of)
    assert blind.verify().findings == []
    assert [each.entry.position for each in blind.page(0, 9).records] == [1, 2, 3]

    # A stranger to these records, as a server would be that was started now: only the
    # catalog shows it.
    stranger = start("c")
    assert {kind for _, _, kind in stranger.kinds()} == {"ALTERED_TABLE"}

    found = new.kinds()
    assert (hidden, 0, "UNKNOWN_WRITER") in found
    assert ("", 0, "TRUNCATED") in found
    assert {kind for _, _, kind in found} >= {"ALTERED_TABLE"}

    page = new.access.tail(0, 3)
    assert [record.position for record in page.records] == [6, 7, 8]
    assert {record.body for record in page.records} == {""}
    assert page.next == 9
    assert (hidden, 5, "TRUNCATED") in named(page.findings)
    assert ("", 0, "TRUNCATED") in named(page.findings)

    made = new.access.checkpoint()
    assert named(made.findings) >= {(hidden, 5, "TRUNCATED"), (hidden, 0, "UNKNOWN_WRITER")}
    content = read_checkpoint(made.text, key_of)
    assert {str(head.writer): head.number for head in content.heads} == {shown: 3, hidden: 5}
    assert content.log == new.integrator.last_log()
    # It convicts the database from any other server too.
    assert (hidden, 0, "UNKNOWN_WRITER") in stranger.kinds(made.text)
    assert {kind for _, _, kind in named(new.monitor.check())} >= {"TRUNCATED", "ALTERED_TABLE"}


def test_another_servers_records_are_missed_as_far_as_the_log_was_seen(
    start: Callable[..., Server], owner: Owner
) -> None:
    one, other = start("a"), start("b")
    one.call()
    other.call(3)
    one.integrator.integrate()
    hide(owner, f"'{writers(owner)[1]}'")
    assert ("", 0, "TRUNCATED") in one.kinds()
    assert ("", 0, "TRUNCATED") in named(one.access.tail(1, 10).findings)
    assert ("", 0, "TRUNCATED") in named(one.access.checkpoint().findings)


def test_without_row_level_security_hiding_for_a_moment_is_named_too(
    start: Callable[..., Server], owner: Owner
) -> None:
    server = start()
    server.call(3)
    server.integrator.integrate()
    (writer,) = writers(owner)
    kept = owner.execute("SELECT * FROM audit_records WHERE number > 2").fetchall()
    head = owner.execute("SELECT number, mac, head_mac FROM audit_heads").fetchone()
    server.call(2)
    assert head is not None
    owner.execute("DELETE FROM audit_records WHERE number > 2")
    owner.execute("DELETE FROM audit_log WHERE number > 2")
    owner.execute("DELETE FROM audit_roots")
    assert (writer, 3, "TRUNCATED") in server.kinds()
    assert (writer, 6, "TRUNCATED") in named(server.access.tail(0, 5).findings)
    owner.execute("UPDATE audit_heads SET number = %s, mac = %s, head_mac = %s", head)
    made = server.access.checkpoint()
    assert read_checkpoint(made.text, key_of).heads[0].number == 6
    assert len(kept) == 2


@pytest.mark.parametrize(
    ("statement", "kind"),
    [
        ("DELETE FROM audit_records WHERE number = 4", "TRUNCATED"),
        ("UPDATE audit_records SET mac = previous WHERE number = 4", "EDITED"),
        ("DELETE FROM audit_heads", "DELETED"),
        ("UPDATE audit_heads SET number = 2", "EDITED"),
        ("DELETE FROM audit_writers", "UNKNOWN_WRITER"),
        ("DELETE FROM audit_log WHERE position = 4", "TRUNCATED"),
        ("UPDATE audit_roots SET root = sha256('x')", "EDITED"),
        ("DELETE FROM audit_roots", "EDITED"),
        ("TRUNCATE audit_writers, audit_heads, audit_records, audit_log, audit_roots", "TRUNCATED"),
    ],
)
def test_what_is_taken_from_the_end_is_seen_at_a_glance(
    start: Callable[..., Server], owner: Owner, statement: str, kind: str
) -> None:
    server = start()
    server.call(3)
    server.integrator.integrate()
    assert server.monitor.check() == []
    owner.execute(statement.encode())
    assert kind in {each.kind for each in server.monitor.check()}
    assert kind in {each.kind for each in server.access.tail(0, 5).findings}
    assert server.kinds() != set()


def test_an_audit_emptied_under_a_server_is_still_in_its_checkpoint(
    start: Callable[..., Server], owner: Owner
) -> None:
    server = start()
    server.call(3)
    server.integrator.integrate()
    owner.execute("TRUNCATE audit_writers, audit_heads, audit_records, audit_log, audit_roots")
    made = server.access.checkpoint()
    content = read_checkpoint(made.text, key_of)
    assert [head.number for head in content.heads] == [4]
    assert content.log is not None
    assert content.log.size == 4
    page = server.access.tail(0, 10)
    assert [(record.position, record.body) for record in page.records] == [
        (position, "") for position in range(1, 5)
    ]


def test_a_forged_head_gets_no_mac_of_ours(start: Callable[..., Server], owner: Owner) -> None:
    start("a").call(2)
    owner.execute("UPDATE audit_heads SET number = 2000000000")
    with pytest.raises(AuditUnavailable, match=r"head of writer .* was edited"):
        start("b").access.checkpoint()


def test_records_hidden_from_every_integrator_are_missed_by_the_server_that_wrote_them(
    start: Callable[..., Server], owner: Owner
) -> None:
    """Heads that are shown to who appends and to who reads, and not to who integrates."""
    server = start()
    server.call(2)
    owner.execute(
        "ALTER TABLE audit_heads ENABLE ROW LEVEL SECURITY;"
        f'CREATE POLICY hiding ON audit_heads TO "{SERVICE}" USING ('
        "current_setting('transaction_read_only') = 'on'"
        " OR current_setting('jit') = 'on') WITH CHECK (true)".encode()
    )
    assert server.integrator.integrate().integrated == 0

    def forgotten() -> set[tuple[str, int, str]]:
        return {each for each in named(server.monitor.check()) if each[2] != "ALTERED_TABLE"}

    assert forgotten() == set()
    server.now += 31
    assert forgotten() == {(writers(owner)[0], 1, "TRUNCATED")}
    owner.execute("ALTER TABLE audit_heads DISABLE ROW LEVEL SECURITY")
    server.now += 31
    assert server.integrator.integrate().integrated == 3
    assert forgotten() == set()


def test_a_server_that_writes_on_and_on_is_not_taken_for_forgotten(
    start: Callable[..., Server],
) -> None:
    server = start()
    for _ in range(5):
        server.call()
        server.now += 20
        assert server.monitor.check() == []
        server.integrator.integrate()


def test_a_transaction_in_doubt_accuses_nobody(start: Callable[..., Server], owner: Owner) -> None:
    server = start()
    server.call(2)
    chain_head = server.chain_heads.lease()
    assert chain_head is not None  # given up: nobody knows whether its last record was committed
    server.call(2)
    server.integrator.integrate()
    assert server.kinds() == set()
    owner.execute("DELETE FROM audit_records WHERE writer = %s", (chain_head.writer,))
    assert str(chain_head.writer) in {writer for writer, _, _ in server.kinds()}


def test_a_rollback_leaves_the_witness_where_it_was(start: Callable[..., Server]) -> None:
    server = start()
    server.call()

    def fail(transaction: Transaction) -> None:
        transaction.audit.append(EVENT)
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError):
        server.work.run(fail)
    assert [chain.number for chain in server.chain_heads.last_committed()] == [2]
