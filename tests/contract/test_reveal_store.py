"""What every RevealStore does, in memory and in Postgres."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from threading import Event, Thread
from typing import Protocol
from uuid import UUID, uuid4

from vault.model import TokenSpace
from vault.service.ports import RevealPartRow, RevealRow, Transaction, UnitOfWork


class Backend(Protocol):
    @property
    def work(self) -> UnitOfWork: ...


def now(backend: Backend) -> datetime:
    return backend.work.run(lambda transaction: transaction.reveals.now())


def row(space: TokenSpace, ends: datetime, state: str = "open", principal: str = "a") -> RevealRow:
    return RevealRow(
        space.tenant, uuid4(), space.field, principal, state, ends, '{"v":1}', 1, bytes(32)
    )


def put(backend: Backend, *rows: RevealRow) -> None:
    def work(transaction: Transaction) -> None:
        for each in rows:
            transaction.reveals.put(each)

    backend.work.run(work)


def found(backend: Backend, tenant: str, reveal: UUID) -> RevealRow | None:
    locked = backend.work.run(lambda transaction: transaction.reveals.lock(tenant, reveal))
    return None if locked is None else locked[0]


def test_a_row_comes_back_as_it_was_stored(backend: Backend, space: TokenSpace) -> None:
    made = row(space, now(backend) + timedelta(microseconds=1))
    put(backend, made)
    assert found(backend, space.tenant, made.id) == made
    locked = backend.work.run(lambda each: each.reveals.lock(space.tenant, made.id))
    assert locked is not None
    assert locked[0] == made
    assert abs(locked[1] - now(backend)) < timedelta(minutes=1)
    assert backend.work.run(lambda each: each.reveals.lock(space.tenant, uuid4())) is None
    assert found(backend, space.tenant, uuid4()) is None
    assert found(backend, "another", made.id) is None


def test_a_row_takes_the_place_of_the_one_before(backend: Backend, space: TokenSpace) -> None:
    made = row(space, now(backend))
    changed = replace(made, state="granted", document="{}", mac=bytes([1]) * 32, key_version=2)
    put(backend, made, changed)
    assert found(backend, space.tenant, made.id) == changed


def test_a_principal_has_its_own_rows(backend: Backend, space: TokenSpace) -> None:
    later = now(backend) + timedelta(hours=1)
    mine = [row(space, later + timedelta(seconds=at), "denied") for at in range(3)]
    put(backend, *mine, row(space, later, principal="b"))
    listed = backend.work.run(lambda each: each.reveals.of_principal(space.tenant, "a", 2))
    assert listed == [mine[2], mine[1]]


def test_open_and_granted_rows_wait_until_they_end(backend: Backend, space: TokenSpace) -> None:
    later = now(backend) + timedelta(hours=1)
    waiting = [row(space, later, "open"), row(space, later + timedelta(1), "granted")]
    put(backend, *waiting, row(space, later, "draft"), row(space, now(backend) - timedelta(1)))
    other = TokenSpace(space.tenant, "other")
    put(backend, row(other, later))

    def work(transaction: Transaction) -> list[RevealRow]:
        return list(transaction.reveals.waiting(space.tenant, [space.field], 10))

    assert backend.work.run(work) == [waiting[1], waiting[0]]


def test_parts_are_stored_by_number(backend: Backend, space: TokenSpace) -> None:
    made = row(space, now(backend))
    parts = [
        RevealPartRow(space.tenant, made.id, at, bytes([at]) * 16, b"\0\0", 1, bytes(32))
        for at in (3, 1)
    ]
    changed = replace(parts[0], spent=b"\0\1", mac=bytes([1]) * 32)

    def work(transaction: Transaction) -> object:
        transaction.reveals.put(made, parts)
        transaction.reveals.put(replace(made, state="granted"), [changed])
        transaction.reveals.put(replace(made, state="revoked"))
        return transaction.reveals.parts(space.tenant, made.id, [1, 2, 3])

    assert backend.work.run(work) == {1: parts[1], 3: changed}
    stored = found(backend, space.tenant, made.id)
    assert stored is not None
    assert stored.state == "revoked"
    none = backend.work.run(lambda each: each.reveals.parts(space.tenant, uuid4(), [1]))
    assert none == {}


def test_what_was_spent_is_replaced_beside_digests_that_stay(
    backend: Backend, space: TokenSpace
) -> None:
    made = row(space, now(backend), "granted")
    parts = [
        RevealPartRow(space.tenant, made.id, at, bytes([at]) * 16, b"\0\0", 1, bytes(32))
        for at in (0, 1, 2)
    ]
    changed = [replace(each, spent=b"\0\1", mac=bytes([1]) * 32, key_version=2) for each in parts]
    later = replace(made, document="{}", mac=bytes([2]) * 32, key_version=2)

    def work(transaction: Transaction) -> object:
        transaction.reveals.put(made, parts)
        transaction.reveals.update(later, changed[:2])
        return transaction.reveals.parts(space.tenant, made.id, [0, 1, 2])

    assert backend.work.run(work) == {0: changed[0], 1: changed[1], 2: parts[2]}
    assert found(backend, space.tenant, made.id) == later


def test_parts_come_with_the_lock(backend: Backend, space: TokenSpace) -> None:
    made = row(space, now(backend), "granted")
    parts = [
        RevealPartRow(
            space.tenant, made.id, at, bytes([at]) * 16, bytes([0, at]), 1, bytes([at]) * 32
        )
        for at in (0, 1, 200)
    ]

    def locked(tenant: str, reveal: UUID, *numbers: int) -> object:
        found = backend.work.run(lambda each: each.reveals.lock_with_parts(tenant, reveal, numbers))
        if found is None:
            return None
        assert abs(found[1] - now(backend)) < timedelta(minutes=1)
        return found[0], found[2]

    backend.work.run(lambda each: each.reveals.put(made, parts))
    assert locked(space.tenant, made.id, 1, 2, 200) == (made, {1: parts[1], 200: parts[2]})
    assert locked(space.tenant, made.id, 7) == (made, {})
    assert locked(space.tenant, made.id) == (made, {})
    assert locked(space.tenant, uuid4(), 1) is None
    assert locked("another", made.id, 1) is None


def test_rows_that_await_a_review_are_found_until_they_do_not(
    backend: Backend, space: TokenSpace
) -> None:
    later = now(backend) + timedelta(hours=1)
    first = replace(row(space, later, "granted"), awaits_review=True)
    second = replace(row(space, later + timedelta(1), "revoked"), awaits_review=True)
    put(backend, first, second, row(space, later, "granted"))

    def awaiting(transaction: Transaction) -> list[RevealRow]:
        return list(transaction.reveals.awaiting_review(space.tenant, 10))

    assert backend.work.run(awaiting) == [second, first]
    put(backend, replace(second, awaits_review=False))
    assert backend.work.run(awaiting) == [first]
    assert backend.work.run(lambda each: each.reveals.awaiting_review("another", 10)) == []
    assert backend.work.run(lambda each: each.reveals.find(space.tenant, first.id)) == first
    assert backend.work.run(lambda each: each.reveals.find("another", first.id)) is None


def test_drafts_and_open_requests_are_counted_until_they_expire(
    backend: Backend, space: TokenSpace
) -> None:
    later = now(backend) + timedelta(hours=1)
    put(backend, row(space, later, "draft"), row(space, later, "open"), row(space, later, "denied"))
    put(backend, row(space, now(backend) - timedelta(1), "open"), row(space, later, principal="b"))
    counted = backend.work.run(lambda each: each.reveals.count_waiting(space.tenant, "a"))
    assert counted == 2


def test_who_says_one_name_takes_turns(backend: Backend, space: TokenSpace) -> None:
    order: list[str] = []
    held, go = Event(), Event()

    def first(transaction: Transaction) -> None:
        transaction.reveals.take_turns(space.tenant, "ann")
        held.set()
        assert go.wait(10)
        order.append("first")

    def second(transaction: Transaction) -> None:
        transaction.reveals.take_turns(space.tenant, "ann")
        order.append("second")

    threads = [Thread(target=backend.work.run, args=(work,)) for work in (first, second)]
    threads[0].start()
    assert held.wait(10)
    threads[1].start()
    go.set()
    for each in threads:
        each.join()
    assert order == ["first", "second"]
