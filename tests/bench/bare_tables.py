"""Tables of the same shape as the service's, the bare statements on them, and rows to fill both.

Bare is what Postgres does for anybody: index and token by one INSERT, a look-up by
``token = ANY``, each a transaction of its own, through plain psycopg.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import LiteralString

import psycopg

from tests.bench.in_parallel import in_parallel
from vault.model import DEFAULT_TENANT

FIELD = "national_id"

# Kept apart from what is measured: what both sides are filled from, in no order, as if each
# row had come alone. The rows that the service knows are few among a million, and must not be
# next to each other where bare's are anywhere.
_SEED = """
CREATE SCHEMA bare;
CREATE TABLE bare.tokens (LIKE public.tokens INCLUDING ALL);
CREATE TABLE bare.token_index (LIKE public.token_index INCLUDING ALL);
CREATE UNLOGGED TABLE bare.token_seed (LIKE public.tokens);
CREATE UNLOGGED TABLE bare.index_seed (LIKE public.token_index);
INSERT INTO bare.token_seed SELECT * FROM public.tokens;
INSERT INTO bare.index_seed SELECT * FROM public.token_index;
"""
# Tokens, MACs and ciphertexts as random as real ones, and as long.
_MORE = """
WITH kind AS MATERIALIZED (
    SELECT t.*, i.index_version, length(t.ciphertext) AS size
    FROM (SELECT * FROM bare.token_seed LIMIT 1) t JOIN bare.index_seed i USING (token)
), made AS MATERIALIZED (
    SELECT upper(substr(md5(n::text), 1, 16)) AS token, sha256(n::text::bytea) AS mac,
           substr(sha512(n::text::bytea), 1, size) AS ciphertext, kind.tenant, kind.field,
           kind.scope, kind.state, kind.generator, kind.key_version, kind.tweak_counter,
           kind.index_version
    FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS n, kind
), stored AS (
    INSERT INTO bare.token_seed (tenant, field, token, scope, state, generator, key_version,
                                 tweak_counter, created, ciphertext)
    SELECT tenant, field, token, scope, state, generator, key_version, tweak_counter, now(),
           ciphertext
    FROM made
)
INSERT INTO bare.index_seed (tenant, field, scope, index_version, mac, token)
SELECT tenant, field, scope, index_version, mac, token FROM made
"""
_REFILL: tuple[LiteralString, ...] = (
    "TRUNCATE public.tokens, public.token_index, bare.tokens, bare.token_index",
    "INSERT INTO public.tokens SELECT * FROM bare.token_seed ORDER BY md5(token)",
    "INSERT INTO public.token_index SELECT * FROM bare.index_seed ORDER BY md5(token)",
    "INSERT INTO bare.tokens SELECT * FROM bare.token_seed ORDER BY md5(token)",
    "INSERT INTO bare.token_index SELECT * FROM bare.index_seed ORDER BY md5(token)",
    "VACUUM ANALYZE public.tokens, public.token_index, bare.tokens, bare.token_index",
    "CHECKPOINT",
)
_INSERT = """
WITH input AS (
    SELECT * FROM unnest(%(tokens)b::text[], %(ciphertexts)b::bytea[], %(macs)b::bytea[])
        AS u (token, ciphertext, mac)
), indexed AS (
    INSERT INTO bare.token_index (tenant, field, scope, index_version, mac, token)
    SELECT %(tenant)b, %(field)b, 'field', 1, mac, token FROM input ON CONFLICT DO NOTHING
)
INSERT INTO bare.tokens (tenant, field, token, scope, generator, key_version, tweak_counter,
                         ciphertext)
