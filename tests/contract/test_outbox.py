"""What every Outbox does, in memory and in Postgres."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from threading import Barrier, Thread
from typing import Protocol
from uuid import uuid4

import pytest

from vault.service.ports import DueNotice, OutboxRow, Transaction, UnitOfWork

LEASE = timedelta(minutes=1)


class Backend(Protocol):
    @property
    def work(self) -> UnitOfWork: ...


@pytest.fixture
def endpoint() -> str:
    """A receiver of the test's own, so that tests can share a database."""
    return f"endpoint-{secrets.token_hex(4)}"


def row(endpoint: str, event: str = "{}") -> OutboxRow:
    return OutboxRow("default", uuid4(), endpoint, event, 1, secrets.token_bytes(32))


def add(backend: Backend, *rows: OutboxRow) -> None:
    backend.work.run(lambda transaction: transaction.outbox.add(rows))


def claim(backend: Backend, endpoint: str, lease: timedelta = LEASE) -> DueNotice | None:
    return backend.work.run(lambda transaction: transaction.outbox.claim(endpoint, lease))


def test_a_row_is_claimed_as_it_was_added_and_by_one(backend: Backend, endpoint: str) -> None:
    made = row(endpoint, '{"id":"1"}')
    add(backend, made)
    due = claim(backend, endpoint)
    assert due is not None
    assert due.row == made
    assert due.attempts == 1
    assert timedelta(0) <= due.age < LEASE
    assert claim(backend, endpoint) is None
    assert claim(backend, "another") is None


def test_each_receiver_has_a_row_of_a_notice(backend: Backend, endpoint: str) -> None:
    first = row(endpoint)
    second = replace(first, endpoint=endpoint + "-2", mac=bytes(32))
    add(backend, first, second)
    for each in (first, second):
        due = claim(backend, each.endpoint)
        assert due is not None
        assert due.row == each
    backend.work.run(lambda transaction: transaction.outbox.remove(first))
    backend.work.run(lambda transaction: transaction.outbox.postpone(second, timedelta(0)))
    assert claim(backend, first.endpoint) is None
    again = claim(backend, second.endpoint)
    assert again is not None
    assert again.attempts == 2


def test_what_is_due_the_longest_comes_first(backend: Backend, endpoint: str) -> None:
    rows = [row(endpoint) for _ in range(3)]
    for each in rows:
        add(backend, each)
    backend.work.run(lambda transaction: transaction.outbox.postpone(rows[0], timedelta(hours=1)))
    claimed = [claim(backend, endpoint) for _ in range(3)]
    assert [None if due is None else due.row for due in claimed] == [*rows[1:], None]


def test_a_lease_that_has_ended_is_taken_over(backend: Backend, endpoint: str) -> None:
    made = row(endpoint)
    add(backend, made)
    attempts = [claim(backend, endpoint, timedelta(0)) for _ in range(3)]
    assert [due.attempts for due in attempts if due is not None] == [1, 2, 3]


def test_what_is_rolled_back_was_never_owed(backend: Backend, endpoint: str) -> None:
    def work(transaction: Transaction) -> None:
        transaction.outbox.add([row(endpoint)])
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        backend.work.run(work)
    assert claim(backend, endpoint) is None


def test_many_who_claim_at_once_share_the_rows(backend: Backend, endpoint: str) -> None:
    rows = [row(endpoint) for _ in range(8)]
    for each in rows:
        add(backend, each)
    claimed: list[OutboxRow] = []
    together = Barrier(4)

    def take() -> None:
        together.wait()
        while (due := claim(backend, endpoint)) is not None:
            claimed.append(due.row)

    in_threads([Thread(target=take) for _ in range(4)])
    assert sorted(each.id for each in claimed) == sorted(each.id for each in rows)


def in_threads(threads: Sequence[Thread]) -> None:
    for each in threads:
        each.start()
    for each in threads:
        each.join()
