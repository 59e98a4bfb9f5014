"""What the use cases need from the outside, and which errors may come from there.

An adapter raises only the errors its port names: driver and library exceptions, whose
texts may quote values, never cross these lines.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence, Set
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from datetime import datetime, timedelta
from typing import Protocol, TypeVar, overload
from uuid import UUID

from vault.crypto.field_key import FieldKey, IndexKey, MacKey
from vault.model import (
    Action,
    AuditEvent,
    NewTokens,
    Scope,
    StoredToken,
    StoredTokens,
    TokenSpace,
    TokenState,
)

__all__ = [
    "AuditAppender",
    "BudgetCounter",
    "BudgetKey",
    "BudgetStore",
    "DataKeyRecord",
    "DataKeyStore",
    "DatabaseIdentity",
    "DueNotice",
    "FreezeRow",
    "FreezeStore",
    "HoneyRow",
    "HoneyStore",
    "IndexEntry",
    "KeyManifest",
    "KeySource",
    "KeyWrapper",
    "LimitKey",
    "LimitStore",
    "Outbox",
    "OutboxRow",
    "RevealPartRow",
    "RevealRow",
    "RevealStore",
    "TokenSpecStore",
    "TokenStore",
    "Transaction",
    "UnitOfWork",
    "WindowUse",
    "unchanged",
]

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """An index row by its key, and the token that it may lead to."""

    token: str = dataclass_field(repr=False)
    scope: Scope
    version: int
    mac: bytes = dataclass_field(repr=False)


class TokenStore(Protocol):
    """Token mappings, within one transaction. Raises StoreUnavailable only.

    Every method costs a fixed number of statements, whatever the batch's size.
    """

    def find_by_mac(
        self,
        space: TokenSpace,
        scope: Scope,
        index_version: int,
        macs: Sequence[bytes],
        *,
        extend: timedelta | None = None,
    ) -> StoredTokens:
        """Returns the live, unexpired tokens of the given blind indexes, without the absent.

        And damaged rows: who asked must not take them for no token.

        Args:
            macs: distinct.
            extend: moves the expiry of each token found to so long from now, to within a
                second, unless it is later already or there is none.
        """

    def find_by_token(self, space: TokenSpace, tokens: Sequence[str]) -> StoredTokens:
        """Returns the rows (tombstones too) of distinct token cores; absent ones are left out.

        A live row past its expiry comes back with state EXPIRED.
        """

    def rows_by_token(self, space: TokenSpace, tokens: Sequence[str]) -> Mapping[str, StoredToken]:
        """Returns what ``find_by_token`` does, and all else that is known of each."""

    def live_after(self, space: TokenSpace, token: str, limit: int) -> Sequence[StoredToken]:
        """Returns the live, unexpired tokens that follow a token core, in order.

        And damaged rows, with their ciphertexts: what one says must not hide it.

        At most ``limit``; fewer are the field's last. Before all there are comes "".
        """

    def insert(self, space: TokenSpace, new: NewTokens) -> frozenset[str]:
        """Inserts tokens and their index rows; returns the token cores inserted.

        A token is left out, with nothing of it stored, when its string is taken (a
        collision) or its mac is (another caller was quicker). Macs and token cores within
        one call are distinct. Safe against deadlock between overlapping batches.
        """

    def lock_by_token(self, space: TokenSpace, tokens: Sequence[str]) -> Mapping[str, StoredToken]:
        """Locks and returns the rows (tombstones too) of the given token cores.

        A live row past its expiry comes back with state EXPIRED and its ciphertext: who
        makes a tombstone of it needs the value to find its index rows.
        """

    def lock_by_mac(
        self, space: TokenSpace, scope: Scope, index_version: int, macs: Sequence[bytes]
    ) -> Mapping[bytes, StoredToken]:
        """Locks and returns the live, unexpired tokens of the given blind indexes.

        And damaged rows, as ``find_by_mac``; of a blind index with two rows, one as damaged.
        """

    def lock_expired(self, limit: int) -> tuple[TokenSpace, Mapping[str, StoredToken]] | None:
        """Locks and returns live rows past their expiry, the oldest first, all of one space.

        Takes at most ``limit``, as ``lock_by_token`` returns them, and passes over what
        others have locked. None where there is nothing to do, or another transaction does it.
        """

    def tombstone(
        self,
        space: TokenSpace,
        state: TokenState,
        tokens: Sequence[str],
        index_entries: Sequence[IndexEntry],
    ) -> None:
        """Makes tombstones of locked tokens: ciphertext and subject links are destroyed.

        The index rows of ``index_entries`` go where they lead to the token named there; of other
        index rows none leads anywhere any more. Erased tokens stay erased.
        """


class AuditAppender(Protocol):
    """The audit, within one transaction. Raises AuditUnavailable or StoreUnavailable only."""

    def append(self, event: AuditEvent, tombstoned: Collection[str] = ()) -> None:
        """Writes the call's record; it becomes durable with the transaction or not at all.

        Args:
            tombstoned: the tokens of the event's field that the transaction made tombstones of.
                They are kept in a list with the record, which no token can leave.
        """

    def append_with_receipt(self, event: AuditEvent) -> str:
        """Writes the call's record and returns its receipt (a DSSE envelope, JSON).

        Nobody may get it before the record is durable. May raise KeysUnavailable too.
        """


class TokenSpecStore(Protocol):
    """What decides a used field's tokens, recorded at first use. Raises StoreUnavailable only."""

    def recorded(self, tenant: str) -> Mapping[str, str]:
        """Returns the token spec (canonical JSON) of every used field."""

    def record(
        self, space: TokenSpace, token_spec: str, *, older: str | None = None, by_key: bool = False
    ) -> str:
        """Records a field's token spec if none is there yet; returns the one that is in force.

        Args:
            older: recorded instead of ``token_spec`` while a server is live that knows no newer
                one, and would read the field's tokens by it.
            by_key: also where the field's key is from before ``token_spec`` could be recorded:
                there may have been a record that was lost.
        """


