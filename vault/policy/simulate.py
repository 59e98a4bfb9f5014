"""What a new policy would have decided of calls that were made, by what their records hold.

A record does not hold all that a decision is made by: not the groups of a caller with a JWT, not
whether the call named its view, and of a call that was denied neither its ticket nor a purpose
that the policy did not know. Where the decision hangs on such a thing there is no telling, and
that is an outcome of its own. Budgets and limits count what other calls did: they are left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from vault.errors import Reason
from vault.model import Action, Group, Principal
from vault.policy.conditions import CallContext
from vault.policy.decide import Allow, Decision, decide
from vault.policy.explain import Effect, Explanation, explain
from vault.policy.model import Policy
from vault.policy.roles import FIELDLESS, VIEWED, Binding

__all__ = ["MadeCall", "Simulation", "Simulator", "Verdict"]

_SPIFFE = "spiffe"
_TICKET = frozenset({Reason.TICKET_REQUIRED, Reason.TICKET_NOT_ALLOWED})
_PURPOSE = frozenset({Reason.PURPOSE_REQUIRED, Reason.PURPOSE_NOT_ALLOWED})
# Denied for one of these, a call named no purpose but the one that is recorded, if any.
_PURPOSE_TOLD = _TICKET | {Reason.PURPOSE_REQUIRED, Reason.APPROVAL_REQUIRED}
# What was refused for these was allowed by the rules: counters and grants are no part of them.
_BEYOND_RULES = frozenset(
    {
        Reason.LIMIT_EXCEEDED,
        Reason.BUDGET_EXHAUSTED,
        Reason.BUDGET_INVALID,
        Reason.GRANT_INVALID,
        Reason.GRANT_EXPIRED,
        Reason.GRANT_REVOKED,
        Reason.GRANT_EXHAUSTED,
        Reason.PERSON_REQUIRED,
        Reason.PRINCIPAL_FROZEN,
        Reason.REVEAL_CLOSED,
    }
)
_READ = frozenset({Action.DETOKENIZE, Action.DECRYPT})


class Simulation(StrEnum):
    """What the new policy would have changed of a call."""

    SAME = "same"
    REFUSED = "refused"
    ALLOWED = "allowed"
    NARROWED = "narrowed"
    CANNOT_TELL = "cannot_tell"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome, and why, in words that say nothing of a single call."""

    outcome: Simulation
    why: str = ""


@dataclass(frozen=True, slots=True)
class MadeCall:
    """A call as its record has it.

    Attributes:
        action: what its RPC asks for.
        field, view: empty where the policy of then did not know them, or there was none.
        context: when, from where, and what for, as far as it was recorded.
        allowed: whether the policy of then allowed it, whatever became of it after that.
        reason: why it was denied, or empty.
        grant: whether it was made under a grant.
        roles: those that the record names.
    """

    principal: Principal
    action: Action
    field: str
    view: str
    context: CallContext
    allowed: bool
    reason: str = ""
    grant: bool = False
    roles: tuple[str, ...] = ()


_SAME = Verdict(Simulation.SAME)


class Simulator:
    """Judges calls by a new policy."""

    def __init__(self, policy: Policy, *, by_recorded_roles: bool = False) -> None:
        """Takes the policy.

        Args:
            by_recorded_roles: takes a caller with a JWT to hold the roles that its record names,
                and no others.
        """
        self._policy = policy
        self._by_recorded_roles = by_recorded_roles
        self._with_roles: dict[tuple[str, ...], Policy] = {}

    def judge(self, call: MadeCall) -> Verdict:
        """Returns what the policy would have changed of a call."""
        policy = self._policy
        if call.principal.issuer != _SPIFFE:
            if self._by_recorded_roles:
                policy, call = self._as_recorded(call)
            elif _only_subjects(policy, call.principal):
                call = replace(call, principal=_as_subject(policy, call.principal))
            else:
                return _of_somebody_in_groups(policy, call)
        return _of_allowed(policy, call) if call.allowed else _of_denied(policy, call)

    def _as_recorded(self, call: MadeCall) -> tuple[Policy, MadeCall]:
        roles = tuple(sorted(set(call.roles) & self._policy.roles.keys()))
        who = Principal("recorded", " ".join(roles))
        if roles not in self._with_roles:
            self._with_roles[roles] = replace(self._policy, bindings=(Binding(who, roles),))
        return self._with_roles[roles], replace(call, principal=who)


