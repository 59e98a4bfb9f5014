"""Frozen value types shared by every layer.

Types that hold plaintext or tokens hide them from ``repr``, so that a debugger's or
a logger's habit of printing objects cannot leak them.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple, TypeAlias, TypeVar

from vault.errors import Reason, TokenvaultError

__all__ = [
    "DEFAULT_TENANT",
    "NO_JUSTIFICATION",
    "Action",
    "AuditEvent",
    "Caller",
    "ChargedBudget",
    "Failure",
    "FreezeChange",
    "FreezeTarget",
    "Generator",
    "Group",
    "Justification",
    "NewTokens",
    "NoticeType",
    "OnDenied",
    "Outcome",
    "Person",
    "PolicyChange",
    "Principal",
    "Scope",
    "Storage",
    "StoredToken",
    "StoredTokens",
    "TokenSpace",
    "TokenState",
]

DEFAULT_TENANT = "default"


class Action(StrEnum):
    """What a role may be allowed to do. Mirrors ``vault.v1.Permission``."""

    TOKENIZE = "tokenize"
    DETOKENIZE = "detokenize"
    LOOKUP = "lookup"
    DESCRIBE = "describe"
    ERASE = "erase"
    ENCRYPT = "encrypt"
    DECRYPT = "decrypt"
    REQUEST_REVEAL = "request_reveal"
    APPROVE_REVEAL = "approve_reveal"
    MANAGE_FREEZES = "manage_freezes"
    MANAGE_HONEY = "manage_honey"
    READ_AUDIT = "read_audit"
    READ_POLICY = "read_policy"
    EXPLAIN_OTHERS = "explain_others"


class Generator(StrEnum):
    """How a token's characters are made."""

    FF3_1 = "ff3-1"
    FF1 = "ff1"
    RANDOM = "random"


class Storage(StrEnum):
    """Where the mapping between token and value is."""

    VAULTED = "vaulted"
    VAULTLESS = "vaultless"


class Scope(StrEnum):
    """Where a value keeps one token: within its field, or nowhere."""

    FIELD = "field"
    NONE = "none"


class TokenState(StrEnum):
    """State of a stored token; EXPIRED and ERASED are tombstones without a ciphertext.

    DAMAGED is a row that says what none of ours does: nothing in it is believed.
    """

    LIVE = "live"
    EXPIRED = "expired"
    ERASED = "erased"
    DAMAGED = "damaged"


class OnDenied(StrEnum):
    """What is answered for each token of a call that a rule's conditions deny."""

    ERROR = "error"
    MASK = "mask"
    TOKEN = "token"  # noqa: S105 - no secret


class NoticeType(StrEnum):
    """What somebody is owed a notice of: the type of a webhook's CloudEvent."""

    REVEAL_REQUESTED = "tokenvault.reveal.requested"
    """Those who may approve it are to decide."""

    REVEAL_GRANTED = "tokenvault.reveal.granted"
    REVEAL_DENIED = "tokenvault.reveal.denied"
    REVEAL_REVOKED = "tokenvault.reveal.revoked"
    REVEAL_BREAK_GLASS = "tokenvault.reveal.break_glass"
    """Somebody sees values that nobody approved: a review is due."""

    REVEAL_REVIEWED = "tokenvault.reveal.reviewed"

    HONEY_TOUCHED = "tokenvault.honey.touched"
    """Those who may lift freezes are to look who it was."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why one item of a batch failed. Never holds a value.

    Attributes:
        substitute: what may be shown in place of the answer, made of the token alone; or empty.
        on_denied: what kind of substitute that is.
    """

    reason: Reason
    message: str
    retryable: bool = False
    substitute: str = field(default="", repr=False)
    on_denied: OnDenied = OnDenied.ERROR

    @classmethod
    def from_error(cls, error: TokenvaultError) -> Failure:
        """Makes an item's failure of an error raised for it."""
        return cls(error.reason, error.message, error.retryable)


