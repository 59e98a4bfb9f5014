"""Erased rows that the database's owner puts back, and the lists that name them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING
from uuid import UUID

import psycopg
import pytest

from tests.integration.conftest import AUDIT_KEY
from vault.audit.erasure_check import ErasureCheck, sample_erasures
from vault.audit.erasure_monitor import ErasureMonitor
from vault.audit.reading import PostgresAuditReader
from vault.errors import AuditUnavailable, DecryptionFailed, Reason

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from tests.integration.store.service_harness import ServiceHarness
    from vault.crypto.field_key import MacKey

Owner = psycopg.Connection[tuple[object, ...]]
VALUES = [f"{n:09d}" for n in range(20)]
COPY = "CREATE TABLE copied AS TABLE tokens"
PUT_BACK = (
    "UPDATE tokens t SET state = 'live', ciphertext = c.ciphertext, expires = NULL"
    " FROM copied c WHERE t.token = c.token AND t.state <> 'live'"
)


def key_of(version: int) -> MacKey:
    if version != 1:
        raise DecryptionFailed
    return AUDIT_KEY


@pytest.fixture
def reader(engine: Engine) -> PostgresAuditReader:
    return PostgresAuditReader(engine, key_of)


def findings(reader: PostgresAuditReader) -> list[tuple[str, int, str]]:
    found = reader.verify().findings
    assert all(UUID(each.writer) for each in found)
    return sorted((each.kind, each.number, each.message) for each in found)


def kinds(reader: PostgresAuditReader) -> list[str]:
    return [kind for kind, _, _ in findings(reader)]


@pytest.mark.parametrize("way", ["tokens", "values", "spellings", "reaped"])
def test_an_erased_row_that_is_put_back_is_named(
    harness: ServiceHarness, owner: Owner, reader: PostgresAuditReader, way: str
) -> None:
    tokens = harness.tokenize("dated", VALUES)
    owner.execute(COPY)
    match way:
        case "tokens":
            harness.erase("dated", tokens=tokens[:3])
        case "values":
            harness.erase("dated", values=VALUES[:3])
        case "spellings":
            assert harness.spellings("dated", VALUES[:3]).tokens == 3
        case _:
            owner.execute("UPDATE tokens SET expires = now() WHERE token = ANY (%s)", [tokens[:3]])
            assert harness.expiry.reap() == 3
    assert kinds(reader) == []

    owner.execute(PUT_BACK)

    # Answered again: nothing in the row says that it was erased.
    assert harness.detokenize("dated", tokens[:3]).values == VALUES[:3]
    ((kind, number, message),) = findings(reader)
    assert (kind, number) == ("BROUGHT_BACK", 3)
    assert "3 tokens of dated" in message
    assert not any(token in message for token in tokens)
    harness.erase("dated", tokens=tokens[:3])
    assert kinds(reader) == []


def test_a_replaced_function_hides_no_record(
    harness: ServiceHarness, owner: Owner, reader: PostgresAuditReader
) -> None:
    tokens = harness.tokenize("dated", VALUES)
    owner.execute(COPY)
    harness.erase("dated", tokens=tokens[:3])
    owner.execute(PUT_BACK)
    owner.execute(
        "CREATE OR REPLACE FUNCTION pg_catalog.strpos(text, text) RETURNS integer"
        " LANGUAGE sql AS 'SELECT 0'"
    )
    assert kinds(reader) == ["BROUGHT_BACK"]


@pytest.mark.parametrize(
    ("tampering", "expected"),
    [
        ("DELETE FROM audit_erasures", ["DELETED"]),
        ("UPDATE audit_erasures SET sealed = sealed || 'x'", ["EDITED"]),
        ("UPDATE audit_erasures SET sealed = ''", ["EDITED"]),
        ("UPDATE audit_erasures SET salt = substr(sha256(salt), 1, 16)", ["EDITED"]),
        ("UPDATE audit_erasures SET field = 'dated'", ["EDITED"]),
        ("UPDATE audit_erasures SET key_version = 1 << 30", ["EDITED"]),
        ("UPDATE audit_erasures SET number = number + 1", ["DELETED", "EDITED"]),
        ("DELETE FROM tokens WHERE state = 'erased'", ["DELETED"]),
        (
            "UPDATE audit_records SET body = replace(body, '\"erasure\":', '\"nothing\":')",
            ["EDITED", "INSERTED"],
        ),
    ],
)
def test_lists_are_bound_to_their_records(
    harness: ServiceHarness,
    owner: Owner,
    reader: PostgresAuditReader,
    tampering: str,
    expected: list[str],
) -> None:
    tokens = harness.tokenize("kept", VALUES)
    harness.erase("kept", tokens=tokens[:2])
    owner.execute(tampering)
    assert kinds(reader) == expected


def test_the_list_of_another_call_is_not_taken(
    harness: ServiceHarness, owner: Owner, reader: PostgresAuditReader
) -> None:
    tokens = harness.tokenize("kept", VALUES)
    harness.erase("kept", tokens=tokens[:1])
    harness.erase("kept", tokens=tokens[1:2])
    owner.execute(
        "UPDATE audit_erasures a SET sealed = b.sealed FROM audit_erasures b"
        " WHERE a.number <> b.number"
    )
    assert kinds(reader) == ["EDITED", "EDITED"]


def test_a_token_that_expired_and_was_tokenized_again_is_in_a_list_too(
    harness: ServiceHarness, owner: Owner, reader: PostgresAuditReader
) -> None:
    (old,) = harness.tokenize("dated", VALUES[:1])
    owner.execute(COPY)
    owner.execute("UPDATE tokens SET expires = now()")
    (new,) = harness.tokenize("dated", VALUES[:1])
    assert harness.expiry.reap() == 1
    owner.execute(PUT_BACK)
    assert harness.detokenize("dated", [old, new]).values == [VALUES[0]] * 2
    assert kinds(reader) == ["BROUGHT_BACK"]


def test_a_list_costs_no_statement_and_holds_no_token_in_the_clear(
    harness: ServiceHarness, owner: Owner, statements: list[str]
) -> None:
    tokens = harness.tokenize("kept", VALUES)
    statements.clear()
    harness.erase("kept", tokens=tokens)
    assert len(statements) == 4  # settings, lock, tombstone, audit with the list
    rows = owner.execute("SELECT sealed, octet_length(sealed) FROM audit_erasures").fetchall()
    ((sealed, size),) = rows
    assert isinstance(sealed, bytes)
    assert not any(token.encode() in sealed for token in tokens)
    assert size == len(tokens) * (4 + 9) + 16
    # Nothing was erased by these, so they have no list.
    harness.erase("kept", tokens=tokens)
    harness.erase("kept", values=["999999999"])
    assert len(owner.execute("SELECT FROM audit_erasures").fetchall()) == 1


def test_samples_find_a_row_that_was_put_back(
    harness: ServiceHarness, owner: Owner, engine: Engine, reader: PostgresAuditReader
) -> None:
    tokens = harness.tokenize("kept", VALUES)
    owner.execute(COPY)
    for token in tokens:
        harness.erase("kept", tokens=[token])
    owner.execute(PUT_BACK + " AND t.token = %s", [tokens[7]])
    seen = 0
    for _ in range(200):
        with engine.connect() as connection:
            found = sample_erasures(connection, key_of)
        assert {each.kind for each in found} <= {"BROUGHT_BACK"}
        seen += bool(found)
        if seen:
            break
    assert seen
    assert kinds(reader) == ["BROUGHT_BACK"]


def test_a_server_that_found_one_looks_at_it_until_it_is_mended(
    harness: ServiceHarness, owner: Owner, engine: Engine
) -> None:
    tokens = harness.tokenize("kept", VALUES)
    owner.execute(COPY)
    for token in tokens:
        harness.erase("kept", tokens=[token])
    monitor = ErasureMonitor(engine, key_of)
    assert monitor.check() == []
    owner.execute(PUT_BACK + " AND t.token = %s", [tokens[7]])
    end = time.monotonic() + 30
    while not (found := monitor.check()):
        assert time.monotonic() < end
    for _ in range(20):
        assert monitor.check() == found
    owner.execute("UPDATE tokens SET state = 'erased', ciphertext = NULL WHERE state = 'live'")
    assert monitor.check() == []
    owner.execute("ALTER TABLE audit_erasures RENAME TO away")
    with pytest.raises(AuditUnavailable):
        monitor.check()


def test_many_erasures_are_verified_within_bounds(
    harness: ServiceHarness, engine: Engine, reader: PostgresAuditReader
) -> None:
    many = [f"{n:09d}" for n in range(12_000)]
    tokens = harness.tokenize("kept", many)
    harness.erase("kept", tokens=tokens[:11_500])
    for token in tokens[11_500:11_560]:
        harness.erase("kept", tokens=[token])
    began = time.monotonic()
    assert kinds(reader) == []
    assert time.monotonic() - began < 10
    with engine.connect() as connection, pytest.raises(AuditUnavailable) as late:
        ErasureCheck(connection, key_of, time.monotonic() - 1).findings()
    assert late.value.reason is Reason.DEADLINE_EXCEEDED
