"""The log as it is published: readable by tiles alone, and never in contradiction to itself."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import psycopg
import pytest
from structlog.testing import capture_logs

from tests.small_bucket import small_bucket
from tests.small_witness import SmallWitness
from vault.audit.chain_heads import ChainHeadPool
from vault.audit.integrator import Integrator
from vault.audit.memory import RememberedAudit
from vault.audit.merkle import EMPTY
from vault.audit.objects.published import PublishedObjects
from vault.audit.reading import PostgresAuditReader
from vault.audit.tlog.note import Note, NoteKey
from vault.audit.tlog.tiles import Tile, tiles_between
from vault.audit.tlog.tree_head import TreeHead
from vault.audit.tree import published, publisher
from vault.audit.tree.place import Place
from vault.audit.tree.published import PublishedLog
from vault.audit.tree.publisher import Publisher
from vault.audit.tree.stored_tree import StoredTree
from vault.audit.tree.witness import Witness
from vault.crypto.field_key import MacKey
from vault.dev.postgres import Database
from vault.errors import AuditUnavailable
from vault.model import AuditEvent
from vault.postgres.engine import make_engine
from vault.server.unit_of_work import PostgresUnitOfWork
from vault.store.data_keys import PostgresDataKeyStore

Owner = psycopg.Connection[tuple[object, ...]]
KEY = MacKey(1, b"1" * 32)
LOG = NoteKey("any", KEY.signing.public)
EVENT = AuditEvent("Tokenize", "allowed", "p", "peer", "0a", "r", "d", counts={"ok": 1})


def key_of(_: int) -> MacKey:
    return KEY


class Server:
    """A server that writes, integrates and publishes."""

    def __init__(self, database: Database, directory: Path) -> None:
        self.engine = make_engine(database.service_url)
        self.heads = ChainHeadPool("a", lambda: KEY)
        self.work = PostgresUnitOfWork(self.engine, self.heads)
        self.integrator = Integrator(self.engine, lambda: KEY, key_of)
        self.reader = PostgresAuditReader(
            self.engine,
            key_of,
            lambda: RememberedAudit(self.heads.last_committed(), self.integrator.last_log()),
        )
        self.directory = directory
        tree = StoredTree(self.engine)
        self.place_of: Callable[[str], Place] = partial(PublishedLog, directory)
        self.publisher = Publisher(self.reader.log, tree, lambda: KEY, self.place_of)

    def publish_into(self, place_of: Callable[[str], Place]) -> None:
        """Has it publish elsewhere from now on."""
        self.place_of = place_of
        self.ask()

    def ask(self, *witnesses: Witness) -> None:
        """Has what is published from now on cosigned."""
        tree = StoredTree(self.engine)
        self.publisher = Publisher(self.reader.log, tree, lambda: KEY, self.place_of, witnesses)

    def call(self, times: int) -> None:
        for _ in range(times):
            self.work.run(lambda transaction: transaction.audit.append(EVENT))
        self.integrator.integrate()

    def logs(self) -> list[Path]:
        return sorted(each.parent for each in self.directory.glob("tokenvault/*/checkpoint"))


@pytest.fixture
def start(database: Database, tmp_path: Path) -> Iterator[Callable[[], Server]]:
    servers: list[Server] = []

    def make() -> Server:
        servers.append(Server(database, tmp_path / "published"))
        return servers[-1]

    yield make
    for server in servers:
        server.engine.dispose()


def read(log: Path) -> TreeHead:
    """Reads a published log as a monitor does; returns its checkpoint, which must hold."""
    note = Note.parse((log / "checkpoint").read_text())
    head = TreeHead.from_text(note.text)
    note.verified([NoteKey(head.origin, KEY.signing.public)])
    leaves: list[bytes] = []
    for tile in tiles_between(0, head.size):
        content = (log / tile.path).read_bytes()
        assert len(content) == tile.width * 32
        if tile.level == 0:
            leaves += [content[at : at + 32] for at in range(0, len(content), 32)]
    assert EMPTY.grown(leaves).root() == head.root
    assert (log / "checkpoint").stat().st_mode & 0o777 == 0o644
    return head


def test_what_is_published_grows_with_the_log(start: Callable[[], Server]) -> None:
    server = start()
    assert server.publisher.publish() == 0
    assert server.logs() == []
    sizes: list[int] = []
    for count in (3, 200, 1, 300, 0):
        server.call(count)
        assert server.publisher.publish() == 0
        (log,) = server.logs()
        head = read(log)
        assert log.relative_to(server.directory).as_posix() == head.origin
        assert head.extensions == ()
        sizes.append(head.size)
    assert sizes == [4, 204, 205, 505, 505]
    # Unfinished tiles go when they are whole.
    (log,) = server.logs()
    assert not (log / f"{Tile(0, 0).path}.p").exists()
    names = {each.name for each in log.rglob("*") if each.is_file()}
    assert not any(name.startswith(".") for name in names - {".lock"})


def test_all_tiles_are_on_disk_before_the_checkpoint(
    start: Callable[[], Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = start()
    server.call(300)
    synced: list[str] = []
    fsync, write = os.fsync, published._write

    def note_sync(handle: int) -> None:
        synced.append(str(Path(f"/proc/self/fd/{handle}").readlink()))
        fsync(handle)

    def note_write(path: Path, content: bytes) -> None:
        if path.name == "checkpoint":
            for tile in tiles_between(0, 301):
                assert str((path.parent / tile.path).parent) in synced
            synced.append("checkpoint")
        write(path, content)

    monkeypatch.setattr("vault.audit.tree.published.os.fsync", note_sync)
    monkeypatch.setattr(published, "_write", note_write)
    server.publisher.publish()
    assert "checkpoint" in synced


def test_a_long_log_is_published_in_parts(
    start: Callable[[], Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = start()
    server.call(299)
    monkeypatch.setattr(publisher, "_MAX_STEP", 130)
    left: list[int] = []
    while not left or left[-1]:
        left.append(server.publisher.publish())
        (log,) = server.logs()
        read(log)
    assert left == [170, 40, 0]


def test_a_log_that_was_put_back_is_not_published(
    start: Callable[[], Server], owner: Owner
) -> None:
    server = start()
    server.call(9)
    server.publisher.publish()
    (log,) = server.logs()
    before = (log / "checkpoint").read_bytes()
    owner.execute("DELETE FROM audit_log WHERE position > 5")
    owner.execute("TRUNCATE audit_roots")
    owner.execute("TRUNCATE audit_log, audit_records, audit_heads, audit_writers")
    other = start()  # a server that knows nothing of it, and whose log grows beyond
    other.call(20)
    with pytest.raises(AuditUnavailable, match="does not continue the checkpoint over 10"):
        other.publisher.publish()
    assert (log / "checkpoint").read_bytes() == before


def test_a_log_shorter_than_what_is_published_is_not_published(
    start: Callable[[], Server], owner: Owner
) -> None:
    server = start()
    server.call(9)
    server.publisher.publish()
    owner.execute("TRUNCATE audit_log, audit_records, audit_heads, audit_writers, audit_roots")
    other = start()
    other.call(3)
    with pytest.raises(AuditUnavailable, match="does not continue the checkpoint over 10"):
        other.publisher.publish()


def test_edited_entries_are_not_published(start: Callable[[], Server], owner: Owner) -> None:
    server = start()
    server.call(9)
    owner.execute("UPDATE audit_log SET leaf = sha256('') WHERE position = 7")
    with pytest.raises(AuditUnavailable, match="entries of the log are not what its root is of"):
        server.publisher.publish()
    assert server.logs() == []


def test_a_restore_begins_another_log(start: Callable[[], Server], owner: Owner) -> None:
    server = start()
    server.call(9)
    server.publisher.publish()
    owner.execute("UPDATE key_epochs SET since = since + interval '1 second'")
    restarted = start()
    restarted.call(1)
    restarted.publisher.publish()
    assert len({read(log).origin for log in restarted.logs()}) == 2


def test_a_checkpoint_that_is_none_is_not_replaced(start: Callable[[], Server]) -> None:
    server = start()
    server.call(1)
    server.publisher.publish()
    (log,) = server.logs()
    (log / "checkpoint").write_text("nothing")
    server.call(1)
    with pytest.raises(AuditUnavailable, match="is no checkpoint"):
        server.publisher.publish()
    assert (log / "checkpoint").read_text() == "nothing"


def test_two_servers_publish_in_turn(start: Callable[[], Server]) -> None:
    servers = [start(), start()]
    servers[0].call(50)
    stop, failed = threading.Event(), list[Exception]()
    threads = [
        threading.Thread(target=publish_until, args=(stop, each, failed)) for each in servers
    ]
    for thread in threads:
        thread.start()
    for _ in range(10):
        servers[0].call(20)
    stop.set()
    for thread in threads:
        thread.join(20)
    assert failed == []
    assert servers[1].publisher.publish() == 0
    (log,) = servers[0].logs()
    assert read(log).size == 251


def test_witnesses_cosign_what_is_published(start: Callable[[], Server]) -> None:
    server = start()
    small, gone = SmallWitness("one.example", LOG), SmallWitness("two.example", LOG)
    with small.serving() as address, gone.serving() as other:
        gone.answer = 500, ""
        server.ask(Witness(address, small.key), Witness(other, gone.key))
        server.call(3)
        assert server.publisher.publish() == 0
        server.call(300)
        with capture_logs() as logged:
            assert server.publisher.publish() == 0
        assert logged == []  # said once
        (log,) = server.logs()
        size = read(log).size
        note = Note.parse((log / "checkpoint").read_text())
        assert [key.name for key, _ in note.verified([small.key, gone.key])] == ["one.example"]
        assert small.asked == [0, 4]
        gone.answer = None
        server.publisher.publish()
        note = Note.parse((log / "checkpoint").read_text())
        assert len(note.verified([small.key, gone.key])) == 2
        assert read(log).size == size
        # What the witness knows is more than the log has: it was put back.
        server.ask(Witness(address, SmallWitness("one.example", LOG).key))
        small.answer = 409, "1000\n"
        with pytest.raises(AuditUnavailable, match="put back to 304 entries"):
            server.publisher.publish()


def test_a_directory_that_cannot_be_written_changes_nothing(
    start: Callable[[], Server], tmp_path: Path
) -> None:
    server = start()
    server.call(1)
    (tmp_path / "published").write_text("a file")
    with pytest.raises(OSError, match="published"):
        server.publisher.publish()


def test_the_database_has_an_origin_or_nothing_is_published(
    start: Callable[[], Server], owner: Owner, database: Database
) -> None:
    server = start()
    server.call(1)
    owner.execute("UPDATE key_epochs SET identity = 'another'")
    with pytest.raises(AuditUnavailable, match="restored or moved"):
        server.publisher.publish()
    store = PostgresDataKeyStore(server.engine)
    store.begin_epoch(store.database_identity().current, [])
    assert server.publisher.publish() == 0


def publish_until(stop: threading.Event, server: Server, failed: list[Exception]) -> None:
    try:
        while not stop.is_set():
            server.publisher.publish()
    except Exception as error:  # noqa: BLE001 - a thread's must be seen
        failed.append(error)


def test_two_servers_publish_into_an_object_store(
    start: Callable[[], Server], tmp_path: Path, owner: Owner
) -> None:
    """Without a lock; and what they have published is not contradicted, nor taken away unseen."""
    servers = [start(), start()]
    servers[0].call(50)
    stop, failed = threading.Event(), list[Exception]()
    with small_bucket(tmp_path / "store") as bucket:
        for each in servers:
            each.publish_into(partial(PublishedObjects, bucket.store()))
        threads = [
            threading.Thread(target=publish_until, args=(stop, each, failed)) for each in servers
        ]
        for thread in threads:
            thread.start()
        for _ in range(5):
            servers[0].call(50)
        stop.set()
        for thread in threads:
            thread.join(20)
        assert failed == []
        assert servers[1].publisher.publish() == 0
        (log,) = [each.parent for each in bucket.objects.glob("tokenvault/*/checkpoint")]
        (log / "checkpoint").chmod(0o644)
        assert read(log).size == 301
        for kept in (log / "checkpoints").iterdir():
            head = TreeHead.from_text(Note.parse(kept.read_text()).text)
            assert kept.name == f"{head.size:020}"
        # The log is put back, and the bucket's newest checkpoint with it.
        owner.execute("TRUNCATE audit_log, audit_records, audit_heads, audit_writers, audit_roots")
        other = start()
        other.publish_into(partial(PublishedObjects, bucket.store()))
        other.call(300)
        with pytest.raises(AuditUnavailable, match="does not continue the checkpoint over 301"):
            other.publisher.publish()
        (log / "checkpoint").unlink()
        with pytest.raises(AuditUnavailable, match=r"something else as tile"):
            other.publisher.publish()
