"""The use cases of governed reveals: asking, deciding, looking on."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from dataclasses import field as dataclass_field
from datetime import datetime, timedelta
from functools import cache, partial
from uuid import uuid4

from vault.errors import Denied, InvalidRequest, Reason
from vault.model import Action, AuditEvent, Justification
from vault.policy.approvals import Approvals
from vault.policy.decide import Decision, Deny
from vault.policy.views import FULL
from vault.service.admission import Admission, FieldPermit
from vault.service.call import Call
from vault.service.columns import parse_tokens
from vault.service.notices.notices import Notices
from vault.service.ports import KeySource, RevealRow, RevealStore, Transaction, unchanged
from vault.service.reveal import lifecycle
from vault.service.reveal.grants import name_of_ciphertext, reveal_id, shown_by
from vault.service.reveal.model import MAX_PARTS, Participant, Reveal, State, parts_for
from vault.service.reveal.owed import owed_notice
from vault.service.reveal.rows import Refused, RevealRows, Tokens, each_digest, part_of

__all__ = ["MAX_LISTED", "MAX_TOKENS", "RevealRequest", "RevealService", "RevealStatus"]

MAX_TOKENS = 100_000
MAX_LISTED = 100
_MAX_REASON = 500
_MAX_TIMES = 100
_MAX_WAITING = 100
_COVERING = 20
"""How many of the requester's own are looked through for one that covers a new request."""

_OUTSIDE = (Reason.OUTSIDE_NETWORKS, Reason.OUTSIDE_HOURS)
_ASKS = (Action.REQUEST_REVEAL,)
_DECIDES = (Action.APPROVE_REVEAL,)


@dataclass(frozen=True, slots=True)
class RevealRequest:
    """What somebody asks to see, or tokens that they add to it.

    Attributes:
        ciphertexts: to be decrypted, in place of tokens.
        reveal: id of the draft that tokens are added to, or empty for a new one.
        lifetime: of the grant, or None for as long as the policy allows.
        times: how often each token may be shown.
        more: whether it stays a draft, because more tokens follow.
    """

    field: str
    view: str
    justification: Justification = dataclass_field(repr=False)
    reason: str = dataclass_field(repr=False)
    tokens: Sequence[str] = dataclass_field(repr=False)
    ciphertexts: Sequence[bytes] = dataclass_field(default=(), repr=False)
    reveal: str = ""
    lifetime: timedelta | None = None
    times: int = 1
    more: bool = False


@dataclass(frozen=True, slots=True)
class RevealStatus:
    """A reveal as somebody may see it.

    Attributes:
        state: as of now.
        missing: the role of each approval that is missing.
        own: whether the caller asked for it.
        may_decide: whether the caller may approve or deny it now.
    """

    reveal: Reveal
    state: State
    missing: tuple[str, ...]
    own: bool
    may_decide: bool


