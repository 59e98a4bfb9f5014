"""Counters of values per principal, in Postgres, within one open transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from sqlalchemy import Connection

from vault.errors import Reason, StoreUnavailable
from vault.postgres.transaction import execute
from vault.service.ports import LimitKey, WindowUse
from vault.store import sql

__all__ = ["PostgresLimitStore"]


class PostgresLimitStore:
    """The LimitStore of one transaction. The row's lock is held until its end."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def charge(self, key: LimitKey, windows: Sequence[int], values: int) -> Sequence[WindowUse]:
        """Adds ``values`` to the current window of each length; returns what they come to."""
        parameters = {
            "tenant": key.space.tenant,
            "field": key.space.field,
            "action": key.action.value,
            "principal": key.principal,
            "windows": list(windows),
            "used": values,
        }
        rows = execute(self._connection, sql.CHARGE, parameters)
        if len(rows) != len(set(windows)):
            raise StoreUnavailable("the database did not count every limit", reason=Reason.INTERNAL)
        uses = [WindowUse(*cast("tuple[int, int, float]", row)) for row in rows]
        return sorted(uses, key=lambda use: use.seconds)
