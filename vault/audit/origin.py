"""The origin of the log: a name for one history, so that a restored database has another.

Derived from what is recorded of the database (``key_epochs``), so that no two histories
share it and nobody has to think of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import cast

from sqlalchemy import Connection, text

from vault.crypto.encoding import length_prefixed, utf8
from vault.errors import AuditUnavailable, Reason
from vault.model import DEFAULT_TENANT
from vault.postgres.database_identity import DATABASE_IDENTITY
from vault.postgres.failures import translate_for_audit
from vault.postgres.transaction import execute

__all__ = ["Epoch", "read_origin", "read_origin_in_call"]

_LABEL = b"tokenvault/v1/audit-origin"
_DIGEST_BYTES = 16
_EPOCH = f"""
SELECT {DATABASE_IDENTITY}, k.epoch, k.identity,
    CAST(extract(epoch FROM k.since) * 1000000 AS bigint)
FROM key_epochs k ORDER BY k.epoch DESC LIMIT 1
"""  # noqa: S608 - constants only


@dataclass(frozen=True, slots=True)
class Epoch:
    """A row of ``key_epochs``: from when on which database was the one in force.

    Attributes:
        since: microseconds since 1970, UTC.
    """

    number: int
    identity: str
    since: int

    def origin(self, tenant: str) -> str:
        """Returns the origin of the history that began with this row."""
        numbers = (number.to_bytes(8, signed=True) for number in (self.number, self.since))
        content = length_prefixed(_LABEL, utf8(tenant), *numbers, utf8(self.identity))
        return f"tokenvault/{sha256(content).digest()[:_DIGEST_BYTES].hex()}"


def read_origin(connection: Connection) -> str:
    """Returns the origin of the log in this database.

    Raises AuditUnavailable (INTERNAL) where the database is not the one that is recorded:
    it was restored, or moved, and no server has loaded its keys since.
    """
    return _origin(connection.execute(text(_EPOCH)).one_or_none())


def read_origin_in_call(connection: Connection) -> str:
    """As ``read_origin``, in the transaction of a call: straight on the driver, at half the time.

    Raises AuditUnavailable as for a record too.
    """
    rows = execute(connection, _EPOCH, {}, translate_for_audit)
    return _origin(rows[0] if rows else None)


def _origin(row: Sequence[object] | None) -> str:
    if row is None or row[0] != row[2]:
        raise AuditUnavailable(
            "the database was restored or moved, and its servers have not noticed yet: a new"
            " origin begins when they next load their keys",
            reason=Reason.INTERNAL,
        )
    return Epoch(*cast("tuple[int, str, int]", tuple(row[1:]))).origin(DEFAULT_TENANT)
