"""How many rows our statements read, by Postgres's own count, with the plans that it keeps.

The statistics are old: of when the tables were empty, or held another field only.
"""

from __future__ import annotations

from datetime import timedelta

import psycopg
import pytest
from sqlalchemy import Connection, Engine

from vault.postgres.arrays import BigintArray, ByteaArray, TextArray
from vault.postgres.transaction import execute, transaction
from vault.store import lifetime_sql, sql
from vault.store.find_sql import BY_ARRAY, ONE_BY_ONE

Owner = psycopg.Connection[tuple[object, ...]]
ROWS = 20_000
SIZE = 20
STATEMENTS = {
    **{f"array: {name}": text for name, text in BY_ARRAY._asdict().items()},
    **{f"one by one: {name}": text for name, text in ONE_BY_ONE._asdict().items()},
    "insert": sql.INSERT_INDEXED,
    "insert unindexed": sql.INSERT_UNINDEXED,
    "unindex": sql.UNINDEX,
    "live after": sql.LIVE_AFTER,
    "lock by token": lifetime_sql.LOCK_BY_TOKEN,
    "lock by mac": lifetime_sql.LOCK_BY_MAC,
    "lock expired": lifetime_sql.LOCK_EXPIRED,
    "tombstone": lifetime_sql.TOMBSTONE,
}
FILL = """
WITH numbers AS (
    SELECT n::text AS token, sha256(n::text::bytea) AS mac FROM generate_series(1, %(rows)s) n
), linked AS (
    INSERT INTO token_subjects SELECT 'default', sha256('s'), %(field)s, token FROM numbers
), indexed AS (
    INSERT INTO token_index SELECT 'default', %(field)s, 'field', 1, mac, token FROM numbers
)
INSERT INTO tokens (tenant, field, token, scope, generator, key_version, tweak_counter, ciphertext,
                    expires)
SELECT 'default', %(field)s, token, 'field', 'random', 1, 0, 'c',
       now() + CASE WHEN length(token) < 5 THEN interval '1 hour' ELSE interval '-1 hour' END
FROM numbers
"""
READ = "SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0))::bigint FROM pg_stat_xact_user_tables"


@pytest.fixture(params=["", "another_field"], ids=["empty", "of another field"])
def filled(owner: Owner, request: pytest.FixtureRequest) -> None:
    for table in ("tokens", "token_index", "token_subjects"):
        owner.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = off)".encode())
    if request.param:
        owner.execute(FILL, {"rows": ROWS, "field": request.param})
    owner.execute("ANALYZE tokens, token_index, token_subjects")
    owner.execute(FILL, {"rows": ROWS, "field": "card_number"})


def parameters(connection: Connection, turn: int) -> dict[str, object]:
    """Rows that are there, others each turn: what is erased or moved is that once."""
    tokens = [str(number) for number in range(turn * SIZE + 1, (turn + 1) * SIZE + 1)]
    hashed = "SELECT ARRAY(SELECT sha256(t::bytea) FROM unnest(%(tokens)b::text[]) t)"
    ((macs,),) = execute(connection, hashed, {"tokens": TextArray(tokens)})
    assert isinstance(macs, list)
    return {
        "tenant": "default",
        "field": "card_number",
        "scope": "field",
        "index_version": 1,
        "generator": "random",
        "key_version": 1,
        "state": "erased",
        "ttl": timedelta(days=1),
        "lock": 7,
        "limit": SIZE,
        "after": "5",
        "tokens": TextArray(tokens),
        "leading": TextArray(tokens),
        "ciphertexts": ByteaArray([b"c"] * SIZE),
        "counters": BigintArray([0] * SIZE),
        "macs": ByteaArray(macs),
        "scopes": ["field"] * SIZE,
        "index_versions": [1] * SIZE,
    }


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize("name", STATEMENTS)
def test_a_statement_reads_what_it_is_about(engine: Engine, name: str) -> None:
    with transaction(engine) as opened:
        connection, read = opened.connection, 0
        # psycopg prepares a statement the sixth time; the plan is the server's own from then on.
        for turn in range(8):
            given = parameters(connection, turn)
            ((before,),) = execute(connection, READ, {})
            execute(connection, STATEMENTS[name], given)
            ((after,),) = execute(connection, READ, {})
            assert isinstance(before, int)
            assert isinstance(after, int)
            read = max(read, after - before)
    assert read or name.startswith("insert")
    # Index row, token, its lock, its change: no statement has more to do with a row.
    assert read <= 6 * SIZE, f"{read:,} rows read for {SIZE}"
