"""What a new policy changes: who gains and loses what, fields and limits.

Both policies are evaluated, so that moving a rule, renaming a role or writing ``*`` out is
no change. What a rule attaches to a right beyond its view is compared whatever it is called.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import yaml

from vault.model import Action, Group, Principal
from vault.policy.freezes import FreezeRule, strictest_rule
from vault.policy.limits import Quota
from vault.policy.model import Policy
from vault.policy.roles import VIEWED, Role, Rule
from vault.policy.views import FULL

__all__ = [
    "LATER",
    "Access",
    "Change",
    "FieldChange",
    "FreezeRuleChange",
    "HolderChange",
    "LimitChange",
    "PolicyDiff",
    "ViewChange",
    "diff",
]

LATER = "*"
"""In place of a field: those added later, on which ``fields: ["*"]`` gives the right too."""

Holder = Principal | Group

_NAMED = frozenset({"fields", "every", "allow", "deny", "view", "conditions"})


@dataclass(frozen=True, slots=True, order=True)
class Access:
    """An action allowed on one field (empty: an action without one).

    Attributes:
        conditions: what else the rule says, as names and values, sorted.
    """

    action: Action
    field: str
    view: str = ""
    conditions: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class HolderChange:
    """What changes for a principal, or for whoever is in a group of a JWT issuer.

    Attributes:
        denied: what is denied from now on, whatever other groups allow. Of groups alone.
        undenied: what was denied, whatever other groups allow. Of groups alone.
    """

    holder: Holder
    gains: frozenset[Access]
    loses: frozenset[Access]
    denied: frozenset[Access] = frozenset()
    undenied: frozenset[Access] = frozenset()

    def __bool__(self) -> bool:
        """Returns whether anything changes."""
        return bool(self.gains or self.loses or self.denied or self.undenied)


class Change(StrEnum):
    """What became of a field or limit."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"
    LOOSENED = "loosened"
    TIGHTENED = "tightened"


@dataclass(frozen=True, slots=True)
class FieldChange:
    """A field that came or went, or a key of one as the file has it.

    Attributes:
        key: the key's path within the field, such as ``keep.last``; empty for the whole.
        before: what was written, or None for nothing.
        tokens: whether values would get other tokens: refused for a field that is in use.
    """

    field: str
    change: Change
    key: str = ""
    before: str | None = None
    after: str | None = None
    tokens: bool = False


@dataclass(frozen=True, slots=True)
class ViewChange:
    """A view that shows something else under its name, and who reads it before and after."""

    field: str
    view: str
    readers: tuple[Holder, ...]


@dataclass(frozen=True, slots=True)
class LimitChange:
    """What each principal may have worked on, per action and field; no quota is no limit."""

    action: Action
    field: str
    change: Change
    before: tuple[Quota, ...]
    after: tuple[Quota, ...]


@dataclass(frozen=True, slots=True)
class FreezeRuleChange:
    """When a principal or group is frozen for touching honey tokens; None for never."""

    holder: Holder
    before: FreezeRule | None
    after: FreezeRule | None


@dataclass(frozen=True, slots=True)
class PolicyDiff:
    """All that differs, in a fixed order."""

    holders: tuple[HolderChange, ...]
    fields: tuple[FieldChange, ...]
    views: tuple[ViewChange, ...]
    limits: tuple[LimitChange, ...]
    freezes: tuple[FreezeRuleChange, ...] = ()

    def __bool__(self) -> bool:
        """Returns whether anything differs."""
        return bool(self.holders or self.fields or self.views or self.limits or self.freezes)


def diff(old: Policy, new: Policy) -> PolicyDiff:
    """Returns what ``new`` changes in ``old``."""
    return PolicyDiff(
        tuple(_holders(old, new)),
        tuple(_fields(old, new)),
        tuple(_views(old, new)),
        tuple(_limits(old, new)),
        tuple(_freezes(old, new)),
    )


def _holders(old: Policy, new: Policy) -> Iterator[HolderChange]:
    before, after = _roles(old), _roles(new)
    for holder in sorted(before.keys() | after.keys(), key=_order):
        was, now = before.get(holder, ()), after.get(holder, ())
        had, has = _allowed(was), _allowed(now)
        change = HolderChange(holder, has - had, had - has)
        if isinstance(holder, Group):
            # A deny of one group takes from what the caller's others allow.
            barred, bars = _denied(was), _denied(now)
            change = replace(change, denied=bars - barred, undenied=barred - bars)
        if change:
            yield change


def _order(holder: Holder) -> tuple[bool, str]:
    if isinstance(holder, Group):
        return True, " ".join(holder)
    return False, str(holder)


def _roles(policy: Policy) -> Mapping[Holder, tuple[Role, ...]]:
    return {
        each.principal: tuple(policy.roles[name] for name in each.roles) for each in policy.bindings
    }


def _allowed(roles: Sequence[Role]) -> frozenset[Access]:
    """Returns what roles allow together: a deny in any of them overrides every allow."""
    denied = _denied(roles)
    found = {each for rule in _rules(roles) for each in _accesses(rule, rule.allow)}
    return frozenset(each for each in found if Access(each.action, each.field) not in denied)


