"""Counters of limits where transactions overlap in time."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from vault.model import Action, TokenSpace
from vault.service.ports import LimitKey, Transaction

if TYPE_CHECKING:
    from tests.integration.conftest import Owner
    from vault.server.unit_of_work import PostgresUnitOfWork

KEY = LimitKey(TokenSpace("default", "us_ssn"), Action.TOKENIZE, "spiffe://example.org/a")


def charge(transaction: Transaction, values: int) -> int:
    return transaction.limits.charge(KEY, [1], values)[0].used


def test_who_waited_into_the_next_window_counts_there(
    work: PostgresUnitOfWork, owner: Owner
) -> None:
    """Otherwise the late one would put the window, and its count, back."""

    def late(transaction: Transaction) -> int:
        time.sleep(1.1)
        owner.execute(
            "INSERT INTO limit_counters VALUES ('default', 'us_ssn', 'tokenize', %s, 1,"
            " floor(extract(epoch FROM clock_timestamp())), 70)",
            [KEY.principal],
        )
        return charge(transaction, 5)

    assert work.run(late) == 75


def test_one_row_is_enough_for_all_windows(work: PostgresUnitOfWork, owner: Owner) -> None:
    for _ in range(2):
        work.run(lambda transaction: charge(transaction, 1))
        time.sleep(1.01)
    assert owner.execute("SELECT count(*) FROM limit_counters").fetchone() == (1,)
