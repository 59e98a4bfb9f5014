"""Making tokens: from value cores to stored tokens, each value exactly one.

Select what is there, insert what is missing, select what lost the race. A value then
neither inserted nor found by its index met a token collision and is tried again under
a changed tweak or fresh randomness, a bounded number of times.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import compress
from secrets import randbits
from typing import NamedTuple, TypeVar

from vault.crypto.alphabet import Alphabet
from vault.crypto.encoding import utf8_each
from vault.crypto.field_key import FieldKey, TweakInput
from vault.crypto.fpe.limbs import Digits
from vault.crypto.randomness import random_text
from vault.formats.columnar.rows import ColumnarFormat
from vault.formats.columnar.text_column import utf8_of
from vault.model import Generator, NewTokens, Scope, Storage, TokenSpace
from vault.policy.model import Field
from vault.service.columnar.row_ciphers import encipher_vaulted_rows, random_rows
from vault.service.columnar.separator_free import split_items
from vault.service.deadline import in_time
from vault.service.ports import KeySource, TokenStore
from vault.service.stored_rows import match_each

__all__ = [
    "MAX_ATTEMPTS",
    "VAULTLESS_KEY_VERSION",
    "EnsuredTokens",
    "encipher_cores",
    "ensure_tokens",
]

T = TypeVar("T")

MAX_ATTEMPTS = 8
_COUNTED_ATTEMPTS = 3
# A vaultless token has no room for its key version, so a vaultless field stays on the
# first; moving it to another key is what Retokenize is for.
VAULTLESS_KEY_VERSION = 1
_COUNTER_BITS = 32  # the width of the counter in the tweak
_AT_ONCE = 512  # rows that are sealed between two looks at the clock


@dataclass(frozen=True, slots=True)
class EnsuredTokens:
    """What ``ensure_tokens`` found or made.

    Attributes:
        tokens: one token core per value, empty where there is none.
        mismatched: positions whose index row leads to a token of another value; for the
            others without a token the space is exhausted.
        key_versions: versions of the field key behind them, for the audit.
    """

    tokens: list[str] = field(repr=False)
    mismatched: frozenset[int]
    key_versions: frozenset[int]


def ensure_tokens(
    store: TokenStore,
    keys: KeySource,
    space: TokenSpace,
    field: Field,
    cores: Sequence[str],
    tweak_version: int,
    *,
    deadline: float | None = None,
) -> EnsuredTokens:
    """Finds or makes a token for every value of a vaulted field.

    Args:
        cores: distinct for scope ``field``.
        tweak_version: the one that is recorded for the field.
        deadline: ``time.monotonic()`` at which the answer is worthless.

    Raises:
        Unavailable: DEADLINE_EXCEEDED.
    """
    batch = _Batch(store, keys, space, field, cores, tweak_version, deadline)
    # Before anything is inserted: what is locked to be extended is locked in order. What
    # a later look finds has just been made.
    missing = batch.find(range(len(cores)), extend=field.ttl)
    for attempt in range(MAX_ATTEMPTS):
        if not missing:
            break
        missing = batch.find(batch.insert(missing, attempt))
    return EnsuredTokens(batch.tokens, frozenset(batch.mismatched), frozenset(batch.key_versions))


class _Batch:
    """One call's values and how far they are."""

    def __init__(
        self,
        store: TokenStore,
        keys: KeySource,
        space: TokenSpace,
        field: Field,
        cores: Sequence[str],
        tweak_version: int,
        deadline: float | None,
    ) -> None:
        self._store = store
        self._keys = keys
        self._space = space
        self._field = field
        self._cores = cores
        self._values = utf8_of(cores)
        self._tweak_version = tweak_version
        self._deadline = deadline
        self._macs: Sequence[bytes] | None = None
        self._index_version = 0
        if field.scope is Scope.FIELD:
            index = keys.index_key(space)
            self._index_version = index.version
            self._macs = index.macs_of_utf8(field.scope.value, self._values)
        self.tokens = [""] * len(cores)
        self.key_versions: set[int] = set()
        self.mismatched: set[int] = set()

    def find(self, positions: Sequence[int], *, extend: timedelta | None = None) -> Sequence[int]:
        """Takes over the tokens that others stored; returns the positions without one."""
        if self._macs is None or not positions:
            return positions
        scope = self._field.scope
        found = self._store.find_by_mac(
            self._space, scope, self._index_version, _at(self._macs, positions), extend=extend
        )
        values = _at(self._values, positions)
        own = match_each(self._keys, self._space, scope, found, values, self._deadline)
        places = found.at
        if len(positions) < len(self.tokens):
            places = [positions[at] for at in places]
        for at, token, matches in zip(places, found.tokens, own, strict=True):
            if matches:
                self.tokens[at] = token
            else:
                self.mismatched.add(at)
        self.key_versions.update(compress(found.key_versions, own))
        return self._missing(positions)

    def insert(self, positions: Sequence[int], attempt: int) -> Sequence[int]:
        """Makes and stores tokens; returns the positions whose token was not stored."""
        key = self._keys.for_encryption(self._space, len(positions))
        candidates = self._candidates(positions, attempt)
        stored: frozenset[str] = frozenset()
        if candidates.tokens:
            stored = self._store.insert(self._space, self._sealed(key, candidates))
        for token, at in zip(candidates.tokens, candidates.positions, strict=True):
            if token in stored:
                self.tokens[at] = token
        if stored:
            self.key_versions.add(key.version)
        return self._missing(positions)

    def _missing(self, positions: Sequence[int]) -> Sequence[int]:
        if all(self.tokens):
            return ()
        return [at for at in positions if not self.tokens[at] and at not in self.mismatched]

    def _candidates(self, positions: Sequence[int], attempt: int) -> _Candidates:
        """Returns tokens to store; cores distinct, never the value."""
        # Strings only here: of most columns all tokens are known.
        self._cores = list(self._cores)
        cores = _at(self._cores, positions)
        counters = self._counters(attempt, len(positions))
        # Rows are sealed under the active key, whose uses are counted; ciphers need no count.
        maker = self._keys.token_field_key(self._space)
        tokens = self._generate(maker, cores, counters, attempt)
        chosen: dict[str, int] = {}
        for at, (token, core) in enumerate(zip(tokens, cores, strict=True)):
            if token != core:
                chosen.setdefault(token, at)
        kept = list(chosen.values())
        return _Candidates(list(chosen), _at(positions, kept), _at(counters, kept))

    def _generate(
        self, key: FieldKey, cores: Sequence[str], counters: Sequence[int], attempt: int
    ) -> list[str]:
        rules, groups, rest = split_items(self._field.format, cores, lambda rules: rules.value_mask)
        if rules is None or not (self._random or self._has_counters(attempt)):
            # Without rows, or with a tweak of its own for each.
            return self._generate_each(key, cores, counters, attempt)
        tokens = [""] * len(cores)
        for group in in_time(groups, self._deadline):
            digits = self._generate_rows(key, rules, group.digits, attempt)
            for at, token in zip(
                group.at.tolist(), rules.row_alphabet.decode_many(digits), strict=True
            ):
                tokens[at] = token
        others = self._generate_each(key, _at(cores, rest), _at(counters, rest), attempt)
        for at, token in zip(rest, others, strict=True):
            tokens[at] = token
        return tokens

    def _generate_rows(
        self, key: FieldKey, rules: ColumnarFormat, digits: Digits, attempt: int
    ) -> Digits:
        if self._random:
            return random_rows(rules, digits)
        version = self._tweak_version
        return encipher_vaulted_rows(key, self._field, version, rules, digits, attempt)

    def _generate_each(
        self, key: FieldKey, cores: Sequence[str], counters: Sequence[int], attempt: int
    ) -> list[str]:
        field = self._field
        if not cores:
            return []
        if self._random:
            plans = (
                field.format.random_plan(core, attempt) for core in in_time(cores, self._deadline)
            )
            return [plan.build(random_text(plan.alphabet, plan.length)) for plan in plans]
        return encipher_cores(key, field, self._tweak_version, cores, counters, self._deadline)

    @property
    def _random(self) -> bool:
        return self._field.generator is Generator.RANDOM

    def _has_counters(self, attempt: int) -> bool:
        """Returns whether the tweaks of an attempt have its number for a counter."""
        return self._field.scope is Scope.FIELD and attempt < _COUNTED_ATTEMPTS

    def _counters(self, attempt: int, count: int) -> list[int]:
        # Scope `none` promises a new token every call, so its tweak must never repeat. A
        # value that was erased or expired often has left its first tokens behind.
        if self._has_counters(attempt):
            return [attempt] * count
        return [randbits(_COUNTER_BITS) for _ in range(count)]

    def _sealed(self, key: FieldKey, candidates: _Candidates) -> NewTokens:
        field = self._field
        values = _at(self._values, candidates.positions)
        named = utf8_each(candidates.tokens)
        ciphertexts: list[bytes] = []
        for start in in_time(range(0, len(values), _AT_ONCE), self._deadline):
            part = slice(start, start + _AT_ONCE)
            ciphertexts += key.seal_each(values[part], scope=field.scope.value, tokens=named[part])
        return NewTokens(
            tokens=candidates.tokens,
            ciphertexts=ciphertexts,
            macs=None if self._macs is None else _at(self._macs, candidates.positions),
            tweak_counters=candidates.counters,
            index_version=self._index_version,
            key_version=key.version,
            generator=field.generator,
            scope=field.scope,
            ttl=field.ttl,
        )


class _Candidates(NamedTuple):
    """Tokens to store, the positions of their values, and the tweaks' counters."""

    tokens: Sequence[str]
    positions: Sequence[int]
    counters: Sequence[int]


def _at(items: Sequence[T], positions: Sequence[int]) -> Sequence[T]:
    """Returns the items at rising positions; mostly those are all."""
    if len(positions) == len(items):
        return items
    return [items[at] for at in positions]


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
