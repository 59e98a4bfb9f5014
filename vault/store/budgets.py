"""Counters of budgets, in Postgres, within one open transaction."""

from __future__ import annotations

from typing import cast

from sqlalchemy import Connection

from vault.errors import Reason, StoreUnavailable
from vault.postgres.transaction import execute
from vault.service.ports import BudgetCounter, BudgetKey

__all__ = ["PostgresBudgetStore"]

_PLACE = (
    "tenant = %(tenant)b AND field = %(field)b AND action = %(action)b AND view = %(view)b"
    " AND principal = %(principal)b"
)
# The time is that of the lock, not that of the wait for it: what is outside of the first part
# comes after it.
_LOCK = f"""
WITH locked AS MATERIALIZED (
    SELECT total, windows, key_version, mac FROM budget_counters WHERE {_PLACE} FOR UPDATE
)
SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint, l.*
FROM (SELECT) AS always LEFT JOIN locked l ON true
"""  # noqa: S608 - constants only
_INSERT = """
INSERT INTO budget_counters
       (tenant, field, action, view, principal, total, windows, key_version, mac)
VALUES (%(tenant)b, %(field)b, %(action)b, %(view)b, %(principal)b,
        %(total)b::bigint, %(windows)b, %(key_version)b::integer, %(mac)b)
ON CONFLICT (tenant, field, action, view, principal) DO NOTHING
"""
_UPDATE = f"""
UPDATE budget_counters
SET total = %(total)b::bigint, windows = %(windows)b, key_version = %(key_version)b::integer,
    mac = %(mac)b
WHERE {_PLACE}
RETURNING total
"""  # noqa: S608 - constants only


class PostgresBudgetStore:
    """The BudgetStore of one transaction. The row's lock is held until its end."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def lock(self, key: BudgetKey) -> tuple[int, BudgetCounter | None]:
        """Locks and returns a counter, and the time as of then."""
        rows = execute(self._connection, _LOCK, _place(key))
        if len(rows) != 1:
            raise StoreUnavailable("the database has a budget twice", reason=Reason.INTERNAL)
        now, total, windows, key_version, mac = cast(
            "tuple[int, int | None, str, int, bytes]", rows[0]
        )
        if total is None:
            return now, None
        return now, BudgetCounter(total, windows, key_version, mac)

    def insert(self, key: BudgetKey, counter: BudgetCounter) -> None:
        """Inserts a counter, unless there is one already."""
        execute(self._connection, _INSERT, {**_place(key), **_content(counter)})

    def update(self, key: BudgetKey, counter: BudgetCounter) -> None:
        """Replaces a counter that is locked."""
        rows = execute(self._connection, _UPDATE, {**_place(key), **_content(counter)})
        if list(rows) != [(counter.total,)]:
            raise StoreUnavailable("the database did not count a budget", reason=Reason.INTERNAL)


def _place(key: BudgetKey) -> dict[str, object]:
    return {
        "tenant": key.space.tenant,
        "field": key.space.field,
        "action": key.action.value,
        "view": key.view,
        "principal": key.principal,
    }


def _content(counter: BudgetCounter) -> dict[str, object]:
    return {
        "total": counter.total,
        "windows": counter.windows,
        "key_version": counter.key_version,
        "mac": counter.mac,
    }
