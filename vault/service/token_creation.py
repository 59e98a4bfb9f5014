"""Making tokens: from value cores to stored tokens, each value exactly one.

Select what is there, insert what is missing, select what lost the race. A value then
neither inserted nor found by its index met a token collision and is tried again under
a changed tweak or fresh randomness, a bounded number of times.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from hmac import compare_digest
from secrets import randbits

from vault.crypto.alphabet import Alphabet
from vault.crypto.field_key import FieldKey, TweakInput
from vault.crypto.randomness import random_text
from vault.errors import DecryptionFailed
from vault.model import Generator, NewToken, Scope, Storage, StoredToken, TokenSpace
from vault.policy.model import Field
from vault.service.deadline import in_time
from vault.service.ports import KeySource, TokenStore
from vault.service.stored_rows import open_row

__all__ = [
    "MAX_ATTEMPTS",
    "VAULTLESS_KEY_VERSION",
    "EnsuredTokens",
    "TokenRequest",
    "encipher_cores",
    "ensure_tokens",
    "matches_value",
]

MAX_ATTEMPTS = 8
_COUNTED_ATTEMPTS = 3
# A vaultless token has no room for its key version, so a vaultless field stays on the
# first; moving it to another key is what Retokenize is for.
VAULTLESS_KEY_VERSION = 1
_COUNTER_BITS = 32  # the width of the counter in the tweak


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """A value that needs a token: its core, and its blind index where it keeps one token."""

    core: str = field(repr=False)
    mac: bytes | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class EnsuredTokens:
    """What ``ensure_tokens`` found or made.

    Attributes:
        tokens: one token core per wanted value, None where there is none.
        mismatched: positions whose index row leads to a token of another value; for the
            others without a token the space is exhausted.
        key_versions: versions of the field key behind them, for the audit.
    """

    tokens: list[str | None] = field(repr=False)
    mismatched: frozenset[int]
    key_versions: frozenset[int]


def ensure_tokens(
    store: TokenStore,
    keys: KeySource,
    space: TokenSpace,
    field: Field,
    wanted: Sequence[TokenRequest],
    tweak_version: int,
    *,
    deadline: float | None = None,
) -> EnsuredTokens:
    """Finds or makes a token for every wanted value of a vaulted field.

    Args:
        tweak_version: the one that is recorded for the field.
        wanted: values with distinct macs (scope ``field``), or without macs (scope ``none``).
        deadline: ``time.monotonic()`` at which the answer is worthless.

    Raises:
        Unavailable: DEADLINE_EXCEEDED.
    """
    batch = _Batch(store, keys, space, field, wanted, tweak_version, deadline)
    # Before anything is inserted: what is locked to be extended is locked in order. What
    # a later look finds has just been made.
    missing = batch.find(range(len(wanted)), extend=field.ttl)
    for attempt in range(MAX_ATTEMPTS):
        if not missing:
            break
        missing = batch.find(batch.insert(missing, attempt))
    return EnsuredTokens(batch.tokens, frozenset(batch.mismatched), frozenset(batch.key_versions))


class _Batch:
    """One call's wanted values and how far they are."""

    def __init__(
        self,
        store: TokenStore,
        keys: KeySource,
        space: TokenSpace,
        field: Field,
        wanted: Sequence[TokenRequest],
        tweak_version: int,
        deadline: float | None,
    ) -> None:
        self._store = store
        self._keys = keys
        self._space = space
        self._field = field
        self._wanted = wanted
        self._tweak_version = tweak_version
        self._deadline = deadline
        self._index_version = keys.index(space).version if field.scope is Scope.FIELD else 0
        self.tokens: list[str | None] = [None] * len(wanted)
        self.key_versions: set[int] = set()
        self.mismatched: set[int] = set()

    def find(self, positions: Sequence[int], *, extend: timedelta | None = None) -> list[int]:
        """Takes over the tokens that others stored; returns the positions without one."""
        macs = [mac for at in positions if (mac := self._wanted[at].mac) is not None]
        if not macs:
            return list(positions)
        stored = self._store.find_by_mac(
            self._space, self._field.scope, self._index_version, macs, extend=extend
        )
        missing = []
        for at in in_time(positions, self._deadline):
            row = stored.get(self._wanted[at].mac or b"")
            if row is None:
                missing.append(at)
            elif not matches_value(self._keys, self._space, row, self._wanted[at].core):
                self.mismatched.add(at)
            else:
                self.tokens[at] = row.token
                self.key_versions.add(row.key_version)
        return missing

    def insert(self, positions: Sequence[int], attempt: int) -> list[int]:
        """Makes and stores tokens; returns the positions whose token was not stored."""
        key = self._keys.for_encryption(self._space, len(positions))
        candidates = self._candidates(positions, attempt)
        new = {
            token: self._seal(key, at, token, counter)
            for token, at, counter in in_time(candidates, self._deadline)
        }
        stored = self._store.insert(self._space, list(new.values())) if new else frozenset()
        for token, at, _ in candidates:
            if token in stored:
                self.tokens[at] = token
                self.key_versions.add(key.version)
        return [at for at in positions if self.tokens[at] is None]

    def _candidates(self, positions: Sequence[int], attempt: int) -> list[tuple[str, int, int]]:
        """Returns (token core, position, tweak counter); cores distinct, never the value."""
        cores = [self._wanted[at].core for at in positions]
        counters = [self._counter(attempt) for _ in positions]
        # Rows are sealed under the active key, whose uses are counted; ciphers need no count.
        maker = self._keys.for_tokens(self._space)
        tokens = self._generate(maker, cores, counters, attempt)
        distinct: dict[str, tuple[str, int, int]] = {}
        for at, core, token, counter in zip(positions, cores, tokens, counters, strict=True):
            if token != core:
                distinct.setdefault(token, (token, at, counter))
        return list(distinct.values())

    def _generate(
        self, key: FieldKey, cores: Sequence[str], counters: Sequence[int], attempt: int
    ) -> list[str]:
        field = self._field
        if field.generator is Generator.RANDOM:
            plans = (
                field.format.random_plan(core, attempt) for core in in_time(cores, self._deadline)
            )
            return [plan.build(random_text(plan.alphabet, plan.length)) for plan in plans]
        return encipher_cores(key, field, self._tweak_version, cores, counters, self._deadline)

    def _counter(self, attempt: int) -> int:
        # Scope `none` promises a new token every call, so its tweak must never repeat. A
        # value that was erased or expired often has left its first tokens behind.
        counted = self._field.scope is Scope.FIELD and attempt < _COUNTED_ATTEMPTS
        return attempt if counted else randbits(_COUNTER_BITS)

    def _seal(self, key: FieldKey, at: int, token: str, counter: int) -> NewToken:
        wanted, scope = self._wanted[at], self._field.scope
        return NewToken(
            token=token,
            ciphertext=key.seal(wanted.core.encode(), scope=scope.value, token=token),
            mac=wanted.mac,
            index_version=self._index_version,
            key_version=key.version,
            generator=self._field.generator,
            scope=scope,
            tweak_counter=counter,
            ttl=self._field.ttl,
        )


