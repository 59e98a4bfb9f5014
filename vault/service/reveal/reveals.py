"""Deciding on what others ask to see, and looking on."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from functools import cache, partial

from vault.model import Action, AuditEvent
from vault.policy.approvals import Approvals
from vault.policy.views import FULL
from vault.service.admission import Admission
from vault.service.call import Call
from vault.service.notices.notices import Notices
from vault.service.ports import KeySource, RevealRow, Transaction
from vault.service.reveal import lifecycle
from vault.service.reveal.model import Participant, Reveal
from vault.service.reveal.owed import tell
from vault.service.reveal.rows import Refused, RevealRows
from vault.service.reveal.status import RevealStatus, participant, status_of

__all__ = ["MAX_LISTED", "RevealService"]

MAX_LISTED = 100

_ASKS = (Action.REQUEST_REVEAL,)
_DECIDES = (Action.APPROVE_REVEAL,)


class RevealService:
    """The use cases of those who decide, and of those who asked."""

    def __init__(
        self,
        admission: Admission,
        keys: KeySource,
        refused: Refused = lambda _, __: None,
        notices: Notices | None = None,
    ) -> None:
        """Takes what decides and audits, the keys, and what reports rows that are not ours.

        Where no ``notices`` are given, nobody is told anything.
        """
        self._admission = admission
        self._notices = notices or Notices(keys)
        self._rows = RevealRows(keys, refused)

    def approve(self, call: Call, reveal: str, comment: str) -> RevealStatus:
        """Approves a request; the last approval that is needed grants it."""

        def step(found: Reveal, who: Participant, now: datetime) -> Reveal:
            asked_now = _asked_now(call, found)
            return lifecycle.approve(found, who, asked_now, now, comment)

        return self._change(call, _DECIDES, reveal, step)

    def deny(self, call: Call, reveal: str, comment: str) -> RevealStatus:
        """Denies a request."""
        return self._change(
            call,
            _DECIDES,
            reveal,
            lambda found, who, now: lifecycle.deny(found, who, now, comment),
        )

    def withdraw(self, call: Call, reveal: str) -> RevealStatus:
        """Withdraws a request of the caller's own."""
        return self._change(call, _ASKS, reveal, lifecycle.withdraw)

    def revoke(self, call: Call, reveal: str, comment: str) -> RevealStatus:
        """Ends a grant at once."""
        return self._change(
            call,
            (*_ASKS, *_DECIDES),
            reveal,
            lambda found, who, now: lifecycle.revoke(found, who, now, comment),
        )

    def review(self, call: Call, reveal: str, comment: str) -> RevealStatus:
        """Writes the review of values that were shown before anybody approved."""
        return self._change(
            call,
            _DECIDES,
            reveal,
            lambda found, who, now: lifecycle.review(found, who, now, comment),
        )

    def get(self, call: Call, reveal: str) -> RevealStatus:
        """Returns a request, to who made it and to those who may decide on it."""

        def step(found: Reveal, who: Participant, now: datetime) -> Reveal:
            del now
            decided = any(each.person == who.person for each in found.decisions)
            concerned = lifecycle.is_requester(found, who) or lifecycle.reviews(found, who)
            if not (concerned or (decided and who.approves)):
                lifecycle.check_approver(found, who)
            return found

        return self._change(call, (*_ASKS, *_DECIDES), reveal, step)

    def list(self, call: Call) -> Sequence[RevealStatus]:
        """Returns the caller's own requests, and the open ones that the caller may decide on."""
        permit = self._admission.admit_on_some_field(call, (*_ASKS, *_DECIDES))

        def work(transaction: Transaction) -> Sequence[RevealStatus]:
            store = transaction.reveals
            tenant, principal = call.caller.tenant, str(call.caller.principal)
            as_on = cache(partial(participant, self._admission, call))
            fields = sorted(name for name in call.policy.fields if as_on(name).approves)
            rows = {row.id: row for row in store.of_principal(tenant, principal, MAX_LISTED)}
            if fields:
                waiting = store.waiting(tenant, fields, MAX_LISTED * 10)
                unreviewed = store.awaiting_review(tenant, MAX_LISTED * 10)
                for row in (*unreviewed, *waiting):
                    rows.setdefault(row.id, row)
            found = self._listed(as_on, rows.values(), store.now())
            transaction.audit.append(replace(permit.event, counts={"ok": len(found)}))
            return found

        return self._admission.run(permit, work, lambda: permit.event)

    def _listed(
        self, as_on: Callable[[str], Participant], rows: Iterable[RevealRow], now: datetime
    ) -> Sequence[RevealStatus]:
        statuses = []
        for reveal in self._rows.genuine(rows):
            status = status_of(reveal, as_on(reveal.field), now)
            if status.own or status.may_decide or status.may_review:
                statuses.append(status)
        return statuses[:MAX_LISTED]

    def _change(
        self,
        call: Call,
        actions: Collection[Action],
        wanted: str,
        step: Callable[[Reveal, Participant, datetime], Reveal],
    ) -> RevealStatus:
        """Carries out a step on a stored reveal, and records it."""
        permit = self._admission.admit_on_some_field(call, actions)
        noted = permit.event

        def work(transaction: Transaction) -> RevealStatus:
            nonlocal noted
            noted, store = permit.event, transaction.reveals
            found, now = self._rows.locked(store, call.caller.tenant, wanted)
            noted = _about(permit.event, found)
            who = participant(self._admission, call, found.field)
            changed = step(found, who, now)
            if changed is not found:
                store.put(self._rows.written(changed))
                tell(self._notices, transaction.outbox, found, changed, now)
            transaction.audit.append(noted)
            return status_of(changed, who, now)

        return self._admission.run(permit, work, lambda: noted)


def _asked_now(call: Call, reveal: Reveal) -> Sequence[Approvals]:
    """Returns what the policy in force asks for, by the roles that the request was made by.

    What the requester's rules ask of the call itself, its hours for one, is asked when values
    are shown: here another person calls.
    """
    known = tuple(sorted(reveal.roles & call.policy.roles.keys()))
    permission = call.policy.rights_with(known).permission_for(Action.REQUEST_REVEAL, reveal.field)
    granting = [(permission or {}).get(view, {}) for view in dict.fromkeys((FULL, reveal.view))]
    found = [conditions.approvals for each in granting for conditions in each]
    return [approvals for approvals in found if approvals is not None]


def _about(event: AuditEvent, reveal: Reveal) -> AuditEvent:
    return replace(
        event,
        field=reveal.field,
        view=reveal.view,
        purpose=reveal.purpose,
        ticket=reveal.ticket,
        grant=str(reveal.id),
        break_glass=reveal.break_glass,
    )
