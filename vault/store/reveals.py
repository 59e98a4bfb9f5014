"""Requests and grants in Postgres, within one open transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TypeAlias, cast
from uuid import UUID

from sqlalchemy import Connection

from vault.errors import Reason, StoreUnavailable
from vault.postgres.advisory_locks import AdvisoryLock
from vault.postgres.arrays import BigintArray, ByteaArray, TextArray
from vault.postgres.transaction import Columns, execute
from vault.service.ports import RevealPartRow, RevealRow

__all__ = ["PostgresRevealStore"]

_Row: TypeAlias = tuple[str, UUID, str, str, str, datetime, str, int, bytes, bool]

_COLUMNS = "tenant, id, field, principal, state, ends, document, key_version, mac, awaits_review"
_WIDTH = _COLUMNS.count(",") + 1
_NOW = "SELECT clock_timestamp()"
# The clock is read where the row comes out of its lock, not before that is waited for.
_LOCK = f"""
WITH locked AS MATERIALIZED (
    SELECT {_COLUMNS} FROM reveals WHERE tenant = %(tenant)b AND id = %(id)b FOR UPDATE
)
SELECT {_COLUMNS}, clock_timestamp() FROM locked
"""  # noqa: S608 - constants only
# One row for all parts. They are read as of the statement's beginning, the locked row as of the
# lock: whoever had the lock in between has written another MAC, and maybe other parts.
_LOCK_WITH_PARTS = f"""
WITH locked AS MATERIALIZED (
    SELECT {_COLUMNS} FROM reveals WHERE tenant = %(tenant)b AND id = %(id)b FOR UPDATE
)
SELECT locked.*, clock_timestamp(), p.*
FROM locked CROSS JOIN LATERAL (
    SELECT array_agg(t.part::bigint), array_agg(t.digests), array_agg(t.spent),
           array_agg(t.key_version::bigint), array_agg(t.mac)
    FROM reveals AS seen JOIN reveal_tokens AS t ON t.tenant = %(tenant)b AND t.id = %(id)b
    WHERE seen.tenant = %(tenant)b AND seen.id = %(id)b AND seen.mac = locked.mac
      AND t.part = ANY (%(parts)b::bigint[])
) AS p
"""  # noqa: S608 - constants only
_FIND = f"""
SELECT {_COLUMNS} FROM reveals WHERE tenant = %(tenant)b AND id = %(id)b
"""  # noqa: S608 - constants only
# A seed of our own: numbers of advisory locks are small, and a hash meets none by chance.
_TAKE_TURNS = f"""
SELECT count(pg_advisory_xact_lock(
    hashtextextended(%(tenant)b || chr(10) || %(name)b, {AdvisoryLock.REVEALS:d})
)::text)
"""
_COUNT_WAITING = """
SELECT count(*) FROM reveals
WHERE tenant = %(tenant)b AND principal = %(principal)b AND state IN ('draft', 'open')
  AND ends > statement_timestamp()
"""
_AWAITING_REVIEW = f"""
SELECT {_COLUMNS} FROM reveals WHERE tenant = %(tenant)b AND awaits_review
ORDER BY ends DESC LIMIT %(limit)b::integer
"""  # noqa: S608 - constants only
_OF_PRINCIPAL = f"""
SELECT {_COLUMNS} FROM reveals WHERE tenant = %(tenant)b AND principal = %(principal)b
ORDER BY ends DESC, id DESC LIMIT %(limit)b::integer
"""  # noqa: S608 - constants only
_WAITING = f"""
SELECT {_COLUMNS} FROM reveals
WHERE tenant = %(tenant)b AND field = ANY (%(fields)b::text[])
  AND state IN ('open', 'granted') AND ends > clock_timestamp()
