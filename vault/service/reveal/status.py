"""A reveal as one caller may see it, and who that caller is to it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from vault.errors import Reason
from vault.model import Action
from vault.policy.decide import Decision, Deny
from vault.service.admission import Admission
from vault.service.call import Call
from vault.service.reveal import lifecycle
from vault.service.reveal.model import Participant, Reveal, State

__all__ = ["RevealStatus", "participant", "status_of"]

_OUTSIDE = (Reason.OUTSIDE_NETWORKS, Reason.OUTSIDE_HOURS)


@dataclass(frozen=True, slots=True)
class RevealStatus:
    """A reveal as somebody may see it.

    Attributes:
        state: as of now.
        missing: the role of each approval that is missing.
        own: whether the caller asked for it.
        may_decide: whether the caller may approve or deny it now.
        may_review: whether the caller may write the review that it needs.
    """

    reveal: Reveal
    state: State
    missing: tuple[str, ...]
    own: bool
    may_decide: bool
    may_review: bool


def participant(admission: Admission, call: Call, field: str) -> Participant:
    """Returns who calls, as far as it matters for reveals of a field."""
    caller = call.caller
    decision = admission.judge(call, Action.APPROVE_REVEAL, field)
    return Participant(
        principal=str(caller.principal),
        person=caller.person,
        groups=frozenset(map(" ".join, call.policy.groups_of(caller.principal))),
        roles=frozenset(call.policy.roles_of(caller.principal)),
        approves=not isinstance(decision, Deny),
        barred=_barring(decision),
    )


def _barring(decision: Decision) -> Deny | None:
    """Returns a refusal for time or place alone."""
    return decision if isinstance(decision, Deny) and decision.reason in _OUTSIDE else None


def status_of(reveal: Reveal, who: Participant, now: datetime) -> RevealStatus:
    """Returns where a reveal stands, for somebody who may see it."""
    state = reveal.state_at(now)
    return RevealStatus(
        reveal,
        state,
        reveal.approvals.missing(reveal.approved) if state is State.OPEN else (),
        lifecycle.is_requester(reveal, who),
        state is State.OPEN and lifecycle.decides(reveal, who),
        lifecycle.reviews(reveal, who),
    )
