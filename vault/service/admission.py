"""Decides once per call whether it is allowed, and records every denial.

An allowed call writes its record in the transaction of its work; that of a denied or failed
one is written here, in a transaction of its own. Where the record cannot be written
there is no answer but AUDIT_UNAVAILABLE or STORE_UNAVAILABLE.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from dataclasses import field as dataclass_field
from datetime import UTC, datetime
from typing import TypeVar

from vault.errors import (
    BudgetExhausted,
    BudgetInvalid,
    Denied,
    FieldNotFound,
    InvalidRequest,
    LimitExceeded,
    Reason,
    RequestError,
    TokenvaultError,
)
from vault.model import (
    NO_JUSTIFICATION,
    Action,
    AuditEvent,
    Caller,
    ChargedBudget,
    Justification,
    OnDenied,
    TokenSpace,
)
from vault.policy.approvals import Approvals
from vault.policy.budgets import Allowance
from vault.policy.conditions import CallContext
from vault.policy.decide import Decision, Deny, decide
from vault.policy.freezes import FreezeRule
from vault.policy.limits import Quota
from vault.policy.model import Field, Policy
from vault.policy.roles import VIEWED
from vault.service.budgets import Budgets
from vault.service.call import Call
from vault.service.columns import parse_tokens
from vault.service.honey.alarm import TouchAlarm
from vault.service.honey.known import KnownHoney
from vault.service.limits import charge
from vault.service.ports import BudgetKey, LimitKey, Transaction, UnitOfWork

__all__ = ["Admission", "FieldPermit", "Permit"]

T = TypeVar("T")
R = TypeVar("R")


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Permit:
    """An allowed call: its caller, and its audit record so far."""

    caller: Caller
    event: AuditEvent


@dataclass(frozen=True, slots=True)
class FieldPermit(Permit):
    """An allowed call on a field, in a view.

    Attributes:
        quotas: the caller's quotas on the field.
        allowance: the budgets that the call is charged to, or None.
        justification: what the caller says the call is for, as the policy allows it.
        approvals: as in ``Allow``.
        receipt: whether a receipt of the record is answered.
        tokens: as the call has them.
        freeze_rule: when the caller is frozen for touching honey tokens, or None for never.
    """

    action: Action
    field: Field
    view: str
    quotas: tuple[Quota, ...] = ()
    allowance: Allowance | None = None
    justification: Justification = NO_JUSTIFICATION
    approvals: tuple[Approvals, ...] = ()
    receipt: bool = False
    tokens: Sequence[str] = dataclass_field(default=(), repr=False)
    freeze_rule: FreezeRule | None = None

    @property
    def space(self) -> TokenSpace:
        """The tokens the call is about."""
        return TokenSpace(self.caller.tenant, self.field.name)

    @property
    def limit_key(self) -> LimitKey:
        """What the call's values are counted under."""
        return LimitKey(self.space, self.action, str(self.caller.principal))

    def budget_key(self, allowance: Allowance) -> BudgetKey:
        """Returns what the call's values are counted under for an allowance."""
        return BudgetKey(self.space, self.action, allowance.view, str(self.caller.principal))


