"""Searching the log: upwards, downwards, by place, and what no filter hides."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

import psycopg
import pytest
from sqlalchemy import Engine

from vault.audit import queries as queries_module
from vault.audit.chain_heads import ChainHeadPool
from vault.audit.integrator import Integrator
from vault.audit.queries import PostgresAuditQueries
from vault.audit.reading import PostgresAuditReader
from vault.crypto.field_key import MacKey
from vault.dev.postgres import Database
from vault.model import AuditEvent
from vault.postgres.engine import make_engine
from vault.server.unit_of_work import PostgresUnitOfWork
from vault.service.audit import AuditSearch
from vault.service.audit_filter import AuditFilter
from vault.service.ports import Transaction

KEY = MacKey(1, b"1" * 32)
EVENT = AuditEvent("Tokenize", "allowed", "p", "peer", "0a", "r", "d")
CALLS = 40  # positions 2 to 41; every fourth by q, every tenth denied


def append(event: AuditEvent, transaction: Transaction) -> None:
    transaction.audit.append(event)


@pytest.fixture
def engine(database: Database) -> Iterator[Engine]:
    made = make_engine(database.service_url)
    work = PostgresUnitOfWork(made, ChainHeadPool("a", lambda: KEY))
    for number in range(CALLS):
        event = replace(
            EVENT,
            principal="p" if number % 4 else "q",
            outcome="allowed" if number % 10 else "denied",
            request_id=f"r{number}",
        )
        work.run(partial(append, event))
    Integrator(made, lambda: KEY, lambda _: KEY).integrate()
    yield made
    made.dispose()


@pytest.fixture
def access(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> PostgresAuditQueries:
    monkeypatch.setattr(queries_module, "_CHUNK", 7)
    return PostgresAuditQueries(
        PostgresAuditReader(engine, lambda _: KEY), lambda: KEY, lambda _: KEY
    )


def positions(access: PostgresAuditQueries, search: AuditSearch) -> list[int]:
    return [record.position for record in access.search(search).records]


BY_Q = AuditFilter(principals=["q"])
ALL_OF_Q = list(range(2, 42, 4))


def test_upwards_in_pages(access: PostgresAuditQueries) -> None:
    found, at = list[int](), 1
    while True:
        page = access.search(AuditSearch(at, 3, wanted=BY_Q))
        found += [record.position for record in page.records]
        at = page.next
        if at > page.last:
            break
    assert found == ALL_OF_Q
    assert page.last == 41


def test_downwards_in_pages(access: PostgresAuditQueries) -> None:
    found, before = list[int](), 0
    while True:
        page = access.search(AuditSearch(0, 3, before, BY_Q))
        found = [record.position for record in page.records] + found
        before = page.first
        if before <= 1:
            break
    assert found == ALL_OF_Q
    assert positions(access, AuditSearch(0, 2, wanted=BY_Q)) == [34, 38]
    assert positions(access, AuditSearch(0, 9, 3, BY_Q)) == [2]


def test_between_two_positions(access: PostgresAuditQueries) -> None:
    assert positions(access, AuditSearch(6, 100, 14, BY_Q)) == [6, 10]
    assert positions(access, AuditSearch(99, 100, wanted=BY_Q)) == []
    assert positions(access, AuditSearch(2**62, 100, 2**62, BY_Q)) == []


def test_filters_go_together(access: PostgresAuditQueries) -> None:
    both = AuditFilter(principals=["q"], outcomes=["denied"])
    assert positions(access, AuditSearch(1, 100, wanted=both)) == [2, 22]
    assert positions(access, AuditSearch(1, 9, wanted=AuditFilter(request_id="r5"))) == [7]


def test_by_time(access: PostgresAuditQueries, engine: Engine) -> None:
    (page,) = [access.tail(20, 1)]
    begun = page.records[0].body.partition('"time":"')[2].partition('"')[0]
    moment = datetime.fromisoformat(begun)
    since = AuditFilter(since=moment, until=moment + timedelta(microseconds=1))
    assert positions(access, AuditSearch(1, 100, wanted=since)) == [20]


def test_a_finding_is_joined_to_its_position(
    access: PostgresAuditQueries, database: Database
) -> None:
    writer = access.tail(9, 1).records[0].writer
    page = access.search(AuditSearch(1, 9, wanted=AuditFilter(writer=writer, number=9)))
    assert [(each.position, each.number) for each in page.records] == [(9, 9)]
    none = access.search(AuditSearch(1, 9, wanted=AuditFilter(writer=writer, number=99)))
    assert (list(none.records), none.next > none.last) == ([], True)


def test_no_filter_hides_what_is_gone_or_was_edited(
    access: PostgresAuditQueries, database: Database
) -> None:
    with psycopg.connect(database.superuser_conninfo, autocommit=True) as owner:
        owner.execute(
            "UPDATE audit_records SET body = replace(body, '\"q\"', '\"x\"') WHERE number = 6"
        )
        owner.execute("DELETE FROM audit_log WHERE position = 8")
    page = access.search(AuditSearch(1, 4, wanted=BY_Q))
    assert [(each.position, bool(each.body)) for each in page.records] == [
        (2, True), (6, False), (8, False), (10, True),
    ]  # fmt: skip


def test_a_search_ends_in_time_and_says_how_far_it_came(
    access: PostgresAuditQueries, monkeypatch: pytest.MonkeyPatch
) -> None:
    nobody = AuditFilter(principals=["nobody"])
    page = access.search(AuditSearch(1, 9, wanted=nobody), deadline=time.monotonic() - 1)
    assert (list(page.records), page.next, page.last) == ([], 1, 41)
    monkeypatch.setattr(queries_module, "_SEARCH_SECONDS", 0.02)
    at, calls = 1, 0
    while at <= 41:
        at, calls = max(at + 1, access.search(AuditSearch(at, 9, wanted=nobody)).next), calls + 1
    assert calls < 42
