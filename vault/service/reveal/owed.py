"""Who is owed a notice of a step of a reveal, and what it says: no value, no token, no free text.

The reason, the comments and the reveal's tokens are for those who may decide, and are asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from vault.model import NoticeType, Person
from vault.service.notices.notices import Content, Notice
from vault.service.reveal.model import Reveal, State

__all__ = ["owed_notice"]

_TYPES = {
    State.OPEN: NoticeType.REVEAL_REQUESTED,
    State.GRANTED: NoticeType.REVEAL_GRANTED,
    State.DENIED: NoticeType.REVEAL_DENIED,
    State.REVOKED: NoticeType.REVEAL_REVOKED,
}


def owed_notice(before: Reveal, after: Reveal, now: datetime) -> Notice | None:
    """Returns the notice that a step owes, None where it changed nothing that matters to others."""
    kind = _TYPES.get(after.state)
    if kind is None or before.state is after.state:
        return None
    return Notice(kind, str(after.id), now, _data(after, kind))


def _data(reveal: Reveal, kind: NoticeType) -> Mapping[str, Content]:
    requester: Mapping[str, Content] = {
        "principal": reveal.principal,
        "person": _person(reveal.person),
    }
    roles = sorted({group.of for group in reveal.approvals.groups})
    approvers: Mapping[str, Content] = {"roles": roles}
    last = reveal.decisions[-1] if reveal.decisions else None
    return {
        "to": approvers if kind is NoticeType.REVEAL_REQUESTED else requester,
        "reveal": str(reveal.id),
        "state": reveal.state.value,
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
