"""Every statement of the hot path, in psycopg's own placeholders.

``%(x)b`` sends a parameter in binary: an array of MACs costs a tenth of its text form.
``unnest`` with LATERAL, never ``= ANY (array)``: the latter became a sequential scan on
a table that had grown since its last ANALYZE.
"""

from __future__ import annotations

__all__ = [
    "BEGIN",
    "EXPIRE_TOKENS",
    "FIND_BY_MAC",
    "FIND_BY_TOKEN",
    "INSERT_INDEXED",
    "INSERT_UNINDEXED",
    "RECORDED_SHAPES",
    "RECORD_SHAPE",
    "SHAPE",
    "UNINDEX",
    "UNINDEX_STALE",
]

# Settings for this transaction only, so that a pooler between us and Postgres cannot
# mix them up. Plans: an index every time (no sequential scan of a table whose statistics
# are old), planned for the size of the array at hand (a generic plan takes 10 elements
# for granted and joins 10,000 by nested loops), never compiled. A commit is durable even
# where the server's default is not: an answer must not outlive its audit record.
BEGIN = """
SELECT set_config('statement_timeout', %(statement_timeout)s, true),
       set_config('lock_timeout', %(lock_timeout)s, true),
       set_config('enable_seqscan', 'off', true),
       set_config('jit', 'off', true),
       set_config('plan_cache_mode', 'force_custom_plan', true),
       CASE current_setting('synchronous_commit')
            WHEN 'off' THEN set_config('synchronous_commit', 'on', true) END,
       clock_timestamp()
"""

_COLUMNS = (
    "t.token, t.ciphertext, t.scope, t.key_version, t.generator, t.state, t.created, t.expires"
)
_PAST = "(t.expires IS NOT NULL AND t.expires <= now())"

FIND_BY_MAC = f"""
SELECT u.mac, {_COLUMNS}, {_PAST} AS past
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

FIND_BY_TOKEN = f"""
SELECT {_COLUMNS}, {_PAST} AS past
FROM unnest(%(tokens)b::text[]) AS u (token)
CROSS JOIN LATERAL (
    SELECT * FROM tokens t
    WHERE t.tenant = %(tenant)b AND t.field = %(field)b AND t.token = u.token
    LIMIT 1) t
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
    ON CONFLICT DO NOTHING
    RETURNING token, mac
), stored AS (
    INSERT INTO tokens (tenant, field, token, scope, generator, key_version, tweak_counter,
                        ciphertext)
    SELECT %(tenant)b, %(field)b, token, %(scope)b, %(generator)b, %(key_version)b::integer,
           tweak_counter, ciphertext
    FROM input JOIN indexed USING (token) ORDER BY token COLLATE "C"
    ON CONFLICT DO NOTHING
    RETURNING token
)
SELECT indexed.token, indexed.mac, stored.token IS NOT NULL AS stored
FROM indexed LEFT JOIN stored USING (token)
"""

INSERT_UNINDEXED = """
INSERT INTO tokens (tenant, field, token, scope, generator, key_version, tweak_counter, ciphertext)
SELECT %(tenant)b, %(field)b, token, %(scope)b, %(generator)b, %(key_version)b::integer,
       tweak_counter, ciphertext
FROM unnest(%(tokens)b::text[], %(ciphertexts)b::bytea[], %(counters)b::bigint[])
     AS u (token, ciphertext, tweak_counter)
ORDER BY token COLLATE "C"
ON CONFLICT DO NOTHING
RETURNING token
"""

# Index rows made a moment ago by INSERT_INDEXED, whose token's string was taken.
UNINDEX = """
DELETE FROM token_index i USING unnest(%(macs)b::bytea[]) AS u (mac)
WHERE i.tenant = %(tenant)b AND i.field = %(field)b AND i.scope = %(scope)b
  AND i.index_version = %(index_version)b AND i.mac = u.mac
"""

EXPIRE_TOKENS = """
UPDATE tokens t SET state = 'expired', ciphertext = NULL
FROM unnest(%(tokens)b::text[]) AS u (token)
WHERE t.tenant = %(tenant)b AND t.field = %(field)b AND t.token = u.token
  AND t.state = 'live' AND t.expires <= now()
"""

# Index rows and subject links of tokens that are tombstones. The state is asked again:
# another transaction may have extended a token since it was found past its expiry.
UNINDEX_STALE = """
WITH stale AS (
    SELECT u.mac, t.token
    FROM unnest(%(macs)b::bytea[], %(tokens)b::text[]) AS u (mac, token)
    JOIN tokens t ON t.tenant = %(tenant)b AND t.field = %(field)b AND t.token = u.token
    WHERE t.state <> 'live'
), links AS (
    DELETE FROM token_subjects s USING stale
    WHERE s.tenant = %(tenant)b AND s.field = %(field)b AND s.token = stale.token
)
DELETE FROM token_index i USING stale
WHERE i.tenant = %(tenant)b AND i.field = %(field)b AND i.scope = %(scope)b
  AND i.index_version = %(index_version)b AND i.mac = stale.mac AND i.token = stale.token
"""

RECORDED_SHAPES = "SELECT field, shape FROM field_shapes WHERE tenant = %(tenant)b"
RECORD_SHAPE = """
INSERT INTO field_shapes (tenant, field, shape) VALUES (%(tenant)b, %(field)b, %(shape)b)
ON CONFLICT DO NOTHING
"""
SHAPE = "SELECT shape FROM field_shapes WHERE tenant = %(tenant)b AND field = %(field)b"