class Admission:
    """Decides calls by the policy and audits those that do not go through."""

    def __init__(
        self,
        work: UnitOfWork,
        budgets: Budgets,
        clock: Callable[[], datetime] = _now,
        alarm: TouchAlarm | None = None,
    ) -> None:
        """Takes, besides, what notices touches of honey tokens; None where there are none."""
        self._work = work
        self._budgets = budgets
        self._clock = clock
        self._alarm = alarm or TouchAlarm(KnownHoney())

    def admit(self, call: Call, action: Action) -> Permit:
        """Admits a call that concerns no field. Raises Denied."""
        event = call.event("allowed")
        context = self._context(call.caller)
        decision = decide(call.policy, call.caller.principal, action, None, context=context)
        if isinstance(decision, Deny):
            raise self._deny(event, decision)
        return Permit(call.caller, replace(event, roles=decision.roles))

    def admit_field(
        self,
        call: Call,
        action: Action,
        field: str,
        view: str = "",
        justification: Justification = NO_JUSTIFICATION,
        tokens: Sequence[str] = (),
    ) -> FieldPermit:
        """Admits a call on a field. Raises Denied, FieldNotFound or InvalidRequest.

        Args:
            tokens: as the call has them. Of one that is not admitted, or fails, they are
                compared with honey tokens here.
        """
        policy = call.policy
        event = call.event(
            "allowed",
            field=_known_field(policy, field),
            view=_known_view(policy, field, view),
            purpose=_known_purpose(policy, justification),
        )
        context = self._context(call.caller, justification)
        decision = decide(policy, call.caller.principal, action, field, view, context)
        rule = policy.freeze_rule(call.caller.principal)
        if isinstance(decision, Deny):
            event = self._tried(event, call.caller, policy.fields.get(field), tokens, rule)
            raise self._deny(event, decision)
        if decision.approvals and action in _GRANTED and not justification.grant:
            event = self._tried(event, call.caller, policy.fields[field], tokens, rule)
            refusal = replace(_NO_GRANT, on_denied=decision.on_denied)
            raise self._deny(replace(event, roles=decision.roles), refusal)
        # A ticket that was allowed is of a form that the policy asks for.
        event = replace(
            event, roles=decision.roles, view=decision.view, ticket=justification.ticket
        )
        quotas, allowance = policy.quotas(action, field), decision.allowance
        if action is Action.REQUEST_REVEAL:
            allowance = None  # it reads nothing
        if allowance is not None:
            event = replace(event, budget=ChargedBudget(action, allowance.view))
        return FieldPermit(
            call.caller,
            event,
            action,
            policy.fields[field],
            decision.view,
            quotas,
            allowance,
            justification,
            decision.approvals,
            decision.receipt and action in _GRANTED,
            tokens,
            rule,
        )

    def admit_question(
        self, call: Call, field: str, view: str, why: Justification, subject: str | None
    ) -> Permit:
        """Admits who asks about an access: the caller's own, or with ``explain_others`` another's.

        Args:
            subject: whose, as the audit may have it; None for the caller's own.
        """
        policy = call.policy
        event = call.event(
            "allowed",
            field=_known_field(policy, field),
            view=_known_view(policy, field, view),
            purpose=_known_purpose(policy, why),
        )
        event = replace(event, subject=subject or "")
        if subject is None:
            if not event.roles:
                raise self._deny(event, _NO_RIGHT)
            return Permit(call.caller, event)
        context = self._context(call.caller)
        action = Action.EXPLAIN_OTHERS
        decision = decide(policy, call.caller.principal, action, None, context=context)
        if isinstance(decision, Deny):
            raise self._deny(event, decision)
        return Permit(call.caller, replace(event, roles=decision.roles))

    def admit_on_some_field(self, call: Call, actions: Collection[Action]) -> Permit:
        """Admits who may do one of the actions on any field. Raises Denied.

        For calls that name something whose field is not known yet: ``judge`` follows.
        """
        event = call.event("allowed")
        rights = call.policy.rights_of(call.caller.principal)
        if not any(action in actions for action, _ in rights.permissions):
            raise self._deny(event, _NO_RIGHT)
        return Permit(call.caller, event)

    def judge(self, call: Call, action: Action, field: str) -> Decision:
        """Decides whether a caller may do something on a field; records nothing."""
        context = self._context(call.caller)
        return decide(call.policy, call.caller.principal, action, field, context=context)

    def carry_out(
        self,
        permit: FieldPermit,
        items: int,
        work: Callable[[Transaction], T],
        finish: Callable[[T], R],
        noted: Callable[[], AuditEvent] | None = None,
        exempt: Callable[[Transaction], bool] | None = None,
    ) -> R:
        """Runs an admitted call's work in one transaction; audits it if it fails as a whole.

        Args:
            items: size of the batch, charged to the caller's limits and budgets before the work.
            finish: as in ``UnitOfWork.run``.
            noted: returns the record as far as the work came to know it; the permit's by default.
            exempt: returns whether the call is charged to no budget, where it would be; by
                default it is charged.

        Raises:
            LimitExceeded, BudgetExhausted, BudgetInvalid, and what the work raises.
        """
        totals: dict[BudgetKey, int] = {}

        def charged(transaction: Transaction) -> T:
            if permit.quotas:
                charge(transaction.limits, permit.limit_key, permit.quotas, items)
            if permit.allowance is not None and not (exempt and exempt(transaction)):
                key, budgets = permit.budget_key(permit.allowance), permit.allowance.budgets
                with _answered_as(permit.allowance.on_denied):
                    totals[key] = self._budgets.charge(transaction.budgets, key, budgets, items)
            return work(transaction)

        try:
            answer = self._work.run(charged, finish, deadline=permit.caller.deadline)
        except TokenvaultError as error:
            self._record_failure(permit, permit.event if noted is None else noted(), error)
            raise
        for key, total in totals.items():
            self._budgets.remember(key, total)
        return answer

    def run(
        self, permit: Permit, work: Callable[[Transaction], T], noted: Callable[[], AuditEvent]
    ) -> T:
        """Runs an admitted call's work that is no batch; ``noted`` as in ``carry_out``."""
        try:
            return self._work.run(work, deadline=permit.caller.deadline)
        except TokenvaultError as error:
            self._record_failure(permit, noted(), error)
            raise

    def attempt(self, permit: Permit, step: Callable[[], T]) -> T:
        """Runs a step of an admitted call; audits the call if the step fails as a whole."""
        try:
            return step()
        except TokenvaultError as error:
            self._record_failure(permit, permit.event, error)
            raise

    def record(self, event: AuditEvent) -> None:
        """Writes one audit record in a transaction of its own."""
        self._work.run(lambda transaction: transaction.audit.append(event))

    def touched(self, permit: FieldPermit, tokens: Iterable[str]) -> str:
        """Returns what a call's record says of honey among the token cores that it read.

        Who tokenizes reads none: a pipeline may meet a planted value.
        """
        if permit.action is Action.TOKENIZE:
            return ""
        caller, rpc = permit.caller, permit.event.rpc
        return self._alarm.note(caller, rpc, permit.space, tokens, permit.freeze_rule)

    def _tried(
        self,
        event: AuditEvent,
        caller: Caller,
        field: Field | None,
        tokens: Sequence[str],
        rule: FreezeRule | None,
    ) -> AuditEvent:
        """Returns the record of a call that was not carried out, with what it touched."""
        if field is None or not tokens:
            return event
        space = TokenSpace(caller.tenant, field.name)
        if not self._alarm.any_of(space):
            return event
        cores = parse_tokens(tokens, field.format, None).cores
        return replace(event, touched=self._alarm.note(caller, event.rpc, space, cores, rule))

    def _record_failure(self, permit: Permit, event: AuditEvent, error: TokenvaultError) -> None:
        """Records that an admitted call failed as a whole, where anything can be recorded."""
        if isinstance(permit, FieldPermit):
            rule = permit.freeze_rule
            event = self._tried(event, permit.caller, permit.field, permit.tokens, rule)
        if error.reason in _NO_RECORD:
            return  # the same database would have to take the record
        denied = isinstance(error, Denied | LimitExceeded | BudgetInvalid)
        # What is not allowed, or fails, has charged nothing.
        self.record(
            replace(
                event,
                outcome="denied" if denied else "failed",
                reason=error.reason.value,
                budget=None,
            )
        )

    def _context(
        self, caller: Caller, justification: Justification = NO_JUSTIFICATION
    ) -> CallContext:
        return CallContext(
            purpose=justification.purpose,
            ticket=justification.ticket,
            time=self._clock(),
            address=caller.address,
        )

    def _deny(self, event: AuditEvent, decision: Deny) -> RequestError:
        self.record(replace(event, outcome="denied", reason=decision.reason.value))
        error = _DENIALS.get(decision.reason, Denied)(decision.message, reason=decision.reason)
        error.on_denied = decision.on_denied.value
        return error


