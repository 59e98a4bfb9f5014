"""The store and the audit in memory, under the same contract tests as Postgres.

For tests of the use cases. One lock runs transactions one after another; a transaction
that fails leaves nothing behind.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from threading import RLock
from typing import TypeVar, overload
from uuid import UUID

from vault.errors import Reason, StoreUnavailable
from vault.model import (
    AuditEvent,
    NewTokens,
    Scope,
    StoredToken,
    StoredTokens,
    TokenSpace,
    TokenState,
)
from vault.service.ports import (
    BudgetCounter,
    BudgetKey,
    DatabaseIdentity,
    DataKeyRecord,
    DueNotice,
    IndexEntry,
    KeyManifest,
    LimitKey,
    OutboxRow,
    RevealPartRow,
    RevealRow,
    WindowUse,
    unchanged,
)
from vault.testing.freezes import FreezeTable, MemoryFreezes
from vault.testing.honey import HoneyTable, MemoryHoney

__all__ = ["MemoryDataKeyStore", "MemoryUnitOfWork"]

T = TypeVar("T")
R = TypeVar("R")

_LIVE = TokenState.LIVE
_IndexKey = tuple[TokenSpace, Scope, int, bytes]
_Waiting = tuple[OutboxRow, datetime, datetime, int]  # created, due, attempts


@dataclass
class _Tables:
    tokens: dict[tuple[TokenSpace, str], StoredToken] = field(default_factory=dict)
    index: dict[_IndexKey, str] = field(default_factory=dict)
    token_specs: dict[TokenSpace, str] = field(default_factory=dict)
    limits: dict[tuple[LimitKey, int], tuple[int, int]] = field(default_factory=dict)
    budgets: dict[BudgetKey, BudgetCounter] = field(default_factory=dict)
    events: list[AuditEvent] = field(default_factory=list)
    reveals: dict[tuple[str, UUID], RevealRow] = field(default_factory=dict)
    reveal_parts: dict[tuple[str, UUID, int], RevealPartRow] = field(default_factory=dict)
    freezes: FreezeTable = field(default_factory=dict)
    outbox: dict[tuple[UUID, str], _Waiting] = field(default_factory=dict)
    honey: HoneyTable = field(default_factory=dict)

    def copy(self) -> _Tables:
        return _Tables(*(copy.copy(table) for table in vars(self).values()))


class _Tokens:
    """The TokenStore of one transaction."""

    def __init__(self, tables: _Tables, now: datetime) -> None:
        self._tables = tables
        self._now = now

    def find_by_mac(
        self,
        space: TokenSpace,
        scope: Scope,
        index_version: int,
        macs: Sequence[bytes],
        *,
        extend: timedelta | None = None,
    ) -> StoredTokens:
        found = self._live_by_mac(space, scope, index_version, macs)
        if extend is not None:
            found = {mac: self._extend(space, row, extend) for mac, row in found.items()}
        return _columns([(at, found[mac]) for at, mac in enumerate(macs) if mac in found])

    def _live_by_mac(
        self, space: TokenSpace, scope: Scope, index_version: int, macs: Sequence[bytes]
    ) -> dict[bytes, StoredToken]:
        found = {}
        for mac in macs:
            token = self._tables.index.get((space, scope, index_version, mac))
            row = None if token is None else self._row(space, token)
            if row is not None and row.state is TokenState.LIVE:
                found[mac] = row
        return found

    def _extend(self, space: TokenSpace, row: StoredToken, ttl: timedelta) -> StoredToken:
        if row.expires is None or row.expires >= self._now + ttl:
            return row
        extended = replace(row, expires=self._now + ttl)
        self._tables.tokens[space, row.token] = extended
        return extended

    def lock_by_token(self, space: TokenSpace, tokens: Sequence[str]) -> Mapping[str, StoredToken]:
        stored = ((token, self._tables.tokens.get((space, token))) for token in tokens)
        return {token: self._judged(row) for token, row in stored if row is not None}

    def lock_by_mac(
        self, space: TokenSpace, scope: Scope, index_version: int, macs: Sequence[bytes]
    ) -> Mapping[bytes, StoredToken]:
        return self._live_by_mac(space, scope, index_version, macs)

    def lock_expired(self, limit: int) -> tuple[TokenSpace, Mapping[str, StoredToken]] | None:
        past = [
            (row.expires, space, row)
            for (space, _), row in self._tables.tokens.items()
            if row.state is TokenState.LIVE and row.expires is not None and row.expires <= self._now
        ]
        past.sort(key=lambda each: each[0])
        if not past:
            return None
        first = past[0][1]
        rows = [row for _, space, row in past[:limit] if space == first]
        return first, {row.token: self._judged(row) for row in rows}

    def tombstone(
        self,
        space: TokenSpace,
        state: TokenState,
        tokens: Sequence[str],
        index_entries: Sequence[IndexEntry],
    ) -> None:
        for token in tokens:
            row = self._tables.tokens[space, token]
            if row.state is not TokenState.ERASED:
                self._tables.tokens[space, token] = replace(row, state=state, ciphertext=b"")
        for entry in index_entries:
            key = (space, entry.scope, entry.version, entry.mac)
            if self._tables.index.get(key) == entry.token:
                del self._tables.index[key]

    def _judged(self, row: StoredToken) -> StoredToken:
        """Returns a row as of now, with its ciphertext."""
        past = row.expires is not None and row.expires <= self._now
        return replace(row, state=TokenState.EXPIRED) if past and row.state is _LIVE else row

    def find_by_token(self, space: TokenSpace, tokens: Sequence[str]) -> StoredTokens:
        rows = self.rows_by_token(space, tokens)
        return _columns([(at, rows[token]) for at, token in enumerate(tokens) if token in rows])

    def rows_by_token(self, space: TokenSpace, tokens: Sequence[str]) -> Mapping[str, StoredToken]:
        rows = ((token, self._row(space, token)) for token in tokens)
        return {token: row for token, row in rows if row is not None}

    def live_after(self, space: TokenSpace, token: str, limit: int) -> Sequence[StoredToken]:
        names = sorted(name for at, name in self._tables.tokens if at == space and name > token)
        rows = (self._row(space, name) for name in names)
        live = [row for row in rows if row is not None and row.state is TokenState.LIVE]
        return live[:limit]

    def insert(self, space: TokenSpace, new: NewTokens) -> frozenset[str]:
        macs = [None] * len(new.tokens) if new.macs is None else new.macs
        rows = zip(new.tokens, new.ciphertexts, macs, strict=True)
        return frozenset(row[0] for row in rows if self._insert(space, new, *row))

    def _insert(
        self, space: TokenSpace, new: NewTokens, token: str, ciphertext: bytes, mac: bytes | None
    ) -> bool:
        if (space, token) in self._tables.tokens:
            return False
        if mac is not None:
            index = (space, new.scope, new.index_version, mac)
            if self._live_by_mac(*index[:3], [mac]):
                return False
            self._tombstone(space, self._tables.index.get(index))
            self._tables.index[index] = token
        self._tables.tokens[space, token] = StoredToken(
            token=token,
            ciphertext=ciphertext,
            scope=new.scope,
            key_version=new.key_version,
            generator=new.generator,
            state=TokenState.LIVE,
            created=self._now,
            expires=None if new.ttl is None else self._now + new.ttl,
        )
        return True

    def _row(self, space: TokenSpace, token: str) -> StoredToken | None:
        row = self._tables.tokens.get((space, token))
        if row is None or row.expires is None or row.expires > self._now:
            return row
        if row.state is not TokenState.LIVE:
            return row
        return replace(row, state=TokenState.EXPIRED, ciphertext=b"")

    def _tombstone(self, space: TokenSpace, token: str | None) -> None:
        row = None if token is None else self._row(space, token)
        if row is not None:
            self._tables.tokens[space, row.token] = row


def _columns(rows: Sequence[tuple[int, StoredToken]]) -> StoredTokens:
    return StoredTokens(
        at=[at for at, _ in rows],
        tokens=[row.token for _, row in rows],
        ciphertexts=[row.ciphertext for _, row in rows],
        key_versions=[row.key_version for _, row in rows],
        states=[row.state for _, row in rows],
    )


class _TokenSpecs:
    """The TokenSpecStore of one transaction."""

    def __init__(self, tables: _Tables) -> None:
        self._token_specs = tables.token_specs

    def recorded(self, tenant: str) -> Mapping[str, str]:
        return {
            space.field: token_spec
            for space, token_spec in self._token_specs.items()
            if space.tenant == tenant
        }

    def record(
        self, space: TokenSpace, token_spec: str, *, older: str | None = None, by_key: bool = False
    ) -> str:
        del older, by_key  # no other server shares these tables
        return self._token_specs.setdefault(space, token_spec)


class _Limits:
    """The LimitStore of one transaction."""

    def __init__(self, tables: _Tables, now: datetime) -> None:
        self._counters = tables.limits
        self._now = now.timestamp()

    def charge(self, key: LimitKey, windows: Sequence[int], values: int) -> Sequence[WindowUse]:
        return [self._charge(key, seconds, values) for seconds in sorted(windows)]

    def _charge(self, key: LimitKey, seconds: int, values: int) -> WindowUse:
        current = int(self._now // seconds) * seconds
        start, used = self._counters.get((key, seconds), (current, 0))
        used = values + (0 if start < current else used)
        start = max(start, current)
        self._counters[key, seconds] = start, used
        return WindowUse(seconds, used, max(0.0, start + seconds - self._now))


class _Budgets:
    """The BudgetStore of one transaction."""

    def __init__(self, tables: _Tables, now: datetime) -> None:
        self._counters = tables.budgets
        self._now = (now - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)

    def lock(self, key: BudgetKey) -> tuple[int, BudgetCounter | None]:
        return self._now, self._counters.get(key)

    def insert(self, key: BudgetKey, counter: BudgetCounter) -> None:
        self._counters.setdefault(key, counter)

    def update(self, key: BudgetKey, counter: BudgetCounter) -> None:
        if key not in self._counters:
            raise StoreUnavailable("there is no such budget", reason=Reason.INTERNAL)
        self._counters[key] = counter


class _Reveals:
    """The RevealStore of one transaction."""

    def __init__(self, tables: _Tables, now: datetime) -> None:
        self._rows = tables.reveals
        self._parts = tables.reveal_parts
        self._now = now

    def now(self) -> datetime:
        return self._now

    def lock(self, tenant: str, reveal: UUID) -> tuple[RevealRow, datetime] | None:
        row = self._rows.get((tenant, reveal))
        return None if row is None else (row, self._now)

    def lock_with_parts(
        self, tenant: str, reveal: UUID, numbers: Sequence[int]
    ) -> tuple[RevealRow, datetime, Mapping[int, RevealPartRow]] | None:
        locked = self.lock(tenant, reveal)
        return None if locked is None else (*locked, self.parts(tenant, reveal, numbers))

    def find(self, tenant: str, reveal: UUID) -> RevealRow | None:
        return self._rows.get((tenant, reveal))

    def take_turns(self, tenant: str, name: str) -> None:
        """Does nothing: transactions here take turns anyway."""

    def count_waiting(self, tenant: str, principal: str) -> int:
        rows = (row for row in self._of(tenant) if row.principal == principal)
        return sum(row.state in ("draft", "open") and row.ends > self._now for row in rows)

    def awaiting_review(self, tenant: str, limit: int) -> Sequence[RevealRow]:
        return [row for row in self._of(tenant) if row.awaits_review][:limit]

    def of_principal(self, tenant: str, principal: str, limit: int) -> Sequence[RevealRow]:
        rows = [row for row in self._of(tenant) if row.principal == principal]
        return rows[:limit]

    def waiting(self, tenant: str, fields: Sequence[str], limit: int) -> Sequence[RevealRow]:
        rows = [
            row
            for row in self._of(tenant)
            if row.field in fields and row.state in ("open", "granted") and row.ends > self._now
        ]
        return rows[:limit]

    def put(self, row: RevealRow, parts: Sequence[RevealPartRow] = ()) -> None:
        self._rows[row.tenant, row.id] = row
        self._parts.update({(part.tenant, part.id, part.part): part for part in parts})

    def update(self, row: RevealRow, parts: Sequence[RevealPartRow]) -> None:
        self.put(row, parts)

    def parts(
        self, tenant: str, reveal: UUID, numbers: Sequence[int]
    ) -> Mapping[int, RevealPartRow]:
        found = ((number, self._parts.get((tenant, reveal, number))) for number in numbers)
        return {number: part for number, part in found if part is not None}

    def _of(self, tenant: str) -> Sequence[RevealRow]:
        rows = (row for row in self._rows.values() if row.tenant == tenant)
        return sorted(rows, key=lambda row: (row.ends, row.id), reverse=True)


class _Outbox:
    """The Outbox of one transaction."""

    def __init__(self, tables: _Tables, now: datetime) -> None:
        self._rows = tables.outbox
        self._now = now

    def add(self, rows: Sequence[OutboxRow]) -> None:
        for row in rows:
            self._rows[row.id, row.endpoint] = row, self._now, self._now, 0

    def claim(self, endpoint: str, lease: timedelta) -> DueNotice | None:
        ready = [each for each in self._rows.values() if each[0].endpoint == endpoint]
        ready = sorted((each for each in ready if each[2] <= self._now), key=lambda each: each[2])
        if not ready:
            return None
        row, created, _, attempts = ready[0]
        self._rows[row.id, row.endpoint] = row, created, self._now + lease, attempts + 1
        return DueNotice(row, attempts + 1, self._now - created)

    def remove(self, row: OutboxRow) -> None:
        self._rows.pop((row.id, row.endpoint), None)

    def postpone(self, row: OutboxRow, delay: timedelta) -> None:
        stored, created, _, attempts = self._rows[row.id, row.endpoint]
        self._rows[row.id, row.endpoint] = stored, created, self._now + delay, attempts


class _Audit:
    """The AuditAppender of one transaction."""

    def __init__(self, tables: _Tables) -> None:
        self._tables = tables

    def append(self, event: AuditEvent, tombstoned: Collection[str] = ()) -> None:
        self._tables.events.append(event)

    def append_with_receipt(self, event: AuditEvent) -> str:
        self.append(event)
        return f"receipt of record {len(self._tables.events)}"


@dataclass(frozen=True)
class _MemoryTransaction:
    tokens: _Tokens
    audit: _Audit
    token_specs: _TokenSpecs
    limits: _Limits
    budgets: _Budgets
    reveals: _Reveals
    freezes: MemoryFreezes
    outbox: _Outbox
    honey: MemoryHoney


class MemoryUnitOfWork:
    """A UnitOfWork over tables in memory."""

    def __init__(self, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._clock = clock
        self._lock = RLock()
        self._tables = _Tables()

    @property
    def events(self) -> Sequence[AuditEvent]:
        """The audit so far, oldest first."""
        return tuple(self._tables.events)

    @property
    def waiting(self) -> Sequence[OutboxRow]:
        """The notices that are not sent yet, oldest first."""
        return tuple(row for row, *_ in self._tables.outbox.values())

    @overload
    def run(
        self, work: Callable[[_MemoryTransaction], T], *, deadline: float | None = None
    ) -> T: ...

    @overload
    def run(
        self,
        work: Callable[[_MemoryTransaction], T],
        finish: Callable[[T], R],
        *,
        deadline: float | None = None,
    ) -> R: ...

    def run(
        self,
        work: Callable[[_MemoryTransaction], T],
        finish: Callable[[T], object] = unchanged,
        *,
        deadline: float | None = None,
    ) -> object:
        """Runs ``work`` on a copy of the tables and puts it in their place at the end."""
        del deadline  # nothing here waits
        with self._lock:
            tables = self._tables.copy()
            now = self._clock()
            transaction = _MemoryTransaction(
                _Tokens(tables, now),
                _Audit(tables),
                _TokenSpecs(tables),
                _Limits(tables, now),
                _Budgets(tables, now),
                _Reveals(tables, now),
                MemoryFreezes(tables.freezes, now),
                _Outbox(tables, now),
                MemoryHoney(tables.honey),
            )
            result = work(transaction)
            self._tables = tables
            return finish(result)

    def set_expiry(self, space: TokenSpace, token: str, expires: datetime | None) -> None:
        """Sets a stored token's expiry. Raises KeyError."""
        with self._lock:
            row = self._tables.tokens[space, token]
            self._tables.tokens[space, token] = replace(row, expires=expires)


