"""Statements that look tokens up, by token and by blind index, in two equivalent ways.

``= ANY (array)`` walks an index once, in its order: a batch of 10,000 costs a third of what as
many searches do. From Postgres 17 on it always is a condition of the index. Before, a planner
whose statistics are old could prefer to read all of a field's rows and compare each; there
``unnest`` with LATERAL and LIMIT looks each element up by itself, sorted, so that the next is
near. Never a plain join: with old statistics that becomes a nested loop over whole tables. What
two arrays found is put together by a FULL JOIN, which is a hash or a merge at any statistics.
"""

from __future__ import annotations

from typing import NamedTuple

from vault.store.lifetime_sql import INDEXED_ONE_BY_ONE, LOCKED
from vault.store.sql import COLUMNS, PAST

__all__ = ["BY_ARRAY", "ONE_BY_ONE", "LookupStatements", "lookup_statements"]

_ALWAYS_BY_INDEX = 170_000  # Postgres 17, as libpq numbers it

# What it takes to open rows, as ``StoredTokens`` has it: token, ciphertext, key version, and of
# what is not live its state. NULL costs next to nothing, a word for each live row as much as a MAC.
_SEALED = f"""t.token, CASE WHEN t.state = 'live' AND NOT {PAST} THEN t.ciphertext END,
       coalesce(t.key_version, 0),
       CASE WHEN t.state = 'live' THEN CASE WHEN {PAST} THEN 'expired' END
            ELSE coalesce(t.state, '') END"""
# Of which that is made.
_STORED = "t.token, t.ciphertext, t.key_version, t.state, t.expires"

_TOKENS_BY_ARRAY = """
FROM tokens t
WHERE t.tenant = %(tenant)b AND t.field = %(field)b AND t.token = ANY (%(tokens)b::text[])
"""
_TOKENS_ONE_BY_ONE = """
FROM (SELECT token FROM unnest(%(tokens)b::text[]) AS u (token) ORDER BY token COLLATE "C") AS u
CROSS JOIN LATERAL (
    SELECT * FROM tokens t
    WHERE t.tenant = %(tenant)b AND t.field = %(field)b AND t.token = u.token
    LIMIT 1) t
"""
_INDEXED_BY_ARRAY = """
SELECT i.mac, i.token FROM token_index i
WHERE i.tenant = %(tenant)b AND i.field = %(field)b AND i.scope = %(scope)b
  AND i.index_version = %(index_version)b AND i.mac = ANY (%(macs)b::bytea[])
"""


class LookupStatements(NamedTuple):
    """The statements.

    Attributes:
        by_mac: MAC, then what it takes to open a row.
        by_mac_extended: the same, with the expiry moved.
        by_token: what it takes to open a row.
        rows_by_token: whole rows.
        columns_by_token: as ``by_token``, in one row that ``vault.store.found_columns`` reads.
        columns_by_mac: the same, then the tokens that index rows lead to, and the MACs.
    """

    by_mac: str
    by_mac_extended: str
    by_token: str
    rows_by_token: str
    columns_by_token: str
    columns_by_mac: str


# False of an index row that leads nowhere. IS NOT NULL would tell the planner that no FULL JOIN
# is needed, and it could make a nested loop of it.
_LEADS = "coalesce(t.token, '') <> ''"
_LED_BY_ARRAY = """
FROM tokens t
WHERE t.tenant = %(tenant)b AND t.field = %(field)b AND t.token = ANY (ARRAY(SELECT token FROM led))
"""
_MACS_BY_ARRAY = f"""
WITH led AS MATERIALIZED ({_INDEXED_BY_ARRAY}), t AS MATERIALIZED (
    SELECT {_STORED} {_LED_BY_ARRAY}
)
SELECT led.mac, {_SEALED} FROM led FULL JOIN t ON t.token = led.token WHERE {_LEADS}
"""  # noqa: S608 - constants only
_LED_ONE_BY_ONE = """
FROM (SELECT mac, token FROM led ORDER BY token COLLATE "C") AS led
CROSS JOIN LATERAL (
    SELECT * FROM tokens t
    WHERE t.tenant = %(tenant)b AND t.field = %(field)b AND t.token = led.token
    LIMIT 1) t
"""
_MACS_ONE_BY_ONE = f"""
WITH led AS ({INDEXED_ONE_BY_ONE}) SELECT led.mac, {_SEALED} {_LED_ONE_BY_ONE}
"""