@contextmanager
def _answered_as(on_denied: OnDenied) -> Iterator[None]:
    """Marks a refusal of the block with what is answered in its place."""
    try:
        yield
    except BudgetExhausted as error:
        error.on_denied = on_denied.value
        raise


_GRANTED = VIEWED - {Action.REQUEST_REVEAL}
_NO_GRANT = Deny(
    Reason.APPROVAL_REQUIRED,
    "the policy asks for an approval: request a reveal, and name its grant once it is approved",
)
_NO_RIGHT = Deny(Reason.DENIED, "the policy does not allow this call")
_NO_RECORD = {Reason.STORE_UNAVAILABLE, Reason.AUDIT_UNAVAILABLE}
_DENIALS: dict[Reason, type[RequestError]] = {
    Reason.FIELD_NOT_FOUND: FieldNotFound,
    Reason.INVALID_REQUEST: InvalidRequest,
}


def _known_field(policy: Policy, field: str) -> str:
    # A caller can write anything into the field's name, a card number too: only
    # names the policy knows reach the audit.
    return field if field in policy.fields else ""


def _known_purpose(policy: Policy, justification: Justification) -> str:
    return justification.purpose if justification.purpose in policy.purposes else ""


def _known_view(policy: Policy, field: str, view: str) -> str:
    if view in ("", "full", "token"):
        return view
    return view if field in policy.fields and view in policy.fields[field].views else ""
