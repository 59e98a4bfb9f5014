"""What every FreezeStore does, in memory and in Postgres."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Protocol

from vault.model import TokenSpace
from vault.service.ports import FreezeRow, Transaction, UnitOfWork

SINCE = datetime(2026, 11, 28, 1, 2, 3, 4, tzinfo=UTC)


class Backend(Protocol):
    @property
    def work(self) -> UnitOfWork: ...


def row(space: TokenSpace, name: str, *, frozen: bool = False) -> FreezeRow:
    return FreezeRow(space.tenant, "principal", name, frozen, None, 0, "{}", 1, bytes(32))


def insert(backend: Backend, *rows: FreezeRow) -> None:
    def work(transaction: Transaction) -> None:
        for each in rows:
            transaction.freezes.insert(each)

    backend.work.run(work)


def locked(backend: Backend, at: FreezeRow) -> tuple[datetime, FreezeRow | None]:
    return backend.work.run(
        lambda transaction: transaction.freezes.lock(at.tenant, at.kind, at.name)
    )


def test_a_row_comes_back_as_it_was_stored(backend: Backend, space: TokenSpace) -> None:
    made = row(space, "a")
    now, nothing = locked(backend, made)
    assert nothing is None
    assert abs(now - datetime.now(UTC)) < timedelta(minutes=1)
    insert(backend, made)
    assert locked(backend, made)[1] == made
    assert locked(backend, replace(made, kind="person"))[1] is None
    assert locked(backend, replace(made, tenant="other"))[1] is None


def test_a_second_insert_changes_nothing_and_an_update_all(
    backend: Backend, space: TokenSpace
) -> None:
    made = row(space, "a")
    insert(backend, made, replace(made, frozen=True))
    assert locked(backend, made)[1] == made
    later = replace(
        made, frozen=True, changed=SINCE, touched=3, document='{"v":1}', key_version=2,
        mac=bytes([1]) * 32,
    )  # fmt: skip
    backend.work.run(lambda transaction: transaction.freezes.update(later))
    assert locked(backend, made)[1] == later


def test_all_come_the_frozen_first_then_the_last_change(
    backend: Backend, space: TokenSpace
) -> None:
    rows = [
        row(space, "never"),
        replace(row(space, "lifted"), changed=SINCE),
        replace(row(space, "old", frozen=True), changed=SINCE),
        replace(row(space, "new", frozen=True), changed=SINCE + timedelta(seconds=1)),
    ]
    insert(backend, *rows)
    found = backend.work.run(lambda transaction: transaction.freezes.all(space.tenant))
    assert [each.name for each in found] == ["new", "old", "lifted", "never"]
    assert backend.work.run(lambda transaction: transaction.freezes.all("other")) == []
