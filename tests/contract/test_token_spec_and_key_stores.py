"""What every TokenSpecStore and DataKeyStore does, in memory and in Postgres."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

import pytest

from vault.errors import StoreUnavailable
from vault.model import TokenSpace
from vault.service.ports import DataKeyRecord, DataKeyStore, KeyManifest, UnitOfWork


class Backend(Protocol):
    @property
    def work(self) -> UnitOfWork: ...
    @property
    def data_keys(self) -> DataKeyStore: ...


def key(space: TokenSpace, version: int, wrapped: str = "vault:v1:abc") -> DataKeyRecord:
    return DataKeyRecord(space.tenant, space.field, "field", version, wrapped, active=True, uses=0)


def stored(backend: Backend, space: TokenSpace) -> list[tuple[int, str, bool, int]]:
    return [
        (record.version, record.wrapped, record.active, record.uses)
        for record in backend.data_keys.all()
        if record.tenant == space.tenant and record.field == space.field
    ]


def test_the_first_token_spec_stays(backend: Backend, space: TokenSpace) -> None:
    other = TokenSpace(space.tenant, "us_ssn")
    specs = [(space, "one"), (space, "two"), (other, "three")]

    def recorded(at: TokenSpace, spec: str) -> str:
        return backend.work.run(lambda transaction: transaction.token_specs.record(at, spec))

    answers = [recorded(at, spec) for at, spec in specs]
    assert answers == ["one", "one", "three"]
    known = backend.work.run(lambda transaction: transaction.token_specs.recorded(space.tenant))
    assert known == {space.field: "one", "us_ssn": "three"}


def test_a_version_that_exists_is_left_as_it_is(backend: Backend, space: TokenSpace) -> None:
    backend.data_keys.add([key(space, 1, "first")])
    backend.data_keys.add([key(space, 1, "second")])
    assert stored(backend, space) == [(1, "first", True, 0)]
    record = next(r for r in backend.data_keys.all() if r.tenant == space.tenant)
    assert record.created is not None
    assert "first" not in repr(record)


def test_the_highest_version_is_the_active_one(backend: Backend, space: TokenSpace) -> None:
    backend.data_keys.add([key(space, 1)])
    backend.data_keys.add([key(space, 3), key(space, 2)])
    assert [row[:3:2] for row in stored(backend, space)] == [(1, False), (2, False), (3, True)]
    backend.data_keys.add([key(space, 2)])
    assert [row[:3:2] for row in stored(backend, space)] == [(1, False), (2, False), (3, True)]


def test_keys_are_added_together_and_ordered(backend: Backend, space: TokenSpace) -> None:
    audit = DataKeyRecord(space.tenant, "", "audit", 1, "w", active=True, uses=0)
    index = DataKeyRecord(space.tenant, space.field, "index", 1, "w", active=True, uses=0)
    backend.data_keys.add([index, key(space, 1), audit])
    mine = [r for r in backend.data_keys.all() if r.tenant == space.tenant]
    assert [record.purpose for record in mine] == ["audit", "field", "index"]
    assert all(record.active for record in mine)


def test_uses_add_up(backend: Backend, space: TokenSpace) -> None:
    backend.data_keys.add([key(space, 1)])
    totals = [
        backend.data_keys.reserve(space.tenant, space.field, "field", 1, uses)
        for uses in (1_000_000, 2**40)
    ]
    assert totals == [1_000_000, 1_000_000 + 2**40]
    assert stored(backend, space)[0][3] == totals[-1]


def test_uses_of_an_unknown_version_are_refused(backend: Backend, space: TokenSpace) -> None:
    with pytest.raises(StoreUnavailable):
        backend.data_keys.reserve(space.tenant, space.field, "field", 9, 1)


def test_an_epoch_is_begun_once_with_its_keys(backend: Backend, space: TokenSpace) -> None:
    here = backend.data_keys.database_identity().current
    assert here
    backend.data_keys.add([key(space, 1)])
    backend.data_keys.begin_epoch(f"before {space.tenant}", [])
    restored = replace(key(space, 2), restored=True)
    assert backend.data_keys.begin_epoch(here, [restored])
    assert not backend.data_keys.begin_epoch(here, [key(space, 3)])
    assert [row[:3:2] for row in stored(backend, space)] == [(1, False), (2, True)]
    marked = [r.restored for r in backend.data_keys.all() if r.tenant == space.tenant]
    assert marked == [False, True]
    identity = backend.data_keys.database_identity()
    assert identity.current == identity.recorded == here


def test_the_last_generation_of_the_manifest_is_in_force(
    backend: Backend, space: TokenSpace
) -> None:
    first, second = (
        KeyManifest(space.tenant, number, f"document {number}", 1, bytes([number]) * 32)
        for number in (1, 2)
    )
    assert backend.data_keys.manifest(space.tenant) is None
    assert backend.data_keys.add_manifest(first)
    assert backend.data_keys.add_manifest(second)
    assert not backend.data_keys.add_manifest(replace(second, document="another"))
    assert not backend.data_keys.add_manifest(first)
    assert backend.data_keys.manifest(space.tenant) == second
    assert backend.data_keys.manifest(f"{space.tenant} other") is None
    assert "document" not in repr(second).removeprefix("KeyManifest")
