"""Calls that look tokens up together: what each of them may do to the others."""

from __future__ import annotations

import gc
import os
import signal
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import timedelta

import psycopg
import pytest
from sqlalchemy import Engine

from tests.integration.postgres.test_group_commit import (
    GOOD,
    SECONDS,
    answered,
    deadline_exceeded,
    recorded,
    until,
)
from tests.integration.postgres.test_transactions import EVENT, KILL, SPACE, new_token
from tests.token_rows import insert_rows
from vault.audit.reading import PostgresAuditReader
from vault.crypto.field_key import MacKey
from vault.dev.postgres import Database
from vault.errors import StoreUnavailable, TokenvaultError
from vault.model import Scope, StoredTokens, TokenSpace, TokenState
from vault.server.sharing import group_commit, leadership, shared_lookups
from vault.server.sharing.shared_lookups import SharedLookups
from vault.server.unit_of_work import PostgresUnitOfWork
from vault.service.ports import Transaction

Owner = psycopg.Connection[tuple[object, ...]]
Run = Callable[[Transaction], str]
OTHER = TokenSpace("default", "other")


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> float:
    """Our patience; here it lasts until all of a group are together, on a busy machine too."""
    real = leadership.PATIENCE
    for module in (group_commit, shared_lookups):
        monkeypatch.setattr(module, "PATIENCE", SECONDS)
    return real


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(24) as made:
        yield made


def mac_of(name: str) -> bytes:
    return name.encode().rjust(32, b"\0")


@pytest.fixture(autouse=True)
def stored(work: PostgresUnitOfWork) -> None:
    """A token for each of the good calls, in two fields."""

    def fill(transaction: Transaction) -> None:
        rows = [new_token(name, mac_of(name)) for name in good()]
        insert_rows(transaction.tokens, SPACE, rows)
        others = [replace(row, ciphertext=b"o" * len(row.ciphertext)) for row in rows]
        insert_rows(transaction.tokens, OTHER, others)

    work.run(fill)


def detokenizes(name: str, token: str = "", space: TokenSpace = SPACE) -> Run:
    """The work of a call that looks one token up, and leaves its record."""

    def work(transaction: Transaction) -> str:
        found = transaction.tokens.find_by_token(space, [token or name])
        transaction.audit.append(replace(EVENT, request_id=name))
        (answer,) = found.tokens
        return answer

    return work


def good() -> dict[str, Run]:
    return {name: detokenizes(name) for name in (f"good {n:02}" for n in range(GOOD))}


@contextmanager
def busy(work: PostgresUnitOfWork) -> Iterator[None]:
    """Lets calls find a look-up under way; those that came meanwhile go together."""
    with work._counted():
        assert work._lookups._try_to_lead()
        try:
            yield
        finally:
            work._lookups._hand_over()


def together(
    pool: ThreadPoolExecutor,
    work: PostgresUnitOfWork,
    calls: dict[str, Run],
    *,
    waiting: int | None = None,
    before: Callable[[], object] = lambda: None,
) -> dict[str, Future[str]]:
    """Runs calls that look up together; returns how each of them went.

    Args:
        waiting: how many of them get as far as the look-up; all if None.
        before: called when they all wait.
    """
    with busy(work):
        begun = {name: pool.submit(work.run, call) for name, call in calls.items()}
        wanted = len(calls) if waiting is None else waiting
        until(lambda: len(work._lookups._waiting) == wanted)
        before()
    for each in begun.values():
        each.exception(SECONDS)
    return begun


def verified(engine: Engine) -> bool:
    return (
        not PostgresAuditReader(engine, lambda version: MacKey(version, bytes(32)))
        .verify()
        .findings
    )


def test_calls_that_come_together_share_a_round_trip(
    pool: ThreadPoolExecutor,
    work: PostgresUnitOfWork,
    owner: Owner,
    engine: Engine,
    statements: list[str],
) -> None:
    statements.clear()
    ended = together(pool, work, good())
    assert [each.result() for each in ended.values()] == recorded(owner) == sorted(good())
    assert sum("FROM tokens" in each for each in statements) == 1
    assert verified(engine)


