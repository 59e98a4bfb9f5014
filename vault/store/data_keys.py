"""Wrapped data keys in Postgres; each call is a transaction of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from dataclasses import asdict
from datetime import datetime
from typing import TypeVar, cast

from sqlalchemy import Connection, Engine

from vault.errors import Reason, StoreUnavailable
from vault.postgres.advisory_locks import AdvisoryLock
from vault.postgres.database_identity import DATABASE_IDENTITY
from vault.postgres.transaction import execute, retried, transaction
from vault.service.ports import DatabaseIdentity, DataKeyRecord, KeyManifest

__all__ = ["PostgresDataKeyStore"]

T = TypeVar("T")

_ALL = """
SELECT tenant, field, purpose, version, wrapped, active, uses, created, restored FROM data_keys
ORDER BY tenant, field, purpose, version
"""
_LOCK = "SELECT pg_advisory_xact_lock(%(lock)s)"
_NEW = """
unnest(%(tenants)b::text[], %(fields)b::text[], %(purposes)b::text[], %(versions)b::integer[])
    AS n (tenant, field, purpose, version)
"""
# Only versions that are new and the highest of their key take over from the active one.
_RETIRE = f"""
UPDATE data_keys k SET active = false FROM {_NEW}
WHERE (k.tenant, k.field, k.purpose) = (n.tenant, n.field, n.purpose)
  AND k.active AND k.version < n.version
"""  # noqa: S608 - constants only
_ADD = """
INSERT INTO data_keys (tenant, field, purpose, version, wrapped, uses, restored, active)
SELECT n.tenant, n.field, n.purpose, n.version, n.wrapped, n.uses, n.restored,
       n.version = max(n.version) OVER (PARTITION BY n.tenant, n.field, n.purpose)
       AND NOT EXISTS (
           SELECT FROM data_keys k
           WHERE (k.tenant, k.field, k.purpose) = (n.tenant, n.field, n.purpose)
             AND k.version >= n.version)
FROM unnest(%(tenants)b::text[], %(fields)b::text[], %(purposes)b::text[],
            %(versions)b::integer[], %(wrapped)b::text[], %(uses)b::bigint[],
            %(restored)b::boolean[])
     AS n (tenant, field, purpose, version, wrapped, uses, restored)
ON CONFLICT (tenant, field, purpose, version) DO NOTHING
"""
_RESERVE = """
UPDATE data_keys SET uses = least(uses, 1::bigint << 62) + %(uses)b::bigint
WHERE tenant = %(tenant)b AND field = %(field)b AND purpose = %(purpose)b
  AND version = %(version)b::integer
RETURNING uses
"""
_DATABASE_IDENTITY = f"""
SELECT {DATABASE_IDENTITY}, (SELECT identity FROM key_epochs ORDER BY epoch DESC LIMIT 1)
"""  # noqa: S608 - constants only
_LAST_EPOCH = "SELECT coalesce(max(epoch), 0) FROM key_epochs"
_MAX_EPOCHS = 2**32  # more than there are restores in all time
_RECORD_EPOCH = """
INSERT INTO key_epochs (epoch, identity, reason)
SELECT coalesce(max(epoch), 0) + 1, %(identity)b::text,
       CASE WHEN %(identity)b::text = '' THEN 'told' WHEN max(epoch) IS NULL THEN 'first'
            ELSE 'moved' END
FROM key_epochs
HAVING (array_agg(identity ORDER BY epoch DESC))[1] IS DISTINCT FROM %(identity)b::text
RETURNING epoch
"""
_MANIFEST = """
SELECT tenant, number, document, key_version, mac FROM key_manifest
WHERE tenant = %(tenant)b ORDER BY number DESC LIMIT 1
"""
_ADD_MANIFEST = """
INSERT INTO key_manifest (tenant, number, document, key_version, mac)
VALUES (%(tenant)b, %(number)b::bigint, %(document)b, %(key_version)b::integer, %(mac)b)
ON CONFLICT (tenant, number) DO NOTHING
RETURNING number
"""
# Each EXISTS is a look into a primary key. The audit's tables are of one tenant.
_USED = """
SELECT field FROM unnest(%(fields)b::text[]) AS wanted (field)
WHERE field <> '' AND (
    EXISTS (SELECT FROM field_shapes t WHERE t.tenant = %(tenant)b AND t.field = wanted.field)
    OR EXISTS (SELECT FROM tokens t WHERE t.tenant = %(tenant)b AND t.field = wanted.field)
    OR EXISTS (SELECT FROM token_index t WHERE t.tenant = %(tenant)b AND t.field = wanted.field)
    OR EXISTS (SELECT FROM limit_counters t
               WHERE t.tenant = %(tenant)b AND t.field = wanted.field)
    OR EXISTS (SELECT FROM budget_counters t
               WHERE t.tenant = %(tenant)b AND t.field = wanted.field))
   OR field = '' AND (
    EXISTS (SELECT FROM policy_state t WHERE t.tenant = %(tenant)b)
    OR EXISTS (SELECT FROM audit_writers) OR EXISTS (SELECT FROM audit_records)
    OR EXISTS (SELECT FROM audit_heads) OR EXISTS (SELECT FROM audit_log)
    OR EXISTS (SELECT FROM audit_roots))
