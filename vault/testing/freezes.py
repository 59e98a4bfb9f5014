"""Freezes in memory, under the same contract tests as Postgres."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TypeAlias

from vault.service.ports import FreezeRow

__all__ = ["FreezeTable", "MemoryFreezes"]

FreezeTable: TypeAlias = dict[tuple[str, str, str], FreezeRow]
"""Rows by tenant, kind and name."""

_NEVER = datetime.min.replace(tzinfo=UTC)


class MemoryFreezes:
    """The FreezeStore of one transaction."""

    def __init__(self, rows: FreezeTable, now: datetime) -> None:
        self._rows = rows
        self._now = now

    def lock(self, tenant: str, kind: str, name: str) -> tuple[datetime, FreezeRow | None]:
        """Returns a row, and the time."""
        return self._now, self._rows.get((tenant, kind, name))

    def insert(self, row: FreezeRow) -> None:
        """Inserts a row, unless there is one already."""
        self._rows.setdefault((row.tenant, row.kind, row.name), row)

    def update(self, row: FreezeRow) -> None:
        """Replaces a row."""
        self._rows[row.tenant, row.kind, row.name] = row

    def remove(self, tenant: str, kind: str, name: str) -> None:
        """Removes a row, as the database's owner can."""
        del self._rows[tenant, kind, name]

    def all(self, tenant: str) -> Sequence[FreezeRow]:
        """Returns every row, the frozen first, then the last change first."""
        rows = sorted(self._rows.values(), key=lambda row: (row.kind, row.name))
        rows.sort(key=lambda row: row.changed or _NEVER, reverse=True)
        rows.sort(key=lambda row: row.frozen, reverse=True)
        return [row for row in rows if row.tenant == tenant]
