"""Leaves that commit to content beside those of the MAC alone: mixed servers, a dishonest owner."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import cast

import psycopg
import pytest

from vault.audit.chain_heads import ChainHeadPool
from vault.audit.integrator import Integrator
from vault.audit.log import LogEntry, digest_of, make_entries
from vault.audit.reading import PostgresAuditReader
from vault.audit.record import Record
from vault.crypto.field_key import MacKey
from vault.dev.postgres import Database
from vault.model import AuditEvent
from vault.postgres.engine import make_engine
from vault.server.unit_of_work import PostgresUnitOfWork

Owner = psycopg.Connection[tuple[object, ...]]
KEY = MacKey(1, b"1" * 32)
EVENT = AuditEvent("Tokenize", "allowed", "p", "peer", "0a", "r", "d", counts={"ok": 1})


def key_of(_: int) -> MacKey:
    return KEY


def make_version_1(first: int, records: Iterable[Record]) -> list[LogEntry]:
    """As servers of the release before make entries."""
    entries = []
    for position, record in enumerate(records, first):
        bare = LogEntry(position, record.writer, record.number, record.mac, b"")
        leaf = bare.leaf_at(position)
        entries.append(LogEntry(position, record.writer, record.number, record.mac, leaf))
    return entries


Audit = tuple[Callable[[int], None], PostgresAuditReader]


@pytest.fixture
def audit(database: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[Audit]:
    """Writes and integrates records, by a server of a leaf version; and reads the audit."""
    engine = make_engine(database.service_url)
    work = PostgresUnitOfWork(engine, ChainHeadPool("a", lambda: KEY))
    servers = {
        version: Integrator(engine, lambda: KEY, key_of, clock=iter(range(0, 10**9, 60)).__next__)
        for version in (1, 2)
    }

    def integrate(version: int) -> None:
        for _ in range(3):
            work.run(lambda transaction: transaction.audit.append(EVENT))
        make = make_version_1 if version == 1 else make_entries
        monkeypatch.setattr("vault.audit.integrator.make_entries", make)
        servers[version].integrate()

    yield integrate, PostgresAuditReader(engine, key_of)
    engine.dispose()


def versions(owner: Owner) -> str:
    rows = owner.execute("SELECT body_digest IS NULL FROM audit_log ORDER BY position")
    return "".join("1" if none else "2" for (none,) in rows)


def found(reader: PostgresAuditReader) -> list[tuple[str, str]]:
    return [(each.kind, each.message) for each in reader.verify().findings]


def test_servers_of_both_versions_take_turns(audit: Audit, owner: Owner) -> None:
    integrate, reader = audit
    for version in (1, 2, 1, 2):
        integrate(version)
    assert versions(owner) == "1111222111222"
    assert found(reader) == []
    assert all(logged.record is not None for logged in reader.page(1, 100).records)


def test_an_entry_has_the_digest_of_what_was_written(audit: Audit, owner: Owner) -> None:
    integrate, _ = audit
    integrate(2)
    rows = owner.execute(
        "SELECT body, body_digest FROM audit_records JOIN audit_log USING (writer, number)"
    )
    assert all(digest_of(cast("str", body)) == digest for body, digest in rows)


@pytest.mark.parametrize("changed", ["NULL", "sha256('')", "substr(body_digest, 2)"])
def test_a_digest_that_was_changed_or_taken_away_shows(
    audit: Audit, owner: Owner, changed: str
) -> None:
    integrate, reader = audit
    integrate(2)
    owner.execute(f"UPDATE audit_log SET body_digest = {changed} WHERE position = 2")
    assert found(reader) == [("EDITED", "position 2 of the log was edited")]
    assert [each.entry.position for each in reader.page(1, 9).records if not each.record] == [2]


def test_a_digest_that_is_given_to_an_older_entry_shows(audit: Audit, owner: Owner) -> None:
    integrate, reader = audit
    integrate(1)
    owner.execute("UPDATE audit_log SET body_digest = sha256('') WHERE position = 2")
    assert found(reader) == [("EDITED", "position 2 of the log was edited")]


def test_an_entry_that_is_made_one_of_version_1_shows(audit: Audit, owner: Owner) -> None:
    integrate, reader = audit
    integrate(2)
    row = owner.execute("SELECT * FROM audit_log WHERE position = 2").fetchone()
    assert row is not None
    entry = LogEntry(*row)  # type: ignore[arg-type]
    leaf = LogEntry(entry.position, entry.writer, entry.number, entry.mac, b"").leaf_at(2)
    owner.execute("UPDATE audit_log SET body_digest = NULL, leaf = %s WHERE position = 2", [leaf])
    assert found(reader) == [
        ("EDITED", "positions 1 to 4 of the log are not what was integrated there")
    ]


def test_an_edited_body_is_named_once(audit: Audit, owner: Owner) -> None:
    integrate, reader = audit
    integrate(2)
    owner.execute(
        "UPDATE audit_records SET body = replace(body, '\"p\"', '\"q\"') WHERE number = 3"
    )
    assert found(reader) == [("EDITED", "the record was edited")]