"""
_Columns = tuple[str, str, str, int, str, bool, int, datetime, bool]


class PostgresDataKeyStore:
    """The DataKeyStore. Give it an engine of its own (see ``make_engine``)."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def all(self) -> Sequence[DataKeyRecord]:
        """Returns every version of every key, ordered by tenant, field, purpose, version."""
        rows = self._run(lambda connection: execute(connection, _ALL, {}))
        return [DataKeyRecord(*cast("_Columns", row)) for row in rows]

    def add(self, records: Sequence[DataKeyRecord]) -> None:
        """Adds versions that are not there yet; a key's highest version becomes active."""
        if records:
            self._exclusively(lambda connection: _write(connection, records))

    def reserve(self, tenant: str, field: str, purpose: str, version: int, uses: int) -> int:
        """Adds ``uses`` to a version's counter and returns the new total."""
        parameters = {
            "tenant": tenant,
            "field": field,
            "purpose": purpose,
            "version": version,
            "uses": uses,
        }
        rows = self._run(lambda connection: execute(connection, _RESERVE, parameters))
        if len(rows) != 1:
            raise StoreUnavailable(
                "the database has no such key version, or several", reason=Reason.INTERNAL
            )
        return cast("int", rows[0][0])

    def database_identity(self) -> DatabaseIdentity:
        """Returns which database this is, and which one has counted so far."""
        rows = self._run(lambda connection: execute(connection, _DATABASE_IDENTITY, {}))
        return DatabaseIdentity(*cast("tuple[str, str | None]", rows[0]))

    def begin_epoch(self, identity: str, records: Sequence[DataKeyRecord]) -> bool:
        """Adds the versions and records the identity, unless it is recorded already."""

        def begin(connection: Connection) -> bool:
            ((last,),) = execute(connection, _LAST_EPOCH, {})
            if cast("int", last) > _MAX_EPOCHS:
                raise StoreUnavailable(
                    f"key_epochs has an epoch {last} that no server wrote: have the owner"
                    f" delete such rows (WHERE epoch > {_MAX_EPOCHS})",
                    reason=Reason.INTERNAL,
                )
            if not execute(connection, _RECORD_EPOCH, {"identity": identity}):
                return False
            _write(connection, records)
            return True

        return self._exclusively(begin)

    def manifest(self, tenant: str) -> KeyManifest | None:
        """Returns the manifest's last generation, None where there is none."""
        rows = self._run(lambda connection: execute(connection, _MANIFEST, {"tenant": tenant}))
        if not rows:
            return None
        return KeyManifest(*cast("tuple[str, int, str, int, bytes]", rows[0]))

    def add_manifest(self, manifest: KeyManifest) -> bool:
        """Adds a generation; returns False where that number is taken."""
        parameters = asdict(manifest)
        return bool(self._run(lambda connection: execute(connection, _ADD_MANIFEST, parameters)))

    def used_fields(self, tenant: str, fields: Sequence[str]) -> Set[str]:
        """Returns which of the fields have left traces in tables other than the keys'."""
        parameters = {"tenant": tenant, "fields": list(fields)}
        rows = self._run(lambda connection: execute(connection, _USED, parameters))
        return {str(field) for (field,) in rows}

    def _exclusively(self, work: Callable[[Connection], T]) -> T:
        def locked(connection: Connection) -> T:
            # Rare, so replicas take turns: the statements need not be clever.
            execute(connection, _LOCK, {"lock": int(AdvisoryLock.DATA_KEYS)})
            return work(connection)

        return self._run(locked)

    def _run(self, work: Callable[[Connection], T]) -> T:
        def attempt() -> T:
            with transaction(self._engine) as opened:
                return work(opened.connection)

        return retried(attempt)


def _write(connection: Connection, records: Sequence[DataKeyRecord]) -> None:
    if not records:
        return
    parameters = {
        "tenants": [record.tenant for record in records],
        "fields": [record.field for record in records],
        "purposes": [record.purpose for record in records],
        "versions": [record.version for record in records],
        "wrapped": [record.wrapped for record in records],
        "uses": [record.uses for record in records],
        "restored": [record.restored for record in records],
    }
    execute(connection, _RETIRE, parameters)
    execute(connection, _ADD, parameters)