class MemoryDataKeyStore:
    """A DataKeyStore in memory."""

    def __init__(self, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._clock = clock
        self._lock = RLock()
        self._records: dict[tuple[str, str, str, int], DataKeyRecord] = {}
        self._counted: str | None = None
        self._manifests: dict[str, KeyManifest] = {}
        self.identity = "memory"
        self.traces: set[tuple[str, str]] = set()

    def all(self) -> Sequence[DataKeyRecord]:
        """Returns every version of every key, ordered by tenant, field, purpose, version."""
        with self._lock:
            return [self._records[key] for key in sorted(self._records)]

    def add(self, records: Sequence[DataKeyRecord]) -> None:
        """Adds versions that are not there yet; a key's highest version becomes active."""
        with self._lock:
            for record in records:
                key = (record.tenant, record.field, record.purpose, record.version)
                if key not in self._records:
                    self._records[key] = replace(record, active=False, created=self._clock())
                    self._activate_highest(record)

    def reserve(self, tenant: str, field: str, purpose: str, version: int, uses: int) -> int:
        """Adds ``uses`` to a version's counter and returns the new total."""
        with self._lock:
            record = self._records.get((tenant, field, purpose, version))
            if record is None:
                raise StoreUnavailable(
                    "the database has no such key version", reason=Reason.INTERNAL
                )
            total = record.uses + uses
            self._records[tenant, field, purpose, version] = replace(record, uses=total)
            return total

    def database_identity(self) -> DatabaseIdentity:
        """Returns which database this is, and which one has counted so far."""
        with self._lock:
            return DatabaseIdentity(self.identity, self._counted)

    def begin_epoch(self, identity: str, records: Sequence[DataKeyRecord]) -> bool:
        """Adds the versions and records the identity, unless it is recorded already."""
        with self._lock:
            if self._counted == identity:
                return False
            self._counted = identity
            self.add(records)
            return True

    def manifest(self, tenant: str) -> KeyManifest | None:
        """Returns the manifest's last generation, None where there is none."""
        with self._lock:
            return self._manifests.get(tenant)

    def add_manifest(self, manifest: KeyManifest) -> bool:
        """Adds a generation; returns False where that number is taken."""
        with self._lock:
            last = self._manifests.get(manifest.tenant)
            if last is not None and manifest.number <= last.number:
                return False
            self._manifests[manifest.tenant] = manifest
            return True

    def used_fields(self, tenant: str, fields: Sequence[str]) -> Set[str]:
        """Returns which of the fields were said to have left traces."""
        return {field for field in fields if (tenant, field) in self.traces}

    def _activate_highest(self, added: DataKeyRecord) -> None:
        same = [
            key for key in self._records if key[:3] == (added.tenant, added.field, added.purpose)
        ]
        for key in same:
            self._records[key] = replace(self._records[key], active=key == max(same))
