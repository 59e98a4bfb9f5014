"""What every LimitStore does, in memory and in Postgres."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import pytest

from vault.errors import LimitExceeded
from vault.model import Action, TokenSpace
from vault.policy.limits import Quota
from vault.service.limits import charge
from vault.service.ports import LimitKey, Transaction, UnitOfWork

DAY = 86_400
YEAR = 366 * DAY


class Backend(Protocol):
    @property
    def work(self) -> UnitOfWork: ...


class Cancelled(Exception):
    """Ends a transaction without a commit."""


def used(backend: Backend, key: LimitKey, values: int, windows: tuple[int, ...] = (YEAR,)) -> int:
    def work(transaction: Transaction) -> int:
        return transaction.limits.charge(key, windows, values)[-1].used

    return backend.work.run(work)


@pytest.fixture
def key(space: TokenSpace) -> LimitKey:
    return LimitKey(space, Action.TOKENIZE, "spiffe://example.org/a")


def test_charges_add_up(backend: Backend, key: LimitKey) -> None:
    assert [used(backend, key, values) for values in (10, 1, 10_000)] == [10, 11, 10_011]


def test_every_part_of_the_key_counts_apart(backend: Backend, key: LimitKey) -> None:
    others = [
        LimitKey(TokenSpace(key.space.tenant, "other"), key.action, key.principal),
        LimitKey(TokenSpace(key.space.tenant + "x", key.space.field), key.action, key.principal),
        LimitKey(key.space, Action.LOOKUP, key.principal),
        LimitKey(key.space, key.action, "spiffe://example.org/b"),
    ]
    assert [used(backend, each, 5) for each in (key, *others)] == [5] * 5


def test_windows_count_apart_and_come_back_shortest_first(backend: Backend, key: LimitKey) -> None:
    used(backend, key, 7, (YEAR,))

    def work(transaction: Transaction) -> list[tuple[int, int]]:
        uses = transaction.limits.charge(key, [YEAR, DAY], 5)
        assert all(0 <= use.left <= use.seconds for use in uses)
        return [(use.seconds, use.used) for use in uses]

    assert backend.work.run(work) == [(DAY, 5), (YEAR, 12)]


def test_what_is_rolled_back_is_not_charged(backend: Backend, key: LimitKey) -> None:
    def work(transaction: Transaction) -> None:
        transaction.limits.charge(key, [YEAR], 100)
        raise Cancelled

    with pytest.raises(Cancelled):
        backend.work.run(work)
    assert used(backend, key, 1) == 1


def test_a_new_window_begins_at_nothing(backend: Backend, key: LimitKey) -> None:
    def left(transaction: Transaction) -> float:
        return transaction.limits.charge(key, [1], 3)[0].left

    time.sleep(backend.work.run(left) + 0.01)
    assert used(backend, key, 4, (1,)) == 4


def test_charges_at_once_are_exact(backend: Backend, key: LimitKey) -> None:
    """Twenty callers of 7 values each under a limit of 100: fourteen of them get through."""

    def call(_: int) -> bool:
        def work(transaction: Transaction) -> None:
            charge(transaction.limits, key, [Quota(DAY, 1000), Quota(YEAR, 100)], 7)

        try:
            backend.work.run(work)
        except LimitExceeded:
            return False
        return True

    with ThreadPoolExecutor(5) as pool:
        through = sum(pool.map(call, range(20)))
    assert through == 14
    assert used(backend, key, 1) == 14 * 7 + 1
