"""The integrator's statements, in psycopg's own placeholders."""

from __future__ import annotations

__all__ = ["APPEND", "BACKLOGS", "BEGIN", "RECORDS", "TIP", "WAITING"]

# Settings for this transaction only (see vault.store.sql). A position must not be lost in a
# crash either: a checkpoint may have gone out with it. The lock ends with the transaction;
# it is taken in a statement before those that read, so that they see all its last holder did.
BEGIN = """
SELECT set_config('statement_timeout', '10s', true),
       set_config('lock_timeout', '5s', true),
       set_config('idle_in_transaction_session_timeout', '10s', true),
       set_config('enable_seqscan', 'off', true),
       set_config('jit', 'off', true),
       set_config('plan_cache_mode', 'force_custom_plan', true),
       CASE current_setting('synchronous_commit')
            WHEN 'off' THEN set_config('synchronous_commit', 'on', true) END,
       pg_try_advisory_xact_lock(%(lock)s)
"""

# The log's end; whether anything is new: all heads' numbers, summed, less its positions.
TIP = """
SELECT (SELECT least(coalesce(sum(number), 0), 1::bigint << 62)::bigint FROM audit_heads),
       (SELECT coalesce(max(position), 0) FROM audit_log),
       r.size, r.key_version, r.peaks, r.root, r.mac
FROM (VALUES (1)) one LEFT JOIN audit_roots r
  ON r.size = %(known)b OR r.size = (SELECT max(size) FROM audit_roots)
ORDER BY r.size
"""

BACKLOGS = """
SELECT h.writer, h.number, coalesce(l.number, 0), coalesce(l.mac, ''::bytea)
FROM audit_heads h LEFT JOIN LATERAL (
    SELECT number, mac FROM audit_log WHERE writer = h.writer ORDER BY number DESC LIMIT 1
) l ON true
WHERE h.number <> coalesce(l.number, 0) AND NOT h.writer = ANY (%(stalled)b::uuid[])
LIMIT %(most)b
"""

RECORDS = """
SELECT r.writer, r.number, r.key_version, r.previous, r.mac, r.body
FROM unnest(%(writers)b::uuid[], %(after)b::bigint[], %(heads)b::bigint[])
     WITH ORDINALITY AS u (writer, integrated, head, place)
CROSS JOIN LATERAL (
    SELECT * FROM audit_records r
    WHERE r.writer = u.writer AND r.number > u.integrated AND r.number <= u.head
    ORDER BY r.number LIMIT %(most)b
) r
ORDER BY u.place, r.number
"""

APPEND = """
WITH entries AS (
    INSERT INTO audit_log (position, writer, number, mac, leaf, body_digest)
    SELECT * FROM unnest(%(positions)b::bigint[], %(writers)b::uuid[], %(numbers)b::bigint[],
                         %(macs)b::bytea[], %(leaves)b::bytea[], %(digests)b::bytea[])
    RETURNING position
), root AS (
    INSERT INTO audit_roots (size, key_version, peaks, root, mac)
    SELECT * FROM unnest(%(sizes)b::bigint[], %(key_versions)b::integer[], %(peaks)b::bytea[],
                         %(roots)b::bytea[], %(root_macs)b::bytea[])
    RETURNING size
)
SELECT ARRAY(SELECT position FROM entries), ARRAY(SELECT size FROM root)
"""

# Of each writer that waits, its first record without a position.
WAITING = """
SELECT clock_timestamp(), r.body
FROM audit_heads h LEFT JOIN LATERAL (
    SELECT number FROM audit_log WHERE writer = h.writer ORDER BY number DESC LIMIT 1
) l ON true
JOIN audit_records r ON r.writer = h.writer AND r.number = coalesce(l.number, 0) + 1
WHERE h.number > coalesce(l.number, 0) AND NOT h.writer = ANY (%(stalled)b::uuid[])
LIMIT 1000
"""