SELECT %(tenant)b, %(field)b, token, 'field', 'ff1', 1, 0, ciphertext FROM input
ON CONFLICT DO NOTHING
"""
_LOOK_UP = """
SELECT token, ciphertext FROM bare.tokens
WHERE tenant = %(tenant)b AND field = %(field)b AND token = ANY (%(tokens)b::text[])
"""
_SPACE = {"tenant": DEFAULT_TENANT, "field": FIELD}


@dataclass(frozen=True)
class Rows:
    """New rows of a batch, as a client has them."""

    tokens: Sequence[str]
    macs: Sequence[bytes]
    ciphertexts: Sequence[bytes]

    @classmethod
    def random(cls, size: int, length: int) -> Rows:
        """Makes rows whose ciphertexts are of a length."""
        names = [secrets.token_bytes(16) for _ in range(size)]
        return cls(
            [name.hex()[:16].upper() for name in names],
            [hashlib.sha256(name).digest() for name in names],
            [hashlib.sha512(name).digest()[:length] for name in names],
        )


class Tables:
    """The rows on either side, by the database's superuser."""

    def __init__(self, conninfo: str) -> None:
        """Takes the service's rows of now as the first of those that both are filled with."""
        self._conninfo = conninfo
        self._added = 0
        with self._connected() as connection:
            connection.execute(_SEED)

    def _connected(self) -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(self._conninfo, autocommit=True)

    def count(self, table: LiteralString = "public.tokens") -> int:
        """Returns how many rows a table has."""
        with self._connected() as connection:
            ((found,),) = connection.execute("SELECT count(*) FROM " + table)
        assert isinstance(found, int)
        return found

    def fill(self, size: int) -> None:
        """Leaves ``size`` rows on either side, inserted in random order and analyzed."""
        with self._connected() as connection:
            lacking = size - self.count("bare.token_seed")
            span = {"first": self._added + 1, "last": self._added + lacking}
            connection.execute(_MORE, span)
            self._added += max(0, lacking)
            for statement in _REFILL:
                connection.execute(statement)

    def stored_tokens(self, count: int) -> list[str]:
        """Returns that many of the tokens that both sides have."""
        with self._connected() as connection:
            rows = connection.execute(
                "SELECT token FROM bare.token_seed ORDER BY md5('other' || token) LIMIT %s", [count]
            )
            return [str(token) for (token,) in rows]

    def ciphertext_length(self) -> int:
        """Returns the length of a stored ciphertext."""
        with self._connected() as connection:
            ((found,),) = connection.execute(
                "SELECT length(ciphertext) FROM bare.token_seed LIMIT 1"
            )
        assert isinstance(found, int)
        return found


class Bare:
    """The bare statements, over as many connections as there are calls in flight."""

    name = "bare statements"

    def __init__(
        self, conninfo: str, connections: Sequence[psycopg.Connection[tuple[object, ...]]]
    ) -> None:
        self.conninfo = conninfo
        self._connections = connections

    @classmethod
    @contextmanager
    def opened(cls, conninfo: str, in_flight: int) -> Iterator[Bare]:
        """Yields it with its connections open."""
        connections = [psycopg.connect(conninfo, autocommit=True) for _ in range(in_flight)]
        try:
            yield cls(conninfo, connections)
        finally:
            for each in connections:
                each.close()

    def insert(self, batches: Sequence[Rows]) -> None:
        """Inserts batches, each in a transaction of its own."""

        def insert(lane: int, rows: Rows) -> None:
            columns = {"tokens": rows.tokens, "ciphertexts": rows.ciphertexts, "macs": rows.macs}
            cursor = self._connections[lane].execute(_INSERT, {**_SPACE, **columns})
            if cursor.rowcount != len(rows.tokens):
                raise RuntimeError("a row was there already")

        in_parallel(insert, batches, len(self._connections))

    def look_up(self, batches: Sequence[Sequence[str]]) -> None:
        """Looks batches of tokens up, each in a transaction of its own."""

        def look_up(lane: int, tokens: Sequence[str]) -> None:
            with self._connections[lane].cursor(binary=True) as cursor:
                found = cursor.execute(_LOOK_UP, {**_SPACE, "tokens": tokens}).fetchall()
            if len(found) != len(tokens):
                raise RuntimeError("a token was not found")

        in_parallel(look_up, batches, len(self._connections))
