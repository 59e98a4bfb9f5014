"""What may become of a reveal, by whom: pure, and the only place that says so.

::

    draft -> open -> granted -> exhausted, revoked, expired
      |       +--> denied, withdrawn, expired
      +--> withdrawn, expired

Every step returns the reveal as it is afterwards, or raises ``Denied`` with a reason of its own.
The time is always that of the database.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from vault.errors import Denied, InvalidRequest, Reason
from vault.model import Person
from vault.policy.approvals import Approvals, Approved
from vault.policy.decide import Deny
from vault.service.reveal.model import Decision, Participant, Reveal, State, Verdict

__all__ = [
    "MAX_COMMENT",
    "OPEN_FOR",
    "approve",
    "check_approver",
    "check_grant",
    "check_requester",
    "decides",
    "deny",
    "is_requester",
    "not_found",
    "open_request",
    "revoke",
    "withdraw",
]

OPEN_FOR = timedelta(days=7)
"""How long a request waits for approvals, and a draft for its tokens."""

MAX_COMMENT = 500  # characters


def open_request(reveal: Reveal, now: datetime) -> Reveal:
    """Submits a draft: its tokens are fixed from here on."""
    _expect(reveal, now, State.DRAFT)
    if not reveal.tokens:
        raise InvalidRequest("the request has no tokens: add some before it is submitted")
    return replace(reveal, state=State.OPEN, ends=now + OPEN_FOR)


def decides(reveal: Reveal, who: Participant) -> bool:
    """Returns whether somebody may decide on a request: who has it in their list."""
    return _refusal_of(reveal, who) is None


def check_approver(reveal: Reveal, who: Participant) -> Person:
    """Returns the person who may decide on a request. Raises Denied."""
    refusal = _refusal_of(reveal, who)
    if refusal is not None:
        raise refusal
    assert who.person is not None
    return who.person


def approve(
    reveal: Reveal, who: Participant, asked_now: Sequence[Approvals], now: datetime, comment: str
) -> Reveal:
    """Adds an approval; the last that is needed grants the request.

    Args:
        asked_now: what the rules of the policy in force ask for, of which one suffices. A
            later policy may ask for more than that of the request, never for less.
    """
    _expect(reveal, now, State.OPEN)
    person = check_approver(reveal, who)
    if not asked_now:
        raise Denied("the policy in force no longer allows what the request asks for")
    decided = _with_decision(reveal, Verdict.APPROVED, who, person, now, comment)
    met = [each for each in asked_now if each.met_by(decided.approved)]
    if not met or not reveal.approvals.met_by(decided.approved):
        return decided
    lifetime = min(reveal.lifetime, reveal.approvals.grant_ttl, max(each.grant_ttl for each in met))
    return replace(decided, state=State.GRANTED, granted=now, ends=now + lifetime)


def deny(reveal: Reveal, who: Participant, now: datetime, comment: str) -> Reveal:
    """Ends an open request; one person who may approve is enough."""
    _expect(reveal, now, State.OPEN)
    person = check_approver(reveal, who)
    decided = _with_decision(reveal, Verdict.DENIED, who, person, now, comment)
    return replace(decided, state=State.DENIED)


def withdraw(reveal: Reveal, who: Participant, now: datetime) -> Reveal:
    """Ends a request, or draft, of the caller's own."""
    check_requester(reveal, who)
    _expect(reveal, now, State.DRAFT, State.OPEN)
    return replace(reveal, state=State.WITHDRAWN)


def revoke(reveal: Reveal, who: Participant, now: datetime, comment: str) -> Reveal:
    """Ends a grant at once: by whoever may approve such a request, or the requester."""
    person = reveal.person if is_requester(reveal, who) else _revoker(reveal, who)
    _expect(reveal, now, State.GRANTED)
    decided = _with_decision(reveal, Verdict.REVOKED, who, person, now, comment)
    return replace(decided, state=State.REVOKED)


def check_requester(reveal: Reveal, who: Participant) -> None:
    """Raises Denied unless the request is the caller's own."""
    if not is_requester(reveal, who):
        raise not_found()


