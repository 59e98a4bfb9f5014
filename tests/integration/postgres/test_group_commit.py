"""Calls that share a transaction for their records: what each of them may do to the others."""

from __future__ import annotations

import gc
import json
import os
import signal
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import cast

import psycopg
import pytest
from sqlalchemy import Engine

from tests.integration.postgres.test_transactions import (
    EVENT,
    KILL,
    SPACE,
    SWALLOW,
    count,
    new_token,
)
from tests.token_rows import insert_rows
from vault.audit.chain_heads import ChainHeadPool
from vault.audit.reading import PostgresAuditReader
from vault.crypto.field_key import MacKey
from vault.dev.postgres import Database
from vault.errors import AuditUnavailable, LimitExceeded, Reason, StoreUnavailable, TokenvaultError
from vault.postgres import begin
from vault.postgres.engine import make_engine
from vault.postgres.failures import Conflict
from vault.postgres.transaction import Ending
from vault.server.sharing import group_commit, leadership
from vault.server.unit_of_work import PostgresUnitOfWork
from vault.service.ports import Transaction

Owner = psycopg.Connection[tuple[object, ...]]
Run = Callable[[Transaction], str]
GOOD = 15
SECONDS = 20


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> float:
    """Our patience; here it lasts until all of a group are together, on a busy machine too."""
    real = leadership.PATIENCE
    monkeypatch.setattr(group_commit, "PATIENCE", SECONDS)
    return real


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(24) as made:
        yield made


@pytest.fixture
def reader(engine: Engine) -> PostgresAuditReader:
    return PostgresAuditReader(engine, lambda version: MacKey(version, bytes(32)))


def records(name: str) -> Run:
    """The work of a call that only leaves its record."""

    def work(transaction: Transaction) -> str:
        transaction.audit.append(replace(EVENT, request_id=name))
        return name

    return work


def good() -> dict[str, Run]:
    return {name: records(name) for name in (f"good {n}" for n in range(GOOD))}


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + SECONDS
    while not true():
        assert time.monotonic() < end
        time.sleep(0.005)


@contextmanager
def busy(work: PostgresUnitOfWork) -> Iterator[None]:
    """Lets calls find a commit under way; those that came meanwhile are one group."""
    group = work._group_commit
    with work._counted():
        assert group._try_to_lead()
        try:
            yield
        finally:
            group._hand_over()


def together(
    pool: ThreadPoolExecutor,
    work: PostgresUnitOfWork,
    calls: dict[str, Run],
    *,
    waiting: int | None = None,
    before: Callable[[], object] = lambda: None,
) -> dict[str, Future[str]]:
    """Runs calls as one group; returns how each of them went.

    Args:
        waiting: how many of them get as far as the group; all if None.
        before: called when they all wait.
    """
    with busy(work):
        begun = {name: pool.submit(work.run, call) for name, call in calls.items()}
        wanted = len(calls) if waiting is None else waiting
        until(lambda: len(work._group_commit._waiting) == wanted)
        before()
    for each in begun.values():
        each.exception(SECONDS)
    return begun


def answered(futures: dict[str, Future[str]]) -> list[str]:
    return sorted(name for name, each in futures.items() if each.exception() is None)


def recorded(owner: Owner) -> list[str]:
    """The calls that have a record, as often as they have one."""
    rows = owner.execute("SELECT body FROM audit_records").fetchall()
    bodies = [json.loads(cast("str", body)) for (body,) in rows]
    return sorted(body["request_id"] for body in bodies if body["kind"] == "call")


def transactions(owner: Owner) -> int:
    """How many transactions wrote the calls' records."""
    row = owner.execute("SELECT count(DISTINCT xmin::text) FROM audit_records").fetchone()
    assert row is not None
    return cast("int", row[0])


