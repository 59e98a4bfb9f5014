"""Asking to see values: drafts, requests, and in an emergency the grant at once."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TypeAlias
from uuid import uuid4

from vault.errors import Denied, InvalidRequest, Reason
from vault.model import Action, ChargedBudget
from vault.policy.approvals import Approvals, BreakGlass
from vault.policy.budgets import Allowance
from vault.service.admission import Admission, FieldPermit
from vault.service.call import Call
from vault.service.notices.notices import Notices
from vault.service.ports import KeySource, RevealStore, Transaction, unchanged
from vault.service.reveal import lifecycle
from vault.service.reveal.grants import shown_by
from vault.service.reveal.model import MAX_PARTS, Participant, Reveal, State, parts_for
from vault.service.reveal.owed import tell
from vault.service.reveal.request import RevealRequest, checked
from vault.service.reveal.requested_tokens import RequestedTokens
from vault.service.reveal.rows import Refused, RevealRows
from vault.service.reveal.status import RevealStatus, participant, status_of

__all__ = ["RequestService"]

_MAX_WAITING = 100
_MAX_UNREVIEWED = 1000


_Note: TypeAlias = Callable[[Reveal], None]
"""Notes which reveal a call is about, for its record."""


class RequestService:
    """The use case of those who ask.

    Args:
        refused: told of rows that are not ours.
        notices: writes what others are owed; by default nobody is told anything.
        alert: called once values were revealed that nobody had approved.
    """

    def __init__(
        self,
        admission: Admission,
        keys: KeySource,
        refused: Refused = lambda _, __: None,
        notices: Notices | None = None,
        alert: Callable[[Reveal], None] = lambda _: None,
    ) -> None:
        self._admission = admission
        self._notices = notices or Notices(keys)
        self._rows = RevealRows(keys, refused)
        self._tokens = RequestedTokens(self._rows)
        self._keys = keys
        self._alert = alert

    def request(self, call: Call, ask: RevealRequest) -> RevealStatus:
        """Makes a request, or adds tokens to a draft; returns one that covers it already.

        In an emergency grants it at once, charged to the budget that the policy has for it.
        """
        permit = self._admission.admit_field(
            call, Action.REQUEST_REVEAL, ask.field, ask.view, ask.justification, ask.tokens
        )
        who = participant(self._admission, call, ask.field)
        cores = self._admission.attempt(permit, lambda: checked(permit, who, ask))
        if ask.break_glass:
            return self._break_glass(call, permit, who, ask, cores)

        def work(transaction: Transaction, note: _Note) -> RevealStatus:
            store = transaction.reveals
            now = store.now()
            draft = self._draft(store, call, permit, who, ask, len(cores), now)
            note(draft)
            reveal, parts = self._tokens.added(store, draft, cores)
            known = None
            if not ask.more:
                reveal = lifecycle.open_request(reveal, now)
                known = self._tokens.covering(store, reveal, parts, now)
            if known is None:
                store.put(self._rows.written(reveal), self._rows.written_parts(reveal, parts))
                tell(self._notices, transaction.outbox, draft, reveal, now)
            elif ask.reveal:
                store.put(self._rows.written(lifecycle.withdraw(draft, who, now)))
            note(known or reveal)
            return status_of(known or reveal, who, now)

        return self._carried_out(permit, who, ask, cores, work)

    def _break_glass(
        self,
        call: Call,
        permit: FieldPermit,
        who: Participant,
        ask: RevealRequest,
        cores: Sequence[str],
    ) -> RevealStatus:
        approvals, rule = self._admission.attempt(permit, lambda: _emergency(permit, ask))
        permit = _charged(replace(permit, approvals=(approvals,)), rule)

        def work(transaction: Transaction, note: _Note) -> RevealStatus:
            store = transaction.reveals
            self._check_reviewed(store, call, who)
            now = store.now()
            draft = self._new(call, permit, who, ask, len(cores), now)
            with_tokens, parts = self._tokens.added(store, draft, cores)
            reveal = lifecycle.break_glass(with_tokens, rule, now)
            store.put(self._rows.written(reveal), self._rows.written_parts(reveal, parts))
            tell(self._notices, transaction.outbox, draft, reveal, now)
            note(reveal)
            return status_of(reveal, who, now)

        answer = self._carried_out(permit, who, ask, cores, work)
        self._alert(answer.reveal)
        return answer

    def _carried_out(
        self,
        permit: FieldPermit,
        who: Participant,
        ask: RevealRequest,
        cores: Sequence[str],
        work: Callable[[Transaction, _Note], RevealStatus],
    ) -> RevealStatus:
        """Carries out a request and records it; ``work`` notes the reveal that it is about."""
        noted = permit.event

        def note(reveal: Reveal) -> None:
            nonlocal noted
            noted = replace(permit.event, grant=str(reveal.id))

        def recorded(transaction: Transaction) -> RevealStatus:
            nonlocal noted
            noted = permit.event
            # One person's requests follow each other: two alike are one, and of two
            # emergencies the second is refused.
            transaction.reveals.take_turns(permit.caller.tenant, json.dumps(who.person))
            answer = work(transaction, note)
            touched = self._admission.touched(permit, cores) if ask.tokens else ""
            noted = replace(noted, counts={"ok": len(cores)}, touched=touched)
            transaction.audit.append(noted)
            return answer

        return self._admission.carry_out(permit, len(cores), recorded, unchanged, lambda: noted)

    def _check_reviewed(self, store: RevealStore, call: Call, who: Participant) -> None:
        """Refuses an emergency to who has one that was not reviewed, by whatever identity."""
        rows = store.awaiting_review(call.caller.tenant, _MAX_UNREVIEWED)
        for row in rows:
            # One that is not ours refuses everybody: whose it was, nobody knows any more.
            reveal = self._rows.read(row, row.id)
            if reveal.person == who.person or reveal.principal == who.principal:
                raise _review_first(f"somebody else must review {reveal.id} first")
        if len(rows) == _MAX_UNREVIEWED:
            raise _review_first("too many reveals wait for a review")

    def _draft(
        self,
        store: RevealStore,
        call: Call,
        permit: FieldPermit,
        who: Participant,
        ask: RevealRequest,
        cores: int,
        now: datetime,
    ) -> Reveal:
        if ask.reveal:
            found, now = self._rows.locked(store, call.caller.tenant, ask.reveal)
            lifecycle.check_requester(found, who)
            action = ask.action if ask.tokens or ask.ciphertexts else found.action
            asked = permit.field.name, permit.view, action
            if (found.field, found.view, found.action) != asked:
                raise InvalidRequest("the draft is of another field, view or kind")
            if found.state_at(now) is not State.DRAFT:
                raise Denied("the request is no draft any more", reason=Reason.REVEAL_CLOSED)
            return found
        self._check_waiting(store, call)
        return self._new(call, permit, who, ask, cores, now)

    def _new(
        self,
        call: Call,
        permit: FieldPermit,
        who: Participant,
        ask: RevealRequest,
        cores: int,
        now: datetime,
    ) -> Reveal:
        assert who.person is not None
        approvals = _easiest(permit.approvals)
        return Reveal(
            tenant=call.caller.tenant,
            id=uuid4(),
            field=permit.field.name,
            view=permit.view,
            shows=shown_by(permit.field, permit.view),
            purpose=ask.justification.purpose,
            ticket=ask.justification.ticket,
            reason=ask.reason,
            principal=who.principal,
            person=who.person,
            groups=frozenset(who.groups),
            roles=frozenset(permit.event.roles),
            policy_digest=call.policy.digest,
            approvals=approvals,
            lifetime=min(ask.lifetime or approvals.grant_ttl, approvals.grant_ttl),
            times=ask.times,
            created=now,
            ends=now + lifecycle.OPEN_FOR,
            # Of a draft nobody knows how many there will be.
            spent=(0,) * (MAX_PARTS if ask.more else parts_for(cores)),
            digest_version=self._keys.audit_key(call.caller.tenant).version,
            action=ask.action,
        )

    def _check_waiting(self, store: RevealStore, call: Call) -> None:
        """Refuses one request more of somebody who has very many waiting: they fill tables."""
        if store.count_waiting(call.caller.tenant, str(call.caller.principal)) >= _MAX_WAITING:
            raise InvalidRequest(
                f"{_MAX_WAITING} requests of yours wait for approval: withdraw some first"
            )


def _easiest(approvals: Sequence[Approvals]) -> Approvals:
    """Returns, of what several rules of the requester's ask for, what takes fewest people."""
    return min(approvals, key=lambda each: (each.people, -each.grant_ttl, str(each)))


def _emergency(permit: FieldPermit, ask: RevealRequest) -> tuple[Approvals, BreakGlass]:
    """Returns the rule that lets somebody see values before anybody approves. Raises Denied."""
    if ask.more or ask.reveal or ask.times != 1:
        raise InvalidRequest("an emergency is one request, and shows each token once")
    rules = [(each, each.break_glass) for each in permit.approvals if each.break_glass is not None]
    if not rules:
        raise Denied(
            "the policy lets nobody see this before it is approved",
            reason=Reason.BREAK_GLASS_NOT_ALLOWED,
        )
    return max(rules, key=lambda each: (each[1].grant_ttl, str(each)))


def _charged(permit: FieldPermit, rule: BreakGlass) -> FieldPermit:
    """Returns the permit of an emergency, which has a budget of its own whatever the view."""
    event = replace(permit.event, budget=ChargedBudget(Action.REQUEST_REVEAL, ""), break_glass=True)
    return replace(permit, event=event, allowance=Allowance("", (rule.budget,)))


def _review_first(message: str) -> Denied:
    return Denied(message, reason=Reason.REVIEW_REQUIRED)
