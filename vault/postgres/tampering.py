"""What in the database could make our statements see or do something else than they say.

Row-level security hides rows from whoever is not meant to find them; rules and triggers
turn writes into others; a view, a foreign table or another schema stands in a table's
place; code in a default, a constraint or an index runs as us; without its keys a table holds
one token for two values (``schema_check``). None of it is of our migrations, so `serve` refuses
it, and `audit verify` names it.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, Engine, text

from vault.errors import ConfigError
from vault.postgres.failures import translated
from vault.postgres.roles import GRANTS
from vault.postgres.schema_check import compare_schema, missing_tweak_version

__all__ = ["find_tampering", "refuse_tampering"]

_SHOWN = 3
# Asked first and alone: where it is wrong, names in any other statement mean what somebody wants.
_SEARCH_PATH = text("SELECT pg_catalog.current_schemas(true)::pg_catalog.text[]")

# Every name here is the catalog's own. Partitions count as their table; only partitions of
# other tables than the audit's are expected, as those may grow beyond one. What is built in was
# made with the cluster (``born``): a later row was replaced, or only granted to somebody (proacl).
_FOUND = text(
    """
    WITH RECURSIVE named AS (
        SELECT name, pg_catalog.to_regclass(pg_catalog.quote_ident(name))::oid AS oid,
               name LIKE 'audit\\_%' AS audit
        FROM pg_catalog.unnest(CAST(:tables AS text[])) AS name
    ), tree AS (
        SELECT name, oid, audit, false AS part FROM named WHERE oid IS NOT NULL
        UNION
        SELECT t.name, i.inhrelid, t.audit, true FROM tree t
        JOIN pg_catalog.pg_inherits i ON i.inhparent = t.oid
    ), ours AS (
        SELECT t.*, c.relkind, c.relpersistence, c.relnamespace, c.relispartition,
               c.relrowsecurity OR c.relforcerowsecurity AS filtered
        FROM tree t JOIN pg_catalog.pg_class c USING (oid)
    ), born AS (
        SELECT pg_catalog.max(last) AS last FROM (
            SELECT xmin::text::bigint FROM pg_catalog.pg_namespace
            WHERE nspname = 'information_schema' AND oid < 16384
            UNION ALL
            SELECT xmin::text::bigint FROM pg_catalog.pg_extension WHERE oid < 16384
        ) AS made (last)
    ), code AS (
        SELECT o.name, o.audit, 'default of column ' || a.attname AS what,
               pg_catalog.pg_get_expr(d.adbin, d.adrelid) AS expression,
               'pg_attrdef'::regclass AS kind, d.oid AS part
        FROM ours o JOIN pg_catalog.pg_attrdef d ON d.adrelid = o.oid
        JOIN pg_catalog.pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
        UNION ALL
        SELECT o.name, o.audit, 'constraint ' || k.conname,
               CASE k.contype WHEN 'c' THEN pg_catalog.pg_get_constraintdef(k.oid) END,
               'pg_constraint'::regclass, k.oid
        FROM ours o JOIN pg_catalog.pg_constraint k ON k.conrelid = o.oid
        UNION ALL
        SELECT o.name, o.audit, 'index ' || c.relname,
               pg_catalog.concat_ws(' ', pg_catalog.pg_get_expr(x.indexprs, x.indrelid),
                                    pg_catalog.pg_get_expr(x.indpred, x.indrelid)),
               'pg_class'::regclass, x.indexrelid
        FROM ours o JOIN pg_catalog.pg_index x ON x.indrelid = o.oid
        JOIN pg_catalog.pg_class c ON c.oid = x.indexrelid
    )
    SELECT 'table ' || name || ' is missing' AS found FROM named WHERE oid IS NULL
    UNION
    SELECT 'tables stand in several schemas' FROM ours WHERE NOT part
    HAVING pg_catalog.count(DISTINCT relnamespace) > 1
    UNION
    SELECT name || ' is ' || CASE relkind
        WHEN 'v' THEN 'a view' WHEN 'm' THEN 'a materialized view' WHEN 'f' THEN 'a foreign table'
        WHEN 'p' THEN 'partitioned' ELSE 'no ordinary table' END
    FROM ours WHERE relkind <> 'r' AND (audit OR relkind <> 'p')
    UNION
    SELECT 'table ' || name || CASE relpersistence
        WHEN 't' THEN ' is hidden by a temporary one' ELSE ' is unlogged: a crash empties it' END
    FROM ours WHERE relpersistence <> 'p'
    UNION
    SELECT 'table ' || name || ' has row-level security' FROM ours o
    WHERE filtered OR EXISTS (SELECT FROM pg_catalog.pg_policy WHERE polrelid = o.oid)
    UNION
    SELECT 'table ' || o.name || ' has the rule ' || r.rulename
    FROM ours o JOIN pg_catalog.pg_rewrite r ON r.ev_class = o.oid AND o.relkind NOT IN ('v', 'm')
    UNION
    SELECT 'table ' || o.name || ' has the trigger ' || g.tgname
    FROM ours o JOIN pg_catalog.pg_trigger g ON g.tgrelid = o.oid AND NOT g.tgisinternal
    UNION
    SELECT 'table ' || o.name || ' has the foreign key ' || k.conname
    FROM ours o JOIN pg_catalog.pg_constraint k
      ON k.contype = 'f' AND o.oid IN (k.conrelid, k.confrelid)
    -- One between two of ours, which can do nothing but refuse, may be a migration's.
    WHERE o.audit OR k.confdeltype NOT IN ('a', 'r') OR k.confupdtype NOT IN ('a', 'r')
       OR NOT (k.conrelid IN (SELECT oid FROM ours) AND k.confrelid IN (SELECT oid FROM ours))
    UNION
    SELECT 'table ' || name || CASE WHEN part THEN ' has children by inheritance'
                                    ELSE ' inherits from another' END
    FROM ours o WHERE CASE WHEN part THEN NOT relispartition ELSE EXISTS (
        SELECT FROM pg_catalog.pg_inherits WHERE inhrelid = o.oid) END
    UNION
    SELECT 'column ' || a.attname || ' of table ' || o.name || ' is generated'
    FROM ours o JOIN pg_catalog.pg_attribute a ON a.attrelid = o.oid AND NOT a.attisdropped
    WHERE a.attgenerated <> '' OR a.attidentity <> ''
    UNION
    SELECT 'column ' || a.attname || ' of table ' || o.name || ' has a type of its own'
    FROM ours o JOIN pg_catalog.pg_attribute a ON a.attrelid = o.oid AND NOT a.attisdropped
    WHERE a.atttypid >= 16384 OR a.attcollation >= 16384
    UNION
    SELECT 'table ' || name || ' has code of its own: ' || what FROM code
    WHERE audit AND kind = 'pg_attrdef'::regclass
       OR EXISTS (
          SELECT FROM pg_catalog.regexp_matches(expression, '([a-z0-9_"]+)\\(', 'gi') AS called
          WHERE called[1] <> ALL (ARRAY['now', 'octet_length', 'length']))
       OR EXISTS (
          SELECT FROM pg_catalog.pg_depend d
          WHERE d.classid = kind AND d.objid = code.part AND d.refobjid >= 16384
            AND d.refclassid IN ('pg_proc'::regclass, 'pg_type'::regclass, 'pg_am'::regclass,
                                 'pg_operator'::regclass, 'pg_opclass'::regclass,
                                 'pg_collation'::regclass))
    UNION
    SELECT 'the function ' || n.nspname || '.' || p.proname || ' takes a built-in one''s place'
    FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
    WHERE p.oid >= 16384 AND n.nspname = ANY (pg_catalog.current_schemas(true))
      AND EXISTS (SELECT FROM pg_catalog.pg_proc b
                  WHERE b.proname = p.proname AND b.oid < 16384
                    AND b.pronamespace = 'pg_catalog'::regnamespace)
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
                      WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid
                        AND d.deptype = 'e')
    UNION
    SELECT 'the function pg_catalog.' || p.proname || ' was replaced'
    FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_language l ON l.oid = p.prolang
    WHERE p.oid < 16384 AND p.pronamespace = 'pg_catalog'::regnamespace
      AND (l.lanname NOT IN ('internal', 'c', 'sql')
           OR (l.lanname = 'sql' OR p.proacl IS NULL)
              AND p.xmin::text::bigint > (SELECT last FROM born))
    UNION
    SELECT 'the aggregate ' || a.aggfnoid::regprocedure || ' was replaced'
    FROM pg_catalog.pg_aggregate a
    WHERE a.aggfnoid < 16384 AND a.xmin::text::bigint > (SELECT last FROM born)
    UNION
    SELECT 'the operator ' || o.oid::regoperator || ' was replaced'
    FROM pg_catalog.pg_operator o
    WHERE o.oid < 16384 AND o.xmin::text::bigint > (SELECT last FROM born)
    UNION
    SELECT 'the operator ' || n.nspname || '.' || p.oprname || ' takes a built-in one''s place'
    FROM pg_catalog.pg_operator p JOIN pg_catalog.pg_namespace n ON n.oid = p.oprnamespace
    WHERE p.oid >= 16384 AND n.nspname = ANY (pg_catalog.current_schemas(true))
      AND p.oprleft < 16384 AND p.oprright < 16384
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
                      WHERE d.classid = 'pg_operator'::regclass AND d.objid = p.oid
                        AND d.deptype = 'e')
    UNION
    SELECT 'the event trigger ' || evtname || ' runs in every session'
    FROM pg_catalog.pg_event_trigger WHERE evtevent = 'login' AND evtenabled <> 'D'
    ORDER BY found
    """
)


def find_tampering(connection: Connection) -> Sequence[str]:
    """Describes what is not as the migrations made it: added, lost, or before our tables.

    It sees what the catalog shows: a superuser can forge that as well.
    """
    path = [each for each in connection.scalar(_SEARCH_PATH) if not each.startswith("pg_temp")]
    if path[:1] != ["pg_catalog"]:
        return ["search_path has a schema before pg_catalog, which can replace anything"]
    parameters = {"tables": list(GRANTS)}
    named = [*connection.scalars(_FOUND, parameters), *compare_schema(connection, list(GRANTS))]
    # Where even || was replaced, something was found whose name is unknown.
    found = [each or "a built-in function that makes texts was replaced" for each in named]
    if not any("tweak_versions" in each for each in found):  # else it may not be readable
        found += missing_tweak_version(connection)
    # Names may hold anything, and a terminal obeys control characters.
    return ["".join(char if char.isprintable() else "?" for char in each) for each in found]


@translated()
def refuse_tampering(engine: Engine) -> None:
    """Refuses to serve on tables that somebody has altered.

    Raises:
        ConfigError: the message names what.
        StoreUnavailable: the database is unavailable.
    """
    with engine.connect() as connection:
        found = find_tampering(connection)
    if found:
        more = f"; and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        raise ConfigError(
            f"the database was altered: {'; '.join(found[:_SHOWN])}{more}. Rows can be hidden,"
            " changed or lost by it: find out whose it is, or which restore stopped half-way,"
            " and have the owner put it right"
        )