def _by_mac_extended(indexed: str) -> str:
    """Finds the same, with the expiry moved to now() + ttl where it has one that is earlier.

    At most once a second for each token: a value that many callers send at once must not have
    them all queue for its row. Only what is to be moved, or is a tombstone that an insert may
    clear away, is locked, in one sorted pass. Those are updated by their whole key: were tenant
    and field constants, or the times bare, an index on them alone would do for a planner whose
    statistics are old, and all of a field be read.
    """
    return f"""
WITH found AS MATERIALIZED (
    SELECT led.mac, {_STORED},
           t.state <> 'live' OR coalesce(
               t.expires < now() + %(ttl)b::interval
                           - least(%(ttl)b::interval / 100, interval '1 second'), false) AS touch
    FROM ({indexed}) AS led
    CROSS JOIN LATERAL (
        SELECT * FROM tokens t
        WHERE t.tenant = %(tenant)b AND t.field = %(field)b AND t.token = led.token
        LIMIT 1) t
), locked AS MATERIALIZED (
    SELECT u.mac, t.tenant, t.field, {_STORED}
    FROM (SELECT mac, token FROM found WHERE touch ORDER BY token COLLATE "C") AS u {LOCKED}
), extended AS (
    UPDATE tokens t SET expires = now() + %(ttl)b::interval FROM locked
    WHERE t.tenant = locked.tenant AND t.field = locked.field AND t.token = locked.token
      AND t.state = 'live'
      AND (t.expires > now() AND t.expires < now() + %(ttl)b::interval) IS TRUE
    RETURNING t.token, t.expires
)
SELECT t.mac, {_SEALED} FROM found t WHERE NOT t.touch
UNION ALL
SELECT t.mac, {_SEALED} FROM locked t
"""  # noqa: S608 - constants only


# OFFSET has what a row is asked for made once, however often it is read.
def _columns_of(tokens: str) -> str:
    return f"""
SELECT string_agg(token, ''), string_agg(int4send(octet_length(token)), ''),
       string_agg(ciphertext, ''),
       string_agg(int8send(key_version::bigint << 32 | coalesce(octet_length(ciphertext), 0)), ''),
       string_agg(CASE WHEN octet_length(ciphertext) > 0 THEN NULL WHEN state IS NULL THEN 'l'
                       WHEN state = 'expired' THEN 'x' WHEN state = 'erased' THEN 'e'
                       ELSE 'd' END, '')
FROM (SELECT {_SEALED} {tokens} OFFSET 0) AS t (token, ciphertext, key_version, state)
"""  # noqa: S608 - constants only


def _columns_by_mac(indexed: str, led: str) -> str:
    return f"""
WITH led AS MATERIALIZED ({indexed}), found AS ({_columns_of(led)}), named AS (
    SELECT string_agg(coalesce(token, ''), ''),
           string_agg(int4send(coalesce(octet_length(token), 0)), ''),
           string_agg(mac, ''), string_agg(int4send(octet_length(mac)), '')
    FROM led
)
SELECT found.*, named.* FROM found, named
"""  # noqa: S608 - constants only


def _statements(by_mac: str, indexed: str, led: str, tokens: str) -> LookupStatements:
    return LookupStatements(
        by_mac=by_mac,
        by_mac_extended=_by_mac_extended(indexed),
        by_token=f"SELECT {_SEALED} {tokens}",
        rows_by_token=f"SELECT {COLUMNS}, {PAST} AS past {tokens}",
        columns_by_token=_columns_of(tokens),
        columns_by_mac=_columns_by_mac(indexed, led),
    )


BY_ARRAY = _statements(_MACS_BY_ARRAY, _INDEXED_BY_ARRAY, _LED_BY_ARRAY, _TOKENS_BY_ARRAY)
ONE_BY_ONE = _statements(_MACS_ONE_BY_ONE, INDEXED_ONE_BY_ONE, _LED_ONE_BY_ONE, _TOKENS_ONE_BY_ONE)


def lookup_statements(server_version: int) -> LookupStatements:
    """Returns the statements for a server, by its version as libpq numbers it (180006)."""
    return BY_ARRAY if server_version >= _ALWAYS_BY_INDEX else ONE_BY_ONE
