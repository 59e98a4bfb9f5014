"""What may become of a reveal, by whom: pure, and the only place that says so.

::

    draft -> open -> granted -> exhausted, revoked, expired
      |       |         ^
      |       |         +-- draft, in an emergency; a review follows, whatever became of the grant
      |       +--> denied, withdrawn, expired
      +--> withdrawn, expired

Every step returns the reveal as it is afterwards, or raises ``Denied`` with a reason of its own.
The time is always that of the database.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from vault.errors import Denied, InvalidRequest, Reason
from vault.model import Person
from vault.policy.approvals import Approvals, Approved, ApproverGroup, BreakGlass
from vault.policy.decide import Deny
from vault.service.reveal.model import Decision, Participant, Reveal, State, Verdict

__all__ = [
    "MAX_COMMENT",
    "OPEN_FOR",
    "approve",
    "break_glass",
    "check_approver",
    "check_grant",
    "check_requester",
    "decides",
    "deny",
    "is_requester",
    "not_found",
    "open_request",
    "review",
    "reviews",
    "revoke",
    "withdraw",
]

OPEN_FOR = timedelta(days=7)
"""How long a request waits for approvals, and a draft for its tokens."""

MAX_COMMENT = 500  # characters
_REVIEWED = frozenset({Verdict.REVIEWED})


def open_request(reveal: Reveal, now: datetime) -> Reveal:
    """Submits a draft: its tokens are fixed from here on."""
    _expect(reveal, now, State.DRAFT)
    if not reveal.tokens:
        raise InvalidRequest("the request has no tokens: add some before it is submitted")
    return replace(reveal, state=State.OPEN, ends=now + OPEN_FOR)


def break_glass(reveal: Reveal, rule: BreakGlass, now: datetime) -> Reveal:
    """Grants a draft at once, without approval: somebody must review it afterwards."""
    _expect(reveal, now, State.DRAFT)
    lifetime = min(reveal.lifetime, rule.grant_ttl)
    return replace(
        reveal,
        state=State.GRANTED,
        granted=now,
        lifetime=lifetime,
        ends=now + lifetime,
        review=rule.review,
    )


def reviews(reveal: Reveal, who: Participant) -> bool:
    """Returns whether somebody may write the review that is missing."""
    return reveal.awaits_review and _refusal_of(reveal, who, _reviewers(reveal), _REVIEWED) is None


def review(reveal: Reveal, who: Participant, now: datetime, comment: str) -> Reveal:
    """Writes the review of a reveal that nobody had approved; it changes nothing of the grant."""
    refusal = _refusal_of(reveal, who, _reviewers(reveal), _REVIEWED)
    if refusal is not None:
        raise refusal
    if not reveal.awaits_review:
        raise Denied("there is no review to be written", reason=Reason.REVEAL_CLOSED)
    if not comment.strip():
        raise InvalidRequest("say in one line what you found")
    assert who.person is not None
    return _with_decision(reveal, Verdict.REVIEWED, who, who.person, now, comment)


def decides(reveal: Reveal, who: Participant) -> bool:
    """Returns whether somebody may decide on a request: who has it in their list."""
    return _refusal_of(reveal, who, reveal.approvals.groups) is None


def check_approver(reveal: Reveal, who: Participant) -> Person:
    """Returns the person who may decide on a request. Raises Denied."""
    refusal = _refusal_of(reveal, who, reveal.approvals.groups)
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
    good = _lifetimes(reveal, asked_now)
    if asked_now and not good:
        raise Denied(
            "the policy in force asks for other approvals than the grant has: request it again",
            reason=Reason.GRANT_INVALID,
        )
    if good and now >= reveal.granted + max(good):
        raise Denied("the grant has expired", reason=Reason.GRANT_EXPIRED)


def _lifetimes(reveal: Reveal, asked_now: Sequence[Approvals]) -> Sequence[timedelta]:
    """Returns for how long each rule that the grant is good for lets it be."""
    if reveal.break_glass:
        rules = (each.break_glass for each in asked_now)
        return [rule.grant_ttl for rule in rules if rule is not None]
    return [each.grant_ttl for each in asked_now if each.met_by(reveal.approved)]


_SPENT = {
    State.EXPIRED: ("the grant has expired", Reason.GRANT_EXPIRED),
    State.REVOKED: ("the grant was revoked", Reason.GRANT_REVOKED),
    State.EXHAUSTED: ("the grant has shown all that it was for", Reason.GRANT_EXHAUSTED),
}


def _reviewers(reveal: Reveal) -> Sequence[ApproverGroup]:
    return () if reveal.review is None else (reveal.review,)


def _refusal_of(
    reveal: Reveal,
    who: Participant,
    groups: Sequence[ApproverGroup],
    once: Collection[Verdict] = frozenset(Verdict),
) -> Denied | None:
    """Returns why somebody may not decide, or review, for any of the groups; None where they may.

    Args:
        once: of which verdicts a person gives one only.
    """
    refusal = _own_refusal(reveal, who, groups, once)
    if who.barred is None:
        return refusal
    # Of a request that is none of theirs nobody learns, whatever keeps them out.
    return not_found() if refusal is not None else _barred(who.barred)


def _barred(by: Deny) -> Denied:
    return Denied(by.message, reason=by.reason)


def _own_refusal(
    reveal: Reveal,
    who: Participant,
    groups: Sequence[ApproverGroup],
    once: Collection[Verdict],
) -> Denied | None:
    """Returns why somebody may not decide, wherever and whenever they call."""
    roles = {group.of for group in groups}
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
    if not any(group.takes(_approved(reveal, who)) for group in groups):
        return Denied(
            "the policy asks for somebody who is in no group of the requester's",
            reason=Reason.SAME_GROUP,
        )
    if any(each.person == who.person and each.verdict in once for each in reveal.decisions):
        return Denied("you have decided on this request", reason=Reason.ALREADY_DECIDED)
    return None


def _revoker(reveal: Reveal, who: Participant) -> Person:
    roles = {group.of for group in (*reveal.approvals.groups, *_reviewers(reveal))}
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
