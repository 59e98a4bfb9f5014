"""Inserts, quotas, token specs and the agreed policy, in psycopg's placeholders.

``%(x)b`` sends a parameter in binary: an array of MACs costs a tenth of its text form.
Looking tokens up is ``find_sql``; erasing and expiring them ``lifetime_sql``.

Every ON CONFLICT names its key: without a target, a table that has lost its unique index (a
restore that stopped half-way) would take each row, and one token would stand for two values.
"""

from __future__ import annotations

__all__ = [
    "CHARGE",
    "COLUMNS",
    "FIRST_IN_FORCE",
    "INSERT_INDEXED",
    "INSERT_UNINDEXED",
    "IN_FORCE",
    "LEAVE",
    "LIVE_AFTER",
    "LOCK_TIMEOUT",
    "PAST",
    "PUT_IN_FORCE",
    "RECORDED_TOKEN_SPECS",
    "RECORD_TOKEN_SPEC",
    "REPORT",
    "SERVERS",
    "SHORT_LOCK_TIMEOUT",
    "TOKEN_SPEC",
    "UNINDEX",
]

# For the rest of this transaction; the first returns what it was, and then changes it.
SHORT_LOCK_TIMEOUT = """
SELECT current_setting('lock_timeout'), set_config('lock_timeout', '100ms', true)
"""
LOCK_TIMEOUT = "SELECT set_config('lock_timeout', %(timeout)s, true)"


def _readable(time: str) -> str:
    """A time that Python can read: whoever owns the database may have written others."""
    return f"greatest(least({time}, '9000-01-01'::timestamptz), '2000-01-01'::timestamptz)"


COLUMNS = f"""t.token, t.ciphertext, t.scope, coalesce(t.key_version, 0) AS key_version,
       t.generator, t.state, {_readable("t.created")} AS created,
       CASE WHEN t.expires IS NOT NULL THEN {_readable("t.expires")} END AS expires"""
PAST = "(t.expires IS NOT NULL AND t.expires <= now())"

# The next tokens of a field in the order of their strings, but for the dead: what a damaged row
# says of its state must not hide its value from an erasure.
LIVE_AFTER = f"""
SELECT {COLUMNS}, false AS past FROM tokens t
WHERE t.tenant = %(tenant)b AND t.field = %(field)b AND t.token > %(after)b
  AND (t.state IN ('expired', 'erased')) IS NOT TRUE AND NOT {PAST}
ORDER BY t.token LIMIT %(limit)b::integer
"""  # noqa: S608 - constants only

# Both inserts in one statement. Each is sorted by the key it may have to wait on, and
# the count makes the first finish before the second: batches that overlap queue behind each
# other instead of deadlocking. A token goes in with its index row or not at all; mostly all
# do, and then nothing is looked for, joined or sent back. NULL stands for all.
INSERT_INDEXED = """
WITH indexed AS (
    INSERT INTO token_index (tenant, field, scope, index_version, mac, token)
    SELECT %(tenant)b, %(field)b, %(scope)b, %(index_version)b::integer, mac, token
    FROM unnest(%(tokens)b::text[], %(macs)b::bytea[]) AS u (token, mac) ORDER BY mac
    ON CONFLICT (tenant, field, scope, index_version, mac) DO NOTHING
    RETURNING mac
), stored AS (
    INSERT INTO tokens (tenant, field, token, scope, generator, key_version, tweak_counter,
                        ciphertext, expires)
    SELECT %(tenant)b, %(field)b, token, %(scope)b, %(generator)b, %(key_version)b::integer,
           tweak_counter, ciphertext, now() + %(ttl)b::interval
    FROM unnest(%(tokens)b::text[], %(ciphertexts)b::bytea[], %(macs)b::bytea[],
                %(counters)b::bigint[]) AS u (token, ciphertext, mac, tweak_counter)
    WHERE (SELECT count(*) FROM indexed) = cardinality(%(macs)b::bytea[])
       OR mac IN (SELECT mac FROM indexed)
    ORDER BY token COLLATE "C"
    ON CONFLICT (tenant, field, token) DO NOTHING
    RETURNING token
), complete AS MATERIALIZED (
    SELECT count(*) = cardinality(%(macs)b::bytea[]) AS yes FROM stored
)
SELECT CASE WHEN NOT yes THEN ARRAY(SELECT mac FROM indexed) END,
       CASE WHEN NOT yes THEN ARRAY(SELECT token FROM stored) END
FROM complete
"""

INSERT_UNINDEXED = """
WITH stored AS (
    INSERT INTO tokens (tenant, field, token, scope, generator, key_version, tweak_counter,
                        ciphertext, expires)
    SELECT %(tenant)b, %(field)b, token, %(scope)b, %(generator)b, %(key_version)b::integer,
           tweak_counter, ciphertext, now() + %(ttl)b::interval
    FROM unnest(%(tokens)b::text[], %(ciphertexts)b::bytea[], %(counters)b::bigint[])
         AS u (token, ciphertext, tweak_counter)
    ORDER BY token COLLATE "C"
    ON CONFLICT (tenant, field, token) DO NOTHING
    RETURNING token
)
SELECT CASE WHEN count(*) < cardinality(%(tokens)b::text[]) THEN array_agg(token) END FROM stored
"""

