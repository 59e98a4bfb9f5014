"""Token mappings in Postgres, within one open transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import groupby
from typing import NamedTuple, cast

from sqlalchemy import Connection

from vault.model import Generator, NewToken, Scope, StoredToken, TokenSpace, TokenState
from vault.store import sql
from vault.store.transaction import Columns, Parameters, execute

__all__ = ["PostgresTokenStore"]


class _Index(NamedTuple):
    """Within what a blind index is unique."""

    space: TokenSpace
    scope: Scope
    version: int

    def parameters(self) -> dict[str, object]:
        return {
            "tenant": self.space.tenant,
            "field": self.space.field,
            "scope": self.scope.value,
            "index_version": self.version,
        }


class _Kind(NamedTuple):
    """What the tokens of one INSERT have in common; one call's have all of it in common."""

    scope: Scope
    index_version: int
    generator: Generator
    key_version: int
    indexed: bool


_TokenColumns = tuple[str, bytes | None, str, int, str, str, datetime, datetime | None, bool]


class PostgresTokenStore:
    """The TokenStore of one transaction.

    Statements a batch: one to find, one to insert. One more where a token's string was
    taken, two more where expired tokens stand in the way of new ones.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._stale: dict[_Index, dict[bytes, str]] = {}

    def find_by_mac(
        self, space: TokenSpace, scope: Scope, index_version: int, macs: Sequence[bytes]
    ) -> Mapping[bytes, StoredToken]:
        """Returns the live, unexpired tokens of the given blind indexes.

        Remembers index rows that lead to tombstones: ``insert`` clears them away.
        """
        if not macs:
            return {}
        index = _Index(space, scope, index_version)
        rows = execute(
            self._connection, sql.FIND_BY_MAC, {**index.parameters(), "macs": list(macs)}
        )
        found: dict[bytes, StoredToken] = {}
        for row in rows:
            mac, token = row[0], _stored_token(row[1:])
            if token.state is TokenState.LIVE:
                found[cast("bytes", mac)] = token
            else:
                self._stale.setdefault(index, {})[cast("bytes", mac)] = token.token
        return found

    def find_by_token(self, space: TokenSpace, tokens: Sequence[str]) -> Mapping[str, StoredToken]:
        """Returns the rows, tombstones too, of the given token cores."""
        if not tokens:
            return {}
        parameters = {"tenant": space.tenant, "field": space.field, "tokens": list(tokens)}
        rows = execute(self._connection, sql.FIND_BY_TOKEN, parameters)
        return {row.token: row for row in map(_stored_token, rows)}

    def insert(self, space: TokenSpace, new: Sequence[NewToken]) -> frozenset[str]:
        """Inserts tokens and their index rows; returns the token cores inserted."""
        stored: set[str] = set()
        for kind, group in groupby(sorted(new, key=_kind), _kind):
            stored |= self._insert(space, kind, list(group))
        return frozenset(stored)

    def _insert(self, space: TokenSpace, kind: _Kind, new: Sequence[NewToken]) -> set[str]:
        index = _Index(space, kind.scope, kind.index_version)
        parameters: dict[str, object] = {
            **index.parameters(),
            "generator": kind.generator.value,
            "key_version": kind.key_version,
            "tokens": [token.token for token in new],
            "ciphertexts": [token.ciphertext for token in new],
            "counters": [token.tweak_counter for token in new],
        }
        if not kind.indexed:
            rows = execute(self._connection, sql.INSERT_UNINDEXED, parameters)
            return {cast("str", token) for (token,) in rows}
        self._clear_stale(index)
        return self._insert_indexed(parameters, [token.mac for token in new])

    def _insert_indexed(self, parameters: Parameters, macs: Sequence[bytes | None]) -> set[str]:
        rows = execute(self._connection, sql.INSERT_INDEXED, {**parameters, "macs": list(macs)})
        collided = [mac for _, mac, stored in rows if not stored]
        if collided:
            execute(self._connection, sql.UNINDEX, {**parameters, "macs": collided})
        return {cast("str", token) for token, _, stored in rows if stored}

    def _clear_stale(self, index: _Index) -> None:
        """Turns expired tokens into tombstones and drops the index rows that lead to any."""
        stale = self._stale.pop(index, None)
        if stale is None:
            return
        parameters: dict[str, object] = {
            **index.parameters(),
            "macs": list(stale),
            "tokens": list(stale.values()),
        }
        execute(self._connection, sql.EXPIRE_TOKENS, parameters)
        execute(self._connection, sql.UNINDEX_STALE, parameters)


def _kind(new: NewToken) -> _Kind:
    return _Kind(new.scope, new.index_version, new.generator, new.key_version, new.mac is not None)


def _stored_token(columns: Columns) -> StoredToken:
    token, ciphertext, scope, key_version, generator, state, created, expires, past = cast(
        "_TokenColumns", columns
    )
    live = state == TokenState.LIVE.value
    return StoredToken(
        token=token,
        ciphertext=b"" if ciphertext is None or past else ciphertext,
        scope=Scope(scope),
        key_version=key_version,
        generator=Generator(generator),
        state=TokenState.EXPIRED if live and past else TokenState(state),
        created=created,
        expires=expires,
    )
