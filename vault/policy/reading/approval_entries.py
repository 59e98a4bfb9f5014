"""Reads what approvals a rule asks for, and refuses those that nobody, or anybody, could give."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta

from vault.model import Action, Group
from vault.policy.approvals import Approvals, Approved, ApproverGroup, BreakGlass
from vault.policy.reading.budget_entry import read_budget
from vault.policy.reading.duration_entry import read_duration
from vault.policy.reading.entry import Entry, did_you_mean, listed, quoted
from vault.policy.roles import Binding, Role, Rule

__all__ = ["APPROVAL_KEYS", "check_approvers", "check_rule", "read_approvals"]

APPROVAL_KEYS = frozenset({"approvals", "grant_ttl", "break_glass"})
_NEEDED = APPROVAL_KEYS - {"break_glass"}
_BREAK_GLASS_KEYS = frozenset({"grant_ttl", "budget", "review"})
_REVIEW_KEYS = frozenset({"of", "not_same_group"})
_GROUP_KEYS = frozenset({"of", "count", "not_same_group"})
_READ = frozenset({Action.DETOKENIZE, Action.DECRYPT})
_MAX_PEOPLE = 10
_MAX_GRANT_DAYS = 30
_MAX_EMERGENCY_DAYS = 1


def read_approvals(entries: Mapping[str, Entry]) -> Approvals | None:
    """Returns the approvals of a rule; what is wrong is recorded."""
    if "approvals" not in entries or "grant_ttl" not in entries:
        return None
    groups = [_read_group(each) for each in entries["approvals"].items()]
    seconds = read_duration(entries["grant_ttl"], _MAX_GRANT_DAYS, "1h")
    read = tuple(group for group in groups if group is not None)
    names = [(group.of, group.not_same_group) for group in read]
    if len(set(names)) < len(names):
        entries["approvals"].fail("names a role twice: say so with 'count'")
    if seconds is None or not read:
        return None
    break_glass = entries.get("break_glass")
    return Approvals(
        read, timedelta(seconds=seconds), _read_break_glass(break_glass) if break_glass else None
    )


def _read_break_glass(entry: Entry) -> BreakGlass | None:
    entries = entry.section(_BREAK_GLASS_KEYS, required=sorted(_BREAK_GLASS_KEYS))
    if entries.keys() != _BREAK_GLASS_KEYS:
        return None
    seconds = read_duration(entries["grant_ttl"], _MAX_EMERGENCY_DAYS, "15m")
    budget = read_budget(entries["budget"])
    review = _read_group(entries["review"], _REVIEW_KEYS)
    if seconds is None or not budget or review is None:
        return None
    return BreakGlass(timedelta(seconds=seconds), budget, review)


def _read_group(entry: Entry, keys: frozenset[str] = _GROUP_KEYS) -> ApproverGroup | None:
    entries = entry.section(keys, required=("of",))
    of = entries["of"].text() if "of" in entries else None
    count = entries["count"].integer(1, _MAX_PEOPLE) if "count" in entries else 1
    apart = entries["not_same_group"].boolean() if "not_same_group" in entries else False
    if of is None or count is None or apart is None:
        return None
    return ApproverGroup(of, count, apart)


def check_rule(entry: Entry, entries: Mapping[str, Entry], rule: Rule) -> None:
    """Records where a rule asks for approvals that cannot be requested, or the reverse."""
    if Action.REQUEST_REVEAL in rule.deny or Action.APPROVE_REVEAL in rule.deny:
        return
    given = _NEEDED & entries.keys()
    if "break_glass" in entries and not given:
        entries["break_glass"].fail("stands beside 'approvals', which it does without")
    if len(given) == 1:
        (missing,) = _NEEDED - given
        entry.fail(f"has {listed(given)} and no {missing}: a grant needs both")
    requests = Action.REQUEST_REVEAL in rule.allow
    if requests and not given:
        entry.fail("allows request_reveal, and says nobody who approves: add 'approvals'")
    reads = rule.allow - {Action.REQUEST_REVEAL}
    if given and not (requests and reads and reads <= _READ):
        entry.fail(
            "asks for approvals, so it allows request_reveal and detokenize or decrypt, and "
            "nothing else: put other actions in a rule of their own"
        )


def check_approvers(entry: Entry, roles: Mapping[str, Role], bindings: Sequence[Binding]) -> None:
    """Records approvals that nobody can give, or that requesters could give themselves.

    Args:
        entry: the section of the roles, which has been read without a problem.
    """
    for name, at in entry.mapping().items():
        for rule, rule_at in zip(roles[name].rules, at.items(), strict=True):
            if rule.conditions.approvals is not None:
                _check_approvals(name, rule, rule.conditions.approvals, rule_at, roles, bindings)


def _check_approvals(
    name: str,
    rule: Rule,
    approvals: Approvals,
    rule_at: Entry,
    roles: Mapping[str, Role],
    bindings: Sequence[Binding],
) -> None:
    if not _people_ask(name, bindings):
        rule_at.fail(
            f"can never be met: only callers with a certificate hold {name}, and reveals are "
            "requested by people; bind it to a group"
        )
    approvals_at, before = rule_at.mapping()["approvals"], rule_at.problems
    asked = list(zip(approvals.groups, approvals_at.items(), strict=True))
    if approvals.break_glass is not None:
        review_at = rule_at.mapping()["break_glass"].mapping()["review"]
        asked.append((approvals.break_glass.review, review_at))
    for group, group_at in asked:
        for problem in _problems(name, rule, group, roles, bindings):
            group_at.fail(problem)
    if rule_at.problems == before and _too_few_together(approvals, bindings):
        approvals_at.fail(
            f"can never be met: it takes {approvals.people} people, each counts once, and fewer "
            "hold these roles together"
        )


def _too_few_together(approvals: Approvals, bindings: Sequence[Binding]) -> bool:
    """Returns whether all who could approve, where the policy names them one by one, do not do."""
    asked = {group.of for group in approvals.groups}
    people: dict[Group, set[str]] = {}
    for each in bindings:
        if isinstance(each.principal, Group) and asked.intersection(each.roles):
            people.setdefault(each.principal, set()).update(each.roles)
    if any(group.claim != "sub" for group in people):
        return False  # nobody knows how many are in a group
    return not approvals.met_by([Approved(frozenset(held), apart=True) for held in people.values()])


def _people_ask(name: str, bindings: Sequence[Binding]) -> bool:
    holders = [each.principal for each in bindings if name in each.roles]
    return not holders or any(isinstance(each, Group) for each in holders)


def _problems(
    name: str,
    rule: Rule,
    group: ApproverGroup,
    roles: Mapping[str, Role],
    bindings: Sequence[Binding],
) -> Iterator[str]:
    approving = roles.get(group.of)
    if approving is None:
        yield f"there is no role {quoted(group.of)}{did_you_mean(group.of, roles)}"
        return
    if group.of == name:
        yield "the role approves its own requests: name another one"
        return
    without = rule.fields - _approves(approving)
    if without:
        yield (
            f"can never be met: {group.of} may not approve_reveal on {listed(without)}; allow "
            "it there"
        )
    holders = [each for each in bindings if group.of in each.roles]
    yield from _holder_problems(name, group, holders)


def _holder_problems(name: str, group: ApproverGroup, holders: Sequence[Binding]) -> Iterator[str]:
    people = [each.principal for each in holders if isinstance(each.principal, Group)]
    if not people:
        yield (
            f"can never be met: nobody with a JWT holds {group.of}, and approvals are given by "
            "people; bind it to a group"
        )
    elif all(each.claim == "sub" for each in people) and len(set(people)) < group.count:
        yield (
            f"can never be met: it takes {group.count} people, and {len(set(people))} hold "
            f"{group.of}"
        )
    both = [each.line for each in holders if name in each.roles]
    if both:
        yield (
            f"whoever line {both[0]} is about holds {name} too, and could approve what they ask "
            "for themselves: give the two roles to two groups"
        )


def _approves(role: Role) -> frozenset[str]:
    allowed: set[str] = set()
    denied: set[str] = set()
    for rule in role.rules:
        if Action.APPROVE_REVEAL in rule.allow:
            allowed |= rule.fields
        if Action.APPROVE_REVEAL in rule.deny:
            denied |= rule.fields
    return frozenset(allowed - denied)
