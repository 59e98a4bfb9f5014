"""Erasure and expiry on a real Postgres: races, locks, plans, statement counts."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from random import Random
from typing import cast

import psycopg
import pytest
from sqlalchemy import Engine

from tests.integration.store.service_harness import ServiceHarness
from vault.dev.postgres import Database
from vault.errors import Reason
from vault.model import TokenSpace
from vault.postgres import failures, transaction
from vault.postgres.engine import make_engine
from vault.store import lifetime_sql

Owner = psycopg.Connection[tuple[object, ...]]


@pytest.fixture
def conflicts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The deadlocks that transactions were run again after."""
    seen: list[str] = []
    real = failures.translate

    def note(error: BaseException) -> Exception:
        if failures.sqlstate_of(error) == "40P01":
            seen.append("40P01")
        return real(error)

    monkeypatch.setattr("vault.postgres.transaction.translate", note)
    return seen


def numbers(count: int) -> list[str]:
    return [f"{n:09d}" for n in range(count)]


def leftovers(owner: Owner) -> dict[str, int]:
    """What must not be there: index rows to no live token, and live tokens without one."""
    stray = """
SELECT count(*) FROM token_index i LEFT JOIN tokens t USING (tenant, field, token)
WHERE t.state IS DISTINCT FROM 'live'
"""
    lost = """
SELECT count(*) FROM tokens t LEFT JOIN token_index i USING (tenant, field, token)
WHERE t.state = 'live' AND i.mac IS NULL
"""
    rows = {"stray": owner.execute(stray).fetchone(), "lost": owner.execute(lost).fetchone()}
    return {name: cast("int", row[0]) for name, row in rows.items() if row}


@pytest.mark.parametrize("field", ["kept", "dated"])
@pytest.mark.parametrize("way", ["tokens", "values"])
def test_tokenizing_and_erasing_at_once_leaves_no_dead_end(
    harness: ServiceHarness, owner: Owner, conflicts: list[str], field: str, way: str
) -> None:
    values, end = numbers(300), time.monotonic() + 2
    issued: set[tuple[str, str]] = set()

    def tokenize(number: int) -> None:
        random = Random(number)
        while time.monotonic() < end:
            some = random.sample(values, 40)
            issued.update(zip(some, harness.tokenize(field, some), strict=True))

    def erase(number: int) -> Counter[str]:
        random, outcomes = Random(100 + number), Counter[str]()
        while time.monotonic() < end:
            some = random.sample(values, 15)
            if way == "tokens":
                result = harness.erase(field, tokens=harness.tokenize(field, some))
            else:
                result = harness.erase(field, values=some)
            outcomes.update(failure.reason for failure in result.failures.values())
            outcomes["ok"] += result.total - len(result.failures)
            time.sleep(random.uniform(0, 0.01))
        return outcomes

    with ThreadPoolExecutor(6) as pool:
        eraser = [pool.submit(erase, number) for number in range(2)]
        tokenizers = [pool.submit(tokenize, number) for number in range(4)]
        outcomes = sum((job.result() for job in eraser), Counter[str]())
        for job in tokenizers:
            job.result()
    assert outcomes["ok"] > 50
    assert outcomes.keys() <= {"ok", "TOKEN_NOT_FOUND"}
    assert leftovers(owner) == {"stray": 0, "lost": 0}
    # Every token ever issued is its value's or a tombstone, and each value has one that lives.
    pairs = sorted(issued)
    answer = harness.detokenize(field, [token for _, token in pairs])
    assert {failure.reason for failure in answer.failures.values()} <= {Reason.TOKEN_ERASED}
    for (value, _), found in zip(pairs, answer.values, strict=True):
        assert found in ("", value)
    last = harness.tokenize(field, values)
    assert list(harness.detokenize(field, last).values) == values
    assert harness.tokenize(field, values) == last
    assert conflicts == []


@pytest.mark.parametrize("field", ["kept", "dated"])
def test_one_value_in_everybodys_hands(
    harness: ServiceHarness, owner: Owner, conflicts: list[str], field: str
) -> None:
    """Six tokenize the same value without a pause, and two erase it."""
    end = time.monotonic() + 1.5

    def tokenize(_: int) -> set[str]:
        seen = set()
        while time.monotonic() < end:
            seen.update(harness.tokenize(field, ["000000001"]))
        return seen

    def erase(_: int) -> int:
        done = 0
        while time.monotonic() < end:
            done += not harness.erase(field, values=["000000001"]).failures
        return done

    with ThreadPoolExecutor(8) as pool:
        erasers = [pool.submit(erase, number) for number in range(2)]
        jobs = [pool.submit(tokenize, number) for number in range(6)]
        issued = set().union(*(job.result() for job in jobs))
        erased = sum(job.result() for job in erasers)
    assert erased >= 10, (erased, len(issued))
    assert erased >= len(issued) - 1
    assert leftovers(owner) == {"stray": 0, "lost": 0}
    (last,) = harness.tokenize(field, ["000000001"])
    answer = harness.detokenize(field, [*issued, last])
    assert {failure.reason for failure in answer.failures.values()} == {Reason.TOKEN_ERASED}
    assert answer.values[-1] == "000000001"
    assert conflicts == []


