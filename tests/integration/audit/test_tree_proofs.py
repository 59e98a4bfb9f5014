"""The log's tree at any size, and proofs of it, out of a real Postgres."""

from __future__ import annotations

import random

import psycopg
import pytest
from sqlalchemy import Engine

from vault.audit.chain_heads import ChainHeadPool
from vault.audit.integrator import Integrator
from vault.audit.memory import RememberedAudit
from vault.audit.merkle import EMPTY, Tree
from vault.audit.queries import PostgresAuditQueries
from vault.audit.reading import PostgresAuditReader
from vault.audit.tlog.note import Note
from vault.audit.tlog.proofs import verify_consistency, verify_inclusion
from vault.audit.tlog.tree_head import TreeHead
from vault.crypto.field_key import MacKey
from vault.errors import AuditUnavailable, InvalidRequest
from vault.model import AuditEvent
from vault.server.unit_of_work import PostgresUnitOfWork

Owner = psycopg.Connection[tuple[object, ...]]
KEY = MacKey(1, b"1" * 32)
EVENT = AuditEvent("Tokenize", "allowed", "p", "peer", "0a", "r", "d", counts={"ok": 1})
SIZE = 83


def key_of(_: int) -> MacKey:
    return KEY


@pytest.fixture
def integrator(engine: Engine) -> Integrator:
    """Has integrated some records, in batches of many sizes."""
    work = PostgresUnitOfWork(engine, ChainHeadPool("a", lambda: KEY))
    made = Integrator(engine, lambda: KEY, key_of)
    batches = random.Random(1)
    written = 1  # the writer's opening
    while written < SIZE:
        count = min(batches.choice((1, 2, 5, 17)), SIZE - written)
        for _ in range(count):
            work.run(lambda transaction: transaction.audit.append(EVENT))
        made.integrate()
        written += count
    return made


@pytest.fixture
def reader(engine: Engine, integrator: Integrator) -> PostgresAuditReader:
    return PostgresAuditReader(engine, key_of, lambda: RememberedAudit((), integrator.last_log()))


@pytest.fixture
def queries(reader: PostgresAuditReader) -> PostgresAuditQueries:
    return PostgresAuditQueries(reader, lambda: KEY, key_of)


def trees(owner: Owner) -> list[Tree]:
    """The log's tree at every size."""
    found = [EMPTY]
    for (leaf,) in owner.execute("SELECT leaf FROM audit_log ORDER BY position"):
        assert isinstance(leaf, bytes)
        found.append(found[-1].grown([leaf]))
    return found


def test_every_size_has_its_tree(reader: PostgresAuditReader, owner: Owner) -> None:
    expected = trees(owner)
    assert [reader.tree(size) for size in range(SIZE + 1)] == expected
    for size in (SIZE + 1, 2**63 - 1):
        with pytest.raises(InvalidRequest, match=f"has {SIZE} positions"):
            reader.tree(size)


def test_pages_have_the_peaks_before_them(queries: PostgresAuditQueries, owner: Owner) -> None:
    expected = trees(owner)
    for first in (1, 2, 40, SIZE):
        page = queries.tail(first, 1000, peaks=True)
        tree = Tree.from_bytes(first - 1, page.peaks)
        assert tree.grown(each.leaf for each in page.records) == expected[-1]
        assert all(each.mac and each.body_digest for each in page.records)
    assert queries.tail(2, 10).peaks == b""


def test_every_position_and_growth_is_proved(queries: PostgresAuditQueries, owner: Owner) -> None:
    expected = trees(owner)
    for at in range(1, SIZE + 1):
        proof = queries.prove(at, at)
        head = TreeHead.from_text(Note.parse(proof.checkpoint).text)
        assert (head.size, head.root, head.extensions) == (SIZE, expected[-1].root(), ())
        assert proof.record is not None
        assert proof.record.position == at
        leaf = proof.record.leaf
        assert verify_inclusion(leaf, at - 1, SIZE, head.root, proof.inclusion)
        old_root = expected[at].root()
        assert verify_consistency(at, old_root, SIZE, head.root, proof.consistency)
    assert queries.prove(0, 3).record is None


@pytest.mark.parametrize(("position", "old"), [(SIZE + 1, 0), (0, SIZE + 1), (2**63 - 1, 0)])
def test_what_is_not_there_is_not_proved(
    queries: PostgresAuditQueries, position: int, old: int
) -> None:
    with pytest.raises(InvalidRequest, match="position"):
        queries.prove(position, old)


@pytest.mark.parametrize(
    "tampering",
    [
        "UPDATE audit_log SET leaf = sha256('') WHERE position = 40",
        "DELETE FROM audit_log WHERE position = 39",
        f"DELETE FROM audit_roots WHERE size < {SIZE}; DELETE FROM audit_log WHERE position = 33",
        f"UPDATE audit_roots SET peaks = '' WHERE size < {SIZE}",
        f"UPDATE audit_roots SET peaks = sha256('') WHERE size < {SIZE}",
    ],
)
def test_a_log_that_was_tampered_with_proves_nothing(
    queries: PostgresAuditQueries, owner: Owner, tampering: str
) -> None:
    owner.execute(tampering)
    with pytest.raises(AuditUnavailable, match="audit verify"):
        queries.prove(40, 0)


def test_lost_roots_alone_cost_nothing_but_time(
    queries: PostgresAuditQueries, owner: Owner
) -> None:
    owner.execute(f"DELETE FROM audit_roots WHERE size < {SIZE}")
    assert queries.prove(40, 40).inclusion


def test_hashes_of_a_database_that_was_put_back_are_forgotten(
    queries: PostgresAuditQueries, owner: Owner, integrator: Integrator
) -> None:
    before = queries.prove(40, 0)
    hashes = queries._reader._hashes
    for place in hashes._cached:
        hashes._cached[place] = bytes(32)
    assert queries.prove(40, 0) == before


def test_an_edited_record_keeps_its_place_and_loses_its_content(
    queries: PostgresAuditQueries, owner: Owner
) -> None:
    owner.execute("UPDATE audit_records SET body = replace(body, 'allowed', 'denied')")
    proof = queries.prove(40, 0)
    assert proof.record is not None
    assert (proof.record.body, bool(proof.inclusion)) == ("", True)
