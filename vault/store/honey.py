"""Sets of honey tokens in Postgres, within one open transaction."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import cast
from uuid import UUID

from sqlalchemy import Connection

from vault.errors import Reason, StoreUnavailable
from vault.postgres.transaction import Columns, execute
from vault.service.ports import HoneyRow

__all__ = ["PostgresHoneyStore"]

_COLUMNS = "tenant, id, field, active, document, salt, sealed, key_version, mac"
_MACS = "SELECT id, mac FROM honey_tokens WHERE tenant = %(tenant)b"
_ROWS = f"""
SELECT {_COLUMNS} FROM honey_tokens WHERE tenant = %(tenant)b AND id = ANY (%(ids)b::uuid[])
"""  # noqa: S608 - constants only
_LOCK = f"""
SELECT {_COLUMNS} FROM honey_tokens WHERE tenant = %(tenant)b AND id = %(id)b FOR UPDATE
"""  # noqa: S608 - constants only
_INSERT = f"""
INSERT INTO honey_tokens ({_COLUMNS})
VALUES (%(tenant)b, %(id)b, %(field)b, %(active)b, %(document)b, %(salt)b, %(sealed)b,
        %(key_version)b::integer, %(mac)b)
RETURNING id
"""  # noqa: S608 - constants only
_UPDATE = """
UPDATE honey_tokens
SET active = %(active)b, document = %(document)b, salt = %(salt)b, sealed = %(sealed)b,
    key_version = %(key_version)b::integer, mac = %(mac)b
WHERE tenant = %(tenant)b AND id = %(id)b
RETURNING id
"""


class PostgresHoneyStore:
    """The HoneyStore of one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def macs(self, tenant: str) -> Mapping[UUID, bytes]:
        """Returns the MAC of every row, by its id."""
        rows = execute(self._connection, _MACS, {"tenant": tenant})
        return dict(cast("Sequence[tuple[UUID, bytes]]", rows))

    def rows(self, tenant: str, ids: Collection[UUID]) -> Sequence[HoneyRow]:
        """Returns the rows of these ids that there are."""
        if not ids:
            return []
        parameters = {"tenant": tenant, "ids": list(ids)}
        return [_row(each) for each in execute(self._connection, _ROWS, parameters)]

    def lock(self, tenant: str, set_id: UUID) -> HoneyRow | None:
        """Locks and returns a row, None where there is none."""
        rows = execute(self._connection, _LOCK, {"tenant": tenant, "id": set_id})
        return _row(rows[0]) if len(rows) == 1 else None

    def insert(self, row: HoneyRow) -> None:
        """Inserts a row."""
        self._write(_INSERT, row)

    def update(self, row: HoneyRow) -> None:
        """Replaces all of a locked row but its place."""
        self._write(_UPDATE, row)

    def _write(self, statement: str, row: HoneyRow) -> None:
        parameters = {
            "tenant": row.tenant,
            "id": row.id,
            "field": row.field,
            "active": row.active,
            "document": row.document,
            "salt": row.salt,
            "sealed": row.sealed,
            "key_version": row.key_version,
            "mac": row.mac,
        }
        if list(execute(self._connection, statement, parameters)) != [(row.id,)]:
            raise StoreUnavailable("honey tokens were not stored", reason=Reason.INTERNAL)


def _row(columns: Columns) -> HoneyRow:
    return HoneyRow(*cast("tuple[str, UUID, str, bool, str, bytes, bytes, int, bytes]", columns))