def test_each_gets_what_it_asked_for_whatever_the_others_ask(
    pool: ThreadPoolExecutor, work: PostgresUnitOfWork
) -> None:
    names = list(good())
    seen: dict[str, StoredTokens] = {}

    def asks(name: str, space: TokenSpace, tokens: list[str]) -> Run:
        def run(transaction: Transaction) -> str:
            seen[name] = transaction.tokens.find_by_token(space, tokens)
            return name

        return run

    def asks_by_mac(name: str, space: TokenSpace, tokens: list[str]) -> Run:
        def run(transaction: Transaction) -> str:
            macs = [mac_of(token) for token in tokens]
            seen[name] = transaction.tokens.find_by_mac(space, Scope.FIELD, 1, macs)
            return name

        return run

    asked = {
        "one": (SPACE, names[:1]),
        "the same": (SPACE, names[:1]),
        "of the other field": (OTHER, names[:1]),
        "more": (SPACE, [names[2], "none such", names[0], names[1]]),
        "none": (SPACE, ["none such"]),
        "elsewhere": (TokenSpace("other tenant", SPACE.field), names),
    }
    kinds = {"": asks, " by mac": asks_by_mac}
    calls = {
        f"{name}{kind}": make(f"{name}{kind}", *what)
        for name, what in asked.items()
        for kind, make in kinds.items()
    }
    assert answered(together(pool, work, calls)) == sorted(calls)
    shared = dict(seen)
    for call in calls.values():
        work.run(call)  # alone
    for name, found in shared.items():
        assert rows_of(found) == rows_of(seen[name]), name
    assert [len(shared[name]) for name in asked] == [1, 1, 1, 3, 0, 0]


def rows_of(found: StoredTokens) -> list[tuple[object, ...]]:
    columns = (found.at, found.tokens, found.ciphertexts, found.key_versions, found.states)
    return sorted(zip(*columns, strict=True))


def test_a_single_call_waits_for_nobody(
    work: PostgresUnitOfWork, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leadership.Member, "wait", None)
    (name, *_) = good()
    assert work.run(detokenizes(name)) == name
    with work._counted():  # others are here, but none of them looks up
        assert work.run(detokenizes(name)) == name


def test_what_is_large_locks_or_extends_goes_alone(
    pool: ThreadPoolExecutor, work: PostgresUnitOfWork
) -> None:
    (name, *_) = good()

    def large(transaction: Transaction) -> str:
        tokens = [name, *(f"none {number}" for number in range(100))]
        return transaction.tokens.find_by_token(SPACE, tokens).tokens[0]

    def long(transaction: Transaction) -> str:
        return transaction.tokens.find_by_token(SPACE, [name, "n" * 5000]).tokens[0]

    def extends(transaction: Transaction) -> str:
        found = transaction.tokens.find_by_mac(
            SPACE, Scope.FIELD, 1, [mac_of(name)], extend=timedelta(days=1)
        )
        return found.tokens[0]

    def locks(transaction: Transaction) -> str:
        assert transaction.tokens.lock_by_token(SPACE, [name])
        return transaction.tokens.find_by_token(SPACE, [name]).tokens[0]

    with busy(work):
        begun = [pool.submit(work.run, call) for call in (large, long, extends, locks)]
        assert [each.result(SECONDS) for each in begun] == 4 * [name]


def test_a_value_whose_token_was_erased_gets_a_new_one(work: PostgresUnitOfWork) -> None:
    (name, *_) = good()

    def erase(transaction: Transaction) -> None:
        assert transaction.tokens.lock_by_token(SPACE, [name])
        transaction.tokens.tombstone(SPACE, TokenState.ERASED, [name], [])

    def again(transaction: Transaction) -> frozenset[str]:
        assert not transaction.tokens.find_by_mac(SPACE, Scope.FIELD, 1, [mac_of(name)])
        return insert_rows(transaction.tokens, SPACE, [new_token("new", mac_of(name))])

    work.run(erase)
    with work._counted():
        assert work.run(again) == {"new"}


# -- what one call may do to the others ---------------------------------------------------


@pytest.mark.parametrize("place", ["leads", "follows"])
def test_what_the_database_refuses_takes_no_other_down(
    pool: ThreadPoolExecutor, work: PostgresUnitOfWork, owner: Owner, engine: Engine, place: str
) -> None:
    bad = {"bad": detokenizes("bad", "no text in Postgres: \0")}
    ended = together(pool, work, {**bad, **good()} if place == "leads" else {**good(), **bad})
    assert isinstance(ended["bad"].exception(), StoreUnavailable)
    assert answered(ended) == recorded(owner) == sorted(good())
    assert verified(engine)