def _denied(roles: Sequence[Role]) -> frozenset[Access]:
    found = {each for rule in _rules(roles) for each in _accesses(rule, rule.deny)}
    return frozenset(Access(each.action, each.field) for each in found)


def _rules(roles: Sequence[Role]) -> Iterator[Rule]:
    return (rule for role in roles for rule in role.rules)


def _accesses(rule: Rule, actions: frozenset[Action]) -> Iterator[Access]:
    conditions = tuple(sorted(_conditions(rule)))
    for action, field in rule.spread(actions):
        view = rule.view if action in VIEWED else ""
        yield Access(action, field or "", view, conditions)
        if rule.every and field:
            yield Access(action, LATER, view, conditions)


def _conditions(rule: Rule) -> Iterator[tuple[str, str]]:
    """Yields what a rule says beyond rights: whatever is compared, and is not left out."""
    yield from rule.conditions.described()
    for each in dataclasses.fields(rule):
        value = getattr(rule, each.name)
        if each.compare and each.name not in _NAMED and value not in (None, "", (), frozenset()):
            yield each.name, str(value)


def _fields(old: Policy, new: Policy) -> Iterator[FieldChange]:
    for name in sorted(old.fields.keys() | new.fields.keys()):
        if name not in old.fields:
            yield FieldChange(name, Change.ADDED)
        elif name not in new.fields:
            yield FieldChange(name, Change.REMOVED, tokens=True)
        else:
            yield from _keys(name, old, new)


def _keys(name: str, old: Policy, new: Policy) -> Iterator[FieldChange]:
    before, after = (dict(_written(_entry(policy, name))) for policy in (old, new))
    tokens = old.fields[name].token_spec != new.fields[name].token_spec
    for key in sorted(before.keys() | after.keys()):
        was, now = before.get(key), after.get(key)
        if was != now:
            yield FieldChange(name, Change.CHANGED, key, was, now, tokens)


def _entry(policy: Policy, name: str) -> object:
    # As written: a format's options are its own, and no two formats have the same. That the
    # document is harmless was found out when it was read.
    document: Mapping[str, Mapping[str, object]] = yaml.safe_load(policy.document)
    return document["fields"][name]


def _written(entry: object, path: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(entry, Mapping):
        for key, value in entry.items():
            yield from _written(value, f"{path}.{key}" if path else str(key))
    elif isinstance(entry, bool):
        yield path, str(entry).lower()
    elif isinstance(entry, list):
        yield path, ", ".join(map(str, entry))
    else:
        yield path, str(entry)


def _views(old: Policy, new: Policy) -> Iterator[ViewChange]:
    for name in sorted(old.fields.keys() & new.fields.keys()):
        before, after = old.fields[name].views, new.fields[name].views
        for view in sorted(before.keys() & after.keys()):
            if before[view] != after[view]:
                yield ViewChange(name, view, tuple(_readers(name, view, old, new)))


def _readers(field: str, view: str, old: Policy, new: Policy) -> Iterator[Holder]:
    """Yields who reads a view of a field, and does not read the whole value in any case."""
    before, after = _roles(old), _roles(new)
    for holder in sorted(before.keys() & after.keys(), key=_order):
        both = [_read(roles.get(holder, ()), field) for roles in (before, after)]
        if all(view in views for views in both) and not all(FULL in views for views in both):
            yield holder


def _read(roles: Sequence[Role], field: str) -> frozenset[str]:
    return frozenset(
        each.view for each in _allowed(roles) if each.field == field and each.action in VIEWED
    )


def _limits(old: Policy, new: Policy) -> Iterator[LimitChange]:
    for action in sorted(Action):
        for name in sorted(new.fields):
            before, after = old.quotas(action, name), new.quotas(action, name)
            if before != after:
                yield LimitChange(action, name, _direction(before, after), before, after)


def _freezes(old: Policy, new: Policy) -> Iterator[FreezeRuleChange]:
    """Yields who is frozen otherwise, of those who hold roles under both."""
    before, after = _roles(old), _roles(new)
    for holder in sorted(before.keys() & after.keys(), key=_order):
        was = strictest_rule(old.freezes, {role.name for role in before[holder]})
        now = strictest_rule(new.freezes, {role.name for role in after[holder]})
        if _counts(was) != _counts(now):
            yield FreezeRuleChange(holder, was, now)


def _counts(rule: FreezeRule | None) -> tuple[int, int] | None:
    return None if rule is None else (rule.touches, rule.seconds)


def _direction(before: Sequence[Quota], after: Sequence[Quota]) -> Change:
    """Returns whether what was allowed within the old quotas still is, or more, or neither."""
    was, now = ({each.seconds: each.values for each in quotas} for quotas in (before, after))
    tighter = any(values < was.get(seconds, values + 1) for seconds, values in now.items())
    looser = any(values < now.get(seconds, values + 1) for seconds, values in was.items())
    if tighter == looser:
        return Change.CHANGED
    return Change.TIGHTENED if tighter else Change.LOOSENED
