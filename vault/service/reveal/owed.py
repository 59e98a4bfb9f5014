"""Who is owed a notice of a step of a reveal, and what it says: no value, no token, no free text.

The reason, the comments and the reveal's tokens are for those who may decide, and are asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from vault.model import NoticeType, Person
from vault.service.notices.notices import Content, Notice, Notices
from vault.service.ports import Outbox
from vault.service.reveal.model import Reveal, State

__all__ = ["owed_notice", "tell"]

_TYPES = {
    State.OPEN: NoticeType.REVEAL_REQUESTED,
    State.GRANTED: NoticeType.REVEAL_GRANTED,
    State.DENIED: NoticeType.REVEAL_DENIED,
    State.REVOKED: NoticeType.REVEAL_REVOKED,
}
_FOR_DECIDERS = {NoticeType.REVEAL_REQUESTED, NoticeType.REVEAL_BREAK_GLASS}


def tell(notices: Notices, outbox: Outbox, before: Reveal, after: Reveal, now: datetime) -> None:
    """Tells who is owed a notice of a step; they have it if the step commits."""
    notice = owed_notice(before, after, now)
    if notice is not None:
        notices.add(outbox, after.tenant, notice)


def owed_notice(before: Reveal, after: Reveal, now: datetime) -> Notice | None:
    """Returns the notice that a step owes, None where it changed nothing that matters to others."""
    kind = _kind(before, after)
    if kind is None:
        return None
    return Notice(kind, str(after.id), now, _data(after, kind))


def _kind(before: Reveal, after: Reveal) -> NoticeType | None:
    if before.awaits_review and not after.awaits_review:
        return NoticeType.REVEAL_REVIEWED
    if before.state is after.state:
        return None
    if after.break_glass and after.state is State.GRANTED:
        return NoticeType.REVEAL_BREAK_GLASS
    return _TYPES.get(after.state)


def _data(reveal: Reveal, kind: NoticeType) -> Mapping[str, Content]:
    requester: Mapping[str, Content] = {
        "principal": reveal.principal,
        "person": _person(reveal.person),
    }
    groups = [*reveal.approvals.groups, *([] if reveal.review is None else [reveal.review])]
    deciders: Mapping[str, Content] = {"roles": sorted({group.of for group in groups})}
    last = reveal.decisions[-1] if reveal.decisions else None
    return {
        "to": deciders if kind in _FOR_DECIDERS else requester,
        "reveal": str(reveal.id),
        "state": reveal.state.value,
        "break_glass": reveal.break_glass,
        "requester": requester,
        "action": reveal.action.value,
        "field": reveal.field,
        "view": reveal.view,
        "purpose": reveal.purpose,
        "ticket": reveal.ticket,
        "tokens": reveal.tokens,
        "times": reveal.times,
        "ends": reveal.ends.astimezone(UTC).isoformat(timespec="microseconds"),
        "decided_by": None if last is None else _person(last.person),
    }


def _person(person: Person) -> Mapping[str, Content]:
    return {"issuer": person.issuer, "claim": person.claim, "value": person.value}
