"""Explains a decision: the rules that apply to the call, and the limits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from vault.errors import Reason
from vault.model import Action, Principal, Storage
from vault.policy.conditions import CallContext, Unmet
from vault.policy.decide import Allow, Decision, decide
from vault.policy.known_principals import explain_unknown
from vault.policy.limits import window_text
from vault.policy.model import Policy
from vault.policy.roles import FIELDLESS, VIEWED, Rule
from vault.policy.views import FULL, TOKEN

__all__ = ["Effect", "Explanation", "RelevantEntry", "explain"]

_NO_CONTEXT = CallContext()


class Effect(StrEnum):
    """The effect of an entry on a call; in the order of precedence."""

    DENIES = "denies"
    ALLOWS = "allows"
    LIMITS = "limits"
    NOTES = "notes"


@dataclass(frozen=True, slots=True)
class RelevantEntry:
    """An entry of the policy that applies to a call.

    Attributes:
        line: where it is in the file, from 1.
        path: its key path, such as ``roles.support[0]``.
        says: what it says about the call.
        missing: what a rule that allows asks for, and the call does not have.
        decides: whether the decision is this rule's.
    """

    line: int
    path: str
    effect: Effect
    says: str
    missing: tuple[Unmet, ...] = ()
    decides: bool = False


@dataclass(frozen=True, slots=True)
class Explanation:
    """A decision and the entries that apply, in order of precedence.

    Attributes:
        unknown: why the principal has no role, where the policy does not know it.
    """

    decision: Decision
    roles: tuple[str, ...]
    entries: tuple[RelevantEntry, ...]
    unknown: tuple[str, ...] = ()

    def lines(self, source: str) -> Iterator[str]:
        """Yields the explanation as lines of text, the decision first."""
        if isinstance(self.decision, Allow):
            view = f", view {self.decision.view}" if self.decision.view else ""
            yield f"ALLOWED by {', '.join(self.decision.roles)}{view}"
            for approvals in self.decision.approvals:
                yield f"with a grant that was approved by {approvals}"
        else:
            yield f"{self.decision.reason}: {self.decision.message}"
        yield from self.unknown
        yield f"roles: {', '.join(self.roles)}" if self.roles else "roles: none"
        for entry in self.entries:
            for each in entry.missing:
                yield f"{entry.path} lacks: {each.reason}: {each.message}"
        for entry in self.entries:
            yield f"{source}:{entry.line}: {entry.path}: {entry.says}"
        if self.roles and not any(each.effect is Effect.ALLOWS for each in self.entries):
            yield "no rule of these roles allows it"


def explain(
    policy: Policy,
    principal: Principal,
    action: Action,
    field: str | None,
    view: str = "",
    context: CallContext = _NO_CONTEXT,
    *,
    own: bool = False,
) -> Explanation:
    """Decides a call as ``decide`` does, and says why.

    Args:
        own: for the caller's own eyes: nothing of networks that they do not come from, and
            nothing of other principals.
    """
    name = None if action in FIELDLESS else field
    roles = policy.roles_of(principal)
    decision = decide(policy, principal, action, field, view, context)
    call = _Call(action, name, view, context, decision, own)
    entries = [entry for role in roles for entry in _rules(policy, role, call)]
    # A deny wins over every allow, so it comes first.
    entries.sort(key=lambda entry: entry.effect is not Effect.DENIES)
    if isinstance(decision, Allow):
        entries.extend(_limits(policy, action, name))
        entries.extend(_notes(policy, action, name))
    unknown = () if own else tuple(explain_unknown(policy, principal))
    return Explanation(decision, roles, tuple(entries), unknown)


@dataclass(frozen=True, slots=True)
class _Call:
    """The call that is explained, and how it was decided."""

    action: Action
    field: str | None
    view: str
    context: CallContext
    decision: Decision
    own: bool


def _rules(policy: Policy, role: str, call: _Call) -> Iterator[RelevantEntry]:
    action, field = call.action, call.field
    for index, rule in enumerate(policy.roles[role].rules):
        path = f"roles.{role}[{index}]"
        if (action, field) in rule.denied():
            says = f"denies {_what(rule, action, field)}; a deny wins"
            yield RelevantEntry(rule.line, path, Effect.DENIES, says, decides=True)
        if (action, field) in rule.allowed():
            view = f" with view {rule.view}" if action in VIEWED else ""
            asked = "".join(f", {key} {value}" for key, value in _asked(rule, own=call.own))
            says = f"allows {_what(rule, action, field)}{view}{asked}"
            missing = tuple(_missing(rule, call))
            decides = not missing and _decides(rule, role, call.decision)
            yield RelevantEntry(rule.line, path, Effect.ALLOWS, says, missing, decides)


def _asked(rule: Rule, *, own: bool) -> Iterator[tuple[str, str]]:
    for key, value in rule.conditions.described():
        yield key, "of the policy" if own and key == "networks" else value


def _missing(rule: Rule, call: _Call) -> Iterator[Unmet]:
    """Yields what a call lacks to be allowed by a rule; a grant, only whoever uses one can tell."""
    if call.action in VIEWED and call.view not in ("", TOKEN, rule.view) and rule.view != FULL:
        yield Unmet(0, Reason.DENIED, f"the rule's view is {rule.view}")
    yield from rule.conditions.all_unmet(call.context)


def _decides(rule: Rule, role: str, decision: Decision) -> bool:
    if not isinstance(decision, Allow) or role not in decision.roles:
        return False
    # Where one rule asks for no approvals, those that do have no say.
    return bool(decision.approvals) == (rule.conditions.approvals is not None)


def _what(rule: Rule, action: Action, field: str | None) -> str:
    if field is None:
        return str(action)
    return f"{action} on {field}" + (" (by '*')" if rule.every else "")


def _limits(policy: Policy, action: Action, field: str | None) -> Iterator[RelevantEntry]:
    for index, limit in enumerate(policy.limits):
        if limit.concerns(action, field):
            values, window = limit.quota.values, window_text(limit.quota.seconds)
            says = f"at most {values:,} values per {window} and principal"
            yield RelevantEntry(limit.line, f"limits[{index}]", Effect.LIMITS, says)


def _notes(policy: Policy, action: Action, name: str | None) -> Iterator[RelevantEntry]:
    """Yields what the field itself has to say about an allowed call."""
    field = policy.fields[name] if name is not None else None
    if field is None:
        return
    path = f"fields.{field.name}"
    if action is Action.TOKENIZE and field.ttl is not None:
        lifetime = window_text(int(field.ttl.total_seconds()))
        says = f"a token expires {lifetime} after its value was last tokenized"
        yield RelevantEntry(field.line, path, Effect.NOTES, says)
    if action is Action.ERASE and field.storage is Storage.VAULTLESS:
        says = "vaultless: nothing is stored, so the call is INVALID_REQUEST"
        yield RelevantEntry(field.line, path, Effect.NOTES, says)