@dataclass(frozen=True, slots=True)
class LimitKey:
    """What is counted together: one principal's values on one field for one action."""

    space: TokenSpace
    action: Action
    principal: str


@dataclass(frozen=True, slots=True)
class WindowUse:
    """What a charge has come to.

    Attributes:
        seconds: length of the window.
        used: values in the current window, those just charged included.
        left: seconds until the window ends, at least 0.
    """

    seconds: int
    used: int
    left: float


class LimitStore(Protocol):
    """Counters of values, within one transaction. Raises StoreUnavailable only."""

    def charge(self, key: LimitKey, windows: Sequence[int], values: int) -> Sequence[WindowUse]:
        """Adds ``values`` to the current window of each length, all in one statement.

        A window of n seconds begins where the seconds since the epoch, by the store's
        clock, divide by n. Transactions that charge one key follow each other, so no two
        count from the same state; what is rolled back is not charged.

        Args:
            windows: distinct lengths in seconds.

        Returns:
            What each has come to, shortest window first.
        """


@dataclass(frozen=True, slots=True)
class BudgetKey:
    """What is counted together: one principal's values of one field, for an action in a view.

    Attributes:
        view: the one that the rules with the budget grant.
    """

    space: TokenSpace
    action: Action
    view: str
    principal: str


@dataclass(frozen=True, slots=True)
class BudgetCounter:
    """A row of ``budget_counters``, under a MAC (``vault.crypto.row_mac``).

    Attributes:
        total: all values that were ever charged.
        windows: values by window and slice, as ``vault.service.budget_windows`` writes them.
        key_version: of the audit key.
    """

    total: int
    windows: str
    key_version: int
    mac: bytes = dataclass_field(repr=False)


class BudgetStore(Protocol):
    """Counters of values under MACs, within one transaction. Raises StoreUnavailable only.

    Locks of budgets come before those of tokens.
    """

    def lock(self, key: BudgetKey) -> tuple[int, BudgetCounter | None]:
        """Locks and returns a counter, None where there is none.

        With it the store's time, in microseconds since 1970, as of when the lock was there.
        """

    def insert(self, key: BudgetKey, counter: BudgetCounter) -> None:
        """Inserts a counter, unless there is one already."""

    def update(self, key: BudgetKey, counter: BudgetCounter) -> None:
        """Replaces a counter that is locked."""


@dataclass(frozen=True, slots=True)
class RevealRow:
    """A row of ``reveals``: a request with all that was decided about it, under a MAC.

    Attributes:
        state: as stored; a row may have expired since, or its grant be used up.
        ends: when it expires (aware).
        document: canonical JSON, as ``vault.service.reveal.rows`` writes it.
        key_version: of the audit key, under which the MAC was made.
        awaits_review: whether it was granted in an emergency, and nobody has reviewed it yet.
    """

    tenant: str
    id: UUID
    field: str
    principal: str
    state: str
    ends: datetime
    document: str = dataclass_field(repr=False)
    key_version: int
    mac: bytes = dataclass_field(repr=False)
    awaits_review: bool = False


