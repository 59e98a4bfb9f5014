"""A reveal: what somebody asks to see, what others decided, and what a grant has shown."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from vault.model import Action, Person
from vault.policy.approvals import Approvals, Approved, ApproverGroup
from vault.policy.decide import Deny

__all__ = [
    "DIGEST",
    "MAX_PARTS",
    "Decision",
    "Participant",
    "Reveal",
    "State",
    "Verdict",
    "parts_for",
]

DIGEST = 16  # bytes of a token's digest
MAX_PARTS = 256
"""Into how many parts the tokens of a reveal are split at most: by their digests' first byte."""

_IN_A_PART = 64  # so that a part's row fits into a page several times


def parts_for(tokens: int) -> int:
    """Returns into how many parts so many tokens are split: a power of two."""
    parts = 1
    while parts < MAX_PARTS and parts * _IN_A_PART < tokens:
        parts *= 2
    return parts


class State(StrEnum):
    """Where a reveal stands. The last two follow from the clock and from what was shown."""

    DRAFT = "draft"
    """Tokens are still being added."""

    OPEN = "open"
    """Waits for approvals."""

    GRANTED = "granted"
    DENIED = "denied"
    WITHDRAWN = "withdrawn"
    REVOKED = "revoked"
    EXPIRED = "expired"
    EXHAUSTED = "exhausted"


class Verdict(StrEnum):
    """What somebody decided."""

    APPROVED = "approved"
    DENIED = "denied"
    REVOKED = "revoked"
    REVIEWED = "reviewed"
    """Looked at afterwards what nobody had approved."""


@dataclass(frozen=True, slots=True)
class Participant:
    """Somebody who asks or decides, as one call shows them.

    Attributes:
        person: who that is as a human being, or None for a workload.
        groups: of the policy, as text.
        roles: under the policy of the call.
        approves: whether the policy lets them approve on the field.
        barred: why not at this time, or from there, though it would else; None where it would not.
    """

    principal: str
    person: Person | None
    groups: Set[str] = frozenset()
    roles: Set[str] = frozenset()
    approves: bool = False
    barred: Deny | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """What one person decided, and by which right."""

    verdict: Verdict
    person: Person
    principal: str
    time: datetime
    approved: Approved
    comment: str = dataclass_field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Reveal:
    """A request, and the grant that it becomes.

    Attributes:
        shows: what the view was when the request was made: a later policy may not widen it.
        reason: why, in the requester's words.
        person: the requester.
        groups: the requester's, of the policy.
        roles: of the requester's, by which the request was allowed.
        policy_digest: of the policy that it was made under.
        approvals: what that policy asked for.
        lifetime: how long the grant is to be good, at most.
        times: how often each token may be shown.
        tokens: how many there are.
        ends: when it expires; of a grant, when the grant does.
        granted: when it was, or None.
        spent: how often tokens of each part were shown; as many as there are parts, of 1 to
            ``MAX_PARTS``.
        digest_version: of the key that the tokens' digests were made under.
        action: what the grant lets do: to detokenize its tokens, or to decrypt ciphertexts,
            which are its tokens then.
        review: who must write a review, of a reveal that was granted in an emergency without
            approval; else None.
    """

    tenant: str
    id: UUID
    field: str
    view: str
    shows: str
    purpose: str
    ticket: str
    reason: str = dataclass_field(repr=False)
    principal: str
    person: Person
    groups: frozenset[str]
    roles: frozenset[str]
    policy_digest: str
    approvals: Approvals
    lifetime: timedelta
    times: int
    created: datetime
    ends: datetime
    state: State = State.DRAFT
    tokens: int = 0
    granted: datetime | None = None
    decisions: tuple[Decision, ...] = ()
    spent: tuple[int, ...] = (0,)
    digest_version: int = 1
    action: Action = Action.DETOKENIZE
    review: ApproverGroup | None = None

    @property
    def break_glass(self) -> bool:
        """Whether it was granted in an emergency, without approval."""
        return self.review is not None

    @property
    def awaits_review(self) -> bool:
        """Whether nobody has written the review that it needs."""
        reviewed = any(each.verdict is Verdict.REVIEWED for each in self.decisions)
        return self.break_glass and not reviewed

    @property
    def left(self) -> int:
        """How many showings are left, of all tokens together."""
        return self.tokens * self.times - sum(self.spent)

    @property
    def approved(self) -> tuple[Approved, ...]:
        """The approvals so far."""
        return tuple(each.approved for each in self.decisions if each.verdict is Verdict.APPROVED)

    def state_at(self, now: datetime) -> State:
        """Returns where it stands at a time."""
        if self.state not in (State.DRAFT, State.OPEN, State.GRANTED):
            return self.state
        if self.state is State.GRANTED and self.left <= 0:
            return State.EXHAUSTED
        return State.EXPIRED if now >= self.ends else self.state