ORDER BY ends DESC, id DESC LIMIT %(limit)b::integer
"""  # noqa: S608 - constants only
_PARTS = """
SELECT tenant, id, part, digests, spent, key_version, mac FROM reveal_tokens
WHERE tenant = %(tenant)b AND id = %(id)b AND part = ANY (%(parts)b::bigint[])
"""
_PUT = f"""
WITH part AS (
    INSERT INTO reveal_tokens AS t (tenant, id, part, digests, spent, key_version, mac)
    SELECT %(tenant)b, %(id)b, u.part, u.digests, u.spent, %(key_version)b, u.mac
    FROM unnest(%(parts)b::bigint[], %(digests)b::bytea[], %(spent)b::bytea[], %(macs)b::bytea[])
         AS u (part, digests, spent, mac)
    ORDER BY u.part
    ON CONFLICT (tenant, id, part) DO UPDATE SET digests = excluded.digests,
        spent = excluded.spent, key_version = excluded.key_version, mac = excluded.mac
    RETURNING t.part
), reveal AS (
    INSERT INTO reveals AS r ({_COLUMNS})
    VALUES (%(tenant)b, %(id)b, %(field)b, %(principal)b, %(state)b, %(ends)b, %(document)b,
            %(key_version)b, %(mac)b, %(awaits_review)b)
    ON CONFLICT (tenant, id) DO UPDATE SET state = excluded.state, ends = excluded.ends,
        document = excluded.document, key_version = excluded.key_version, mac = excluded.mac,
        awaits_review = excluded.awaits_review
    RETURNING r.id
)
SELECT (SELECT count(*) FROM reveal), (SELECT count(*) FROM part)
"""  # noqa: S608 - constants only
# Digests stay: they are most of a part.
_UPDATE = """
WITH part AS (
    UPDATE reveal_tokens AS t SET spent = u.spent, key_version = %(key_version)b, mac = u.mac
    FROM unnest(%(parts)b::bigint[], %(spent)b::bytea[], %(macs)b::bytea[])
         AS u (part, spent, mac)
    WHERE t.tenant = %(tenant)b AND t.id = %(id)b AND t.part = u.part
    RETURNING t.part
), reveal AS (
    UPDATE reveals SET state = %(state)b, ends = %(ends)b, document = %(document)b,
        key_version = %(key_version)b, mac = %(mac)b
    WHERE tenant = %(tenant)b AND id = %(id)b
    RETURNING id
)
SELECT (SELECT count(*) FROM reveal), (SELECT count(*) FROM part)
"""


class PostgresRevealStore:
    """The RevealStore of one transaction. A reveal's lock is held until its end."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def now(self) -> datetime:
        """Returns what time it is at this moment, not when the transaction began."""
        ((now,),) = execute(self._connection, _NOW, {})
        assert isinstance(now, datetime)
        return now.astimezone(UTC)

    def lock(self, tenant: str, reveal: UUID) -> tuple[RevealRow, datetime] | None:
        """Locks and returns a row, None where there is none; with it, the time."""
        rows = execute(self._connection, _LOCK, {"tenant": tenant, "id": reveal})
        if not rows:
            return None
        *columns, now = rows[0]
        assert isinstance(now, datetime)
        return _row(tuple(columns)), now.astimezone(UTC)

    def lock_with_parts(
        self, tenant: str, reveal: UUID, numbers: Sequence[int]
    ) -> tuple[RevealRow, datetime, Mapping[int, RevealPartRow]] | None:
        """Locks and returns a row, the time, and parts; none if the row had to be waited for."""
        parameters = {"tenant": tenant, "id": reveal, "parts": BigintArray(numbers)}
        rows = execute(self._connection, _LOCK_WITH_PARTS, parameters)
        if not rows:
            return None
        columns, (now, *arrays) = rows[0][:_WIDTH], rows[0][_WIDTH:]
        assert isinstance(now, datetime)
        cells = zip(*(cast("list[object] | None", each) or () for each in arrays), strict=True)
        parts = {part.part: part for part in (_part((tenant, reveal, *each)) for each in cells)}
        return _row(columns), now.astimezone(UTC), parts

    def find(self, tenant: str, reveal: UUID) -> RevealRow | None:
        """Returns a row, None where there is none; locks nothing."""
        rows = execute(self._connection, _FIND, {"tenant": tenant, "id": reveal})
        return _row(rows[0]) if rows else None

    def take_turns(self, tenant: str, name: str) -> None:
        """Waits until no other transaction that said this name is open."""
        execute(self._connection, _TAKE_TURNS, {"tenant": tenant, "name": name})

    def count_waiting(self, tenant: str, principal: str) -> int:
        """Returns how many drafts and open requests of a principal's have not expired."""
        parameters = {"tenant": tenant, "principal": principal}
        ((count,),) = execute(self._connection, _COUNT_WAITING, parameters)
        return cast("int", count)

    def awaiting_review(self, tenant: str, limit: int) -> Sequence[RevealRow]:
        """Returns the rows that somebody must review, the last first; at most ``limit``."""
        parameters = {"tenant": tenant, "limit": limit}
        return [_row(row) for row in execute(self._connection, _AWAITING_REVIEW, parameters)]

    def of_principal(self, tenant: str, principal: str, limit: int) -> Sequence[RevealRow]:
        """Returns a principal's rows, the last first; at most ``limit``."""
        parameters = {"tenant": tenant, "principal": principal, "limit": limit}
        return [_row(row) for row in execute(self._connection, _OF_PRINCIPAL, parameters)]

    def waiting(self, tenant: str, fields: Sequence[str], limit: int) -> Sequence[RevealRow]:
        """Returns the open and granted, unexpired rows of fields, the last first."""
        parameters = {"tenant": tenant, "fields": TextArray(fields), "limit": limit}
        return [_row(row) for row in execute(self._connection, _WAITING, parameters)]

    def put(self, row: RevealRow, parts: Sequence[RevealPartRow] = ()) -> None:
        """Stores a row and parts of it, each in place of the one of its id, or number."""
        digests = ByteaArray([part.digests for part in parts])
        self._write(_PUT, row, parts, {"digests": digests})

    def update(self, row: RevealRow, parts: Sequence[RevealPartRow]) -> None:
        """Replaces a locked row, and of parts that there are what was spent."""
        self._write(_UPDATE, row, parts, {})

    def _write(
        self,
        statement: str,
        row: RevealRow,
        parts: Sequence[RevealPartRow],
        more: Mapping[str, object],
    ) -> None:
        parameters = {
            "tenant": row.tenant,
            "id": row.id,
            "field": row.field,
            "principal": row.principal,
            "state": row.state,
            "ends": row.ends,
            "document": row.document,
            "key_version": row.key_version,
            "mac": row.mac,
            "awaits_review": row.awaits_review,
            "parts": BigintArray([part.part for part in parts]),
            "spent": ByteaArray([part.spent for part in parts]),
            "macs": ByteaArray([part.mac for part in parts]),
            **more,
        }
        if list(execute(self._connection, statement, parameters)) != [(1, len(parts))]:
            raise StoreUnavailable("a reveal was not stored", reason=Reason.INTERNAL)

    def parts(
        self, tenant: str, reveal: UUID, numbers: Sequence[int]
    ) -> Mapping[int, RevealPartRow]:
        """Returns the parts of these numbers that there are."""
        parameters = {"tenant": tenant, "id": reveal, "parts": BigintArray(numbers)}
        rows = execute(self._connection, _PARTS, parameters)
        return {part.part: part for part in map(_part, rows)}


def _row(columns: Columns) -> RevealRow:
    return RevealRow(*cast(_Row, columns))


def _part(columns: Columns) -> RevealPartRow:
    return RevealPartRow(*cast("tuple[str, UUID, int, bytes, bytes, int, bytes]", columns))
