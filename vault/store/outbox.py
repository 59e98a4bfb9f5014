"""Notices that are to be sent, in Postgres, within one open transaction."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import cast
from uuid import UUID

from sqlalchemy import Connection

from vault.errors import Reason, StoreUnavailable
from vault.postgres.arrays import ByteaArray, TextArray
from vault.postgres.transaction import execute
from vault.service.ports import DueNotice, OutboxRow

__all__ = ["PostgresOutbox"]

_ADD = """
INSERT INTO webhook_outbox AS o
    (tenant, id, endpoint, event, created, due, attempts, key_version, mac)
SELECT %(tenant)b, %(id)b, u.endpoint, %(event)b, clock_timestamp(), clock_timestamp(), 0,
       %(key_version)b, u.mac
FROM unnest(%(endpoints)b::text[], %(macs)b::bytea[]) AS u (endpoint, mac)
ORDER BY u.endpoint
RETURNING o.endpoint
"""
# The statement's time, not the clock's: that is no condition of an index.
_CLAIM = """
WITH first AS MATERIALIZED (
    SELECT tenant, id, endpoint FROM webhook_outbox
    WHERE endpoint = %(endpoint)b AND due <= statement_timestamp()
    ORDER BY due LIMIT 1 FOR UPDATE SKIP LOCKED
)
UPDATE webhook_outbox AS o
SET attempts = o.attempts + 1, due = clock_timestamp() + %(seconds)b * interval '1 second'
FROM first AS f WHERE o.tenant = f.tenant AND o.id = f.id AND o.endpoint = f.endpoint
RETURNING o.tenant, o.id, o.endpoint, o.event, o.key_version, o.mac, o.attempts,
          clock_timestamp(), o.created
"""
_REMOVE = """
DELETE FROM webhook_outbox WHERE tenant = %(tenant)b AND id = %(id)b AND endpoint = %(endpoint)b
"""
_POSTPONE = """
UPDATE webhook_outbox SET due = clock_timestamp() + %(seconds)b * interval '1 second'
WHERE tenant = %(tenant)b AND id = %(id)b AND endpoint = %(endpoint)b
"""


class PostgresOutbox:
    """The Outbox of one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, rows: Sequence[OutboxRow]) -> None:
        """Adds rows of one notice, due at once."""
        first = rows[0]
        parameters = {
            "tenant": first.tenant,
            "id": first.id,
            "event": first.event,
            "key_version": first.key_version,
            "endpoints": TextArray([row.endpoint for row in rows]),
            "macs": ByteaArray([row.mac for row in rows]),
        }
        if len(execute(self._connection, _ADD, parameters)) != len(rows):
            raise StoreUnavailable("a notice was not stored", reason=Reason.INTERNAL)

    def claim(self, endpoint: str, lease: timedelta) -> DueNotice | None:
        """Returns the row of an endpoint that is due the longest, None where none is."""
        parameters = {"endpoint": endpoint, "seconds": lease.total_seconds()}
        rows = execute(self._connection, _CLAIM, parameters)
        if not rows:
            return None
        *columns, attempts, now, created = rows[0]
        row = OutboxRow(*cast("tuple[str, UUID, str, str, int, bytes]", tuple(columns)))
        age = cast("datetime", now) - cast("datetime", created)
        return DueNotice(row, cast("int", attempts), age)

    def remove(self, row: OutboxRow) -> None:
        """Removes a row."""
        execute(self._connection, _REMOVE, _place(row))

    def postpone(self, row: OutboxRow, delay: timedelta) -> None:
        """Makes a row due after ``delay``."""
        execute(self._connection, _POSTPONE, {**_place(row), "seconds": delay.total_seconds()})


def _place(row: OutboxRow) -> dict[str, object]:
    return {"tenant": row.tenant, "id": row.id, "endpoint": row.endpoint}
