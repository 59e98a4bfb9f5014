"""What every HoneyStore does, in memory and in Postgres."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol
from uuid import UUID, uuid4

from vault.model import TokenSpace
from vault.service.ports import HoneyRow, UnitOfWork


class Backend(Protocol):
    @property
    def work(self) -> UnitOfWork: ...


def row(space: TokenSpace) -> HoneyRow:
    return HoneyRow(
        space.tenant, uuid4(), space.field, True, "{}", bytes(16), b"sealed", 1, bytes(32)
    )


def insert(backend: Backend, made: HoneyRow) -> None:
    backend.work.run(lambda transaction: transaction.honey.insert(made))


def locked(backend: Backend, tenant: str, set_id: UUID) -> HoneyRow | None:
    return backend.work.run(lambda transaction: transaction.honey.lock(tenant, set_id))


def test_a_row_comes_back_as_it_was_stored(backend: Backend, space: TokenSpace) -> None:
    made = row(space)
    insert(backend, made)
    assert locked(backend, space.tenant, made.id) == made
    assert locked(backend, space.tenant, uuid4()) is None
    assert locked(backend, "another", made.id) is None


def test_an_update_replaces_all_but_the_place(backend: Backend, space: TokenSpace) -> None:
    made = row(space)
    insert(backend, made)
    later = replace(
        made, active=False, document='{"v":1}', salt=b"s" * 16, sealed=b"", key_version=2,
        mac=bytes([1]) * 32,
    )  # fmt: skip
    backend.work.run(lambda transaction: transaction.honey.update(later))
    assert locked(backend, space.tenant, made.id) == later


def test_macs_and_rows_are_a_tenants_own(backend: Backend, space: TokenSpace) -> None:
    made, other = row(space), replace(row(space), mac=bytes([7]) * 32)
    insert(backend, made)
    insert(backend, other)
    macs = backend.work.run(lambda transaction: transaction.honey.macs(space.tenant))
    assert macs == {made.id: made.mac, other.id: other.mac}
    wanted = [other.id, uuid4()]
    rows = backend.work.run(lambda transaction: transaction.honey.rows(space.tenant, wanted))
    assert rows == [other]
    assert backend.work.run(lambda transaction: transaction.honey.rows(space.tenant, [])) == []
    assert backend.work.run(lambda transaction: transaction.honey.macs("another")) == {}
