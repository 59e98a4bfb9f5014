"""Explaining what a caller may do: the decision on one access, and what is missing for it.

Shaped like the Access Evaluation API of OpenID AuthZEN (Authorization API 1.0): subject, action,
resource and context are asked, a decision with its reasons is answered. It is an explanation, and
no permission: what it says is decided again when the call is made.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from datetime import UTC, datetime
from ipaddress import ip_address

from vault.errors import BudgetInvalid, Denied, InvalidRequest, Reason
from vault.model import NO_JUSTIFICATION, Action, Group, Justification, Principal, TokenSpace
from vault.policy.budgets import Allowance
from vault.policy.conditions import CallContext
from vault.policy.decide import Allow, Deny
from vault.policy.explain import Explanation, explain
from vault.policy.limits import Quota
from vault.policy.model import Policy
from vault.policy.networks import Address
from vault.policy.roles import FIELDLESS
from vault.service.admission import Admission
from vault.service.budgets import Budgets
from vault.service.call import Call
from vault.service.ports import BudgetKey, Transaction

__all__ = ["AccessAnswer", "AccessQuestion", "AccessService", "AccessSubject", "BudgetLeft"]

_MAX_SUBJECT = 512
_READ = (Action.DETOKENIZE, Action.DECRYPT)
_UNKNOWN = "unknown"
_FIELD = "field"
_MAX_GROUPS = 200


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class AccessSubject:
    """Whose access is asked about, as the caller wrote it.

    Attributes:
        kind: ``spiffe`` or ``jwt``.
        id: a SPIFFE ID, or ISSUER#SUBJECT.
    """

    kind: str
    id: str = dataclass_field(repr=False)
    groups: Sequence[Group] = ()

    def principal(self) -> Principal:
        """Returns who that is. Raises InvalidRequest."""
        parts = (self.id, *(part for group in self.groups for part in group))
        if len(self.groups) > _MAX_GROUPS or any(len(part) > _MAX_SUBJECT for part in parts):
            raise InvalidRequest(
                f"a subject has at most {_MAX_GROUPS} groups, and names of {_MAX_SUBJECT} "
                "characters"
            )
        if "\0" in self.id:
            # Postgres takes none, for a budget's counter: the call would leave no record.
            raise InvalidRequest("a subject's id has no NUL")
        if self.kind == "spiffe" and not self.groups:
            return Principal("spiffe", self.id)
        issuer, _, name = self.id.rpartition("#")
        if self.kind != "jwt" or not issuer or not name:
            raise InvalidRequest(
                "a subject is of the type spiffe, with a SPIFFE ID and no groups, or jwt, with "
                "ISSUER#SUBJECT"
            )
        return Principal(issuer, name, frozenset(self.groups))


@dataclass(frozen=True, slots=True)
class AccessQuestion:
    """What is asked: might this be done?

    Attributes:
        subject: whose access, or None for the caller's own.
        action: its name, as the caller wrote it.
        resource: what kind of thing it is about, as the caller wrote it.
        time: when it would be, in seconds since 1970 (UTC), or None for now. For others' access
            only.
        address: from where it would come, or empty: of the caller's own, from where this call
            does. For others' access only.
    """

    action: str = dataclass_field(repr=False)
    field: str = dataclass_field(default="", repr=False)
    view: str = dataclass_field(default="", repr=False)
    subject: AccessSubject | None = None
    justification: Justification = dataclass_field(default=NO_JUSTIFICATION, repr=False)
    time: int | None = None
    address: str = dataclass_field(default="", repr=False)
    resource: str = dataclass_field(default=_FIELD, repr=False)


@dataclass(frozen=True, slots=True)
class BudgetLeft:
    """What is left of one window of a budget, now.

    Attributes:
        view: the one that it is counted for.
        rule: which of the budgets it is a window of, from 0: one with enough left suffices.
    """

    view: str
    rule: int
    quota: Quota
    left: int


@dataclass(frozen=True, slots=True)
class AccessAnswer:
    """The decision on one value as of now, and its reasons.

    Attributes:
        reason: why it would be refused, or None where it would be allowed.
        message: that, for people; empty where it would be allowed.
    """

    explanation: Explanation
    reason: Reason | None
    message: str
    view: str
    policy_digest: str
    budgets: Sequence[BudgetLeft] = ()


class AccessService:
    """The use case of those who ask what they, or others, may do."""

    def __init__(
        self, admission: Admission, budgets: Budgets, clock: Callable[[], datetime] = _now
    ) -> None:
        self._admission = admission
        self._budgets = budgets
        self._clock = clock

    def explain(self, call: Call, ask: AccessQuestion) -> AccessAnswer:
        """Explains an access. Of others' it takes ``explain_others``.

        Raises Denied, InvalidRequest.
        """
        own = ask.subject is None
        subject = None if ask.subject is None else _named(call.policy, ask.subject)
        permit = self._admission.admit_question(
            call, ask.field, ask.view, ask.justification, subject
        )
        who, action, context = self._admission.attempt(permit, lambda: self._read(call, ask))
        name = None if action in FIELDLESS else ask.field
        found = explain(call.policy, who, action, name, ask.view, context, own=own)

        def work(transaction: Transaction) -> AccessAnswer:
            transaction.audit.append(permit.event)
            return self._answer(transaction, call, who, action, ask.field, found)

        return self._admission.run(permit, work, lambda: permit.event)

    def _read(self, call: Call, ask: AccessQuestion) -> tuple[Principal, Action, CallContext]:
        who = call.caller.principal if ask.subject is None else ask.subject.principal()
        if ask.subject is None and (ask.time is not None or ask.address):
            raise Denied("your own access is explained as of now, and from where you call")
        if ask.resource not in ("", _FIELD):
            raise InvalidRequest("a resource is of the type field")
        if ask.action not in tuple(Action):
            raise InvalidRequest(f"there is no such action; known: {', '.join(sorted(Action))}")
        action = Action(ask.action)
        if action in FIELDLESS and ask.field:
            raise InvalidRequest(f"{action} is about no field: leave it out")
        address = call.caller.address if ask.subject is None else _address(ask.address)
        why = ask.justification
        time = self._clock() if ask.time is None else _moment(ask.time)
        return who, action, CallContext(why.purpose, why.ticket, time, address)

    def _answer(
        self,
        transaction: Transaction,
        call: Call,
        who: Principal,
        action: Action,
        field: str,
        found: Explanation,
    ) -> AccessAnswer:
        decision, digest = found.decision, call.policy.digest
        if isinstance(decision, Deny):
            return AccessAnswer(found, decision.reason, decision.message, "", digest)
        reason, message = _approval(decision, action)
        budgets: Sequence[BudgetLeft] = ()
        if decision.allowance is not None and action in _READ:
            space = TokenSpace(call.caller.tenant, field)
            key = BudgetKey(space, action, decision.allowance.view, str(who))
            try:
                budgets = self._left(transaction, key, decision.allowance)
            except BudgetInvalid as error:
                reason, message = reason or error.reason, message or error.message
            if budgets and reason is None and not _enough(budgets):
                reason, message = Reason.BUDGET_EXHAUSTED, "nothing is left of the budget"
        return AccessAnswer(found, reason, message, decision.view, digest, budgets)

    def _left(
        self, transaction: Transaction, key: BudgetKey, allowance: Allowance
    ) -> Sequence[BudgetLeft]:
        return [
            BudgetLeft(allowance.view, number, quota, left)
            for number, budget in enumerate(allowance.budgets)
            for quota, left in zip(
                budget, self._budgets.left(transaction.budgets, key, budget), strict=True
            )
        ]


def _approval(decision: Allow, action: Action) -> tuple[Reason | None, str]:
    if not decision.approvals or action not in _READ:
        return None, ""
    asked = " or ".join(map(str, decision.approvals))
    message = f"it takes a grant, approved by {asked}"
    if any(each.break_glass for each in decision.approvals):
        message += "; in an emergency, one is given at once (break_glass)"
    return Reason.APPROVAL_REQUIRED, message


def _enough(budgets: Sequence[BudgetLeft]) -> bool:
    """Returns whether one of the budgets has a value left in all of its windows."""
    rules = {each.rule for each in budgets}
    return any(all(each.left for each in budgets if each.rule == rule) for rule in rules)


def _moment(seconds: int) -> datetime:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        pass
    raise InvalidRequest("the time is none of the years 1 to 9999")


def _address(text: str) -> Address | None:
    try:
        return ip_address(text) if text else None
    except ValueError:
        pass
    raise InvalidRequest("the address is no IP address")


def _named(policy: Policy, asked: AccessSubject) -> str:
    """Returns whom a question is about as the audit has it.

    Anything can be written into a question: what the policy does not know stays out.
    """
    try:
        subject = asked.principal()
    except InvalidRequest:
        return _UNKNOWN
    known = [each.principal for each in policy.bindings]
    issuers = {each.issuer for each in known if isinstance(each, Group)}
    name = str(subject)
    if subject not in known and subject.issuer not in issuers:
        return _UNKNOWN
    return name if name.isascii() and name.isprintable() else _UNKNOWN
