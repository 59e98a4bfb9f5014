"""Freezes in Postgres, within one open transaction."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import cast

from sqlalchemy import Connection

from vault.errors import Reason, StoreUnavailable
from vault.postgres.transaction import execute
from vault.service.ports import FreezeRow

__all__ = ["PostgresFreezeStore"]

_COLUMNS = "tenant, kind, name, frozen, changed, touched, document, key_version, mac"
_PLACE = "tenant = %(tenant)b AND kind = %(kind)b AND name = %(name)b"
# The time is that of the lock, not that of the wait for it.
_LOCK = f"""
WITH locked AS MATERIALIZED (SELECT {_COLUMNS} FROM freezes WHERE {_PLACE} FOR UPDATE)
SELECT clock_timestamp(), l.* FROM (SELECT) AS always LEFT JOIN locked l ON true
"""  # noqa: S608 - constants only
_INSERT = f"""
INSERT INTO freezes ({_COLUMNS})
VALUES (%(tenant)b, %(kind)b, %(name)b, %(frozen)b, %(changed)b::timestamptz,
        %(touched)b::bigint, %(document)b, %(key_version)b::integer, %(mac)b)
ON CONFLICT (tenant, kind, name) DO NOTHING
"""  # noqa: S608 - constants only
_UPDATE = f"""
UPDATE freezes
SET frozen = %(frozen)b, changed = %(changed)b::timestamptz, touched = %(touched)b::bigint,
    document = %(document)b, key_version = %(key_version)b::integer, mac = %(mac)b
WHERE {_PLACE}
RETURNING touched
"""  # noqa: S608 - constants only
_ALL = f"""
SELECT {_COLUMNS} FROM freezes WHERE tenant = %(tenant)b
ORDER BY frozen DESC, changed DESC NULLS LAST, kind, name
"""  # noqa: S608 - constants only


class PostgresFreezeStore:
    """The FreezeStore of one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def lock(self, tenant: str, kind: str, name: str) -> tuple[datetime, FreezeRow | None]:
        """Locks and returns a row, and the time as of then."""
        place = {"tenant": tenant, "kind": kind, "name": name}
        rows = execute(self._connection, _LOCK, place)
        if len(rows) != 1:
            raise StoreUnavailable("the database has a freeze twice", reason=Reason.INTERNAL)
        now, *columns = rows[0]
        assert isinstance(now, datetime)
        return now.astimezone(UTC), None if columns[0] is None else _row(columns)

    def insert(self, row: FreezeRow) -> None:
        """Inserts a row, unless there is one already."""
        execute(self._connection, _INSERT, _parameters(row))

    def update(self, row: FreezeRow) -> None:
        """Replaces a row that is locked."""
        if list(execute(self._connection, _UPDATE, _parameters(row))) != [(row.touched,)]:
            raise StoreUnavailable("a freeze was not stored", reason=Reason.INTERNAL)

    def all(self, tenant: str) -> Sequence[FreezeRow]:
        """Returns every row, the frozen first, then the last change first."""
        return [_row(each) for each in execute(self._connection, _ALL, {"tenant": tenant})]


def _row(columns: Sequence[object]) -> FreezeRow:
    return FreezeRow(
        *cast("tuple[str, str, str, bool, datetime | None, int, str, int, bytes]", tuple(columns))
    )


def _parameters(row: FreezeRow) -> dict[str, object]:
    return {
        "tenant": row.tenant,
        "kind": row.kind,
        "name": row.name,
        "frozen": row.frozen,
        "changed": row.changed,
        "touched": row.touched,
        "document": row.document,
        "key_version": row.key_version,
        "mac": row.mac,
    }
