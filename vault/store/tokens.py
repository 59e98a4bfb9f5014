"""Token mappings in Postgres, within one open transaction."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import cast

from psycopg.pq.abc import PGresult
from sqlalchemy import Connection

from vault.errors import Reason, StoreUnavailable
from vault.formats.columnar.text_column import utf8_of
from vault.model import (
    Generator,
    NewTokens,
    Scope,
    StoredToken,
    StoredTokens,
    TokenSpace,
    TokenState,
)
from vault.postgres.advisory_locks import AdvisoryLock
from vault.postgres.arrays import (
    BigintArray,
    ByteaArray,
    ByteaRows,
    TextArray,
    Utf8Array,
    Utf8Rows,
)
from vault.postgres.deadlines import driver_of
from vault.postgres.failures import Conflict, LockTimeout
from vault.postgres.transaction import Columns, Parameters, execute, fetch
from vault.service.ports import IndexEntry
from vault.store import lifetime_sql, sql
from vault.store.find_sql import LookupStatements, lookup_statements
from vault.store.found import NO_TOKENS, TOMBSTONES, only, state_of, stored_tokens
from vault.store.found_columns import MIN_FOR_COLUMNS, SortedKeys, found_by_mac, found_by_token
from vault.store.lookups import Index, Lookup, SharedLookup

__all__ = ["PostgresTokenStore"]


# A look-up is a tenth of a call of the enumeration, and every row needs three.
_SCOPES = {each.value: each for each in Scope}
_GENERATORS = {each.value: each for each in Generator}
_Counted = tuple[tuple[list[str], list[int], list[int], list[int], list[int]]]
_TokenColumns = tuple[str, bytes | None, str, int, str, str, datetime, datetime | None, bool]
_DAMAGED = TokenState.DAMAGED


class PostgresTokenStore:
    """The TokenStore of one transaction.

    Statements a batch: one to find (and extend), one to insert. One more where a token's
    string was taken, two more where tombstones stand in the way of new tokens. One to lock
    and one to make a tombstone of.
    """

    def __init__(
        self, connect: Callable[[], Connection], shared: SharedLookup = lambda _: None
    ) -> None:
        """Takes what returns the transaction's connection, and what looks up with other calls."""
        self._connect = connect
        self._shared = shared
        self._stale: dict[Index, dict[bytes, str]] = {}
        self._held: dict[Index, set[bytes]] = {}

    @property
    def _connection(self) -> Connection:
        return self._connect()

    @cached_property
    def _statements(self) -> LookupStatements:
        return lookup_statements(driver_of(self._connection).info.server_version)

    def find_by_mac(
        self,
        space: TokenSpace,
        scope: Scope,
        index_version: int,
        macs: Sequence[bytes],
        *,
        extend: timedelta | None = None,
    ) -> StoredTokens:
        """Returns the live, unexpired tokens of the given blind indexes, extended if asked to.

        Remembers index rows that lead to tombstones: ``insert`` clears them away.
        """
        if not macs:
            return NO_TOKENS
        index = Index(space, scope, index_version)
        found = self._by_mac(index, macs, extend)
        if found.states.count(TokenState.LIVE) == len(found):
            return found
        dead = [state in TOMBSTONES for state in found.states]
        gone = only(found, dead)
        stale = self._stale.setdefault(index, {})
        stale.update((macs[at], token) for at, token in zip(gone.at, gone.tokens, strict=True))
        return only(found, [not each for each in dead])

    def _by_mac(
        self, index: Index, macs: Sequence[bytes], extend: timedelta | None
    ) -> StoredTokens:
        if extend is None:
            found = self._shared(Lookup(index, macs))
            if found is not None:
                return found
            if len(macs) >= MIN_FOR_COLUMNS and (keys := SortedKeys.macs(macs)):
                named = {**index.parameters(), "macs": ByteaRows(keys.joined, keys.size)}
                return found_by_mac(keys, self._fetch(self._statements.columns_by_mac, named))
        statements = self._statements
        statement = statements.by_mac if extend is None else statements.by_mac_extended
        parameters = {**index.parameters(), "macs": ByteaArray(macs), "ttl": extend}
        return stored_tokens(macs, self._fetch(statement, parameters))

    def find_by_token(self, space: TokenSpace, tokens: Sequence[str]) -> StoredTokens:
        """Returns the rows, tombstones too, of the given token cores."""
        if not tokens:
            return NO_TOKENS
        named = {"tenant": space.tenant, "field": space.field}
        if len(tokens) >= MIN_FOR_COLUMNS and (keys := SortedKeys.tokens(tokens)):
            parameters = {**named, "tokens": Utf8Rows(keys.joined, keys.size)}
            return found_by_token(keys, self._fetch(self._statements.columns_by_token, parameters))
        asked = utf8_of(tokens)
        found = self._shared(Lookup(space, asked))
        if found is not None:
            return found
        parameters = {**named, "tokens": Utf8Array(asked)}
        return stored_tokens(asked, self._fetch(self._statements.by_token, parameters))

    def _fetch(self, statement: str, parameters: Parameters) -> PGresult:
        return fetch(self._connection, statement, parameters)

    def rows_by_token(self, space: TokenSpace, tokens: Sequence[str]) -> Mapping[str, StoredToken]:
        """Returns the rows, tombstones too, of the given token cores."""
        if not tokens:
            return {}
        rows = execute(self._connection, self._statements.rows_by_token, _named(space, tokens))
        return {row.token: row for row in map(_stored_token, rows)}

    def live_after(self, space: TokenSpace, token: str, limit: int) -> Sequence[StoredToken]:
        """Returns the live and damaged rows that follow a token's string, in order."""
        named = {"tenant": space.tenant, "field": space.field}
        parameters = {**named, "after": token, "limit": limit}
        rows = execute(self._connection, sql.LIVE_AFTER, parameters)
        return [_with_ciphertext(row) for row in rows]

    def insert(self, space: TokenSpace, new: NewTokens) -> frozenset[str]:
        """Inserts tokens and their index rows; returns the token cores inserted.

        Raises Conflict where going on could deadlock: index rows are waited for in order,
        but who lost a race to a token that was erased at once still holds those of its
        first insert. It waits for a moment only.
        """
        if not new.tokens:
            return frozenset()
        index = Index(space, new.scope, new.index_version)
        held = self._held.get(index, set())
        if self._held and new.macs is not None and not held.issuperset(new.macs):
            return self._insert_soon(index, new)
        return self._insert(index, new)

    def _insert_soon(self, index: Index, new: NewTokens) -> frozenset[str]:
        ((before, _),) = execute(self._connection, sql.SHORT_LOCK_TIMEOUT, {})
        with suppress(LockTimeout):
            stored = self._insert(index, new)
            execute(self._connection, sql.LOCK_TIMEOUT, {"timeout": before})
            return stored
        raise Conflict("another transaction was quicker")

    def _insert(self, index: Index, new: NewTokens) -> frozenset[str]:
        parameters: dict[str, object] = {
            **index.parameters(),
            "generator": new.generator.value,
            "key_version": new.key_version,
            "ttl": new.ttl,
            "tokens": TextArray(new.tokens),
            "ciphertexts": ByteaArray(new.ciphertexts),
            "counters": BigintArray(new.tweak_counters),
        }
        if new.macs is None:
            ((stored,),) = execute(self._connection, sql.INSERT_UNINDEXED, parameters)
            return frozenset(new.tokens if stored is None else cast("list[str]", stored))
        self._clear_stale(index)
        return self._insert_indexed(index, new, {**parameters, "macs": ByteaArray(new.macs)})

    def _insert_indexed(
        self, index: Index, new: NewTokens, parameters: Parameters
    ) -> frozenset[str]:
        ((macs, tokens),) = execute(self._connection, sql.INSERT_INDEXED, parameters)
        held = self._held.setdefault(index, set())
        if macs is None:
            held.update(new.macs or ())
            return frozenset(new.tokens)
        indexed, stored = frozenset(cast("list[bytes]", macs)), frozenset(cast("list[str]", tokens))
        held |= indexed
        collided = [
            mac
            for mac, token in zip(new.macs or (), new.tokens, strict=True)
            if mac in indexed and token not in stored
        ]
        if collided:
            parameters = {**parameters, "macs": ByteaArray(collided)}
            gone = execute(self._connection, sql.UNINDEX, parameters)
            if len(gone) != len(collided):
                raise _not_done()
        return stored

    def _clear_stale(self, index: Index) -> None:
        """Drops the index rows that lead to expired tokens and tombstones.

        An expired token itself is left to the reaper: what becomes a tombstone is in a list
        that goes with the audit record (``AuditAppender.append``).
        """
        stale = self._stale.pop(index, None)
        if stale is None:
            return
        locked = self.lock_by_token(index.space, list(stale.values()))
        # Asked again: another transaction may have extended a token since it was found.
        dead = {token for token, row in locked.items() if row.state in TOMBSTONES}
        entries = [
            IndexEntry(token, index.scope, index.version, mac)
            for mac, token in stale.items()
            if token in dead
        ]
        self.tombstone(index.space, TokenState.EXPIRED, (), entries)

    def lock_by_token(self, space: TokenSpace, tokens: Sequence[str]) -> Mapping[str, StoredToken]:
        """Locks and returns the rows, tombstones too, of the given token cores."""
        if not tokens:
            return {}
        parameters = {
            "tenant": space.tenant,
            "field": space.field,
            "tokens": TextArray(sorted(tokens)),
        }
        rows = execute(self._connection, lifetime_sql.LOCK_BY_TOKEN, parameters)
        return {row.token: row for row in map(_locked_token, rows)}

    def lock_by_mac(
        self, space: TokenSpace, scope: Scope, index_version: int, macs: Sequence[bytes]
    ) -> Mapping[bytes, StoredToken]:
        """Locks the tokens of the given blind indexes; returns the live, unexpired ones."""
        if not macs:
            return {}
        parameters = {**Index(space, scope, index_version).parameters(), "macs": ByteaArray(macs)}
        rows = execute(self._connection, lifetime_sql.LOCK_BY_MAC, parameters)
        found: dict[bytes, StoredToken] = {}
        for columns in rows:
            mac, row = cast("bytes", columns[0]), _locked_token(columns[1:])
            if row.state not in TOMBSTONES:
                # Two of one value, where the index lost its key: neither is to be believed.
                doubled = replace(row, ciphertext=b"", state=_DAMAGED)
                found[mac] = doubled if mac in found else row
        return found

    def lock_expired(self, limit: int) -> tuple[TokenSpace, Mapping[str, StoredToken]] | None:
        """Locks and returns live rows past their expiry, of one space."""
        parameters = {"lock": int(AdvisoryLock.REAPING), "limit": limit}
        rows = execute(self._connection, lifetime_sql.LOCK_EXPIRED, parameters)
        if not rows:
            return None
        space = TokenSpace(cast("str", rows[0][0]), cast("str", rows[0][1]))
        return space, {row.token: row for row in (_locked_token(each[2:]) for each in rows)}

    def tombstone(
        self,
        space: TokenSpace,
        state: TokenState,
        tokens: Sequence[str],
        index_entries: Sequence[IndexEntry],
    ) -> None:
        """Makes tombstones of locked tokens and drops their links and the index rows named.

        Raises StoreUnavailable where Postgres says that it did less.
        """
        if not tokens and not index_entries:
            return
        parameters = {
            "tenant": space.tenant,
            "field": space.field,
            "state": state.value,
            "tokens": list(tokens),
            "scopes": [entry.scope.value for entry in index_entries],
            "index_versions": [entry.version for entry in index_entries],
            "macs": [entry.mac for entry in index_entries],
            "leading": [entry.token for entry in index_entries],
        }
        ((dead, linked, unlinked, indexed, unindexed),) = cast(
            "_Counted", execute(self._connection, lifetime_sql.TOMBSTONE, parameters)
        )
        if len(linked) != len(unlinked) or len(indexed) != len(unindexed):
            raise _not_done()
        if missed := set(tokens).difference(dead):
            rows = self.rows_by_token(space, sorted(missed))
            if any(token not in rows or rows[token].ciphertext for token in missed) or any(
                row.state is not TokenState.ERASED for row in rows.values()
            ):
                raise _not_done()


