"""Sets of honey tokens in memory, under the same contract tests as Postgres."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TypeAlias
from uuid import UUID

from vault.service.ports import HoneyRow

__all__ = ["HoneyTable", "MemoryHoney"]

HoneyTable: TypeAlias = dict[tuple[str, UUID], HoneyRow]
"""Rows by tenant and id."""


class MemoryHoney:
    """The HoneyStore of one transaction."""

    def __init__(self, rows: HoneyTable) -> None:
        self._rows = rows

    def macs(self, tenant: str) -> Mapping[UUID, bytes]:
        """Returns the MAC of every row, by its id."""
        return {row.id: row.mac for row in self._rows.values() if row.tenant == tenant}

    def rows(self, tenant: str, ids: Collection[UUID]) -> Sequence[HoneyRow]:
        """Returns the rows of these ids that there are."""
        found = (self._rows.get((tenant, each)) for each in ids)
        return [row for row in found if row is not None]

    def lock(self, tenant: str, set_id: UUID) -> HoneyRow | None:
        """Returns a row, None where there is none."""
        return self._rows.get((tenant, set_id))

    def insert(self, row: HoneyRow) -> None:
        """Inserts a row."""
        self._rows[row.tenant, row.id] = row

    def update(self, row: HoneyRow) -> None:
        """Replaces a row."""
        self._rows[row.tenant, row.id] = row

    def remove(self, tenant: str, set_id: UUID) -> None:
        """Removes a row, as the database's owner can."""
        del self._rows[tenant, set_id]