@pytest.mark.parametrize("place", ["leads", "follows"])
def test_a_call_past_its_deadline_gets_nothing(
    pool: ThreadPoolExecutor, work: PostgresUnitOfWork, owner: Owner, place: str
) -> None:
    bad = {"bad": detokenizes("bad", "good 00")}
    calls = {**bad, **good()} if place == "leads" else {**good(), **bad}
    ends = {"bad": time.monotonic() + 0.3}
    with busy(work):
        begun = {
            name: pool.submit(work.run, call, deadline=ends.get(name))
            for name, call in calls.items()
        }
        assert deadline_exceeded(begun["bad"].exception(SECONDS))
        until(lambda: len(work._lookups._waiting) == GOOD)
    for each in begun.values():
        each.exception(SECONDS)
    assert answered(begun) == recorded(owner) == sorted(good())


def test_a_leader_that_is_broken_off_leaves_nobody_waiting(
    pool: ThreadPoolExecutor,
    work: PostgresUnitOfWork,
    owner: Owner,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    close = SharedLookups._close

    def broken_off(lookups: SharedLookups, group: list[shared_lookups._Asking]) -> None:
        close(lookups, group)
        if len(group) > 1:
            raise SystemExit

    monkeypatch.setattr(SharedLookups, "_close", broken_off)
    ended = together(pool, work, good())
    assert [type(each.exception()) for each in ended.values()].count(SystemExit) == 1
    assert len(answered(ended)) == GOOD - 1
    assert answered(ended) == recorded(owner)
    assert work._lookups._leaders == 0


# -- connections ------------------------------------------------------------------------


def test_a_connection_that_died_while_idle_costs_nobody_anything(
    pool: ThreadPoolExecutor, work: PostgresUnitOfWork, owner: Owner
) -> None:
    ended = together(pool, work, good(), before=lambda: owner.execute(KILL))
    assert answered(ended) == recorded(owner) == sorted(good())


def test_a_connection_that_dies_with_a_look_up_costs_nobody_anything(
    pool: ThreadPoolExecutor, work: PostgresUnitOfWork, owner: Owner, database: Database
) -> None:
    waits = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"

    with psycopg.connect(database.superuser_conninfo) as other:
        other.execute("LOCK TABLE tokens IN ACCESS EXCLUSIVE MODE")

        def kill() -> None:
            until(lambda: owner.execute(waits).fetchone() is not None)
            owner.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE wait_event_type = 'Lock'"
            )
            other.rollback()

        killing = pool.submit(kill)
        ended = together(pool, work, good())
        killing.result(SECONDS)
    assert answered(ended) == recorded(owner) == sorted(good())


def test_a_look_up_that_hangs_holds_up_its_own_call_only(
    pool: ThreadPoolExecutor,
    work: PostgresUnitOfWork,
    engine: Engine,
    owner: Owner,
    patience: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in (group_commit, shared_lookups):
        monkeypatch.setattr(module, "PATIENCE", patience)
    with engine.connect() as connection:
        driver = connection.connection.driver_connection
        assert isinstance(driver, psycopg.Connection)
        pid = driver.info.backend_pid
    os.kill(pid, signal.SIGSTOP)
    try:
        with work._counted():
            late = detokenizes("hangs", "good 00")
            hangs = pool.submit(work.run, late, deadline=time.monotonic() + 0.5)
            until(lambda: work._lookups._leaders == 1)
            ended = {name: pool.submit(work.run, call) for name, call in good().items()}
            assert [each.result(SECONDS) for each in ended.values()] == list(ended)
            assert isinstance(hangs.exception(SECONDS), StoreUnavailable)
    finally:
        os.kill(pid, signal.SIGCONT)
    assert recorded(owner) == sorted(good())
    until(lambda: work._lookups._leaders == 0)


# -- what is left -----------------------------------------------------------------------


class Batch(list[str]):
    """What a call holds, the caller's values included."""


@pytest.mark.parametrize("ends", ["well", "refused", "refused with others"])
def test_what_calls_had_in_hand_does_not_wait_for_the_garbage_collector(
    pool: ThreadPoolExecutor, work: PostgresUnitOfWork, ends: str
) -> None:
    kept: list[weakref.ref[Batch]] = []
    bad = {"well": set(), "refused": set(range(4)), "refused with others": {1}}[ends]

    def call(number: int) -> None:
        def look(transaction: Transaction) -> str:
            batch = Batch(["\0" if number in bad else "good 00"])
            kept.append(weakref.ref(batch))
            found = transaction.tokens.find_by_token(SPACE, batch)
            transaction.audit.append(EVENT)
            return found.tokens[0]

        with suppress(TokenvaultError):
            work.run(look)

    gc.collect()
    gc.disable()
    try:
        with busy(work):
            begun = [pool.submit(call, number) for number in range(4)]
            until(lambda: len(work._lookups._waiting) == 4)
        for each in begun:
            each.result(SECONDS)
        assert [each() for each in kept] == 4 * [None]
    finally:
        gc.enable()