def matches_value(keys: KeySource, space: TokenSpace, row: StoredToken, core: str) -> bool:
    """Tells whether a token that the index led to is this value's.

    The index is only rows in a database; the ciphertext is bound to the token by its AAD,
    so whoever can edit rows cannot make one value answer with another's token.
    """
    try:
        return compare_digest(open_row(keys, space, row), core.encode())
    except DecryptionFailed:
        return False


def encipher_cores(
    key: FieldKey,
    field: Field,
    tweak_version: int,
    cores: Sequence[str],
    counters: Sequence[int],
    deadline: float | None = None,
) -> list[str]:
    """Enciphers value cores into token cores by the field's FPE generator, in order."""
    storage: Storage = field.storage
    token_plan = field.format.token_plan
    plans = [token_plan(core, storage) for core in in_time(cores, deadline)]
    scope = field.scope.value
    groups: dict[Alphabet, list[int]] = {}
    for at, plan in enumerate(plans):
        groups.setdefault(plan.alphabet, []).append(at)
    tokens = [""] * len(cores)
    for alphabet, members in groups.items():
        texts = [plans[at].text for at in members]
        tweaks = [TweakInput(scope, plans[at].kept, counters[at]) for at in members]
        enciphered = key.encipher_texts(
            field.generator, alphabet, texts, tweaks, tweak_version=tweak_version
        )
        for at, text in zip(members, enciphered, strict=True):
            tokens[at] = plans[at].build(text)
    return tokens