class RevealService:
    """The use cases of those who ask and those who decide."""

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
        self._keys = keys

    def request(self, call: Call, ask: RevealRequest) -> RevealStatus:
        """Makes a request, or adds tokens to a draft; returns one that covers it already."""
        permit = self._admission.admit_field(
            call, Action.REQUEST_REVEAL, ask.field, ask.view, ask.justification, ask.tokens
        )
        who = self._participant(call, ask.field)
        cores = self._admission.attempt(permit, lambda: _checked(permit, who, ask))
        noted = permit.event

        def work(transaction: Transaction) -> RevealStatus:
            nonlocal noted
            store, noted = transaction.reveals, permit.event
            now = store.now()
            draft = self._draft(store, call, permit, who, ask, len(cores), now)
            noted = replace(permit.event, grant=str(draft.id))
            reveal, parts = self._with_tokens(store, draft, cores)
            known = None
            if not ask.more:
                reveal = lifecycle.open_request(reveal, now)
                known = self._covering(store, reveal, parts, now)
            if known is None:
                store.put(self._rows.written(reveal), self._rows.written_parts(reveal, parts))
                self._tell(transaction, draft, reveal, now)
            elif ask.reveal:
                store.put(self._rows.written(lifecycle.withdraw(draft, who, now)))
            answer = known or reveal
            touched = self._admission.touched(permit, cores) if ask.tokens else ""
            counts = {"ok": len(cores)}
            noted = replace(noted, grant=str(answer.id), counts=counts, touched=touched)
            transaction.audit.append(noted)
            return self._status(answer, who, now)

        return self._admission.carry_out(permit, len(cores), work, unchanged, lambda: noted)

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

    def get(self, call: Call, reveal: str) -> RevealStatus:
        """Returns a request, to who made it and to those who may decide on it."""

        def step(found: Reveal, who: Participant, now: datetime) -> Reveal:
            del now
            decided = any(each.person == who.person for each in found.decisions)
            if not (lifecycle.is_requester(found, who) or (decided and who.approves)):
                lifecycle.check_approver(found, who)
            return found

        return self._change(call, (*_ASKS, *_DECIDES), reveal, step)

    def list(self, call: Call) -> Sequence[RevealStatus]:
        """Returns the caller's own requests, and the open ones that the caller may decide on."""
        permit = self._admission.admit_on_some_field(call, (*_ASKS, *_DECIDES))

        def work(transaction: Transaction) -> Sequence[RevealStatus]:
            store = transaction.reveals
            tenant, principal = call.caller.tenant, str(call.caller.principal)
            as_on = cache(partial(self._participant, call))
            fields = sorted(name for name in call.policy.fields if as_on(name).approves)
            rows = {row.id: row for row in store.of_principal(tenant, principal, MAX_LISTED)}
            for row in store.waiting(tenant, fields, MAX_LISTED * 10) if fields else ():
                rows.setdefault(row.id, row)
            found = self._listed(as_on, rows.values(), store.now())
            transaction.audit.append(replace(permit.event, counts={"ok": len(found)}))
            return found

        return self._admission.run(permit, work, lambda: permit.event)

    def _listed(
        self, as_on: Callable[[str], Participant], rows: Iterable[RevealRow], now: datetime
    ) -> Sequence[RevealStatus]:
        statuses = []
        for reveal in self._genuine(rows):
            status = self._status(reveal, as_on(reveal.field), now)
            if status.own or status.may_decide:
                statuses.append(status)
        return statuses[:MAX_LISTED]

    def _genuine(self, rows: Iterable[RevealRow]) -> Iterator[Reveal]:
        """Yields the reveals of rows that are ours; others were reported."""
        for row in rows:
            with suppress(Denied):
                yield self._rows.read(row, row.id)

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
            found, now = self._locked(store, call, wanted)
            noted = _about(permit.event, found)
            who = self._participant(call, found.field)
            changed = step(found, who, now)
            if changed is not found:
                store.put(self._rows.written(changed))
                self._tell(transaction, found, changed, now)
            transaction.audit.append(noted)
            return self._status(changed, who, now)

        return self._admission.run(permit, work, lambda: noted)

    def _tell(self, transaction: Transaction, before: Reveal, after: Reveal, now: datetime) -> None:
        """Tells who is owed a notice of a step; they have it if the step commits."""
        notice = owed_notice(before, after, now)
        if notice is not None:
            self._notices.add(transaction.outbox, after.tenant, notice)

    def _locked(self, store: RevealStore, call: Call, wanted: str) -> tuple[Reveal, datetime]:
        reveal = reveal_id(wanted)
        found = None if reveal is None else store.lock(call.caller.tenant, reveal)
        if found is None or reveal is None:
            raise lifecycle.not_found()
        row, now = found
        return self._rows.read(row, reveal), now

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
            found, now = self._locked(store, call, ask.reveal)
            lifecycle.check_requester(found, who)
            action = _action(ask) if ask.tokens or ask.ciphertexts else found.action
            asked = permit.field.name, permit.view, action
            if (found.field, found.view, found.action) != asked:
                raise InvalidRequest("the draft is of another field, view or kind")
            if found.state_at(now) is not State.DRAFT:
                raise Denied("the request is no draft any more", reason=Reason.REVEAL_CLOSED)
            return found
        assert who.person is not None
        self._check_waiting(store, call, now)
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
            action=_action(ask),
        )

    def _check_waiting(self, store: RevealStore, call: Call, now: datetime) -> None:
        """Refuses one request more of somebody who has very many waiting: they fill tables."""
        rows = store.of_principal(call.caller.tenant, str(call.caller.principal), _MAX_WAITING)
        waiting = (State.DRAFT.value, State.OPEN.value)
        if sum(row.state in waiting and row.ends > now for row in rows) >= _MAX_WAITING:
            raise InvalidRequest(
                f"{_MAX_WAITING} requests of yours wait for approval: withdraw some first"
            )

    def _with_tokens(
        self, store: RevealStore, reveal: Reveal, cores: Sequence[str]
    ) -> tuple[Reveal, dict[int, Tokens]]:
        """Returns a draft with more tokens, and every part that they are in."""
        wanted: dict[int, Tokens] = {}
        for digest in each_digest(self._rows.digests(reveal, cores)):
            wanted.setdefault(part_of(digest, len(reveal.spent)), {})[digest] = 0
        stored = store.parts(reveal.tenant, reveal.id, sorted(wanted)) if wanted else {}
        added = 0
        for number, tokens in wanted.items():
            row = stored.get(number)
            before = {} if row is None else self._rows.read_part(reveal, row)
            added += len(tokens.keys() - before.keys())
            wanted[number] = {**before, **tokens}
        if reveal.tokens + added > MAX_TOKENS:
            raise InvalidRequest(f"a reveal is of at most {MAX_TOKENS:,} tokens: split it")
        return replace(reveal, tokens=reveal.tokens + added), wanted

    def _covering(
        self, store: RevealStore, reveal: Reveal, parts: dict[int, Tokens], now: datetime
    ) -> Reveal | None:
        """Returns an open or granted request of the same that covers this one, if any."""
        # A draft's tokens of earlier calls are in parts that this call has not read.
        mine = self._all_tokens(store, reveal, parts)
        rows = store.of_principal(reveal.tenant, reveal.principal, _COVERING)
        for other in self._genuine(row for row in rows if row.id != reveal.id):
            if _alike(other, reveal, now):
                theirs = self._all_tokens(store, other, {})
                left = {digest for digest, count in theirs.items() if count < other.times}
                if other.times >= reveal.times and mine.keys() <= left:
                    return other
        return None

    def _all_tokens(self, store: RevealStore, reveal: Reveal, known: dict[int, Tokens]) -> Tokens:
        rows = store.parts(reveal.tenant, reveal.id, range(len(reveal.spent)))
        tokens: Tokens = {}
        for number in range(len(reveal.spent)):
            if number in known:
                tokens |= known[number]
            elif number in rows:
                tokens |= self._rows.read_part(reveal, rows[number])
        return tokens

    def _participant(self, call: Call, field: str) -> Participant:
        caller = call.caller
        decision = self._admission.judge(call, Action.APPROVE_REVEAL, field)
        return Participant(
            principal=str(caller.principal),
            person=caller.person,
            groups=frozenset(map(" ".join, call.policy.groups_of(caller.principal))),
            roles=frozenset(call.policy.roles_of(caller.principal)),
            approves=not isinstance(decision, Deny),
            barred=_barring(decision),
        )

    def _status(self, reveal: Reveal, who: Participant, now: datetime) -> RevealStatus:
        state = reveal.state_at(now)
        return RevealStatus(
            reveal,
            state,
            reveal.approvals.missing(reveal.approved) if state is State.OPEN else (),
            lifecycle.is_requester(reveal, who),
            state is State.OPEN and lifecycle.decides(reveal, who),
        )


