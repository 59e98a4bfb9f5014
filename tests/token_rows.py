"""Rows of the token store one by one, as tests write and compare them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import groupby

from vault.model import Generator, NewTokens, Scope, StoredToken, TokenSpace
from vault.service.ports import TokenStore


@dataclass(frozen=True)
class NewToken:
    """One entry of ``NewTokens``."""

    token: str = field(repr=False)
    ciphertext: bytes = field(repr=False)
    mac: bytes | None = field(repr=False)
    index_version: int
    key_version: int
    generator: Generator
    scope: Scope
    tweak_counter: int = 0
    ttl: timedelta | None = None

    @property
    def kind(self) -> tuple[object, ...]:
        """What entries of one column have in common."""
        return self.index_version, self.key_version, self.generator, self.scope, self.ttl


def insert_rows(store: TokenStore, space: TokenSpace, new: Sequence[NewToken]) -> frozenset[str]:
    """Inserts rows, those of one kind at once; returns the tokens inserted."""
    inserted: frozenset[str] = frozenset()
    for _, group in groupby(sorted(new, key=lambda each: str(each.kind)), lambda each: each.kind):
        rows = list(group)
        macs = [each.mac for each in rows if each.mac is not None]
        inserted |= store.insert(
            space,
            NewTokens(
                tokens=[each.token for each in rows],
                ciphertexts=[each.ciphertext for each in rows],
                macs=macs if len(macs) == len(rows) else None,
                tweak_counters=[each.tweak_counter for each in rows],
                index_version=rows[0].index_version,
                key_version=rows[0].key_version,
                generator=rows[0].generator,
                scope=rows[0].scope,
                ttl=rows[0].ttl,
            ),
        )
    return inserted


def rows_by_mac(
    store: TokenStore,
    space: TokenSpace,
    macs: Sequence[bytes],
    *,
    version: int = 1,
    extend: timedelta | None = None,
) -> dict[bytes, StoredToken]:
    """Returns the live rows of blind indexes, whole. What was found by mac must agree."""
    found = store.find_by_mac(space, Scope.FIELD, version, macs, extend=extend)
    rows = store.rows_by_token(space, found.tokens)
    by_mac = {macs[at]: rows[token] for at, token in zip(found.at, found.tokens, strict=True)}
    in_order = list(by_mac.values())
    assert [row.ciphertext for row in in_order] == list(found.ciphertexts)
    assert [row.key_version for row in in_order] == list(found.key_versions)
    assert [row.state for row in in_order] == list(found.states)
    return by_mac
