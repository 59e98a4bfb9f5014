"""What decides a used field's tokens, in Postgres, within one open transaction."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection

from vault.crypto.tweak import NEWEST_TWEAK_VERSION
from vault.errors import Reason, StoreUnavailable
from vault.model import TokenSpace
from vault.postgres.transaction import execute
from vault.store import sql

__all__ = ["PostgresShapeStore"]


class PostgresShapeStore:
    """The ShapeStore of one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def recorded(self, tenant: str) -> Mapping[str, str]:
        """Returns the shape of every used field of a tenant."""
        rows = execute(self._connection, sql.RECORDED_SHAPES, {"tenant": tenant})
        return {str(field): str(shape) for field, shape in rows}

    def record(
        self, space: TokenSpace, shape: str, *, older: str | None = None, by_key: bool = False
    ) -> str:
        """Records a field's shape if none is there yet; returns the one in force.

        See ``ShapeStore`` for ``older`` and ``by_key``.
        """
        parameters = {
            "tenant": space.tenant,
            "field": space.field,
            "shape": shape,
            "older": older,
            "by_key": by_key,
            "newest": NEWEST_TWEAK_VERSION,
        }
        if older is None:
            execute(self._connection, sql.RECORD_SHAPE, parameters)
        else:
            execute(self._connection, sql.RETIRE_TWEAK_VERSIONS, parameters)
            execute(self._connection, sql.RECORD_NEWEST_SHAPE, parameters)
        rows = execute(self._connection, sql.SHAPE, parameters)
        if not rows:
            raise StoreUnavailable("a field's shape was not stored", reason=Reason.INTERNAL)
        return str(rows[0][0])
