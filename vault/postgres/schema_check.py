"""Whether our tables are those that the migrations make: columns, keys and constraints.

Tables without them work, and answer wrongly: without its primary key one token stands for two
values. A restore leaves that which stops before the indexes. So everything the migrations make
is expected (``expected_schema``), whatever it is called, and what would refuse or merge our
rows is not. Let be is what a later migration may add: columns that need no value, checks of
them, tables, and indexes that are not unique.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sqlalchemy import Connection, text

from vault.crypto.tweak import NEWEST_TWEAK_VERSION
from vault.postgres.expected_schema import EXPECTED

__all__ = ["compare_schema", "describe", "missing_tweak_version"]

# Of each of our tables: kind, the columns it is about, what it is. A unique index counts where
# Postgres holds it at once, for all rows. Names are left out: a copy (LIKE) has others.
_DESCRIPTION = text(
    """
    WITH RECURSIVE named AS (
        SELECT name, pg_catalog.to_regclass(pg_catalog.quote_ident(name))::oid AS oid
        FROM pg_catalog.unnest(CAST(:tables AS text[])) AS name
    ), tree AS (
        SELECT n.name, n.oid, false AS part FROM named n
        JOIN pg_catalog.pg_class c USING (oid) WHERE c.relkind IN ('r', 'p')
        UNION
        SELECT t.name, i.inhrelid, true FROM tree t
        JOIN pg_catalog.pg_inherits i ON i.inhparent = t.oid
    )
    SELECT t.name, t.part, 'column' AS kind, ARRAY[a.attname::text] AS columns,
           pg_catalog.concat_ws(' ', a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod),
               'COLLATE ' || (SELECT pg_catalog.quote_ident(l.collname)
                              FROM pg_catalog.pg_collation l WHERE l.oid = a.attcollation),
               CASE WHEN a.attnotnull THEN 'NOT NULL' END,
               'DEFAULT ' || pg_catalog.pg_get_expr(d.adbin, d.adrelid)) AS what
    FROM tree t JOIN pg_catalog.pg_attribute a ON a.attrelid = t.oid
    LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE a.attnum > 0 AND NOT a.attisdropped AND NOT t.part
    UNION ALL
    SELECT t.name, t.part, CASE WHEN x.indisexclusion THEN 'exclusion' ELSE 'unique' END,
           ARRAY(SELECT attname::text FROM pg_catalog.pg_attribute
                 WHERE attrelid = x.indrelid AND attnum = ANY (x.indkey)),
           pg_catalog.concat(
               CASE WHEN x.indisexclusion THEN 'EXCLUDE (' ELSE 'UNIQUE (' END,
               (SELECT pg_catalog.string_agg(pg_catalog.concat(
                           pg_catalog.pg_get_indexdef(x.indexrelid, n.at::integer, false),
                           ' COLLATE ' || pg_catalog.quote_ident(l.collname),
                           CASE WHEN NOT o.opcdefault THEN ' ' || o.opcname END),
                       ', ' ORDER BY n.at)
                FROM pg_catalog.generate_series(1, x.indnkeyatts::integer) AS n (at)
                JOIN pg_catalog.pg_opclass o ON o.oid = x.indclass[n.at - 1]
                LEFT JOIN pg_catalog.pg_collation l ON l.oid = x.indcollation[n.at - 1]),
               ')', ' WHERE ' || pg_catalog.pg_get_expr(x.indpred, x.indrelid),
               CASE WHEN NOT x.indimmediate THEN ' DEFERRABLE' END,
               CASE WHEN NOT (x.indisvalid AND x.indisready AND x.indislive)
                    THEN ' INVALID' END)
    FROM tree t JOIN pg_catalog.pg_index x ON x.indrelid = t.oid
    WHERE x.indisunique OR x.indisexclusion
    UNION ALL
    SELECT t.name, t.part, CASE k.contype WHEN 'c' THEN 'check' ELSE 'reference' END,
           ARRAY(SELECT attname::text FROM pg_catalog.pg_attribute
                 WHERE attrelid = k.conrelid AND attnum = ANY (k.conkey)),
           pg_catalog.pg_get_constraintdef(k.oid)
    FROM tree t JOIN pg_catalog.pg_constraint k ON k.conrelid = t.oid
    WHERE k.contype IN ('c', 'f')
    UNION ALL
    SELECT t.name, t.part, 'disabled', ARRAY[]::text[], 'a foreign key that is not held'
    FROM tree t JOIN pg_catalog.pg_trigger g ON g.tgrelid = t.oid
    WHERE g.tgisinternal AND g.tgenabled <> 'O'
    """
)
_SHOWN = {"column": "column ", "unique": "", "exclusion": "", "check": "", "reference": ""}
_REPLICA = text("SELECT pg_catalog.current_setting('session_replication_role') <> 'origin'")

_NEWEST = text("SELECT pg_catalog.max(version) FROM tweak_versions")


def describe(connection: Connection, tables: Sequence[str]) -> Sequence[str]:
    """Describes tables as ``expected_schema`` does, a line for each thing."""
    rows = connection.execute(_DESCRIPTION, {"tables": list(tables)})
    return sorted(_line(row.name, row.kind, row.what) for row in rows if not row.part)


def compare_schema(connection: Connection, tables: Sequence[str]) -> Iterator[str]:
    """Yields in words what is not as the migrations make it, of the tables that are there."""
    expected = EXPECTED.splitlines()
    columns = {tuple(line.split()[:3]) for line in expected if line.split()[1] == "column"}
    rows = connection.execute(_DESCRIPTION, {"tables": list(tables)}).all()
    stand = {row.name for row in rows}
    found = {_line(row.name, row.kind, row.what) for row in rows if not row.part}
    for line in expected:
        name, kind, what = line.split(" ", 2)
        if name in stand and line not in found:
            yield f"table {name} lacks {_SHOWN[kind]}{what}"
    for row in rows:
        ours = any((row.name, "column", each) in columns for each in row.columns)
        if _line(row.name, row.kind, row.what) in expected or (row.part and row.kind == "check"):
            continue  # a partition may say its own bounds
        if _harms(row.kind, row.what, ours):
            kind = "column " if row.kind == "column" else ""
            yield f"table {row.name} has {kind}{row.what}, which no migration makes"
    if connection.scalar(_REPLICA):
        yield "session_replication_role is set: no foreign key is held"


def missing_tweak_version(connection: Connection) -> Iterator[str]:
    """Yields a lost row of the newest version: without it no server can report or serve."""
    newest = connection.scalar(_NEWEST)
    if newest is None or newest < NEWEST_TWEAK_VERSION:
        row = f"INSERT INTO tweak_versions (version) VALUES ({NEWEST_TWEAK_VERSION})"  # noqa: S608
        yield f"table tweak_versions lacks version {NEWEST_TWEAK_VERSION}: {row}"


def _line(name: str, kind: str, what: str) -> str:
    return f"{name} {kind} {what}"


def _harms(kind: str, what: str, ours: bool) -> bool:
    match kind:
        case "column":  # one of ours that is missing is reported
            return not ours and "NOT NULL" in what and "DEFAULT" not in what
        case "check":
            return ours
        case "reference":  # tampering.py reports those that do more than refuse
            return False
        case _:
            return True