def _cannot_tell(why: str) -> Verdict:
    return Verdict(Simulation.CANNOT_TELL, why)


def _of_allowed(policy: Policy, call: MadeCall) -> Verdict:
    found = _decided(policy, call, call.view)
    # Of a call that was answered, all is known but whether it named the view that it got.
    unnamed = _decided(policy, call, "") if call.action in VIEWED else found
    if isinstance(found, Allow) and isinstance(unnamed, Allow) and found.view == unnamed.view:
        return _of_still_allowed(found, call)
    if isinstance(found, Allow):
        other = unnamed.view if isinstance(unnamed, Allow) else unnamed.reason
        return _cannot_tell(f"the view, if the call did not name it: {other}")
    if isinstance(unnamed, Allow):
        why = f"{found.reason}, or view {unnamed.view} if the call did not name its view"
        return _cannot_tell(why)
    return Verdict(Simulation.REFUSED, found.reason)


def _of_still_allowed(found: Allow, call: MadeCall) -> Verdict:
    if not found.approvals or call.action not in _READ:
        return _SAME
    if call.grant:
        return _cannot_tell("whether the grant has the approvals")
    asked = " or ".join(map(str, found.approvals))
    return Verdict(Simulation.NARROWED, f"with a grant approved by {asked}")


def _of_denied(policy: Policy, call: MadeCall) -> Verdict:
    if not call.field and call.action not in FIELDLESS:
        return _cannot_tell("which field was meant")
    name = None if call.action in FIELDLESS else call.field
    found = explain(policy, call.principal, call.action, name, call.view, call.context)
    unknown = _unknown(call)
    if not isinstance(found.decision, Allow):
        hopes = not _denied(found) and any(
            {gap.reason for gap in entry.missing} <= unknown
            for entry in found.entries
            if entry.effect is Effect.ALLOWS
        )
        return _cannot_tell("purpose, ticket or view of a denied call") if hopes else _SAME
    asks = bool(found.decision.approvals) and call.action in _READ and not call.grant
    if asks or call.reason in _BEYOND_RULES:
        return _SAME
    caveat = ", if it named no ticket or unknown purpose" if unknown else ""
    return Verdict(Simulation.ALLOWED, f"was {call.reason}{caveat}")


def _denied(found: Explanation) -> bool:
    return any(entry.effect is Effect.DENIES for entry in found.entries)


def _unknown(call: MadeCall) -> frozenset[Reason]:
    """Returns the reasons that a denied call's record cannot rule out."""
    if call.action not in VIEWED or call.reason in _BEYOND_RULES:
        return frozenset()
    unknown = frozenset[Reason]() if call.reason == Reason.TICKET_REQUIRED else _TICKET
    told = call.context.purpose or call.reason in _PURPOSE_TOLD
    return unknown if told else unknown | _PURPOSE


def _decided(policy: Policy, call: MadeCall, view: str) -> Decision:
    name = None if call.action in FIELDLESS else call.field
    return decide(policy, call.principal, call.action, name, view, call.context)


def _groups(policy: Policy, issuer: str) -> Iterator[tuple[Group, Binding]]:
    for binding in policy.bindings:
        if isinstance(binding.principal, Group) and binding.principal.issuer == issuer:
            yield binding.principal, binding


def _only_subjects(policy: Policy, principal: Principal) -> bool:
    """Returns whether the policy tells an issuer's callers apart by their subject alone."""
    return all(group.claim == "sub" for group, _ in _groups(policy, principal.issuer))


def _as_subject(policy: Policy, principal: Principal) -> Principal:
    named = (group for group, _ in _groups(policy, principal.issuer))
    mine = frozenset(group for group in named if group.value == principal.subject)
    return replace(principal, groups=mine)


def _of_somebody_in_groups(policy: Policy, call: MadeCall) -> Verdict:
    """Judges by what the issuer's callers may do at most, whoever is in which groups."""
    name = None if call.action in FIELDLESS else call.field
    bound: Iterable[Binding] = (binding for _, binding in _groups(policy, call.principal.issuer))
    roles = {role for binding in bound for role in binding.roles}
    possible = any(
        (call.action, name) in rule.allowed() for role in roles for rule in policy.roles[role].rules
    )
    if possible:
        return _cannot_tell("the groups of a caller with a JWT")
    return Verdict(Simulation.REFUSED, Reason.DENIED) if call.allowed else _SAME