# Index rows made a moment ago by INSERT_INDEXED, whose token's string was taken. OFFSET keeps
# the planner from seeing constants: with old statistics it could read all of a field's rows
# by them.
UNINDEX = """
DELETE FROM token_index i USING (
    SELECT %(tenant)b AS tenant, %(field)b AS field, %(scope)b AS scope,
           %(index_version)b::integer AS index_version, mac
    FROM unnest(%(macs)b::bytea[]) AS u (mac) OFFSET 0) AS u
WHERE i.tenant = u.tenant AND i.field = u.field AND i.scope = u.scope
  AND i.index_version = u.index_version AND i.mac = u.mac
RETURNING i.mac
"""

# Fixed windows, counted in seconds since the epoch. Sorted, so that two charges cannot
# deadlock. A transaction that waited for a row may find a later window in it than the one
# it began in: its values then count in that one, and no window ever comes back.
CHARGE = """
INSERT INTO limit_counters AS c
       (tenant, field, action, principal, seconds, window_start, used)
SELECT %(tenant)b, %(field)b, %(action)b, %(principal)b, u.seconds,
       floor(extract(epoch FROM now()) / u.seconds)::bigint * u.seconds, %(used)b::bigint
FROM unnest(%(windows)b::integer[]) AS u (seconds)
ORDER BY u.seconds
ON CONFLICT (tenant, field, action, principal, seconds) DO UPDATE
SET used = excluded.used
           + CASE WHEN c.window_start < excluded.window_start THEN 0
                  ELSE least(c.used, 1::bigint << 62) END,
    window_start = greatest(c.window_start, excluded.window_start)
RETURNING seconds, used,
          greatest(0, window_start + seconds
                      - extract(epoch FROM clock_timestamp()))::double precision
"""

RECORDED_TOKEN_SPECS = "SELECT field, shape FROM field_shapes WHERE tenant = %(tenant)b"
RECORD_TOKEN_SPEC = """
INSERT INTO field_shapes (tenant, field, shape) VALUES (%(tenant)b, %(field)b, %(token_spec)b)
ON CONFLICT (tenant, field) DO NOTHING
"""
# Servers report the newest tweak version they can read, and a foreign key keeps the versions
# that are reported. Without the older ones no server can come (back) that would misread.
RETIRE_TWEAK_VERSIONS = """
DELETE FROM tweak_versions
WHERE version < %(newest)b
  AND NOT EXISTS (SELECT FROM policy_servers WHERE tweak_version < %(newest)b)
"""
RECORD_NEWEST_TOKEN_SPEC = """
INSERT INTO field_shapes (tenant, field, shape)
SELECT %(tenant)b, %(field)b,
       CASE WHEN EXISTS (SELECT FROM tweak_versions WHERE version < %(newest)b)
              OR %(by_key)b AND EXISTS (
                     SELECT FROM data_keys AS k, tweak_versions AS v
                     WHERE k.tenant = %(tenant)b AND k.field = %(field)b AND k.purpose = 'field'
                       AND v.version = %(newest)b AND k.created < v.since)
            THEN %(older)b ELSE %(token_spec)b END
ON CONFLICT (tenant, field) DO NOTHING
"""
TOKEN_SPEC = "SELECT shape FROM field_shapes WHERE tenant = %(tenant)b AND field = %(field)b"

# Whoever owns the database may have written times that no program can read.
IN_FORCE = """
SELECT digest, document, key_version, mac,
       CASE WHEN since BETWEEN '2000-01-01' AND '9000-01-01' THEN since END
FROM policy_state WHERE tenant = %(tenant)b FOR UPDATE
"""
FIRST_IN_FORCE = """
INSERT INTO policy_state (tenant, digest, document, key_version, mac, since)
VALUES (%(tenant)b, %(digest)b, %(document)b, %(key_version)b, %(mac)b, now())
ON CONFLICT (tenant) DO NOTHING
RETURNING since
"""
PUT_IN_FORCE = """
UPDATE policy_state
SET digest = %(digest)b, document = %(document)b, key_version = %(key_version)b, mac = %(mac)b,
    since = clock_timestamp()
WHERE tenant = %(tenant)b
RETURNING since
"""
# The silent are removed by whoever reports next. The time is that of the statement: the
# transaction may have waited for its turn.
REPORT = """
WITH silent AS (
    DELETE FROM policy_servers
    WHERE tenant = %(tenant)b AND server <> %(server)b
      AND seen < clock_timestamp() - make_interval(secs => %(stale)b)
)
INSERT INTO policy_servers (tenant, server, name, digest, seen, tweak_version)
VALUES (%(tenant)b, %(server)b, %(name)b, %(digest)b, clock_timestamp(), %(newest)b)
ON CONFLICT (tenant, server) DO UPDATE
SET name = excluded.name, digest = excluded.digest, seen = excluded.seen
"""
# Those that report another policy come first: none of them may be left out.
SERVERS = """
SELECT left(name, 160), digest FROM policy_servers WHERE tenant = %(tenant)b
ORDER BY digest = %(digest)b, name LIMIT 1000
"""
LEAVE = "DELETE FROM policy_servers WHERE tenant = %(tenant)b AND server = %(server)b"