def check_grant(reveal: Reveal, asked_now: Sequence[Approvals], now: datetime) -> None:
    """Raises Denied unless a grant is good now.

    Args:
        asked_now: what the rules that allow the call ask for, of which one suffices; empty
            where one asks for nothing.
    """
    state = reveal.state_at(now)
    if state in _SPENT and reveal.granted is not None:
        message, reason = _SPENT[state]
        raise Denied(message, reason=reason)
    if state is not State.GRANTED or reveal.granted is None:
        raise Denied("the request is not granted", reason=Reason.GRANT_INVALID)
    good = [each for each in asked_now if each.met_by(reveal.approved)]
    if asked_now and not good:
        raise Denied(
            "the policy in force asks for other approvals than the grant has: request it again",
            reason=Reason.GRANT_INVALID,
        )
    if good and now >= reveal.granted + max(each.grant_ttl for each in good):
        raise Denied("the grant has expired", reason=Reason.GRANT_EXPIRED)


_SPENT = {
    State.EXPIRED: ("the grant has expired", Reason.GRANT_EXPIRED),
    State.REVOKED: ("the grant was revoked", Reason.GRANT_REVOKED),
    State.EXHAUSTED: ("the grant has shown all that it was for", Reason.GRANT_EXHAUSTED),
}


def _refusal_of(reveal: Reveal, who: Participant) -> Denied | None:
    """Returns why somebody may not decide, None where they may."""
    refusal = _own_refusal(reveal, who)
    if who.barred is None:
        return refusal
    # Of a request that is none of theirs nobody learns, whatever keeps them out.
    return not_found() if refusal is not None else _barred(who.barred)


def _barred(by: Deny) -> Denied:
    return Denied(by.message, reason=by.reason)


def _own_refusal(reveal: Reveal, who: Participant) -> Denied | None:
    """Returns why somebody may not decide, wherever and whenever they call."""
    roles = {group.of for group in reveal.approvals.groups}
    if not (who.approves or who.barred) or not roles & who.roles:
        return not_found()
    if who.person is None:
        return Denied(
            "reveals are decided on by people: log in, with a token that says who you are",
            reason=Reason.PERSON_REQUIRED,
        )
    if is_requester(reveal, who) or who.person == reveal.person:
        return Denied(
            "a request is decided on by somebody else than who made it",
            reason=Reason.SELF_APPROVAL,
        )
    if not any(group.takes(_approved(reveal, who)) for group in reveal.approvals.groups):
        return Denied(
            "the policy asks for somebody who is in no group of the requester's",
            reason=Reason.SAME_GROUP,
        )
    if any(each.person == who.person for each in reveal.decisions):
        return Denied("you have decided on this request", reason=Reason.ALREADY_DECIDED)
    return None


def _revoker(reveal: Reveal, who: Participant) -> Person:
    roles = {group.of for group in reveal.approvals.groups}
    if not (who.approves or who.barred) or not roles & who.roles or who.person is None:
        raise not_found()
    if who.barred is not None:
        raise _barred(who.barred)
    return who.person


def is_requester(reveal: Reveal, who: Participant) -> bool:
    """Returns whether a request is somebody's own: the person's, by the same account."""
    return who.principal == reveal.principal and who.person == reveal.person


def _approved(reveal: Reveal, who: Participant) -> Approved:
    return Approved(frozenset(who.roles), apart=not reveal.groups & who.groups)


def _with_decision(
    reveal: Reveal,
    verdict: Verdict,
    who: Participant,
    person: Person,
    now: datetime,
    comment: str,
) -> Reveal:
    if len(comment) > MAX_COMMENT or not comment.isprintable():
        raise InvalidRequest(f"a comment is one line of at most {MAX_COMMENT} characters")
    made = Decision(verdict, person, who.principal, now, _approved(reveal, who), comment)
    return replace(reveal, decisions=(*reveal.decisions, made))


def _expect(reveal: Reveal, now: datetime, *states: State) -> None:
    state = reveal.state_at(now)
    if state not in states:
        raise Denied(f"the request is {state}", reason=Reason.REVEAL_CLOSED)


def not_found() -> Denied:
    """Returns the refusal of what does not exist, and of what somebody may not see."""
    return Denied("there is no such request of yours, or for you", reason=Reason.REVEAL_NOT_FOUND)