def _checked(permit: FieldPermit, who: Participant, ask: RevealRequest) -> Sequence[str]:
    """Returns the token cores of a request that is well formed. Raises Denied, InvalidRequest."""
    if who.person is None:
        raise Denied(
            "reveals are requested by people: log in, with a token that says who you are",
            reason=Reason.PERSON_REQUIRED,
        )
    if not ask.reveal and not (ask.reason.strip() and ask.reason.isprintable()):
        raise InvalidRequest("say why, in one line: those who approve read it")
    if len(ask.reason) > _MAX_REASON:
        raise InvalidRequest(f"a reason has at most {_MAX_REASON} characters")
    if not 1 <= ask.times <= _MAX_TIMES:
        raise InvalidRequest(f"each token is shown 1 to {_MAX_TIMES} times")
    if ask.lifetime is not None and ask.lifetime < timedelta(seconds=1):
        raise InvalidRequest("the lifetime is shorter than a second")
    if ask.ciphertexts:
        if ask.tokens:
            raise InvalidRequest("a request has tokens or ciphertexts, not both")
        if not all(ask.ciphertexts):
            raise InvalidRequest("a ciphertext is empty: leave empty items out")
        return [name_of_ciphertext(each) for each in ask.ciphertexts]
    column = parse_tokens(ask.tokens, permit.field.format, permit.caller.deadline)
    if column.failures:
        raise InvalidRequest(
            f"item {min(column.failures)} is not of the form of this field's tokens"
        )
    return column.cores


def _action(ask: RevealRequest) -> Action:
    return Action.DECRYPT if ask.ciphertexts else Action.DETOKENIZE


def _barring(decision: Decision) -> Deny | None:
    """Returns a refusal for time or place alone."""
    return decision if isinstance(decision, Deny) and decision.reason in _OUTSIDE else None


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


def _easiest(approvals: Sequence[Approvals]) -> Approvals:
    """Returns, of what several rules of the requester's ask for, what takes fewest people."""
    return min(approvals, key=lambda each: (each.people, -each.grant_ttl, str(each)))


def _alike(one: Reveal, other: Reveal, now: datetime) -> bool:
    same = all(
        getattr(one, name) == getattr(other, name)
        for name in (
            "field",
            "view",
            "shows",
            "purpose",
            "ticket",
            "person",
            "digest_version",
            "action",
        )
    )
    return same and one.state_at(now) in (State.OPEN, State.GRANTED)


def _about(event: AuditEvent, reveal: Reveal) -> AuditEvent:
    return replace(
        event,
        field=reveal.field,
        view=reveal.view,
        purpose=reveal.purpose,
        ticket=reveal.ticket,
        grant=str(reveal.id),
    )