def test_calls_that_come_together_share_a_transaction(
    pool: ThreadPoolExecutor, work: PostgresUnitOfWork, owner: Owner, reader: PostgresAuditReader
) -> None:
    ended = together(pool, work, good())
    assert answered(ended) == recorded(owner) == sorted(good())
    assert [each.result() for each in ended.values()] == list(ended)
    assert transactions(owner) == 1
    report = reader.verify()
    assert (report.records, report.writers, list(report.findings)) == (GOOD + 1, 1, [])


def test_a_chain_goes_on_over_groups_and_single_calls(
    pool: ThreadPoolExecutor, work: PostgresUnitOfWork, owner: Owner, reader: PostgresAuditReader
) -> None:
    for _ in range(3):
        work.run(records("single"))
        together(pool, work, good())
    assert recorded(owner) == sorted([*3 * list(good()), *3 * ["single"]])
    report = reader.verify()
    assert (report.writers, list(report.findings)) == (1, [])


def test_a_single_call_waits_for_nobody(
    work: PostgresUnitOfWork, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_commit._Member, "wait", None)
    work.run(records("alone"))
    with work._counted():  # others are here, but none of them commits
        work.run(records("first"))


def test_no_more_than_so_many_share(
    pool: ThreadPoolExecutor,
    work: PostgresUnitOfWork,
    owner: Owner,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(group_commit, "_MAX_RECORDS", 5)
    assert len(answered(together(pool, work, good()))) == GOOD
    assert recorded(owner) == sorted(good())
    assert transactions(owner) == 3


def test_a_large_call_commits_by_itself(
    pool: ThreadPoolExecutor, work: PostgresUnitOfWork, owner: Owner
) -> None:
    def large(transaction: Transaction) -> str:
        transaction.audit.append(replace(EVENT, request_id="large", counts={"ok": 5000}))
        return "large"

    with busy(work):
        assert pool.submit(work.run, large).result(SECONDS) == "large"
        assert recorded(owner) == ["large"]


# -- what one call may do to the others ---------------------------------------------------


def over_its_limit(_: Transaction) -> str:
    raise LimitExceeded("no more")


def refused_by_the_store(transaction: Transaction) -> str:
    insert_rows(transaction.tokens, SPACE, [new_token("7", b"short: violates a check")])
    return "never"


def in_conflict(transaction: Transaction) -> str:
    transaction.audit.append(replace(EVENT, request_id="bad"))
    raise Conflict("always")


def cancelled(transaction: Transaction) -> str:
    transaction.audit.append(replace(EVENT, request_id="bad"))
    raise SystemExit


def unreadable(transaction: Transaction) -> str:
    bad = cast("tuple[int, ...]", (object(),))
    transaction.audit.append(replace(EVENT, request_id="bad", key_versions=bad))
    return "never"


@pytest.mark.parametrize(
    ("bad", "kind", "waiting"),
    [
        (over_its_limit, LimitExceeded, GOOD),
        (refused_by_the_store, StoreUnavailable, GOOD),
        (in_conflict, StoreUnavailable, GOOD),
        (cancelled, SystemExit, GOOD),
        (unreadable, TypeError, GOOD + 1),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_call_that_fails_takes_no_other_down(
    pool: ThreadPoolExecutor,
    work: PostgresUnitOfWork,
    owner: Owner,
    reader: PostgresAuditReader,
    bad: Run,
    kind: type[BaseException],
    waiting: int,
) -> None:
    ended = together(pool, work, {"bad": bad, **good()}, waiting=waiting)
    assert isinstance(ended["bad"].exception(), kind)
    assert answered(ended) == recorded(owner) == sorted(good())
    assert reader.verify().findings == []


POISON = """
CREATE FUNCTION poison() RETURNS trigger LANGUAGE plpgsql AS
'BEGIN IF NEW.body LIKE ''%"bad"%'' THEN RAISE ''no''; END IF; RETURN NEW; END';
CREATE TRIGGER poison BEFORE INSERT ON audit_records FOR EACH ROW EXECUTE FUNCTION poison();
"""


@pytest.mark.parametrize("place", ["leads", "follows"])
def test_a_record_that_the_database_refuses_takes_no_other_down(
    pool: ThreadPoolExecutor,
    work: PostgresUnitOfWork,
    owner: Owner,
    reader: PostgresAuditReader,
    place: str,
) -> None:
    work.run(records("first"))
    owner.execute(POISON)
    bad = {"bad": records("bad")}
    ended = together(pool, work, {**bad, **good()} if place == "leads" else {**good(), **bad})
    assert isinstance(ended["bad"].exception(), AuditUnavailable)
    assert answered(ended) == sorted(good())
    assert recorded(owner) == ["first", *sorted(good())]
    assert reader.verify().findings == []


def test_where_no_record_can_be_written_nobody_is_answered(
    pool: ThreadPoolExecutor, work: PostgresUnitOfWork, owner: Owner
) -> None:
    work.run(records("first"))
    owner.execute(SWALLOW.format("INSERT", "audit_records"))
    ended = together(pool, work, good())
    assert {type(each.exception()) for each in ended.values()} == {AuditUnavailable}
    assert all(cast("TokenvaultError", each.exception()).retryable for each in ended.values())
    assert recorded(owner) == ["first"]


def test_a_chain_that_was_moved_stops_nobody_in_a_group(
    pool: ThreadPoolExecutor, work: PostgresUnitOfWork, owner: Owner
) -> None:
    work.run(records("first"))
    owner.execute("UPDATE audit_heads SET number = number + 1")
    ended = together(pool, work, good())
    assert answered(ended) == sorted(good())
    assert recorded(owner) == ["first", *sorted(good())]


# -- deadlines --------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["leads", "follows"])
def test_a_call_past_its_deadline_is_left_out(
    pool: ThreadPoolExecutor,
    work: PostgresUnitOfWork,
    owner: Owner,
    reader: PostgresAuditReader,
    monkeypatch: pytest.MonkeyPatch,
    place: str,
) -> None:
    ends: list[float] = []

    def late(me: group_commit._Member) -> bool:
        return me.event.request_id == "bad" and bool(ends)

    monkeypatch.setattr(group_commit._Member, "late", property(late))
    bad = {"bad": records("bad")}
    calls = {**bad, **good()} if place == "leads" else {**good(), **bad}
    ended = together(pool, work, calls, before=lambda: ends.append(0.0))
    error = ended["bad"].exception()
    assert isinstance(error, StoreUnavailable)
    assert error.reason is Reason.DEADLINE_EXCEEDED
    assert answered(ended) == recorded(owner) == sorted(good())
    assert reader.verify().findings == []


def test_who_waits_gives_up_at_its_deadline(
    pool: ThreadPoolExecutor, work: PostgresUnitOfWork, owner: Owner
) -> None:
    with busy(work):
        waits = pool.submit(work.run, records("bad"), deadline=time.monotonic() + 0.2)
        error = waits.exception(SECONDS)
        assert isinstance(error, StoreUnavailable)
        assert error.reason is Reason.DEADLINE_EXCEEDED
        assert not work._group_commit._waiting
    assert recorded(owner) == []


SLOW = """
CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS
'BEGIN PERFORM pg_sleep(20); RETURN NEW; END';
CREATE TRIGGER slow BEFORE INSERT ON audit_records FOR EACH ROW EXECUTE FUNCTION slow();
"""
AT_WORK = "SELECT 1 FROM pg_stat_activity WHERE usename = 'tokenvault' AND state = 'active'"


def deadline_exceeded(error: BaseException | None) -> bool:
    late = isinstance(error, TokenvaultError) and error.reason is Reason.DEADLINE_EXCEEDED
    return late and not cast("TokenvaultError", error).retryable


def with_items(items: int) -> Run:
    def work(transaction: Transaction) -> str:
        transaction.audit.append(replace(EVENT, request_id="late", counts={"ok": items}))
        return "late"

    return work


@pytest.mark.parametrize("seconds", [0.08, 0.6])
@pytest.mark.parametrize("items", [1, 101])
def test_postgres_breaks_off_what_has_no_more_time(
    work: PostgresUnitOfWork, owner: Owner, seconds: float, items: int
) -> None:
    work.run(records("first"))
    owner.execute(SLOW)
    with work._counted(), pytest.raises(TokenvaultError) as caught:
        work.run(with_items(items), deadline=time.monotonic() + seconds)
    assert deadline_exceeded(caught.value)
    assert owner.execute(AT_WORK).fetchone() is None
    assert recorded(owner) == ["first"]


def test_postgres_breaks_off_a_group_that_has_no_more_time(
    pool: ThreadPoolExecutor, work: PostgresUnitOfWork, owner: Owner
) -> None:
    work.run(records("first"))
    owner.execute(SLOW)
    ends = time.monotonic() + 1.0
    with busy(work):
        begun = [pool.submit(work.run, call, deadline=ends) for call in good().values()]
        until(lambda: len(work._group_commit._waiting) == GOOD)
    assert all(deadline_exceeded(each.exception(SECONDS)) for each in begun)
    assert owner.execute(AT_WORK).fetchone() is None
    assert recorded(owner) == ["first"]


def test_nobody_shares_a_transaction_that_may_outlast_it(
    pool: ThreadPoolExecutor, work: PostgresUnitOfWork, owner: Owner
) -> None:
    work.run(records("first"))
    with busy(work):
        begun = [pool.submit(work.run, records("long"))]
        until(lambda: len(work._group_commit._waiting) == 1)
        ends = time.monotonic() + SECONDS
        begun += [pool.submit(work.run, records("short"), deadline=ends) for _ in range(3)]
        until(lambda: len(work._group_commit._waiting) == 4)
    assert [each.result(SECONDS) for each in begun] == ["long", *3 * ["short"]]
    assert transactions(owner) == 3


def test_a_call_that_is_late_asks_for_no_connection(
    work: PostgresUnitOfWork, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work._group_commit._engine, "connect", None)
    late = group_commit._Member(EVENT, time.monotonic() + 0.05)
    until(lambda: late.late)
    told = work._group_commit._run(group_commit._Group(late), lambda: None, most=1)
    assert isinstance(told, TokenvaultError)
    assert deadline_exceeded(told)


# -- the lead ---------------------------------------------------------------------------


def test_the_lead_is_not_lost_on_who_gives_up(
    pool: ThreadPoolExecutor, work: PostgresUnitOfWork, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve = group_commit._Member.resolve
    given_up = threading.Event()

    def late(me: group_commit._Member, result: group_commit._Result) -> None:
        if result is leadership.State.LEADER:
            given_up.wait(2)
        resolve(me, result)

    monkeypatch.setattr(group_commit._Member, "resolve", late)
    work.run(records("first"))
    with busy(work):
        gives_up = pool.submit(work.run, records("bad"), deadline=time.monotonic() + 0.5)
        gives_up.add_done_callback(lambda _: given_up.set())
        until(lambda: len(work._group_commit._waiting) == 1)
    assert deadline_exceeded(gives_up.exception(SECONDS))
    assert work._group_commit._leaders == 0


def test_a_leader_that_is_broken_off_leaves_nobody_waiting(
    pool: ThreadPoolExecutor,
    work: PostgresUnitOfWork,
    owner: Owner,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    close = group_commit._Group.close

    def broken_off(group: group_commit._Group, *rest: object) -> object:
        result = close(group, *rest)  # type: ignore[arg-type] # as it was called
        if group.leader.event.request_id == "bad" and len(group.members) > 1:
            raise SystemExit
        return result

    monkeypatch.setattr(group_commit._Group, "close", broken_off)
    ended = together(pool, work, {"bad": records("bad"), **good()})
    assert isinstance(ended["bad"].exception(), SystemExit)
    assert answered(ended) == recorded(owner) == sorted(good())
    assert work._group_commit._leaders == 0


def test_who_follows_is_answered_where_the_leader_fails_after_the_commit(
    pool: ThreadPoolExecutor,
    work: PostgresUnitOfWork,
    owner: Owner,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    set_ending = group_commit._Group.set_ending

    def failing(group: group_commit._Group, ending: Ending) -> None:
        set_ending(group, ending)
        if group.leader.event.request_id == "bad":
            raise LookupError

    monkeypatch.setattr(group_commit._Group, "set_ending", failing)
    futures = together(pool, work, {"bad": records("bad"), **good()})
    assert isinstance(futures["bad"].exception(), LookupError)
    assert answered(futures) == sorted(good())
    assert recorded(owner) == sorted(["bad", *good()])


def test_an_error_that_cannot_be_copied_reaches_everybody() -> None:
    class Uncopied(StoreUnavailable):
        def __copy__(self) -> Uncopied:
            raise TypeError

    members = [group_commit._Member(EVENT, None) for _ in range(3)]
    group = group_commit._Group(members[0])
    group.close(deque(members[1:]), 3)
    group.set_ending(Ending.IN_DOUBT)
    group.resolve_followers(Uncopied("no"))
    assert all(each.wait(0) for each in members[1:])


# -- connections ------------------------------------------------------------------------


def test_a_connection_that_died_while_idle_costs_nobody_anything(
    pool: ThreadPoolExecutor, work: PostgresUnitOfWork, owner: Owner, reader: PostgresAuditReader
) -> None:
    work.run(records("first"))
    ended = together(pool, work, good(), before=lambda: owner.execute(KILL))
    assert answered(ended) == sorted(good())
    assert recorded(owner) == ["first", *sorted(good())]
    assert reader.verify().findings == []


def test_a_commit_in_doubt_answers_nobody(
    pool: ThreadPoolExecutor, work: PostgresUnitOfWork, owner: Owner, database: Database
) -> None:
    work.run(records("first"))
    with psycopg.connect(database.superuser_conninfo) as other:
        other.execute("LOCK TABLE audit_heads IN SHARE MODE")

        def lose() -> None:
            waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            until(lambda: owner.execute(waiting).fetchone() is not None)
            owner.execute(KILL)

        killing = pool.submit(lose)
        ended = together(pool, work, good())
        killing.result(SECONDS)
    errors = [cast("TokenvaultError", each.exception()) for each in ended.values()]
    assert {each.reason for each in errors} <= {Reason.STORE_UNAVAILABLE, Reason.AUDIT_UNAVAILABLE}
    assert all(each.retryable for each in errors)
    assert len({id(each) for each in errors}) == GOOD
    assert recorded(owner) == ["first"]
    work.run(records("next"))


def test_a_database_that_is_away_answers_each(
    pool: ThreadPoolExecutor, database: Database, chain_heads: ChainHeadPool
) -> None:
    away = make_engine(database.service_url.set(port=1, query={}))
    ended = together(pool, PostgresUnitOfWork(away, chain_heads), good())
    errors = [each.exception() for each in ended.values()]
    assert {type(each) for each in errors} == {StoreUnavailable}
    assert len({id(each) for each in errors}) == GOOD
    away.dispose()


def test_a_commit_that_hangs_holds_up_its_own_calls_only(
    pool: ThreadPoolExecutor,
    work: PostgresUnitOfWork,
    engine: Engine,
    owner: Owner,
    patience: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(group_commit, "PATIENCE", patience)
    with engine.connect() as connection:
        driver = connection.connection.driver_connection
        assert isinstance(driver, psycopg.Connection)
        pid = driver.info.backend_pid
    os.kill(pid, signal.SIGSTOP)
    try:
        with work._counted():
            hangs = pool.submit(work.run, records("hangs"), deadline=time.monotonic() + 0.5)
            until(lambda: work._group_commit._leaders == 1)
            ended = {name: pool.submit(work.run, call) for name, call in good().items()}
            assert [each.result(SECONDS) for each in ended.values()] == list(ended)
            assert isinstance(hangs.exception(SECONDS), StoreUnavailable)
    finally:
        os.kill(pid, signal.SIGCONT)
    assert recorded(owner) == sorted(good())
    until(lambda: work._group_commit._leaders == 0)


# -- what is left -----------------------------------------------------------------------


THERE = "SELECT 1 FROM pg_stat_activity WHERE usename = 'tokenvault'"


class Batch:
    """What a call holds, the caller's values included."""


@pytest.mark.parametrize(
    "ends",
    ["well", "by a bug of the finish", "refused", "conflict", "replaced, then refused"],
)
def test_what_a_group_had_in_hand_does_not_wait_for_the_garbage_collector(
    pool: ThreadPoolExecutor, work: PostgresUnitOfWork, owner: Owner, ends: str
) -> None:
    kept: list[weakref.ref[Batch]] = []
    refused = ends in ("refused", "replaced, then refused")
    work.run(records("first"))
    first = count(owner, "audit_records")
    if ends == "refused":
        owner.execute("REVOKE INSERT ON audit_records FROM tokenvault")

    def call(transaction: Transaction) -> Batch:
        batch = Batch()
        kept.append(weakref.ref(batch))
        transaction.audit.append(EVENT)
        return batch

    def finish(batch: Batch) -> str:
        if ends == "by a bug of the finish":
            raise LookupError
        return str(id(batch))

    def run() -> None:
        with suppress(LookupError, AuditUnavailable, StoreUnavailable):
            work.run(call, finish=finish)

    def before() -> None:
        if ends == "replaced, then refused":
            owner.execute("ALTER ROLE tokenvault NOLOGIN")
        if ends in ("conflict", "replaced, then refused"):
            owner.execute(KILL)
            until(lambda: owner.execute(THERE).fetchone() is None)

    gc.collect()
    gc.disable()
    try:
        with busy(work):
            begun = [pool.submit(run) for _ in range(4)]
            until(lambda: len(work._group_commit._waiting) == 4)
            before()
        for each in begun:
            each.result(SECONDS)
        assert [each() for each in kept] == 4 * [None]
    finally:
        gc.enable()
        owner.execute("ALTER ROLE tokenvault LOGIN")
    assert count(owner, "audit_records") == (first if refused else first + 4)


def test_an_error_of_the_finish_is_its_callers_alone(
    pool: ThreadPoolExecutor, work: PostgresUnitOfWork, owner: Owner
) -> None:
    def bug(_: str) -> str:
        raise LookupError

    with busy(work):
        fails = pool.submit(work.run, records("bad"), finish=bug)
        begun = {name: pool.submit(work.run, call) for name, call in good().items()}
        until(lambda: len(work._group_commit._waiting) == GOOD + 1)
    assert isinstance(fails.exception(SECONDS), LookupError)
    assert [each.result(SECONDS) for each in begun.values()] == list(begun)
    assert recorded(owner) == sorted(["bad", *good()])


def test_many_callers_leave_one_record_for_each_answer(
    pool: ThreadPoolExecutor, work: PostgresUnitOfWork, owner: Owner, reader: PostgresAuditReader
) -> None:
    start = threading.Barrier(16)

    def caller(number: int) -> Sequence[str]:
        start.wait()
        return [work.run(records(f"{number}-{at}")) for at in range(25)]

    answers = [name for names in pool.map(caller, range(16)) for name in names]
    assert sorted(answers) == recorded(owner)
    assert reader.verify().findings == []
    assert transactions(owner) < len(answers)


def test_a_commit_under_way_is_not_waited_for_as_long_as_a_begin(patience: float) -> None:
    assert patience < begin._SHORT_SILENCE