T = TypeVar("T")
Outcome: TypeAlias = T | Failure


class Group(NamedTuple):
    """A claim of a JWT that a policy may give roles to.

    Issuer and audience are part of it: another issuer's group of the same name, or one
    vouched for towards another service, is another group.
    """

    issuer: str
    audience: str
    claim: str
    value: str


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls. For mTLS ``issuer`` is ``spiffe`` and ``subject`` the SPIFFE ID.

    Attributes:
        groups: what a JWT says the caller belongs to; not part of the name.
    """

    issuer: str
    subject: str
    groups: frozenset[Group] = frozenset()

    def __str__(self) -> str:
        return self.subject if self.issuer == "spiffe" else f"{self.issuer}#{self.subject}"


class Person(NamedTuple):
    """The human being behind a caller, by what a JWT issuer calls them.

    Several principals may be one person. Issuer and claim are part of the name: neither
    another issuer's "alice" nor another claim's is this one.
    """

    issuer: str
    claim: str
    value: str


class FreezeTarget(NamedTuple):
    """Whom a freeze is about.

    Attributes:
        kind: ``principal`` or ``person``.
        name: a principal as the audit names it; of a person issuer, claim and value, as a list
            in JSON without spaces.
    """

    kind: str
    name: str

    @classmethod
    def of_principal(cls, principal: str) -> FreezeTarget:
        """Names a principal."""
        return cls("principal", principal)

    @classmethod
    def of_person(cls, person: Person) -> FreezeTarget:
        """Names a person."""
        return cls("person", json.dumps(person, separators=(",", ":")))


class FreezeChange(NamedTuple):
    """What a call changed about a freeze, for the audit.

    Attributes:
        changed: when, by the store's clock (aware); later than every change before.
    """

    target: FreezeTarget
    frozen: bool
    changed: datetime


@dataclass(frozen=True, slots=True)
class Caller:
    """One authenticated call: who, from where, and until when.

    Attributes:
        credential: certificate serial (lower-case hex) or JWT id.
        deadline: ``time.monotonic()`` at which the answer is worthless, or None.
        person: who that is as a human being, or None for a workload.
        auth_time: when the person proved to the issuer who they are (aware, UTC), or None
            where the issuer does not say.
        address: where the connection comes from, or None where that is no network address.
    """

    principal: Principal
    peer: str
    credential: str
    request_id: str
    deadline: float | None = None
    tenant: str = DEFAULT_TENANT
    person: Person | None = None
    auth_time: datetime | None = None
    address: IPv4Address | IPv6Address | None = None


@dataclass(frozen=True, slots=True)
class Justification:
    """What a caller says a call is for, as it was sent: nothing of it is to be believed.

    Attributes:
        purpose: a purpose of the policy, or empty.
        ticket: where the case is written down, such as a ticket's number, or empty.
        grant: id of the reveal that was approved for it, or empty.
    """

    purpose: str = field(default="", repr=False)
    ticket: str = field(default="", repr=False)
    grant: str = field(default="", repr=False)


NO_JUSTIFICATION = Justification()


@dataclass(frozen=True, slots=True)
class TokenSpace:
    """Where token strings are unique: one field of one tenant."""

    tenant: str
    field: str


@dataclass(frozen=True, slots=True)
class NewTokens:
    """Tokens about to be stored: columns of one length, and what all have in common.

    Attributes:
        tokens: the tokens' cores (no separators, case folded where the format folds).
        ciphertexts: AES-256-GCM ciphertexts of the values' cores, bound to the tokens.
        macs: blind indexes of the values, or None for scope ``none``.
        tweak_counters: what the tweaks were varied by to make the tokens, from 0.
        index_version: version of the index key the macs were made under.
        ttl: how long the tokens live from now by the store's clock, or None for ever.
    """

    tokens: Sequence[str] = field(repr=False)
    ciphertexts: Sequence[bytes] = field(repr=False)
    macs: Sequence[bytes] | None = field(repr=False)
    tweak_counters: Sequence[int]
    index_version: int
    key_version: int
    generator: Generator
    scope: Scope
    ttl: timedelta | None = None


@dataclass(frozen=True, slots=True)
class StoredToken:
    """A row of ``tokens``. ``ciphertext`` is empty for a tombstone and a damaged row.

    Of a damaged row only token, state and key version are what it says, and its ciphertext where
    ``TokenStore.live_after`` returned it.
    """

    token: str = field(repr=False)
    ciphertext: bytes = field(repr=False)
    scope: Scope
    key_version: int
    generator: Generator
    state: TokenState
    created: datetime
    expires: datetime | None


@dataclass(frozen=True, slots=True)
class StoredTokens:
    """Rows of ``tokens`` as columns, an entry a row: no more than what it takes to open them.

    Attributes:
        at: positions, in what was asked for, of what the rows were found by.
        ciphertexts: empty for what is not live.
    """

    at: Sequence[int]
    tokens: Sequence[str] = field(repr=False)
    ciphertexts: Sequence[bytes] = field(repr=False)
    key_versions: Sequence[int]
    states: Sequence[TokenState]

    def __len__(self) -> int:
        """Returns how many rows there are."""
        return len(self.at)


class ChargedBudget(NamedTuple):
    """What the items of a call were counted for, beside its caller and field."""

    action: Action
    view: str


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """What one call leaves in the audit: counts and names, never a value.

    Attributes:
        outcome: ``allowed``, ``denied`` or ``failed``.
        reason: reason of a call that was not allowed or failed, else empty.
        detail: the message that the refused calls of one record were answered with, else empty.
        counts: items per outcome: ``ok`` and one entry per Reason.
        roles: the caller's roles under the policy, sorted.
        token_digest: keyed digest of the set of tokens answered or asked, or empty.
        grant: id of the reveal that the call used, or was about, or empty.
        charged: how many showings of its tokens the call used up.
        purpose: one that the policy knows, or empty.
        ticket: one that the policy asked for and found to be of its form, or empty.
        budget: where all items of an allowed call were charged to a budget, else None.
        break_glass: whether the reveal is one that nobody approved.
        freeze: what the call changed about a freeze, or None.
        honey_set: id of the set of honey tokens that the call changed, or empty.
        touched: how many honey tokens of which sets the call asked for, or found, as
            ``vault.service.honey.alarm`` writes it; empty in a field without any.
        person: as the caller's.
        auth_time: as the caller's.
        subject: whose access the call asked about, where the policy knows them, or empty.
    """

    rpc: str
    outcome: str
    principal: str
    peer: str
    credential: str
    request_id: str
    policy_digest: str
    tenant: str = DEFAULT_TENANT
    reason: str = ""
    detail: str = ""
    roles: tuple[str, ...] = ()
    field: str = ""
    view: str = ""
    purpose: str = ""
    ticket: str = ""
    grant: str = ""
    budget: ChargedBudget | None = None
    charged: int = 0
    break_glass: bool = False
    counts: Mapping[str, int] = dataclasses.field(default_factory=dict)
    key_versions: tuple[int, ...] = ()
    token_digest: bytes = b""
    freeze: FreezeChange | None = None
    honey_set: str = ""
    touched: str = ""
    person: Person | None = None
    auth_time: datetime | None = None
    subject: str = ""


@dataclass(frozen=True, slots=True)
class PolicyChange:
    """A policy that comes into force, for the audit.

    Attributes:
        before: digest of the policy that was in force until then, or empty for the first.
        after: digest of the new one.
        servers: names of the live servers, all of which have it and serve it from now on.
    """

    before: str
    after: str
    servers: tuple[str, ...]
    tenant: str = DEFAULT_TENANT