def _named(space: TokenSpace, tokens: Sequence[str]) -> Parameters:
    return {"tenant": space.tenant, "field": space.field, "tokens": TextArray(tokens)}


def _not_done() -> StoreUnavailable:
    """Makes the error of a statement that Postgres took and did not carry out on every row."""
    error = StoreUnavailable(
        "the database did not change all the rows that it should have, so nothing was done: run"
        " `tokenvault audit verify`",
        reason=Reason.INTERNAL,
    )
    error.retryable = False
    return error


def _locked_token(columns: Columns) -> StoredToken:
    """Reads a row that may be tombstoned: past its expiry it still has its ciphertext."""
    row, ciphertext = _stored_token(columns), cast("bytes | None", columns[1])
    return row if row.state is _DAMAGED else replace(row, ciphertext=ciphertext or b"")


def _with_ciphertext(columns: Columns) -> StoredToken:
    """Reads a row that is to be opened whatever else it says."""
    return replace(_stored_token(columns), ciphertext=cast("bytes | None", columns[1]) or b"")


def _stored_token(columns: Columns) -> StoredToken:
    token, ciphertext, scope, key_version, generator, state, created, expires, past = cast(
        "_TokenColumns", columns
    )
    stored = state_of(state)
    if stored is _DAMAGED or scope not in _SCOPES or generator not in _GENERATORS:
        return StoredToken(
            token, b"", Scope.NONE, key_version, Generator.RANDOM, _DAMAGED, created, expires
        )
    return StoredToken(
        token=token,
        ciphertext=b"" if ciphertext is None or past else ciphertext,
        scope=_SCOPES[scope],
        key_version=key_version,
        generator=_GENERATORS[generator],
        state=TokenState.EXPIRED if past and stored is TokenState.LIVE else stored,
        created=created,
        expires=expires,
    )