@dataclass(frozen=True, slots=True)
class RevealPartRow:
    """A row of ``reveal_tokens``: some of a reveal's tokens, and how often each was shown.

    Attributes:
        digests: of the tokens, 16 bytes each, ascending.
        spent: of each, 2 bytes, big-endian.
    """

    tenant: str
    id: UUID
    part: int
    digests: bytes = dataclass_field(repr=False)
    spent: bytes = dataclass_field(repr=False)
    key_version: int
    mac: bytes = dataclass_field(repr=False)


class RevealStore(Protocol):
    """Requests and grants, within one transaction. Raises StoreUnavailable only."""

    def now(self) -> datetime:
        """Returns what time it is at this moment, by the store's clock."""

    def lock(self, tenant: str, reveal: UUID) -> tuple[RevealRow, datetime] | None:
        """Locks and returns a row, None where there is none.

        With it the store's time as of when the lock was there.
        """

    def lock_with_parts(
        self, tenant: str, reveal: UUID, numbers: Sequence[int]
    ) -> tuple[RevealRow, datetime, Mapping[int, RevealPartRow]] | None:
        """As ``lock``, and those parts of these numbers that there are.

        No part at all where the row was changed while its lock was waited for.
        """

    def find(self, tenant: str, reveal: UUID) -> RevealRow | None:
        """Returns a row, None where there is none; locks nothing."""

    def take_turns(self, tenant: str, name: str) -> None:
        """Waits until no other transaction that said this name is open."""

    def count_waiting(self, tenant: str, principal: str) -> int:
        """Returns how many drafts and open requests of a principal's have not expired."""

    def awaiting_review(self, tenant: str, limit: int) -> Sequence[RevealRow]:
        """Returns the rows that somebody must review, the last first; at most ``limit``."""

    def of_principal(self, tenant: str, principal: str, limit: int) -> Sequence[RevealRow]:
        """Returns a principal's rows, the last first; at most ``limit``."""

    def waiting(self, tenant: str, fields: Sequence[str], limit: int) -> Sequence[RevealRow]:
        """Returns the open and granted, unexpired rows of fields, the last first."""

    def put(self, row: RevealRow, parts: Sequence[RevealPartRow] = ()) -> None:
        """Stores a row and parts of it, each in place of the one of its id, or number.

        A row that there is already is locked.
        """

    def update(self, row: RevealRow, parts: Sequence[RevealPartRow]) -> None:
        """Replaces a locked row, and of parts that there are what was spent."""

    def parts(
        self, tenant: str, reveal: UUID, numbers: Sequence[int]
    ) -> Mapping[int, RevealPartRow]:
        """Returns the parts of these numbers that there are. The reveal is locked."""


@dataclass(frozen=True, slots=True)
class FreezeRow:
    """A row of ``freezes``: what is known of one principal or person, under a MAC.

    Attributes:
        kind: ``principal`` or ``person``.
        name: as ``vault.model.FreezeTarget`` has it.
        changed: when ``frozen`` last changed (aware), None where it never did.
        touched: honey tokens touched, all calls together.
        document: canonical JSON, as ``vault.service.freezes.rows`` writes it.
        key_version: of the audit key, under which the MAC was made.
    """

    tenant: str
    kind: str
    name: str
    frozen: bool
    changed: datetime | None
    touched: int
    document: str = dataclass_field(repr=False)
    key_version: int
    mac: bytes = dataclass_field(repr=False)


class FreezeStore(Protocol):
    """Freezes, within one transaction. Raises StoreUnavailable only."""

    def lock(self, tenant: str, kind: str, name: str) -> tuple[datetime, FreezeRow | None]:
        """Locks and returns a row, None where there is none.

        With it the store's time as of when the lock was there.
        """

    def insert(self, row: FreezeRow) -> None:
        """Inserts a row, unless there is one already."""

    def update(self, row: FreezeRow) -> None:
        """Replaces a row that is locked."""

    def all(self, tenant: str) -> Sequence[FreezeRow]:
        """Returns every row, the frozen first, then the last change first."""


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """A row of ``webhook_outbox``: a notice that one receiver has not been sent yet.

    Attributes:
        id: the notice's, the same for every receiver and attempt.
        endpoint: the receiver's name in the settings.
        event: what is sent: a CloudEvent as JSON.
        key_version: of the audit key, under which the MAC was made.
    """

    tenant: str
    id: UUID
    endpoint: str
    event: str = dataclass_field(repr=False)
    key_version: int
    mac: bytes = dataclass_field(repr=False)


