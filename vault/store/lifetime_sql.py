"""Statements about the end of tokens: expiry, erasure, and what must be locked for them.

Order of locks, the same for everybody: tokens first, sorted, then index rows. Whoever
deletes an index row that leads to a token holds that token's lock.
"""

from __future__ import annotations

from vault.store.sql import COLUMNS, PAST

__all__ = [
    "LOCKED",
    "LOCK_BY_MAC",
    "LOCK_BY_TOKEN",
    "LOCK_EXPIRED",
    "TOMBSTONE",
]

# The tokens named by u.token, one after another in the order they come in, which must be
# sorted: a lock is waited for by whoever holds only smaller ones. LATERAL with LIMIT keeps
# the nested loop, and with it the order. A row that was changed meanwhile comes as it is now.
LOCKED = """
CROSS JOIN LATERAL (
    SELECT * FROM tokens t
    WHERE t.tenant = %(tenant)b AND t.field = %(field)b AND t.token = u.token
    LIMIT 1 FOR UPDATE) t
"""

LOCK_BY_TOKEN = f"""
SELECT {COLUMNS}, {PAST} AS past
FROM unnest(%(tokens)b::text[]) AS u (token) {LOCKED}
"""  # noqa: S608 - constants only

# Two, where the index has lost its key: who asks is to see both.
INDEXED_ONE_BY_ONE = """
SELECT u.mac, i.token
FROM unnest(%(macs)b::bytea[]) AS u (mac)
CROSS JOIN LATERAL (
    SELECT i.token FROM token_index i
    WHERE i.tenant = %(tenant)b AND i.field = %(field)b AND i.scope = %(scope)b
      AND i.index_version = %(index_version)b AND i.mac = u.mac
    LIMIT 2) i
"""

LOCK_BY_MAC = f"""
WITH led AS MATERIALIZED ({INDEXED_ONE_BY_ONE})
SELECT u.mac, {COLUMNS}, {PAST} AS past
FROM (SELECT mac, token FROM led ORDER BY token COLLATE "C") AS u {LOCKED}
"""  # noqa: S608 - constants only

# One transaction at a time, over all servers: those who come to nothing try again later.
# The rows are of the space of the oldest; the rest have their turn in the next batch.
LOCK_EXPIRED = f"""
WITH turn AS MATERIALIZED (
    SELECT pg_try_advisory_xact_lock(%(lock)b::bigint) AS mine
), oldest AS MATERIALIZED (
    SELECT tenant, field, token, expires FROM tokens
    WHERE state = 'live' AND expires IS NOT NULL AND expires <= now() AND (SELECT mine FROM turn)
    ORDER BY expires LIMIT %(limit)b::integer
), first AS MATERIALIZED (
    SELECT tenant, field FROM oldest ORDER BY expires LIMIT 1
)
SELECT t.tenant, t.field, {COLUMNS}, true AS past
FROM (SELECT oldest.* FROM oldest JOIN first USING (tenant, field)) AS u
CROSS JOIN LATERAL (
    SELECT * FROM tokens t
    WHERE t.tenant = u.tenant AND t.field = u.field AND t.token = u.token
      AND t.state = 'live' AND t.expires <= now()
    LIMIT 1 FOR UPDATE SKIP LOCKED) t
"""  # noqa: S608 - constants only

# Of tokens that this transaction has locked: nobody else changes them or the index rows
# that lead to them. What is hit is said by key. Where the rows are (ctid) only pins the plan:
# in a table of several partitions each has rows of that ctid. Joined to nothing (|| '') a key
# is a condition and no way to the rows; as a way, tenant and field alone would seem short to
# a planner whose statistics are old. Twice LATERAL, and OFFSET, keep the nested loops; IS TRUE
# keeps what is compared by hash from becoming one.
# What was there and what was hit goes back: a statement that does nothing must not pass for an
# erasure.
TOMBSTONE = """
WITH linked AS MATERIALIZED (
    SELECT s.ctid AS place FROM unnest(%(tokens)b::text[]) AS u (token)
    CROSS JOIN LATERAL (
        SELECT ctid FROM token_subjects s
        WHERE s.tenant = %(tenant)b AND s.field = %(field)b AND s.token = u.token
        OFFSET 0) s
), indexed AS MATERIALIZED (
    SELECT i.ctid AS place
    FROM unnest(%(scopes)b::text[], %(index_versions)b::integer[], %(macs)b::bytea[],
                %(leading)b::text[]) AS u (scope, index_version, mac, token)
    CROSS JOIN LATERAL (
        SELECT ctid FROM token_index i
        WHERE i.tenant = %(tenant)b AND i.field = %(field)b AND i.scope = u.scope
          AND i.index_version = u.index_version AND i.mac = u.mac AND i.token = u.token
        LIMIT 1) i
), dead AS (
    UPDATE tokens SET state = %(state)b, ciphertext = NULL
    WHERE ctid = ANY (ARRAY(
        SELECT t.ctid FROM unnest(%(tokens)b::text[]) AS u (token)
        CROSS JOIN LATERAL (
            SELECT ctid FROM tokens t
            WHERE t.tenant = %(tenant)b AND t.field = %(field)b AND t.token = u.token
              AND t.state IS DISTINCT FROM 'erased'
            LIMIT 1) t))
      AND tenant || '' = %(tenant)b AND field || '' = %(field)b
      AND (token || '' IN (SELECT * FROM unnest(%(tokens)b::text[]))) IS TRUE
      AND state IS DISTINCT FROM 'erased'
    RETURNING token, state, ciphertext IS NULL AS bare
), unlinked AS (
    DELETE FROM token_subjects
    WHERE ctid = ANY (ARRAY(SELECT place FROM linked))
      AND tenant || '' = %(tenant)b AND field || '' = %(field)b
      AND (token || '' IN (SELECT * FROM unnest(%(tokens)b::text[]))) IS TRUE
    RETURNING 1
), unindexed AS (
    DELETE FROM token_index
    WHERE ctid = ANY (ARRAY(SELECT place FROM indexed))
      AND tenant || '' = %(tenant)b AND field || '' = %(field)b
      AND ((scope, index_version, mac, token) IN (
        SELECT * FROM unnest(%(scopes)b::text[], %(index_versions)b::integer[],
                             %(macs)b::bytea[], %(leading)b::text[]))) IS TRUE
    RETURNING 1
)
SELECT ARRAY(SELECT token FROM dead WHERE state = %(state)b AND bare),
       ARRAY(SELECT 1 FROM linked), ARRAY(SELECT 1 FROM unlinked),
       ARRAY(SELECT 1 FROM indexed), ARRAY(SELECT 1 FROM unindexed)
"""