def test_a_token_that_is_being_erased_is_not_answered_once_it_is_waited_for(
    harness: ServiceHarness, owner: Owner, database: Database
) -> None:
    (old,) = harness.tokenize("dated", ["000000001"])
    owner.execute("UPDATE tokens SET expires = expires - interval '1 day'")
    with psycopg.connect(database.superuser_conninfo) as other:
        other.execute("UPDATE tokens SET state = 'erased', ciphertext = NULL")
        other.execute("DELETE FROM token_index")
        with ThreadPoolExecutor(1) as pool:
            job = pool.submit(harness.tokenize, "dated", ["000000001"])
            _await_lock(owner)
            other.commit()
            (new,) = job.result()
    assert new != old
    assert harness.detokenize("dated", [new]).values == ["000000001"]


def test_an_extended_token_is_not_reaped_by_who_saw_it_expired(
    harness: ServiceHarness, owner: Owner, database: Database
) -> None:
    (token,) = harness.tokenize("dated", ["000000001"])
    owner.execute("UPDATE tokens SET expires = now() - interval '1 s'")
    with psycopg.connect(database.superuser_conninfo) as other:
        other.execute("UPDATE tokens SET expires = now() + interval '1 day'")
        assert harness.expiry.reap() == 0  # locked: passed over, not waited for
    assert harness.expiry.reap() == 0
    assert harness.detokenize("dated", [token]).values == ["000000001"]


def _await_lock(owner: Owner) -> None:
    end = time.monotonic() + 20
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    while True:
        row = owner.execute(waiting).fetchone()
        if row is not None and row[0]:
            return
        assert time.monotonic() < end
        time.sleep(0.01)


def test_values_that_expire_while_they_are_tokenized_and_reaped(
    harness: ServiceHarness, owner: Owner, conflicts: list[str]
) -> None:
    values, end = numbers(40), time.monotonic() + 3
    reaped = Counter[int]()

    def tokenize(number: int) -> None:
        random = Random(number)
        while time.monotonic() < end:
            some = random.sample(values, 20)
            harness.tokenize("brief", some)
            time.sleep(random.uniform(0, 0.4))

    def reap(number: int) -> None:
        while time.monotonic() < end:
            reaped[number] += harness.expiry.reap()

    with ThreadPoolExecutor(4) as pool:
        jobs = [pool.submit(tokenize, 1), pool.submit(tokenize, 2)]
        jobs += [pool.submit(reap, 1), pool.submit(reap, 2)]
        for job in jobs:
            job.result()
    time.sleep(1.2)
    while harness.expiry.reap():
        pass
    assert leftovers(owner) == {"stray": 0, "lost": 0}
    live = "SELECT count(*), count(*) FILTER (WHERE ciphertext IS NOT NULL) FROM tokens"
    counted = owner.execute(live).fetchone()
    assert counted is not None
    assert counted[1] == 0
    assert cast("int", counted[0]) >= 40
    assert owner.execute("SELECT count(*) FROM token_index").fetchone() == (0,)
    assert conflicts == []


def test_one_reaper_at_a_time(harness: ServiceHarness, owner: Owner, database: Database) -> None:
    tokens = harness.tokenize("dated", numbers(3))
    owner.execute("UPDATE tokens SET expires = now() - interval '1 s'")
    with psycopg.connect(database.superuser_conninfo) as other:
        other.execute("SELECT pg_advisory_xact_lock(%s)", [0x746F6B656E05])
        assert harness.expiry.reap() == 0
    assert harness.expiry.reap() == 3
    answer = harness.detokenize("dated", tokens)
    assert {failure.reason for failure in answer.failures.values()} == {Reason.TOKEN_EXPIRED}


