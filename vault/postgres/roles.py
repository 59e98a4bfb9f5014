"""The service role's grants in Postgres, and the refusal to serve with more."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection, Engine, text

from vault.errors import ConfigError
from vault.postgres.failures import translated

__all__ = ["GRANTS", "check_service_role", "grant", "refuse_privileged"]

# The audit can only grow: its records and writers are neither changed nor removed, and
# a head can only be replaced. Token rows become tombstones and are never removed.
GRANTS: Mapping[str, tuple[str, ...]] = {
    "tokens": ("SELECT", "INSERT", "UPDATE (state, ciphertext, expires)"),
    "token_index": ("SELECT", "INSERT", "DELETE"),
    "token_subjects": ("SELECT", "INSERT", "DELETE"),
    "data_keys": ("SELECT", "INSERT", "UPDATE (uses, active)"),
    "key_epochs": ("SELECT", "INSERT"),
    "key_manifest": ("SELECT", "INSERT"),
    "field_shapes": ("SELECT", "INSERT"),
    "tweak_versions": ("SELECT", "DELETE"),
    "limit_counters": ("SELECT", "INSERT", "UPDATE"),
    "budget_counters": ("SELECT", "INSERT", "UPDATE"),
    "reveals": (
        "SELECT",
        "INSERT",
        "UPDATE (state, ends, document, key_version, mac, awaits_review)",
    ),
    "reveal_tokens": ("SELECT", "INSERT", "UPDATE (digests, spent, key_version, mac)"),
    "freezes": (
        "SELECT",
        "INSERT",
        "UPDATE (frozen, changed, touched, document, key_version, mac)",
    ),
    "webhook_outbox": ("SELECT", "INSERT", "UPDATE (due, attempts)", "DELETE"),
    "honey_tokens": (
        "SELECT",
        "INSERT",
        "UPDATE (active, document, salt, sealed, key_version, mac)",
    ),
    "policy_state": ("SELECT", "INSERT", "UPDATE"),
    "policy_servers": ("SELECT", "INSERT", "UPDATE", "DELETE"),
    "audit_writers": ("SELECT", "INSERT"),
    "audit_records": ("SELECT", "INSERT"),
    "audit_heads": ("SELECT", "INSERT", "UPDATE"),
    "audit_log": ("SELECT", "INSERT"),
    "audit_roots": ("SELECT", "INSERT"),
    "audit_erasures": ("SELECT", "INSERT"),
    "audit_prunings": ("SELECT", "INSERT"),
    "schema_serves": ("SELECT",),
    "alembic_version": ("SELECT",),
}

_SERVICE_ROLE = text(
    "SELECT r.rolsuper, pg_has_role(r.oid, current_user, 'MEMBER') AS owns"
    " FROM pg_roles r WHERE r.rolname = :role"
)

# Every role the session could become (SET ROLE) counts, not only the one it is.
_EXCESS = text(
    """
    SELECT DISTINCT excess FROM pg_roles r CROSS JOIN LATERAL (
        SELECT 'is a superuser' AS excess WHERE r.rolsuper
        UNION ALL
        SELECT 'may create roles' WHERE r.rolcreaterole
        UNION ALL
        SELECT 'may replicate' WHERE r.rolreplication
        UNION ALL
        SELECT 'is ' || r.rolname
        WHERE r.rolname IN ('pg_execute_server_program', 'pg_write_server_files')
        UNION ALL
        SELECT 'owns schema ' || n.nspname FROM pg_namespace n
        WHERE n.nspowner = r.oid AND n.oid IN (
            SELECT relnamespace FROM pg_class
            WHERE oid = ANY (CAST(:tables AS regclass[])))
        UNION ALL
        SELECT 'owns the database' FROM pg_database
        WHERE datname = current_database() AND datdba = r.oid
        UNION ALL
        SELECT 'owns table ' || c.relname FROM pg_class c
        WHERE c.oid = ANY (CAST(:tables AS regclass[])) AND c.relowner = r.oid
        UNION ALL
        SELECT 'may ' || p.privilege || ' ' || c.relname
        FROM pg_class c CROSS JOIN unnest(
            ARRAY['UPDATE', 'DELETE', 'TRUNCATE', 'TRIGGER']) AS p (privilege)
        WHERE c.oid = ANY (CAST(:audit AS regclass[]))
          AND NOT (c.relname = 'audit_heads' AND p.privilege = 'UPDATE')
          AND (has_table_privilege(r.oid, c.oid, p.privilege)
               OR p.privilege = 'UPDATE' AND has_any_column_privilege(r.oid, c.oid, 'UPDATE'))
    ) found
    WHERE pg_has_role(current_user, r.oid, 'MEMBER')
    ORDER BY excess
    """
)
_AUDIT = [
    "audit_writers",
    "audit_records",
    "audit_heads",
    "audit_log",
    "audit_roots",
    "audit_erasures",
    "audit_prunings",
]


def check_service_role(connection: Connection, role: str) -> None:
    """Raises ConfigError unless ``role`` exists and is less than the owner."""
    found = connection.execute(_SERVICE_ROLE, {"role": role}).one_or_none()
    if found is None:
        raise ConfigError(f"database role {role} does not exist: create it with LOGIN first")
    if found.rolsuper or found.owns:
        raise ConfigError(f"database role {role} is the owner or a superuser: use a role apart")


def grant(connection: Connection, role: str) -> None:
    """Gives the service's role its privileges on every table and takes all others away."""
    quoted = connection.dialect.identifier_preparer.quote_identifier(role)
    for table, privileges in GRANTS.items():
        connection.execute(text(f"REVOKE ALL ON {table} FROM PUBLIC, {quoted}"))
        connection.execute(text(f"GRANT {', '.join(privileges)} ON {table} TO {quoted}"))


@translated()
def refuse_privileged(engine: Engine) -> None:
    """Refuses to serve as a role that could alter the schema or rewrite the audit.

    Raises:
        ConfigError: the role is an owner or superuser, or may change or remove audit rows.
        StoreUnavailable: the database is unavailable.
    """
    with engine.connect() as connection:
        parameters = {"tables": list(GRANTS), "audit": _AUDIT}
        excess = list(connection.scalars(_EXCESS, parameters))
    if excess:
        raise ConfigError(
            f"the database role of `serve` has too many rights ({', '.join(excess[:3])}):"
            " serve as the role given to `tokenvault migrate`, which has fewer"
        )