@dataclass(frozen=True, slots=True)
class DueNotice:
    """A row that is to be sent now.

    Attributes:
        attempts: how often that was begun, this time included.
        age: how long ago the notice was owed.
    """

    row: OutboxRow
    attempts: int
    age: timedelta


class Outbox(Protocol):
    """Notices that are to be sent, within one transaction. Raises StoreUnavailable only."""

    def add(self, rows: Sequence[OutboxRow]) -> None:
        """Adds rows of one notice, at least one, due at once; they differ in endpoint and MAC."""

    def claim(self, endpoint: str, lease: timedelta) -> DueNotice | None:
        """Returns the row of an endpoint that is due the longest, None where none is.

        To others it is not due for the length of ``lease``. Passes over rows that are locked.
        """

    def remove(self, row: OutboxRow) -> None:
        """Removes a row."""

    def postpone(self, row: OutboxRow, delay: timedelta) -> None:
        """Makes a row due after ``delay``."""


@dataclass(frozen=True, slots=True)
class HoneyRow:
    """A row of ``honey_tokens``: a set of them, under a MAC.

    Attributes:
        active: whether its tokens are honey still.
        document: canonical JSON, as ``vault.service.honey.sets`` writes it.
        salt: random, for the key that this list alone is sealed with.
        sealed: the tokens.
        key_version: of the audit key, under which the MAC was made and the list sealed.
    """

    tenant: str
    id: UUID
    field: str
    active: bool
    document: str = dataclass_field(repr=False)
    salt: bytes = dataclass_field(repr=False)
    sealed: bytes = dataclass_field(repr=False)
    key_version: int
    mac: bytes = dataclass_field(repr=False)


class HoneyStore(Protocol):
    """Sets of honey tokens, within one transaction. Raises StoreUnavailable only."""

    def macs(self, tenant: str) -> Mapping[UUID, bytes]:
        """Returns the MAC of every row, by its id."""

    def rows(self, tenant: str, ids: Collection[UUID]) -> Sequence[HoneyRow]:
        """Returns the rows of these ids that there are."""

    def lock(self, tenant: str, set_id: UUID) -> HoneyRow | None:
        """Locks and returns a row, None where there is none."""

    def insert(self, row: HoneyRow) -> None:
        """Inserts a row."""

    def update(self, row: HoneyRow) -> None:
        """Replaces all of a locked row but its place."""


class Transaction(Protocol):
    """One database transaction: the work and its audit record commit together."""

    @property
    def tokens(self) -> TokenStore: ...
    @property
    def audit(self) -> AuditAppender: ...
    @property
    def token_specs(self) -> TokenSpecStore: ...
    @property
    def limits(self) -> LimitStore: ...
    @property
    def budgets(self) -> BudgetStore: ...
    @property
    def reveals(self) -> RevealStore: ...
    @property
    def freezes(self) -> FreezeStore: ...
    @property
    def outbox(self) -> Outbox: ...
    @property
    def honey(self) -> HoneyStore: ...


def unchanged(result: T) -> T:
    """Returns the result as it is: the default ``finish``."""
    return result


class UnitOfWork(Protocol):
    """Runs work in one transaction.

    Raises StoreUnavailable, AuditUnavailable, and what the work raises.
    """

    @overload
    def run(self, work: Callable[[Transaction], T], *, deadline: float | None = None) -> T: ...

    @overload
    def run(
        self,
        work: Callable[[Transaction], T],
        finish: Callable[[T], R],
        *,
        deadline: float | None = None,
    ) -> R:
        """Runs ``work`` and commits; on deadlock or serialisation failure runs it again, bounded.

        ``work`` may therefore run more than once and must keep its effects in the
        transaction.

        Args:
            finish: makes of what ``work`` returned what ``run`` returns, while the commit is
                on its way. What it raises comes out of ``run``, and the transaction may be
                committed then.
            deadline: (``time.monotonic()``) becomes the statement timeout.
        """


