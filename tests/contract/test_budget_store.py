"""What every BudgetStore does, in memory and in Postgres."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Protocol

import pytest

from tests.unit.service.conftest import FixedKeys
from vault.errors import BudgetExhausted, StoreUnavailable
from vault.model import Action, TokenSpace
from vault.policy.limits import Quota
from vault.service.budgets import Budgets
from vault.service.ports import BudgetCounter, BudgetKey, Transaction, UnitOfWork

COUNTER = BudgetCounter(7, '{"3600":[1,[7]]}', 3, bytes(range(32)))
OTHER = BudgetCounter(9, '{"3600":[1,[9]]}', 4, bytes(32))


class Backend(Protocol):
    @property
    def work(self) -> UnitOfWork: ...


class Cancelled(Exception):
    """Ends a transaction without a commit."""


@pytest.fixture
def key(space: TokenSpace) -> BudgetKey:
    return BudgetKey(space, Action.DETOKENIZE, "full", "spiffe://example.org/a")


def locked(backend: Backend, key: BudgetKey) -> BudgetCounter | None:
    return backend.work.run(lambda transaction: transaction.budgets.lock(key)[1])


def test_a_counter_is_kept_whole(backend: Backend, key: BudgetKey) -> None:
    assert locked(backend, key) is None
    backend.work.run(lambda transaction: transaction.budgets.insert(key, COUNTER))
    assert locked(backend, key) == COUNTER
    backend.work.run(lambda transaction: transaction.budgets.insert(key, OTHER))
    assert locked(backend, key) == COUNTER
    backend.work.run(lambda transaction: transaction.budgets.update(key, OTHER))
    assert locked(backend, key) == OTHER


def test_every_part_of_the_key_is_another_counter(backend: Backend, key: BudgetKey) -> None:
    backend.work.run(lambda transaction: transaction.budgets.insert(key, COUNTER))
    others = [
        BudgetKey(TokenSpace(key.space.tenant, "other"), key.action, key.view, key.principal),
        BudgetKey(TokenSpace("other", key.space.field), key.action, key.view, key.principal),
        BudgetKey(key.space, Action.DECRYPT, key.view, key.principal),
        BudgetKey(key.space, key.action, "last4", key.principal),
        BudgetKey(key.space, key.action, key.view, "spiffe://example.org/b"),
    ]
    assert [locked(backend, each) for each in others] == [None] * 5


def test_what_is_not_there_is_not_updated(backend: Backend, key: BudgetKey) -> None:
    with pytest.raises(StoreUnavailable):
        backend.work.run(lambda transaction: transaction.budgets.update(key, COUNTER))


def test_what_is_rolled_back_is_not_kept(backend: Backend, key: BudgetKey) -> None:
    def work(transaction: Transaction) -> None:
        transaction.budgets.insert(key, COUNTER)
        raise Cancelled

    with pytest.raises(Cancelled):
        backend.work.run(work)
    assert locked(backend, key) is None


def test_its_time_is_now(backend: Backend, key: BudgetKey) -> None:
    now = backend.work.run(lambda transaction: transaction.budgets.lock(key)[0])
    assert abs(now / 1e6 - datetime.now(UTC).timestamp()) < 60


def test_charges_at_once_are_exact(backend: Backend, key: BudgetKey) -> None:
    """Twenty callers of 7 values each under a budget of 100: fourteen of them get through."""
    budgets, budget = Budgets(FixedKeys()), (Quota(3600, 100), Quota(86_400, 1000))

    def call(_: int) -> bool:
        def work(transaction: Transaction) -> int:
            return budgets.charge(transaction.budgets, key, [budget], 7)

        try:
            budgets.remember(key, backend.work.run(work))
        except BudgetExhausted:
            return False
        return True

    with ThreadPoolExecutor(5) as pool:
        through = sum(pool.map(call, range(20)))
    assert through == 14
    found = locked(backend, key)
    assert found is not None
    assert found.total == 14 * 7
