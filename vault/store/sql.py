"""Every statement of the hot path, in psycopg's placeholders.

``%(x)b`` sends a parameter in binary: an array of MACs costs a tenth of its text form.
``unnest`` with LATERAL, never ``= ANY (array)``: the latter became a sequential scan on
a table that had grown since its last ANALYZE.

Every ON CONFLICT names its key: without a target, a table that has lost its unique index (a
restore that stopped half-way) would take each row, and one token would stand for two values.
"""

from __future__ import annotations

__all__ = [
    "CHARGE",
    "COLUMNS",
    "FIND_BY_MAC",
    "FIND_BY_TOKEN",
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
    "ROWS_BY_TOKEN",
    "SEALED",
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

COLUMNS = (
    "t.token, t.ciphertext, t.scope, t.key_version, t.generator, t.state, t.created, t.expires"
)
PAST = "(t.expires IS NOT NULL AND t.expires <= now())"

# What it takes to open rows, as ``StoredTokens`` has it.
SEALED = f"""t.token, CASE WHEN NOT {PAST} THEN t.ciphertext END, t.key_version,
       CASE WHEN t.state = 'live' AND {PAST} THEN 'expired' ELSE t.state END"""

FIND_BY_MAC = f"""
SELECT u.mac, {SEALED}
FROM unnest(%(macs)b::bytea[]) AS u (mac)
CROSS JOIN LATERAL (
    SELECT i.token FROM token_index i
    WHERE i.tenant = %(tenant)b AND i.field = %(field)b AND i.scope = %(scope)b
      AND i.index_version = %(index_version)b AND i.mac = u.mac
    LIMIT 1) i
CROSS JOIN LATERAL (
    SELECT * FROM tokens t
    WHERE t.tenant = %(tenant)b AND t.field = %(field)b AND t.token = i.token
    LIMIT 1) t
"""  # noqa: S608 - constants only

_BY_TOKEN = """
FROM unnest(%(tokens)b::text[]) AS u (token)
CROSS JOIN LATERAL (
    SELECT * FROM tokens t
    WHERE t.tenant = %(tenant)b AND t.field = %(field)b AND t.token = u.token
    LIMIT 1) t
"""
FIND_BY_TOKEN = f"SELECT {SEALED} {_BY_TOKEN}"
ROWS_BY_TOKEN = f"SELECT {COLUMNS}, {PAST} AS past {_BY_TOKEN}"

# The next live tokens of a field in the order of their strings.
LIVE_AFTER = f"""
SELECT {COLUMNS}, false AS past FROM tokens t
WHERE t.tenant = %(tenant)b AND t.field = %(field)b AND t.token > %(after)b
  AND t.state = 'live' AND NOT {PAST}
ORDER BY t.token LIMIT %(limit)b::integer
"""  # noqa: S608 - constants only

# Both inserts in one statement. Each is sorted by the key it may have to wait on, and
# the sort of the second makes the first finish before it: batches that overlap queue
# behind each other instead of deadlocking.
INSERT_INDEXED = """
WITH input AS MATERIALIZED (
    SELECT * FROM unnest(%(tokens)b::text[], %(ciphertexts)b::bytea[], %(macs)b::bytea[],
                         %(counters)b::bigint[]) AS u (token, ciphertext, mac, tweak_counter)
), indexed AS (
    INSERT INTO token_index (tenant, field, scope, index_version, mac, token)
    SELECT %(tenant)b, %(field)b, %(scope)b, %(index_version)b::integer, mac, token
    FROM input ORDER BY mac
    ON CONFLICT (tenant, field, scope, index_version, mac) DO NOTHING
    RETURNING token, mac
), stored AS (
    INSERT INTO tokens (tenant, field, token, scope, generator, key_version, tweak_counter,
                        ciphertext, expires)
    SELECT %(tenant)b, %(field)b, token, %(scope)b, %(generator)b, %(key_version)b::integer,
           tweak_counter, ciphertext, now() + %(ttl)b::interval
    FROM input JOIN indexed USING (token) ORDER BY token COLLATE "C"
    ON CONFLICT (tenant, field, token) DO NOTHING
    RETURNING token
)
SELECT indexed.token, indexed.mac, stored.token IS NOT NULL AS stored
FROM indexed LEFT JOIN stored USING (token)
"""

INSERT_UNINDEXED = """
INSERT INTO tokens (tenant, field, token, scope, generator, key_version, tweak_counter, ciphertext,
                    expires)
SELECT %(tenant)b, %(field)b, token, %(scope)b, %(generator)b, %(key_version)b::integer,
       tweak_counter, ciphertext, now() + %(ttl)b::interval
FROM unnest(%(tokens)b::text[], %(ciphertexts)b::bytea[], %(counters)b::bigint[])
     AS u (token, ciphertext, tweak_counter)
ORDER BY token COLLATE "C"
ON CONFLICT (tenant, field, token) DO NOTHING
RETURNING token
"""

# Index rows made a moment ago by INSERT_INDEXED, whose token's string was taken.
UNINDEX = """
DELETE FROM token_index i USING unnest(%(macs)b::bytea[]) AS u (mac)
WHERE i.tenant = %(tenant)b AND i.field = %(field)b AND i.scope = %(scope)b
  AND i.index_version = %(index_version)b AND i.mac = u.mac
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
