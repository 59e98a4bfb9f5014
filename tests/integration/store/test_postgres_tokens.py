"""What only a real Postgres shows: races, plans, statement counts, privileges."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from random import Random
from typing import cast

import psycopg
import pytest
from sqlalchemy import Engine, text

from tests.token_rows import NewToken, insert_rows
from vault.dev.postgres import Database
from vault.formats.columnar.text_column import TextColumn
from vault.model import AuditEvent, Generator, Scope, TokenSpace, TokenState
from vault.postgres.arrays import ByteaArray, TextArray
from vault.postgres.transaction import execute, transaction
from vault.server.unit_of_work import PostgresUnitOfWork
from vault.service.ports import Transaction
from vault.store import sql, tokens
from vault.store.find_sql import BY_ARRAY, ONE_BY_ONE, LookupStatements, lookup_statements

Owner = psycopg.Connection[tuple[object, ...]]
SPACE = TokenSpace("default", "card_number")
EVENT = AuditEvent("Tokenize", "allowed", "p", "peer", "0a", "r", "d", counts={"ok": 1})


DAMAGE = (
    "ALTER TABLE tokens DROP CONSTRAINT tombstone_has_no_ciphertext,"
    " DROP CONSTRAINT tokens_state_check, DROP CONSTRAINT tokens_key_version_check",
    "UPDATE tokens SET state = 'erased', ciphertext = NULL WHERE token IN ('03', '13')",
    "UPDATE tokens SET expires = now() - interval '1 hour' WHERE token IN ('04', '14')",
    "UPDATE tokens SET state = 'odd' WHERE token = '15'",
    "UPDATE tokens SET ciphertext = NULL WHERE token = '16'",
    "UPDATE tokens SET key_version = -1 WHERE token = '17'",
    "UPDATE tokens SET ciphertext = '' WHERE token = '18'",
    "UPDATE token_index SET token = '20' WHERE token = '21'",
    "UPDATE token_index SET token = 'nowhere' WHERE token = '22'",
    "UPDATE tokens SET state = 'erased' WHERE token = '23'",
    "ALTER TABLE token_index ALTER token DROP NOT NULL",
    "UPDATE token_index SET token = NULL WHERE token = '24'",
)


def mac_of(value: int) -> bytes:
    return hashlib.sha256(b"%d" % value).digest()


def new_token(token: str, value: int) -> NewToken:
    return NewToken(token, b"c" * 60, mac_of(value), 1, 1, Generator.RANDOM, Scope.FIELD)


def tokenize(
    values: list[int], token_of: Callable[[int], str]
) -> Callable[[Transaction], dict[int, str]]:
    """Select, insert, select, audit: what a Tokenize call does to the store."""

    def work(transaction: Transaction) -> dict[int, str]:
        macs = {mac_of(value): value for value in values}
        store = transaction.tokens

        def find() -> dict[int, str]:
            asked = list(macs)
            rows = store.find_by_mac(SPACE, Scope.FIELD, 1, asked)
            return {macs[asked[at]]: token for at, token in zip(rows.at, rows.tokens, strict=True)}

        found = find()
        missing = [value for value in values if value not in found]
        stored = insert_rows(store, SPACE, [new_token(token_of(value), value) for value in missing])
        if len(stored) < len(missing):
            found = find()
        else:
            found |= {value: token_of(value) for value in missing}
        transaction.audit.append(EVENT)
        return found

    return work


def test_eight_threads_give_each_value_one_token(work: PostgresUnitOfWork, owner: Owner) -> None:
    threads, values = 8, list(range(10_000))
    start = threading.Barrier(threads)

    def client(number: int) -> dict[int, str]:
        order = values.copy()
        Random(number).shuffle(order)
        answers: dict[int, str] = {}
        start.wait()
        for at in range(0, len(order), 1000):
            batch = order[at : at + 1000]
            answers |= work.run(tokenize(batch, lambda value: f"{number}-{value}"))
        return answers

    with ThreadPoolExecutor(threads) as pool:
        answers = list(pool.map(client, range(threads)))
    assert all(answer == answers[0] for answer in answers)
    assert answers[0].keys() == set(values)
    counts = "SELECT (SELECT count(*) FROM tokens), (SELECT count(*) FROM token_index)"
    assert owner.execute(counts).fetchone() == (10_000, 10_000)


@pytest.mark.parametrize("size", [1, 2500])
def test_a_batch_costs_a_fixed_number_of_statements(
    work: PostgresUnitOfWork, statements: list[str], size: int
) -> None:
    work.run(lambda transaction: transaction.audit.append(EVENT))  # opens a chain
    statements.clear()
    work.run(tokenize(list(range(size)), str))
    assert len(statements) == 4  # settings, select, insert, audit
    statements.clear()
    work.run(tokenize(list(range(size)), str))
    assert len(statements) == 3
    statements.clear()
    work.run(
        lambda transaction: transaction.tokens.rows_by_token(SPACE, [str(n) for n in range(size)])
    )
    assert len(statements) == 2


def test_a_token_collision_costs_one_statement_more(
    work: PostgresUnitOfWork, statements: list[str], owner: Owner
) -> None:
    work.run(lambda transaction: insert_rows(transaction.tokens, SPACE, [new_token("7", 1)]))
    statements.clear()
    new = [new_token("7", 2), new_token("8", 3)]
    assert work.run(lambda transaction: insert_rows(transaction.tokens, SPACE, new)) == {"8"}
    assert len(statements) == 3
    macs = owner.execute("SELECT mac FROM token_index").fetchall()
    assert {cast("bytes", mac) for (mac,) in macs} == {mac_of(1), mac_of(3)}


def plan_nodes(plan: object) -> list[dict[str, object]]:
    node = cast("dict[str, object]", plan)
    children = cast("list[object]", node.get("Plans", []))
    return [node, *(found for child in children for found in plan_nodes(child))]


FINDERS = {
    f"{way}: {name}": statement
    for way, finders in (("array", BY_ARRAY), ("one by one", ONE_BY_ONE))
    for name, statement in finders._asdict().items()
} | {"unindex": sql.UNINDEX}
ROWS = """
INSERT INTO tokens (tenant, field, token, scope, generator, key_version, tweak_counter, ciphertext)
SELECT 'default', %(field)s, n::text, 'field', 'random', 1, 0, 'c' FROM generate_series(1, 30000) n
"""
INDEX_ROWS = """
INSERT INTO token_index
SELECT 'default', %(field)s, 'field', 1, sha256(n::text::bytea), n::text
FROM generate_series(1, 30000) n
"""


@pytest.mark.parametrize("statement", FINDERS.values(), ids=FINDERS.keys())
@pytest.mark.parametrize("size", [1, 10_000])
@pytest.mark.parametrize("before", ["", "another_field"])
def test_lookups_use_indexes_whatever_the_statistics(
    engine: Engine, owner: Owner, statement: str, size: int, before: str
) -> None:
    """Analyzed when the tables were empty, or held another field only."""
    if "USING (" in statement or "UPDATE" in statement:
        size = min(size, 100)  # for a third of all rows, reading all of the index is right
    owner.execute("ALTER TABLE tokens SET (autovacuum_enabled = off)")
    owner.execute("ALTER TABLE token_index SET (autovacuum_enabled = off)")
    for field in (before, "card_number"):
        for rows in (ROWS, INDEX_ROWS):
            if field:
                owner.execute(rows, {"field": field})
        if field == before:
            owner.execute("ANALYZE tokens, token_index")
    parameters = {
        "tenant": "default",
        "field": "card_number",
        "scope": "field",
        "index_version": 1,
        "macs": ByteaArray([mac_of(value) for value in range(size)]),
        "tokens": TextArray([str(value) for value in range(size)]),
        "ttl": timedelta(days=1),
    }
    with transaction(engine) as opened:
        ((plan,),) = execute(opened.connection, f"EXPLAIN (FORMAT JSON) {statement}", parameters)
    nodes = plan_nodes(cast("list[dict[str, object]]", plan)[0]["Plan"])
    by_key = {"tokens": "token", "token_index": "mac"}
    scans = [node for node in nodes if "Relation Name" in node and "Node Type" in node]
    seen = {str(node["Relation Name"]) for node in scans}
    read = {table for table in by_key if f" {table} " in statement}
    assert seen == read
    for node in scans:
        if node["Node Type"] == "ModifyTable":
            continue
        assert node["Node Type"] in {"Index Scan", "Index Only Scan"}, json.dumps(nodes)[:2000]
        # By the whole key: a condition on tenant and field alone reads all of a field.
        condition = str(node["Index Cond"])
        assert f"({by_key[str(node['Relation Name'])]} = " in condition, condition[:500]


def test_the_statements_for_older_servers_find_the_same(
    work: PostgresUnitOfWork, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = [new_token(str(value), value) for value in range(50)]
    asked = [mac_of(value) for value in range(40, 60)]

    def find(transaction: Transaction) -> tuple[object, ...]:
        store = transaction.tokens
        by_mac = store.find_by_mac(SPACE, Scope.FIELD, 1, asked)
        extended = store.find_by_mac(SPACE, Scope.FIELD, 1, asked, extend=timedelta(days=1))
        by_token = store.find_by_token(SPACE, [str(value) for value in range(40, 60)])
        found = [sorted(zip(rows.at, rows.tokens, strict=True)) for rows in (by_mac, extended)]
        rows = store.rows_by_token(SPACE, ["7", "70"])
        return (*found, sorted(zip(by_token.at, by_token.tokens, strict=True)), rows)

    work.run(lambda transaction: insert_rows(transaction.tokens, SPACE, new))
    answers = []
    for chosen in (BY_ARRAY, ONE_BY_ONE):
        monkeypatch.setattr(tokens, "lookup_statements", lambda _, chosen=chosen: chosen)
        answers.append(work.run(find))
    assert answers[0] == answers[1]
    assert answers[0][0] == answers[0][1] == [(at, str(40 + at)) for at in range(10)]


@pytest.mark.parametrize("chosen", [BY_ARRAY, ONE_BY_ONE], ids=["array", "one by one"])
def test_columns_say_what_rows_say(
    work: PostgresUnitOfWork,
    owner: Owner,
    monkeypatch: pytest.MonkeyPatch,
    chosen: LookupStatements,
) -> None:
    """Of the live, the dead, the damaged, and index rows that lead astray."""
    new = [new_token(f"{value:02d}", value) for value in range(40)]
    new[7] = replace(new[7], ciphertext=b"c" * 90)
    work.run(lambda transaction: insert_rows(transaction.tokens, SPACE, new))
    for change in DAMAGE:
        owner.execute(change.encode())
    asked = [mac_of(value) for value in (*range(60, 30, -1), *range(30))]
    named = TextColumn.from_strings([f"{value:02d}" for value in (50, *range(45, 5, -1))])

    def find(transaction: Transaction) -> list[list[tuple[object, ...]]]:
        found = (
            transaction.tokens.find_by_mac(SPACE, Scope.FIELD, 1, asked),
            transaction.tokens.find_by_token(SPACE, named),
        )
        columns = [
            (rows.at, rows.tokens, rows.ciphertexts, rows.key_versions, rows.states)
            for rows in found
        ]
        return [sorted(zip(*each, strict=True)) for each in columns]

    monkeypatch.setattr(tokens, "lookup_statements", lambda _: chosen)
    answers = []
    for at_least in (1, 1_000):
        monkeypatch.setattr(tokens, "MIN_FOR_COLUMNS", at_least)
        answers.append(work.run(find))
    assert answers[0] == answers[1]
    assert {row[4] for row in answers[0][1]} == set(TokenState)
    work.run(lambda transaction: transaction.audit.append(EVENT))


def test_what_two_arrays_found_is_never_joined_in_a_nested_loop(
    engine: Engine, owner: Owner
) -> None:
    """With statistics of empty tables, where a nested loop looks cheapest."""
    owner.execute("ANALYZE tokens, token_index")
    parameters = {
        "tenant": "default",
        "field": "card_number",
        "scope": "field",
        "index_version": 1,
        "macs": ByteaArray([mac_of(1)]),
    }
    with transaction(engine) as opened:
        statement = f"EXPLAIN (FORMAT JSON) {BY_ARRAY.by_mac}"
        ((plan,),) = execute(opened.connection, statement, parameters)
    nodes = plan_nodes(cast("list[dict[str, object]]", plan)[0]["Plan"])
    (joined,) = [node for node in nodes if "Join Type" in node]
    assert joined["Join Type"] == "Full"


@pytest.mark.parametrize("chosen", [BY_ARRAY, ONE_BY_ONE], ids=["array", "one by one"])
@pytest.mark.parametrize("extend", [None, timedelta(days=1)], ids=["as it is", "extended"])
def test_an_index_row_that_leads_nowhere_is_not_found(
    work: PostgresUnitOfWork,
    owner: Owner,
    monkeypatch: pytest.MonkeyPatch,
    chosen: LookupStatements,
    extend: timedelta | None,
) -> None:
    monkeypatch.setattr(tokens, "lookup_statements", lambda _: chosen)
    work.run(lambda transaction: insert_rows(transaction.tokens, SPACE, [new_token("1", 1)]))
    owner.execute(
        "INSERT INTO token_index VALUES ('default', %s, 'field', 1, %s, 'nowhere')",
        [SPACE.field, mac_of(2)],
    )
    asked = [mac_of(2), mac_of(1)]
    found = work.run(
        lambda transaction: transaction.tokens.find_by_mac(
            SPACE, Scope.FIELD, 1, asked, extend=extend
        )
    )
    assert list(zip(found.at, found.tokens, strict=True)) == [(1, "1")]


def test_servers_from_17_on_are_asked_by_array() -> None:
    assert lookup_statements(170_000) is BY_ARRAY
    assert lookup_statements(169_999) is ONE_BY_ONE


def test_the_insert_joins_large_batches_by_hash(engine: Engine) -> None:
    parameters = {
        "tenant": "default",
        "field": "card_number",
        "scope": "field",
        "generator": "random",
        "key_version": 1,
        "index_version": 1,
        "macs": [mac_of(value) for value in range(10_000)],
        "tokens": [str(value) for value in range(10_000)],
        "ciphertexts": [b"c"] * 10_000,
        "counters": [0] * 10_000,
        "ttl": None,
    }
    with transaction(engine) as opened:
        explain = f"EXPLAIN (FORMAT JSON) {sql.INSERT_INDEXED}"
        # More often than a generic plan would take to be chosen.
        plans = [
            opened.connection.exec_driver_sql(explain, parameters).scalar_one() for _ in range(8)
        ]
    nodes = plan_nodes(cast("list[dict[str, object]]", plans[-1])[0]["Plan"])
    assert "Nested Loop" not in {node["Node Type"] for node in nodes}


def test_the_schema_refuses_a_tombstone_with_a_ciphertext(
    work: PostgresUnitOfWork, owner: Owner
) -> None:
    work.run(lambda transaction: insert_rows(transaction.tokens, SPACE, [new_token("7", 1)]))
    for change in ("state = 'erased'", "ciphertext = NULL"):
        with pytest.raises(psycopg.errors.CheckViolation):
            owner.execute(f"UPDATE tokens SET {change}")


def test_the_services_role_cannot_rewrite_history(
    database: Database, engine: Engine, work: PostgresUnitOfWork
) -> None:
    work.run(lambda transaction: transaction.audit.append(EVENT))
    forbidden = [
        "UPDATE audit_records SET body = ''",
        "DELETE FROM audit_records",
        "TRUNCATE audit_records",
        "UPDATE audit_writers SET ordinal = 9",
        "DELETE FROM audit_writers",
        "DELETE FROM audit_heads",
        "DELETE FROM tokens",
        "DELETE FROM data_keys",
        "UPDATE field_shapes SET shape = ''",
        "ALTER TABLE audit_records DISABLE TRIGGER ALL",
        "DROP TABLE audit_records",
        "CREATE TABLE mine ()",
        "INSERT INTO schema_serves VALUES ('9')",
    ]
    for statement in forbidden:
        with engine.connect() as connection, pytest.raises(Exception, match="InsufficientPriv"):
            connection.execute(text(statement))