def test_reaping_and_its_record_stand_or_fall_together(
    harness: ServiceHarness, owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness.tokenize("dated", numbers(3))
    owner.execute("UPDATE tokens SET expires = now() - interval '1 s'")
    harness.expiry._policy()
    body = "SELECT body::jsonb FROM audit_records WHERE body::jsonb ->> 'rpc' = 'Expire'"

    def fail(*_: object) -> None:
        raise RuntimeError("stop")

    with monkeypatch.context() as patched:
        patched.setattr("vault.audit.appender.PostgresAuditAppender.append", fail)
        with pytest.raises(RuntimeError, match="stop"):
            harness.expiry.reap()
    live = "SELECT count(*) FROM tokens WHERE state = 'live'"
    assert owner.execute(live).fetchone() == (3,)
    assert owner.execute(body).fetchall() == []
    assert harness.expiry.reap() == 3
    ((record,),) = owner.execute(body).fetchall()
    found = cast("dict[str, object]", record)
    assert (found["principal"], found["field"]) == ("tokenvault:reaper", "dated")
    assert found["counts"] == {"ok": 3}


@pytest.mark.parametrize("size", [1, 2500])
def test_erasing_and_extending_cost_a_fixed_number_of_statements(
    harness: ServiceHarness, owner: Owner, statements: list[str], size: int
) -> None:
    values = numbers(size)
    tokens = harness.tokenize("dated", values)
    owner.execute("UPDATE tokens SET expires = expires - interval '1 day'")

    def cost(call: Callable[[], object]) -> int:
        statements.clear()
        call()
        return len(statements)

    # settings, find and extend, audit
    assert cost(lambda: harness.tokenize("dated", values)) == 3
    extended = "SELECT count(*) FROM tokens WHERE expires > now() + interval '364 days 12 hours'"
    assert owner.execute(extended).fetchone() == (size,)
    # settings, lock, tombstone, audit
    assert cost(lambda: harness.erase("dated", values=values)) == 4
    new = harness.tokenize("dated", values)
    assert not set(new) & set(tokens)
    assert cost(lambda: harness.erase("dated", tokens=new)) == 4
    assert cost(lambda: harness.erase("dated", tokens=new)) == 3


def test_extending_writes_at_most_once_a_second(harness: ServiceHarness, owner: Owner) -> None:
    harness.tokenize("dated", ["000000001"])
    row = "SELECT ctid::text, expires FROM tokens"
    first = owner.execute(row).fetchone()
    harness.tokenize("dated", ["000000001"])
    assert owner.execute(row).fetchone() == first
    time.sleep(1.1)
    harness.tokenize("dated", ["000000001"])
    moved = owner.execute(row).fetchone()
    assert moved is not None
    assert first is not None
    assert timedelta(seconds=1) < moved[1] - first[1] < timedelta(seconds=60)  # type: ignore[operator]


def test_locks_are_taken_in_the_order_of_tokens(
    harness: ServiceHarness, database: Database
) -> None:
    """Two batches in opposite order: unsorted, they deadlock within a few tries."""
    tokens = harness.tokenize("kept", numbers(200))
    engines = [make_engine(database.service_url) for _ in range(2)]
    barrier = threading.Barrier(2, timeout=15)

    def lock(number: int) -> None:
        order = tokens if number else tokens[::-1]
        for _ in range(30):
            barrier.wait()
            with transaction.transaction(engines[number]) as opened:
                from vault.store.tokens import PostgresTokenStore

                space = TokenSpace("default", "kept")
                assert (
                    len(PostgresTokenStore(lambda: opened.connection).lock_by_token(space, order))
                    == 200
                )

    with ThreadPoolExecutor(2) as pool:
        for job in [pool.submit(lock, number) for number in range(2)]:
            job.result()
    for engine in engines:
        engine.dispose()


def plan_nodes(plan: object) -> list[dict[str, object]]:
    node = cast("dict[str, object]", plan)
    children = cast("list[object]", node.get("Plans", []))
    return [node, *(found for child in children for found in plan_nodes(child))]


@pytest.mark.parametrize(
    "name",
    ["TOMBSTONE", "LOCK_BY_MAC", "LOCK_BY_TOKEN", "LOCK_EXPIRED"],
)
@pytest.mark.parametrize("size", [1, 10_000])
def test_indexes_are_used_on_tables_without_statistics(
    engine: Engine, owner: Owner, name: str, size: int
) -> None:
    for table in ("tokens", "token_index", "token_subjects"):
        owner.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = off)")
        owner.execute(f"ANALYZE {table}")  # as of when it was empty
    owner.execute(
        "INSERT INTO tokens (tenant, field, token, scope, generator, key_version, tweak_counter,"
        " ciphertext, expires) SELECT 'default', 'card_number', n::text, 'field', 'random', 1, 0,"
        " 'c', now() FROM generate_series(1, 30000) n"
    )
    owner.execute(
        "INSERT INTO token_index SELECT 'default', 'card_number', 'field', 1,"
        " sha256(n::text::bytea), n::text FROM generate_series(1, 30000) n"
    )
    keys = [str(value) for value in range(size)]
    parameters = {
        "tenant": "default",
        "field": "card_number",
        "scope": "field",
        "index_version": 1,
        "state": "erased",
        "ttl": timedelta(days=1),
        "lock": 7,
        "limit": size,
        "tokens": keys,
        "leading": keys,
        "macs": [key.encode() * 8 for key in keys],
        "scopes": ["field"] * size,
        "index_versions": [1] * size,
    }
    with transaction.transaction(engine) as opened:
        explain = f"EXPLAIN (FORMAT JSON) {getattr(lifetime_sql, name)}"
        rows = opened.connection.exec_driver_sql(explain, parameters).scalar_one()
    nodes = plan_nodes(cast("list[dict[str, object]]", rows)[0]["Plan"])
    scans = [node for node in nodes if "Relation Name" in node and "Scan" in str(node["Node Type"])]
    assert scans
    for node in scans:
        # By expiry a bitmap will do: it reads what has expired and no more.
        by = ["Index Cond", "TID Cond"] + ["Recheck Cond"] * (name == "LOCK_EXPIRED")
        conditions = " ".join(str(node[key]) for key in by if key in node)
        assert conditions, json.dumps(nodes)[:3000]
        # By whole key, not by tenant and field alone: that reads all of the field.
        whole = ("token", "mac", "expires", "ctid")
        assert any(key in conditions for key in whole), conditions