@dataclass(frozen=True, slots=True)
class DataKeyRecord:
    """A row of ``data_keys``: a key that only the key server can unwrap.

    Attributes:
        field: the policy field, or empty for a key of the tenant (audit).
        purpose: ``field``, ``index`` or ``audit``.
        wrapped: the key server's ciphertext, such as ``vault:v1:...``.
        uses: encryptions reserved so far under this version.
        restored: begun because the database was restored or failed over, not because the
            version before was used up; the ciphers that make tokens stay with that one.
    """

    tenant: str
    field: str
    purpose: str
    version: int
    wrapped: str = dataclass_field(repr=False)
    active: bool
    uses: int
    created: datetime | None = None
    restored: bool = False


@dataclass(frozen=True, slots=True)
class DatabaseIdentity:
    """Which database counts the uses of the data keys.

    Attributes:
        current: the identity of the database as it is now.
        recorded: the identity of the database that has counted so far; None before the
            first server, empty when an operator said that the database was restored.
    """

    current: str
    recorded: str | None


@dataclass(frozen=True, slots=True)
class KeyManifest:
    """A row of ``key_manifest``: one generation of the list of a tenant's data keys.

    Attributes:
        number: of the generation, from 1; the highest is in force.
        document: the list, as ``vault.keys.manifest`` writes it.
        key_version: of the audit key, under which the MAC was made.
    """

    tenant: str
    number: int
    document: str = dataclass_field(repr=False)
    key_version: int
    mac: bytes = dataclass_field(repr=False)


class DataKeyStore(Protocol):
    """Wrapped data keys. Raises StoreUnavailable only. Each call is its own transaction."""

    def all(self) -> Sequence[DataKeyRecord]:
        """Returns every version of every key, ordered by tenant, field, purpose, version."""

    def add(self, records: Sequence[DataKeyRecord]) -> None:
        """Adds versions that are not there yet and makes each the active one of its key.

        A version that exists already (another server was quicker) is left as it is.
        """

    def reserve(self, tenant: str, field: str, purpose: str, version: int, uses: int) -> int:
        """Adds ``uses`` to a version's counter and returns the new total."""

    def database_identity(self) -> DatabaseIdentity:
        """Returns which database this is, and which one has counted so far."""

    def begin_epoch(self, identity: str, records: Sequence[DataKeyRecord]) -> bool:
        """Adds the versions and records the identity, both or neither.

        Does nothing and returns False where that identity is recorded already: another
        server was quicker.
        """

    def manifest(self, tenant: str) -> KeyManifest | None:
        """Returns the manifest's last generation, None where there is none."""

    def add_manifest(self, manifest: KeyManifest) -> bool:
        """Adds a generation; returns False where that number is taken."""

    def used_fields(self, tenant: str, fields: Sequence[str]) -> Set[str]:
        """Returns which of the fields have left traces, in whatever table but the keys'.

        An empty name stands for the tenant as a whole: its audit, its policy in force.
        """


class KeyWrapper(Protocol):
    """The key server: makes and opens wrapped data keys. Raises KeysUnavailable only."""

    def generate(self, contexts: Sequence[bytes]) -> Sequence[str]:
        """Makes one 256-bit data key per derivation context; returns them wrapped."""

    def unwrap(self, items: Sequence[tuple[bytes, str]]) -> Sequence[bytes]:
        """Opens (context, wrapped) pairs, in order."""


class KeySource(Protocol):
    """The keys in memory.

    Raises KeysUnavailable, and StoreUnavailable where it must reserve uses.
    """

    def for_encryption(self, space: TokenSpace, count: int) -> FieldKey:
        """Returns the active field key, with ``count`` AES-GCM encryptions charged to it."""

    def active_field_key(self, space: TokenSpace) -> FieldKey:
        """Returns the active field key; charges nothing."""

    def token_field_key(self, space: TokenSpace) -> FieldKey:
        """Returns the field key whose ciphers make new tokens; charges nothing.

        It is the active one, or after a restore the one that was active before it: so a
        value whose mapping was lost gets its old token again, and no other value does.
        """

    def field_key(self, space: TokenSpace, version: int) -> FieldKey:
        """Returns the field key of an explicit version.

        Raises DecryptionFailed where no such version exists: a ciphertext can claim any.
        """

    def index_key(self, space: TokenSpace) -> IndexKey:
        """Returns the active blind-index key."""

    def index_keys(self, space: TokenSpace) -> Sequence[IndexKey]:
        """Returns every version of the blind-index key under which there may be rows."""

    def audit_key(self, tenant: str, version: int | None = None) -> MacKey:
        """Returns the tenant's audit MAC key: the active one, or that of a version."""
