"""What decides a used field's tokens, in Postgres, within one open transaction."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection

from vault.crypto.tweak import NEWEST_TWEAK_VERSION
from vault.errors import Reason, StoreUnavailable
from vault.model import TokenSpace
from vault.postgres.transaction import execute
from vault.store import sql

__all__ = ["PostgresTokenSpecStore"]


class PostgresTokenSpecStore:
    """The TokenSpecStore of one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def recorded(self, tenant: str) -> Mapping[str, str]:
        """Returns the token spec of every used field of a tenant."""
        rows = execute(self._connection, sql.RECORDED_TOKEN_SPECS, {"tenant": tenant})
        return {str(field): str(token_spec) for field, token_spec in rows}

    def record(
        self, space: TokenSpace, token_spec: str, *, older: str | None = None, by_key: bool = False
    ) -> str:
        """Records a field's token spec if none is there yet; returns the one in force.

        See ``TokenSpecStore`` for ``older`` and ``by_key``.
        """
        parameters = {
            "tenant": space.tenant,
            "field": space.field,
            "token_spec": token_spec,
            "older": older,
            "by_key": by_key,
            "newest": NEWEST_TWEAK_VERSION,
        }
        if older is None:
            execute(self._connection, sql.RECORD_TOKEN_SPEC, parameters)
        else:
            execute(self._connection, sql.RETIRE_TWEAK_VERSIONS, parameters)
            execute(self._connection, sql.RECORD_NEWEST_TOKEN_SPEC, parameters)
        rows = execute(self._connection, sql.TOKEN_SPEC, parameters)
        if not rows:
            raise StoreUnavailable("a field's token spec was not stored", reason=Reason.INTERNAL)
        return str(rows[0][0])
