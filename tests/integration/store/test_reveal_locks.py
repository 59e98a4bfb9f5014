"""A grant's parts that come with its lock, where another call had the lock before."""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from threading import Event
from uuid import uuid4

from psycopg import Connection

from vault.server.unit_of_work import PostgresUnitOfWork
from vault.service.ports import RevealPartRow, RevealRow, Transaction

ENDS = datetime(2030, 1, 1, tzinfo=UTC)
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"


def test_parts_of_before_the_lock_are_not_taken_for_those_of_now(
    work: PostgresUnitOfWork, owner: Connection[tuple[object, ...]]
) -> None:
    made = RevealRow("t", uuid4(), "card", "a", "granted", ENDS, "{}", 1, bytes(32))
    part = RevealPartRow("t", made.id, 0, bytes(16), b"\0\0", 1, bytes(32))
    changed, later = replace(part, spent=b"\0\1"), replace(made, mac=bytes([1]) * 32)
    work.run(lambda transaction: transaction.reveals.put(made, [part]))
    held = Event()

    def first(transaction: Transaction) -> None:
        transaction.reveals.update(later, [changed])
        held.set()
        for _ in range(2000):
            if owner.execute(WAITING).fetchone() == (1,):
                return
            time.sleep(0.005)
        raise AssertionError("nobody waits for the lock")

    def second(transaction: Transaction) -> tuple[RevealRow, Mapping[int, RevealPartRow]]:
        assert held.wait(10)
        found = transaction.reveals.lock_with_parts("t", made.id, [0])
        assert found is not None
        assert transaction.reveals.parts("t", made.id, [0]) == {0: changed}
        return found[0], found[2]

    with ThreadPoolExecutor(2) as pool:
        ahead, behind = pool.submit(work.run, first), pool.submit(work.run, second)
        ahead.result()
        assert behind.result() == (later, {})
    again = work.run(lambda each: each.reveals.lock_with_parts("t", made.id, [0]))
    assert again is not None
    assert (again[0], again[2]) == (later, {0: changed})
