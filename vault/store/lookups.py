"""Look-ups of several calls in one round trip: one statement for each kind of them.

What a statement found is given back to each call by what that call had asked for, so a call
sees no row that it did not ask for, whoever else asked.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import chain
from typing import NamedTuple

from sqlalchemy import Engine

from vault.model import Scope, StoredTokens, TokenSpace
from vault.postgres.pipelined import Command, Driver, Parameter
from vault.postgres.transaction import fetch_in_one_trip
from vault.store.find_sql import lookup_statements
from vault.store.found import NO_TOKENS, stored_tokens

__all__ = ["Index", "Lookup", "SharedLookup", "look_up_all"]


class Index(NamedTuple):
    """Within what a blind index is unique."""

    space: TokenSpace
    scope: Scope
    version: int

    def parameters(self) -> dict[str, str | int]:
        """Returns the parameters of statements, by name."""
        return {
            "tenant": self.space.tenant,
            "field": self.space.field,
            "scope": self.scope.value,
            "index_version": self.version,
        }


@dataclass(frozen=True, slots=True)
class Lookup:
    """What a call looks up.

    Attributes:
        within: the blind index of MACs, or the space of tokens.
        asked: distinct MACs, or token cores in UTF-8.
    """

    within: Index | TokenSpace
    asked: Sequence[bytes] = field(repr=False)


SharedLookup = Callable[[Lookup], StoredTokens | None]
"""Looks up together with other calls; returns None where the call is to do it by itself."""


def look_up_all(
    engine: Engine, deadline: float | None, lookups: Callable[[], Sequence[Lookup]]
) -> Sequence[StoredTokens]:
    """Returns what each of the look-ups found, tombstones too.

    Args:
        lookups: called once there is a connection.

    Raises:
        StoreUnavailable: as ``fetch_in_one_trip``.
    """
    wanted: dict[Index | TokenSpace, dict[bytes, None]] = {}
    asking: Sequence[Lookup] = ()

    def queries(driver: Driver) -> Sequence[Command]:
        nonlocal asking
        asking, version = lookups(), driver.info.server_version
        for each in asking:
            wanted.setdefault(each.within, {}).update(dict.fromkeys(each.asked))
        return [_query(within, list(keys), version) for within, keys in wanted.items()]

    results = fetch_in_one_trip(engine, deadline, queries)
    found = {
        within: _Found(keys, stored_tokens(list(keys), result))
        for (within, keys), result in zip(wanted.items(), results, strict=True)
    }
    return [found[each.within].of(each.asked) for each in asking]


class _Found:
    """What one statement found, by what was asked for."""

    def __init__(self, keys: Iterable[bytes], found: StoredTokens) -> None:
        self._found = found
        self._rows: dict[bytes, list[int]] = {}
        asked = list(keys)
        for row, at in enumerate(found.at):
            # Two rows of one value, where the index lost its key: whoever asks is to see both.
            self._rows.setdefault(asked[at], []).append(row)

    def of(self, asked: Sequence[bytes]) -> StoredTokens:
        """Returns the rows of one call."""
        rows = [self._rows.get(key, ()) for key in asked]
        own = list(chain.from_iterable(rows))
        if not own:
            return NO_TOKENS
        found = self._found
        return StoredTokens(
            at=[at for at, each in enumerate(rows) for _ in each],
            tokens=[found.tokens[row] for row in own],
            ciphertexts=[found.ciphertexts[row] for row in own],
            key_versions=[found.key_versions[row] for row in own],
            states=[found.states[row] for row in own],
        )


def _query(within: Index | TokenSpace, asked: list[bytes], server_version: int) -> Command:
    statements = lookup_statements(server_version)
    named: dict[str, Parameter]
    if isinstance(within, Index):
        text, names = _numbered(statements.by_mac)
        named = {**within.parameters(), "macs": asked}
    else:
        text, names = _numbered(statements.by_token)
        tokens = [token.decode() for token in asked]
        named = {"tenant": within.tenant, "field": within.field, "tokens": tokens}
    return Command(text, [named[name] for name in names])


@cache
def _numbered(statement: str) -> tuple[str, Sequence[str]]:
    """Returns a statement with Postgres's own placeholders, and what each stands for."""
    names: dict[str, int] = {}

    def number(placeholder: re.Match[str]) -> str:
        return f"${names.setdefault(placeholder[1], len(names) + 1)}"

    return re.sub(r"%\((\w+)\)b", number, statement), tuple(names)
